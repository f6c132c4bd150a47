#!/usr/bin/env python3
"""Feeds an emulated H100 from the page cache: 286 samples/s of CosmoFlow's 16.8 MB, a batch of 1, and the wait that this machine shows.

    python3 benchmarks/emulated.py --scratch FOLDER [--rounds 5] [--threads 1,2] [--output benchmarks/results/DATE_emulated.json]

By turns, for each number of reader threads: a device that takes 3.4965 ms a step, and one that takes nothing, whose rate is the most
that this machine's input path brings. Shares and ratios are of one round each; what is told is their median. Read times as this
machine's: readers and the copy into the device's place share its cores.
"""
import argparse
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

RATE = 286.0  # samples/s: an H100's in CosmoFlow, median epoch of published runs, at a batch of 1
NOTHING_MS = 0.001


def config_of(data: pathlib.Path, results: pathlib.Path, name: str, train_ms: float, threads: int, steps: int) -> dict:
    return {"name": name, "data": {"train": str(data / "train"), "validation": str(data / "validation")},
            "load": {"threads": threads, "prefetch": 4}, "train": {"global_batch": 1, "until": "steps", "steps": steps},
            "backend": {"device": "emulated", "emulated": {"train_ms": train_ms, "eval_ms": train_ms}},
            "submission": {"generated_data": True}, "results": {"folder": str(results)}}


def trial(binary: str, scratch: pathlib.Path, config: dict) -> dict:
    results = pathlib.Path(config["results"]["folder"])
    shutil.rmtree(results, ignore_errors=True)
    path = scratch / "config.json"
    path.write_text(json.dumps(config))
    done = subprocess.run([binary, "run", str(path), "--quiet"], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{config['name']} ended with code {done.returncode}: {done.stderr}")
    figures = json.loads(next(results.glob("*/*/run.json")).read_text())["figures"]
    share = {term: figures[f"{term}_s"] / figures["steps_s"] for term in ("exposed_input", "exposed_upload", "compute", "exposed_all_reduce", "host")}
    return {"samples_per_s": figures["samples_per_s"], "wait_share": figures["wait_for_input_s"] / figures["steps_s"], **share,
            "from_storage_mib": figures.get("read_from_storage_mib", -1.0)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "build/default/bin/trainmark"))
    parser.add_argument("--scratch", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--steps", type=int, default=640)
    parser.add_argument("--output")
    arguments = parser.parse_args()
    scratch = pathlib.Path(arguments.scratch).resolve()
    data = scratch / "cosmoflow-128"
    if not data.exists():
        subprocess.run([arguments.binary, "data", "generate", str(data), "--extent", "128", "--train-samples", str(arguments.samples),
                        "--validation-samples", "1", "--samples-per-file", "1", "--quiet"], check=True)
    sample_bytes = 128**3 * 4 * 2
    rows = {}
    for number in range(arguments.rounds):
        fill_cache(data)
        kinds = [(f"{name}, {threads} reader threads", ms, threads) for threads in map(int, arguments.threads.split(","))
                 for name, ms in (("an emulated H100", 1e3 / RATE), ("a device that takes nothing", NOTHING_MS))]
        for name, ms, threads in kinds[number % len(kinds):] + kinds[:number % len(kinds)]:
            rows.setdefault(name, []).append(trial(arguments.binary, scratch, config_of(data, scratch / "results", "emulated", ms, threads, arguments.steps)))
            print(f"round {number + 1}: {name}: {rows[name][-1]['samples_per_s']:.1f} samples/s, waiting {100 * rows[name][-1]['wait_share']:.1f} %", flush=True)
    medians = {name: {figure: statistics.median(each[figure] for each in runs) for figure in runs[0]} for name, runs in rows.items()}
    for figures in medians.values():
        figures["of_286_samples_per_s"] = figures["samples_per_s"] / RATE
        figures["gb_per_s"] = 1e-9 * figures["samples_per_s"] * sample_bytes
    result = {"date": datetime.date.today().isoformat(), "machine": machine(), "rounds": arguments.rounds, "steps": arguments.steps,
              "sample_bytes": sample_bytes, "load_before": os.getloadavg()[0], "medians": medians}
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.output:
        pathlib.Path(arguments.output).write_text(text + "\n")


if __name__ == "__main__":
    main()
