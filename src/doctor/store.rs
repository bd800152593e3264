//! The checks of a central store: its server, its tables, who may do what, and each host that writes to
//! it.

use anyhow::Result;

use crate::digest::outcome::RecordedOutcome;
use crate::digest::phrases::format_bytes;
use crate::doctor;
use crate::doctor::Area;
use crate::doctor::Check;
use crate::doctor::Diagnosis;
use crate::doctor::last_runs;
use crate::render::Status;
use crate::store::central::MirroredLog;
use crate::store::central::StoreExamination;
use crate::text;
use crate::time::Span;
use crate::time::TimeFormat;
use crate::time::Timestamp;
use crate::time::Zone;
use crate::verify::fleet::SILENT_AFTER;

/// The time by which clocks may differ: an answer takes its time, too.
const CLOCK_TOLERANCE: Span = Span::from_seconds(60);
/// The days for which there must be a month: it is made by a run each month.
const MONTHS_AHEAD: Span = Span::from_seconds(31 * 86_400);

/// Everything that the checks of a store look at.
pub(crate) struct StoreInputs<'a> {
    /// The address of the store, without the user.
    pub name: &'a str,
    /// What was found, or why nothing was.
    pub found: Result<ExaminedStore>,
    /// The digests of the store that the log of this host records.
    pub digests: Vec<RecordedOutcome>,
    /// Whether the config names a recipient of digests.
    pub wants_digest: bool,
    pub now: Timestamp,
    pub zone: &'a Zone,
}

/// What was found in a store.
pub(crate) struct ExaminedStore {
    pub examination: StoreExamination,
    pub logs: Vec<ExaminedLog>,
    /// When the answer was there.
    pub answered_at: Timestamp,
}

/// A log of a store.
pub(crate) struct ExaminedLog {
    pub name: String,
    pub log: MirroredLog,
    /// The number of its events of which it sent another version later.
    pub changed: u64,
}

/// Runs all checks of a store.
pub(crate) fn examine(subject: &StoreInputs<'_>) -> Diagnosis {
    let address = |status, value: String| Check::new(Area::Store, "address", status, value);
    let store = match &subject.found {
        Ok(store) => store,
        Err(error) => {
            let (what, hint) = doctor::reason_and_hint(error);
            let check = address(Status::Bad, format!("{}: {what}", subject.name));
            return Diagnosis { checks: vec![Check { advice: hint, ..check }] };
        }
    };
    let StoreExamination { server, user, .. } = &store.examination;
    let mut checks = vec![address(Status::Ok, format!("{}, {server}, as {user}", subject.name))];
    checks.push(check_encryption(&store.examination));
    checks.extend(check_rights(&store.examination));
    checks.extend(check_months(&store.examination, subject.now));
    checks.extend(check_size(&store.examination));
    if store.logs.is_empty() {
        let check = Check::new(Area::Hosts, "hosts", Status::Note, "none has written to it yet");
        checks.push(check.with_advice("docs/central.md has the mirror that each host needs"));
    }
    checks.extend(store.logs.iter().map(|log| check_host(log, subject)));
    if subject.wants_digest || !subject.digests.is_empty() {
        // Another host may be the one that sends it.
        let wanted = !subject.digests.is_empty();
        checks.push(last_runs::check_digest(&subject.digests, wanted, subject.now, subject.zone));
    }
    checks.push(check_clock(store, subject));
    Diagnosis { checks }
}

fn check_encryption(examination: &StoreExamination) -> Check {
    let check = |value: String| Check::new(Area::Store, "encryption", Status::Ok, value);
    match &examination.encryption {
        Some(how) => check(how.clone()),
        // Off this host the program speaks to no server without.
        None => check("none, on this host".to_owned()),
    }
}

/// Notes what the user may do beside reading; `None` where that is not known.
fn check_rights(examination: &StoreExamination) -> Option<Check> {
    let rights = examination.writing_rights.as_ref()?;
    let check = |status, value: String| Check::new(Area::Store, "rights", status, value);
    if rights.is_empty() {
        return Some(check(Status::Ok, "reads, and changes nothing".to_owned()));
    }
    let value = format!("{} may {} events", examination.user, rights.join(", "));
    Some(check(Status::Note, value).with_advice(
        "whoever only reads needs no more than the role reader: activity central init --roles",
    ))
}

