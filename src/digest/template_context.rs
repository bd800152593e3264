//! The context of the templates: a report as texts that are safe to show, with times in a zone.
//!
//! Every text from an event or the config is escaped as for a terminal and cut to the length of a line.
//! This happens here and once, so no template sees a raw text. [`rendered_mail`](super::rendered_mail)
//! escapes for HTML besides.
//!
//! ## Compatibility
//! Users write templates against these fields. `docs/digest.md` documents them all.

use std::cmp::Reverse;

use serde::Serialize;

use crate::digest::event_lines::EventLine;
use crate::digest::event_lines::EventLineFormatter;
use crate::digest::list_command;
use crate::digest::mail_context::MailContext;
use crate::digest::phrases;
use crate::digest::report::ActivityGroup;
use crate::digest::report::DigestReport;
use crate::digest::report::HostActivity;
use crate::digest::sentences;
use crate::digest::window::DigestWindow;
use crate::event::Party;
use crate::text;
use crate::time::Span;
use crate::time::TimeFormat;
use crate::time::Timestamp;
use crate::time::Zone;

/// The squares of the longest bar in the text part.
const MAX_BAR_SQUARES: u64 = 20;
/// The most lines of failures, and of impersonations.
const MAX_NAMED: usize = 10;

/// The most hosts that are listed.
const MAX_HOSTS: usize = 100;
/// The number of hexadecimal digits that tell one hash from another.
const SHOWN_HASH_DIGITS: usize = 16;

/// The most columns of a name at a glance.
const MAX_NAME_COLUMNS: usize = 40;
/// The most columns of the person, and of the action, in the text part.
const MAX_COLUMN_WIDTH: usize = 36;

/// The variables of a template. A text is empty where there is nothing to say.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TemplateContext {
    pub site: String,
    pub notice: String,
    pub day: String,
    pub since: String,
    pub until: String,
    pub span: String,
    pub length: String,
    pub zone: String,
    pub total: u64,
    pub before: u64,
    pub events: String,
    pub now: String,
    pub query: String,
    pub gap: String,
    pub quiet_day: String,
    pub looks: Vec<String>,
    pub hosts: Vec<HostRow>,
    /// The columns of the names of hosts in the text part.
    pub host_columns: usize,
    pub more_hosts: u64,
    /// How the program is called: `activity --central`.
    pub program: String,
    /// The columns of the names at a glance in the text part.
    pub name_columns: usize,
    pub glance: Vec<GlanceRow>,
    pub more_kinds: String,
    pub nothing: String,
    pub kinds: Vec<KindSection>,
    pub late: LateSection,
    pub ahead: String,
    pub people: Vec<NamedCount>,
    pub more_people: u64,
    pub failures: u64,
    pub failed: Vec<NamedCount>,
    pub more_failed: u64,
    pub failed_command: String,
    pub impersonations: Vec<NamedCount>,
    pub more_impersonations: u64,
    pub own: Vec<String>,
    pub more_own: u64,
    pub head: String,
}

/// A host of a central store.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct HostRow {
    pub name: String,
    /// The number of its events in the window.
    pub count: u64,
    /// `12 events have yet to arrive`; empty where all is well.
    pub state: String,
    /// The head of its chain, `ID:HASH`, with the digits that tell one hash from another.
    pub head: String,
}

/// A row of the counts at a glance.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct GlanceRow {
    pub name: String,
    pub count: u64,
    pub before: u64,
    /// The length of the bar, from 0 to 100.
    pub percent: u64,
    /// The bar of the text part.
    pub bar: String,
}

/// A kind of activity with its events.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct KindSection {
    pub name: String,
    /// The heading of the text part.
    pub heading: String,
    pub count: u64,
    #[serde(flatten)]
    pub listing: EventListing,
}

/// The events that occurred before the window and were recorded since the last digest.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LateSection {
    pub count: u64,
    #[serde(flatten)]
    pub listing: EventListing,
}

/// Events as lines.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct EventListing {
    pub events: Vec<EventLine>,
    /// The columns of the host in the text part; 0 where there is but one log.
    pub host_columns: usize,
    /// The columns of the person in the text part.
    pub who_columns: usize,
    /// The columns of the action in the text part.
    pub what_columns: usize,
    /// The number of events that are not listed.
    pub more: u64,
    /// The command that lists all events.
    pub command: String,
}

/// A person, or something that a person did, with a count.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NamedCount {
    pub name: String,
    pub count: u64,
}

