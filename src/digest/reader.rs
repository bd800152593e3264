//! Reads a report from the log, in one snapshot; or from a central store, as far as the logs of its hosts
//! have arrived.
//!
//! ## Cost
//! One pass over the events of the window; counts by action for the previous window, unless a query or
//! a kind depends on more than the action. Memory grows with the people and actions, not with the
//! events.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Result;

use crate::access::PlatformWork;
use crate::access::Scope;
use crate::digest::kinds::Classifier;
use crate::digest::kinds::FAILED_SIGN_INS;
use crate::digest::kinds::Heading;
use crate::digest::list_command;
use crate::digest::logs;
use crate::digest::logs::DigestLogs;
use crate::digest::quiet;
use crate::digest::quiet::QuietActivity;
use crate::digest::report::ActivityGroup;
use crate::digest::report::Coverage;
use crate::digest::report::DigestReport;
use crate::digest::report::HostActivity;
use crate::digest::report::ReportOptions;
use crate::digest::tally::PeopleTally;
use crate::digest::window::DigestWindow;
use crate::digest::window::USUAL_LENGTH;
use crate::event::Event;
use crate::event::EventId;
use crate::event::EventPlace;
use crate::event::Hash;
use crate::event::Party;
use crate::event::Severity;
use crate::event::Target;
use crate::query::Query;
use crate::store::Log;
use crate::store::digest::ArrivedLog;
use crate::store::digest::DetailLevel;
use crate::store::digest::DigestRange;
use crate::store::digest::LogPositions;
use crate::time::Timestamp;

/// The most kinds and actions that are told; failures take one row more.
const MAX_GROUPS: usize = 14;
/// The most critical events that are told one by one.
const MAX_CRITICAL: usize = 3;
/// The most events of the log's own that are listed.
const MAX_OWN_LISTED: usize = 20;

/// The counts of one heading.
#[derive(Clone, Debug, Default)]
struct HeadingCount {
    /// The number of events in the window.
    current: u64,
    /// The number of events in the previous window.
    previous: u64,
    /// The newest events.
    listed: Vec<EventPlace>,
    /// The actions in the window, each with whether all of its events here failed.
    actions: BTreeMap<String, bool>,
}

/// The groups of a report. The fields are those of [`DigestReport`].
struct ReportGroups {
    groups: Vec<ActivityGroup>,
    omitted_groups: (u64, u64),
    empty_kinds: Vec<String>,
}

/// Reads a report, that of a log of this host from one snapshot.
///
/// # Errors
/// The log or the store cannot be read.
pub(crate) fn read_report(
    logs: DigestLogs<'_>,
    coverage: Coverage<'_>,
    now: Timestamp,
    options: &ReportOptions<'_>,
) -> Result<DigestReport> {
    logs.events.with_snapshot(|| {
        let head = logs.records.map_or(Ok((EventId(0), Hash([0; 32]))), Log::head)?;
        let hosts = logs.events.arrived_logs(PlatformWork::Digest)?;
        let arrived = match logs.store {
            Some(_) => logs::positions(&hosts),
            None => LogPositions::of_host(head.0),
        };
        let (window, query) = match coverage {
            Coverage::Due => {
                let (history, begun) = (logs.history()?, logs.begun(&arrived)?);
                (DigestWindow::next(&history, &begun, now, &arrived), None)
            }
            Coverage::OneOff(query) => {
                let bounds = query.bounds();
                // The current day is covered as far as it has gone.
                let until = bounds.to.map_or(now, |to| to.min(now));
                let since = bounds.from.unwrap_or(until.saturating_sub(USUAL_LENGTH));
                (DigestWindow::one_off(since, until, &arrived), Some(query))
            }
        };
        let mut report =
            ReportReader::new(logs.events, options, query).read(now, window, head, hosts)?;
        report.store = logs.store.map(str::to_owned);
        Ok(report)
    })
}

/// The first events of a sequence, up to a cap, and the number of all.
struct CappedPlaces {
    cap: usize,
    places: Vec<EventPlace>,
    count: u64,
}

impl CappedPlaces {
    fn new(cap: usize) -> Self {
        Self { cap, places: Vec::new(), count: 0 }
    }

    fn add(&mut self, event: &Event) {
        self.count += 1;
        if self.places.len() < self.cap {
            self.places.push(event.place());
        }
    }

    /// The number of events beyond the cap.
    fn omitted(&self) -> u64 {
        self.count - self.places.len() as u64
    }
}

