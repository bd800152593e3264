#!/bin/sh
# Prints the commits of a git repository as events, oldest first:
#
#     sh git-log.sh [REPOSITORY] > commits.jsonl && activity ingest commits.jsonl
#
# A commit's id is the event's, so a repository that is taken again stores what is new.
set -eu

git -C "${1:-.}" log --reverse --no-show-signature --date-order \
    --format='%H%x1f%aI%x1f%ae%x1f%an%x1f%s' |
    awk -F '\037' '
        function quoted(text) {
            gsub(/\\/, "&&", text)
            gsub(/"/, "\\\\&", text)
            gsub(/[\001-\037\177]/, " ", text)
            return "\"" text "\""
        }
        {
            printf "{\"event_id\":%s,\"occurred_at\":%s,\"module\":\"git\",\"action\":\"git.commit\"," \
                "\"title\":%s,\"actor_id\":%s,\"actor_label\":%s,\"target_type\":\"commit\"," \
                "\"target_id\":%s}\n",
                quoted($1), quoted($2), quoted($5), quoted($3), quoted($4), quoted(substr($1, 1, 12))
        }'
