# Compiler options that everything of ours gets, as one interface target.
add_library(trainmark_options INTERFACE)
target_compile_options(trainmark_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Werror -fno-math-errno)
if(TRAINMARK_SANITIZE)
  target_compile_options(trainmark_options INTERFACE -fsanitize=${TRAINMARK_SANITIZE} -fno-omit-frame-pointer -O1)
  # Instrumented library code confuses GCC 12's flow analysis (std::regex among others).
  target_compile_options(trainmark_options INTERFACE -Wno-error=maybe-uninitialized)
  target_link_options(trainmark_options INTERFACE -fsanitize=${TRAINMARK_SANITIZE})
endif()
if(TRAINMARK_SANITIZE MATCHES "thread")
  # libgomp is not instrumented: own loops run serially under the thread sanitizer (src/backend/cpu/parallel.hpp).
  target_compile_definitions(trainmark_options INTERFACE TRAINMARK_SERIAL_LOOPS)
endif()
