# What `cmake --install` leaves behind: headers, both libraries, the CMake package, the pkg-config file. The components are
# what packages are made of: what a program needs to run, and what it needs to be built.
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/aether)

# One export set per library: a static one needs the development files of what it stands on in the program's build, a shared
# one does not.
foreach(library IN LISTS libraries)
    install(TARGETS aether-${library} EXPORT aether-${library} LIBRARY COMPONENT runtime NAMELINK_COMPONENT development)
    install(TARGETS aether-${library}-static EXPORT aether-${library}_static ARCHIVE COMPONENT development)
    install(EXPORT aether-${library} NAMESPACE aether:: DESTINATION ${package_dir} COMPONENT development)
    install(EXPORT aether-${library}_static NAMESPACE aether:: DESTINATION ${package_dir} COMPONENT development)
endforeach()
install(DIRECTORY include/aether DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development FILES_MATCHING PATTERN "*.h")

configure_package_config_file(cmake/aetherConfig.cmake.in aetherConfig.cmake INSTALL_DESTINATION ${package_dir}
    NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may break what an older one promised.
write_basic_package_version_file(aetherConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/aetherConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/aetherConfigVersion.cmake
    DESTINATION ${package_dir} COMPONENT development)

# Paths relative to the .pc file, where the directories allow it: the tree may be moved after it was installed.
file(RELATIVE_PATH pc_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" pc_prefix "\${pcfiledir}/${pc_prefix}")
set(pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
set(pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
    set(pc_prefix ${CMAKE_INSTALL_PREFIX})
    set(pc_libdir ${CMAKE_INSTALL_FULL_LIBDIR})
    set(pc_includedir ${CMAKE_INSTALL_FULL_INCLUDEDIR})
endif()
foreach(library IN LISTS libraries)
    configure_file(cmake/aether-${library}.pc.in aether-${library}.pc @ONLY)
    install(FILES ${CMAKE_CURRENT_BINARY_DIR}/aether-${library}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
        COMPONENT development)
endforeach()
