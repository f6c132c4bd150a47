#!/usr/bin/env python3
"""Records what PyTorch computes for a small DeepCAM of full wiring and depth, for tests/reference.

    python3 scripts/record_deepcam.py [FILE]        (needs torch; run once, the file is committed)

The network is written down from its description: encoder, atrous branches, decoder of transposed convolutions. It is
computed in fp64 and stored as fp32, in the form that record_reference.py tells of. Inputs, labels and initial parameters
follow `hashed`, so they are not stored. Gradients are those of the first step; of five steps with each optimizer the losses
are stored, and the norms of the parameters that they end with, tensor by tensor.
"""
import pathlib
import sys

import torch
import torch.nn.functional as F

ROWS, COLUMNS, BATCH, STEPS, RATE, DECAY = 64, 96, 2, 5, 0.001, 0.01
WIDTH, MIDDLE = 0.03, 16
WEIGHTS = [f**-0.125 for f in (0.986267818390377, 0.0004578708870701058, 0.01327431072255291)]


def hashed(count: int, stream: int) -> torch.Tensor:
    """Fixed values in [0, 1): the high bits of a multiplicative hash of the index."""
    index = torch.arange(count, dtype=torch.int64) + 1000003 * stream
    word = (index * 2654435761 + 12345) & 0xFFFFFFFF
    word = ((word ^ (word >> 15)) * 2246822519) & 0xFFFFFFFF
    return (word >> 8).double() * 2.0**-24


def channels(reference: int) -> int:
    return max(1, int(reference * WIDTH + 0.5))