/// Reads one report.
struct ReportReader<'a> {
    log: &'a Log,
    options: &'a ReportOptions<'a>,
    query: Option<&'a Query>,
    classifier: Classifier<'a>,
    counts: HashMap<Heading, HeadingCount>,
    /// The number of events in the window by the names of the logs of a store.
    events_by_host: HashMap<Arc<str>, u64>,
}

impl<'a> ReportReader<'a> {
    fn new(log: &'a Log, options: &'a ReportOptions<'a>, query: Option<&'a Query>) -> Self {
        Self {
            log,
            options,
            query,
            classifier: options.kinds.classifier(),
            counts: HashMap::new(),
            events_by_host: HashMap::new(),
        }
    }

    /// Reads the report of a window: the window, then the events before and after it.
    fn read(
        mut self,
        now: Timestamp,
        window: DigestWindow,
        head: (EventId, Hash),
        hosts: Vec<ArrivedLog>,
    ) -> Result<DigestReport> {
        let mut own = CappedPlaces::new(MAX_OWN_LISTED);
        let mut critical = CappedPlaces::new(MAX_CRITICAL);
        let (total, mut people) = self.count_window(&window, &mut own, &mut critical)?;
        self.fill_in_people(&mut people)?;
        let (previous_total, previous_failures) = self.count_previous(&window)?;
        let late = self.list_late(&window, &mut own)?;
        let ahead_count = self.count_ahead(&window)?;
        let last_event = if total == 0 {
            self.log.last_activity(PlatformWork::Digest, window.until)?
        } else {
            None
        };
        let gone_quiet = self.find_quiet(&window)?;
        let ReportGroups { groups, omitted_groups, empty_kinds } = self.take_groups()?;
        let (most_active, people_count) = people.people(self.options.top);
        let events_of = |log: &ArrivedLog| self.events_by_host.get(&log.name).copied().unwrap_or(0);
        let hosts =
            hosts.into_iter().map(|log| HostActivity { events: events_of(&log), log }).collect();
        Ok(DigestReport {
            made_at: now,
            store: None,
            hosts,
            query: self.query.cloned(),
            total,
            previous_total,
            groups,
            omitted_groups,
            empty_kinds,
            failures: people.failures(),
            previous_failures,
            critical: critical.count,
            critical_events: self.fetch_events(&critical.places)?,
            failed_attempts: people.failed_attempts(),
            people: most_active,
            people_count,
            impersonations: people.impersonations(),
            own_events: self.fetch_events(&own.places)?,
            more_own_events: own.omitted(),
            late_count: late.count,
            late_events: self.fetch_events(&late.places)?,
            ahead_count,
            gone_quiet,
            last_event,
            head,
            window,
        })
    }

    /// Counts the events of the window under their headings. Returns their number and the counts of
    /// people.
    fn count_window(
        &mut self,
        window: &DigestWindow,
        own: &mut CappedPlaces,
        critical: &mut CappedPlaces,
    ) -> Result<(u64, PeopleTally)> {
        let mut people = PeopleTally::default();
        let mut total = 0;
        let per_kind = self.options.per_kind;
        let visit = &mut |reader: &mut Self, event: Event| {
            if event.own {
                return own.add(&event);
            }
            total += 1;
            if let Some(host) = &event.log {
                *reader.events_by_host.entry(Arc::clone(host)).or_default() += 1;
            }
            if event.severity == Severity::Critical {
                critical.add(&event);
            }
            let heading = reader.classifier.classify(&event);
            let count = reader.counts.entry(heading).or_default();
            count.current += 1;
            if count.listed.len() < per_kind {
                count.listed.push(event.place());
            }
            let failed = event.is_failed();
            match count.actions.get_mut(event.action.slug.as_str()) {
                Some(only_failed) => *only_failed &= failed,
                None => drop(count.actions.insert(event.action.slug.clone(), failed)),
            }
            people.add(&event);
        };
        for part in window.parts() {
            self.visit_events(&part, visit)?;
        }
        Ok((total, people))
    }

    /// Lists the events that arrived late. None do for a digest of a query.
    fn list_late(&self, window: &DigestWindow, own: &mut CappedPlaces) -> Result<CappedPlaces> {
        let mut late = CappedPlaces::new(self.options.per_kind);
        if self.query.is_some() {
            return Ok(late);
        }
        for part in window.late_parts() {
            let work = PlatformWork::Digest;
            self.log.each_in_recorded_order(work, &part, DetailLevel::Outline, &mut |event| {
                if event.own { own.add(&event) } else { late.add(&event) }
            })?;
        }
        Ok(late)
    }

