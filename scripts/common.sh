# What the scripts share; each sources it first. Goes to the root of the tree.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() {
    printf '%s\n' "$*"
}

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# Seconds with one decimal since $1, a value of EPOCHREALTIME.
seconds_since() {
    local microseconds=$((${EPOCHREALTIME/./} - ${1/./}))
    printf '%d.%d' $((microseconds / 1000000)) $((microseconds / 100000 % 10))
}

# Ninja where there is one, cmake's default elsewhere.
configure_preset() { # PRESET
    if [[ -z ${CMAKE_GENERATOR:-} ]] && command -v ninja >/dev/null; then
        export CMAKE_GENERATOR=Ninja
    fi
    cmake --preset "$1"
}

# Configures on the first time and builds.
build_preset() { # PRESET [TARGET...]
    local preset=$1
    shift
    if [[ ! -e build/$preset/CMakeCache.txt ]]; then
        configure_preset "$preset"
    fi
    cmake --build --preset "$preset" --parallel "$(nproc)" ${1:+--target "$@"}
}