class Network:
    """Parameters come into being in the order of use, which is their order in the arena."""

    def __init__(self):
        self.state, self.statistics = {}, {}

    def parameter(self, name: str, shape: tuple, centre: float, spread: float) -> torch.Tensor:
        if name not in self.state:
            count = int(torch.tensor(shape).prod())
            values = centre + spread * (2.0 * hashed(count, len(self.state) + 1) - 1.0)
            self.state[name] = values.float().double().reshape(shape).requires_grad_()
        return self.state[name]

    def conv(self, name, x, count, kernel, stride=1, dilation=1, groups=1, bias=False):
        shape = (count, x.shape[1] // groups, kernel, kernel)
        w = self.parameter(f"{name}.weights", shape, 0.0, (3.0 / (shape[1] * kernel * kernel)) ** 0.5)
        b = self.parameter(f"{name}.bias", (count,), 0.0, 0.1) if bias else None
        return F.conv2d(x, w, b, stride, dilation * (kernel - 1) // 2, dilation, groups)

    def norm(self, name, x):
        gamma = self.parameter(f"{name}.norm.gamma", (x.shape[1],), 1.0, 0.2)
        beta = self.parameter(f"{name}.norm.beta", (x.shape[1],), 0.0, 0.1)
        mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        with torch.no_grad():
            count = x.numel() // x.shape[1]
            for which, start, now in (("mean", 0.0, mean), ("variance", 1.0, variance * count / (count - 1))):
                key = f"{name}.norm.running_{which}"
                old = self.statistics.get(key, torch.full_like(mean, start))
                self.statistics[key] = 0.9 * old + 0.1 * now
        shape = (1, -1, 1, 1)
        return (x - mean.view(shape)) / torch.sqrt(variance.view(shape) + 1e-5) * gamma.view(shape) + beta.view(shape)

    def norm_relu(self, name, x):
        return F.relu(self.norm(name, x))

    def separable(self, name, x, count, stride=1, dilation=1):
        x = self.conv(f"{name}.depthwise", x, x.shape[1], 3, stride, dilation, x.shape[1])
        return self.conv(f"{name}.pointwise", x, count, 1)

    def block(self, name, x, first, second, stride):
        main = self.norm_relu(f"{name}.sep1", self.separable(f"{name}.sep1", x, first))
        main = self.norm(f"{name}.sep2", self.separable(f"{name}.sep2", main, second))
        main = self.separable(f"{name}.sep3", main, second, stride)
        return main + self.norm(f"{name}.skip", self.conv(f"{name}.skip", x, second, 1, stride))

    def middle(self, name, x):
        main = self.norm_relu(f"{name}.sep1", self.separable(f"{name}.sep1", x, x.shape[1]))
        main = self.norm_relu(f"{name}.sep2", self.separable(f"{name}.sep2", main, x.shape[1]))
        main = self.norm(f"{name}.sep3", self.separable(f"{name}.sep3", main, x.shape[1]))
        return F.relu(main + x)

    def up(self, name, x, count):
        w = self.parameter(f"{name}.weights", (x.shape[1], count, 3, 3), 0.0, (3.0 / (count * 9)) ** 0.5)
        return F.conv_transpose2d(x, w, None, 2, 1, 1)

    def __call__(self, x):
        x = self.norm_relu("conv1", self.conv("conv1", x, channels(32), 3, 2))
        x = self.norm_relu("conv2", self.conv("conv2", x, channels(64), 3))
        low = x = F.relu(self.block("block1", x, channels(128), channels(128), 2))
        x = F.relu(self.block("block2", x, channels(256), channels(256), 2))
        x = F.relu(self.block("block3", x, channels(728), channels(728), 2))
        for at in range(MIDDLE):
            x = self.middle(f"block{4 + at}", x)
        x = self.block(f"block{4 + MIDDLE}", x, channels(728), channels(1024), 1)
        for name, count in (("conv3", 1536), ("conv4", 1536), ("conv5", 2048)):
            x = self.norm_relu(name, self.separable(name, x, channels(count), 1, 2))
        branches = [self.norm_relu("aspp1", self.conv("aspp1", x, channels(256), 1))]
        for at in (1, 2, 3):
            branches.append(self.norm_relu(f"aspp{at + 1}", self.conv(f"aspp{at + 1}", x, channels(256), 3, 1, 6 * at)))
        pooled = self.conv("pool", x.mean((2, 3), keepdim=True), channels(256), 1)
        scale = self.parameter("pool.affine.weights", (channels(256), 1, 1, 1), 1.0, 0.2)
        shift = self.parameter("pool.affine.bias", (channels(256),), 0.0, 0.1)
        pooled = F.relu(pooled * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1))
        branches.append(pooled.expand(-1, -1, *x.shape[2:]))
        x = self.norm_relu("bottleneck", self.conv("bottleneck", torch.cat(branches, 1), channels(256), 1))
        x = self.norm_relu("deconv1a", self.up("deconv1a", x, channels(256)))
        x = self.norm_relu("deconv1b", self.up("deconv1b", x, channels(256)))
        fine = self.norm_relu("low", self.conv("low", low, channels(48), 1))
        x = self.norm_relu("upsample1", self.conv("upsample1", torch.cat([x, fine], 1), channels(256), 3))
        x = self.norm_relu("upsample2", self.conv("upsample2", x, channels(256), 3))
        x = self.conv("upsample3", x, channels(256), 1, bias=True)
        x = self.norm_relu("deconv2", self.up("deconv2", x, channels(256)))
        return self.up("deconv3", x, 3)


def loss_of(logits, labels):
    per_pixel = F.cross_entropy(logits, labels, torch.tensor(WEIGHTS, dtype=logits.dtype), reduction="none")
    return per_pixel.mean()  # not divided by the sum of weights


def lamb(parameters, gradients, moments, step):
    """NVIDIA's fused form: clip by the global norm, bias correction, decoupled decay, unclipped trust ratio."""
    norm = torch.sqrt(sum((g**2).sum() for g in gradients))
    clipped = [g / max(1.0, float(norm)) for g in gradients]
    for p, g, (m, v) in zip(parameters, clipped, moments):
        m.mul_(0.9).add_(g, alpha=0.1)
        v.mul_(0.999).addcmul_(g, g, value=0.001)
        u = (m / (1 - 0.9**step)) / (torch.sqrt(v / (1 - 0.999**step)) + 1e-6) + DECAY * p
        ratio = float(p.norm() / u.norm()) if float(p.norm()) > 0 and float(u.norm()) > 0 else 1.0
        p.sub_(u, alpha=RATE * ratio)


def rounding_of(network, x, labels, gradients):
    """What PyTorch itself loses in fp32, tensor by tensor: the norm of its error over that of the gradient."""
    single = Network()
    single.state = {name: value.detach().float().requires_grad_() for name, value in network.state.items()}
    found = torch.autograd.grad(loss_of(single(x.float()), labels), list(single.state.values()))
    return torch.stack([(a.double() - b).norm() / b.norm() for a, b in zip(found, gradients)])


def store(path: pathlib.Path, tensors: dict) -> None:
    """An index of names and lengths, then all values as fp32."""
    with path.open("wb") as file:
        file.write("".join(f"{name} {value.numel()}\n" for name, value in tensors.items()).encode() + b"\n")
        for value in tensors.values():
            file.write(value.detach().float().contiguous().numpy().tobytes())


def record(path: pathlib.Path) -> None:
    x = hashed(BATCH * ROWS * COLUMNS * 16, 0).float().double().reshape(BATCH, ROWS, COLUMNS, 16).permute(0, 3, 1, 2)
    labels = (hashed(BATCH * ROWS * COLUMNS, 777) * 3).long().reshape(BATCH, ROWS, COLUMNS)
    tensors = {}
    for optimizer in ("adam", "adamw", "lamb"):
        network = Network()
        network(x)  # makes the parameters
        network.statistics.clear()
        parameters = list(network.state.values())
        moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in parameters]
        made = None
        if optimizer == "adam":
            made = torch.optim.Adam(parameters, RATE, (0.9, 0.999), 1e-6, DECAY)
        elif optimizer == "adamw":
            made = torch.optim.AdamW(parameters, RATE, (0.9, 0.999), 1e-6, DECAY)
        losses = []
        for step in range(1, STEPS + 1):
            loss = loss_of(network(x), labels)
            gradients = torch.autograd.grad(loss, parameters)
            losses.append(loss.detach())
            if step == 1 and optimizer == "lamb":
                tensors.update({f"gradient:{name}": g for name, g in zip(network.state, gradients)})
                tensors["rounding"] = rounding_of(network, x, labels, gradients)
                print("worst rounding of PyTorch's fp32", float(tensors["rounding"].max()))
                tensors.update({f"statistic:{name}": value for name, value in network.statistics.items()})
            with torch.no_grad():
                if made is None:
                    lamb(parameters, gradients, moments, step)
                else:
                    for p, g in zip(parameters, gradients):
                        p.grad = g
                    made.step()
        tensors[f"losses:{optimizer}"] = torch.stack(losses)
        tensors[f"norms:{optimizer}"] = torch.stack([p.detach().norm() for p in parameters])
        print(optimizer, [round(float(each), 6) for each in losses], sum(p.numel() for p in parameters), len(parameters))
    store(path, tensors)
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    record(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/reference/deepcam.bin"))
