//! The schedules of a host: crontabs and systemd's timers.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::io::Read as _;
use std::path::Path;
use std::path::PathBuf;

use crate::doctor::Area;
use crate::doctor::Check;
use crate::doctor::crontab;
use crate::doctor::crontab::CrontabKind;
use crate::doctor::crontab::ProgramCall;
use crate::doctor::crontab::ScheduledJob;
use crate::doctor::mail::is_executable;
use crate::doctor::systemd_units;
use crate::render::Status;

/// Where users' crontabs are, by the user's name: Debian's, others', Alpine's.
const USER_CRONTAB_FOLDERS: [&str; 3] =
    ["var/spool/cron/crontabs", "var/spool/cron", "etc/crontabs"];
const SYSTEM_CRONTAB: &str = "etc/crontab";
const SYSTEM_CRONTAB_FOLDER: &str = "etc/cron.d";
const SCRIPT_FOLDERS: [&str; 4] =
    ["etc/cron.hourly", "etc/cron.daily", "etc/cron.weekly", "etc/cron.monthly"];
/// Where the units of the system are, the first that has a name holding.
const SYSTEM_UNIT_FOLDERS: [&str; 5] = [
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];
const USER_UNIT_FOLDERS: [&str; 2] = ["etc/systemd/user", "usr/lib/systemd/user"];
/// Where cron looks for programs, unless a crontab says otherwise.
const DEFAULT_CRON_PATH: &str = "/usr/bin:/bin";
const CRON_DAEMONS: [&str; 3] = ["cron", "crond", "fcron"];
/// No crontab, unit or script that a person wrote is longer.
const MAX_FILE_SIZE: u64 = 1 << 20;

/// Where to look.
pub(crate) struct Host<'a> {
    /// `/`, but in tests.
    pub root: &'a Path,
    pub home: Option<&'a Path>,
    pub is_root: bool,
    /// What `crontab -l` printed, where the caller's own file is closed to him.
    pub own_crontab: Option<String>,
}

/// What runs a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheduler {
    Cron,
    Systemd,
}

/// One entry that runs a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ScheduleEntry {
    pub job: ScheduledJob,
    pub scheduler: Scheduler,
    /// `/etc/cron.d/activity:7`.
    pub location: String,
    /// `0 4 * * *`
    pub schedule: String,
    /// Why it does not run, and what helps.
    pub fault: Option<(String, String)>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Schedules {
    pub entries: Vec<ScheduleEntry>,
    pub is_cron_running: bool,
    pub is_systemd_running: bool,
}

pub(super) fn inspect(host: &Host<'_>) -> Schedules {
    let mut found = Schedules {
        is_cron_running: is_process_running(host.root, &CRON_DAEMONS),
        is_systemd_running: host.root.join("run/systemd/system").is_dir(),
        ..Schedules::default()
    };
    for spool in USER_CRONTAB_FOLDERS {
        for path in files_in(&host.root.join(spool)) {
            found.add_crontab(
                host,
                &host_path(host, &path),
                &read_text_lossy(&path),
                CrontabKind::User,
            );
        }
    }
    if let Some(text) = &host.own_crontab {
        found.add_crontab(host, "crontab -l", text, CrontabKind::User);
    }
    let system = host.root.join(SYSTEM_CRONTAB);
    found.add_crontab(
        host,
        &host_path(host, &system),
        &read_text_lossy(&system),
        CrontabKind::System,
    );
    for path in files_in(&host.root.join(SYSTEM_CRONTAB_FOLDER)) {
        let before = found.entries.len();
        found.add_crontab(
            host,
            &host_path(host, &path),
            &read_text_lossy(&path),
            CrontabKind::System,
        );
        if !is_run_parts_name(&path) {
            found.mark_faulty_from(
                before,
                "cron passes over a file with such a name",
                "rename it to `activity`",
            );
        }
    }
    for folder in SCRIPT_FOLDERS {
        for path in files_in(&host.root.join(folder)) {
            let before = found.entries.len();
            found.add_script(
                &host_path(host, &path),
                &format!("/{folder}"),
                &read_text_lossy(&path),
            );
            if !is_run_parts_name(&path) {
                found.mark_faulty_from(
                    before,
                    "cron passes over a script with such a name",
                    "rename it to `activity`",
                );
            } else if !is_executable(&path) {
                found.mark_faulty_from(before, "the script is not executable", "chmod +x");
            }
        }
    }
    found.add_timers(host, &SYSTEM_UNIT_FOLDERS.map(|folder| host.root.join(folder)), "systemctl");
    let home = host.home.map(|home| home.join(".config/systemd/user"));
    let user: Vec<PathBuf> =
        home.into_iter().chain(USER_UNIT_FOLDERS.map(|folder| host.root.join(folder))).collect();
    found.add_timers(host, &user, "systemctl --user");
    found
}

impl Schedules {
    fn add_crontab(&mut self, host: &Host<'_>, name: &str, text: &str, form: CrontabKind) {
        for line in crontab::parse_lines(text, form) {
            let place = format!("{name}:{}", line.number);
            let path = line.search_path.as_deref().unwrap_or(DEFAULT_CRON_PATH);
            for call in find_calls_through_scripts(host, &line.command) {
                let fault = program_fault(host, &call, path);
                let (by, when) = (Scheduler::Cron, line.schedule.clone());
                self.entries.push(ScheduleEntry {
                    job: call.job,
                    scheduler: by,
                    location: place.clone(),
                    schedule: when,
                    fault,
                });
            }
        }
    }

    fn add_script(&mut self, name: &str, when: &str, text: &str) {
        for (number, line) in text.lines().enumerate() {
            self.entries.extend(crontab::find_calls(line).into_iter().map(|call| ScheduleEntry {
                job: call.job,
                scheduler: Scheduler::Cron,
                location: format!("{name}:{}", number + 1),
                schedule: when.to_owned(),
                fault: None,
            }));
        }
    }

