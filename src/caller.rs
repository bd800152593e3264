//! Who runs the program: the real user, the one behind `sudo`, the one who logged in.
//!
//! Every event is stamped with the caller ([`Caller::recorded_by`]), and the caller decides who may do
//! what. User ids come from the kernel. `SUDO_UID` counts only if the real user is root, because
//! anybody can set a variable. Names come only from `/etc/passwd`: a user who is not in it keeps their
//! number.

use std::fs;

use rustix::process;

use crate::failure::Exit;
use crate::failure::Failure;
use crate::lent_rights::CallerIds;
use crate::lent_rights::FileRights;

/// The content of `/proc/self/loginuid` in a session without a login.
const UNSET_LOGINUID: u32 = u32::MAX;
const PASSWD_FILE: &str = "/etc/passwd";
const GROUP_FILE: &str = "/etc/group";
/// The group of a caller who is in no table.
const NO_GROUP: u32 = 65_534;
const LOGINUID_FILE: &str = "/proc/self/loginuid";

/// A user of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub uid: u32,
    /// The name, or the number if the user has no name.
    pub name: String,
}

/// The user on whose behalf the program runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The real user of the process.
    pub real: User,
    pub gid: u32,
    pub groups: Vec<u32>,
    /// The user who reached root by `sudo`.
    pub sudo: Option<User>,
    /// The user who logged in, as the kernel keeps it across `su` and `sudo`.
    pub login: Option<User>,
}

impl Caller {
    /// Reads the caller from the system. `sudo_uid` is the value of the variable `SUDO_UID`.
    pub(crate) fn detect(sudo_uid: Option<&str>) -> Self {
        // A host without the file has no names; its events are recorded all the same.
        let passwd = fs::read(PASSWD_FILE).unwrap_or_default();
        let login =
            fs::read_to_string(LOGINUID_FILE).ok().and_then(|text| text.trim().parse().ok());
        Self {
            gid: process::getgid().as_raw(),
            groups: process::getgroups()
                .map(|groups| groups.into_iter().map(process::Gid::as_raw).collect())
                .unwrap_or_default(),
            ..Self::from_ids(process::getuid().as_raw(), sudo_uid, login, &passwd)
        }
    }

    fn from_ids(uid: u32, sudo_uid: Option<&str>, login: Option<u32>, passwd: &[u8]) -> Self {
        let user = |uid| User { uid, name: name_by_id(passwd, uid) };
        Self {
            real: user(uid),
            gid: 0,
            groups: Vec::new(),
            sudo: sudo_uid.filter(|_| uid == 0).and_then(|text| text.parse().ok()).map(user),
            login: login.filter(|uid| *uid != UNSET_LOGINUID).map(user),
        }
    }

    /// Returns the person: the user behind `sudo`, else the real user.
    pub(crate) fn person(&self) -> &User {
        self.sudo.as_ref().unwrap_or(&self.real)
    }

    /// Returns the stamp on the events that they record: `USER[ sudo:USER][ login:USER]`. The user who
    /// logged in is left out if they are one of the users before.
    pub(crate) fn recorded_by(&self) -> String {
        let mut stamp = self.real.name.clone();
        if let Some(sudo) = &self.sudo {
            stamp.push_str(" sudo:");
            stamp.push_str(&sudo.name);
        }
        if let Some(login) = self.login.as_ref().filter(|login| !self.is_real_or_sudo(login)) {
            stamp.push_str(" login:");
            stamp.push_str(&login.name);
        }
        stamp
    }

    fn is_real_or_sudo(&self, user: &User) -> bool {
        self.real == *user || self.sudo.as_ref() == Some(user)
    }

    /// Whether the caller is root itself, not somebody who became root by `sudo`.
    pub(crate) fn is_root(&self) -> bool {
        self.person().uid == 0
    }

    /// Returns how the caller came to rights that are not theirs.
    ///
    /// # Errors
    /// [`Exit::Config`] for a set-user-ID program: it could not give up its user for its children.
    pub(crate) fn elevation(&self) -> Result<Elevation, Failure> {
        if process::geteuid() != process::getuid() {
            let message = "installed setuid, which it does not support";
            let hint = "take the bit off (`chmod u-s`); setgid or sudo let users call it";
            return Err(Failure::new(Exit::Config, message).hint(hint));
        }
        Ok(if self.is_root() {
            Elevation::None
        } else if self.sudo.is_some() {
            Elevation::Sudo
        } else if process::getegid() != process::getgid() {
            Elevation::Setgid
        } else {
            Elevation::None
        })
    }
}

impl Caller {
    /// Returns the rights that the caller has by themselves.
    pub(crate) fn own_rights(&self) -> FileRights {
        let person = self.person();
        if self.real == *person {
            let ids = CallerIds { uid: person.uid, gid: self.gid, groups: self.groups.clone() };
            return FileRights::Caller(ids);
        }
        let passwd = fs::read(PASSWD_FILE).unwrap_or_default();
        let gid = group_of_user(&passwd, person.uid).unwrap_or(NO_GROUP);
        let mut groups = groups_of_member(&fs::read(GROUP_FILE).unwrap_or_default(), &person.name);
        groups.push(gid);
        FileRights::Caller(CallerIds { uid: person.uid, gid, groups })
    }
}

