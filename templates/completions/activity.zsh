#compdef activity
# Completions of `activity` for zsh.
_activity() {
    local value about
    local -a open open_shown whole whole_shown
    while IFS=$'\t' read -r value about; do
        if [[ "$value" == *: ]]; then
            open+=("$value")
            open_shown+=("$value${about:+  -- $about}")
        else
            whole+=("$value")
            whole_shown+=("$value${about:+  -- $about}")
        fi
    done < <("${(Q)words[1]}" complete -- "${(@Q)words[1,CURRENT]}" 2> /dev/null)
    if (( ${#open} + ${#whole} == 0 )); then
        _files
        return
    fi
    # The program has compared them: labels fit in any case.
    (( ${#open} )) && compadd -U -S '' -l -d open_shown -a open
    (( ${#whole} )) && compadd -U -l -d whole_shown -a whole
}
if [[ "${funcstack[1]}" == _activity ]]; then
    _activity "$@"
else
    compdef _activity activity
fi