    fn mark_faulty_from(&mut self, first: usize, why: &str, advice: &str) {
        for entry in &mut self.entries[first..] {
            entry.fault = Some((why.to_owned(), advice.to_owned()));
        }
    }

    /// Finds the timers whose services run a job; the first folder that has a name holds.
    fn add_timers(&mut self, host: &Host<'_>, folders: &[PathBuf], systemctl: &str) {
        let all: Vec<PathBuf> = folders.iter().flat_map(|folder| files_in(folder)).collect();
        let unit = |name: &str| all.iter().find(|path| path.file_name().is_some_and(|n| n == name));
        let mut seen = BTreeSet::new();
        for timer in &all {
            let Some(name) = timer.file_name().and_then(|name| name.to_str()) else { continue };
            let Some(stem) = name.strip_suffix(".timer") else { continue };
            if !seen.insert(name.to_owned()) {
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
            for exec in systemd_units::values(&service, "Service", "ExecStart") {
                for call in
                    find_calls_through_scripts(host, systemd_units::strip_exec_prefix(&exec))
                {
                    let not_enabled = || {
                        let advice = format!("{systemctl} enable --now {name}");
                        (!is_enabled).then(|| ("the timer is not enabled".to_owned(), advice))
                    };
                    let fault = program_fault(host, &call, "/usr/local/bin:/usr/bin:/bin");
                    self.entries.push(ScheduleEntry {
                        job: call.job,
                        scheduler: Scheduler::Systemd,
                        location: host_path(host, timer),
                        schedule: when.clone(),
                        fault: fault.or_else(not_enabled),
                    });
                }
            }
        }
    }
}

/// The calls in a command, and in the scripts that it runs.
fn find_calls_through_scripts(host: &Host<'_>, command: &str) -> Vec<ProgramCall> {
    let mut calls = crontab::find_calls(command);
    for word in crontab::shell_words(command).iter().filter(|word| word.starts_with('/')) {
        let path = host.root.join(&word[1..]);
        // The log may be named in the line, and is opened by nobody but SQLite: its locks would go.
        let text = if is_executable(&path) { read_text_lossy(&path) } else { String::new() };
        if text.starts_with("#!") {
            calls.extend(text.lines().flat_map(crontab::find_calls).map(|call| {
                // A script sets its own path, so only a whole one can be looked for.
                let whole = call.program.starts_with('/');
                ProgramCall { program: if whole { call.program } else { word.clone() }, ..call }
            }));
        }
    }
    calls
}

/// Why the program of a call is not found, if it is not.
fn program_fault(host: &Host<'_>, call: &ProgramCall, path: &str) -> Option<(String, String)> {
    let program = &call.program;
    let is_there = |path: &str| is_executable(&host.root.join(path.trim_start_matches('/')));
    if program.contains('/') {
        let missing = program.starts_with('/') && !is_there(program);
        return missing.then(|| {
            (format!("there is no program {program}"), "name the path that it has".to_owned())
        });
    }
    let found = path.split(':').any(|folder| is_there(&format!("{folder}/{program}")));
    (!found).then(|| {
        let why = format!("{program} is in none of {path}, where it is looked for");
        (why, "write its whole path, or set PATH in a line before".to_owned())
    })
}

/// Whether cron takes a file of that name: Debian's passes over those with a dot, as editors and
/// packages leave them.
fn is_run_parts_name(path: &Path) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.chars().all(plain))
}

/// Whether a process of one of these names runs.
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

/// What a file says; nothing where it cannot be read, is long or is no text.
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

/// A path as it is on the host.
fn host_path(host: &Host<'_>, path: &Path) -> String {
    match path.strip_prefix(host.root) {
        Ok(inner) => format!("/{}", inner.display()),
        Err(_) => path.display().to_string(),
    }
}

/// `retention`: whether the config has anything to sweep.
pub(super) fn evaluate(found: &Schedules, retention: bool, host: &Host<'_>) -> Vec<Check> {
    let digest = "0 4 * * * /usr/local/bin/activity digest";
    let sweep = "10 3 * * * /usr/local/bin/activity sweep";
    let unswept = if retention { Status::Bad } else { Status::Note };
    let mut checks = vec![
        check_job(found, ScheduledJob::Digest, "digest", (Status::Bad, digest), host),
        check_job(found, ScheduledJob::Sweep, "sweep", (unswept, sweep), host),
    ];
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

/// `absent`: how bad it is that nothing runs it, and a line of a crontab that would.
fn check_job(
    found: &Schedules,
    job: ScheduledJob,
    name: &str,
    absent: (Status, &str),
    host: &Host<'_>,
) -> Check {
    let check = |status, value: String| Check::new(Area::Schedules, name, status, value);
    let of = || found.entries.iter().filter(|entry| entry.job == job);
    let told = |entry: &ScheduleEntry| format!("{}: {}", entry.location, entry.schedule);
    let sound: Vec<String> = of().filter(|entry| entry.fault.is_none()).map(told).collect();
    if !sound.is_empty() {
        return check(Status::Ok, sound.join("; "));
    }
    if let Some((entry, (why, advice))) =
        of().find_map(|entry| Some((entry, entry.fault.as_ref()?)))
    {
        return check(absent.0, format!("{}, but {why}", told(entry))).with_advice(advice.as_str());
    }
    let closed =
        if host.is_root { "" } else { "; root's crontab is closed to you, call it as root" };
    check(absent.0, format!("no crontab or timer runs it{closed}"))
        .with_advice(format!("crontab -e: {}", absent.1))
}
