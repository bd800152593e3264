#!/bin/sh
# A look round, on this host's own history: builds the program, takes in what dpkg or this
# repository's git log has to tell, and shows what can be asked of it. Keeps nothing.
#
#     sh examples/tour.sh
set -eu

examples=$(cd "$(dirname "$0")" && pwd)
repository=$(dirname "$examples")

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '\n%s\n' "$*"; }

# Without the central store of many hosts, which is not shown here.
say "Building (the first time takes some minutes)"
(cd "$repository" && cargo build --profile tour --no-default-features --quiet)
target=$(cd "$repository" && cargo metadata --format-version 1 --no-deps |
    sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
PATH=$target/tour:$PATH
# Neither a log nor a config of this host takes part.
ACTIVITY_DB=$folder/tour.db
ACTIVITY_CONFIG=$folder/config.toml
export PATH ACTIVITY_DB ACTIVITY_CONFIG
(umask 077 && : >"$ACTIVITY_CONFIG")

# Shows a command before what it prints; a path into the temporary folder without the folder.
run() {
    printf '\n$ activity'
    for argument in "$@"; do
        case $argument in
            *[!A-Za-z0-9_./:=,@%+-]*) printf " '%s'" "$argument" ;;
            *) printf ' %s' "${argument#"$folder"/}" ;;
        esac
    done
    printf '\n'
    activity "$@"
}

# The values of one field, from lines of JSON.
field() { sed -n 's/.*"'"$1"'":"\([^"\\]*\)".*/\1/p'; }

# The one that comes most often.
busiest() { field "$1" | sort | uniq -c | sort -rn | sed -n '1s/^ *[0-9]* //p'; }

events=$folder/events.jsonl
zone=
if [ -s /var/log/dpkg.log ] && sh "$examples/apt/dpkg-events" --print >"$events" && [ -s "$events" ]; then
    say "What dpkg did on this host"
    zone=${TZ:-$(readlink -f /etc/localtime | sed -n 's|.*/zoneinfo/||p')}
elif git -C "$repository" rev-parse --git-dir >/dev/null 2>&1 &&
    sh "$examples/git-log.sh" "$repository" >"$events" && [ -s "$events" ]; then
    say "What was committed to this repository"
else
    say "What a site's people did (a sample: neither dpkg nor git has a history here)"
    cp "$examples/sample.jsonl" "$events"
fi
run ingest "$events" --input-tz "${zone:-UTC}"

say "The newest"
run list --limit 8

say "What there is"
run actions

activity list --json --limit 500 >"$folder/newest"
target=$(busiest target_id <"$folder/newest")
action=$(busiest action <"$folder/newest")
actor=$(busiest actor_id <"$folder/newest")
word=$(field title <"$folder/newest" | sed -n '1s/.* \([A-Za-z][A-Za-z]*\).*/\1/p')

if [ -n "$target" ]; then
    say "The history of one record"
    run search-target "$target" --limit 5
fi
if [ -n "$actor" ]; then
    say "All that one person did"
    run search-actor "$actor" --limit 5
fi

say "A question"
run list "action:${action%%.*}.*" -is:failed "${word:-a}" --limit 3

say "One event, whole"
run show "$(sed -n '1s/.*"event_id":"\([^"]*\)".*/\1/p' "$folder/newest")"

say "For a spreadsheet, and the log remembers that it was taken"
run export --csv -o "$folder/events.csv" "action:$action"
head -n 2 "$folder/events.csv"
run list action:log.export

say "What a mail on it would say"
run digest --dry-run --days 3650 | sed -n '1,24p'

say "What is older than a year goes; the log vouches for it"
run sweep --keep 365d --dry-run
run sweep --keep 365d --force

say "Is it still what was written?"
run verify
run backup "$folder/copy.db"

say "The file is SQLite, for anyone to read"
if command -v sqlite3 >/dev/null 2>&1; then
    printf '\n$ sqlite3 tour.db "SELECT action, count(*) FROM events GROUP BY action"\n'
    sqlite3 "$ACTIVITY_DB" "SELECT action, count(*) FROM events GROUP BY action"
fi
say "That was it; nothing of it is kept. README.md goes on from here."
