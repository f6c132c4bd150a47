# A relocatable prefix: the binary, the library with its headers for find_package(trainmark), configs, schema, completion.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/trainmark)

install(TARGETS trainmark-cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS trainmark trainmark_options ${TRAINMARK_MODULE_TARGETS} EXPORT trainmark-targets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT trainmark-targets NAMESPACE trainmark:: DESTINATION ${package_dir})
install(DIRECTORY include/trainmark DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY configs/ DESTINATION ${CMAKE_INSTALL_DATADIR}/trainmark/configs)
configure_package_config_file(cmake/trainmark-config.cmake.in ${CMAKE_BINARY_DIR}/trainmark-config.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/trainmark-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/trainmark-config.cmake ${CMAKE_BINARY_DIR}/trainmark-config-version.cmake
              cmake/dependencies.cmake DESTINATION ${package_dir})
