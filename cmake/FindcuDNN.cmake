# Finds cuDNN 9: cuDNN_FOUND, cuDNN_VERSION and the target cuDNN::cudnn. Looks below cuDNN_ROOT or CUDNN_ROOT, CMAKE_PREFIX_PATH,
# the CUDA toolkit and NVIDIA's Python package (nvidia/cudnn in a site-packages that stands in CMAKE_PREFIX_PATH).
#
# libcudnn needs no driver to start: it opens libcuda.so.1 by name when it first wants a device. Nothing of ours may link
# CUDA::cuda_driver (nor the toolkit's stub) then, or the program would not start on a machine without a driver.
set(cudnn_places ${CUDNN_ROOT} $ENV{CUDNN_ROOT} ${CUDAToolkit_LIBRARY_ROOT} ${CUDAToolkit_TARGET_DIR} /usr/local/cuda)
foreach(prefix ${CMAKE_PREFIX_PATH})
  file(GLOB packages ${prefix}/lib/python3*/site-packages/nvidia/cudnn)
  list(APPEND cudnn_places ${packages})
endforeach()
find_path(cuDNN_INCLUDE_DIR cudnn_version.h HINTS ${cudnn_places} PATH_SUFFIXES include include/x86_64-linux-gnu)
find_library(cuDNN_LIBRARY NAMES cudnn libcudnn.so.9 HINTS ${cudnn_places} PATH_SUFFIXES lib lib64)
set(cuDNN_VERSION "")
if(cuDNN_INCLUDE_DIR)
  file(STRINGS ${cuDNN_INCLUDE_DIR}/cudnn_version.h lines REGEX "#define CUDNN_(MAJOR|MINOR|PATCHLEVEL) ")
  string(REGEX REPLACE ".*MAJOR ([0-9]+).*MINOR ([0-9]+).*PATCHLEVEL ([0-9]+).*" "\\1.\\2.\\3" cuDNN_VERSION "${lines}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(cuDNN REQUIRED_VARS cuDNN_LIBRARY cuDNN_INCLUDE_DIR VERSION_VAR cuDNN_VERSION)
if(cuDNN_FOUND AND NOT TARGET cuDNN::cudnn)
  add_library(cuDNN::cudnn SHARED IMPORTED)
  set_target_properties(cuDNN::cudnn PROPERTIES IMPORTED_LOCATION ${cuDNN_LIBRARY}
                                                INTERFACE_INCLUDE_DIRECTORIES ${cuDNN_INCLUDE_DIR})
endif()
mark_as_advanced(cuDNN_INCLUDE_DIR cuDNN_LIBRARY)
