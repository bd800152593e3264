//! Finds what runs the digest, the sweep and the mirrors on a host: crontabs, and systemd's timers and
//! services.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::io::Read as _;
use std::path::Path;
use std::path::PathBuf;

use crate::doctor::Area;
use crate::doctor::Check;
use crate::doctor::accounts::Accounts;
use crate::doctor::config::ConfiguredJobs;
use crate::doctor::cron_file;
use crate::doctor::cron_file::CronFile;
use crate::doctor::crontab;
use crate::doctor::crontab::CrontabKind;
use crate::doctor::crontab::ScheduledJob;
use crate::doctor::fault::Fault;
use crate::doctor::mail::is_executable;
use crate::doctor::systemd_units;
use crate::render::Status;

/// Folders of users' crontabs, each named by its user: Debian's, others', Alpine's.
const USER_CRONTAB_FOLDERS: [&str; 3] = [DEBIAN_CRONTAB_FOLDER, "var/spool/cron", "etc/crontabs"];
const DEBIAN_CRONTAB_FOLDER: &str = "var/spool/cron/crontabs";
const SYSTEM_CRONTAB: &str = "etc/crontab";
const SYSTEM_CRONTAB_FOLDER: &str = "etc/cron.d";
const SCRIPT_FOLDERS: [&str; 4] =
    ["etc/cron.hourly", "etc/cron.daily", "etc/cron.weekly", "etc/cron.monthly"];
/// Folders of the system's units: of two units with a name, the one in the earlier folder holds.
const SYSTEM_UNIT_FOLDERS: [&str; 5] = [
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];
const USER_UNIT_FOLDERS: [&str; 2] = ["etc/systemd/user", "usr/lib/systemd/user"];
/// Folders of links to the services that start with the system, or with a user's session.
const SERVICE_WANTS_FOLDERS: [&str; 2] = ["multi-user.target.wants", "default.target.wants"];
/// The flag of mirrors that deliver as long as the service runs.
const FOLLOW_FLAG: &str = "--follow";
const CRON_DAEMONS: [&str; 3] = ["cron", "crond", "fcron"];
/// No crontab, unit or script that a person wrote is longer.
const MAX_FILE_SIZE: u64 = 1 << 20;

/// The host to look at.
pub(crate) struct Host<'a> {
    /// `/`, except in tests.
    pub root: &'a Path,
    pub home: Option<&'a Path>,
    pub is_root: bool,
    /// The output of `crontab -l`, for callers who cannot read their own file.
    pub own_crontab: Option<String>,
}

/// The program that runs a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheduler {
    Cron,
    Systemd,
}

/// One entry that names a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ScheduleEntry {
    pub job: ScheduledJob,
    pub scheduler: Scheduler,
    /// `/etc/cron.d/activity:7`.
    pub location: String,
    /// `0 4 * * *`
    pub schedule: String,
    pub fault: Option<Fault>,
}

/// All schedules of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Schedules {
    pub entries: Vec<ScheduleEntry>,
    pub is_cron_running: bool,
    pub is_systemd_running: bool,
}

impl Fault {
    pub(super) fn new(reason: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { reason: reason.into(), advice: advice.into() }
    }
}

/// Looks for schedules in every place that cron and systemd read.
pub(super) fn inspect(host: &Host<'_>) -> Schedules {
    let mut found = Schedules {
        is_cron_running: is_process_running(host.root, &CRON_DAEMONS),
        is_systemd_running: host.root.join("run/systemd/system").is_dir(),
        ..Schedules::default()
    };
    let accounts = Accounts::read(host.root);
    found.add_user_crontabs(host, &accounts);
    found.add_system_crontabs(host, &accounts);
    found.add_periodic_scripts(host);
    let system = SYSTEM_UNIT_FOLDERS.map(|folder| host.root.join(folder));
    found.add_timers(host, &system, "systemctl");
    found.add_services(host, &system, "systemctl");
    let home = host.home.map(|home| home.join(".config/systemd/user"));
    let user: Vec<PathBuf> =
        home.into_iter().chain(USER_UNIT_FOLDERS.map(|folder| host.root.join(folder))).collect();
    found.add_timers(host, &user, "systemctl --user");
    found.add_services(host, &user, "systemctl --user");
    found
}

