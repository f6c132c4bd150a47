#!/usr/bin/env python3
"""PyTorch's CosmoFlow training step on the CPU, in one of its forms; prints one JSON line.

The work is what trainmark does a step: log1p of int16 counts, forward, MSE, backward, Keras-form SGD with momentum.
"""
import torch
import torch.nn.functional as F
from torch import nn

import step_timing


class Cosmoflow(nn.Module):
    def __init__(self, extent: int):
        super().__init__()
        channels = [4, 32, 64, 128, 256, 512]
        self.convs = nn.ModuleList(nn.Conv3d(i, o, 3, padding=1) for i, o in zip(channels, channels[1:]))
        flat = 512 * (extent // 32) ** 3
        self.dense = nn.ModuleList([nn.Linear(flat, 128), nn.Linear(128, 64), nn.Linear(64, 4)])

    def forward(self, x):
        for conv in self.convs:
            x = F.max_pool3d(F.leaky_relu(conv(x), 0.3, inplace=True), 2)
        x = x.permute(0, 2, 3, 4, 1).flatten(1)
        for dense in self.dense[:2]:
            x = F.leaky_relu(dense(x), 0.3)
        return 1.2 * torch.tanh(self.dense[2](x).float())


def main() -> None:
    parser = step_timing.parser(__doc__, batch=2)
    parser.add_argument("--extent", type=int, default=64)
    parser.add_argument("--steps", type=int, default=8)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    model = Cosmoflow(arguments.extent)
    last = torch.channels_last_3d
    if arguments.form != "eager":
        model = model.to(memory_format=last)
    parameters = list(model.parameters())
    velocity = [torch.zeros_like(each) for each in parameters]
    raw = torch.poisson(torch.ones(arguments.batch, arguments.extent, arguments.extent, arguments.extent, 4)).to(torch.int16)
    target = torch.rand(arguments.batch, 4) * 2 - 1

    def loss_of(x):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=arguments.precision == "bf16"):
            return F.mse_loss(model(x), target)

    forward = torch.compile(loss_of) if arguments.form == "compile" else loss_of

    def step():
        x = torch.log1p(raw.float()).permute(0, 4, 1, 2, 3)  # a channels-last view
        if arguments.form == "eager":
            x = x.contiguous()
        loss = forward(x)
        loss.backward()
        with torch.no_grad():
            gradients = [each.grad for each in parameters]
            torch._foreach_mul_(velocity, 0.9)
            torch._foreach_add_(velocity, gradients, alpha=-0.001)
            torch._foreach_add_(parameters, velocity)
        for each in parameters:
            each.grad = None
        return loss.item()

    step_timing.report(arguments, step, warm_up=3)


if __name__ == "__main__":
    main()
