#!/usr/bin/env python3
"""Records what PyTorch computes for a narrow ResNet-50 of full wiring and depth, for tests/reference.

    python3 scripts/record_resnet50.py [FILE]        (needs torch; run once, the file is committed)

The network is written down from its description, in fp64, stored as fp32, in the form of record_deepcam.py, whose layers
and whose law of inputs, labels and initial parameters it shares. Two styles: padding alike on both sides with smoothing over
all classes, and TensorFlow's padding with smoothing over the other classes. Of each style the loss and the gradients of the
first step are stored; of five steps with each optimizer the losses, and the norm of each tensor's velocity behind them. LARS
is written down in both of its forms.

Residual branches are damped (the factors of their last norms lie about 0.25): with factors about 1 so narrow a network is
ill-conditioned, and fp32's own noise moves the gradients of early stages by a tenth, by taking some position to the other
side of a ReLU's corner. Beside each truth stands what noise of fp32's size on the parameters does to it (the worst of eight
draws, in fp64), which is the measure of what may be asked of fp32.
"""
import pathlib
import sys

import torch
import torch.nn.functional as F

import record_deepcam as layers

EXTENT, BATCH, CLASSES, WIDTH = 48, 8, 10, 0.0625
IMAGES, LABELS = 1700, 777  # streams
RAMP, DECAY, MOMENTUM, SMOOTHING = (1.0, 2.0, 3.0, 4.0, 5.0), 1.0, 0.9, 0.1
SGD_RATE, LARS_RATE = 2e-5, 5e-4  # times RAMP
ETA, EPSILON = 0.02, 1e-9


def channels(reference: int) -> int:
    return max(1, int(reference * WIDTH + 0.5))


