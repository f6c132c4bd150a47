#!/usr/bin/env python3
"""What this device allows, measured through PyTorch: copy bandwidth and the matrix rate of each precision; one JSON line."""
import argparse
import json
import statistics
import time

import torch

REPEATS = 10


def seconds_of(work, device: str) -> float:
    """Median over blocks of several calls each, so that starting them costs nothing."""
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    work()
    wait()
    blocks = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(REPEATS):
            work()
        wait()
        blocks.append((time.perf_counter() - start) / REPEATS)
    return statistics.median(blocks)


def copy_rate(device: str) -> float:
    count = (1 << 28) if device == "cuda" else (1 << 22)
    source = torch.ones(count, device=device)
    target = torch.empty_like(source)
    return 2 * 4 * count / seconds_of(lambda: target.copy_(source), device) / 1e9


def matrix_rate(device: str, precision: str) -> float:
    extent = 8192 if device == "cuda" else 512
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    dtype = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    a, b = (torch.randn(extent, extent, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    return 2 * extent**3 / seconds_of(lambda: torch.matmul(a, b, out=out), device) / 1e12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    device = parser.parse_args().device
    precisions = ["bf16", "fp16", "tf32", "fp32"] if device == "cuda" else ["bf16", "fp32"]
    print(json.dumps({"program": f"torch {torch.__version__}",
                      "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
                      "copy_gb_per_s": round(copy_rate(device), 1),
                      "matrix_tflops": {each: round(matrix_rate(device, each), 3) for each in precisions}}))


if __name__ == "__main__":
    main()
