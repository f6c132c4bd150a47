#!/usr/bin/env python3
"""Makes tests/reference/cudnn_plans.txt anew: every cuDNN graph, planned for each device in share/devices as far as the choice of an
engine (a test makes those of one device and precision to the end).

Needs a build with CUDA, but no device. Takes some minutes.
Review what changes: a plan lost, a slower engine or a larger workspace is a finding.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLE = ROOT / "tests/reference/cudnn_plans.txt"
PRECISIONS = ["f32", "tf32", "bf16", "f16"]
HEAD = """# cuDNN's plan for every graph of every workload, on devices described in share/devices, none of which was there.
# A plan says that an engine takes the graph; it says nothing of speed, and nothing was executed or compiled.
# Columns, separated by tabs: device, graph, engine, bytes of workspace. scripts/cudnn_plans.py makes this file.
"""


def rows_of(build: pathlib.Path, device: str, precision: str) -> list:
    environment = dict(os.environ)
    double = str(build / "tests/cuda_plans/driver_double")
    environment["LD_LIBRARY_PATH"] = ":".join(filter(None, [double, environment.get("LD_LIBRARY_PATH")]))
    done = subprocess.run([build / "bin/cuda_plan_table", device, precision], env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{device} {precision}: {done.stderr.strip()}")
    return done.stdout.splitlines()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build", help="build folder (default: build)")
    parser.add_argument("--jobs", type=int, default=2, help="plans made at a time (default: 2)")
    options = parser.parse_args()
    subprocess.run(["cmake", "--build", options.build, "--target", "cuda_plan_table"], check=True)

    described = (path for path in (ROOT / "share/devices").glob("*.json") if "deviceName" in json.loads(path.read_text()))
    devices = sorted(path.stem for path in described)
    wanted = [(device, precision) for device in devices for precision in PRECISIONS]
    try:
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            parts = list(pool.map(lambda pair: rows_of(options.build.resolve(), *pair), wanted))
    except RuntimeError as failure:
        print(f"cudnn_plans: {failure}", file=sys.stderr)
        return 1
    libraries = {part[0] for part in parts}
    rows = sorted({row for part in parts for row in part[1:]})
    TABLE.write_text(HEAD + "\n".join(sorted(libraries)) + "\n" + "\n".join(rows) + "\n", encoding="utf-8")
    print(f"{TABLE.relative_to(ROOT)}: {len(rows)} plans")
    return 0


if __name__ == "__main__":
    sys.exit(main())
