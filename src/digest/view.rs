//! A report as a template sees it: texts that are safe to show, and times in a zone.
//!
//! Every text that comes from an event or the config is escaped as for a terminal and cut to a
//! length that a line bears, here and once: a template cannot get at it any other way. What HTML
//! needs besides is done by the [page](super::page). The fields are what users' own templates are
//! written against: `docs/digest.md` lists them all.

use serde::Serialize;

use crate::digest::lines;
use crate::digest::lines::Line;
use crate::digest::lines::Lines;
use crate::digest::report::Group;
use crate::digest::report::Report;
use crate::digest::words;
use crate::text;
use crate::time::TimeFormat;
use crate::time::Zone;

/// How many squares the longest bar of the text part has.
const SQUARES: u64 = 20;
/// How many lines name who failed, or who acted as somebody else.
const NAMED: usize = 10;

/// The most columns for who and for what in the text part.
const COLUMN: usize = 36;

/// How a page is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting<'a> {
    /// What names the log.
    pub site: &'a str,
    pub zone: &'a Zone,
    /// Who acts where nobody does.
    pub system_label: &'a str,
    /// Given when less is left for the log than should be.
    pub space: Option<Space>,
    /// The sentence that says that the log cannot be written, and why.
    pub unwritten: Option<&'a str>,
}

/// The bytes that are left for the log, and those that the config asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Space {
    pub free: u64,
    pub wanted: u64,
}

/// What a template sees. A text is empty where there is nothing to say.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct View {
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
    pub glance: Vec<Row>,
    pub more_kinds: String,
    pub nothing: String,
    pub kinds: Vec<Kind>,
    pub late: Late,
    pub ahead: String,
    pub people: Vec<Counted>,
    pub more_people: u64,
    pub failures: u64,
    pub failed: Vec<Counted>,
    pub more_failed: u64,
    pub failed_command: String,
    pub impersonations: Vec<Counted>,
    pub more_impersonations: u64,
    pub own: Vec<String>,
    pub more_own: u64,
    pub head: String,
}

/// A line of the counts at a glance.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub name: String,
    pub count: u64,
    pub before: u64,
    /// The length of its bar, from 0 to 100.
    pub percent: u64,
    /// The bar of the text part.
    pub bar: String,
}

/// A kind of activity with its events.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Kind {
    pub name: String,
    /// The name as the text part heads it.
    pub heading: String,
    pub count: u64,
    #[serde(flatten)]
    pub listing: Listing,
}

/// What occurred before the window and came in since the last digest.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Late {
    pub count: u64,
    #[serde(flatten)]
    pub listing: Listing,
}

/// Events in lines.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Listing {
    pub events: Vec<Line>,
    /// The columns that the text part needs for who and for what.
    pub who_columns: usize,
    pub what_columns: usize,
    /// How many are not listed, and what shows all.
    pub more: u64,
    pub command: String,
}

/// Somebody, or something that they did, and how often.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Counted {
    pub name: String,
    pub count: u64,
}

