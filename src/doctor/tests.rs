//! The checks, on hosts and logs that the tests make up.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;
use crate::digest::outcome::DigestOutcome;
use crate::doctor::config::ConfiguredJobs;
use crate::doctor::crontab::ScheduledJob;
use crate::doctor::log::LogContents;
use crate::event::EventId;
use crate::event::own_events;
use crate::store::Create;
use crate::store::Stamp;
use crate::store::digest::LogPositions;
use crate::time::Span;
use crate::time::Zone;

const TIMER: &str = "[Timer]\nOnCalendar=*-*-* 04:00:00 UTC\n[Install]\nWantedBy=timers.target\n";
const SERVICE: &str = "[Service]\nType=oneshot\nExecStart=/usr/local/bin/activity digest\n";

/// A host that is made of files.
struct FakeHost(TempDir);

impl FakeHost {
    /// A host whose root is whoever runs the tests.
    fn new() -> Self {
        let made = Self(tempfile::tempdir().unwrap());
        let uid = rustix::process::getuid().as_raw();
        made.write("etc/passwd", &format!("root:x:{uid}:0::/root:/bin/sh\n"));
        made
    }

    fn write(&self, path: &str, text: &str) {
        let folder = self.0.path().join(path);
        fs::create_dir_all(folder.parent().unwrap()).unwrap();
        fs::write(folder, text).unwrap();
        self.set_mode(path, 0o600);
    }

    fn set_mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.0.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn symlink_at(&self, path: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("/somewhere", path).unwrap();
    }

    fn host(&self) -> Host<'_> {
        Host { root: self.0.path(), home: None, is_root: true, own_crontab: None }
    }

    fn schedules(&self) -> schedule::Schedules {
        schedule::inspect(&self.host())
    }

    /// The checks of the digest's schedule and of the daemon that runs it.
    fn digest_checks(&self) -> Vec<(Status, String)> {
        let checks = schedule::evaluate(&self.schedules(), &BOTH, &self.host());
        let kept = checks.into_iter().filter(|check| check.name != "sweep");
        kept.map(|check| (check.status, check.value)).collect()
    }

    fn with_cron(self) -> Self {
        self.write("proc/17/comm", "cron\n");
        self
    }
}

fn ok(value: &str) -> Vec<(Status, String)> {
    vec![(Status::Ok, value.to_owned())]
}

#[test]
fn crontabs_are_found_wherever_cron_has_them() {
    let line = "0 4 * * * /usr/local/bin/activity digest\n";
    let system = "0 4 * * * root /usr/local/bin/activity digest\n";
    for (path, text) in [
        ("var/spool/cron/crontabs/root", line),
        ("var/spool/cron/root", line),
        ("etc/crontabs/root", line),
        ("etc/crontab", system),
        ("etc/cron.d/activity", system),
    ] {
        let made = FakeHost::new().with_cron();
        made.write(path, &format!("# activity\n{text}"));
        assert_eq!(made.digest_checks(), ok(&format!("/{path}:2: 0 4 * * *")));
    }
    let made = FakeHost::new().with_cron();
    made.write("etc/cron.daily/activity", "#!/bin/sh\nactivity digest\n");
    made.set_mode("etc/cron.daily/activity", 0o755);
    assert_eq!(made.digest_checks(), ok("/etc/cron.daily/activity:2: /etc/cron.daily"));
}

#[test]
fn the_callers_own_crontab_counts_and_scripts_are_looked_into() {
    let made = FakeHost::new().with_cron();
    made.write("opt/nightly", "#!/bin/sh\nset -e\nactivity sweep; activity digest\n");
    made.set_mode("opt/nightly", 0o755);
    let own_crontab = Some("0 4 * * * /opt/nightly\n".to_owned());
    let found = schedule::inspect(&Host { own_crontab, is_root: false, ..made.host() });
    let jobs: Vec<ScheduledJob> = found.entries.iter().map(|entry| entry.job).collect();
    assert_eq!(jobs, [ScheduledJob::Sweep, ScheduledJob::Digest]);
    assert!(found.entries.iter().all(|entry| entry.fault.is_none()), "{found:?}");
    assert_eq!(found.entries[0].location, "crontab -l:1");
}