impl TemplateContext {
    pub(crate) fn new(report: &DigestReport, options: &MailContext<'_>) -> Self {
        let MailContext { site, zone, .. } = *options;
        let window = &report.window;
        let query = report.query.as_ref();
        let lines = EventLineFormatter::new(options, window);
        let list_in_window = |query: &str| {
            let (since, until) = (Some(window.since), Some(window.until));
            list_command::list_command(options.program, query, since, until)
        };
        let glance = glance_rows(report);
        Self {
            site: phrases::escape_label(site),
            notice: String::new(),
            day: zone.format(covered_day(window), TimeFormat::Date),
            since: zone.format(window.since, TimeFormat::WeekdayTime),
            until: zone.format(window.until, TimeFormat::WeekdayTime),
            span: phrases::format_span(window, zone),
            length: phrases::format_length(window),
            zone: zone.name().into_owned(),
            total: report.total,
            before: report.previous_total,
            events: phrases::format_count(report.total, "event"),
            now: if phrases::is_a_day(window) {
                zone.format(covered_day(window), TimeFormat::DayMonth)
            } else {
                "now".to_owned()
            },
            query: query.map(|query| sentences::describe_query(query, zone)).unwrap_or_default(),
            gap: sentences::gap_prefix(window),
            quiet_day: sentences::no_activity_sentence(report, zone),
            looks: sentences::needs_a_look(report, options, &lines),
            hosts: host_rows(report, zone),
            host_columns: report
                .hosts
                .iter()
                .map(|host| text::width(&phrases::escape_name(&host.log.name, MAX_NAME_COLUMNS)))
                .max()
                .unwrap_or(0),
            more_hosts: remaining(report.hosts.len() as u64, MAX_HOSTS),
            program: options.program.to_owned(),
            name_columns: glance
                .iter()
                .map(|row| text::width(&row.name))
                .max()
                .unwrap_or(0)
                .max(25),
            glance,
            more_kinds: sentences::omitted_kinds_sentence(
                report.omitted_groups,
                &list_in_window(&list_command::narrow_query("", query)),
            ),
            nothing: match query {
                Some(_) => String::new(),
                None => sentences::empty_kinds_sentence(&report.empty_kinds),
            },
            kinds: report
                .groups
                .iter()
                .map(|group| kind_section(group, &lines, &list_in_window))
                .collect(),
            late: late_section(report, &lines, options.program),
            ahead: sentences::ahead_sentence(report.ahead_count),
            people: active_people(report),
            more_people: remaining(report.people_count, report.people.len()),
            failures: report.failures,
            failed: failed_attempts(report, &lines),
            more_failed: remaining(report.failed_attempts.len() as u64, MAX_NAMED),
            failed_command: list_in_window(&list_command::narrow_query("is:failed", query)),
            impersonations: impersonations(report),
            more_impersonations: remaining(report.impersonations.len() as u64, MAX_NAMED),
            own: report.own_events.iter().map(|event| lines.format_own_event(event)).collect(),
            more_own: report.more_own_events,
            head: recorded_head(report, options),
        }
    }
}

impl EventListing {
    fn new(events: Vec<EventLine>, count: u64, command: String) -> Self {
        let columns = |text: fn(&EventLine) -> &str| {
            events
                .iter()
                .map(|line| text::width(text(line)).min(MAX_COLUMN_WIDTH))
                .max()
                .unwrap_or(0)
        };
        Self {
            host_columns: columns(|line| &line.host),
            who_columns: columns(|line| &line.who),
            what_columns: columns(|line| &line.what),
            more: remaining(count, events.len()),
            events,
            command,
        }
    }
}

/// Returns a time of the day that a digest is named by: that of its end, unless the window ends within
/// the first hour of a day, so that it covers the day before. A window that begins in that hour covers
/// no other day.
fn covered_day(window: &DigestWindow) -> Timestamp {
    window.until.saturating_sub(Span::from_seconds(3_600)).max(window.since)
}

fn late_section(
    report: &DigestReport,
    lines: &EventLineFormatter<'_>,
    program: &str,
) -> LateSection {
    let window = &report.window;
    let first_id = window.covered_through.host().0.saturating_add(1);
    let query = format!("id:{first_id}-{}", window.through.host());
    let events = report.late_events.iter().map(|event| lines.format_event_with_day(event));
    let command = match report.store {
        // They have other ids in each log.
        Some(_) => String::new(),
        None => list_command::list_command(program, &query, None, Some(window.since)),
    };
    LateSection {
        count: report.late_count,
        listing: EventListing::new(events.collect(), report.late_count, command),
    }
}

fn active_people(report: &DigestReport) -> Vec<NamedCount> {
    let who: Vec<&Party> = report.people.iter().map(|person| &person.who).collect();
    let names = phrases::format_people(&who);
    let people = report.people.iter().zip(names);
    people.map(|(person, name)| NamedCount { name, count: person.count }).collect()
}

