#!/usr/bin/env python3
"""Records what PyTorch computes for a narrow ResNet-50 of full wiring and depth, for tests/reference.

    python3 scripts/record_resnet50.py [FILE]        (needs torch; run once, the file is committed)

The network is written down from its description, in fp64, stored as fp32, in the form of record_deepcam.py, whose layers
and whose law of inputs, labels and initial parameters it shares. Two styles: padding alike on both sides with smoothing over
all classes, and TensorFlow's padding with smoothing over the other classes. Of each style the loss and the gradients of the
first step are stored; of five steps with each optimizer the losses, and the norms of the parameters that they end with. LARS
is written down in both of its forms.
"""
import pathlib
import sys

import torch
import torch.nn.functional as F

import record_deepcam as layers

EXTENT, BATCH, CLASSES, WIDTH = 64, 4, 10, 0.0625
RATES, DECAY, MOMENTUM, SMOOTHING = (0.01, 0.02, 0.03, 0.04, 0.05), 0.1, 0.9, 0.1
ETA, EPSILON = 0.02, 1e-9


def channels(reference: int) -> int:
    return max(1, int(reference * WIDTH + 0.5))


class Network(layers.Network):
    def __init__(self, tensorflow: bool):
        super().__init__()
        self.tensorflow = tensorflow

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
    decay = DECAY * RATES[-1]
    trust = ETA * p.norm() / (g.norm() + decay * p.norm() + EPSILON)
    v.mul_(MOMENTUM).sub_(trust * decay * (rate / RATES[-1]) * p + trust * rate * g)


def record(path: pathlib.Path) -> None:
    raw = (layers.hashed(BATCH * EXTENT * EXTENT * 3, 0) * 256).floor().reshape(BATCH, EXTENT, EXTENT, 3).permute(0, 3, 1, 2)
    means, deviations = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    x = (raw - means.double().view(1, 3, 1, 1)) / deviations.double().view(1, 3, 1, 1)
    labels = (layers.hashed(BATCH, 777) * CLASSES).long()
    tensors = {}
    for style, tensorflow in (("torch", False), ("tensorflow", True)):
        network = Network(tensorflow)
        loss = loss_of(network(x), labels, tensorflow)
        gradients = torch.autograd.grad(loss, list(network.state.values()))
        tensors[f"loss:{style}"] = loss.detach().reshape(1)
        tensors.update({f"gradient:{style}:{name}": g for name, g in zip(network.state, gradients)})
        single = Network(tensorflow)
        single.state = {name: value.detach().float().requires_grad_() for name, value in network.state.items()}
        found = torch.autograd.grad(loss_of(single(x.float()), labels, tensorflow), list(single.state.values()))
        tensors[f"rounding:{style}"] = torch.stack([(a.double() - b).norm() / b.norm() for a, b in zip(found, gradients)])
        print(style, float(loss), "worst rounding", float(tensors[f"rounding:{style}"].max()))
    for rule in (sgd, lars, lars_premultiplied):
        network = Network(False)
        network(x)  # makes the parameters
        velocities = {name: torch.zeros_like(p) for name, p in network.state.items()}
        losses = []
        for rate in RATES:
            loss = loss_of(network(x), labels, False)
            gradients = torch.autograd.grad(loss, list(network.state.values()))
            losses.append(loss.detach())
            with torch.no_grad():
                for (name, p), g in zip(network.state.items(), gradients):
                    rule(name, p, g, velocities[name], rate * (0.1 if rule is sgd else 1.0))
                    p.add_(velocities[name])
        tensors[f"losses:{rule.__name__}"] = torch.stack(losses)
        tensors[f"norms:{rule.__name__}"] = torch.stack([p.detach().norm() for p in network.state.values()])
        print(rule.__name__, [round(float(each), 6) for each in losses])
    layers.store(path, tensors)
    print(f"{path}: {path.stat().st_size} bytes, {len(network.state)} tensors")


if __name__ == "__main__":
    record(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/reference/resnet50.bin"))