/// Checks that the coming months are there; `None` where the server makes them by itself.
fn check_months(examination: &StoreExamination, now: Timestamp) -> Option<Check> {
    let months = examination.months.as_ref()?;
    let check = |status, value: String| Check::new(Area::Store, "months", status, value);
    let has = |number: u32| months.iter().any(|month| month_number(month) == Some(number));
    let numbers = || months.iter().filter_map(|month| month_number(month));
    let wanted = [now, now.saturating_add(MONTHS_AHEAD)].map(month_of);
    let missing: Vec<String> =
        (wanted[0]..=wanted[1]).filter(|month| !has(*month)).map(month_name).collect();
    if !missing.is_empty() {
        let value = format!("{} is not there", missing.join(", "));
        return Some(check(Status::Bad, value).with_advice(
            "`activity central init` makes the coming months; let cron call it each month",
        ));
    }
    let (first, last) = (numbers().min().unwrap_or(0), numbers().max().unwrap_or(0));
    let holes: Vec<String> = (first..=last).filter(|month| !has(*month)).map(month_name).collect();
    let span = format!("{} to {}", month_name(first), month_name(last));
    if !holes.is_empty() {
        let value = format!("{span}, without {}", holes.join(", "));
        return Some(check(Status::Note, value).with_advice(
            "a month that was swept is missing, or was never made: `central init --back 1y` makes it",
        ));
    }
    Some(check(Status::Ok, span))
}

fn check_size(examination: &StoreExamination) -> Vec<Check> {
    let check = |name, status, value: String| Check::new(Area::Store, name, status, value);
    let mut checks = Vec::new();
    if let Some(bytes) = examination.bytes {
        let events = examination.events.filter(|events| *events > 0);
        let value = match events {
            Some(events) => format!(
                "{}, about {} of {} each",
                format_bytes(bytes),
                text::plural(events, "event"),
                text::plural(bytes / events, "byte")
            ),
            None => format_bytes(bytes),
        };
        checks.push(check("size", Status::Ok, value));
    }
    if examination.bytes_of_others > 0 {
        let value = format!("{} of events of no month", format_bytes(examination.bytes_of_others));
        checks.push(check("other", Status::Note, value).with_advice(
            "clocks that were wrong, or a month that came too late; `central sweep` leaves them alone",
        ));
    }
    checks
}

fn check_host(host: &ExaminedLog, subject: &StoreInputs<'_>) -> Check {
    let (now, zone) = (subject.now, subject.zone);
    let ExaminedLog { name, log, changed } = host;
    let check = |status, value: String| Check::new(Area::Hosts, name, status, value);
    let waiting = u64::try_from(log.head.0.saturating_sub(log.delivered.0)).unwrap_or(0);
    let head = format!("head {}", log.head);
    if *changed > 0 {
        let events = text::plural(*changed, "event");
        return check(Status::Bad, format!("{head}, sent another version of {events}"))
            .with_advice("`activity verify` of the store names them: the host's past was changed");
    }
    let seen = last_runs::describe_time(log.seen_at, now.max(log.seen_at), zone);
    if log.seen_at > now.saturating_add(CLOCK_TOLERANCE) {
        return check(Status::Bad, format!("{head}, reported {seen}"))
            .with_advice("its clock is ahead of this one: see that both are synchronised");
    }
    if log.seen_at.saturating_add(SILENT_AFTER) < now {
        return check(Status::Bad, format!("{head}, has said nothing since {seen}"))
            .with_advice("on that host: activity mirror status, and look at its cron");
    }
    if waiting > 0 {
        let events = text::plural(waiting, "event");
        return check(Status::Note, format!("{head}, {events} yet to arrive, reported {seen}"));
    }
    check(Status::Ok, format!("{head}, all has arrived, reported {seen}"))
}

fn check_clock(store: &ExaminedStore, subject: &StoreInputs<'_>) -> Check {
    let at = store.examination.clock;
    let check = |status, value: String| Check::new(Area::Clock, "server", status, value);
    let local = subject.zone.format(at, TimeFormat::DateTimeMinute);
    let is_right = subject.now.saturating_sub(CLOCK_TOLERANCE) <= at
        && at <= store.answered_at.saturating_add(CLOCK_TOLERANCE);
    if is_right {
        return check(Status::Ok, local);
    }
    let nanos = at.as_nanos().abs_diff(store.answered_at.as_nanos());
    let value = format!("{local}, {} from this host's", Span::from_seconds(nanos / 1_000_000_000));
    check(Status::Bad, value).with_advice("see that both clocks are synchronised")
}

/// Returns a month as a number that goes up by 1 each month; `None` for what is no `202611`.
fn month_number(name: &str) -> Option<u32> {
    let (year, month) = name.split_at_checked(4)?;
    let (year, month): (u32, u32) = (year.parse().ok()?, month.parse().ok()?);
    (1..=12).contains(&month).then(|| year * 12 + month - 1)
}

fn month_of(at: Timestamp) -> u32 {
    let date = Zone::utc().format(at, TimeFormat::Date);
    month_number(&date.replace('-', "").chars().take(6).collect::<String>()).unwrap_or(0)
}

