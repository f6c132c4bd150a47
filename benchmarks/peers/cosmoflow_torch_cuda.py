#!/usr/bin/env python3
"""PyTorch's CosmoFlow training step on a GPU in several forms, one after the other; the best counts. Prints a JSON line as
soon as a form is measured, each with all forms so far: whoever ends this early keeps the last line.

All forms are channels-last, with autocast for bf16 and with cuDNN's benchmark mode. The raw batch lies on the device and no
step waits for its loss, so nothing but computing is timed; trainmark's own figure has reading, upload and the loss in it.
"""
import argparse
import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F

from cosmoflow_torch import Cosmoflow

BLOCKS = 5


class Training:
    """Model, data and optimizer state; `step` is log1p, forward, MSE, backward and the Keras-form update."""

    def __init__(self, arguments, compiled: bool):
        self.device = arguments.device
        self.bf16 = arguments.precision == "bf16"
        torch.manual_seed(1)
        extent, batch = arguments.extent, arguments.batch
        self.model = Cosmoflow(extent).to(self.device, memory_format=torch.channels_last_3d)
        self.parameters = list(self.model.parameters())
        self.velocity = [torch.zeros_like(each) for each in self.parameters]
        self.raw = torch.randint(0, 4, (batch, extent, extent, extent, 4), dtype=torch.int16, device=self.device)
        self.target = torch.rand(batch, 4, device=self.device) * 2 - 1
        self.forward = torch.compile(self.loss) if compiled else self.loss

    def loss(self, raw):
        x = torch.log1p(raw.float()).permute(0, 4, 1, 2, 3)  # a channels-last view
        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.bf16):
            prediction = self.model(x)
        return F.mse_loss(prediction.float(), self.target)

    def step(self):
        self.forward(self.raw).backward()
        with torch.no_grad():
            torch._foreach_mul_(self.velocity, 0.9)
            torch._foreach_add_(self.velocity, [each.grad for each in self.parameters], alpha=-0.001)
            torch._foreach_add_(self.parameters, self.velocity)
        for each in self.parameters:
            each.grad = None


def captured(step):
    """The step as one CUDA graph, warmed up on a side stream as PyTorch asks for."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(4):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def seconds_per_step(arguments, form: str) -> float:
    training = Training(arguments, "compile" in form)
    wait = torch.cuda.synchronize if arguments.device == "cuda" else lambda: None
    step = training.step
    if "graph" in form:
        step = captured(step)
    for _ in range(arguments.steps):
        step()
    wait()
    blocks = []
    for _ in range(BLOCKS):
        start = time.perf_counter()
        for _ in range(arguments.steps):
            step()
        wait()
        blocks.append((time.perf_counter() - start) / arguments.steps)
    return statistics.median(blocks)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu: only to try the script")
    parser.add_argument("--extent", type=int, default=128)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--precision", choices=["fp32", "tf32", "bf16"], default="bf16")
    parser.add_argument("--forms", default="", help="of eager, compile, graph, compile+graph; joined by commas (default: the last two)")
    parser.add_argument("--steps", type=int, default=10, help="of a block")
    arguments = parser.parse_args()
    on_gpu = arguments.device == "cuda"
    forms = (arguments.forms or ("graph,compile+graph" if on_gpu else "eager")).split(",")
    if on_gpu:
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = arguments.precision == "tf32"
    torch.set_float32_matmul_precision("high" if arguments.precision == "tf32" else "highest")

    seconds, refused, best = {}, {}, None
    for form in forms:
        try:
            seconds[form] = seconds_per_step(arguments, form)
        except Exception as error:  # a form that does not run here (no compiler for Triton, say) leaves the others
            refused[form] = f"{type(error).__name__}: {error}"[:300]
            print(f"{form}: {refused[form]}", file=sys.stderr, flush=True)
        best = min(seconds, key=seconds.get) if seconds else None
        print(json.dumps({"program": f"torch {torch.__version__}", "precision": arguments.precision, "batch": arguments.batch,
                          "cudnn": torch.backends.cudnn.version() if on_gpu else None, "cuda": torch.version.cuda, "best": best,
                          "samples_per_s": arguments.batch / seconds[best] if best else None,
                          "forms": {form: arguments.batch / each for form, each in seconds.items()}, "refused": refused,
                          "peak_memory_mib": torch.cuda.max_memory_allocated() / 2**20 if on_gpu else None}), flush=True)
    return 0 if best else 1


if __name__ == "__main__":
    sys.exit(main())