fn failed_attempts(report: &DigestReport, lines: &EventLineFormatter<'_>) -> Vec<NamedCount> {
    let all = report.failed_attempts.iter();
    let who: Vec<&Party> = all.clone().filter_map(|failed| failed.who.as_ref()).collect();
    let mut names = phrases::format_people(&who).into_iter();
    let failed = all.take(MAX_NAMED).map(|failed| {
        let who = failed.who.as_ref().and_then(|_| names.next());
        NamedCount { name: lines.format_failed_attempts(failed, who), count: failed.count }
    });
    failed.collect()
}

fn impersonations(report: &DigestReport) -> Vec<NamedCount> {
    let named = report.impersonations.iter().take(MAX_NAMED).map(|impersonation| {
        let actor = impersonation.actor.as_ref().map(phrases::format_party);
        let name = format!(
            "{} as {}",
            phrases::format_party(&impersonation.impersonator),
            actor.as_deref().unwrap_or("nobody")
        );
        NamedCount { name, count: impersonation.count }
    });
    named.collect()
}

/// Returns the hosts whose events may be missing, then the others, those of most events first.
fn host_rows(report: &DigestReport, zone: &Zone) -> Vec<HostRow> {
    let now = report.made_at;
    let mut hosts: Vec<&HostActivity> = report.hosts.iter().collect();
    hosts.sort_by_key(|host| (!host.is_silent(now), host.waiting() == 0, Reverse(host.events)));
    let row = |host: &HostActivity| {
        let (id, hash) = host.log.head;
        let digits: String = hash.to_string().chars().take(SHOWN_HASH_DIGITS).collect();
        let state = match host.log.seen_at {
            None => "has said nothing yet".to_owned(),
            Some(at) if host.is_silent(now) => {
                format!("nothing since {}", zone.format(at, phrases::dated_style(at, now, zone)))
            }
            Some(_) if host.waiting() > 0 => {
                format!("{} yet to arrive", phrases::format_count(host.waiting(), "event"))
            }
            Some(_) => String::new(),
        };
        HostRow {
            name: phrases::escape_name(&host.log.name, MAX_NAME_COLUMNS),
            count: host.events,
            state,
            head: if id.0 > 0 { format!("{id}:{digits}") } else { String::new() },
        }
    };
    hosts.into_iter().take(MAX_HOSTS).map(row).collect()
}

/// Returns the head as `ID:HASH`. A head that is not recorded is left out, because it cannot be
/// checked later.
fn recorded_head(report: &DigestReport, options: &MailContext<'_>) -> String {
    match report.head {
        (id, hash) if id.0 > 0 && options.write_failure_notice.is_none() => format!("{id}:{hash}"),
        _ => String::new(),
    }
}

fn glance_rows(report: &DigestReport) -> Vec<GlanceRow> {
    let most = report.groups.iter().map(|group| group.count).chain([report.failures]).max();
    let most = most.unwrap_or(0);
    let row = |name: &str, count, before| GlanceRow {
        name: phrases::escape_name(name, MAX_NAME_COLUMNS),
        count,
        before,
        percent: scale(count, most, 100),
        bar: "█"
            .repeat(usize::try_from(scale(count, most, MAX_BAR_SQUARES.min(most))).unwrap_or(0)),
    };
    let mut rows: Vec<GlanceRow> = report
        .groups
        .iter()
        .map(|group| row(&group.name, group.count, group.previous_count))
        .collect();
    if report.failures + report.previous_failures > 0 {
        rows.push(row("Failures", report.failures, report.previous_failures));
    }
    rows
}

/// Scales a count so that `most` becomes `whole`, rounded. Only 0 becomes 0.
fn scale(count: u64, most: u64, whole: u64) -> u64 {
    if count == 0 {
        return 0;
    }
    let (count, most, whole) = (u128::from(count), u128::from(most), u128::from(whole));
    u64::try_from((2 * count * whole + most) / (2 * most)).unwrap_or(0).max(1)
}

fn remaining(all: u64, shown: usize) -> u64 {
    all.saturating_sub(shown as u64)
}

fn kind_section(
    group: &ActivityGroup,
    lines: &EventLineFormatter<'_>,
    command: &impl Fn(&str) -> String,
) -> KindSection {
    let name = phrases::escape_label(&group.name);
    KindSection {
        heading: if group.is_action { name.clone() } else { name.to_uppercase() },
        name,
        count: group.count,
        listing: EventListing::new(
            group.listed.iter().map(|event| lines.format_event(event, group.is_action)).collect(),
            group.count,
            command(&group.query),
        ),
    }
}
