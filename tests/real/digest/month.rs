//! A month of digests under another clock, days that have 23 or 25 hours, and one with 20,000 events.

use serde_json::Value;
use serde_json::json;

use crate::digest::install_sendmail;
use crate::digest::parse_letters;
use crate::digest::sendmail_config;
use crate::digest::single_header;
use crate::digest::text_body;
use crate::support::Output;
use crate::support::Sandbox;
use crate::support::clock;
use crate::support::join_lines;
use crate::tools;

/// A log and a mailbox in another time.
struct FakeTimeLog {
    sandbox: Sandbox,
}

/// A time in UTC as both `faketime` and, with a `T` and a `Z`, an emitter write it.
fn utc_time(month: u32, day: u32, clock: &str) -> String {
    format!("2026-{month:02}-{day:02} {clock}")
}

fn to_rfc3339(time: &str) -> String {
    format!("{}Z", time.replace(' ', "T"))
}

impl FakeTimeLog {
    fn new(more: &str) -> Option<Self> {
        if !tools::require_programs(&["faketime"]) || !tools::require_python_modules(&["json"]) {
            return None;
        }
        let sandbox = Sandbox::in_memory();
        install_sendmail(&sandbox);
        sandbox.write("config.toml", sendmail_config(&sandbox, more));
        Some(Self { sandbox })
    }

    fn run(&self, time: &str, args: &[&str], input: &str) -> Output {
        let mut command = self.sandbox.command_of("faketime");
        command.arg(time).arg(env!("CARGO_BIN_EXE_activity")).args(args);
        self.sandbox.run_command_with_input(command, input)
    }

    fn digest(&self, time: &str) -> Output {
        self.run(time, &["digest"], "")
    }

    /// Records events at a time, each with its own time and title.
    #[track_caller]
    fn record(&self, time: &str, events: &[(String, String)]) {
        let event = |(at, title): &(String, String)| {
            json!({"action": "user.edit", "actor_id": "7", "title": title, "occurred_at": at})
                .to_string()
        };
        self.run(time, &["ingest", "--quiet"], &join_lines(events.iter().map(event))).ok().done();
    }

    fn letters(&self) -> Vec<Value> {
        parse_letters(&self.sandbox, &self.sandbox.path("letters"))
    }

    fn history(&self) -> Vec<Value> {
        self.sandbox.run(["digest", "--history", "--json"]).ok().no_stderr().json_lines()
    }
}

/// An event of the month: its title, and from when on a digest can tell of it.
struct MonthEvent {
    title: String,
    due_from: String,
}

