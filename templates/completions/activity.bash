# Completions of `activity` for bash.
_activity() {
    local line="${COMP_LINE:0:COMP_POINT}" words current value start i
    read -ra words <<< "$line"
    [[ "$line" == *[[:space:]] ]] && words+=("")
    current="${words[${#words[@]} - 1]}"
    COMPREPLY=()
    while IFS=$'\t' read -r value _; do
        COMPREPLY+=("$(printf '%q' "$value")")
    done < <("${words[0]}" complete -- "${words[@]}" 2> /dev/null)
    # Readline replaces only what stands behind the last of its breaks.
    if [[ "$COMP_WORDBREAKS" == *:* && "$current" == *[:=]* ]]; then
        start="${current%"${current##*[:=]}"}"
        for i in "${!COMPREPLY[@]}"; do
            COMPREPLY[i]="${COMPREPLY[i]#"$start"}"
        done
    fi
    [[ ${#COMPREPLY[@]} -eq 1 && "${COMPREPLY[0]}" == *: ]] && compopt -o nospace 2> /dev/null
    return 0
}
complete -o default -F _activity activity
