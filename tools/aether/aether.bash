# Completion of `aether` for bash.
_aether() {
    local word=${COMP_WORDS[COMP_CWORD]} command="" i
    local commands="append events latest state snapshot import export follow copy backup verify stats bench watch"
    local options="--store --json --quiet --contiguous --read-only --help"
    for ((i = 1; i < COMP_CWORD; i++)); do
        if [[ " $commands " == *" ${COMP_WORDS[i]} "* ]]; then
            command=${COMP_WORDS[i]}
            break
        fi
    done
    case $command in
    "") COMPREPLY=($(compgen -W "$commands $options --version" -- "$word")); return ;;
    append) options+=" --version --expect --id --metadata --closing --bytes" ;;
    events | export) options+=" --from --to --after --limit --backwards --type --prefix --lenient" ;;
    follow) options+=" --from --after --new --limit --type --prefix --lenient --heartbeat --for --checkpoint" ;;
    import) options+=" --reject --draw-versions" ;;
    bench) options+=" --events --size --batch --threads" ;;
    watch) options="--for --json --watchers --rate --seed --overflow-after --help" ;;
    esac
    if [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$word"))
    else
        compopt -o default
        COMPREPLY=()
    fi
}
complete -F _aether aether
