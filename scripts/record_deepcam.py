#!/usr/bin/env python3
"""Records what PyTorch computes for a small DeepCAM of full wiring and depth, for tests/reference.

    python3 scripts/record_deepcam.py [FILE]        (needs torch; run once, the file is committed)

The network is written down from its description: encoder, atrous branches, decoder of transposed convolutions. It is
computed in fp64 and stored as fp32, in the form that record_reference.py tells of. Inputs, labels and initial parameters
follow `hashed`, so they are not stored. Gradients are those of the first step; of five steps with each optimizer the losses
are stored, and the norms of the parameters that they end with, tensor by tensor.

What fp32 rounds away may take a position to the other side of a ReLU's corner, which moves gradients by parts of a percent. So
the middle flow's residual branches are damped (the factors of their last norms lie about 0.25; with factors about 1 so narrow a
network is ill-conditioned), and the stream of inputs is one of eighty whose first step has no position within 4e-5 of a corner.
Beside each truth stands what noise of fp32's size on the parameters does to it (the worst of eight draws, in fp64), which is the
measure of what may be asked of fp32.
"""
import pathlib
import sys

import torch
import torch.nn.functional as F

ROWS, COLUMNS, BATCH, STEPS, RATE, DECAY = 64, 96, 2, 5, 0.001, 0.01
WIDTH, MIDDLE = 0.03, 16
IMAGES, LABELS = 2078, 777  # streams
NOISE, DRAWS = 3e-7, 8
LEAST_MARGIN = 4e-5  # of the first step's positions, from a ReLU's corner
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
        self.margin = float("inf")  # of what ReLUs are given

    def parameter(self, name: str, shape: tuple, centre: float, spread: float) -> torch.Tensor:
        if name.startswith("block") and name.endswith(".sep3.norm.gamma"):
            centre, spread = 0.25, 0.05
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

    def relu(self, x):
        self.margin = min(self.margin, float(x.detach().abs().min()))
        return F.relu(x)

    def norm_relu(self, name, x):
        return self.relu(self.norm(name, x))

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
        return self.relu(main + x)

    def up(self, name, x, count):
        w = self.parameter(f"{name}.weights", (x.shape[1], count, 3, 3), 0.0, (3.0 / (count * 9)) ** 0.5)
        return F.conv_transpose2d(x, w, None, 2, 1, 1)

    def __call__(self, x):
        x = self.norm_relu("conv1", self.conv("conv1", x, channels(32), 3, 2))
        x = self.norm_relu("conv2", self.conv("conv2", x, channels(64), 3))
        low = x = self.relu(self.block("block1", x, channels(128), channels(128), 2))
        x = self.relu(self.block("block2", x, channels(256), channels(256), 2))
        x = self.relu(self.block("block3", x, channels(728), channels(728), 2))
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
        pooled = self.relu(pooled * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1))
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


def noisy(state: dict, draw: int) -> dict:
    torch.manual_seed(draw)
    return {name: (p.detach() * (1.0 + NOISE * torch.randn_like(p))).requires_grad_() for name, p in state.items()}


def worst(found: list, truth: torch.Tensor) -> torch.Tensor:
    """Over draws of noise: the largest relative distance of each element."""
    return torch.stack([((each - truth) / truth).abs() for each in found]).max(0).values


def store(path: pathlib.Path, tensors: dict) -> None:
    """An index of names and lengths, then all values as fp32."""
    with path.open("wb") as file:
        file.write("".join(f"{name} {value.numel()}\n" for name, value in tensors.items()).encode() + b"\n")
        for value in tensors.values():
            file.write(value.detach().float().contiguous().numpy().tobytes())


def inputs() -> tuple:
    x = hashed(BATCH * ROWS * COLUMNS * 16, IMAGES).float().double().reshape(BATCH, ROWS, COLUMNS, 16).permute(0, 3, 1, 2)
    return x, (hashed(BATCH * ROWS * COLUMNS, LABELS) * 3).long().reshape(BATCH, ROWS, COLUMNS)


def network(draw=None) -> Network:
    """With noise on its parameters, where a draw is given; no statistics yet."""
    made = Network()
    made(inputs()[0])  # makes the parameters
    if made.margin < LEAST_MARGIN:
        sys.exit(f"a position is {made.margin:.3g} from a ReLU's corner; look for another stream of inputs")
    made.statistics.clear()
    if draw is not None:
        made.state = noisy(made.state, draw)
    return made


def first_step(draw=None) -> tuple:
    """Gradients and running statistics, by name."""
    made = network(draw)
    x, labels = inputs()
    gradients = torch.autograd.grad(loss_of(made(x), labels), list(made.state.values()))
    return dict(zip(made.state, gradients)), made.statistics


def five_steps(optimizer: str, draw=None) -> tuple:
    """Losses, and norms of the parameters behind the last step."""
    made = network(draw)
    x, labels = inputs()
    parameters = list(made.state.values())
    moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in parameters]
    rules = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    rule = rules[optimizer](parameters, RATE, (0.9, 0.999), 1e-6, DECAY) if optimizer in rules else None
    losses = []
    for step in range(1, STEPS + 1):
        loss = loss_of(made(x), labels)
        gradients = torch.autograd.grad(loss, parameters)
        losses.append(loss.detach())
        with torch.no_grad():
            if rule is None:
                lamb(parameters, gradients, moments, step)
                continue
            for p, g in zip(parameters, gradients):
                p.grad = g
            rule.step()
    return torch.stack(losses), torch.stack([p.detach().norm() for p in parameters])


def record(path: pathlib.Path) -> None:
    gradients, statistics = first_step()
    draws = [first_step(draw) for draw in range(DRAWS)]
    tensors = {f"gradient:{name}": g for name, g in gradients.items()}
    tensors.update({f"statistic:{name}": value for name, value in statistics.items()})
    for kind, at, truth in (("gradient", 0, gradients), ("statistic", 1, statistics)):
        tensors[f"noise:{kind}"] = torch.stack(
            [max((each[at][name] - value).norm() / value.norm() for each in draws) for name, value in truth.items()])
        print(kind, "worst noise", float(tensors[f"noise:{kind}"].max()))
    for optimizer in ("adam", "adamw", "lamb"):
        truth = five_steps(optimizer)
        others = [five_steps(optimizer, draw) for draw in range(DRAWS)]
        for what, at in (("losses", 0), ("norms", 1)):
            tensors[f"{what}:{optimizer}"] = truth[at]
            tensors[f"noise:{what}:{optimizer}"] = worst([each[at] for each in others], truth[at])
        print(optimizer, [round(float(each), 6) for each in truth[0]],
              "worst noise", [float(each) for each in tensors[f"noise:losses:{optimizer}"]], float(tensors[f"noise:norms:{optimizer}"].max()))
    store(path, tensors)
    print(f"{path}: {path.stat().st_size} bytes, {len(gradients)} tensors")


if __name__ == "__main__":
    record(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/reference/deepcam.bin"))
