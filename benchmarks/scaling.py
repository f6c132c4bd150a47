#!/usr/bin/env python3
"""Does what `trainmark report --what-if` says of four ranks come true? Trains a small CosmoFlow on 1, 2 and 4 ranks of one thread with
the same local batch, by turns, has the step on 4 predicted from the runs on 1 and 2, and sets it beside the measured one. Writes one JSON.

    python3 benchmarks/scaling.py --binary build/default/bin/trainmark --output benchmarks/results/DATE_scaling.json [--rounds 5]

Steps are those that the report takes: the median epoch's samples/s. Where the machine has fewer cores than ranks the run is labelled
`oversubscribed`: then the report promises no step, but the least that it takes, and that is what is held against the measured one.
"""
import argparse
import datetime
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from compare import machine

RANKS = (1, 2, 4)
MPIRUN = ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]


def call(command: list, **environment) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env={**os.environ, **environment})
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} ended with code {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def train(arguments, folder: pathlib.Path, ranks: int, number: int):
    config = pathlib.Path(__file__).resolve().parent.parent / "configs/cosmoflow/tiny.json"
    sets = {"train.until": "epochs", "train.epochs": arguments.epochs, "train.global_batch": arguments.local_batch * ranks,
            "model.width": arguments.width, "stage.strategy": "none", "backend.threads": 1, "results.folder": folder / f"ranks{ranks}",
            "seed": 100 + number}
    call([*MPIRUN, "-n", ranks, arguments.binary, "run", config, "--quiet", *(part for name, value in sets.items()
                                                                             for part in ("--set", f"{name}={value}"))],
         TRAINMARK_DATA=str(folder / "data"), OMP_NUM_THREADS="1")


def predicted(binary: str, folders: list) -> dict:
    """The step on the most ranks by the runs in `folders`: now, then, low, high in ms, and its basis."""
    document = json.loads(call([binary, "report", *folders, "--what-if", f"ranks={RANKS[-1]}", "--json"]))
    return next(row for table in document["tables"] for row in table["rows"] if row.get("figure") == "step")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="build/default/bin/trainmark")
    parser.add_argument("--output", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--local-batch", type=int, default=4)
    parser.add_argument("--width", type=float, default=0.25)
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="trainmark-scaling-") as name:
        folder = pathlib.Path(name)
        call([arguments.binary, "data", "generate", folder / "data", "--quiet"])
        for number in range(arguments.rounds):
            for ranks in RANKS if number % 2 == 0 else reversed(RANKS):
                train(arguments, folder, ranks, number)
                print(f"round {number + 1}: {ranks} rank{'s' if ranks > 1 else ''} done", flush=True)
        said = predicted(arguments.binary, [folder / f"ranks{ranks}" for ranks in RANKS[:-1]])
        measured = {ranks: predicted(arguments.binary, [folder / f"ranks{ranks}"])["now"] for ranks in RANKS}
    truth, least, step = measured[RANKS[-1]], said["low"], said["then"]
    result = {"date": datetime.date.today().isoformat(), "machine": machine(), "usable_cores": cores,
              "label": "scaling" if cores >= RANKS[-1] else "oversubscribed",
              "what": f"configs/cosmoflow/tiny.json, width {arguments.width}, {arguments.local_batch} samples a rank, a thread a rank",
              "rounds": arguments.rounds, "measured_step_ms": measured,
              "predicted_step_ms": {name: said[key] for name, key in (("step", "then"), ("low", "low"), ("high", "high"), ("basis", "basis"))},
              "error_share": step and step / truth - 1, "in_band": least <= truth <= (said["high"] or truth),
              "step_over_one_ranks": {ranks: step / measured[RANKS[0]] for ranks, step in measured.items()}}
    told = f"at least {least:.2f} ms" if step is None else f"{step:.2f} ms ({least:.2f} to {said['high']:.2f}), off by {100 * (step / truth - 1):+.1f} %"
    print(f"step on {RANKS[-1]} ranks: predicted {told}, measured {truth:.2f} ms, {'in' if result['in_band'] else 'outside'} the band; "
          f"basis: {said['basis']}")
    if cores < RANKS[-1]:
        print("oversubscribed: this is no scaling result")
    pathlib.Path(arguments.output).write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
