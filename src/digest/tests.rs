//! Digests of small logs, from the first event to the mail.

use proptest::prelude::*;
use tempfile::TempDir;

use crate::access::PlatformWork;
use crate::digest::kinds::ActivityKinds;
use crate::digest::logs;
use crate::digest::logs::DigestLogs;
use crate::digest::mail_context::LowDiskSpace;
use crate::digest::mail_context::MailContext;
use crate::digest::outcome::DigestOutcome;
use crate::digest::reader;
use crate::digest::rendered_mail::RenderedMail;
use crate::digest::rendered_mail::Templates;
use crate::digest::report::Coverage;
use crate::digest::report::DigestReport;
use crate::digest::report::ReportOptions;
use crate::digest::template_context::TemplateContext;
use crate::event::Action;
use crate::event::EventId;
use crate::event::EventPlace;
use crate::event::NewEvent;
use crate::event::Severity;
use crate::event::Source;
use crate::event::own_events;
use crate::query::Clock;
use crate::query::Query;
use crate::store::Create;
use crate::store::LocalLog;
use crate::store::Stamp;
use crate::time::Span;
use crate::time::Timestamp;
use crate::time::Zone;

const NOW: &str = "2026-11-20T04:00:00Z";

fn time(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

/// A log in a folder of its own.
struct SampleLog {
    _folder: TempDir,
    log: LocalLog,
}

impl SampleLog {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let log =
            LocalLog::open_to_write(&folder.path().join("log.db"), Create::IfMissing).unwrap();
        Self { _folder: folder, log }
    }

    fn add(&mut self, at: &str, event: NewEvent) {
        let event = NewEvent { occurred_at: Some(time(at)), ..event };
        self.log.append(&[event], &Stamp { clock: &|| time(at), recorded_by: "root" }).unwrap();
    }

    fn report(&self, now: &str) -> DigestReport {
        self.report_with(now, &ActivityKinds::new([]).unwrap(), Coverage::Due)
    }

    fn report_with(&self, now: &str, kinds: &ActivityKinds, scope: Coverage<'_>) -> DigestReport {
        let options = ReportOptions { kinds, top: 6, per_kind: 4, total: 100 };
        reader::read_report(DigestLogs::of_host(&self.log), scope, time(now), &options).unwrap()
    }

    /// Records the outcome of the digest of a report.
    fn record(&mut self, at: &str, report: &DigestReport, sent: bool) {
        let outcome = DigestOutcome {
            sent,
            since: report.window.since,
            until: report.window.until,
            through: report.window.through.clone(),
            head: report.head.0,
            store: None,
            events: report.event_count(),
            recipients: vec!["ops@example.org".to_owned()],
            transport: "sendgrid".to_owned(),
            status: some_text(if sent { "202" } else { "503" }),
            error: if sent { None } else { some_text("503 Service Unavailable") },
            message_id: None,
            attempts: 1,
            maybe_duplicate: false,
            one_off: false,
        };
        self.add(at, outcome.to_event());
    }
}

fn some_text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn event_by(actor: (&str, &str), action: &str, target: (&str, &str, &str)) -> NewEvent {
    NewEvent {
        action: action.to_owned(),
        actor_id: some_text(actor.0),
        actor_label: some_text(actor.1),
        target_type: some_text(target.0),
        target_id: some_text(target.1),
        target_label: some_text(target.2),
        ..NewEvent::default()
    }
}

const MARIA: (&str, &str) = ("9", "Maria Reyes");
const RAVI: (&str, &str) = ("12", "Ravi Naidoo");
const JAMES: (&str, &str) = ("17", "James Compton");
const SITE: (&str, &str, &str) = ("course", "c-1", "Rust for auditors");

