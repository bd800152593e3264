//! Reads a report: one pass over the events of the window, counts for the one before.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::HashMap;

use anyhow::Result;

use crate::digest::kinds::Classifier;
use crate::digest::kinds::Heading;
use crate::digest::list_command;
use crate::digest::outcome;
use crate::digest::outcome::RecordedOutcome;
use crate::digest::quiet;
use crate::digest::report::ActivityGroup;
use crate::digest::report::Coverage;
use crate::digest::report::DigestReport;
use crate::digest::report::ReportOptions;
use crate::digest::tally::PeopleTally;
use crate::digest::window::BegunDigest;
use crate::digest::window::DigestWindow;
use crate::digest::window::USUAL_LENGTH;
use crate::event::Event;
use crate::event::EventId;
use crate::event::Hash;
use crate::query::Query;
use crate::store::Cursor;
use crate::store::Log;
use crate::store::Order;
use crate::store::PageRequest;
use crate::store::digest::DetailLevel;
use crate::store::digest::EventRange;
use crate::time::Timestamp;

/// How many events are listed in all: some mail programs show no more than 100 kB of a mail.
const MAX_LISTED: usize = 300;
/// How many actions stand under their own names.
const MAX_ACTION_GROUPS: usize = 100;
/// How many of the log's own events are listed.
const MAX_OWN_LISTED: usize = 20;

/// The place under which the log keeps the head that a mail carries.
pub(super) const ANCHOR_PLACE: &str = "digest";

/// What is counted under a heading.
#[derive(Clone, Debug, Default)]
struct HeadingCount {
    current: u64,
    previous: u64,
    listed_ids: Vec<EventId>,
    /// The actions of this window, each with whether only those that failed are here.
    actions: BTreeMap<String, bool>,
}

/// What is counted, under its headings.
struct ReportGroups {
    groups: Vec<ActivityGroup>,
    omitted_groups: (u64, u64),
    empty_kinds: Vec<String>,
}

/// Reads a report from the log, all from one snapshot.
///
/// # Errors
/// The log cannot be read.
pub(crate) fn read_report(
    log: &Log,
    coverage: Coverage<'_>,
    now: Timestamp,
    options: &ReportOptions<'_>,
) -> Result<DigestReport> {
    log.with_snapshot(|| {
        let head = log.head()?;
        let (window, query) = match coverage {
            Coverage::Due => {
                let window = DigestWindow::next(&history(log)?, &begun_digests(log)?, now, head.0);
                (window, None)
            }
            Coverage::OneOff(query) => {
                let bounds = query.bounds();
                // The current day is covered as far as it has gone.
                let until = bounds.to.map_or(now, |to| to.min(now));
                let since = bounds.from.unwrap_or(until.saturating_sub(USUAL_LENGTH));
                (DigestWindow::one_off(since, until, head.0), Some(query))
            }
        };
        ReportReader::new(log, options, query).read(now, window, head)
    })
}

/// Returns every outcome of a digest that the log has, in the order of their ids.
///
/// # Errors
/// The log cannot be read.
pub(crate) fn history(log: &Log) -> Result<Vec<RecordedOutcome>> {
    let mut events = log.own_events(outcome::SENT_ACTION)?;
    events.extend(log.own_events(outcome::FAILED_ACTION)?);
    events.sort_by_key(|event| event.id);
    Ok(events.iter().filter_map(RecordedOutcome::from_event).collect())
}

/// Returns the digests that were begun, in the order of the heads that they read.
fn begun_digests(log: &Log) -> Result<Vec<BegunDigest>> {
    let published = log.published_heads(ANCHOR_PLACE)?;
    Ok(published.into_iter().map(|(through, at)| BegunDigest { at, through }).collect())
}

/// Reads one report.
struct ReportReader<'a> {
    log: &'a Log,
    options: &'a ReportOptions<'a>,
    query: Option<&'a Query>,
    classifier: Classifier<'a>,
    counts: HashMap<Heading, HeadingCount>,
}

impl<'a> ReportReader<'a> {
    fn new(log: &'a Log, options: &'a ReportOptions<'a>, query: Option<&'a Query>) -> Self {
        Self { log, options, query, classifier: options.kinds.classifier(), counts: HashMap::new() }
    }

