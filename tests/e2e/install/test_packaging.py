#!/usr/bin/env python3
"""What packaging/ says is needed is what this build needs: nobody builds a container or a Spack package in these tests."""
import ast
import os
import pathlib
import re
import shutil
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
BINARY = os.environ.get("TRAINMARK_BINARY", str(ROOT / "build/default/bin/trainmark"))
OF_EVERY_SYSTEM = {"libc6", "libgcc-s1", "libstdc++6"}
# Names that CMake looks for, and Spack's for the same; None: the compiler has it.
SPACK = {"PkgConfig": "pkgconfig", "Threads": None, "MPI": "mpi", "OpenMP": None, "HDF5": "hdf5", "JPEG": "libjpeg-turbo", "nlohmann_json": "nlohmann-json",
         "fmt": "fmt", "spdlog": "spdlog", "CLI11": "cli11", "Boost": "boost", "dnnl": "onednn", "libdeflate": "libdeflate", "libxxhash": "xxhash",
         "hwloc": "hwloc", "kissfft-float": "kissfft", "libhwy": "highway", "libhwy-contrib": "highway"}


def packages_that_the_program_needs() -> set:
    needed = re.findall(r"NEEDED +(\S+)", subprocess.run(["objdump", "-p", BINARY], capture_output=True, text=True, check=True).stdout)
    where = dict(re.findall(r"(\S+) => (/\S+)", subprocess.run(["ldd", BINARY], capture_output=True, text=True, check=True).stdout))
    found = set()
    for library in needed:
        owner = subprocess.run(["dpkg", "-S", os.path.realpath(where[library])], capture_output=True, text=True) if library in where else None
        if owner is not None and owner.returncode == 0:  # oneDNN is not Debian's, and is installed along
            found.add(owner.stdout.split(":")[0])
    return found


class Packaging(unittest.TestCase):
    def test_the_container_holds_every_library_of_the_program_and_no_other(self):
        if not shutil.which("dpkg"):
            self.skipTest("the container is of Debian, this machine is not")
        release = pathlib.Path("/etc/os-release").read_text()
        if "VERSION_CODENAME=bookworm" not in release:
            self.skipTest("names of packages are those of Debian 12")
        text = (ROOT / "packaging/Containerfile").read_text()
        listed = set(re.search(r"--no-install-recommends \\\n(.*?)&&", text, re.S)[1].replace("\\", " ").split())
        self.assertEqual(listed, packages_that_the_program_needs() - OF_EVERY_SYSTEM - {"libopenmpi3"} | {"openmpi-bin"})

    def test_the_container_is_given_every_folder_that_the_build_reads(self):
        copied = set(re.findall(r"^COPY (\w+) \1$", (ROOT / "packaging/Containerfile").read_text(), re.M))
        self.assertEqual(copied, {"cmake", "configs", "include", "scripts", "share", "src"})
        self.assertEqual([name for name in copied if not (ROOT / name).is_dir()], [])

    def test_the_recipe_for_spack_depends_on_all_that_cmake_looks_for(self):
        tree = ast.parse((ROOT / "packaging/spack/packages/trainmark/package.py").read_text())
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "depends_on"]
        depends = {re.match(r"[\w-]+", call.args[0].value)[0] for call in calls}
        cmake = (ROOT / "cmake/dependencies.cmake").read_text()
        asked = re.findall(r"find_package\((\w+)", cmake) + re.search(r"foreach\(package ([^)]*)\)", cmake)[1].split()
        self.assertEqual(depends, {SPACK[name] for name in asked} - {None} | {"c", "cxx", "cmake", "ninja"})


if __name__ == "__main__":
    unittest.main(verbosity=2)
