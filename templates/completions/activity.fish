# Completions of `activity` for fish.
function __activity_complete
    set -l words (commandline -opc) (commandline -ct)
    command $words[1] complete -- $words 2> /dev/null
end
complete -c activity -a '(__activity_complete)'
