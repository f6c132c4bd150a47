#!/usr/bin/env python3
"""Copies a dataset to another folder by `trainmark stage` and by the tools people use, by turns, and compares the medians.

    python3 benchmarks/staging.py --scratch FOLDER [--rounds 5] [--workers 2] [--output benchmarks/results/DATE_staging.json]

The clock stops when the target's file system is synced, for everybody. Cold rows have the source's pages dropped before each trial
(fadvise, which needs no rights); what storage then gave to all processes of a trial is in the result, so that a row that was not
cold can be seen. The target is a new folder each time. "packed" leaves containers instead of files, which only trainmark reads: it
is compared with the others for small files, and is no copy in their sense. What verifies is compared with what verifies: our hash of what is read
against a copy whose both sides are hashed by as many workers.
"""
import argparse
import datetime
import json
import mmap
import os
import pathlib
import random
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from compare import ROOT, machine

# What is generated: workload, training samples, samples a file, more options; files of 34 MB (4.3 GB, or a launch would be most of
# the time), 2 MB and about 5 kB.
SHAPES = {"large": ("cosmoflow", 256, 2, ["--extent", "128"]), "middle": ("cosmoflow", 300, 1, ["--extent", "64"]),
          "small": ("resnet50", 10_000, 1, [])}
MODELS = {"large": {"extent": 128}, "middle": {"extent": 64}, "small": {}}


def sectors_read(folder: pathlib.Path) -> int:
    """Of the device that holds the folder, by everybody; 0 where it has no counter."""
    device = os.stat(folder).st_dev
    try:
        words = pathlib.Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat").read_text().split()
    except OSError:
        return 0
    return int(words[2])


def drop_cache(folder: pathlib.Path):
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def fill_cache(folder: pathlib.Path):
    for path in folder.rglob("*"):
        if path.is_file():
            path.read_bytes()


def touch_memory(size: int):
    """A virtual machine's host may take back memory that is free for a second or two, and hand it out again page by page, at a
    fifth of the speed: so that this falls into nobody's trial, as much as it needs is taken and freed just before."""
    mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE).close()


def config_of(shape: str, source: pathlib.Path, target: pathlib.Path, verify: bool, form: str) -> dict:
    return {"name": "staging", "workload": SHAPES[shape][0], "model": MODELS[shape], "data": {"train": str(source / "train"), "validation": str(source / "validation")},
            "stage": {"strategy": "replicate", "target": str(target), "verify": verify, "form": form, "reserve_percent": 0},
            "train": {"global_batch": 1, "until": "epochs", "epochs": 1}, "submission": {"generated_data": True}}


def commands_of(arguments, shape: str, source: pathlib.Path, target: pathlib.Path) -> dict:
    """Shell lines by name; each leaves a copy of the source in the target."""
    a, b, workers = shlex.quote(str(source)), shlex.quote(str(target)), arguments.workers
    launch = f"mpirun --allow-run-as-root --oversubscribe --bind-to none -n {workers}"
    hashed = (f"{{ cd {a} && find . -name '*.hdf5' -print0 | xargs -0 -P {workers} -n 16 xxhsum -H2 > /dev/null; }} && "
              f"{{ cd {b} && find . -name '*.hdf5' -print0 | xargs -0 -P {workers} -n 16 xxhsum -H2 > /dev/null; }}")
    commands = {}
    ours = [("trainmark", False, "files"), ("trainmark, verified", True, "files")]
    if shape == "small":
        ours += [("trainmark, packed", False, "packed"), ("trainmark, packed, verified", True, "packed")]
    for number, (name, verify, form) in enumerate(ours):
        config = target.with_suffix(f".{number}.json")
        config.write_text(json.dumps(config_of(shape, source, target, verify, form)))
        commands[name] = f"{launch} {shlex.quote(arguments.binary)} stage {shlex.quote(str(config))} --quiet > /dev/null"
    commands["cp"] = f"cp -r --reflink=never {a}/. {b}"
    commands["tar"] = f"mkdir -p {b} && tar cf - -C {a} . | tar xf - -C {b}"
    commands["parallel cp"] = (f"cd {a} && find . -type d -print0 | xargs -0 -I{{}} mkdir -p {b}/{{}} && "
                               f"find . -type f -print0 | xargs -0 -P {workers} -n 8 cp --parents --reflink=never -t {b}")
    if shutil.which("rsync"):
        commands["rsync"] = f"rsync -aW {a}/ {b}"
    if shutil.which("fpsync"):
        commands["fpsync"] = f"fpsync -n {workers} {a}/ {b}/ > /dev/null"
    if shutil.which("xxhsum"):
        commands["parallel cp, both sides hashed"] = f"{commands['parallel cp']} && {hashed}"
    return commands