/// Returns a log with a typical day.
fn a_day() -> SampleLog {
    let mut sample = SampleLog::new();
    // An e-mail service that stopped nine days ago.
    for day in 0..19_u64 {
        for n in 0..14_u64 {
            let at = time("2026-10-23T05:00:00Z")
                .saturating_add(Span::from_seconds(day * 86_400 + n * 600));
            sample.add(
                &at.to_string(),
                NewEvent { action: "signin.email_sent".to_owned(), ..NewEvent::default() },
            );
        }
    }
    sample.add("2026-11-18T10:00:00Z", event_by(RAVI, "lesson.complete", SITE));
    for n in 0..6 {
        sample.add(&format!("2026-11-18T1{n}:30:00Z"), event_by(MARIA, "auth.login", SITE));
    }
    sample.add("2026-11-18T12:30:00Z", event_by(RAVI, "comment.create", SITE));
    for (n, who) in [MARIA, RAVI, MARIA, JAMES, MARIA, RAVI, MARIA, MARIA].into_iter().enumerate() {
        let event = NewEvent {
            action: "auth.login".to_owned(),
            title: some_text("magic link"),
            actor_id: some_text(who.0),
            actor_label: some_text(who.1),
            ip: some_text("105.3.77.1"),
            ..NewEvent::default()
        };
        sample.add(&format!("2026-11-19T1{n}:41:00Z"), event);
    }
    for n in 0..4 {
        sample.add(&format!("2026-11-19T2{n}:10:00Z"), event_by(RAVI, "course.enrol", SITE));
    }
    for n in 0..5 {
        sample.add(
            &format!("2026-11-20T0{n}:05:00Z").replace("04:05", "03:55"),
            event_by(MARIA, "lesson.complete", SITE),
        );
    }
    for minute in [10, 12] {
        let event = NewEvent {
            action: "auth.login_failed".to_owned(),
            source: Some(Source::Api),
            target_type: some_text("user"),
            target_id: some_text("17"),
            target_label: some_text("James Compton"),
            status_code: Some(401),
            ..NewEvent::default()
        };
        sample.add(&format!("2026-11-20T03:{minute}:00Z"), event);
    }
    let event = NewEvent {
        impersonator_id: some_text("3"),
        impersonator_label: some_text("Jerome Cruz"),
        ..event_by(JAMES, "page.delete", ("page", "p-8", "Old pricing"))
    };
    sample.add("2026-11-20T02:30:00Z", event);
    let export = own_events::ExportPayload {
        format: "csv",
        query: "",
        rows: 412,
        heads: &[EventPlace { id: EventId(40), log: None }],
        output: None,
    };
    sample.add(
        "2026-11-19T14:20:00Z",
        own_events::export_event(&export, "1000".to_owned(), "alice".to_owned()),
    );
    sample.add(
        "2026-11-20T01:10:00Z",
        own_events::system_event("retention.sweep", &serde_json::json!({"count": 0})),
    );
    sample
}

fn page(report: &DigestReport) -> RenderedMail {
    page_by(report, &Templates::default())
}

fn page_by(report: &DigestReport, templates: &Templates) -> RenderedMail {
    let zone = Zone::parse("Africa/Johannesburg").unwrap();
    let setting = MailContext {
        program: "activity",
        site: "s2l.online",
        zone: &zone,
        system_label: "(system)",
        low_disk_space: None,
        write_failure_notice: None,
        silent_alerts: &[],
    };
    RenderedMail::render(report, &setting, templates)
}

