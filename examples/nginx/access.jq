# Turns a line of nginx's or Apache's "combined" access log into an event:
#
#     jq -cR -f access.jq access.log > access.jsonl && activity ingest access.jsonl
#
# A line of another form is left out; `jq … | wc -l` beside `wc -l < access.log` says how many.

{ Jan: "01", Feb: "02", Mar: "03", Apr: "04", May: "05", Jun: "06",
  Jul: "07", Aug: "08", Sep: "09", Oct: "10", Nov: "11", Dec: "12" } as $months
| capture("^(?<ip>\\S+) \\S+ (?<user>\\S+) \\[(?<day>\\d+)/(?<month>\\w+)/(?<year>\\d+):(?<clock>[\\d:]+) (?<hours>[+-]\\d\\d)(?<minutes>\\d\\d)\\] \"(?<method>[A-Z]+) (?<path>\\S+)[^\"]*\" (?<status>\\d+) (?<bytes>\\d+|-) \"(?<referrer>[^\"]*)\" \"(?<agent>[^\"]*)\"")
| {
    occurred_at: "\(.year)-\($months[.month])-\(.day)T\(.clock)\(.hours):\(.minutes)",
    source: "api",
    severity: (if .status >= "500" then "high" elif .status >= "400" then "low" else "info" end),
    module: "web",
    action: "http.\(.method | ascii_downcase)",
    title: "\(.method) \(.path) -> \(.status)",
    actor_id: (if .user == "-" then null else .user end),
    target_type: "url",
    target_id: (.path | split("?")[0]),
    payload: ({ bytes: (if .bytes == "-" then 0 else .bytes | tonumber end) }
      + (if .referrer == "-" or .referrer == "" then {} else { referrer: .referrer } end)),
    ip: .ip,
    user_agent: (if .agent == "-" then null else .agent end),
    method: .method,
    endpoint: .path,
    status_code: (.status | tonumber)
  }
