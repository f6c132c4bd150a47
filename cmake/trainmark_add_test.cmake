# trainmark_add_test(NAME name SOURCES files... LINK modules... LABELS labels... [RANKS n...] [TIMEOUT seconds])
# One GoogleTest program. With RANKS it is registered once for each number of ranks, under mpirun; every test has a timeout.
find_package(GTest REQUIRED)

function(trainmark_add_test)
  cmake_parse_arguments(ARG "" "NAME;TIMEOUT" "SOURCES;LINK;LABELS;RANKS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${ARG_NAME} ${ARG_SOURCES})
  target_include_directories(${ARG_NAME} PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/tests)
  target_compile_definitions(${ARG_NAME} PRIVATE TRAINMARK_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  list(TRANSFORM ARG_LINK PREPEND trainmark_)
  target_link_libraries(${ARG_NAME} PRIVATE trainmark_options ${ARG_LINK} GTest::gtest)
  if(ARG_RANKS)
    # A test of ranks brings its own main, which makes the World and reports on rank 0 (tests/support/mpi_main.cpp).
    target_sources(${ARG_NAME} PRIVATE ${CMAKE_SOURCE_DIR}/tests/support/mpi_main.cpp)
    foreach(ranks ${ARG_RANKS})
      add_test(NAME ${ARG_NAME}.ranks${ranks}
               COMMAND ${MPIEXEC_EXECUTABLE} --allow-run-as-root --oversubscribe --bind-to none -n ${ranks}
                       $<TARGET_FILE:${ARG_NAME}>)
      set_tests_properties(${ARG_NAME}.ranks${ranks} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT} PROCESSORS 2)
    endforeach()
  else()
    target_link_libraries(${ARG_NAME} PRIVATE GTest::gtest_main)
    add_test(NAME ${ARG_NAME} COMMAND ${ARG_NAME})
    set_tests_properties(${ARG_NAME} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT})
  endif()
endfunction()