#[test]
fn a_day_reads_well() {
    let page = page(&a_day().report(NOW));
    assert_eq!(page.subject, "s2l.online: 20 events on 2026-11-20");
    assert_eq!(page.template_error, None);
    let (body, head) = page.text.split_once("head,\n").unwrap();
    let (hash, _) = head.split_once('\n').unwrap();
    assert_eq!(hash.len(), "298:".len() + 64);
    insta::assert_snapshot!(body, @"
    s2l.online, 20 events in 24 hours
    Thu 19 Nov 06:00 to Fri 20 Nov 06:00 SAST (04:00 UTC)

    NEEDS A LOOK
      signin.email_sent has stopped: the last was 10 days ago (Tue 10 Nov 09:10), normally 14 a day.
      2 failed sign-ins for James Compton.

    AT A GLANCE                 20 Nov  before
      Sign-ins                       8       6   ████████
      Comments                       0       1
      Enrolments                     4       0   ████
      Lesson completions             5       1   █████
      Failed sign-ins                2       0   ██
      page.delete                    1       0   █
      Failures                       2       0   ██
      Total                         20       8
      No sign-ups, newsletter subscriptions, purchases, bookings, quiz attempts or contact messages.

    SIGN-INS (8)
      19:41  Maria Reyes  magic link  105.3.x.x
      18:41  Maria Reyes  magic link  105.3.x.x
      17:41  Ravi Naidoo  magic link  105.3.x.x
      16:41  Maria Reyes  magic link  105.3.x.x
      and 4 more: activity list 'action:auth.login -is:failed' --since 2026-11-19T04:00:00Z --until 2026-11-20T04:00:00Z

    ENROLMENTS (4)
      01:10  Ravi Naidoo  course.enrol  Rust for auditors
      00:10  Ravi Naidoo  course.enrol  Rust for auditors
      23:10  Ravi Naidoo  course.enrol  Rust for auditors
      22:10  Ravi Naidoo  course.enrol  Rust for auditors

    LESSON COMPLETIONS (5)
      05:55  Maria Reyes  lesson.complete  Rust for auditors
      05:05  Maria Reyes  lesson.complete  Rust for auditors
      04:05  Maria Reyes  lesson.complete  Rust for auditors
      03:05  Maria Reyes  lesson.complete  Rust for auditors
      and 1 more: activity list 'action:lesson.complete' --since 2026-11-19T04:00:00Z --until 2026-11-20T04:00:00Z

    FAILED SIGN-INS (2)
      05:12  (anonymous)  auth.login_failed (401)  James Compton
      05:10  (anonymous)  auth.login_failed (401)  James Compton

    page.delete (1)
      04:30  James Compton (by Jerome Cruz)  Old pricing

    MOST ACTIVE      Maria Reyes 10 · Ravi Naidoo 6 · James Compton 2

    FAILURES (2)
          2  auth.login_failed, James Compton, last at 05:12
      activity list 'is:failed' --since 2026-11-19T04:00:00Z --until 2026-11-20T04:00:00Z

    ADMINS AS OTHERS
      Jerome Cruz as James Compton, 1 event

    THE LOG ITSELF
      sweep at 03:10 removed 0
      export of 412 events by alice at 16:20

    Keep this mail: `activity verify --anchor` can hold the log against its
    ");
}

#[test]
fn a_quiet_day_is_told_with_the_last_sign_of_life() {
    let mut sample = SampleLog::new();
    sample.add(
        "2026-11-17T09:00:00Z",
        NewEvent { action: "backup.created".to_owned(), ..NewEvent::default() },
    );
    let page = page(&sample.report(NOW));
    assert_eq!(page.subject, "s2l.online: no activity on 2026-11-20");
    let (body, _) = page.text.split_once("\nKeep").unwrap();
    insta::assert_snapshot!(body, @"
    s2l.online, 0 events in 24 hours
    Thu 19 Nov 06:00 to Fri 20 Nov 06:00 SAST (04:00 UTC)

    No activity in 24 hours. The log is alive: its last event came 3 days ago (backup.created).

    AT A GLANCE                 20 Nov  before
      No sign-ups, sign-ins, comments, newsletter subscriptions, purchases, bookings, enrolments, lesson completions, quiz attempts or contact messages.
    ");
}

#[test]
fn a_digest_is_named_by_the_day_that_it_covers() {
    let zone = Zone::parse("Africa/Johannesburg").unwrap();
    let kinds = ActivityKinds::new([]).unwrap();
    let day_of = |now: &str, query: Option<&str>| {
        let clock = Clock { now: time(now), zone: &zone };
        let query = query.map(|query| Query::parse(query, &clock).unwrap());
        let coverage = query.as_ref().map_or(Coverage::Due, Coverage::OneOff);
        let subject = page(&SampleLog::new().report_with(now, &kinds, coverage)).subject;
        subject.rsplit(' ').next().unwrap().to_owned()
    };
    // Johannesburg is two hours ahead of UTC.
    assert_eq!(day_of("2026-11-19T21:59:00Z", None), "2026-11-19");
    assert_eq!(day_of("2026-11-19T22:30:00Z", None), "2026-11-19");
    assert_eq!(day_of("2026-11-19T23:30:00Z", None), "2026-11-20");
    assert_eq!(day_of("2026-11-19T22:00:01Z", Some("since:today")), "2026-11-20");
    assert_eq!(day_of("2026-11-19T22:30:00Z", Some("since:today")), "2026-11-20");
}

#[test]
fn a_new_log_has_a_digest_too() {
    let page = page(&SampleLog::new().report(NOW));
    assert!(page.text.contains("No activity in 24 hours. The log has no events yet."));
    assert!(!page.text.contains("Keep this mail"));
}

#[test]
fn what_was_not_sent_is_made_up_for_and_named() {
    let mut sample = SampleLog::new();
    sample.add("2026-11-16T12:00:00Z", event_by(MARIA, "user.edit", SITE));
    let first = sample.report("2026-11-17T04:00:00Z");
    sample.record("2026-11-17T04:00:01Z", &first, true);
    sample.add("2026-11-17T12:00:00Z", event_by(MARIA, "user.edit", SITE));
    let second = sample.report("2026-11-18T04:00:00Z");
    sample.record("2026-11-18T04:00:01Z", &second, false);
    sample.add("2026-11-19T12:00:00Z", event_by(RAVI, "user.edit", SITE));
    // It arrives late: the first digest has covered its day.
    sample.add("2026-11-15T12:00:00Z", event_by(JAMES, "user.edit", SITE));
    sample.add("2026-12-15T12:00:00Z", event_by(JAMES, "user.view", SITE));
    let third = sample.report(NOW);
    assert_eq!((third.total, third.late_count, third.ahead_count), (2, 1, 1));
    let page = page(&third);
    assert_eq!(page.subject, "[covers 3 days] s2l.online: 2 events on 2026-11-20");
    let (body, _) = page.text.split_once("\nKeep").unwrap();
    insta::assert_snapshot!(body, @"
    s2l.online, 2 events in 3 days
    Tue 17 Nov 06:00 to Fri 20 Nov 06:00 SAST (04:00 UTC)

    NEEDS A LOOK
      No digest was sent since Tue 17 Nov 06:00: this one covers 3 days.
      The digest of Wed 18 Nov 06:00 could not be sent (sendgrid: 503 Service Unavailable); this one has its events.

    AT A GLANCE                    now  before
      user.edit                      2       2   ██
      Total                          2       2
      No sign-ups, sign-ins, comments, newsletter subscriptions, purchases, bookings, enrolments, lesson completions, quiz attempts or contact messages.

    user.edit (2)
      Thu 19 Nov 14:00  Ravi Naidoo  Rust for auditors
      Tue 17 Nov 14:00  Maria Reyes  Rust for auditors

    ARRIVED LATE (1), not counted above
      Sun 15 Nov 14:00  James Compton  user.edit  Rust for auditors

    1 event is dated after the end of this window; a later digest has it.

    MOST ACTIVE      Maria Reyes 1 · Ravi Naidoo 1

    THE LOG ITSELF
      digest at Wed 18 Nov 06:00 failed
      digest at Tue 17 Nov 06:00 sent
    ");
    assert_eq!(logs::history(&sample.log).unwrap().len(), 2);
}

#[test]
fn a_one_off_digest_is_about_what_its_query_means() {
    let sample = a_day();
    let now = time(NOW);
    let clock = Clock { now, zone: &Zone::utc() };
    let query = Query::parse("actor:9 since:2026-11-18 action:auth.*,lesson.*", &clock).unwrap();
    let kinds = ActivityKinds::new([]).unwrap();
    let report = sample.report_with(NOW, &kinds, Coverage::OneOff(&query));
    let (body, _) = { page(&report).text }
        .split_once("\nKeep")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    insta::assert_snapshot!(body, @r#"
s2l.online, 16 events in 52 hours
Wed 18 Nov 02:00 to Fri 20 Nov 06:00 SAST (04:00 UTC)
Of what matches: actor:9 action:auth.*,lesson.* since 2026-11-18 02:00 SAST

AT A GLANCE                    now  before
  Sign-ins                      11       0   ███████████
  Lesson completions             5       0   █████
  Total                         16       0

SIGN-INS (11)
  Thu 19 Nov 19:41  Maria Reyes  magic link  105.3.x.x
  Thu 19 Nov 18:41  Maria Reyes  magic link  105.3.x.x
  Thu 19 Nov 16:41  Maria Reyes  magic link  105.3.x.x
  Thu 19 Nov 14:41  Maria Reyes  magic link  105.3.x.x
  and 7 more: activity list 'action:auth.login -is:failed actor:9' --since 2026-11-18T00:00:00Z --until 2026-11-20T04:00:00Z

LESSON COMPLETIONS (5)
  Fri 20 Nov 05:55  Maria Reyes  lesson.complete  Rust for auditors
  Fri 20 Nov 05:05  Maria Reyes  lesson.complete  Rust for auditors
  Fri 20 Nov 04:05  Maria Reyes  lesson.complete  Rust for auditors
  Fri 20 Nov 03:05  Maria Reyes  lesson.complete  Rust for auditors
  and 1 more: activity list 'action:lesson.complete actor:9' --since 2026-11-18T00:00:00Z --until 2026-11-20T04:00:00Z

MOST ACTIVE      Maria Reyes 16
"#);
}

#[test]
fn kinds_that_ask_for_more_than_the_action_are_counted_exactly() {
    let sample = a_day();
    let kinds = ActivityKinds::new([
        ("Of Maria's", "actor:9 -action:auth.*"),
        ("Sign-ins", "action:auth.login,magic.*"),
    ])
    .unwrap();
    let report = sample.report_with(NOW, &kinds, Coverage::Due);
    let counts: Vec<_> = report
        .groups
        .iter()
        .map(|group| (group.name.as_str(), group.count, group.previous_count))
        .collect();
    assert_eq!(
        counts,
        [
            ("Of Maria's", 5, 0),
            ("Sign-ins", 8, 6),
            ("Comments", 0, 1),
            ("Enrolments", 4, 0),
            ("Lesson completions", 0, 1),
            ("Failed sign-ins", 2, 0),
            ("page.delete", 1, 0),
        ]
    );
    assert_eq!(report.groups[0].query, "actor:9 -action:auth.*");
    assert_eq!(report.total, counts.iter().map(|(_, count, _)| count).sum::<u64>());
    assert_eq!(report.previous_total, counts.iter().map(|(_, _, before)| before).sum::<u64>());
}

#[test]
fn a_report_is_one_object_for_programs() {
    let mut sample = SampleLog::new();
    sample.add("2026-11-19T12:00:00Z", event_by(MARIA, "user.edit", SITE));
    let event = NewEvent {
        impersonator_label: some_text("Jerome\u{202e}"),
        status_code: Some(403),
        ..NewEvent { action: "user.edit".to_owned(), ..NewEvent::default() }
    };
    sample.add("2026-11-19T13:00:00Z", event);
    let json = sample.report(NOW).to_json("s2l.online", |event, out| {
        out.push_str(&serde_json::json!({"id": event.id.0, "diff": {"a": null}}).to_string());
    });
    let (json, head) = json.split_once("\"head\":\"2:").unwrap();
    assert_eq!(head.len(), "\"}".len() + 64);
    insta::assert_snapshot!(json, @r#"{"site":"s2l.online","made_at":"2026-11-20T04:00:00Z","since":"2026-11-19T04:00:00Z","until":"2026-11-20T04:00:00Z","through":2,"covers_gap":false,"total":2,"before":0,"kinds":[{"name":"user.edit","query":"action:user.edit","count":2,"before":0,"events":[{"id":2,"diff":{"a":null}},{"id":1,"diff":{"a":null}}]}],"late":{"count":0,"events":[]},"ahead":0,"failures":{"count":1,"before":0,"by":[{"action":"user.edit","count":1,"last":"2026-11-19T13:00:00Z"}]},"critical":0,"people":[{"who":{"id":"9","label":"Maria Reyes"},"count":1}],"impersonations":[{"by":{"label":"Jerome\u202e"},"count":1}],"own":[],"gone_quiet":[],"#);
}

#[test]
fn a_rhythm_counts_what_failed_apart() {
    let mut sample = SampleLog::new();
    let mut add = |at: &str, action: &str, status| {
        let event = NewEvent { status_code: status, ..event_by(MARIA, action, SITE) };
        sample.add(at, event);
    };
    add("2026-11-18T03:59:59Z", "auth.login", None);
    add("2026-11-18T04:00:00Z", "auth.login", None);
    add("2026-11-19T03:00:00Z", "auth.login", Some(401));
    add("2026-11-19T05:00:00Z", "auth.login", Some(200));
    add("2026-11-19T06:00:00Z", "auth.login_failed", Some(401));
    add("2026-11-19T07:00:00Z", "auth.login_failed", None);
    add("2026-11-19T08:00:00Z", "log.export", None);
    add("2026-11-20T04:00:00Z", "auth.login", None);
    let mut rhythms: Vec<_> = sample
        .log
        .daily_counts(PlatformWork::Digest, time(NOW), 2)
        .unwrap()
        .into_iter()
        .map(|rhythm| (rhythm.action.slug.clone(), rhythm.failed, rhythm.counts))
        .collect();
    rhythms.sort();
    let expected = [
        ("auth.login", false, [1, 1]),
        ("auth.login", true, [1, 0]),
        ("auth.login_failed", true, [0, 2]),
    ];
    assert_eq!(
        rhythms,
        expected.map(|(slug, failed, daily)| (slug.to_owned(), failed, daily.to_vec()))
    );
    let last = |slug: &str, failed| {
        let action = Action { slug: slug.to_owned(), module: None };
        sample.log.last_occurrence(PlatformWork::Digest, &action, failed, time(NOW)).unwrap()
    };
    assert_eq!(last("auth.login", false), Some(time("2026-11-19T05:00:00Z")));
    assert_eq!(last("auth.login", true), Some(time("2026-11-19T03:00:00Z")));
    assert_eq!(last("auth.login_failed", true), Some(time("2026-11-19T07:00:00Z")));
    assert_eq!(last("auth.logout", false), None);
}

#[test]
fn a_kind_that_stops_is_named_or_else_the_action_in_it_that_does() {
    let mut sample = SampleLog::new();
    for day in 0..20 {
        let at = |hour: u32| {
            let day = Span::from_seconds(86_400 * (20 - day));
            format!("{}T{hour:02}:00:00Z", &time(NOW).saturating_sub(day).to_string()[..10])
        };
        let mut add = |hour, action, status| {
            let event = NewEvent { status_code: status, ..event_by(MARIA, action, SITE) };
            sample.add(&at(hour), event);
        };
        add(6, "page.view", None);
        add(7, "auth.login", None);
        if day < 17 {
            add(8, "magic.link_used", None);
            add(9, "auth.login", Some(401));
            add(10, "order.paid", None);
        }
    }
    let quiet: Vec<_> =
        sample.report(NOW).gone_quiet.into_iter().map(|it| (it.name, it.last)).collect();
    let expected = [
        ("Purchases", "2026-11-16T10:00:00Z"),
        // People still sign in, by other means.
        ("magic.link_used", "2026-11-16T08:00:00Z"),
    ];
    assert_eq!(quiet, expected.map(|(name, last)| (name.to_owned(), time(last))));
}

#[test]
fn every_variable_of_a_template_is_documented() {
    let guide = include_str!("../../docs/digest.md");
    let zone = Zone::utc();
    let setting = MailContext {
        program: "activity",
        site: "x",
        zone: &zone,
        system_label: "(system)",
        low_disk_space: None,
        write_failure_notice: None,
        silent_alerts: &[],
    };
    let view = serde_json::to_value(TemplateContext::new(&a_day().report(NOW), &setting)).unwrap();
    let mut objects = vec![&view, &view["late"]];
    objects.extend(["glance", "kinds", "people"].map(|list| &view[list][0]));
    objects.push(&view["kinds"][0]["events"][0]);
    for object in objects {
        for key in object.as_object().unwrap().keys() {
            assert!(guide.contains(&format!("`{key}`")), "{key}");
        }
    }
}

/// A step in the life of a log and its digests; times are in hours.
#[derive(Clone, Debug)]
enum DigestStep {
    Event { before: i64 },
    Clock(i64),
    Digest { sent: bool },
}

fn step() -> impl Strategy<Value = DigestStep> {
    prop_oneof![
        5 => (-30_i64..60).prop_map(|before| DigestStep::Event { before }),
        2 => (-20_i64..40).prop_map(DigestStep::Clock),
        3 => any::<bool>().prop_map(|sent| DigestStep::Digest { sent }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The reads of the log agree with the definition of a window.
    #[test]
    fn sent_digests_tell_of_every_event_once(steps in prop::collection::vec(step(), 1..30)) {
        const HOUR: i64 = 3_600_000_000_000;
        let mut sample = SampleLog::new();
        let mut now = time(NOW).as_nanos();
        let at = |now: i64| Timestamp::from_nanos(now).to_string();
        let first = sample.report(&at(now));
        sample.record(&at(now), &first, true);
        let (mut events, mut reported) = (0, 0);
        let end = [DigestStep::Clock(100_000), DigestStep::Digest { sent: true }];
        for step in steps.into_iter().chain(end) {
            match step {
                DigestStep::Event { before } => {
                    events += 1;
                    sample.add(&at(now - before * HOUR), event_by(MARIA, "user.edit", SITE));
                }
                DigestStep::Clock(hours) => now += hours * HOUR,
                DigestStep::Digest { sent } => {
                    let report = sample.report(&at(now));
                    if sent {
                        reported += report.event_count();
                    }
                    sample.record(&at(now), &report, sent);
                }
            }
        }
        prop_assert_eq!(reported, events);
    }
}

/// Texts of hostile emitters, short enough to be shown whole.
const HOSTILE: [&str; 6] = [
    "\"><img src=x onerror=alert(1)>",
    "</td></table><style>*{display:none}</style>",
    "<a href=http://evil.example>x</a>{{ site }}",
    "x\r\nBcc: evil@example.org\r\n\r\n.",
    "\u{202e}\u{1b}[31m\u{9b}31m\0\u{feff}",
    "'; DROP TABLE event; --<!--",
];

fn hostile() -> SampleLog {
    let mut sample = SampleLog::new();
    for (n, bad) in HOSTILE.into_iter().enumerate() {
        let event = NewEvent {
            tenant: some_text(bad),
            severity: Some(Severity::Critical),
            module: some_text(bad),
            title: some_text(bad),
            description: some_text(bad),
            impersonator_id: some_text(bad),
            impersonator_label: some_text(bad),
            session_id: some_text(bad),
            method: some_text(bad),
            endpoint: some_text(bad),
            status_code: Some(500),
            ..event_by((bad, bad), "auth.login", (bad, bad, bad))
        };
        for second in [1, 2] {
            sample.add(&format!("2026-11-19T1{n}:00:0{second}Z"), event.clone());
        }
        let export = own_events::ExportPayload {
            format: bad,
            query: bad,
            rows: 1,
            heads: &[EventPlace { id: EventId(1), log: None }],
            output: None,
        };
        sample.add(
            "2026-11-19T14:20:00Z",
            own_events::export_event(&export, bad.to_owned(), bad.to_owned()),
        );
        let dead = own_events::system_event("mirror.dead", &serde_json::json!({"mirror": bad}));
        sample.add("2026-11-19T15:20:00Z", dead);
    }
    sample
}

/// The names of the elements of a page.
fn elements(html: &str) -> Vec<String> {
    html.split('<')
        .skip(1)
        .map(|tag| tag.split(|c: char| c.is_whitespace() || c == '>').next().unwrap().to_owned())
        .collect()
}

#[test]
fn nothing_of_an_events_becomes_markup_or_a_header() {
    let kinds = HOSTILE.map(|name| (name, "action:nothing"));
    let kinds = ActivityKinds::new(kinds).unwrap();
    let report = hostile().report_with(NOW, &kinds, Coverage::Due);
    let templates = Templates::read(
        None,
        some_text("{% for one in people %}{{ one.name }}\r\nBcc: {% endfor %}"),
    );
    let page = page_by(&report, &templates);
    assert_eq!(page.template_error, None);
    assert!(!page.subject.contains(char::is_control), "{:?}", page.subject);
    assert!(page.text.contains("onerror"), "the label is there, escaped");

    let foreign = |c: char| c.is_control() && c != '\n' || "\u{202e}\u{feff}".contains(c);
    assert!(!page.text.contains(foreign));
    assert!(!page.text.lines().any(|line| line.starts_with("Bcc:")));
    let html = page.html.unwrap();
    assert!(!html.contains(foreign));
    assert!(html.contains("onerror"), "the label is there, escaped");
    let elements = elements(&html);
    let tame = |name: &&str| !elements.iter().any(|element| element == *name);
    assert!(["img", "a", "script", "link", "iframe"].iter().all(tame), "{elements:?}");
    assert_eq!(elements.iter().filter(|element| *element == "style").count(), 1);
    // As many as for tame labels: nothing was closed either.
    let count = |name: &str| elements.iter().filter(|element| *element == name).count();
    for name in ["table", "tr", "td", "p", "span", "div", "code", "b"] {
        assert_eq!(count(name), count(&format!("/{name}")), "{name}");
    }
}

#[test]
fn templates_that_do_not_work_are_told_in_the_first_line() {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let report = a_day().report(NOW);
    let rendered = |subject: Option<String>| {
        let page = page_by(&report, &Templates::read(Some(folder.path()), subject));
        let line = page.text.lines().next().unwrap().to_owned();
        (line, page.template_error)
    };
    let built_in = "The configured templates do not work, this is the built-in mail: ";
    let fault = format!("{} has neither digest.txt nor digest.html", folder.path().display());
    assert_eq!(rendered(None), (format!("{built_in}{fault}"), Some(fault)));

    write(
        "digest.txt",
        "{{ site }}: {{ total }}\n{% for kind in kinds %}{{ kind.name }}\n{% endfor %}",
    );
    assert_eq!(rendered(None), ("s2l.online: 20".to_owned(), None));
    assert_eq!(
        rendered(some_text("{{ nobody }}")).1.as_deref(),
        Some("the subject:1: undefined value")
    );
    write("digest.txt", "{{ site }}\n{{ totl }}\n");
    let fault = "digest.txt:2: undefined value";
    assert_eq!(rendered(None), (format!("{built_in}{fault}"), some_text(fault)));
    let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}";
    write("digest.txt", endless);
    let fault = rendered(None).1.unwrap();
    assert_eq!(fault, "digest.txt:1: stopped after 20,000,000 steps, does a loop never end?");
    let long = format!("{{% for a in range(9999) %}}{}{{% endfor %}}", "x".repeat(9_999));
    write("digest.txt", &long);
    assert_eq!(rendered(None).1.unwrap(), "digest.txt: it writes more than 16 MiB");
    write("digest.txt", "{% for kind in kinds %}");
    assert!(rendered(None).1.unwrap().starts_with("digest.txt:1: syntax error: "));
    std::fs::remove_file(folder.path().join("digest.txt")).unwrap();
    write("digest.html", "{{ people[0].name | safe }}");
    assert!(rendered(None).1.unwrap().starts_with("digest.html:1: unknown filter"));
    std::fs::write(folder.path().join("digest.html"), b"\xff").unwrap();
    assert!(rendered(None).1.unwrap().starts_with("cannot read "));
}

#[test]
fn html_is_escaped_in_a_template_of_the_users() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("digest.html"), "<p>{{ people[0].name }}").unwrap();
    let templates = Templates::read(Some(folder.path()), None);
    let page = page_by(&hostile().report(NOW), &templates);
    assert_eq!(elements(&page.html.unwrap()), ["p"]);
}

#[test]
fn a_digest_that_cannot_be_made_is_a_plain_mail() {
    let page = RenderedMail::fallback(
        "s2l.online",
        "cannot read the log /x: it is damaged",
        time(NOW),
        &Zone::utc(),
    );
    assert_eq!(
        page.subject,
        "s2l.online: the digest could not be made: cannot read the log /x: it is damaged"
    );
    assert_eq!(page.html, None);
    insta::assert_snapshot!(page.text, @r#"
The digest of s2l.online could not be made: cannot read the log /x: it is damaged

It was due at 2026-11-20 04:00 UTC. The next digest that can be made
covers what happened in the meantime. `activity doctor` and `activity verify`,
called on the host of the log, say more.
"#);
}

#[test]
fn what_is_listed_is_capped_and_what_is_counted_is_not() {
    let mut sample = SampleLog::new();
    let event = |n: u64| {
        let at = time("2026-11-19T05:00:00Z").saturating_add(Span::from_seconds(n * 3));
        let action = ["auth.login", "user.view", "course.enrol"][(n % 3) as usize];
        NewEvent {
            occurred_at: Some(at),
            ..event_by(("9", "Maria"), action, ("page", &n.to_string(), "A page"))
        }
    };
    let events: Vec<_> = (0..20_000).map(event).collect();
    let stamp = Stamp { clock: &|| time(NOW), recorded_by: "root" };
    sample.log.append(&events, &stamp).unwrap();
    let report = sample.report(NOW);
    let groups: Vec<_> = report
        .groups
        .iter()
        .map(|group| (group.name.as_str(), group.count, group.listed.len()))
        .collect();
    assert_eq!(groups, [("Sign-ins", 6_667, 4), ("Enrolments", 6_666, 4), ("user.view", 6_667, 4)]);
    let page = page(&report);
    assert!(page.text.starts_with("s2l.online, 20,000 events in 24 hours\n"));
    let more = "  and 6,663 more: activity list 'action:auth.login -is:failed' \
                --since 2026-11-19T04:00:00Z --until 2026-11-20T04:00:00Z\n";
    assert!(page.text.contains(more), "{}", page.text);
}

#[test]
fn little_space_is_the_first_that_needs_a_look() {
    let report = a_day().report(NOW);
    let setting = MailContext {
        program: "activity",
        site: "s2l.online",
        zone: &Zone::utc(),
        system_label: "(system)",
        low_disk_space: Some(LowDiskSpace { free: 117_440_512, required: 268_435_456 }),
        write_failure_notice: None,
        silent_alerts: &[],
    };
    let page = RenderedMail::render(&report, &setting, &Templates::default());
    let (_, looks) = page.text.split_once("NEEDS A LOOK\n").unwrap();
    let first = looks.lines().next().unwrap();
    assert_eq!(first, "  Only 112 MiB are left for the log, less than the 256 MiB asked for.");
}
