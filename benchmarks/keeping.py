#!/usr/bin/env python3
"""Epochs that take their samples from a rank's memory (load.memory_mib) against epochs that read and inflate them again.

    python3 benchmarks/keeping.py --scratch FOLDER [--rounds 5] [--threads 1,2] [--output benchmarks/results/DATE_keeping.json]

By turns, with and without, on a device that takes nothing (docs/emulated.md): samples/s of the second epoch and later ones are what the
input path brings. Files are in the page cache, so what is saved is inflating and system calls; storage would come on top. Ratios are
of one round each; what is told is their median.
"""
import argparse
import csv
import datetime
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

from compare import ROOT, machine
from staging import fill_cache

NOTHING_MS = 0.001
EXTENT = 64
BATCH = 4


def rate_of_later_epochs(binary: str, scratch: pathlib.Path, data: pathlib.Path, threads: int, memory_mib: int, arguments) -> float:
    results = scratch / "results"
    shutil.rmtree(results, ignore_errors=True)
    config = {"name": "keeping", "data": {"train": str(data / "train"), "validation": str(data / "validation")},
              "model": {"extent": EXTENT}, "load": {"threads": threads, "memory_mib": memory_mib},
              "train": {"global_batch": BATCH, "until": "epochs", "epochs": arguments.epochs},
              "backend": {"device": "emulated", "emulated": {"train_ms": NOTHING_MS, "eval_ms": NOTHING_MS}},
              "submission": {"generated_data": True}, "results": {"folder": str(results)}}
    path = scratch / "config.json"
    path.write_text(json.dumps(config))
    done = subprocess.run([binary, "run", str(path), "--quiet"], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"the run ended with code {done.returncode}: {done.stderr}")
    with open(next(results.glob("*/*/epochs.csv")), newline="") as file:
        epochs = list(csv.DictReader(file))
    later = epochs[1:]
    kept = sum(float(epoch["from_memory_mib"]) for epoch in later) / sum(float(epoch["asked_mib"]) for epoch in later)
    if abs(kept - (memory_mib > 0)) > 0.01:
        sys.exit(f"{100 * kept:.1f} % of later epochs came from memory with {memory_mib} MiB: this is another comparison")
    return arguments.samples * len(later) / sum(float(epoch["train_s"]) for epoch in later)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "build/default/bin/trainmark"))
    parser.add_argument("--scratch", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--output")
    arguments = parser.parse_args()
    scratch = pathlib.Path(arguments.scratch).resolve()
    sets = {}
    for name, gzip in (("gzip", 4), ("contiguous", 0)):
        sets[name] = scratch / f"cosmoflow-{EXTENT}-{name}"
        if not sets[name].exists():
            subprocess.run([arguments.binary, "data", "generate", str(sets[name]), "--extent", str(EXTENT), "--train-samples",
                            str(arguments.samples), "--validation-samples", str(BATCH), "--samples-per-file", "8", "--gzip", str(gzip),
                            "--quiet"], check=True)
    memory_mib = 2 * arguments.samples * EXTENT**3 * 4 * 2 // 2**20  # room for all
    rounds = []
    for number in range(arguments.rounds):
        found = {}
        for name, data in sets.items():
            fill_cache(data)
            for threads in map(int, arguments.threads.split(",")):
                both = [(memory, rate_of_later_epochs(arguments.binary, scratch, data, threads, memory, arguments))
                        for memory in ((0, memory_mib) if number % 2 == 0 else (memory_mib, 0))]
                read, kept = dict(both)[0], dict(both)[memory_mib]
                found[f"{name}, {threads} reader threads"] = {"read_samples_per_s": read, "kept_samples_per_s": kept, "ratio": kept / read}
        print(f"round {number + 1}: " + "; ".join(f"{case}: {figures['ratio']:.2f} x" for case, figures in found.items()), flush=True)
        rounds.append(found)
    medians = {case: {figure: statistics.median(each[case][figure] for each in rounds) for figure in rounds[0][case]} for case in rounds[0]}
    result = {"date": datetime.date.today().isoformat(), "machine": machine(), "rounds": arguments.rounds, "sample_bytes": EXTENT**3 * 4 * 2 + 16,
              "epochs_compared": arguments.epochs - 1, "load_before": os.getloadavg()[0], "medians": medians}
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.output:
        pathlib.Path(arguments.output).write_text(text + "\n")


if __name__ == "__main__":
    main()
