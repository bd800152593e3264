//! The file of a crontab: cron ignores one that somebody else could have written.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

use crate::doctor::accounts::Accounts;
use crate::doctor::fault::Fault;

/// A file from which cron reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CronFile {
    path: PathBuf,
    uid: u32,
    mode: u32,
    hard_links: u64,
    /// The owner of the symbolic link, where the path is one.
    link_uid: Option<u32>,
}

/// The mode that Debian's cron wants for a user's crontab.
const USER_CRONTAB_MODE: u32 = 0o600;
const GROUP_OR_OTHERS_WRITE: u32 = 0o022;

impl CronFile {
    /// Looks at a file without opening it; absent where there is none.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let (link, file) = (fs::symlink_metadata(path).ok()?, fs::metadata(path).ok()?);
        Some(Self {
            path: path.to_owned(),
            uid: file.uid(),
            mode: file.mode() & 0o7777,
            hard_links: file.nlink(),
            link_uid: link.is_symlink().then(|| link.uid()),
        })
    }

    /// Why cron ignores this file as the crontab of the user whose name it has.
    ///
    /// Debian's cron wants one mode; others only refuse a file that somebody else may write.
    pub(super) fn user_crontab_fault(&self, is_debian: bool, accounts: &Accounts) -> Option<Fault> {
        let user = self.path.file_name()?.to_string_lossy();
        if !accounts.may_have(&user) {
            return Some(Fault::new(
                format!("cron ignores it: there is no user {user}"),
                "install it for a user: crontab -u USER FILE",
            ));
        }
        if self.link_uid.is_some() {
            return Some(Fault::new(
                "cron follows no symbolic link there",
                format!("install the file: crontab -u {user} FILE"),
            ));
        }
        // A user whom another service knows may have any number.
        let is_foreign = accounts.uid(&user).is_some_and(|uid| uid != self.uid);
        if is_foreign && self.uid != accounts.root_uid() {
            return Some(Fault::new(
                format!("cron ignores it: its owner is not {user}"),
                format!("chown {user}"),
            ));
        }
        if is_debian && self.mode != USER_CRONTAB_MODE {
            return Some(Fault::new(
                format!("cron ignores it: its mode is {:04o} and not 0600", self.mode),
                "chmod 0600",
            ));
        }
        self.write_fault().or_else(|| self.hard_link_fault())
    }

    /// Why cron ignores this file as a crontab of the system.
    pub(super) fn system_crontab_fault(&self, accounts: &Accounts) -> Option<Fault> {
        let root = accounts.root_uid();
        if self.link_uid.is_some_and(|uid| uid != root) {
            return Some(Fault::new(
                "cron ignores it: the symbolic link does not belong to root",
                "chown -h root",
            ));
        }
        if self.uid != root {
            return Some(Fault::new("cron ignores it: it does not belong to root", "chown root"));
        }
        self.write_fault().or_else(|| self.hard_link_fault())
    }

    fn write_fault(&self) -> Option<Fault> {
        (self.mode & GROUP_OR_OTHERS_WRITE != 0).then(|| {
            let mode = self.mode;
            let reason = format!("cron ignores it: group or others may write it, mode {mode:04o}");
            Fault::new(reason, "chmod go-w")
        })
    }

    fn hard_link_fault(&self) -> Option<Fault> {
        (self.hard_links > 1).then(|| {
            let reason = format!("cron ignores it: it has {} hard links", self.hard_links);
            Fault::new(reason, "make a copy without other links")
        })
    }
}

/// Why cron passes over a file because of its name: a dot stands for what editors and packages
/// leave.
pub(super) fn name_fault(path: &Path) -> Option<Fault> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let name = path.file_name().and_then(|name| name.to_str());
    let is_taken = name.is_some_and(|name| name.chars().all(is_plain));
    (!is_taken).then(|| {
        let reason = "cron passes over a file with a dot or another such sign in its name";
        Fault::new(reason, "rename it to `activity`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        let passwd = "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/:/bin/sh\n";
        Accounts::new(passwd.to_owned(), "")
    }

    fn file(name: &str, mode: u32, uid: u32) -> CronFile {
        CronFile { path: PathBuf::from(name), uid, mode, hard_links: 1, link_uid: None }
    }

    #[track_caller]
    fn assert_fault(fault: Option<Fault>, part: &str) {
        let reason = fault.map(|fault| fault.reason).unwrap_or_default();
        assert!(reason.contains(part), "{part}: {reason:?}");
    }

    /// Each file was given to Debian's cron 3.0pl1-162.
    #[test]
    fn a_users_crontab_is_theirs_alone() {
        let fault = |file: CronFile| file.user_crontab_fault(true, &accounts());
        assert_eq!(fault(file("alice", 0o600, 1000)), None);
        assert_eq!(fault(file("alice", 0o600, 0)), None);
        assert_fault(fault(file("alice", 0o600, 1001)), "is not alice");
        assert_fault(fault(file("root", 0o600, 1000)), "is not root");
        assert_fault(fault(file("bob", 0o600, 0)), "no user bob");
        for mode in [0o400, 0o640, 0o644, 0o660, 0o700] {
            assert_fault(fault(file("alice", mode, 1000)), &format!("its mode is {mode:04o}"));
        }
        let linked = CronFile { hard_links: 2, ..file("alice", 0o600, 1000) };
        assert_fault(fault(linked), "2 hard links");
        let link = CronFile { link_uid: Some(0), ..file("alice", 0o600, 0) };
        assert_fault(fault(link), "no symbolic link");
        let elsewhere = |mode| file("alice", mode, 1000).user_crontab_fault(false, &accounts());
        assert_eq!(elsewhere(0o644), None);
        assert_fault(elsewhere(0o664), "mode 0664");
    }

    /// Each file was given to Debian's cron 3.0pl1-162.
    #[test]
    fn a_crontab_of_the_system_is_roots() {
        let fault = |file: CronFile| file.system_crontab_fault(&accounts());
        for mode in [0o400, 0o600, 0o644, 0o755, 0o4644] {
            assert_eq!(fault(file("activity", mode, 0)), None);
        }
        for mode in [0o664, 0o646] {
            assert_fault(fault(file("activity", mode, 0)), &format!("mode {mode:04o}"));
        }
        assert_fault(fault(file("activity", 0o644, 1000)), "belong to root");
        assert_eq!(fault(CronFile { link_uid: Some(0), ..file("activity", 0o644, 0) }), None);
        let link = CronFile { link_uid: Some(1000), ..file("activity", 0o644, 0) };
        assert_fault(fault(link), "symbolic link");
        let linked = CronFile { hard_links: 2, ..file("activity", 0o644, 0) };
        assert_fault(fault(linked), "2 hard links");
        for (name, is_taken) in
            [("activity", true), ("A_1-b", true), ("activity.cron", false), ("activity~", false)]
        {
            assert_eq!(name_fault(Path::new(name)).is_none(), is_taken, "{name}");
        }
    }
}
