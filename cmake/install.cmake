# A relocatable prefix: the binary, the library with its headers for find_package(trainmark), configs, schema, completion.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/trainmark)
set(data_dir ${CMAKE_INSTALL_DATADIR}/trainmark)

# oneDNN comes along where it is not the system's: a prefix that points into somebody's .venv cannot move.
set_target_properties(trainmark-cli PROPERTIES INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
if(TRAINMARK_HAS_CUDA)  # CUDA's libraries stay where they are, Python packages below the source tree included
  foreach(library ${cuDNN_LIBRARY} ${NCCL_LIBRARY} ${cudnn_frontend_NVRTC})
    get_filename_component(folder ${library} DIRECTORY)
    set_property(TARGET trainmark-cli APPEND PROPERTY INSTALL_RPATH ${folder})
  endforeach()
endif()
install(TARGETS trainmark-cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(IMPORTED_RUNTIME_ARTIFACTS DNNL::dnnl LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})

install(TARGETS trainmark ${TRAINMARK_MODULE_TARGETS} EXPORT trainmark-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT trainmark-targets NAMESPACE trainmark:: DESTINATION ${package_dir})
install(DIRECTORY include/trainmark DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
configure_package_config_file(cmake/trainmark-config.cmake.in ${CMAKE_BINARY_DIR}/trainmark-config.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/trainmark-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/trainmark-config.cmake ${CMAKE_BINARY_DIR}/trainmark-config-version.cmake
              cmake/dependencies.cmake cmake/FindcuDNN.cmake cmake/FindNCCL.cmake DESTINATION ${package_dir})

install(DIRECTORY configs/ DESTINATION ${data_dir}/configs)
install(DIRECTORY share/devices share/published DESTINATION ${data_dir})
# The program prints both itself, so they always fit it.
foreach(product "schema|config.schema.json" "completion;bash|trainmark.bash" "completion;zsh|_trainmark")
  string(REPLACE "|" ";" parts "${product}")
  list(POP_BACK parts file)
  string(REPLACE ";" " " words "${parts}")
  install(CODE "execute_process(COMMAND \"$<TARGET_FILE:trainmark-cli>\" ${words} OUTPUT_FILE \"${CMAKE_BINARY_DIR}/${file}\"
                                COMMAND_ERROR_IS_FATAL ANY)")
endforeach()
install(FILES ${CMAKE_BINARY_DIR}/config.schema.json DESTINATION ${data_dir})
install(FILES ${CMAKE_BINARY_DIR}/trainmark.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME trainmark)
install(FILES ${CMAKE_BINARY_DIR}/_trainmark DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
