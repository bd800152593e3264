#!/bin/sh
# Installs `activity` so that [access] in /etc/activity/config.toml binds every user of this host:
#
#     sh install.sh setgid [PROGRAM]    the program has a group of its own, and only that group the log
#     sh install.sh sudo [PROGRAM]      the log is root's, and users come by sudo
#
# PROGRAM is the one that was built, target/release/activity if it is not named. It can be run again; it
# never changes a config or a log that is there.
set -eu

mode=${1-}
program=${2-target/release/activity}
config=/etc/activity/config.toml
log=/var/lib/activity/activity.db
here=$(dirname "$0")

case $mode in
  setgid | sudo) ;;
  *) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
[ "$(id -u)" = 0 ] || { echo "install.sh: only root can install" >&2; exit 77; }
[ -f "$program" ] || { echo "install.sh: there is no program $program" >&2; exit 66; }

if [ "$mode" = setgid ]; then
  # With roles in the config a caller by sudo may not set up the host: here it is root itself.
  [ ! -e "$config" ] || unset SUDO_UID
  # The log has no mail and no backup yet, which is not the install's trouble: doctor says so with 1.
  "$program" config init --system --setgid || [ $? = 1 ]
  exec /usr/local/bin/activity whoami
fi

install -d -o root -g root -m 0755 /etc/activity
if [ ! -e "$config" ]; then
  (
    umask 022
    cat >"$config" <<CONFIG
# Who may read what: docs/access.md. Whoever is not named here is refused.
[access.users]
${SUDO_USER:-root} = "administrator"
# bob = { role = "viewer", actor_id = "17" }
CONFIG
  )
fi
install -o root -g root -m 0755 "$program" /usr/local/bin/activity
install -d -o root -g root -m 0700 /var/lib/activity
# Root makes the log and the files beside it once, so none of them belongs to a caller.
[ -e "$log" ] || /usr/local/bin/activity --db "$log" ingest --quiet /dev/null
getent group activity-readers >/dev/null || groupadd --system activity-readers
install -o root -g root -m 0440 "$here/sudoers/activity" /etc/sudoers.d/activity
/usr/local/bin/activity whoami