impl Schedules {
    fn add_user_crontabs(&mut self, host: &Host<'_>, accounts: &Accounts) {
        for folder in USER_CRONTAB_FOLDERS {
            for path in files_in(&host.root.join(folder)) {
                let file = CronFile::read(&path);
                let is_debian = folder == DEBIAN_CRONTAB_FOLDER;
                let fault = file.and_then(|file| file.user_crontab_fault(is_debian, accounts));
                let name = host_path(host, &path);
                let text = read_text_lossy(&path);
                self.add_crontab(host, accounts, (&name, CrontabKind::User), &text, fault);
            }
        }
        if let Some(text) = &host.own_crontab {
            self.add_crontab(host, accounts, ("crontab -l", CrontabKind::User), text, None);
        }
    }

    fn add_system_crontabs(&mut self, host: &Host<'_>, accounts: &Accounts) {
        let single = host.root.join(SYSTEM_CRONTAB);
        let dropped_in = files_in(&host.root.join(SYSTEM_CRONTAB_FOLDER));
        for path in std::iter::once(&single).chain(&dropped_in) {
            let file = CronFile::read(path);
            let fault = cron_file::name_fault(path)
                .or_else(|| file.and_then(|file| file.system_crontab_fault(accounts)));
            let name = host_path(host, path);
            let text = read_text_lossy(path);
            self.add_crontab(host, accounts, (&name, CrontabKind::System), &text, fault);
        }
    }

    /// Adds the jobs of a crontab. `file_fault`: why cron ignores the file, whatever it says.
    fn add_crontab(
        &mut self,
        host: &Host<'_>,
        accounts: &Accounts,
        (name, kind): (&str, CrontabKind),
        text: &str,
        file_fault: Option<Fault>,
    ) {
        let crontab = crontab::parse(text, kind, accounts);
        let file_fault = file_fault.or(crontab.fault);
        for line in crontab.lines {
            let fault = file_fault.clone().or(line.fault);
            let jobs = jobs_with_scripts(host, &line.command);
            self.entries.extend(jobs.into_iter().map(|job| ScheduleEntry {
                job,
                scheduler: Scheduler::Cron,
                location: format!("{name}:{}", line.number),
                schedule: line.schedule.clone(),
                fault: fault.clone(),
            }));
        }
    }

    /// Adds the jobs of the scripts that cron runs from `/etc/cron.daily` and its like.
    fn add_periodic_scripts(&mut self, host: &Host<'_>) {
        for folder in SCRIPT_FOLDERS {
            for path in files_in(&host.root.join(folder)) {
                let fault = cron_file::name_fault(&path).or_else(|| {
                    let is_idle = !is_executable(&path);
                    is_idle.then(|| Fault::new("the script is not executable", "chmod +x"))
                });
                let name = host_path(host, &path);
                for (number, job) in script_jobs(&read_text_lossy(&path)) {
                    self.entries.push(ScheduleEntry {
                        job,
                        scheduler: Scheduler::Cron,
                        location: format!("{name}:{number}"),
                        schedule: format!("/{folder}"),
                        fault: fault.clone(),
                    });
                }
            }
        }
    }

