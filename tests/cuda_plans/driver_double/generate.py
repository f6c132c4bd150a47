#!/usr/bin/env python3
"""Writes one C++ definition a function of the CUDA driver's header, each returning 0, but for those given by hand.

Usage: generate.py cuda.h HANDWRITTEN.cpp OUTPUT.cpp
"""
import pathlib
import re
import sys


def exported(header: str) -> set:
    """Names as the library has them: those declared, those that macros make of them, and for streams of a thread."""
    text = header.replace("\\\n", " ")
    names = set(re.findall(r"CUDAAPI\s+(cu[A-Z]\w*)\s*\(", text))
    names |= set(re.findall(r"#\s*define\s+cu[A-Z]\w*\s+(cu[A-Z]\w*)", text))
    for macro, suffix in (("PTSZ", "_ptsz"), ("PTDS", "_ptds")):
        for name in re.findall(rf"__CUDA_API_{macro}\((cu[A-Z]\w*)\)", text):
            names |= {name, name + suffix}
    return names


def main() -> int:
    header, handwritten, output = map(pathlib.Path, sys.argv[1:])
    names = exported(header.read_text(encoding="utf-8"))
    if "cuInit" not in names:
        print(f"{header}: declares no cuInit: is this the toolkit's header?", file=sys.stderr)
        return 1
    given = set(re.findall(r"^int (cu\w+)\(", handwritten.read_text(encoding="utf-8"), re.MULTILINE))
    lines = [f'extern "C" int {name}() {{ return 0; }}' for name in sorted(names - given)]
    output.write_text(f"// Generated from {header.name}.\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
