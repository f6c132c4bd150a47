# Everything third-party, found where the system or CMAKE_PREFIX_PATH has it. README.md names the Debian packages.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(MPI REQUIRED COMPONENTS C)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(HDF5 REQUIRED COMPONENTS C)
find_package(JPEG REQUIRED)  # libjpeg-turbo: parts of images are decoded by functions that the older libjpeg lacks
find_package(nlohmann_json 3.10 REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(CLI11 REQUIRED)
find_package(Boost 1.74 REQUIRED)  # headers alone: Boost.Math, for Student's t
find_package(dnnl 3 CONFIG)
if(NOT dnnl_FOUND)
  message(FATAL_ERROR "oneDNN 3 or later is missing (Debian 12 has 2.6, another API). scripts/setup.sh puts one into .venv "
                      "(pip install onednn-devel-cpu-gomp); on a cluster: spack install onednn or a module, then "
                      "-DCMAKE_PREFIX_PATH=<its prefix>.")
endif()
foreach(package libdeflate libxxhash hwloc kissfft-float libhwy libhwy-contrib)
  pkg_check_modules(${package} REQUIRED IMPORTED_TARGET ${package})
endforeach()
# MPI's C++ bindings are gone from the standard; without this their inline parts would want a library nobody links.
set_property(TARGET MPI::MPI_C APPEND PROPERTY INTERFACE_COMPILE_DEFINITIONS OMPI_SKIP_MPICXX MPICH_SKIP_MPICXX)