    /// Finds the timers whose services run a job; the first folder that has a name holds.
    fn add_timers(&mut self, host: &Host<'_>, folders: &[PathBuf], systemctl: &str) {
        let all: Vec<PathBuf> = folders.iter().flat_map(|folder| files_in(folder)).collect();
        let unit = |name: &str| all.iter().find(|path| path.file_name().is_some_and(|n| n == name));
        let mut names = BTreeSet::new();
        for timer in &all {
            let Some(name) = timer.file_name().and_then(|name| name.to_str()) else { continue };
            let Some(stem) = name.strip_suffix(".timer") else { continue };
            if !names.insert(name.to_owned()) {
                continue;
            }
            let text = read_text_lossy(timer);
            let service = systemd_units::values(&text, "Timer", "Unit").pop();
            let service = service.unwrap_or_else(|| format!("{stem}.service"));
            let Some(service) = unit(&service).map(|path| read_text_lossy(path)) else { continue };
            let when = systemd_units::values(&text, "Timer", "OnCalendar").join(", ");
            let is_enabled = folders.iter().any(|folder| {
                let wants = folder.join("timers.target.wants").join(name);
                wants.symlink_metadata().is_ok()
            });
            let fault = (!is_enabled).then(|| {
                let advice = format!("{systemctl} enable --now {name}");
                Fault::new("the timer is not enabled", advice)
            });
            for exec in systemd_units::values(&service, "Service", "ExecStart") {
                let jobs = jobs_with_scripts(host, systemd_units::strip_exec_prefix(&exec));
                self.entries.extend(jobs.into_iter().map(|job| ScheduleEntry {
                    job,
                    scheduler: Scheduler::Systemd,
                    location: host_path(host, timer),
                    schedule: when.clone(),
                    fault: fault.clone(),
                }));
            }
        }
    }

    /// Finds the services that deliver to mirrors as long as they run.
    fn add_services(&mut self, host: &Host<'_>, folders: &[PathBuf], systemctl: &str) {
        let mut names = BTreeSet::new();
        for service in folders.iter().flat_map(|folder| files_in(folder)) {
            let Some(name) = service.file_name().and_then(|name| name.to_str()) else { continue };
            if !name.ends_with(".service") || !names.insert(name.to_owned()) {
                continue;
            }
            let text = read_text_lossy(&service);
            let follows = |exec: &String| crontab::words(exec).any(|word| word == FOLLOW_FLAG);
            let commands = systemd_units::values(&text, "Service", "ExecStart");
            let jobs = commands
                .iter()
                .filter(|exec| follows(exec))
                .flat_map(|exec| jobs_with_scripts(host, systemd_units::strip_exec_prefix(exec)));
            let is_enabled = folders.iter().any(|folder| {
                let wants = SERVICE_WANTS_FOLDERS.map(|wants| folder.join(wants).join(name));
                wants.iter().any(|link| link.symlink_metadata().is_ok())
            });
            let fault = (!is_enabled).then(|| {
                let advice = format!("{systemctl} enable --now {name}");
                Fault::new("the service is not enabled", advice)
            });
            let location = host_path(host, &service);
            self.entries.extend(jobs.map(|job| ScheduleEntry {
                job,
                scheduler: Scheduler::Systemd,
                location: location.clone(),
                schedule: "all the time".to_owned(),
                fault: fault.clone(),
            }));
        }
    }
}

/// The jobs that a command runs by itself, and those of the scripts that it names by a whole path.
fn jobs_with_scripts(host: &Host<'_>, command: &str) -> Vec<ScheduledJob> {
    let mut jobs = crontab::jobs(command);
    for path in crontab::words(command).filter_map(|word| word.strip_prefix('/')) {
        let path = host.root.join(path);
        // A command may name the log, which nobody but SQLite may open: its locks would be lost.
        let text = if is_executable(&path) { read_text_lossy(&path) } else { String::new() };
        if text.starts_with("#!") {
            jobs.extend(script_jobs(&text).map(|(_, job)| job));
        }
    }
    jobs
}

/// The jobs of a script, each with the number of its line.
fn script_jobs(text: &str) -> impl Iterator<Item = (usize, ScheduledJob)> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim_start().starts_with('#'));
    lines.flat_map(|(number, line)| crontab::jobs(line).into_iter().map(move |job| (number, job)))
}

