#!/usr/bin/env python3
"""Lets shared objects of a bundle start on a glibc older than the one they were linked against (see gpu_bundle.sh).

In the ELF files, in place, references to functions of later glibc versions lose their version, and the requirement of that
version becomes one of an earlier: the loader then takes the functions from wherever they are. Anything but those known below
is refused, by name.

    scripts/older_glibc.py GLIBC_VERSION FILE...
"""
import re
import struct
import subprocess
import sys

# scripts/older_glibc.c has them for machines whose glibc has not.
PROVIDED = {"arc4random", "arc4random_buf"}
NEEDS, VERSIONS = 0x6FFFFFFE, 0x6FFFFFFF  # SHT_GNU_verneed, SHT_GNU_versym
ANY_VERSION = 1  # VER_NDX_GLOBAL


def number(version: str) -> tuple:
    return tuple(int(part) for part in version.split("."))


def too_new(path: str, oldest: str) -> dict:
    """Version -> functions."""
    lines = subprocess.run(["objdump", "-T", path], capture_output=True, text=True, check=True).stdout
    found = {}
    for version, name in re.findall(r"\(?GLIBC_([0-9.]+)\)?\s+(\S+)$", lines, re.MULTILINE):
        if number(version) > number(oldest):
            found.setdefault(version, set()).add(name)
    return found


def sections_of(data: bytes) -> list:
    begin, = struct.unpack_from("<Q", data, 0x28)
    size, count = struct.unpack_from("<HH", data, 0x3A)
    return [struct.unpack_from("<IIQQQQIIQQ", data, begin + each * size) for each in range(count)]


def requirements(data: bytes, section: tuple, strings: int) -> list:
    """(offset of the entry, name of the version, its index in the table of symbols' versions)"""
    found, need = [], section[4]
    while True:
        _, entries, _, first, following = struct.unpack_from("<HHIII", data, need)
        entry = need + first
        for _ in range(entries):
            _, _, index, name, step = struct.unpack_from("<IHHII", data, entry)
            text = bytes(data[strings + name:data.index(b"\0", strings + name)]).decode()
            found.append((entry, text, index))
            entry += step
        if following == 0:
            return found
        need += following


def loosen(path: str, oldest: str) -> None:
    data = bytearray(open(path, "rb").read())
    sections = sections_of(data)
    section = next(each for each in sections if each[1] == NEEDS)
    entries = requirements(data, section, sections[section[6]][4])
    later = [each for each in entries if each[1].startswith("GLIBC_2") and number(each[1][6:]) > number(oldest)]
    earlier = next(offset for offset, name, _ in entries if name == "GLIBC_2.2.5")
    for offset, _, index in later:
        data[offset:offset + 4] = data[earlier:earlier + 4]  # the hash of the name
        data[offset + 8:offset + 12] = data[earlier + 8:earlier + 12]  # the name
        table = next(each for each in sections if each[1] == VERSIONS)
        for place in range(table[4], table[4] + table[5], 2):
            if struct.unpack_from("<H", data, place)[0] == index:
                struct.pack_into("<H", data, place, ANY_VERSION)
    open(path, "r+b").write(data)


def main() -> int:
    oldest, paths = sys.argv[1], sys.argv[2:]
    for path in paths:
        new = too_new(path, oldest)
        unknown = sorted(set().union(*new.values()) - PROVIDED) if new else []
        if unknown:
            print(f"older_glibc: {path} needs {', '.join(unknown)} of a glibc later than {oldest}", file=sys.stderr)
            return 1
        if new:
            loosen(path, oldest)
    return 0


if __name__ == "__main__":
    sys.exit(main())