#[test]
fn an_entry_that_cannot_run_is_bad_and_says_why() {
    const SPOOLED: &str = "var/spool/cron/crontabs/root";
    const DROPPED_IN: &str = "etc/cron.d/activity";
    let line = "0 4 * * * root /usr/local/bin/activity digest\n";
    for (path, text, mode, reason) in [
        ("etc/crontab", "60 4 * * * root activity digest\n", 0o644, "line 1 has a bad minute"),
        (DROPPED_IN, &format!("{line}0 25 * * * root x\n"), 0o644, "line 2 has a bad hour"),
        (DROPPED_IN, "0 4 * * * activity digest\n", 0o644, "names the user activity, and there"),
        (DROPPED_IN, line.trim_end(), 0o644, "its last line does not end in a newline"),
        (DROPPED_IN, &line.replace('\n', "\r\n"), 0o644, "the line ends in a carriage return"),
        (DROPPED_IN, line, 0o664, "group or others may write it, mode 0664"),
        ("etc/cron.d/activity.cron", line, 0o644, "a dot or another such sign in its name"),
        (SPOOLED, "0 4 * * * activity digest\n", 0o644, "its mode is 0644 and not 0600"),
        (SPOOLED, "@reboot activity digest\n", 0o600, "only when the host starts"),
        ("var/spool/cron/crontabs/bob", "@daily activity digest\n", 0o600, "there is no user bob"),
        ("etc/cron.daily/activity.sh", "activity digest", 0o755, "in its name"),
        ("etc/cron.daily/activity", "activity digest", 0o644, "not executable"),
    ] {
        let made = FakeHost::new().with_cron();
        made.write(path, text);
        made.set_mode(path, mode);
        let checks = made.digest_checks();
        assert_eq!(checks.len(), 1, "{checks:?}");
        assert_eq!(checks[0].0, Status::Bad, "{checks:?}");
        assert!(checks[0].1.contains(reason), "no {reason:?} in {checks:?}");
    }
}

#[test]
fn a_file_that_cron_takes_is_ok() {
    let line = "0 4 * * * root activity digest\n";
    for (text, mode) in [
        (line.to_owned(), 0o644),
        (format!("MAILTO=\"\"\n{line}# the end"), 0o600),
        (format!("{line}@weekly root x\n"), 0o755),
    ] {
        let made = FakeHost::new().with_cron();
        made.write("etc/cron.d/activity", &text);
        made.set_mode("etc/cron.d/activity", mode);
        assert_eq!(made.digest_checks()[0].0, Status::Ok, "{text}");
    }
}

#[test]
fn an_entry_that_runs_counts_beside_one_that_does_not() {
    let made = FakeHost::new().with_cron();
    made.write("etc/cron.d/activity.old", "0 4 * * * root activity digest\n");
    made.write("etc/crontab", "0 5 * * * root activity digest\n");
    assert_eq!(made.digest_checks(), ok("/etc/crontab:1: 0 5 * * *"));
}

#[test]
fn a_crontab_without_a_daemon_is_bad() {
    let made = FakeHost::new();
    made.write("etc/crontab", "0 4 * * * root /usr/local/bin/activity digest\n");
    made.write("proc/17/comm", "crontab\n");
    let checks = made.digest_checks();
    assert_eq!(checks.len(), 2, "{checks:?}");
    assert_eq!(checks[0].0, Status::Ok);
    assert_eq!(checks[1].0, Status::Bad);
    assert!(checks[1].1.contains("no cron daemon"), "{checks:?}");
}

