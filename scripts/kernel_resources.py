#!/usr/bin/env python3
"""Registers, shared memory, stack and spills of every CUDA kernel, as the device's assembler reports them.

    scripts/kernel_resources.py            writes tests/reference/kernel_resources.txt
    scripts/kernel_resources.py --check    compares with it instead; for CI

No device is needed, only nvcc. A spill fails always. A kernel that is new, gone or changed fails the check where the
compiler is the one that made the table; another compiler's registers are its own affair, and only its spills count.
Exit status: 0 all well, 1 not, 77 no nvcc found (a skipped test).
"""
import argparse
import concurrent.futures
import difflib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = ROOT / "src/backend/cuda"
TABLE = ROOT / "tests/reference/kernel_resources.txt"
ARCHITECTURES = (80, 90)
SKIPPED = 77

ENTRY = re.compile(r"Compiling entry function '(\S+)' for '(sm_\d+)'")
PROPERTIES = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
REGISTERS = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")
COLUMNS = ("source", "device", "registers", "shared", "stack", "spilled", "kernel")


def find_nvcc(given: str | None) -> str | None:
    for place in (given, os.environ.get("CUDACXX"), shutil.which("nvcc"), "/usr/local/cuda/bin/nvcc"):
        if place and shutil.which(place):
            return place
    return None


def version_of(nvcc: str) -> str:
    output = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"V(\d+\.\d+\.\d+)", output)
    return found.group(1) if found else "unknown"


def report_of(nvcc: str, source: pathlib.Path) -> str:
    """What ptxas says about one file, with the options of the build that bear on device code."""
    with tempfile.TemporaryDirectory() as folder:
        command = [nvcc, "-std=c++20", "-O3", "--expt-relaxed-constexpr", "-Xptxas", "-v", "-fatbin",
                   "-I", str(ROOT / "src"), "-I", str(ROOT / "include"), "-o", f"{folder}/out.fatbin", str(source)]
        for architecture in ARCHITECTURES:
            command += ["-gencode", f"arch=compute_{architecture},code=sm_{architecture}"]
        result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"{source.relative_to(ROOT)} does not compile:\n{result.stdout}{result.stderr}")
    return result.stderr + result.stdout


def kernel_name(demangled: str) -> str:
    """'void trainmark::cuda::(anonymous namespace)::f<float, 2>(float*, int)' -> 'f<float, 2>'."""
    name = re.sub(r"trainmark::(cuda::)?|\(anonymous namespace\)::", "", demangled)
    depth = 0
    for index, character in enumerate(name):
        depth += {"<": 1, ">": -1}.get(character, 0)
        if character == "(" and depth == 0:
            name = name[:index]
            break
    return re.sub(r"^void ", "", name)


def rows_of(source: pathlib.Path, report: str) -> list[dict]:
    rows = []
    for line in report.splitlines():
        if entry := ENTRY.search(line):
            rows.append({"source": source.name, "kernel": entry.group(1), "device": entry.group(2), "registers": 0,
                         "shared": 0, "stack": 0, "spilled": 0})
        elif not rows:
            continue
        elif properties := PROPERTIES.search(line):  # of the kernel, or of a function that it calls
            stack, stores, loads = map(int, properties.groups())
            rows[-1]["stack"] = max(rows[-1]["stack"], stack)
            rows[-1]["spilled"] += stores + loads
        elif registers := REGISTERS.search(line):
            rows[-1]["registers"] = int(registers.group(1))
            if shared := SHARED.search(line):
                rows[-1]["shared"] = int(shared.group(1))
    return rows


def demangle(rows: list[dict]) -> None:
    names = subprocess.run(["c++filt"], input="\n".join(row["kernel"] for row in rows), capture_output=True, text=True,
                           check=True).stdout.splitlines()
    for row, name in zip(rows, names):
        row["kernel"] = kernel_name(name)


def table_of(rows: list[dict], version: str) -> str:
    cells = [COLUMNS] + [tuple(str(row[column]) for column in COLUMNS) for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(COLUMNS))]

    def text(line: tuple) -> str:
        padded = [cell.rjust(width) if cell.isdigit() else cell.ljust(width) for cell, width in zip(line, widths)]
        return "  ".join(padded).rstrip()

    heading = [f"# nvcc {version}. Written by scripts/kernel_resources.py; bytes of static shared memory, stack and spills.",
               "# As compiled; no device is needed for it and none has confirmed it."]
    return "\n".join(heading + [text(line) for line in cells]) + "\n"


def measure(nvcc: str) -> list[dict]:
    sources = sorted(SOURCES.rglob("*.cu"))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        reports = list(pool.map(lambda source: report_of(nvcc, source), sources))
    rows = [row for source, report in zip(sources, reports) for row in rows_of(source, report)]
    demangle(rows)
    return sorted(rows, key=lambda row: (row["source"], row["kernel"], row["device"]))


def differences(table: str, version: str) -> list[str]:
    if not TABLE.exists():
        return [f"{TABLE.relative_to(ROOT)} is missing; run scripts/kernel_resources.py and commit it"]
    committed = TABLE.read_text()
    made_by = re.match(r"# nvcc ([\d.]+)\.", committed)
    if made_by is None or made_by.group(1) != version:
        print(f"The table was made by nvcc {made_by.group(1) if made_by else '?'}, this is {version}: only spills count.")
        return []
    lines = list(difflib.unified_diff(committed.splitlines(), table.splitlines(), "committed", "compiled", lineterm="", n=0))
    return lines + ["If this is meant, run scripts/kernel_resources.py and commit the table."] if lines else []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the committed table instead of writing it")
    parser.add_argument("--nvcc", help="the compiler (default: CUDACXX, the path, /usr/local/cuda)")
    options = parser.parse_args()
    nvcc = find_nvcc(options.nvcc)
    if nvcc is None:
        print("kernel_resources: no nvcc here (set CUDACXX, or load the site's cuda module); nothing compared")
        return SKIPPED
    version = version_of(nvcc)
    rows = measure(nvcc)
    table = table_of(rows, version)
    spilling = [f"{row['source']}: {row['kernel']} spills {row['spilled']} bytes on {row['device']}"
                for row in rows if row["spilled"]]
    problems = spilling + (differences(table, version) if options.check else [])
    if not options.check:
        TABLE.write_text(table)
    for problem in problems:
        print(problem)
    print(f"kernel_resources: {len(rows)} kernels with nvcc {version}, {len(spilling)} with spills")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
