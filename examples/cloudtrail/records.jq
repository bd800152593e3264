# Turns the records of a CloudTrail file into events:
#
#     zcat *.json.gz | jq -c -f records.jq > trail.jsonl && activity ingest trail.jsonl
#
# The event's id is CloudTrail's own, so a file that is taken twice is stored once.

.Records[]
| (.eventSource | split(".")[0]) as $service
| {
    event_id: .eventID,
    occurred_at: .eventTime,
    tenant: .recipientAccountId,
    source: (if .userIdentity.type == "AWSService" then "system" else "api" end),
    severity: (if .errorCode then "medium" else "info" end),
    module: $service,
    # PutBucketPolicy becomes put_bucket_policy; what failed says so, as `is:failed` expects.
    action: "\($service).\(.eventName | gsub("(?<=[a-z0-9])(?=[A-Z])"; "_") | ascii_downcase)\(
      if .errorCode then "_failed" else "" end)",
    title: .eventName,
    description: .errorMessage,
    actor_id: (.userIdentity | .principalId // .arn // .invokedBy),
    actor_label: (.userIdentity | .userName // .sessionContext.sessionIssuer.userName // .invokedBy),
    target_type: .resources[0]?.type,
    target_id: .resources[0]?.ARN,
    payload: ({
      region: .awsRegion, error: .errorCode, request: .requestParameters,
      response: .responseElements, request_id: .requestID
    } | with_entries(select(.value != null))),
    # Calls from within AWS have a service's name there.
    ip: (.sourceIPAddress | if test("^[0-9.]+$|:") then . else null end),
    user_agent: .userAgent,
    session_id: .userIdentity.accessKeyId
  }