#[test]
fn a_timer_counts_when_it_is_enabled() {
    let made = FakeHost::new();
    made.write("etc/systemd/system/activity-digest.service", SERVICE);
    let none = made.digest_checks();
    assert!(none[0].1.contains("no crontab or timer"), "a service alone never runs: {none:?}");
    made.write("etc/systemd/system/activity-digest.timer", TIMER);
    let checks = made.digest_checks();
    assert_eq!(checks[0].0, Status::Bad);
    assert!(checks[0].1.ends_with("but the timer is not enabled"), "{checks:?}");
    made.symlink_at("etc/systemd/system/timers.target.wants/activity-digest.timer");
    let place = "/etc/systemd/system/activity-digest.timer: *-*-* 04:00:00 UTC";
    let checks = made.digest_checks();
    assert_eq!(checks[0], (Status::Ok, place.to_owned()));
    assert!(checks[1].1.contains("systemd does not run"), "{checks:?}");
    fs::create_dir_all(made.0.path().join("run/systemd/system")).unwrap();
    assert_eq!(made.digest_checks(), ok(place));
}

#[test]
fn a_timer_may_name_its_service_and_a_user_may_have_one() {
    let made = FakeHost::new();
    fs::create_dir_all(made.0.path().join("run/systemd/system")).unwrap();
    made.write("home/.config/systemd/user/night.service", SERVICE);
    made.write(
        "home/.config/systemd/user/any.timer",
        "[Timer]\nOnCalendar=daily\nUnit=night.service\n",
    );
    made.symlink_at("home/.config/systemd/user/timers.target.wants/any.timer");
    let home = made.0.path().join("home");
    let host = Host { home: Some(&home), ..made.host() };
    let found = schedule::inspect(&host);
    assert_eq!(found.entries.len(), 1, "{found:?}");
    assert_eq!((found.entries[0].schedule.as_str(), &found.entries[0].fault), ("daily", &None));
}

#[test]
fn a_sweep_is_missed_only_where_there_is_something_to_remove() {
    let made = FakeHost::new();
    let status = |wants| {
        let checks = schedule::evaluate(&made.schedules(), wants, &made.host());
        checks.iter().find(|check| check.name == "sweep").unwrap().status
    };
    assert_eq!(status(&NEITHER), Status::Note);
    assert_eq!(status(&BOTH), Status::Bad);
}

#[test]
fn what_delivers_to_mirrors_is_found_where_there_are_some() {
    let check = |made: &FakeHost, wants| {
        let checks = schedule::evaluate(&made.schedules(), wants, &made.host());
        let mirror = checks.into_iter().find(|check| check.name == "mirror")?;
        Some((mirror.status, mirror.value, mirror.advice.unwrap_or_default()))
    };
    let made = FakeHost::new().with_cron();
    let wants = &ConfiguredJobs { mirrors: true, ..NEITHER };
    assert_eq!(check(&made, &NEITHER), None);
    let advice = "crontab -e: * * * * * /usr/local/bin/activity mirror".to_owned();
    let absent = Some((Status::Bad, "no crontab or timer runs it".to_owned(), advice));
    assert_eq!(check(&made, wants), absent);
    // To look at mirrors is not to run them.
    let looks = "* * * * * root activity mirror status --max-lag 5m || activity mirror retry m\n";
    made.write("etc/cron.d/look", looks);
    assert_eq!(check(&made, wants), absent);
    made.write("etc/cron.d/activity", "* * * * * root activity mirror >> /var/log/activity.log\n");
    let found = check(&made, wants).unwrap();
    assert_eq!((found.0, found.1.as_str()), (Status::Ok, "/etc/cron.d/activity:1: * * * * *"));

    let made = FakeHost::new();
    fs::create_dir_all(made.0.path().join("run/systemd/system")).unwrap();
    let service = "[Service]\nExecStart=/usr/local/bin/activity mirror --follow\n";
    made.write("etc/systemd/system/activity-mirror.service", service);
    made.write("etc/systemd/system/other.service", &service.replace(" --follow", ""));
    let path = "/etc/systemd/system/activity-mirror.service: all the time";
    let found = check(&made, wants).unwrap();
    assert_eq!(found.1, format!("{path}, but the service is not enabled"));
    assert_eq!(found.2, "systemctl enable --now activity-mirror.service");
    made.symlink_at("etc/systemd/system/multi-user.target.wants/activity-mirror.service");
    assert_eq!(check(&made, wants), Some((Status::Ok, path.to_owned(), String::new())));
}

