#!/usr/bin/env python3
"""How OpenMP's threads wait, by turns: OpenMP's own spin against trainmark's bounded one, in quiet and beside busy processes,
and what it costs to start the program anew for it. Writes one JSON.

    python3 benchmarks/waiting.py --binary build/default/bin/trainmark --output benchmarks/results/DATE_waiting.json [--rounds 5]

One machine's figures: what spinning costs depends on how many CPUs there are and on who else wants them.
"""
import argparse
import contextlib
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from compare import machine

# The first is what OpenMP (GCC's) takes where nothing is said: 3 ms by its own estimate.
SPINS = {"openmp": "300000", "trainmark": "10000"}


@contextlib.contextmanager
def busy(count: int):
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def samples_per_s(arguments, folder: str, spin: str) -> float:
    config = pathlib.Path(__file__).resolve().parent.parent / "configs/cosmoflow/tiny.json"
    done = subprocess.run([arguments.binary, "run", str(config), "--quiet", "--json", "--set", "train.until=steps", "--set",
                           f"train.steps={arguments.steps}", "--set", "stage.strategy=none", "--set", f"results.folder={folder}/results", "--set",
                           f"backend.threads={os.cpu_count()}"], capture_output=True, text=True, check=True,
                          env={**os.environ, "TRAINMARK_DATA": f"{folder}/data", "GOMP_SPINCOUNT": spin})
    return json.loads(done.stdout)["samples_per_s"]


def start_s(binary: str, anew: bool) -> float:
    """Of a command that does next to nothing, many times over."""
    env = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    begun = time.perf_counter()
    for _ in range(20):
        subprocess.run([binary, "schema"], stdout=subprocess.DEVNULL, check=True, env=env if anew else {**env, "GOMP_SPINCOUNT": "10000"})
    return (time.perf_counter() - begun) / 20


def by_turns(measures: dict, rounds: int) -> dict:
    figures = {name: [] for name in measures}
    for number in range(rounds):
        for name, measure in measures.items():
            figures[name].append(measure())
            print(f"round {number + 1} {name}: {figures[name][-1]:.4g}", flush=True)
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="build/default/bin/trainmark")
    parser.add_argument("--output", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"the machine is not quiet (load {load:.1f}): wait, or the figures are of something else", file=sys.stderr)
        return 1
    result = {"date": datetime.date.today().isoformat(), "machine": machine(), "rounds": arguments.rounds,
              "what": "one rank with a thread a CPU trains configs/cosmoflow/tiny.json, samples/s"}
    with tempfile.TemporaryDirectory(prefix="trainmark-waiting-") as folder:
        subprocess.run([arguments.binary, "data", "generate", f"{folder}/data", "--quiet"], check=True)
        measures = {name: lambda spin=spin: samples_per_s(arguments, folder, spin) for name, spin in SPINS.items()}
        for name, count in (("quiet", 0), (f"beside {os.cpu_count()} busy processes", os.cpu_count())):
            with busy(count):
                figures = by_turns(measures, arguments.rounds)
            medians = {each: statistics.median(values) for each, values in figures.items()}
            result[name] = {"samples_per_s": figures, "medians": medians, "ratio": medians["trainmark"] / medians["openmp"]}
    starts = by_turns({"as it is": lambda: start_s(arguments.binary, False), "anew": lambda: start_s(arguments.binary, True)}, arguments.rounds)
    result["starting anew costs_s"] = statistics.median(starts["anew"]) - statistics.median(starts["as it is"])
    pathlib.Path(arguments.output).write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({name: value["ratio"] for name, value in result.items() if isinstance(value, dict) and "ratio" in value}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