#[test]
fn in_a_month_of_digests_every_event_is_told_once() {
    const MISSED: [u32; 3] = [8, 15, 16];
    const DOUBLED: [u32; 2] = [5, 22];
    const FAILED: u32 = 19;
    const QUIET: u32 = 25;
    const NOVEMBER: u32 = 11;

    let Some(elsewhen) = FakeTimeLog::new("per_kind = 100\nattempts = 1") else { return };
    let sendmail = elsewhen.sandbox.read("sendmail");
    let mut known = Vec::new();
    // When each mail was sent.
    let mut sent = Vec::new();
    for day in 1..=30 {
        let noon = utc_time(NOVEMBER, day, "12:00:00");
        let mut events = Vec::new();
        let mut occurs = |title: String, time: String| {
            known.push(MonthEvent {
                title: title.clone(),
                due_from: noon.clone().max(time.clone()),
            });
            events.push((to_rfc3339(&time), title));
        };
        let usual = if day == QUIET { 0 } else { day % 4 + 1 };
        for number in 0..usual {
            occurs(
                format!("edit-{day:02}-{number}"),
                utc_time(NOVEMBER, day, &format!("0{}:30:00", 5 + number)),
            );
        }
        match day {
            10 => {
                occurs("late-by-days".to_owned(), utc_time(NOVEMBER, 7, "09:00:00"));
                occurs("late-by-a-week".to_owned(), utc_time(NOVEMBER, 2, "09:00:00"));
            }
            12 => occurs("dated-tomorrow".to_owned(), utc_time(NOVEMBER, 13, "18:00:00")),
            _ => {}
        }
        // The log is there before the first digest, and empty.
        elsewhen.record(&noon, &events);

        let next = day + 1;
        if MISSED.contains(&next) {
            continue;
        }
        // The delay of cron varies.
        let (month, of_month) = if next == 31 { (12, 1) } else { (NOVEMBER, next) };
        let four = utc_time(month, of_month, &format!("04:00:0{}", 1 + day * 7 % 5));
        if next == FAILED {
            elsewhen.sandbox.write("sendmail", "#!/bin/sh\necho 'no such user' >&2\nexit 67\n");
            elsewhen.digest(&four).exits(69).stderr_has("exited with 67: no such user").done();
            elsewhen.sandbox.write("sendmail", &sendmail);
            continue;
        }
        elsewhen.digest(&four).ok().no_stderr().done();
        sent.push((next, four));
        if DOUBLED.contains(&next) {
            let again = utc_time(month, of_month, "04:07:00");
            elsewhen.digest(&again).ok().no_stderr().done();
            sent.push((next, again));
        }
    }
    assert!(known.len() > 70, "{}", known.len());

    // In the log: windows tile, and counts add up.
    let history = elsewhen.history();
    let of = |outcome: &str| -> Vec<&Value> {
        history.iter().filter(|row| row["outcome"] == outcome).collect()
    };
    let (sent_rows, failed_rows) = (of("sent"), of("failed"));
    assert_eq!((sent_rows.len(), failed_rows.len()), (sent.len(), 1));
    for pair in sent_rows.windows(2) {
        assert_eq!(pair[0]["until"], pair[1]["since"]);
    }
    let after = sent_rows.iter().find(|row| row["id"].as_i64() > failed_rows[0]["id"].as_i64());
    assert_eq!(after.unwrap()["since"], failed_rows[0]["since"]);
    let reported: u64 = sent_rows.iter().map(|row| row["events"].as_u64().unwrap()).sum();
    assert_eq!(reported, known.len() as u64);

    // In the mails: each event is in the first one sent after it was recorded and had occurred.
    let letters = elsewhen.letters();
    assert_eq!(letters.len(), sent.len());
    for event in &known {
        let tell = |n: &usize| text_body(&letters[*n]).contains(&event.title);
        let telling: Vec<usize> = (0..letters.len()).filter(tell).collect();
        let due = sent.iter().position(|(_, time)| *time > event.due_from).unwrap();
        assert_eq!(telling, [due], "{} from {}", event.title, event.due_from);
    }
    for ((day, time), letter) in sent.iter().zip(&letters) {
        let (subject, text) = (single_header(letter, "Subject"), text_body(letter));
        let gap = subject.split_once("] ").map_or("", |(gap, _)| gap.trim_start_matches('['));
        let expected = match (*day, &time[11..]) {
            (9 | 20, _) => "covers 2 days",
            (17, _) => "covers 3 days",
            _ => "",
        };
        assert_eq!(gap, expected, "{time}: {subject}");
        assert_eq!(text.contains("could not be sent"), *day == 20, "{time}\n{text}");
        assert_eq!(text.contains("No digest was sent since"), !gap.is_empty(), "{time}\n{text}");
        if time.ends_with("04:07:00") {
            assert!(subject.starts_with("s2l.online: no activity on "), "{subject}");
        }
        assert_eq!(text.contains("ARRIVED LATE (2)"), *day == 11, "{time}\n{text}");
        assert_eq!(text.contains("1 event is dated after the end"), *day == 13, "{time}\n{text}");
        if *day == QUIET + 1 {
            assert!(
                text.contains("No activity in 24 hours. The log is alive: its last event came"),
                "{text}"
            );
        }
    }
    let windows: Vec<&str> =
        letters.iter().map(|letter| single_header(letter, "X-Activity-Window")).collect();
    let mut different = windows.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), windows.len());
    elsewhen.sandbox.log().assert_sound();
}