/// Returns `2026-11`.
fn month_name(number: u32) -> String {
    format!("{:04}-{:02}", number / 12, number % 12 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventId;
    use crate::event::Hash;
    use crate::failure::Exit;
    use crate::failure::Failure;
    use crate::store::central::LogKey;

    const NOW: &str = "2026-11-20T14:30:00Z";

    fn time(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    fn examination() -> StoreExamination {
        StoreExamination {
            server: "PostgreSQL 15.14".to_owned(),
            user: "audit".to_owned(),
            encryption: Some("TLSv1.3".to_owned()),
            writing_rights: Some(Vec::new()),
            clock: time(NOW),
            bytes: Some(815 << 20),
            events: Some(1 << 20),
            months: Some(["202610", "202611", "202612", "202701"].map(str::to_owned).to_vec()),
            bytes_of_others: 0,
        }
    }

    fn log(name: &str, head: i64, delivered: i64, seen_at: &str) -> ExaminedLog {
        let log = MirroredLog {
            key: LogKey::Uuid([1; 16]),
            uuid: [1; 16],
            host: name.to_owned(),
            head: EventId(head),
            head_hash: Hash([2; 32]),
            delivered: EventId(delivered),
            seen_at: time(seen_at),
            sweep: 0,
        };
        ExaminedLog { name: name.to_owned(), log, changed: 0 }
    }

    fn lines(examination: StoreExamination, logs: Vec<ExaminedLog>) -> Vec<String> {
        let store = ExaminedStore { examination, logs, answered_at: time(NOW) };
        lines_of(Ok(store))
    }

    /// The findings, without those that are well.
    fn lines_of(found: Result<ExaminedStore>) -> Vec<String> {
        let diagnosis = examine(&StoreInputs {
            name: "postgres://central/activity",
            found,
            digests: Vec::new(),
            wants_digest: false,
            now: time(NOW),
            zone: &Zone::utc(),
        });
        let bad = diagnosis.checks.iter().filter(|check| check.status != Status::Ok);
        bad.map(|check| format!("{} {}: {}", check.status.name(), check.name, check.value))
            .collect()
    }

    #[test]
    fn a_store_that_is_well_has_nothing_to_say() {
        let host = log("web3", 7, 7, "2026-11-20T14:29:12Z");
        assert!(lines(examination(), vec![host]).is_empty());
        assert_eq!(lines(examination(), Vec::new()), ["note hosts: none has written to it yet"]);
    }

    #[test]
    fn a_store_that_is_away_is_told_with_its_address() {
        let failure = Failure::new(Exit::TryAgain, "cannot reach central:5432");
        assert_eq!(
            lines_of(Err(failure.into())),
            ["BAD address: postgres://central/activity: cannot reach central:5432"]
        );
    }

    #[test]
    fn hosts_that_are_silent_behind_or_ahead_are_named() {
        let mut changed = log("db2", 5, 5, "2026-11-20T14:29:00Z");
        changed.changed = 2;
        let found = lines(
            examination(),
            vec![
                log("web3", 81, 80, "2026-11-20T14:29:00Z"),
                log("web4", 81, 81, "2026-11-20T13:29:00Z"),
                log("db1", 9, 9, "2026-11-20T14:40:00Z"),
                changed,
            ],
        );
        assert_eq!(found.len(), 4);
        assert!(found[0].starts_with("note web3: head 81, 1 event yet to arrive, "), "{found:?}");
        assert!(found[1].starts_with("BAD web4: head 81, has said nothing since "), "{found:?}");
        assert!(found[2].starts_with("BAD db1: head 9, reported "), "{found:?}");
        assert_eq!(found[3], "BAD db2: head 5, sent another version of 2 events");
    }

    #[test]
    fn months_rights_and_clocks_are_looked_at() {
        let host = || vec![log("web3", 7, 7, "2026-11-20T14:29:12Z")];
        let with_months = |months: &[&str]| {
            let months = months.iter().map(|month| (*month).to_owned()).collect();
            lines(StoreExamination { months: Some(months), ..examination() }, host())
        };
        assert_eq!(with_months(&["202611"]), ["BAD months: 2026-12 is not there"]);
        assert_eq!(with_months(&[]), ["BAD months: 2026-11, 2026-12 is not there"]);
        assert_eq!(
            with_months(&["202608", "202610", "202611", "202612", "202701"]),
            ["note months: 2026-08 to 2027-01, without 2026-09"]
        );
        assert!(lines(StoreExamination { months: None, ..examination() }, host()).is_empty());
        let odd = StoreExamination {
            writing_rights: Some(vec!["INSERT".to_owned(), "DELETE".to_owned()]),
            bytes_of_others: 8_192,
            clock: time("2026-11-20T14:40:00Z"),
            ..examination()
        };
        assert_eq!(
            lines(odd, host()),
            [
                "note rights: audit may INSERT, DELETE events",
                "note other: 8 KiB of events of no month",
                "BAD server: 2026-11-20 14:40 UTC, 10m from this host's",
            ]
        );
    }
}