class Network(layers.Network):
    def __init__(self, tensorflow: bool):
        super().__init__()
        self.tensorflow = tensorflow

    def parameter(self, name, shape, centre, spread):
        if name.endswith("conv3.norm.gamma"):
            centre, spread = 0.25, 0.05
        return super().parameter(name, shape, centre, spread)

    def padded(self, x, kernel, value=0.0):
        """For a window with a stride of 2."""
        if not self.tensorflow:
            return F.pad(x, [kernel // 2] * 4, value=value)
        total = max(((x.shape[2] + 1) // 2 - 1) * 2 + kernel - x.shape[2], 0)
        before, after = total // 2, total - total // 2
        return F.pad(x, [before, after, before, after], value=value)

    def plain(self, name, x, count, kernel, stride=1):
        """Without padding of its own."""
        shape = (count, x.shape[1], kernel, kernel)
        w = self.parameter(f"{name}.weights", shape, 0.0, (3.0 / (shape[1] * kernel * kernel)) ** 0.5)
        return F.conv2d(x, w, None, stride)

    def bottleneck(self, name, x, count, stride, projects):
        main = self.norm_relu(f"{name}.conv1", self.conv(f"{name}.conv1", x, count, 1))
        if stride == 1:
            main = self.conv(f"{name}.conv2", main, count, 3)
        else:
            main = self.plain(f"{name}.conv2", self.padded(main, 3), count, 3, 2)
        main = self.norm_relu(f"{name}.conv2", main)
        main = self.norm(f"{name}.conv3", self.conv(f"{name}.conv3", main, 4 * count, 1))
        if projects:
            x = self.norm(f"{name}.skip", self.plain(f"{name}.skip", x, 4 * count, 1, stride))
        return F.relu(main + x)

    def __call__(self, x):
        x = self.norm_relu("conv1", self.conv("conv1", x, channels(64), 7, 2))
        x = F.max_pool2d(self.padded(x, 3, float("-inf")), 3, 2)
        for stage, (reference, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
            for block in range(blocks):
                stride = 2 if block == 0 and stage > 0 else 1
                x = self.bottleneck(f"stage{stage + 1}.block{block + 1}", x, channels(reference), stride, block == 0)
        x = x.mean((2, 3))
        w = self.parameter("fc.weights", (CLASSES, x.shape[1]), 0.0, (3.0 / x.shape[1]) ** 0.5)
        return x @ w.T + self.parameter("fc.bias", (CLASSES,), 0.0, 0.1)


def loss_of(logits, labels, tensorflow):
    others = SMOOTHING / (CLASSES - 1 if tensorflow else CLASSES)
    targets = torch.full_like(logits, others)
    targets[torch.arange(len(labels)), labels] = 1.0 - (CLASSES - 1) * others
    return -(targets * F.log_softmax(logits, 1)).sum(1).mean()


def sgd(name, p, g, v, rate):
    decay = DECAY if name.endswith(".weights") else 0.0
    v.mul_(MOMENTUM).sub_(rate * (g + decay * p))


def lars(name, p, g, v, rate):
    """The TF2 reference's: decay within, trust of 1 and no decay for norms and biases."""
    trust, decay = 1.0, 0.0
    if name.endswith(".weights"):
        decay = DECAY
        trust = ETA * p.norm() / (g.norm() + decay * p.norm() + EPSILON)
    v.mul_(MOMENTUM).sub_(rate * trust * (g + decay * p))


def lars_premultiplied(name, p, g, v, rate):
    """MXNet's, as Fujitsu ran it: the decay handed over is that of the peak rate, and so it stands in the denominator."""
    if not name.endswith(".weights"):
        v.mul_(MOMENTUM).sub_(rate * g)
        return
    peak = LARS_RATE * RAMP[-1]
    decay = DECAY * peak
    trust = ETA * p.norm() / (g.norm() + decay * p.norm() + EPSILON)
    v.mul_(MOMENTUM).sub_(trust * decay * (rate / peak) * p + trust * rate * g)


def inputs():
    raw = (layers.hashed(BATCH * EXTENT * EXTENT * 3, IMAGES) * 256).floor()
    raw = raw.reshape(BATCH, EXTENT, EXTENT, 3).permute(0, 3, 1, 2)
    means, deviations = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    x = (raw - means.double().view(1, 3, 1, 1)) / deviations.double().view(1, 3, 1, 1)
    return x, (layers.hashed(BATCH, LABELS) * CLASSES).long()


def network(tensorflow: bool, draw=None) -> Network:
    """With noise on its parameters, where a draw is given."""
    made = Network(tensorflow)
    made(inputs()[0])  # makes the parameters
    if draw is not None:
        made.state = layers.noisy(made.state, draw)
    return made


def first_step(tensorflow: bool, draw=None):
    made = network(tensorflow, draw)
    x, labels = inputs()
    loss = loss_of(made(x), labels, tensorflow)
    return loss.detach(), dict(zip(made.state, torch.autograd.grad(loss, list(made.state.values()))))


def five_steps(rule, draw=None):
    """Losses, and norms of the velocities behind the last step."""
    made = network(False, draw)
    x, labels = inputs()
    velocities = {name: torch.zeros_like(p) for name, p in made.state.items()}
    losses = []
    for factor in RAMP:
        loss = loss_of(made(x), labels, False)
        gradients = torch.autograd.grad(loss, list(made.state.values()))
        losses.append(loss.detach())
        with torch.no_grad():
            for (name, p), g in zip(made.state.items(), gradients):
                rule(name, p, g, velocities[name], factor * (SGD_RATE if rule is sgd else LARS_RATE))
                p.add_(velocities[name])
    return torch.stack(losses), torch.stack([v.norm() for v in velocities.values()])


def record(path: pathlib.Path) -> None:
    tensors = {}
    for style, tensorflow in (("torch", False), ("tensorflow", True)):
        loss, gradients = first_step(tensorflow)
        noisy = [first_step(tensorflow, draw) for draw in range(layers.DRAWS)]
        tensors[f"loss:{style}"] = loss.reshape(1)
        tensors[f"noise:loss:{style}"] = layers.worst([each.reshape(1) for each, _ in noisy], loss.reshape(1))
        tensors.update({f"gradient:{style}:{name}": g for name, g in gradients.items()})
        tensors[f"noise:gradient:{style}"] = torch.stack(
            [max((other[name] - g).norm() / g.norm() for _, other in noisy) for name, g in gradients.items()])
        print(style, float(loss), "worst noise", float(tensors[f"noise:gradient:{style}"].max()))
    for rule in (sgd, lars, lars_premultiplied):
        truth = five_steps(rule)
        noisy = [five_steps(rule, draw) for draw in range(layers.DRAWS)]
        for what, at in (("losses", 0), ("velocities", 1)):
            tensors[f"{what}:{rule.__name__}"] = truth[at]
            tensors[f"noise:{what}:{rule.__name__}"] = layers.worst([each[at] for each in noisy], truth[at])
            print(rule.__name__, what, "worst noise", float(tensors[f"noise:{what}:{rule.__name__}"].max()))
        print(rule.__name__, [round(float(each), 6) for each in truth[0]])
    layers.store(path, tensors)
    print(f"{path}: {path.stat().st_size} bytes, {len(gradients)} tensors")


if __name__ == "__main__":
    record(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/reference/resnet50.bin"))