#[test]
fn days_of_23_and_25_hours_have_one_digest_each() {
    // Cron in local time, at four; the window of each day as the mail shows it.
    let berlin_autumn = [
        ("2026-10-23 02:00:02", "Thu 22 Oct 04:00 to Fri 23 Oct 04:00 CEST (02:00 UTC)"),
        ("2026-10-24 02:00:01", "Fri 23 Oct 04:00 to Sat 24 Oct 04:00 CEST (02:00 UTC)"),
        ("2026-10-25 03:00:02", "Sat 24 Oct 04:00 CEST to Sun 25 Oct 04:00 CET (03:00 UTC)"),
        ("2026-10-26 03:00:01", "Sun 25 Oct 04:00 to Mon 26 Oct 04:00 CET (03:00 UTC)"),
    ];
    let berlin_spring = [
        ("2027-03-27 03:00:02", "Fri 26 Mar 04:00 to Sat 27 Mar 04:00 CET (03:00 UTC)"),
        ("2027-03-28 02:00:01", "Sat 27 Mar 04:00 CET to Sun 28 Mar 04:00 CEST (02:00 UTC)"),
        ("2027-03-29 02:00:02", "Sun 28 Mar 04:00 to Mon 29 Mar 04:00 CEST (02:00 UTC)"),
    ];
    // Cron in UTC.
    let new_york = [
        ("2026-10-31 04:00:01", "Fri 30 Oct 00:00 to Sat 31 Oct 00:00 EDT (04:00 UTC)"),
        ("2026-11-01 04:00:02", "Sat 31 Oct 00:00 to Sun 1 Nov 00:00 EDT (04:00 UTC)"),
        ("2026-11-02 04:00:01", "Sun 1 Nov 00:00 EDT to Sun 1 Nov 23:00 EST (04:00 UTC)"),
        ("2026-11-03 04:00:01", "Sun 1 Nov 23:00 to Mon 2 Nov 23:00 EST (04:00 UTC)"),
    ];
    // The hour that is there twice, and what it is called in the mail; the day is the last but one.
    let twice = ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"];
    for (zone, runs, events, length, shown) in [
        ("Europe/Berlin", &berlin_autumn[..], twice, "25 hours", ["02:30  ", "02:30  "]),
        (
            "Europe/Berlin",
            &berlin_spring[..],
            ["2027-03-28T00:30:00Z", "2027-03-28T01:30:00Z"],
            "23 hours",
            ["01:30  ", "03:30  "],
        ),
        (
            "America/New_York",
            &new_york[..],
            ["2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z"],
            "24 hours",
            ["01:30  ", "01:30  "],
        ),
    ] {
        let Some(elsewhen) = FakeTimeLog::new("") else { return };
        let config = elsewhen.sandbox.read("config.toml");
        let config = format!("tz = '{zone}'\n{}", String::from_utf8(config).unwrap());
        elsewhen.sandbox.write("config.toml", config);
        let start = ["2026-10-01T00:00:00Z", "start"].map(str::to_owned);
        elsewhen.record("2026-10-01 00:00:00", &[start.into()]);
        let changed = runs.len() - 2;
        for (number, (time, _)) in runs.iter().enumerate() {
            if number == changed {
                let named = events.iter().zip(["the-first", "the-second"]);
                let named: Vec<_> =
                    named.map(|(at, title)| (at.to_string(), title.to_owned())).collect();
                elsewhen.record(time, &named);
            }
            elsewhen.digest(time).ok().no_stderr().done();
        }
        let letters = elsewhen.letters();
        assert_eq!(letters.len(), runs.len());
        for (number, (letter, (time, span))) in letters.iter().zip(runs).enumerate() {
            let (subject, text) = (single_header(letter, "Subject"), text_body(letter));
            assert!(subject.starts_with("s2l.online: "), "no gap is named at {time}: {subject}");
            assert_eq!(text.lines().nth(1), Some(*span), "{time}\n{text}");
            assert!(text.ends_with(&format!("Times are those of {zone}.\n")), "{text}");
            let hours = if number == changed { length } else { "24 hours" };
            assert!(text.lines().next().unwrap().ends_with(&format!(" in {hours}")), "{text}");
            for (title, clock) in ["the-first", "the-second"].into_iter().zip(shown) {
                let line = text.lines().find(|line| line.contains(title));
                assert_eq!(line.is_some(), number == changed, "{title} at {time}\n{text}");
                assert!(line.is_none_or(|line| line.starts_with(&format!("  {clock}"))), "{text}");
            }
        }
        let history = elsewhen.history();
        for pair in history.windows(2) {
            assert_eq!(pair[0]["until"], pair[1]["since"]);
        }
    }
}