def content_bytes(folder: pathlib.Path) -> int:
    """Of all samples' files below a folder, in whatever form they were copied there."""
    size = sum(path.stat().st_size for path in folder.rglob("*.hdf5"))
    for index in folder.rglob("trainmark.container.*.index"):
        size += sum(int(line.split("\t")[3]) for line in index.read_text().splitlines()[2:])
    return size


def trial(command: str, source: pathlib.Path, target: pathlib.Path, cold: bool) -> dict:
    (drop_cache if cold else fill_cache)(source)
    os.sync()
    touch_memory(2 * sum(path.stat().st_size for path in source.rglob("*.hdf5")))
    before, used = sectors_read(source), resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.monotonic()
    done = subprocess.run(["bash", "-c", f"{command} && sync -f {shlex.quote(str(target))}"], capture_output=True, text=True)
    seconds = time.monotonic() - begin
    if done.returncode != 0:
        sys.exit(f"{command}\nended with code {done.returncode}: {done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    copied, expected = content_bytes(target), content_bytes(source)
    if copied != expected:
        sys.exit(f"{command}\nleft {copied} of {expected} bytes")
    return {"seconds": seconds, "device_read_mib": (sectors_read(source) - before) / 2048,
            "cpu_s": after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime}


def compare(arguments, shape: str, targets: pathlib.Path, cold: bool) -> dict:
    workload, samples, a_file, options = SHAPES[shape]
    scratch = pathlib.Path(arguments.scratch).resolve()
    source, target = scratch / shape, targets / "copy"
    if not source.exists():
        subprocess.run([arguments.binary, "data", "generate", str(source), "--workload", workload, "--train-samples", str(samples),
                        "--validation-samples", str(a_file), "--samples-per-file", str(a_file), *options, "--quiet"], check=True)
    size = sum(path.stat().st_size for path in source.rglob("*.hdf5"))
    commands = commands_of(arguments, shape, source, target)
    runs = {name: [] for name in commands}
    # ext4 passes over inodes that were freed in the last minutes, one by one: what deletes thousands of files slows down the next.
    kept = targets / "kept" if sum(1 for _ in source.rglob("*.hdf5")) > 1000 else None
    turns = random.Random(1)
    for number in range(arguments.rounds):
        for name in turns.sample(list(commands), len(commands)):
            runs[name].append(trial(commands[name], source, target, cold))
            if kept:
                kept.mkdir(exist_ok=True)
                target.rename(kept / f"{shape} {cold} {number} {name}")
            else:
                shutil.rmtree(target)
        print(f"{shape}, {'cold' if cold else 'warm'}, round {number + 1}: " +
              ", ".join(f"{name} {each[-1]['seconds']:.2f} s" for name, each in runs.items()), flush=True)
    medians = {name: {figure: statistics.median(run[figure] for run in each) for figure in each[0]} for name, each in runs.items()}
    plain = [name for name in runs if "trainmark" not in name and "hashed" not in name]
    best = min(plain, key=lambda name: medians[name]["seconds"])
    result = {"shape": shape, "cold": cold, "bytes": size, "files": sum(1 for _ in source.rglob("*.hdf5")), "best_peer": best,
              "speed_over_best": medians[best]["seconds"] / medians["trainmark"]["seconds"],
              "speed_verified_over_best_unverified": medians[best]["seconds"] / medians["trainmark, verified"]["seconds"],
              "medians": medians}
    hashed = "parallel cp, both sides hashed"
    for name, figure, over in (("trainmark, packed", "speed_packed_over_best", best),
                               ("trainmark, packed, verified", "speed_packed_verified_over_hashed", hashed)):
        if name in medians and over in medians:
            result[figure] = medians[over]["seconds"] / medians[name]["seconds"]
    if hashed in medians:
        result["speed_verified_over_hashed"] = medians[hashed]["seconds"] / medians["trainmark, verified"]["seconds"]
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "build/default/bin/trainmark"))
    parser.add_argument("--scratch", required=True, help="folder on the disk that is measured; holds sources and targets")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--output")
    arguments = parser.parse_args()
    pathlib.Path(arguments.scratch).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="targets-", dir=arguments.scratch) as targets:
        rows = [compare(arguments, shape, pathlib.Path(targets).resolve(), cold)
                for shape in arguments.shapes.split(",") for cold in (True, False)]
    result = {"date": datetime.date.today().isoformat(), "machine": machine(), "rounds": arguments.rounds,
              "workers": arguments.workers, "load_before": os.getloadavg()[0], "rows": rows}
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.output:
        pathlib.Path(arguments.output).write_text(text + "\n")


if __name__ == "__main__":
    main()
