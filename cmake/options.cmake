# How our own targets are compiled. Everything is a property of the target that asks for it through ae_target(): a project
# that includes this one keeps its own flags, and a program that links aether inherits none of ours.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)

add_library(ae_warnings INTERFACE)
target_compile_options(ae_warnings INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes -Wmissing-prototypes
    -Wold-style-definition -Wpointer-arith -Wcast-qual -Wwrite-strings -Wformat=2 -Wundef -Wvla
    -Wimplicit-fallthrough)
if(AETHER_WERROR)
    target_compile_options(ae_warnings INTERFACE -Werror)
endif()

add_library(ae_build INTERFACE)
target_compile_definitions(ae_build INTERFACE _GNU_SOURCE)
target_compile_options(ae_build INTERFACE -fvisibility=hidden)
if(AETHER_DEBUG)
    target_compile_definitions(ae_build INTERFACE AE_DEBUG=1)
    target_compile_options(ae_build INTERFACE -UNDEBUG)
endif()
if(AETHER_DELAY)
    target_compile_definitions(ae_build INTERFACE AE_DELAY=1)
endif()
if(AETHER_PROBES AND AETHER_HAS_SDT)
    target_compile_definitions(ae_build INTERFACE AE_PROBES=1)
endif()
if(AETHER_SANITIZE)
    set(sanitize -fsanitize=${AETHER_SANITIZE} -fno-sanitize-recover=all)
    target_compile_options(ae_build INTERFACE ${sanitize} -fno-omit-frame-pointer)
    target_link_options(ae_build INTERFACE ${sanitize})
endif()
if(AETHER_FUZZ) # the fuzzers see which branches their input takes
    target_compile_options(ae_build INTERFACE -fsanitize=fuzzer-no-link)
endif()

# Compiles a target of ours the way of the house.
function(ae_target name)
    # BUILD_INTERFACE: nothing of this is for those who link the target.
    target_link_libraries(${name} PRIVATE $<BUILD_INTERFACE:ae_build> $<BUILD_INTERFACE:ae_warnings>)
endfunction()
