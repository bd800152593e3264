//! Sets a host up: its config, the folder of its log for a group, its schedule, and logrotate.
//!
//! Each step makes what is missing and leaves alone what is there, but for the rights of a program that
//! lends the log: without them roles would bind nobody. `root` is the folder below which everything is
//! made: `/`, or that of an image.

mod program;

use std::fs;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

use anyhow::Context;
use anyhow::Result;

use crate::config::reference;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::render;

const LOGROTATE: &str = include_str!("../../examples/logrotate");
/// The units of systemd, for a host without cron: name and text.
const UNITS: [(&str, &str); 4] = [
    ("activity-digest.service", include_str!("../../examples/systemd/activity-digest.service")),
    ("activity-digest.timer", include_str!("../../examples/systemd/activity-digest.timer")),
    ("activity-sweep.service", include_str!("../../examples/systemd/activity-sweep.service")),
    ("activity-sweep.timer", include_str!("../../examples/systemd/activity-sweep.timer")),
];
/// The path of the program in these units.
const PROGRAM_IN_UNITS: &str = "/usr/local/bin/activity";

/// The path of a program that lends the log.
const INSTALLED_PROGRAM: &str = "/usr/local/bin/activity";

/// Who opens the log of the host.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LogSharing<'a> {
    /// The members of its group.
    Members,
    /// The program alone, which is installed with the group; roles say who may read what.
    Program {
        /// The user whom a new config makes an administrator.
        administrator: &'a str,
    },
}

/// What a host is to get.
pub(crate) struct HostSetup<'a> {
    pub root: &'a Path,
    /// The group that shares the log.
    pub group: &'a str,
    pub sharing: LogSharing<'a>,
    /// The program that the schedule runs, or that is installed.
    pub program: &'a Path,
    /// The recipients of the digest; without any, the config names none.
    pub recipients: &'a [String],
}

/// One thing to make.
pub(crate) struct SetupStep {
    /// The path as the host will see it.
    pub path: PathBuf,
    work: SetupWork,
}

enum SetupWork {
    Group(String),
    Folder {
        mode: u32,
        group: Option<String>,
    },
    File {
        mode: u32,
        text: String,
    },
    /// A copy of a program, which runs with the group.
    Program {
        source: PathBuf,
        group: String,
    },
    /// The log with its folder, for a program that runs with the group.
    Log {
        group: String,
    },
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StepOutcome {
    Made,
    /// It was there, and is as it was.
    Kept,
}

impl HostSetup<'_> {
    /// Returns the steps in their order.
    pub(crate) fn steps(&self) -> Vec<SetupStep> {
        let step = |path: &str, work| SetupStep { path: PathBuf::from(path), work };
        let file = |path: &str, text| step(path, SetupWork::File { mode: 0o644, text });
        let mut steps = vec![
            step("/etc/group", SetupWork::Group(self.group.to_owned())),
            step("/etc/activity", SetupWork::Folder { mode: 0o755, group: None }),
            file("/etc/activity/config.toml", self.config()),
            step(
                "/var/lib/activity",
                SetupWork::Folder { mode: 0o2770, group: Some(self.group.to_owned()) },
            ),
        ];
        if let LogSharing::Program { .. } = self.sharing {
            let (source, group) = (self.program.to_owned(), self.group.to_owned());
            steps.push(step(INSTALLED_PROGRAM, SetupWork::Program { source, group }));
            let group = self.group.to_owned();
            steps.push(step("/var/lib/activity/activity.db", SetupWork::Log { group }));
        }
        if self.root.join("etc/cron.d").is_dir() || !self.root.join("etc/systemd/system").is_dir() {
            steps.push(file("/etc/cron.d/activity", self.crontab()));
        } else {
            let program = self.scheduled_program().display().to_string();
            steps.extend(UNITS.map(|(name, text)| {
                let text = text.replace(PROGRAM_IN_UNITS, &program);
                file(&format!("/etc/systemd/system/{name}"), text)
            }));
        }
        if self.root.join("etc/logrotate.d").is_dir() {
            steps.push(file("/etc/logrotate.d/activity", LOGROTATE.to_owned()));
        }
        steps
    }

    /// The program that the schedule runs.
    fn scheduled_program(&self) -> &Path {
        match self.sharing {
            LogSharing::Members => self.program,
            LogSharing::Program { .. } => Path::new(INSTALLED_PROGRAM),
        }
    }

    fn config(&self) -> String {
        let mut text = reference::commented_config();
        if let LogSharing::Program { administrator } = self.sharing {
            let user = serde_json::Value::from(administrator);
            let access = format!(
                "# Whoever is not named here is refused.\n[access.users]\n\
                 {user} = \"administrator\"\n#[access]\n"
            );
            text = text.replacen("#[access]\n", &access, 1);
        }
        if self.recipients.is_empty() {
            return text;
        }
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let to: Vec<_> = self.recipients.iter().map(|address| quoted(address)).collect();
        let digest = format!(
            "[digest]\nfrom = {}\nto = [{}]\ntransport = \"sendmail\"\n",
            quoted(&format!("Activity <activity@{host}>")),
            to.join(", ")
        );
        text.replacen("#[digest]\n", &digest, 1)
    }

