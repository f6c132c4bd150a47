# trainmark_double_library(target HOOKS on|off SOURCES files... [LINK targets...])
# Compiles the CUDA backend's sources, .cu as C++, for the device double. With HOOKS every memory access of the kernels is
# checked (tests/cuda_double/hooks.cpp). Kernels and host code are compiled apart: only kernels get the options below.
function(trainmark_double_library target)
  cmake_parse_arguments(ARG "" "HOOKS" "SOURCES;LINK" ${ARGN})
  set(double ${CMAKE_SOURCE_DIR}/tests/cuda_double)
  set(kernels ${ARG_SOURCES})
  set(host ${ARG_SOURCES})
  list(FILTER kernels INCLUDE REGEX "\\.cu$")
  list(FILTER host EXCLUDE REGEX "\\.cu$")
  if(ARG_HOOKS)
    list(APPEND ARG_LINK cuda_double_hooks)
  else()
    list(APPEND ARG_LINK cuda_double)
  endif()

  add_library(${target}_kernels OBJECT ${kernels})
  set_source_files_properties(${kernels} PROPERTIES LANGUAGE CXX)
  # GCC reads .cu as C++ only if told. nvcc lets pairs of bf16 be read through a uint4, and knows pragmas of its own; an
  # index past a static array is caught by -fsanitize=bounds, whose handler is the double's.
  target_compile_options(${target}_kernels PRIVATE -x c++ -include ${double}/include/cuda_on_host.hpp
                         -fno-strict-aliasing -Wno-unknown-pragmas -Wno-attributes -fsanitize=bounds)
  if(ARG_HOOKS)
    # -fno-tree-sra: a vector access stays one access and is not split into elements, whose alignment is always right.
    target_compile_options(${target}_kernels PRIVATE -g -O1 -fsanitize=thread -fno-tree-vectorize -fno-store-merging
                           -fno-tree-sra -finline-functions -finline-small-functions)
    # GCC does not instrument a store of what a call returns as a struct (bf16 and half are structs): inline everything.
    foreach(limit max-inline-insns-auto max-inline-insns-single inline-unit-growth large-function-growth
                  large-stack-frame-growth)
      target_compile_options(${target}_kernels PRIVATE "SHELL:--param ${limit}=5000")
    endforeach()
  endif()

  add_library(${target} STATIC ${host} $<TARGET_OBJECTS:${target}_kernels>)
  set_target_properties(${target} PROPERTIES LINKER_LANGUAGE CXX)
  foreach(part ${target} ${target}_kernels)
    target_include_directories(${part} BEFORE PUBLIC ${double}/include)
    target_include_directories(${part} PUBLIC ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include)
    target_link_libraries(${part} PUBLIC trainmark_options ${ARG_LINK})
  endforeach()
endfunction()
