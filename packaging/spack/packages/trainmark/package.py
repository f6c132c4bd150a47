# A recipe for Spack 1.0 and later, of the CPU backend (docs/gpu.md tells what the CUDA one needs). From this tree:
#   spack repo add packaging/spack
#   spack dev-build trainmark@main
from spack.package import *
from spack_repo.builtin.build_systems.cmake import CMakePackage, generator


class Trainmark(CMakePackage):
    """MPI benchmark harness: stages HDF5 science datasets to the nodes, trains a network natively, and writes a log that
    MLPerf's rules can judge."""

    homepage = "https://github.com/trainmark/trainmark"
    git = "https://github.com/trainmark/trainmark.git"

    version("main", branch="main")

    depends_on("c", type="build")
    depends_on("cxx", type="build")
    depends_on("cmake@3.24:", type="build")
    depends_on("ninja", type="build")
    depends_on("pkgconfig", type="build")
    depends_on("mpi@3.1:")
    depends_on("hdf5~mpi+threadsafe")
    depends_on("onednn@3:")
    depends_on("nlohmann-json@3.10:")
    depends_on("fmt")
    depends_on("spdlog+fmt_external")
    depends_on("cli11")
    depends_on("boost@1.74:+math")
    depends_on("hwloc@2:")
    depends_on("xxhash")
    depends_on("libdeflate")
    depends_on("libjpeg-turbo")
    depends_on("kissfft datatype=float")
    depends_on("highway")

    conflicts("%gcc@:11", msg="g++ 12 or later is needed")

    generator("ninja")

    def cmake_args(self):
        return [self.define("TRAINMARK_TESTS", False), self.define("TRAINMARK_CUDA", False)]