/// Returns the group of a user in the text of `/etc/passwd`.
fn group_of_user(passwd: &[u8], uid: u32) -> Option<u32> {
    let mut lines = passwd.split(|byte| *byte == b'\n');
    lines.find_map(|line| {
        let fields: Vec<&str> = str::from_utf8(line).ok()?.split(':').collect();
        let number: u32 = fields.get(2)?.parse().ok()?;
        if number == uid { fields.get(3)?.parse().ok() } else { None }
    })
}

/// Returns the groups that list a user in the text of `/etc/group`.
fn groups_of_member(groups: &[u8], name: &str) -> Vec<u32> {
    let lines = groups.split(|byte| *byte == b'\n').filter_map(|line| str::from_utf8(line).ok());
    lines
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let is_member = fields.get(3)?.split(',').any(|member| member == name);
            if is_member { fields.get(2)?.parse().ok() } else { None }
        })
        .collect()
}

/// How a caller came to rights that are not theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Elevation {
    /// They have their own rights.
    None,
    Sudo,
    /// The program has the group of the log.
    Setgid,
}

/// Returns the name of a user of this host, else the number.
pub(crate) fn user_name(uid: u32) -> String {
    name_by_id(&fs::read(PASSWD_FILE).unwrap_or_default(), uid)
}

/// Whether a user of this host has that name, or that number.
pub(crate) fn has_user(name: &str) -> bool {
    let passwd = fs::read(PASSWD_FILE).unwrap_or_default();
    let is_named = |line: &[u8]| line.split(|byte| *byte == b':').next() == Some(name.as_bytes());
    name.bytes().all(|byte| byte.is_ascii_digit())
        || passwd.split(|byte| *byte == b'\n').any(is_named)
}

/// Returns the users that `/etc/group` lists in a group, but for root.
pub(crate) fn members_of_group(name: &str) -> Vec<String> {
    let groups = fs::read(GROUP_FILE).unwrap_or_default();
    let lines = groups.split(|byte| *byte == b'\n').filter_map(|line| str::from_utf8(line).ok());
    let fields = lines.map(|line| line.split(':').collect::<Vec<_>>());
    let mut own = fields.filter(|fields| fields.first() == Some(&name));
    let members = own.find_map(|fields| fields.get(3).copied()).unwrap_or_default();
    members
        .split(',')
        .filter(|member| !member.is_empty() && *member != "root")
        .map(str::to_owned)
        .collect()
}

/// Returns the name of a group of this host, else the number.
pub(crate) fn group_name(gid: u32) -> String {
    name_by_id(&fs::read(GROUP_FILE).unwrap_or_default(), gid)
}

/// Returns the name of a user or group in the text of `/etc/passwd` or `/etc/group`, else the number.
fn name_by_id(table: &[u8], id: u32) -> String {
    table
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let mut fields = line.split(|byte| *byte == b':');
            let (name, _password, number) = (fields.next()?, fields.next()?, fields.next()?);
            let number: u32 = std::str::from_utf8(number).ok()?.parse().ok()?;
            (number == id).then(|| std::str::from_utf8(name).ok()).flatten()
        })
        .find(|name| !name.is_empty())
        .map_or_else(|| id.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &[u8] =
        b"root:x:0:0::/root:/bin/sh\nbroken\nalice:x:1000:1000::/home/alice:/bin/sh\n\
        bob:x:1001:1001::/:/bin/sh\n";

    fn stamp(uid: u32, sudo_uid: Option<&str>, login: Option<u32>) -> String {
        Caller::from_ids(uid, sudo_uid, login, USERS).recorded_by()
    }

    #[test]
    fn the_stamp_names_everyone_once() {
        assert_eq!(stamp(1000, None, None), "alice");
        assert_eq!(stamp(1000, None, Some(UNSET_LOGINUID)), "alice");
        assert_eq!(stamp(1000, None, Some(1000)), "alice");
        assert_eq!(stamp(1000, None, Some(1001)), "alice login:bob");
        assert_eq!(stamp(0, Some("1000"), Some(1000)), "root sudo:alice");
        assert_eq!(stamp(0, Some("1000"), Some(1001)), "root sudo:alice login:bob");
        assert_eq!(stamp(0, None, Some(1000)), "root login:alice");
    }

    #[test]
    fn a_user_without_a_name_keeps_their_number() {
        assert_eq!(stamp(4711, None, Some(4712)), "4711 login:4712");
    }

    #[test]
    fn the_groups_are_those_of_the_tables() {
        assert_eq!(group_of_user(USERS, 1001), Some(1001));
        assert_eq!(group_of_user(USERS, 7), None);
        let groups = b"root:x:0:\nadm:x:4:syslog,alice\nusers:x:100:alice,bob\nbroken\n";
        assert_eq!(groups_of_member(groups, "alice"), [4, 100]);
        assert_eq!(groups_of_member(groups, "ali"), [0; 0]);
    }

    #[test]
    fn sudo_counts_only_for_root() {
        let caller = Caller::from_ids(1000, Some("0"), None, USERS);
        assert_eq!((caller.recorded_by().as_str(), caller.is_root()), ("alice", false));
        assert!(!Caller::from_ids(0, Some("1000"), None, USERS).is_root());
        assert!(Caller::from_ids(0, None, Some(1000), USERS).is_root());
        assert!(Caller::from_ids(0, Some("0"), None, USERS).is_root());
    }
}