    /// Counts the events that are dated after the window. A digest of a query does not count them.
    fn count_ahead(&self, window: &DigestWindow) -> Result<u64> {
        if self.query.is_some() {
            return Ok(0);
        }
        let mut count = 0;
        for part in window.parts_ahead() {
            let tallies = self.log.action_counts(PlatformWork::Digest, &part)?;
            count += tallies.iter().map(|tally| tally.count).sum::<u64>();
        }
        Ok(count)
    }

    /// Finds what has gone quiet. A query with terms has a part of the log, which has no rhythm of its
    /// own.
    fn find_quiet(&self, window: &DigestWindow) -> Result<Vec<QuietActivity>> {
        match self.query {
            Some(query) if query.terms().next().is_some() => Ok(Vec::new()),
            Some(_) | None => quiet::find_quiet(self.log, self.options.kinds, window.until),
        }
    }

    /// Visits the events of a range that match the query, the newest first.
    fn visit_events(
        &mut self,
        range: &DigestRange,
        visit: &mut dyn FnMut(&mut Self, Event),
    ) -> Result<()> {
        let (log, detail) = (self.log, self.detail_level());
        let Some(query) = self.query else {
            let work = PlatformWork::Digest;
            return log.each_newest_first(work, range, detail, &mut |event| visit(self, event));
        };
        let query = query.clone().with_time_range(range.since, range.until);
        let scope = Scope::of(PlatformWork::Digest);
        let visit = &mut |event| visit(self, event);
        log.each_matching_newest_first(&scope, &query, range.through.host(), visit)
    }

    /// Returns the detail that the classifier needs.
    fn detail_level(&self) -> DetailLevel {
        if self.query.is_none() && self.options.kinds.decided_by_action() {
            DetailLevel::Outline
        } else {
            DetailLevel::Full
        }
    }

    /// Counts the events of the previous window by heading. Returns their number and that of the
    /// failed ones.
    fn count_previous(&mut self, window: &DigestWindow) -> Result<(u64, u64)> {
        let range = DigestRange {
            after: LogPositions::START,
            through: window.through.clone(),
            since: window.previous_since(),
            until: window.since,
        };
        let (mut total, mut failures) = (0, 0);
        if self.detail_level() == DetailLevel::Outline {
            for tally in self.log.action_counts(PlatformWork::Digest, &range)? {
                total += tally.count;
                failures += if tally.failed { tally.count } else { 0 };
                let heading = self.options.kinds.heading_of_action(&tally.action, tally.failed);
                self.counts.entry(heading).or_default().previous += tally.count;
            }
        } else {
            self.visit_events(&range, &mut |reader, event| {
                if !event.own {
                    total += 1;
                    failures += u64::from(event.is_failed());
                    let heading = reader.classifier.classify(&event);
                    reader.counts.entry(heading).or_default().previous += 1;
                }
            })?;
        }
        Ok((total, failures))
    }

    /// Returns the groups in their order, each with its newest events.
    fn take_groups(&mut self) -> Result<ReportGroups> {
        let mut counts = std::mem::take(&mut self.counts);
        let mut chosen = Vec::new();
        let mut empty_kinds = Vec::new();
        let kinds = self.options.kinds;
        for index in kinds.listed_order() {
            let Some(kind) = kinds.all().get(index) else { continue };
            match counts.remove(&Heading::Kind(index)) {
                Some(count) => chosen.push((Heading::Kind(index), count)),
                None if kind.name == FAILED_SIGN_INS => {}
                None => empty_kinds.push(kind.name.clone()),
            }
        }
        let mut actions: Vec<_> =
            counts.into_iter().filter(|(_, count)| count.current > 0).collect();
        actions.sort_by(|(a, x), (b, y)| (Reverse(x.current), a).cmp(&(Reverse(y.current), b)));
        chosen.append(&mut actions);
        let rest = chosen.split_off(chosen.len().min(MAX_GROUPS));
        let omitted_groups = (rest.len() as u64, rest.iter().map(|(_, count)| count.current).sum());
        let listed: Vec<usize> = chosen.iter().map(|(_, count)| count.listed.len()).collect();
        let per_group = listed_per_group(&listed, self.options.total);
        let groups = chosen.into_iter().map(|(heading, mut count)| {
            count.listed.truncate(per_group);
            self.to_group(heading, &count)
        });
        Ok(ReportGroups { groups: groups.collect::<Result<_>>()?, omitted_groups, empty_kinds })
    }

