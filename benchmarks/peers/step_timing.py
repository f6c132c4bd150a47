"""What the peers' training steps have in common: the arguments, and how a step is timed."""
import argparse
import json
import resource
import statistics
import time

import torch


def parser(about: str, batch: int) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=about)
    made.add_argument("--batch", type=int, default=batch)
    made.add_argument("--threads", type=int, default=2)
    made.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    made.add_argument("--form", choices=["eager", "channels_last", "compile"], default="channels_last")
    return made


def report(arguments, step, warm_up: int) -> None:
    """Prints one JSON line on `arguments.steps` steps, behind some that are not counted."""
    for _ in range(warm_up):
        step()
    seconds = []
    for _ in range(arguments.steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"program": f"torch {torch.__version__} {arguments.form}", "precision": arguments.precision,
                      "step_median_s": statistics.median(seconds), "step_min_s": min(seconds),
                      "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
