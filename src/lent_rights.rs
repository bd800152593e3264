//! The rights of the caller, where the program has more of them: a file that the caller names is opened,
//! and a child is run, as if they had done it themselves.
//!
//! User and group of the process stay; only those of one thread change, and only for as long as a file
//! is opened or made. So the log is read with the program's rights at the same time.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::process::Child;
use std::process::Command;
use std::thread;

use rustix::process;
use rustix::process::Gid;
use rustix::process::Uid;

/// The rights with which a file is opened that the caller names.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) enum FileRights {
    /// Those of the program, which has no more than the caller.
    #[default]
    Program,
    Caller(CallerIds),
}

/// The user, the group and the further groups of a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallerIds {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
}

impl FileRights {
    /// Whether the program has rights that the caller has not.
    pub(crate) const fn are_lent(&self) -> bool {
        matches!(self, Self::Caller(_))
    }

    /// Gives this thread the caller's rights until the guard is dropped.
    ///
    /// # Errors
    /// The system refuses it.
    pub(crate) fn assume(&self) -> io::Result<AssumedRights> {
        let Self::Caller(ids) = self else {
            return Ok(AssumedRights { before: None, on_this_thread: PhantomData });
        };
        let before = EffectiveIds {
            uid: process::geteuid(),
            gid: process::getegid(),
            groups: process::getgroups()?,
        };
        let guard = AssumedRights { before: Some(before), on_this_thread: PhantomData };
        if process::geteuid().is_root() {
            rustix::thread::set_thread_groups(&ids.groups())?;
        }
        rustix::thread::set_thread_res_gid(None, Gid::from_raw(ids.gid), None)?;
        if process::geteuid().as_raw() != ids.uid {
            rustix::thread::set_thread_res_uid(None, Uid::from_raw(ids.uid), None)?;
        }
        Ok(guard)
    }

    /// Starts a child that has the caller's rights, and no way back to those of the program.
    ///
    /// # Errors
    /// Those of [`Command::spawn`]; the system refuses to change the rights.
    pub(crate) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        let Self::Caller(ids) = self else { return command.spawn() };
        // A child inherits the rights of the thread that starts it, and this one gives up its own
        // for good.
        thread::scope(|scope| {
            let thread = thread::Builder::new().spawn_scoped(scope, || {
                if process::geteuid().is_root() {
                    rustix::thread::set_thread_groups(&ids.groups())?;
                }
                let (uid, gid) = (Uid::from_raw(ids.uid), Gid::from_raw(ids.gid));
                rustix::thread::set_thread_res_gid(gid, gid, gid)?;
                rustix::thread::set_thread_res_uid(uid, uid, uid)?;
                command.spawn()
            })?;
            thread.join().expect("a panic ends the program")
        })
    }
}

impl CallerIds {
    fn groups(&self) -> Vec<Gid> {
        self.groups.iter().copied().map(Gid::from_raw).collect()
    }
}

/// What a thread had before.
struct EffectiveIds {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

/// Gives this thread the rights of the program back when it is dropped.
#[must_use]
pub(crate) struct AssumedRights {
    before: Option<EffectiveIds>,
    /// The rights are those of one thread, so the guard must not leave it.
    on_this_thread: PhantomData<*const ()>,
}

impl EffectiveIds {
    fn restore(&self) -> io::Result<()> {
        rustix::thread::set_thread_res_uid(None, self.uid, None)?;
        rustix::thread::set_thread_res_gid(None, self.gid, None)?;
        if self.uid.is_root() {
            rustix::thread::set_thread_groups(&self.groups)?;
        }
        Ok(())
    }
}

impl Drop for AssumedRights {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // The saved ids of the process allow it, so there is nothing that could refuse it.
            before.restore().expect("the rights of the program come back");
        }
    }
}

impl fmt::Debug for AssumedRights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AssumedRights")
    }
}
