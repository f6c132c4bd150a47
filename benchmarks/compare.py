#!/usr/bin/env python3
"""Runs programs of ours and of a peer by turns and compares the medians; writes one JSON under benchmarks/results/.

    python3 benchmarks/compare.py step --torch-python VENV/bin/python [--model cosmoflow] [--precision fp32] [--rounds 5]
    python3 benchmarks/compare.py load --torch-python VENV/bin/python --data FOLDER/train [--threads 2] [--model deepcam]
    python3 benchmarks/compare.py images --torch-python VENV/bin/python --data FOLDER/train [--threads 2]
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# What is measured, samples of a batch, extent along an axis.
STEPS = {"cosmoflow": ("CosmoFlow {extent}^3", 2, 64), "deepcam": ("DeepCAM {rows}x{columns}", 1, None),
         "resnet50": ("ResNet-50 {extent}x{extent}", 8, 224)}


def machine() -> dict:
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release()}


def one_run(command: list) -> dict:
    done = subprocess.run(command, capture_output=True, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2")})
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        sys.exit(f"{command[0]} ended with code {done.returncode}: {said[-1] if said else 'it said nothing'}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def alternate(commands: dict, rounds: int, figure: str) -> dict:
    runs = {name: [] for name in commands}
    for number in range(rounds):
        for name, command in commands.items():
            run = one_run(command)
            runs[name].append(run)
            print(f"round {number + 1} {name}: {figure} {run[figure]:.4g}", flush=True)
    return runs


def median(runs: list, figure: str) -> float:
    return statistics.median(run[figure] for run in runs)


def compare_step(arguments) -> dict:
    what, default_batch, default_extent = STEPS[arguments.model]
    batch, extent = arguments.batch or default_batch, arguments.extent or default_extent
    maps = ["--rows", str(arguments.rows), "--columns", str(arguments.columns)]
    size = maps if arguments.model == "deepcam" else ["--extent", str(extent)]
    common = [*size, "--batch", str(batch), "--threads", str(arguments.threads), "--precision", arguments.precision]
    peer = [arguments.torch_python, str(ROOT / f"benchmarks/peers/{arguments.model}_torch.py")]
    commands = {"trainmark": [str(pathlib.Path(arguments.build) / "bin/bench_step"), "--model", arguments.model, *common]}
    commands.update({f"torch {form}": [*peer, *common, "--form", form] for form in arguments.forms.split(",")})
    runs = alternate(commands, arguments.rounds, "step_median_s")
    best = min((name for name in runs if name != "trainmark"), key=lambda name: median(runs[name], "step_median_s"))
    ours = median(runs["trainmark"], "step_median_s")
    what = what.format(extent=extent, rows=arguments.rows, columns=arguments.columns)
    return {"what": f"{what} batch {batch} training step, {arguments.threads} threads, {arguments.precision}",
            "best_peer": best,
            "step_ratio": ours / median(runs[best], "step_median_s"),
            "memory_ratio": median(runs["trainmark"], "peak_memory_mib") / median(runs[best], "peak_memory_mib"),
            "step_median_s": {name: median(each, "step_median_s") for name, each in runs.items()},
            "peak_memory_mib": {name: median(each, "peak_memory_mib") for name, each in runs.items()},
            "layers": runs["trainmark"][-1].get("layers"), "ceilings": runs["trainmark"][-1].get("ceilings")}


def compare_load(arguments) -> dict:
    maps = arguments.model == "deepcam"
    size = ["--rows", str(arguments.rows), "--columns", str(arguments.columns)]
    commands = {"trainmark": [str(pathlib.Path(arguments.build) / "bin/bench_load"), arguments.data, "--threads",
                              str(arguments.threads), "--extent", str(arguments.extent or 0), *(size if maps else [])],
                "h5py + DataLoader": [arguments.torch_python, str(ROOT / "benchmarks/peers/load_torch.py"), arguments.data,
                                      "--workers", str(arguments.threads), *(["--maps"] if maps else [])]}
    runs = alternate(commands, arguments.rounds, "samples_per_s")
    rates = {name: median(each, "samples_per_s") for name, each in runs.items()}
    return {"what": f"reading {pathlib.Path(arguments.data).name} ({arguments.about}), {arguments.threads} threads or workers", "samples_per_s": rates,
            "rate_ratio": rates["trainmark"] / rates["h5py + DataLoader"]}


def compare_images(arguments) -> dict:
    common = [arguments.data, "--threads", str(arguments.threads), "--images", str(arguments.extent or 224), "--batch", "16"]
    commands = {"trainmark": [str(pathlib.Path(arguments.build) / "bin/bench_load"), *common]}
    for form in ("pil", "turbo"):
        commands[f"torchvision {form}"] = [arguments.torch_python, str(ROOT / "benchmarks/peers/images_torch.py"), *common, "--form", form]
    runs = alternate(commands, arguments.rounds, "samples_per_s")
    rates = {name: median(each, "samples_per_s") for name, each in runs.items()}
    best = max((name for name in rates if name != "trainmark"), key=rates.get)
    return {"what": f"random crops of JPEGs ({arguments.about}), {arguments.threads} threads or workers", "samples_per_s": rates,
            "best_peer": best, "rate_ratio": rates["trainmark"] / rates[best]}


COMPARISONS = {"step": compare_step, "load": compare_load, "images": compare_images}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=list(COMPARISONS))
    parser.add_argument("--torch-python", default="python3", help="a Python that has torch (and h5py)")
    parser.add_argument("--build", default=str(ROOT / "build/bench"))
    parser.add_argument("--extent", type=int, help="along an axis; default: of step CosmoFlow's 64 or ResNet-50's 224, of load as the files have it")
    parser.add_argument("--model", choices=list(STEPS), default="cosmoflow")
    parser.add_argument("--rows", type=int, default=192, help="of DeepCAM's maps")
    parser.add_argument("--columns", type=int, default=288)
    parser.add_argument("--batch", type=int, help="default: of CosmoFlow 2, of DeepCAM 1, of ResNet-50 8")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--forms", default="eager,channels_last,compile")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--notes", help="what else is to be known of the measurement, for the record")
    parser.add_argument("--data")
    parser.add_argument("--about", default="not described", help="what the files of --data are, for the record")
    parser.add_argument("--output", help="file name under benchmarks/results; default from what and date")
    arguments = parser.parse_args()
    result = {"date": datetime.date.today().isoformat(), "machine": machine(), "rounds": arguments.rounds}
    if arguments.notes:
        result["notes"] = arguments.notes
    result.update(COMPARISONS[arguments.what](arguments))
    prefix = "" if arguments.model == "cosmoflow" else f"{arguments.model}_"
    name = arguments.output or f"{result['date']}_{prefix}{arguments.what}_{arguments.precision}.json"
    path = ROOT / "benchmarks/results" / name
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({key: value for key, value in result.items() if key not in ("layers",)}, indent=2))
    print(f"written: {path}")


if __name__ == "__main__":
    main()
