#!/usr/bin/env python3
"""Checks that every include respects the architecture: module to module, and third-party headers to their rooms; and
that the two backend folders hold the same files, in rooms that lean on each other one way.

The lists below are docs/architecture.md's. Exit status 1 and one line a breach, with file and line.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# What a module may include directly; the closure is taken below.
USES = {
    "core": [],
    "process": ["core"],
    "comm": ["core", "process"],
    "nn": ["core", "optim"],
    "optim": ["core"],
    "mllog": ["core"],
    "stage": ["comm"],
    "load": ["stage"],
    "synth": ["load"],
    "backend": ["comm", "nn", "optim"],
    "exec": ["backend"],
    "models": ["nn", "optim"],
    "run": ["load", "exec", "models", "mllog"],
    "report": ["mllog"],
    "config": ["run"],
    "cli": ["config", "report", "synth"],
}

# Third-party headers and the folders under src/ that may see them.
ROOMS = {
    r"mpi\.h": ["comm", "backend"],
    r"hdf5.*|H5.*": ["load", "synth"],
    r"cudnn.*": ["backend/cuda/cudnn"],
    r"cuda.*|nccl.*|nvToolsExt.*|nvtx.*": ["backend/cuda"],
    r"(oneapi/)?dnnl.*": ["backend/cpu"],
    r"hwy/.*": ["backend/cpu", "synth"],
    r"omp\.h": ["backend/cpu"],
    r"nlohmann/.*": ["config", "load", "mllog", "run", "report", "cli"],
    r"CLI/.*": ["cli"],
    r"xxhash\.h": ["stage", "exec", "run", "cli", "load", "synth"],
    r"libdeflate\.h": ["load"],
    r"jpeglib\.h": ["load", "synth"],
    r"kiss.*": ["synth"],
    r"hwloc\.h": ["run", "backend", "cli"],
    r"spdlog/.*": ["run/record"],
    r"boost/.*": ["report/analyse", "run/ablate"],
}
# Private headers that another module may use: raw handles, library types and tables of the rules that do not belong in
# the public ones; and one that few files read, of which all would be compiled anew.
SHARED = {"comm/native.hpp", "core/reading.hpp", "load/dataset_target.hpp", "load/hdf5_writer.hpp", "load/image_shard.hpp",
          "mllog/each_key_once.hpp", "mllog/utf8.hpp", "report/analyse/references.hpp", "run/launch/warm_up.hpp"}
# src/backend/cpu and src/backend/cuda hold the same files, and so do their ops/, one for each family of operations.
# What only one of them has, and why it has no twin:
NO_TWIN = {
    "cpu/parallel": "loops over threads; a kernel is one",
    "cpu/team": "the threads of those loops",
    "cpu/simd-inl": "vectors of the instruction set; kernels have element.cuh",
    "cpu/primitive": "wraps oneDNN's primitives; cuda/cudnn wraps cuDNN's graphs",
    "cpu/reorder": "weights into the blocks of oneDNN's kernels and back; a device has ops/weights",
    "cpu/ops/first_block": "a fused first layer for vector units; a device's pooled blocks are conv and winners",
    "cuda/ops/winners": "the pool of those blocks",
    "cuda/ops/few_rows": "dense layers that are bandwidth alone on a device; a CPU's library has them",
    "cuda/ops/pool_shape": "extents as kernels take them, for pool and winners",
    "cuda/ops/weights": "between the arena's order of weights and the graphs'; a CPU has reorder",
    "cuda/ops/packing": "the same for many tensors in one launch",
    "cuda/ops/labelled": "labelled positions as kernels take them, for loss",
    "cuda/ops/row_sums": "sums over rows in parts, for weights, winners, norms and spatial sums",
    "cuda/ops/segments": "how an update's launches find their tensors; the CPU's loops have backend/chunks.hpp",
}
# src/nn/ops has the same families, and what a backend has at its top:
WITHOUT_ARITHMETIC = {"all_reduce"}
# Rooms inside a module and the rooms beside them that they may use, besides what stands at the top of their folder.
INNER_ROOMS = {
    "report/parse": [],
    "report/analyse": ["report/parse"],
    "report/show": ["report/analyse"],
    "backend/cpu/ops": [],
    "backend/cuda/cudnn": [],
    "backend/cuda/ops": ["backend/cuda/cudnn"],
}
# At the top only these know what is inside ops/; streams, device and collectives stand alone.
GATHERERS = {"backend", "fuse"}
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')
GETENV = re.compile(r"\b(secure_)?getenv\s*\(")
ENVIRONMENT_IS_HDF5S = "src/load/places.cpp"  # what the library itself reads there decides which files must be examined
SWITCH = re.compile(r"^\s*#\s*(if|ifdef|ifndef|elif)\b.*(CUDA|NCCL|MPI|CUDNN)")
# What one place does for all, and where: elsewhere it would forget what that place guards against.
ONE_PLACE = {
    re.compile(r"\.dump\("): ("src/mllog/utf8.hpp", "json_text() replaces bytes that are no UTF-8",
                              "src/load/listed_layout.cpp"),  # which lists nothing that is no UTF-8
    re.compile(r"\bfmt::print\(|\bstd::cout\b|\bstd::cerr\b|(?<!\w)(std::)?printf\("):
        ("src/cli/streams.cpp", "it raises, or forgets errors, where a stream is closed or full; use cli/streams.hpp"),
}
NO_SWITCH = ("include/", "src/nn/", "src/exec/", "src/run/", "src/models/")


def closure(module: str) -> set:
    seen = {module}
    todo = [module]
    while todo:
        for used in USES[todo.pop()]:
            if used not in seen:
                seen.add(used)
                todo.append(used)
    return seen


def module_of(path: pathlib.Path) -> str:
    parts = path.relative_to(ROOT).parts
    return parts[1] if parts[0] == "src" else path.stem  # include/trainmark/<module>.hpp


def check_include(path, number, header, module, allowed, breaches):
    own = re.match(r"trainmark/(\w+)\.hpp$", header) or re.match(r"(\w+)/.+\.hpp$", header)
    if own and own.group(1) in USES:
        if own.group(1) not in allowed:
            breaches.append(f"{path}:{number}: {module} may not include {own.group(1)} ({header})")
        elif header.startswith(own.group(1) + "/") and own.group(1) != module and header not in SHARED:
            breaches.append(f"{path}:{number}: {header} is private to {own.group(1)}; use trainmark/{own.group(1)}.hpp")
        return
    for pattern, rooms in ROOMS.items():
        if re.fullmatch(pattern, header):
            inside = str(path.relative_to(ROOT)).removeprefix("src/")
            if not any(inside.startswith(room + "/") for room in rooms):
                breaches.append(f"{path}:{number}: {header} belongs in {', '.join(rooms)} only")


def check_inner_rooms(path, number, header, breaches):
    here = str(path.relative_to(ROOT).parent).removeprefix("src/")
    room = str(pathlib.PurePosixPath(header).parent)
    if room not in INNER_ROOMS or room == here:
        return
    if here in INNER_ROOMS:
        if room not in INNER_ROOMS[here]:
            breaches.append(f"{path}:{number}: {here} may not use {room} ({header})")
    elif room.endswith("/ops") and path.stem not in GATHERERS:
        breaches.append(f"{path}:{number}: of this folder only {', '.join(sorted(GATHERERS))} may use {room}")


def check_mirror(breaches):
    for both_ways, folder in ((False, ""), (True, "/ops")):
        stems = {side: {p.stem for p in (ROOT / "src/backend" / (side + folder)).glob("*") if p.is_file()}
                 for side in ("cpu", "cuda")}
        for side, other in (("cpu", "cuda"), ("cuda", "cpu"))[:2 if both_ways else 1]:
            alone = {f"{side}{folder}/{stem}" for stem in stems[side] - stems[other]}
            excused = {name for name in NO_TWIN if name.rsplit("/", 1)[0] == side + folder}
            for name in sorted(alone - excused):
                breaches.append(f"src/backend/{name}: has no twin in src/backend/{other}{folder} (or a reason in NO_TWIN)")
            for name in sorted(excused - alone):
                breaches.append(f"scripts/check_layers.py: NO_TWIN lists {name}, which has a twin or is gone")
    said, made = ({p.stem for p in (ROOT / "src" / folder).glob("*.cpp")} for folder in ("nn/ops", "backend/cpu/ops"))
    made -= {name.rsplit("/", 1)[1] for name in NO_TWIN}
    for stem in sorted(made ^ (said - WITHOUT_ARITHMETIC)):
        breaches.append(f"{stem}: a family of operations stands in both src/nn/ops and src/backend/cpu/ops")


def check_tests(breaches):
    """A test that no program is built of passes for ever."""
    lists = "\n".join(p.read_text(encoding="utf-8") for p in sorted((ROOT / "tests").rglob("CMakeLists.txt")))
    for path in sorted((ROOT / "tests").rglob("*_test.cpp")):
        beside = path.parent / "CMakeLists.txt"
        globbed = beside.exists() and "*_test.cpp" in beside.read_text(encoding="utf-8")
        if not globbed and not re.search(rf"(?<![\w]){re.escape(path.name)}(?!\w)", lists):
            breaches.append(f"{path.relative_to(ROOT)}: no CMakeLists.txt builds it")


OPENS = re.compile(r"namespace ?([\w:]*) ?\{$")
TYPE = re.compile(r"(?:template <.*> )?(?:struct|class|enum class) (\w+)(?: final)?(?: :[^:].*)? ?\{")


def check_names(files, breaches):
    """Two types of one name in one namespace: the linker takes either one's functions for both."""
    where = {}
    for path in files:
        spaces = []
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            opens, names = OPENS.match(line), TYPE.match(line)
            if opens:
                spaces.append(opens.group(1))
            elif line.startswith("}  // namespace") and spaces:
                spaces.pop()
            elif names and spaces and "" not in spaces:
                name = "::".join([*spaces, names.group(1)])
                other = where.setdefault(name, f"{path.relative_to(ROOT)}:{number}")
                if not other.startswith(f"{path.relative_to(ROOT)}:"):
                    breaches.append(f"{path}:{number}: {name} is another type in {other}; name it otherwise, or put it "
                                    "into an unnamed namespace")


