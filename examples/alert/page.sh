#!/bin/sh
# Pages whoever is on duty about events of the activity log. In the config:
#
#     [[alert]]
#     name = "pager"
#     query = "severity:critical"
#     command = ["/usr/local/lib/activity/page.sh"]
#     every = "10m"
#
# It gets the events as JSON Lines on its standard input, one run for each message. An exit code other
# than 0 means that the message did not get through: the same events come again. Its environment has
# nothing but PATH. It posts a summary to the address in /etc/activity/pager.url, as most services for
# on-call duty take it; dedup_key keeps a message that comes twice from paging twice.
set -eu

url=$(cat "${1:-/etc/activity/pager.url}")
jq -cs '{
  dedup_key: .[0].event_id,
  severity: "critical",
  summary: "\(length) event(s), the first: \(.[0].actor_label // "(system)") \(.[0].action) \(.[0].target_label // .[0].target_id // "")",
  events: [.[:20][] | {id, occurred_at, action, actor_label, target_type, target_id, ip}]
}' | curl -fsS --max-time 10 -H 'Content-Type: application/json' --data-binary @- "$url"
