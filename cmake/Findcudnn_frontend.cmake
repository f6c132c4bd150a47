# Finds the cudnn-frontend headers: cudnn_frontend_FOUND, cudnn_frontend_VERSION and the target cudnn_frontend::cudnn_frontend.
# Looks below cudnn_frontend_ROOT, CMAKE_PREFIX_PATH and the Python package nvidia-cudnn-frontend in a site-packages of them
# (pip install --no-deps nvidia-cudnn-frontend).
#
# The headers are used as they are, without NV_CUDNN_FRONTEND_USE_DYNAMIC_LOADING: with it they would open whichever libcudart they
# find by name, beside the one that is linked. They reach the driver through the runtime (cudaGetDriverEntryPointByVersion), so
# they want no cu* symbol; of NVRTC they want seven functions, which is why it is linked. NVRTC needs no driver.
set(frontend_places ${cudnn_frontend_ROOT} $ENV{cudnn_frontend_ROOT})
foreach(prefix ${CMAKE_PREFIX_PATH})
  file(GLOB packages ${prefix}/lib/python3*/site-packages)
  list(APPEND frontend_places ${packages})
endforeach()
find_path(cudnn_frontend_INCLUDE_DIR cudnn_frontend.h HINTS ${frontend_places} PATH_SUFFIXES include)
set(cudnn_frontend_VERSION "")
if(cudnn_frontend_INCLUDE_DIR)
  file(STRINGS ${cudnn_frontend_INCLUDE_DIR}/cudnn_frontend_version.h lines
       REGEX "#define CUDNN_FRONTEND_(MAJOR|MINOR|PATCH)_VERSION ")
  string(REGEX REPLACE ".*MAJOR_VERSION ([0-9]+).*MINOR_VERSION ([0-9]+).*PATCH_VERSION ([0-9]+).*" "\\1.\\2.\\3"
         cudnn_frontend_VERSION "${lines}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(cudnn_frontend REQUIRED_VARS cudnn_frontend_INCLUDE_DIR VERSION_VAR cudnn_frontend_VERSION)
if(cudnn_frontend_FOUND AND NOT TARGET cudnn_frontend::cudnn_frontend)
  add_library(cudnn_frontend::cudnn_frontend INTERFACE IMPORTED)
  # SYSTEM, as imported targets are: its warnings are not ours.
  set_target_properties(cudnn_frontend::cudnn_frontend PROPERTIES INTERFACE_INCLUDE_DIRECTORIES ${cudnn_frontend_INCLUDE_DIR})
  # The file, not CUDA::nvrtc: that target drags the toolkit's stub of the driver in, and a program that links it does not
  # start where there is no driver.
  find_package(CUDAToolkit QUIET)
  find_library(cudnn_frontend_NVRTC NAMES nvrtc libnvrtc.so.13 libnvrtc.so.12 HINTS ${CUDAToolkit_LIBRARY_DIR})
  if(cudnn_frontend_NVRTC)
    set_property(TARGET cudnn_frontend::cudnn_frontend PROPERTY INTERFACE_LINK_LIBRARIES ${cudnn_frontend_NVRTC})
  endif()
  mark_as_advanced(cudnn_frontend_NVRTC)
endif()
mark_as_advanced(cudnn_frontend_INCLUDE_DIR)
