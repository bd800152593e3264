//! The users of a host, as cron looks them up.

use std::fs;
use std::path::Path;

/// The users that `/etc/passwd` names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Accounts {
    passwd: String,
    /// Whether there are no users but these: none that another host or service knows.
    is_complete: bool,
}

/// Sources of users that are on the host itself.
const LOCAL_SOURCES: [&str; 3] = ["files", "compat", "systemd"];

impl Accounts {
    /// Reads the users of the host under `root`.
    pub(super) fn read(root: &Path) -> Self {
        let Ok(passwd) = fs::read_to_string(root.join("etc/passwd")) else {
            return Self::default();
        };
        let switch = fs::read_to_string(root.join("etc/nsswitch.conf")).unwrap_or_default();
        Self::new(passwd, &switch)
    }

    /// The users in the text of `/etc/passwd`; `switch` is the text of `/etc/nsswitch.conf`.
    pub(super) fn new(passwd: String, switch: &str) -> Self {
        let sources = switch.lines().filter_map(|line| line.trim_start().strip_prefix("passwd:"));
        let mut words = sources.flat_map(str::split_ascii_whitespace);
        Self { passwd, is_complete: words.all(|word| LOCAL_SOURCES.contains(&word)) }
    }

    /// Returns the number of a user.
    pub(super) fn uid(&self, name: &str) -> Option<u32> {
        self.passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let is_named = fields.next() == Some(name);
            fields.nth(1).filter(|_| is_named)?.parse().ok()
        })
    }

    /// The number of root, which is 0 on every host but those that tests make up.
    pub(super) fn root_uid(&self) -> u32 {
        self.uid("root").unwrap_or(0)
    }

    /// Whether there is a user of that name, or may be one that only another service knows.
    pub(super) fn may_have(&self, name: &str) -> bool {
        !self.is_complete || self.uid(name).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nbroken\nalice:x:1000:1000::/:/bin/sh\n";

    #[test]
    fn a_user_is_unknown_only_where_all_are_known() {
        for (switch, is_known) in [
            ("", false),
            ("group: files\npasswd: files systemd\n", false),
            ("passwd:\tfiles sss\n", true),
            ("passwd: files [!UNAVAIL=return] ldap\n", true),
        ] {
            let accounts = Accounts::new(PASSWD.to_owned(), switch);
            assert_eq!(accounts.may_have("bob"), is_known, "{switch}");
            assert!(accounts.may_have("alice"));
            assert_eq!(accounts.uid("alice"), Some(1000));
            assert_eq!(accounts.uid("broken"), None);
            assert_eq!(accounts.root_uid(), 0);
        }
        assert!(Accounts::default().may_have("bob"), "without the file nobody knows");
    }
}