/// Whether a process with one of these names runs.
fn is_process_running(root: &Path, names: &[&str]) -> bool {
    let processes = fs::read_dir(root.join("proc")).into_iter().flatten().flatten();
    let mut numbered = processes.filter(|process| {
        process.file_name().to_str().is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()))
    });
    numbered
        .any(|process| names.contains(&read_text_lossy(&process.path().join("comm")).trim_end()))
}

/// The files of a folder, by name; none where it cannot be read.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// The text of a file; empty where it cannot be read. A long file is cut, and bytes that are no
/// text are replaced.
fn read_text_lossy(path: &Path) -> String {
    let read = || -> io::Result<String> {
        // A FIFO would wait for its writer.
        if !fs::metadata(path)?.is_file() {
            return Ok(String::new());
        }
        let mut bytes = Vec::new();
        fs::File::open(path)?.take(MAX_FILE_SIZE).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_default()
}

/// The path of a file as it is on the host.
fn host_path(host: &Host<'_>, path: &Path) -> String {
    match path.strip_prefix(host.root) {
        Ok(inner) => format!("/{}", inner.display()),
        Err(_) => path.display().to_string(),
    }
}

/// Checks the schedules of the jobs. Nothing needs to run the mirrors where there are none.
pub(super) fn evaluate(found: &Schedules, wants: &ConfiguredJobs, host: &Host<'_>) -> Vec<Check> {
    let digest = "0 4 * * * /usr/local/bin/activity digest";
    let sweep = "10 3 * * * /usr/local/bin/activity sweep";
    let mirror = "* * * * * /usr/local/bin/activity mirror";
    let unswept = if wants.retention { Status::Bad } else { Status::Note };
    let mut checks = vec![
        check_job(found, ScheduledJob::Digest, "digest", (Status::Bad, digest), host),
        check_job(found, ScheduledJob::Sweep, "sweep", (unswept, sweep), host),
    ];
    if wants.mirrors {
        let absent = (Status::Bad, mirror);
        checks.push(check_job(found, ScheduledJob::Mirror, "mirror", absent, host));
    }
    let by = |by: Scheduler| {
        found.entries.iter().any(|entry| entry.scheduler == by && entry.fault.is_none())
    };
    let check = |value: &str| Check::new(Area::Schedules, "daemon", Status::Bad, value);
    if by(Scheduler::Cron) && !found.is_cron_running {
        let value = "no cron daemon runs, so no crontab is obeyed";
        checks.push(check(value).with_advice("`apt-get install cron`, and start it"));
    }
    if by(Scheduler::Systemd) && !found.is_systemd_running {
        checks.push(check("systemd does not run on this host, so no timer does"));
    }
    checks
}

/// Checks the schedule of one job. `absent`: the status where nothing runs it, and a line of a
/// crontab that would.
fn check_job(
    found: &Schedules,
    job: ScheduledJob,
    name: &str,
    absent: (Status, &str),
    host: &Host<'_>,
) -> Check {
    let check = |status, value: String| Check::new(Area::Schedules, name, status, value);
    let of = || found.entries.iter().filter(|entry| entry.job == job);
    let describe = |entry: &ScheduleEntry| format!("{}: {}", entry.location, entry.schedule);
    let sound: Vec<String> = of().filter(|entry| entry.fault.is_none()).map(describe).collect();
    if !sound.is_empty() {
        return check(Status::Ok, sound.join("; "));
    }
    if let Some((entry, fault)) = of().find_map(|entry| Some((entry, entry.fault.as_ref()?))) {
        let value = format!("{}, but {}", describe(entry), fault.reason);
        return check(absent.0, value).with_advice(fault.advice.as_str());
    }
    let closed =
        if host.is_root { "" } else { "; root's crontab is closed to you, call it as root" };
    check(absent.0, format!("no crontab or timer runs it{closed}"))
        .with_advice(format!("crontab -e: {}", absent.1))
}
