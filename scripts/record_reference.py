#!/usr/bin/env python3
"""Records what PyTorch computes for small fixed CosmoFlow networks, for tests/reference.

    python3 scripts/record_reference.py [FOLDER]        (needs torch; run once, the files are committed)

Everything is computed in fp64 and stored as fp32. A file is a text index, one "name count" a line, ended by an empty line,
followed by the tensors' values, little-endian fp32, in that order. Weights are O,I,kD,kH,kW and O,I; inputs follow the
formula of `counts` below, so they are not stored.
"""
import pathlib
import sys

import torch
import torch.nn.functional as F

EXTENT, BATCH, STEPS, RATE, MOMENTUM, L2 = 32, 2, 10, 0.02, 0.9, 0.01
CHANNELS = [2, 4, 8, 16, 32]  # width 1/16


def counts(elements: int) -> torch.Tensor:
    """A fixed, skewed field of small counts: the high bits of a multiplicative hash of the index."""
    index = torch.arange(elements, dtype=torch.int64)
    word = (index * 2654435761 + 12345) & 0xFFFFFFFF
    level = (word >> 13) & 15
    return torch.where(level < 12, level % 3, level * level // 4)


def initial(kernel: int) -> dict:
    torch.manual_seed(7)
    shapes = {}
    channels = 4
    for number, width in enumerate(CHANNELS, 1):
        shapes[f"conv{number}"] = (width, channels, kernel, kernel, kernel)
        channels = width
    for number, (units, inputs) in enumerate([(128, channels), (64, 128), (4, 64)], 1):
        shapes[f"dense{number}"] = (units, inputs)
    state = {}
    for name, shape in shapes.items():
        fan = shape[0] + shape[1] if len(shape) == 2 else (shape[0] + shape[1]) * kernel**3
        limit = (6 / fan) ** 0.5
        state[name + ".weights"] = (torch.rand(shape, dtype=torch.float64) * 2 - 1) * limit
        # Biases that are not zero, so that a forgotten one shows; all values exact in fp32.
        state[name + ".bias"] = torch.rand(shape[0], dtype=torch.float64) * 0.1
    return {name: value.float().double().requires_grad_() for name, value in state.items()}


def predict(state: dict, raw: torch.Tensor, kernel: int) -> torch.Tensor:
    x = torch.log1p(raw.double()).permute(0, 4, 1, 2, 3)  # N,C,D,H,W
    for number in range(1, 6):
        if kernel == 2:
            x = F.pad(x, (0, 1) * 3)  # TensorFlow's 'same': nothing before, one behind
        x = F.conv3d(x, state[f"conv{number}.weights"], state[f"conv{number}.bias"], padding=1 if kernel == 3 else 0)
        x = F.max_pool3d(F.leaky_relu(x, 0.3), 2)
    x = x.permute(0, 2, 3, 4, 1).flatten(1)  # N,(D,H,W,C)
    for number in (1, 2):
        x = F.leaky_relu(F.linear(x, state[f"dense{number}.weights"], state[f"dense{number}.bias"]), 0.3)
    return 1.2 * torch.tanh(F.linear(x, state["dense3.weights"], state["dense3.bias"]))


def record(kernel: int, path: pathlib.Path) -> None:
    raw = counts(BATCH * EXTENT**3 * 4).reshape(BATCH, EXTENT, EXTENT, EXTENT, 4)
    target = torch.linspace(-0.9, 0.9, BATCH * 4, dtype=torch.float64).reshape(BATCH, 4)
    state = initial(kernel)
    tensors = {f"initial:{name}": value.detach().clone() for name, value in state.items()}
    velocity = {name: torch.zeros_like(value) for name, value in state.items()}
    losses = []
    for step in range(STEPS):
        prediction = predict(state, raw, kernel)
        loss = ((prediction - target) ** 2).mean()
        gradients = dict(zip(state, torch.autograd.grad(loss, list(state.values()))))
        losses.append(loss.detach())
        if step == 0:
            tensors["target"] = target
            tensors["prediction"] = prediction.detach()
            tensors.update({f"gradient:{name}": value for name, value in gradients.items()})
        with torch.no_grad():
            for name, value in state.items():
                decay = 2 * L2 if name in ("dense1.weights", "dense2.weights") else 0.0
                velocity[name] = MOMENTUM * velocity[name] - RATE * (gradients[name] + decay * value)
                value += velocity[name]
    tensors["losses"] = torch.stack(losses)
    tensors.update({f"final:{name}": value.detach() for name, value in state.items()})
    with path.open("wb") as file:
        file.write("".join(f"{name} {value.numel()}\n" for name, value in tensors.items()).encode() + b"\n")
        for value in tensors.values():
            file.write(value.float().contiguous().numpy().tobytes())
    print(f"{path}: {path.stat().st_size} bytes, losses {[round(float(each), 6) for each in losses]}")


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/reference")
    for size in (3, 2):
        record(size, folder / f"cosmoflow_kernel{size}.bin")
