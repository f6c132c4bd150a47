# Compiler options that everything of ours gets, as one interface target.
add_library(trainmark_options INTERFACE)
set(cxx_warnings -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Werror -fno-math-errno)
target_compile_options(trainmark_options INTERFACE
  "$<$<COMPILE_LANGUAGE:CXX>:${cxx_warnings}>"
  # nvcc writes line directives that -Wpedantic does not like; math of our own is constexpr and shared with the host.
  "$<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr;--Werror=all-warnings;-Xcompiler=-Wall,-Wextra,-Wshadow>")
if(TRAINMARK_SANITIZE)
  target_compile_options(trainmark_options INTERFACE
    "$<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${TRAINMARK_SANITIZE};-fno-omit-frame-pointer;-O1>")
  # Instrumented library code confuses GCC 12's flow analysis (std::regex, fmt): the other builds judge warnings.
  target_compile_options(trainmark_options INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:-Wno-error>")
  target_link_options(trainmark_options INTERFACE -fsanitize=${TRAINMARK_SANITIZE})
endif()
if(TRAINMARK_SANITIZE MATCHES "thread")
  # libgomp is not instrumented: own loops run serially under the thread sanitizer (src/backend/cpu/parallel.hpp).
  target_compile_definitions(trainmark_options INTERFACE TRAINMARK_SERIAL_LOOPS)
endif()