    fn read(
        mut self,
        now: Timestamp,
        window: DigestWindow,
        head: (EventId, Hash),
    ) -> Result<DigestReport> {
        let mut acts = PeopleTally::default();
        let mut own = Vec::new();
        let mut more_own = 0;
        let mut take_own = |event: &Event| {
            if own.len() < MAX_OWN_LISTED { own.push(event.id) } else { more_own += 1 }
        };
        let within = EventRange {
            after: EventId(0),
            through: window.through,
            since: window.since,
            until: window.until,
        };
        let per_kind = self.options.per_kind;
        let mut total = 0;
        self.visit_events(&within, &mut |reader, event| {
            if event.own {
                return take_own(&event);
            }
            total += 1;
            let heading = reader.classifier.classify(&event);
            let count = reader.counts.entry(heading).or_default();
            count.current += 1;
            if count.listed_ids.len() < per_kind {
                count.listed_ids.push(event.id);
            }
            let failed = event.is_failed();
            match count.actions.get_mut(event.action.slug.as_str()) {
                Some(only_failed) => *only_failed &= failed,
                None => drop(count.actions.insert(event.action.slug.clone(), failed)),
            }
            acts.add(&event);
        })?;
        let (before, failures_before) = self.count_previous(&window)?;
        let mut late = 0;
        let mut late_listed = Vec::new();
        if self.query.is_none() && window.covered_through < window.through {
            let since = Timestamp::from_nanos(i64::MIN);
            let extent =
                EventRange { after: window.covered_through, since, until: window.since, ..within };
            self.log.each_in_recorded_order(&extent, DetailLevel::Outline, &mut |event| {
                if event.own {
                    return take_own(&event);
                }
                late += 1;
                if late_listed.len() < per_kind {
                    late_listed.push(event.id);
                }
            })?;
        }
        let extent =
            EventRange { since: window.until, until: Timestamp::from_nanos(i64::MAX), ..within };
        let ahead = match self.query {
            None => self.log.action_counts(&extent)?.iter().map(|tally| tally.count).sum(),
            Some(_) => 0,
        };
        let last = if total == 0 { self.log.last_activity(window.until)? } else { None };
        // A part of the log has no rhythm of its own.
        let whole = self.query.is_none_or(|query| query.terms().next().is_none());
        let kinds = self.options.kinds;
        let quiet =
            if whole { quiet::find_quiet(self.log, kinds, window.until)? } else { Vec::new() };
        let ReportGroups { groups, omitted_groups: more_groups, empty_kinds: empty } =
            self.take_groups()?;
        let (people, all_people) = acts.people(self.options.top);
        Ok(DigestReport {
            made_at: now,
            query: self.query.cloned(),
            total,
            previous_total: before,
            groups,
            omitted_groups: more_groups,
            empty_kinds: empty,
            failures: acts.failures(),
            previous_failures: failures_before,
            critical: acts.critical(),
            failed_attempts: acts.failed_attempts(),
            people,
            people_count: all_people,
            impersonations: acts.impersonations(),
            own_events: self.fetch_events(&own)?,
            more_own_events: more_own,
            late_count: late,
            late_events: self.fetch_events(&late_listed)?,
            ahead_count: ahead,
            gone_quiet: quiet,
            last_event: last,
            head,
            window,
        })
    }

    /// Visits the events of an extent that are asked for, the newest first.
    fn visit_events(
        &mut self,
        extent: &EventRange,
        visit: &mut dyn FnMut(&mut Self, Event),
    ) -> Result<()> {
        const PAGE: usize = 2_000;
        let (log, depth) = (self.log, self.depth());
        let Some(query) = self.query else {
            return log.each_newest_first(extent, depth, &mut |event| visit(self, event));
        };
        let query = query.clone().with_time_range(extent.since, extent.until);
        let up_to = Some(extent.through);
        let mut after = None;
        loop {
            let page =
                PageRequest { order: Order::NewestFirst, after, skip: 0, limit: PAGE, up_to };
            let events = log.page(&query, &page)?;
            let Some(last) = events.last() else { return Ok(()) };
            after = Some(Cursor::from_event(last));
            events.into_iter().for_each(|event| visit(self, event));
        }
    }

    fn depth(&self) -> DetailLevel {
        if self.query.is_none() && self.options.kinds.decided_by_action() {
            DetailLevel::Outline
        } else {
            DetailLevel::Full
        }
    }