impl View {
    pub(crate) fn new(report: &Report, setting: &Setting<'_>) -> Self {
        let Setting { site, zone, .. } = *setting;
        let window = &report.window;
        let lines = Lines::new(setting, window);
        let whole = |query: &str| words::command(query, Some(window.since), Some(window.until));
        let failed = report
            .failed
            .iter()
            .take(NAMED)
            .map(|failed| Counted { name: lines.failed(failed), count: failed.count });
        let people = report
            .people
            .iter()
            .map(|person| Counted { name: lines::party(&person.who), count: person.count });
        let impersonations = report.impersonations.iter().take(NAMED).map(|impersonation| {
            let seen_as = impersonation.seen_as.as_ref().map(lines::party);
            let name = format!(
                "{} as {}",
                lines::party(&impersonation.by),
                seen_as.as_deref().unwrap_or("nobody")
            );
            Counted { name, count: impersonation.count }
        });
        let late_query = format!("id:{}-{}", window.told.0.saturating_add(1), window.through);
        Self {
            site: lines::shown(site, lines::LABEL),
            notice: String::new(),
            day: zone.format(window.until, TimeFormat::Date),
            since: zone.format(window.since, TimeFormat::WeekdayTime),
            until: zone.format(window.until, TimeFormat::WeekdayTime),
            span: words::span(window, zone),
            length: words::length(window),
            zone: zone.name().into_owned(),
            total: report.total,
            before: report.before,
            events: words::counted(report.total, "event"),
            now: if words::is_a_day(window) { "today" } else { "now" }.to_owned(),
            query: report.query.as_ref().map(|query| words::query(query, zone)).unwrap_or_default(),
            gap: words::gap(window),
            quiet_day: words::quiet_day(report, zone),
            looks: words::looks(report, setting, &lines),
            glance: glance(report),
            more_kinds: words::more_kinds(report.more_groups),
            nothing: if report.query.is_some() {
                String::new()
            } else {
                words::nothing(&report.empty)
            },
            kinds: report.groups.iter().map(|group| kind(group, &lines, &whole)).collect(),
            late: Late {
                count: report.late,
                listing: Listing::new(
                    report.late_listed.iter().map(|event| lines.dated(event)).collect(),
                    report.late,
                    words::command(&late_query, None, Some(window.since)),
                ),
            },
            ahead: words::ahead(report.ahead),
            people: people.collect(),
            more_people: rest(report.all_people, report.people.len()),
            failures: report.failures,
            failed: failed.collect(),
            more_failed: rest(report.failed.len() as u64, NAMED),
            failed_command: whole(&words::narrowed("is:failed", report.query.as_ref())),
            impersonations: impersonations.collect(),
            more_impersonations: rest(report.impersonations.len() as u64, NAMED),
            own: report.own.iter().map(|event| lines.own(event)).collect(),
            more_own: report.more_own,
            // What the log could not note is no promise.
            head: match report.head {
                (id, hash) if id.0 > 0 && setting.unwritten.is_none() => format!("{id}:{hash}"),
                _ => String::new(),
            },
        }
    }
}

impl Listing {
    fn new(events: Vec<Line>, count: u64, command: String) -> Self {
        let columns = |text: fn(&Line) -> &str| {
            events.iter().map(|line| text::width(text(line)).min(COLUMN)).max().unwrap_or(0)
        };
        let (who_columns, what_columns) = (columns(|line| &line.who), columns(|line| &line.what));
        let more = rest(count, events.len());
        Self { events, who_columns, what_columns, more, command }
    }
}

fn glance(report: &Report) -> Vec<Row> {
    let most = report.groups.iter().map(|group| group.count).chain([report.failures]).max();
    let most = most.unwrap_or(0);
    let row = |name: &str, count, before| Row {
        name: lines::shown(name, lines::LABEL),
        count,
        before,
        percent: scaled(count, most, 100),
        bar: "█".repeat(usize::try_from(scaled(count, most, SQUARES.min(most))).unwrap_or(0)),
    };
    let mut rows: Vec<Row> =
        report.groups.iter().map(|group| row(&group.name, group.count, group.before)).collect();
    if report.failures + report.failures_before > 0 {
        rows.push(row("Failures", report.failures, report.failures_before));
    }
    rows
}

/// The part of `whole` that `count` is of `most`, rounded; nothing for nothing alone.
fn scaled(count: u64, most: u64, whole: u64) -> u64 {
    if count == 0 {
        return 0;
    }
    let (count, most, whole) = (u128::from(count), u128::from(most), u128::from(whole));
    u64::try_from((2 * count * whole + most) / (2 * most)).unwrap_or(0).max(1)
}

fn rest(all: u64, shown: usize) -> u64 {
    all.saturating_sub(shown as u64)
}

fn kind(group: &Group, lines: &Lines<'_>, command: &impl Fn(&str) -> String) -> Kind {
    let name = lines::shown(&group.name, lines::LABEL);
    Kind {
        heading: if group.is_action { name.clone() } else { name.to_uppercase() },
        name,
        count: group.count,
        listing: Listing::new(
            group.listed.iter().map(|event| lines.line(event)).collect(),
            group.count,
            command(&group.query),
        ),
    }
}

/// Bytes as a person reads them: `112 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    let unit = ["KiB", "MiB", "GiB", "TiB"]
        .into_iter()
        .zip([10, 20, 30, 40])
        .rev()
        .find(|(_, shift)| count >> shift > 0);
    match unit {
        Some((unit, shift)) => format!("{} {unit}", count >> shift),
        None => text::plural(count, "byte"),
    }
}
