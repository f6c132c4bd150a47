#!/usr/bin/env python3
"""PyTorch's DeepCAM training step on the CPU, in one of its forms; prints one JSON line.

The work is what trainmark does a step: min-max normalisation of raw maps, forward in training mode with running
statistics, weighted cross-entropy, backward, LAMB with a clip by the global norm. The network is the one of
scripts/record_deepcam.py, from PyTorch's own layers.
"""
import torch
import torch.nn.functional as F
from torch import nn

import step_timing

CHANNELS, CLASSES = 16, 3
WEIGHTS = [f**-0.125 for f in (0.986267818390377, 0.0004578708870701058, 0.01327431072255291)]


def conv(i, o, kernel, stride=1, dilation=1, groups=1, bias=False):
    return nn.Conv2d(i, o, kernel, stride, dilation * (kernel - 1) // 2, dilation, groups, bias)


def separable(i, o, stride=1, dilation=1):
    return nn.Sequential(conv(i, i, 3, stride, dilation, i), conv(i, o, 1))


def up(i, o):
    return nn.ConvTranspose2d(i, o, 3, 2, 1, 1, bias=False)


def norm_relu(layer, channels):
    return nn.Sequential(layer, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


class Block(nn.Module):
    def __init__(self, i, first, second, stride):
        super().__init__()
        self.main = nn.Sequential(norm_relu(separable(i, first), first), separable(first, second),
                                  nn.BatchNorm2d(second), separable(second, second, stride))
        self.skip = nn.Sequential(conv(i, second, 1, stride), nn.BatchNorm2d(second))

    def forward(self, x):
        return self.main(x) + self.skip(x)


class Middle(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.main = nn.Sequential(norm_relu(separable(channels, channels), channels),
                                  norm_relu(separable(channels, channels), channels), separable(channels, channels),
                                  nn.BatchNorm2d(channels))

    def forward(self, x):
        return F.relu_(self.main(x) + x)


class Deepcam(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(norm_relu(conv(CHANNELS, 32, 3, 2), 32), norm_relu(conv(32, 64, 3), 64))
        self.block1, self.block2, self.block3 = Block(64, 128, 128, 2), Block(128, 256, 256, 2), Block(256, 728, 728, 2)
        self.middle = nn.Sequential(*(Middle(728) for _ in range(16)))
        self.exit = nn.Sequential(Block(728, 728, 1024, 1), norm_relu(separable(1024, 1536, 1, 2), 1536),
                                  norm_relu(separable(1536, 1536, 1, 2), 1536), norm_relu(separable(1536, 2048, 1, 2), 2048))
        self.aspp = nn.ModuleList([norm_relu(conv(2048, 256, 1), 256)])
        self.aspp.extend(norm_relu(conv(2048, 256, 3, 1, 6 * at), 256) for at in (1, 2, 3))
        self.pool = conv(2048, 256, 1)
        self.scale, self.shift = nn.Parameter(torch.ones(256)), nn.Parameter(torch.zeros(256))
        self.bottleneck = norm_relu(conv(1280, 256, 1), 256)
        self.low = norm_relu(conv(128, 48, 1), 48)
        self.deconv1 = nn.Sequential(norm_relu(up(256, 256), 256), norm_relu(up(256, 256), 256))
        self.tail = nn.Sequential(norm_relu(conv(304, 256, 3), 256), norm_relu(conv(256, 256, 3), 256),
                                  conv(256, 256, 1, bias=True), norm_relu(up(256, 256), 256), up(256, CLASSES))
        for module in [*self.stem.modules(), *self.block1.modules(), *self.block2.modules(), *self.block3.modules(),
                       *self.middle.modules(), *self.exit.modules(), *self.aspp.modules()]:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x):
        low = F.relu_(self.block1(self.stem(x)))
        x = F.relu_(self.block3(F.relu_(self.block2(low))))
        x = self.exit(self.middle(x))
        pooled = self.pool(x.mean((2, 3), keepdim=True)) * self.scale.view(1, -1, 1, 1) + self.shift.view(1, -1, 1, 1)
        branches = [branch(x) for branch in self.aspp] + [F.relu(pooled).expand(-1, -1, *x.shape[2:])]
        x = self.deconv1(self.bottleneck(torch.cat(branches, 1)))
        return self.tail(torch.cat([x, self.low(low)], 1))


class Lamb:
    """As NVIDIA's fused form, over all tensors at once with torch's multi-tensor functions; in place."""

    def __init__(self, parameters, rate=0.001, decay=0.01):
        self.parameters, self.rate, self.decay, self.steps = parameters, rate, decay, 0
        self.first = [torch.zeros_like(each) for each in parameters]
        self.second = [torch.zeros_like(each) for each in parameters]

    @torch.no_grad()
    def step(self):
        self.steps += 1
        gradients = [each.grad for each in self.parameters]
        norm = torch.stack(torch._foreach_norm(gradients)).norm()
        torch._foreach_div_(gradients, norm.clamp(min=1.0).item())
        torch._foreach_lerp_(self.first, gradients, 0.1)
        torch._foreach_mul_(self.second, 0.999)
        torch._foreach_addcmul_(self.second, gradients, gradients, 0.001)
        below = torch._foreach_div(self.second, 1 - 0.999**self.steps)
        torch._foreach_sqrt_(below)
        torch._foreach_add_(below, 1e-6)
        update = torch._foreach_div(self.first, 1 - 0.9**self.steps)
        torch._foreach_div_(update, below)
        torch._foreach_add_(update, self.parameters, alpha=self.decay)
        own, wanted = torch.stack(torch._foreach_norm(self.parameters)), torch.stack(torch._foreach_norm(update))
        ratio = torch.where((own > 0) & (wanted > 0), own / wanted, torch.ones_like(own))
        torch._foreach_mul_(update, (-self.rate * ratio).tolist())
        torch._foreach_add_(self.parameters, update)
        for each in self.parameters:
            each.grad = None


def main() -> None:
    parser = step_timing.parser(__doc__, batch=1)
    parser.add_argument("--rows", type=int, default=192)
    parser.add_argument("--columns", type=int, default=288)
    parser.add_argument("--steps", type=int, default=4)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    model = Deepcam()
    if arguments.form != "eager":
        model = model.to(memory_format=torch.channels_last)
    parameters = list(model.parameters())
    assert sum(each.numel() for each in parameters) == 56454720 and len(parameters) == 301, "another network"
    optimizer = Lamb(parameters)
    raw = torch.randint(0, 4, (arguments.batch, arguments.rows, arguments.columns, CHANNELS)).float()
    labels = torch.randint(0, CLASSES, (arguments.batch, arguments.rows, arguments.columns))
    weights, least, factor = torch.tensor(WEIGHTS), torch.zeros(CHANNELS), torch.full((CHANNELS,), 0.25)

    def loss_of(x):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=arguments.precision == "bf16"):
            logits = model(x)
        return F.cross_entropy(logits.float(), labels, weights, reduction="none").mean()

    forward = torch.compile(loss_of) if arguments.form == "compile" else loss_of

    def step():
        x = ((raw - least) * factor).permute(0, 3, 1, 2)  # a channels-last view
        if arguments.form == "eager":
            x = x.contiguous()
        loss = forward(x)
        loss.backward()
        optimizer.step()
        return loss.item()

    step_timing.report(arguments, step, warm_up=2)


if __name__ == "__main__":
    main()