def main() -> int:
    breaches = []
    check_mirror(breaches)
    check_tests(breaches)
    files = [p for folder in ("src", "include") for p in sorted((ROOT / folder).rglob("*")) if p.suffix in
             {".cpp", ".hpp", ".cu", ".cuh"}]
    check_names(files, breaches)
    for path in files:
        module = module_of(path)
        if module not in USES:
            breaches.append(f"{path}: no such module in the architecture: {module}")
            continue
        allowed = closure(module)
        relative = str(path.relative_to(ROOT))
        lines = path.read_text(encoding="utf-8").splitlines()
        if len(lines) > 500:
            breaches.append(f"{path}: {len(lines)} lines, the budget is 500")
        for number, line in enumerate(lines, 1):
            found = INCLUDE.match(line)
            if found:
                check_include(path, number, found.group(1), module, allowed, breaches)
                check_inner_rooms(path, number, found.group(1), breaches)
            for pattern, (place, reason, *also) in ONE_PLACE.items():
                if pattern.search(line.split("//")[0]) and relative not in (place, *also):
                    breaches.append(f"{path}:{number}: belongs in {place} only: {reason}")
            if GETENV.search(line) and module != "cli" and relative != ENVIRONMENT_IS_HDF5S:
                breaches.append(f"{path}:{number}: only cli reads the environment")
            if SWITCH.match(line) and relative.startswith(NO_SWITCH):
                breaches.append(f"{path}:{number}: absence is a file, not an #if")
    for breach in breaches:
        print(breach)
    print(f"check_layers: {len(files)} files, {len(breaches)} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
