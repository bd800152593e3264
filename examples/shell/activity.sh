# Records when people log in and out, and from where. For a login shell that speaks POSIX sh:
#
#     install -m 0644 activity.sh /etc/profile.d/activity.sh
#
# Each event is one short process. An event that cannot be stored says so on one line and stops
# nobody from logging in. A shell that sets its own trap on EXIT has no logout recorded.

if command -v activity >/dev/null 2>&1; then
    # The shell, its host and the second it began: together they name the session.
    activity_session="$(uname -n)-$$-$(date +%s)"

    activity_record() {
        # `SSH_CLIENT` is "ADDRESS PORT PORT"; a link-local address has its interface behind a `%`.
        activity_from=${SSH_CLIENT%% *}
        activity_from=${activity_from%%\%*}
        activity ingest --quiet --lenient --action "$1" --module shell \
            --actor-id "$(id -un)" --target-type host --target-id "$(uname -n)" \
            --session-id "$activity_session" ${activity_from:+--ip "$activity_from"} </dev/null
    }

    activity_record session.login || :
    trap 'activity_record session.logout || :' EXIT
fi