    fn to_group(&self, heading: Heading, count: &HeadingCount) -> Result<ActivityGroup> {
        let query = self.heading_query(&heading, count);
        let (name, is_action) = self.options.kinds.heading_name(heading);
        let listed = self.fetch_events(&count.listed)?;
        Ok(ActivityGroup {
            name,
            is_action,
            query,
            count: count.current,
            previous_count: count.previous,
            listed,
        })
    }

    /// Returns the query that lists all events of a heading, without times.
    fn heading_query(&self, heading: &Heading, count: &HeadingCount) -> String {
        // A longer list of actions is harder to read than the globs of its kind.
        const MAX_QUERY_ACTIONS: usize = 6;
        let kind = self.options.kinds.kind(heading);
        let slugs: Vec<&str> = count.actions.keys().map(String::as_str).collect();
        let by_actions = format!("action:{}", slugs.join(","));
        let text = match (kind, self.query) {
            (Some(kind), None) if !kind.built_in || slugs.len() > MAX_QUERY_ACTIONS => {
                kind.query_text.clone()
            }
            (Some(kind), _) if kind.query_text.ends_with(" -is:failed") => {
                by_actions + " -is:failed"
            }
            // The events that did not fail may belong to a kind.
            (None, _) if count.actions.values().all(|only_failed| *only_failed) => {
                by_actions + " is:failed"
            }
            _ => by_actions,
        };
        list_command::narrow_query(&text, self.query)
    }

    /// Returns the events at these places, in their order, without what a line about an event does not
    /// show and what may be long.
    fn fetch_events(&self, places: &[EventPlace]) -> Result<Vec<Event>> {
        const EVENTS_AT_A_TIME: usize = 8;
        let mut events: HashMap<EventPlace, Event> = HashMap::new();
        for places in places.chunks(EVENTS_AT_A_TIME) {
            for event in self.log.events_at(PlatformWork::Digest, places)? {
                let payload = event.payload.filter(|_| event.own);
                let outline = Event { payload, diff: None, description: None, ..event };
                events.insert(outline.place(), outline);
            }
        }
        let mut events: Vec<Event> =
            places.iter().filter_map(|place| events.remove(place)).collect();
        self.fill_in_labels(&mut events)?;
        Ok(events)
    }
}

impl ReportReader<'_> {
    /// Fills in the labels that events lack, as tables do: the newest of the log, marked.
    fn fill_in_labels(&self, events: &mut [Event]) -> Result<()> {
        let scope = Scope::of(PlatformWork::Digest);
        for event in events {
            let tenant = event.tenant.clone();
            for party in [&mut event.actor, &mut event.impersonator].into_iter().flatten() {
                if let Party { id: Some(id), label: None } = &**party {
                    let wanted = [(tenant.as_deref(), id.as_str())];
                    if let Some(label) = self.log.actor_labels(&scope, &wanted)?.pop().flatten() {
                        *party =
                            Arc::new(Party { id: Some(id.clone()), label: Some(marked(&label)) });
                    }
                }
            }
            if let Some(target) = &event.target
                && let Target { kind, id: Some(id), label: None } = &**target
                && let Some(label) =
                    self.log.target_label(&scope, tenant.as_deref(), (kind.as_deref(), id))?
            {
                let filled = Target { label: Some(marked(&label)), ..Target::clone(target) };
                event.target = Some(Arc::new(filled));
            }
        }
        Ok(())
    }

    /// Fills in the labels of people of whom the window has only ids.
    fn fill_in_people(&self, people: &mut PeopleTally) -> Result<()> {
        let scope = Scope::of(PlatformWork::Digest);
        for ((tenant, id), label) in people.nameless() {
            let label = match label {
                Some(label) => Some(label),
                None => {
                    let wanted = [(tenant.as_deref(), id.as_str())];
                    let found = self.log.actor_labels(&scope, &wanted)?.pop().flatten();
                    found.map(|label| marked(&label))
                }
            };
            if let Some(label) = label {
                people.name(tenant.as_deref(), &id, &label);
            }
        }
        Ok(())
    }
}

/// Marks a label that an event does not have itself.
fn marked(label: &str) -> String {
    format!("~{label}")
}

/// Returns the most events that each group may list so that all groups together list no more than
/// `total`.
fn listed_per_group(listed: &[usize], total: usize) -> usize {
    let most = listed.iter().copied().max().unwrap_or(0);
    (1..=most)
        .rev()
        .find(|each| listed.iter().map(|count| count.min(each)).sum::<usize>() <= total)
        .unwrap_or(1)
}
