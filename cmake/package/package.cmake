# Two packages, split as Debian does: libaether0 is what a program needs to run (the number is the soname's), libaether-dev what
# it needs to be built.

set(CPACK_GENERATOR DEB)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL runtime development)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

set(CPACK_POST_BUILD_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/no_scripts.cmake)

set(CPACK_PACKAGE_NAME aether)
set(CPACK_PACKAGE_VENDOR "aether developers")
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "aether developers <noreply@aether.invalid>")
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(debian_version ${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE})
set(runtime libaether${PROJECT_VERSION_MAJOR})
set(development libaether-dev)

# The first line of a description is its summary; cpack shall put none before it.
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "")
set(about "One writer appends events, any number of readers follow at their own pace,
without locks and without a fixed length; memory is what the slowest reader
has not read.")

set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME ${runtime})
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SHLIBDEPS ON)
# Which package another one needs that links the library, and that the linker's cache is to be renewed.
file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/shlibs "")
foreach(library IN LISTS libraries)
    file(APPEND ${CMAKE_CURRENT_BINARY_DIR}/shlibs "libaether-${library} ${PROJECT_VERSION_MAJOR} ${runtime} (>= ${PROJECT_VERSION})\n")
endforeach()
file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/triggers "activate-noawait ldconfig\n")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONTROL_EXTRA ${CMAKE_CURRENT_BINARY_DIR}/shlibs ${CMAKE_CURRENT_BINARY_DIR}/triggers)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_RUNTIME_DESCRIPTION "event streams inside a program (shared libraries)
${about}

This package has the shared libraries and the command aether, which works with
stores of events.")

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME ${development})
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
# All but the first are for those who link the static libraries.
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "${runtime} (= ${debian_version}), liburcu-dev (>= 0.13), libcjson-dev, libsqlite3-dev, uuid-dev")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SUGGESTS "pkg-config")
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION "event streams inside a program (development files)
${about}

This package has the headers, the static library, the CMake package and the
pkg-config file.")

# ------------------------------------------------------------------------------------------- copyright and changelog

# The licence as a field of a control file: a space before each line, a dot on empty ones.
file(READ LICENSE license)
string(REGEX REPLACE "^[^\n]*\n\nCopyright \\(c\\) ([^\n]*)\n\n" "" license "${license}")
set(copyright ${CMAKE_MATCH_1})
string(STRIP "${license}" license)
string(REPLACE "\n\n" "\n.\n" license "${license}")
string(REPLACE "\n" "\n " license "${license}")
configure_file(${CMAKE_CURRENT_LIST_DIR}/copyright.in copyright @ONLY)

# SOURCE_DATE_EPOCH in the environment sets the date.
string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)
configure_file(${CMAKE_CURRENT_LIST_DIR}/changelog.in changelog.Debian @ONLY)
find_program(GZIP gzip REQUIRED)
execute_process(COMMAND ${GZIP} -9nkf changelog.Debian WORKING_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR} COMMAND_ERROR_IS_FATAL ANY)

foreach(component runtime development)
    install(FILES ${CMAKE_CURRENT_BINARY_DIR}/copyright ${CMAKE_CURRENT_BINARY_DIR}/changelog.Debian.gz
        DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/${${component}} COMPONENT ${component})
endforeach()

include(CPack)
