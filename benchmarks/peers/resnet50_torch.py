#!/usr/bin/env python3
"""PyTorch's ResNet-50 training step on the CPU, in one of its forms; prints one JSON line.

The work is what trainmark does a step: normalisation of raw pixels, forward in training mode with running statistics,
cross-entropy with smoothed labels, backward, LARS. The network is the one of scripts/record_resnet50.py at full width, from
PyTorch's own layers.
"""
import torch
import torch.nn.functional as F
from torch import nn

import step_timing

CLASSES = 1000


def conv_norm(i, o, kernel, stride=1, relu=True):
    layers = [nn.Conv2d(i, o, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(o)]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if relu else []))


class Bottleneck(nn.Module):
    def __init__(self, i, count, stride, projects):
        super().__init__()
        self.main = nn.Sequential(conv_norm(i, count, 1), conv_norm(count, count, 3, stride), conv_norm(count, 4 * count, 1, relu=False))
        self.skip = conv_norm(i, 4 * count, 1, stride, relu=False) if projects else nn.Identity()

    def forward(self, x):
        return F.relu_(self.main(x) + self.skip(x))


class Resnet50(nn.Sequential):
    def __init__(self):
        layers, i = [conv_norm(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)], 64
        for stage, (count, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
            for block in range(blocks):
                layers.append(Bottleneck(i, count, 2 if block == 0 and stage > 0 else 1, block == 0))
                i = 4 * count
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(i, CLASSES))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)


class Lars:
    """The TF2 reference's form, over all tensors at once with torch's multi-tensor functions; in place."""

    def __init__(self, parameters, rate=0.001, decay=1e-4, eta=0.001, momentum=0.9):
        self.parameters, self.rate, self.decay, self.eta, self.momentum = parameters, rate, decay, eta, momentum
        self.velocity = [torch.zeros_like(each) for each in parameters]
        self.scaled = torch.tensor([each.ndim > 1 for each in parameters])

    @torch.no_grad()
    def step(self):
        gradients = [each.grad for each in self.parameters]
        own, norm = torch.stack(torch._foreach_norm(self.parameters)), torch.stack(torch._foreach_norm(gradients))
        trust = torch.where(self.scaled & (own > 0) & (norm > 0), self.eta * own / (norm + self.decay * own + 1e-7), torch.ones_like(own))
        decay = [self.decay if scaled else 0.0 for scaled in self.scaled.tolist()]
        torch._foreach_add_(gradients, torch._foreach_mul(self.parameters, decay))
        torch._foreach_mul_(gradients, (-self.rate * trust).tolist())
        torch._foreach_mul_(self.velocity, self.momentum)
        torch._foreach_add_(self.velocity, gradients)
        torch._foreach_add_(self.parameters, self.velocity)
        for each in self.parameters:
            each.grad = None


def main() -> None:
    parser = step_timing.parser(__doc__, batch=8)
    parser.add_argument("--extent", type=int, default=224)
    parser.add_argument("--steps", type=int, default=4)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    model = Resnet50()
    if arguments.form != "eager":
        model = model.to(memory_format=torch.channels_last)
    parameters = list(model.parameters())
    assert sum(each.numel() for each in parameters) == 25557032 and len(parameters) == 161, "another network"
    optimizer = Lars(parameters)
    raw = torch.randint(0, 256, (arguments.batch, arguments.extent, arguments.extent, 3), dtype=torch.uint8)
    labels = torch.randint(0, CLASSES, (arguments.batch,))
    means, scale = torch.tensor([123.675, 116.28, 103.53]), 1.0 / torch.tensor([58.395, 57.12, 57.375])

    def loss_of(x):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=arguments.precision == "bf16"):
            logits = model(x)
        return F.cross_entropy(logits.float(), labels, label_smoothing=0.1)

    forward = torch.compile(loss_of) if arguments.form == "compile" else loss_of

    def step():
        x = ((raw - means) * scale).permute(0, 3, 1, 2)  # a channels-last view
        if arguments.form == "eager":
            x = x.contiguous()
        loss = forward(x)
        loss.backward()
        optimizer.step()
        return loss.item()

    step_timing.report(arguments, step, warm_up=2)


if __name__ == "__main__":
    main()
