#!/usr/bin/env python3
"""Writes one C++ definition a symbol of the CUDA driver library, each returning 0, but for those given by hand.

Usage: generate.py NM LIBRARY HANDWRITTEN.cpp OUTPUT.cpp
"""
import pathlib
import re
import subprocess
import sys


def main() -> int:
    nm, library, handwritten, output = sys.argv[1:]
    listing = subprocess.run([nm, "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout
    exported = sorted({line.split()[-1].split("@")[0] for line in listing.splitlines()})
    drivers = [name for name in exported if re.fullmatch(r"cu[A-Z]\w*", name)]
    if not drivers:
        print(f"{library}: exports no cu* symbols: is this the toolkit's stub library?", file=sys.stderr)
        return 1
    given = set(re.findall(r"^int (cu\w+)\(", pathlib.Path(handwritten).read_text(encoding="utf-8"), re.MULTILINE))
    lines = [f'extern "C" int {name}() {{ return 0; }}' for name in drivers if name not in given]
    pathlib.Path(output).write_text("// Generated from " + pathlib.Path(library).name + ".\n" + "\n".join(lines) + "\n",
                                    encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