    fn crontab(&self) -> String {
        let program = render::shell_command(&[self.scheduled_program().to_string_lossy()]);
        // A percent sign would end the command.
        let program = program.replace('%', "\\%");
        let job = |mark: &str, schedule: &str, command: &str| {
            format!("{mark}{schedule} root {program} {command} >> /var/log/activity.log\n")
        };
        [
            "# The activity log by night. The hours are those of the host's clock.\nMAILTO=root\n\n\
             # Mails the digest to the recipients of /etc/activity/config.toml.\n",
            &job("", "0 4 * * *", "digest"),
            "\n# Removes what is past its time: take the # off when [retention] is set.\n",
            &job("# ", "10 3 * * *", "sweep"),
            "\n# Delivers to [[mirror]] and [[alert]]: take the # off when there is one.\n",
            &job("# ", "* * * * *", "mirror"),
        ]
        .concat()
    }
}

impl SetupStep {
    /// Returns what it is, for a person: `folder, group activity, mode 2770`.
    pub(crate) fn describe(&self) -> String {
        match &self.work {
            SetupWork::Group(name) => format!("group {name}"),
            SetupWork::Folder { mode, group: Some(group) } => {
                format!("folder for group {group}, mode {mode:04o}")
            }
            SetupWork::Folder { mode, group: None } => format!("folder, mode {mode:04o}"),
            SetupWork::File { mode, .. } => format!("file, mode {mode:04o}"),
            SetupWork::Program { group, .. } => {
                format!("program with group {group}, mode {:04o}", program::PROGRAM_MODE)
            }
            SetupWork::Log { group } => {
                format!("log for group {group}, mode {:04o}", program::LOG_MODE)
            }
        }
    }

    /// The text of a file.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.work {
            SetupWork::File { text, .. } => Some(text),
            SetupWork::Group(_)
            | SetupWork::Folder { .. }
            | SetupWork::Program { .. }
            | SetupWork::Log { .. } => None,
        }
    }

    /// Whether there is something already.
    pub(crate) fn is_done(&self, root: &Path) -> bool {
        match &self.work {
            SetupWork::Group(name) => group_id(root, name).is_some(),
            SetupWork::Folder { .. } | SetupWork::File { .. } => {
                below(root, &self.path).symlink_metadata().is_ok()
            }
            SetupWork::Program { source, group } => group_id(root, group).is_some_and(|group| {
                program::is_installed(source, &below(root, &self.path), group)
            }),
            SetupWork::Log { group } => group_id(root, group)
                .is_some_and(|group| program::is_lent_log(&below(root, &self.path), group)),
        }
    }

    /// Makes it, unless there is something already.
    ///
    /// # Errors
    /// [`Exit::CantCreate`] with the path and the reason.
    pub(crate) fn apply(&self, root: &Path) -> Result<StepOutcome> {
        if self.is_done(root) {
            return Ok(StepOutcome::Kept);
        }
        let path = below(root, &self.path);
        let made = match &self.work {
            SetupWork::Group(name) => return make_group(root, name).map(|()| StepOutcome::Made),
            SetupWork::Folder { mode, group } => {
                make_folder(&path, *mode, group.as_deref().and_then(|name| group_id(root, name)))
            }
            SetupWork::File { mode, text } => make_file(&path, *mode, text),
            SetupWork::Program { source, group } => {
                program::install(source, &path, known_group(root, group)?)
            }
            SetupWork::Log { group } => {
                program::lend_log(&path, known_group(root, group)?)?;
                return Ok(StepOutcome::Made);
            }
        };
        let failure = || Failure::new(Exit::CantCreate, format!("cannot make {}", path.display()));
        made.with_context(failure)?;
        Ok(StepOutcome::Made)
    }
}

/// Writes a new file with its text, and its folders.
///
/// # Errors
/// Those of the system; there is such a file.
pub(crate) fn make_file(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    make_parents(path, if mode & 0o077 == 0 { 0o700 } else { 0o755 })?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()
}

fn make_folder(path: &Path, mode: u32, group: Option<u32>) -> io::Result<()> {
    make_parents(path, 0o755)?;
    fs::DirBuilder::new().mode(0o700).create(path)?;
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(path, Some(0), group)?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn make_parents(path: &Path, mode: u32) -> io::Result<()> {
    match path.parent() {
        Some(parent) => fs::DirBuilder::new().recursive(true).mode(mode).create(parent),
        None => Ok(()),
    }
}

fn make_group(root: &Path, name: &str) -> Result<()> {
    let mut command = Command::new("groupadd");
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
    if root != Path::new("/") {
        command.arg("--prefix").arg(root);
    }
    let failure = |why: String| {
        Failure::new(Exit::CantCreate, format!("cannot make the group {name}: {why}"))
            .hint("make it by hand, or name one that is there: --group NAME")
    };
    let output = command.args(["--system", "--", name]).output();
    let output = output.map_err(|error| failure(format!("groupadd: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(failure(text.lines().next().unwrap_or("groupadd failed").to_owned()).into())
}

/// Returns the number of a group of the host or image.
fn group_id(root: &Path, name: &str) -> Option<u32> {
    let table = fs::read_to_string(root.join("etc/group")).ok()?;
    table.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        fields.nth(1)?.parse().ok()
    })
}

fn known_group(root: &Path, name: &str) -> Result<u32> {
    group_id(root, name).with_context(|| {
        Failure::new(Exit::CantCreate, format!("there is no group {name} in /etc/group"))
    })
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}