#[test]
fn odd_files_are_passed_over() {
    let made = FakeHost::new();
    fs::create_dir_all(made.0.path().join("etc/cron.d/folder")).unwrap();
    let fifo = made.0.path().join("etc/crontab");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::from(0o600)).unwrap();
    fs::write(made.0.path().join("etc/cron.d/bytes"), b"\xff\0 activity digest").unwrap();
    let found = made.schedules();
    let reasons = found.entries.iter().map(|entry| entry.fault.as_ref().map(|f| f.reason.as_str()));
    let ignored = "cron ignores the whole file: line 1 has a bad minute";
    assert_eq!(reasons.collect::<Vec<_>>(), [Some(ignored)], "a folder and a FIFO have no entries");
}

fn timestamp(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

/// The contents of a log, read from a real one.
fn log_contents(events: &[(&str, &str, &str)], digests: &[(&str, bool)]) -> LogContents {
    let folder = tempfile::tempdir().unwrap();
    let mut log =
        LocalLog::open_to_write(&folder.path().join("log.db"), Create::IfMissing).unwrap();
    let mut append = |at: &str, event| {
        let stamp = Stamp { clock: &|| timestamp(at), recorded_by: "root" };
        log.append(&[event], &stamp).unwrap();
    };
    for (recorded_at, occurred_at, action) in events {
        let event = match *action {
            "retention.sweep" => own_events::system_event(action, &json!({"count": 18_204})),
            _ => crate::event::NewEvent { action: (*action).to_owned(), ..Default::default() },
        };
        let occurred_at = Some(timestamp(occurred_at));
        append(recorded_at, crate::event::NewEvent { occurred_at, ..event });
    }
    for (at, sent) in digests {
        let outcome = DigestOutcome {
            sent: *sent,
            since: timestamp(at).saturating_sub(Span::from_seconds(86_400)),
            until: timestamp(at),
            through: LogPositions::of_host(EventId(1)),
            head: EventId(1),
            store: None,
            events: 19,
            recipients: vec!["ops@example.org".to_owned()],
            transport: "sendgrid".to_owned(),
            status: Some(if *sent { "202" } else { "401" }.to_owned()),
            error: (!sent).then(|| "401 Unauthorized".to_owned()),
            message_id: None,
            attempts: 1,
            maybe_duplicate: false,
            one_off: false,
        };
        let event = outcome.to_event();
        append(at, crate::event::NewEvent { occurred_at: Some(timestamp(at)), ..event });
    }
    LogContents::read(&log).unwrap()
}

const NOW: &str = "2026-11-20T12:00:00Z";

fn last_run(contents: &LogContents, wants: ConfiguredJobs, name: &str) -> (Status, String) {
    let checks = last_runs::evaluate(contents, &wants, timestamp(NOW), &Zone::utc());
    let check = checks.into_iter().find(|check| check.name == name).unwrap();
    (check.status, check.value)
}

const BOTH: ConfiguredJobs = ConfiguredJobs { digest: true, retention: true, mirrors: false };
const NEITHER: ConfiguredJobs = ConfiguredJobs { digest: false, retention: false, mirrors: false };

#[test]
fn a_digest_is_missed_after_26_hours() {
    for (digests, wants, status, part) in [
        (&[("2026-11-20T04:00:00Z", true)] as &[_], BOTH, Status::Ok, "sent 8 hr ago"),
        (&[("2026-11-19T10:00:01Z", true)], BOTH, Status::Ok, "19 events to ops@example.org"),
        (&[("2026-11-19T09:59:59Z", true)], BOTH, Status::Bad, "sendgrid 202"),
        (&[("2026-11-19T09:59:59Z", true)], NEITHER, Status::Note, "sent yesterday"),
        (
            &[("2026-11-19T04:00:00Z", true), ("2026-11-20T04:00:00Z", false)],
            BOTH,
            Status::Bad,
            "failed 8 hr ago (2026-11-20 04:00 UTC), sendgrid: 401 Unauthorized",
        ),
        (&[], BOTH, Status::Bad, "none yet"),
        (&[], NEITHER, Status::Note, "none yet"),
    ] {
        let (found, value) = last_run(&log_contents(&[], digests), wants, "digest");
        assert_eq!(found, status, "{digests:?} {value}");
        assert!(value.contains(part), "{value}");
    }
}

#[test]
fn a_sweep_is_missed_after_48_hours() {
    let at = |at| (at, at, "retention.sweep");
    for (event, wants, status) in [
        (at("2026-11-20T03:10:00Z"), BOTH, Status::Ok),
        (at("2026-11-18T12:00:01Z"), BOTH, Status::Ok),
        (at("2026-11-18T11:59:59Z"), BOTH, Status::Bad),
        (at("2026-11-18T11:59:59Z"), NEITHER, Status::Ok),
    ] {
        let (found, value) = last_run(&log_contents(&[event], &[]), wants, "sweep");
        assert_eq!(found, status, "{event:?} {value}");
        assert!(
            value.starts_with("removed 18,204 events ") || value.starts_with("removed 18204 "),
            "{value}"
        );
    }
    assert_eq!(last_run(&log_contents(&[], &[]), BOTH, "sweep").0, Status::Bad);
    assert_eq!(last_run(&log_contents(&[], &[]), NEITHER, "sweep").0, Status::Ok);
}

#[test]
fn a_clock_behind_the_log_and_one_ahead_of_it_are_reported() {
    let statuses = |events: &[(&str, &str, &str)]| -> Vec<(String, Status)> {
        let checks =
            last_runs::check_clocks(&log_contents(events, &[]), timestamp(NOW), &Zone::utc());
        checks.into_iter().map(|check| (check.name, check.status)).collect()
    };
    let named = |name: &str, status| (name.to_owned(), status);
    let before = "2026-11-20T11:00:00Z";
    assert_eq!(statuses(&[]), [named("host", Status::Ok)]);
    assert_eq!(statuses(&[(before, before, "a")]), [named("host", Status::Ok)]);
    let set_back = ("2026-11-20T12:00:01Z", before, "a");
    assert_eq!(statuses(&[set_back]), [named("host", Status::Bad)]);
    // One hook ran under a clock that was ahead, and the newest event is of the right one again.
    let ahead = "2028-01-01T00:00:00Z";
    assert_eq!(
        statuses(&[(before, before, "a"), (ahead, ahead, "b"), (before, before, "a")]),
        [named("host", Status::Ok), named("recorded", Status::Note)]
    );
    // A little ahead is what clocks are.
    assert_eq!(statuses(&[(before, "2026-11-20T12:00:50Z", "a")]), [named("host", Status::Ok)]);
    let ahead = (before, "2026-11-20T13:00:00Z", "a");
    assert_eq!(statuses(&[ahead]), [named("host", Status::Ok), named("emitters", Status::Bad)]);
    let long_ago = ("2026-11-01T00:00:00Z", "2099-01-01T00:00:00Z", "a");
    assert_eq!(statuses(&[long_ago]), [named("host", Status::Ok), named("emitters", Status::Note)]);
}

#[test]
fn all_is_well_unless_something_is_bad() {
    let check = |status| Check::new(Area::Log, "file", status, "x");
    let diagnosis = |statuses: &[Status]| Diagnosis {
        checks: statuses.iter().map(|status| check(*status)).collect(),
    };
    let verdict = |statuses: &[Status]| diagnosis(statuses).verdict().1;
    assert_eq!(verdict(&[Status::Ok]), "all is well");
    assert_eq!(verdict(&[Status::Ok, Status::Note]), "all is well, 1 note");
    assert_eq!(verdict(&[Status::Bad, Status::Note, Status::Note]), "1 thing is BAD, 2 notes");
    assert!(diagnosis(&[Status::Note]).is_healthy());
    assert!(!diagnosis(&[Status::Ok, Status::Bad]).is_healthy());
}