#[test]
fn twenty_thousand_events_are_counted_and_some_are_listed() {
    const EVENTS: u64 = 20_000;
    if !tools::require_python_modules(&["json"]) {
        return;
    }
    let sandbox = Sandbox::in_memory();
    install_sendmail(&sandbox);
    sandbox.write("config.toml", sendmail_config(&sandbox, ""));
    // A half are sign-ins, of which a tenth fail; the others are of twenty actions, and five people
    // did most.
    let event = |n: u64| {
        let action = match n % 20 {
            0 => "auth.login.failed".to_owned(),
            1..10 => "auth.login".to_owned(),
            _ => format!("post.edit-{}", n % 40 / 2),
        };
        let actor = if n.is_multiple_of(3) { n } else { n % 5 };
        let at = clock::seconds_ago(60 + i64::try_from(n).unwrap() * 3);
        json!({"action": action, "actor_id": format!("{actor}"), "title": format!("number {n}"),
            "occurred_at": at})
        .to_string()
    };
    sandbox.write("events.jsonl", join_lines((0..EVENTS).map(event)));
    sandbox.run(["ingest", "--quiet", "events.jsonl"]).ok().done();
    let report = sandbox.run(["digest", "--json"]).ok().json();
    assert_eq!(report["total"], EVENTS);
    let kinds = report["kinds"].as_array().unwrap();
    let counted: u64 = kinds.iter().map(|kind| kind["count"].as_u64().unwrap()).sum();
    assert_eq!(counted, EVENTS);
    let named = |name: &str| kinds.iter().find(|kind| kind["name"] == name).unwrap();
    assert_eq!(named("Sign-ins")["count"], EVENTS * 9 / 20);
    assert_eq!(report["failures"]["count"], EVENTS / 20);
    let listed: usize = kinds.iter().map(|kind| kind["events"].as_array().unwrap().len()).sum();
    assert!((80..=100).contains(&listed), "{listed}");

    sandbox.run(["digest"]).ok().no_stderr().done();
    let letter = parse_letters(&sandbox, &sandbox.path("letters")).remove(0);
    assert!(single_header(&letter, "Subject").starts_with("s2l.online: 20,000 events on "));
    let text = text_body(&letter);
    assert!(text.contains("SIGN-INS (9,000)"), "{text}");
    let shown = named("Sign-ins")["events"].as_array().unwrap().len() as u64;
    let more = format!(
        "and {},{:03} more: activity list",
        (9_000 - shown) / 1_000,
        (9_000 - shown) % 1_000
    );
    assert!(text.contains(&more), "{more} in\n{text}");
    let size = sandbox.path("letters/001").metadata().unwrap().len();
    assert!(size < 100_000, "mail programs cut a longer one: {size} bytes");
}