    /// Counts the window before, as far as it is told: in all, what failed, and by heading.
    fn count_previous(&mut self, window: &DigestWindow) -> Result<(u64, u64)> {
        let extent = EventRange {
            after: EventId(0),
            through: window.through,
            since: window.previous_since(),
            until: window.since,
        };
        let (mut all, mut failures) = (0, 0);
        if self.depth() == DetailLevel::Outline {
            for tally in self.log.action_counts(&extent)? {
                all += tally.count;
                failures += if tally.failed { tally.count } else { 0 };
                let heading = self.options.kinds.heading_of_action(&tally.action, tally.failed);
                self.counts.entry(heading).or_default().previous += tally.count;
            }
        } else {
            self.visit_events(&extent, &mut |reader, event| {
                if !event.own {
                    all += 1;
                    failures += u64::from(event.is_failed());
                    let heading = reader.classifier.classify(&event);
                    reader.counts.entry(heading).or_default().previous += 1;
                }
            })?;
        }
        Ok((all, failures))
    }

    /// The groups in their order with the newest events of each, the empty kinds, and what is left.
    fn take_groups(&mut self) -> Result<ReportGroups> {
        let mut counts = std::mem::take(&mut self.counts);
        let mut chosen = Vec::new();
        let mut empty = Vec::new();
        for (place, kind) in self.options.kinds.all().iter().enumerate() {
            match counts.remove(&Heading::Kind(place)) {
                Some(count) => chosen.push((Heading::Kind(place), count)),
                None => empty.push(kind.name.clone()),
            }
        }
        let mut actions: Vec<_> =
            counts.into_iter().filter(|(_, count)| count.current > 0).collect();
        actions.sort_by(|(a, x), (b, y)| (Reverse(x.current), a).cmp(&(Reverse(y.current), b)));
        let rest = actions.split_off(actions.len().min(MAX_ACTION_GROUPS));
        let more_groups = (rest.len() as u64, rest.iter().map(|(_, count)| count.current).sum());
        chosen.append(&mut actions);
        let listed: Vec<usize> = chosen.iter().map(|(_, count)| count.listed_ids.len()).collect();
        let each = listed_per_group(&listed);
        let groups = chosen.into_iter().map(|(heading, mut count)| {
            count.listed_ids.truncate(each);
            self.to_group(heading, &count)
        });
        Ok(ReportGroups {
            groups: groups.collect::<Result<_>>()?,
            omitted_groups: more_groups,
            empty_kinds: empty,
        })
    }

    fn to_group(&self, heading: Heading, count: &HeadingCount) -> Result<ActivityGroup> {
        let query = self.heading_query(&heading, count);
        let (name, is_action) = self.options.kinds.heading_name(heading);
        let listed = self.fetch_events(&count.listed_ids)?;
        Ok(ActivityGroup {
            name,
            is_action,
            query,
            count: count.current,
            previous_count: count.previous,
            listed,
        })
    }

    /// The query for all that stands under a heading, times aside.
    fn heading_query(&self, heading: &Heading, count: &HeadingCount) -> String {
        // Longer lists of actions are harder to read than the globs that they came from.
        const MAX_QUERY_ACTIONS: usize = 6;
        let kind = self.options.kinds.kind(heading);
        let slugs: Vec<&str> = count.actions.keys().map(String::as_str).collect();
        let named = format!("action:{}", slugs.join(","));
        let asked = match (kind, self.query) {
            (Some(kind), None) if !kind.built_in || slugs.len() > MAX_QUERY_ACTIONS => {
                kind.query_text.clone()
            }
            (Some(kind), _) if kind.query_text.ends_with(" -is:failed") => named + " -is:failed",
            // Those that went well may stand under a kind.
            (None, _) if count.actions.values().all(|only_failed| *only_failed) => {
                named + " is:failed"
            }
            _ => named,
        };
        list_command::narrow_query(&asked, self.query)
    }

    /// The events with those ids, in their order.
    fn fetch_events(&self, ids: &[EventId]) -> Result<Vec<Event>> {
        let events = self.log.events_by_ids(ids)?;
        let mut events: HashMap<EventId, Event> =
            events.into_iter().map(|event| (event.id, event)).collect();
        Ok(ids.iter().filter_map(|id| events.remove(id)).collect())
    }
}

/// How many events each group may list, for all to list no more than [`MAX_LISTED`] together.
fn listed_per_group(listed: &[usize]) -> usize {
    let most = listed.iter().copied().max().unwrap_or(0);
    (1..=most)
        .rev()
        .find(|each| listed.iter().map(|count| count.min(each)).sum::<usize>() <= MAX_LISTED)
        .unwrap_or(1)
}
