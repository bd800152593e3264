//! What a digest tells, read from the log in one snapshot.
//!
//! A [`Report`] is plain data with times and texts as the log has them; how they are written, and
//! that they are safe to show, is the [page](super::page)'s. Counts are exact however much happened;
//! what is listed is capped, and the report says how much more there is.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::HashMap;

use anyhow::Result;

use crate::digest::kinds::Kinds;
use crate::digest::kinds::Sorter;
use crate::digest::outcome;
use crate::digest::outcome::Recorded;
use crate::digest::rhythm;
use crate::digest::rhythm::Pace;
use crate::digest::tally::Acts;
use crate::digest::tally::Failed;
use crate::digest::tally::Impersonation;
use crate::digest::tally::Person;
use crate::digest::window::LENGTH;
use crate::digest::window::Window;
use crate::digest::words;
use crate::event::Event;
use crate::event::EventId;
use crate::event::Hash;
use crate::event::own;
use crate::query::Clock;
use crate::query::Query;
use crate::store::Cursor;
use crate::store::Log;
use crate::store::Order;
use crate::store::Page;
use crate::store::digest::Depth;
use crate::store::digest::Extent;
use crate::time::Timestamp;
use crate::time::Zone;

/// How many events are listed in all: some mail programs show no more than 100 kB of a mail.
const LISTED: usize = 300;
/// How many actions stand under their own names.
const ACTIONS: usize = 100;
/// How many of the log's own events are listed.
const OWN: usize = 20;

/// What a digest is made by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options<'a> {
    pub kinds: &'a Kinds,
    /// How many people are named.
    pub top: usize,
    /// How many events are listed under one kind.
    pub per_kind: usize,
}

/// Which digest.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scope<'a> {
    /// The one that is due: its window follows on the last that was sent.
    Due,
    /// One that moves nothing: what the query means, in the last 24 hours where it says no time.
    OneOff(&'a Query),
}

/// What a digest tells.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub made_at: Timestamp,
    pub window: Window,
    /// What a one-off digest is about.
    pub query: Option<Query>,
    /// The events in the window, and in the window before it.
    pub total: u64,
    pub before: u64,
    /// The kinds with an event in either window, in their order; then the actions of no kind.
    pub groups: Vec<Group>,
    /// Actions that have no group, for there are too many: how many, and with how many events.
    pub more_groups: (u64, u64),
    /// The names of the kinds without an event in either window.
    pub empty: Vec<String>,
    pub failures: u64,
    pub failures_before: u64,
    /// Who failed at what, the most often first.
    pub failed: Vec<Failed>,
    pub critical: u64,
    /// The most active people, and how many there are in all.
    pub people: Vec<Person>,
    pub all_people: u64,
    pub impersonations: Vec<Impersonation>,
    /// What the log itself did, the newest first, and how much more.
    pub own: Vec<Event>,
    pub more_own: u64,
    /// What occurred before the window and no digest has told of.
    pub late: u64,
    pub late_listed: Vec<Event>,
    /// How many events are dated ahead of the window's end.
    pub ahead: u64,
    pub quiet: Vec<Quiet>,
    /// The last event there is, where the window has none.
    pub last: Option<Event>,
    /// The head of the chain.
    pub head: (EventId, Hash),
}

/// A kind of activity, or an action of none.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub name: String,
    /// Whether the name is an action's.
    pub is_action: bool,
    /// What to ask the log for to see all of it, times aside.
    pub query: String,
    pub count: u64,
    pub before: u64,
    /// The newest of its events.
    pub listed: Vec<Event>,
}

/// A kind that used to come and has stopped.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Quiet {
    pub name: String,
    pub is_action: bool,
    pub pace: Pace,
    pub last: Timestamp,
}

/// What stands under one heading: a kind by its place, or an action of none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Heading {
    Kind(usize),
    Action(String),
}

/// What is counted under a heading.
#[derive(Clone, Debug, Default)]
struct Count {
    now: u64,
    before: u64,
    listed: Vec<EventId>,
    /// The actions of this window, each with whether only those that failed are here.
    actions: BTreeMap<String, bool>,
}

impl Report {
    /// Reads a digest from the log, all from one snapshot.
    ///
    /// # Errors
    /// That the log cannot be read.
    pub(crate) fn read(
        log: &Log,
        scope: Scope<'_>,
        now: Timestamp,
        options: &Options<'_>,
    ) -> Result<Self> {
        log.at_one_moment(|| {
            let head = log.head()?;
            let (window, query) = match scope {
                Scope::Due => (Window::next(&history(log)?, now, head.0), None),
                Scope::OneOff(query) => {
                    let bounds = query.bounds();
                    let until = bounds.to.unwrap_or(now);
                    let since = bounds.from.unwrap_or(until.saturating_sub(LENGTH));
                    (Window::one_off(since, until, head.0), Some(query))
                }
            };
            Reader { log, options, query, sorter: options.kinds.sorter(), counts: HashMap::new() }
                .read(now, window, head)
        })
    }

    /// How many events it tells of.
    pub(crate) fn events(&self) -> u64 {
        self.total + self.late
    }
}

/// Every outcome of a digest that the log has, in the order of their ids.
///
/// # Errors
/// That the log cannot be read.
pub(crate) fn history(log: &Log) -> Result<Vec<Recorded>> {
    let mut events = log.own(outcome::SENT)?;
    events.extend(log.own(outcome::FAILED)?);
    events.sort_by_key(|event| event.id);
    Ok(events.iter().filter_map(Recorded::of).collect())
}

/// Reads one report.
struct Reader<'a> {
    log: &'a Log,
    options: &'a Options<'a>,
    query: Option<&'a Query>,
    sorter: Sorter<'a>,
    counts: HashMap<Heading, Count>,
}

impl Reader<'_> {
    fn read(mut self, now: Timestamp, window: Window, head: (EventId, Hash)) -> Result<Report> {
        let mut acts = Acts::default();
        let mut own = Vec::new();
        let mut more_own = 0;
        let mut take_own = |event: &Event| {
            if own.len() < OWN { own.push(event.id) } else { more_own += 1 }
        };
        let within = Extent {
            after: EventId(0),
            through: window.through,
            since: window.since,
            until: window.until,
        };
        let per_kind = self.options.per_kind;
        let mut total = 0;
        self.each(&within, &mut |reader, event| {
            if event.own {
                return take_own(&event);
            }
            total += 1;
            let heading = reader.heading(&event);
            let count = reader.counts.entry(heading).or_default();
            count.now += 1;
            if count.listed.len() < per_kind {
                count.listed.push(event.id);
            }
            let failed = event.is_failed();
            match count.actions.get_mut(event.action.slug.as_str()) {
                Some(only_failed) => *only_failed &= failed,
                None => drop(count.actions.insert(event.action.slug.clone(), failed)),
            }
            acts.add(&event);
        })?;
        let (before, failures_before) = self.count_before(&window)?;
        let mut late = 0;
        let mut late_listed = Vec::new();
        if self.query.is_none() && window.told < window.through {
            let since = Timestamp::from_nanos(i64::MIN);
            let extent = Extent { after: window.told, since, until: window.since, ..within };
            self.log.each_as_it_came(&extent, Depth::Outline, &mut |event| {
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
            Extent { since: window.until, until: Timestamp::from_nanos(i64::MAX), ..within };
        let ahead = match self.query {
            None => self.log.tally(&extent)?.iter().map(|tally| tally.count).sum(),
            Some(_) => 0,
        };
        let last = if total == 0 { self.log.last_activity(window.until)? } else { None };
        let quiet = self.quiet(window.until)?;
        let (groups, empty, more_groups) = self.groups()?;
        let (people, all_people) = acts.people(self.options.top);
        Ok(Report {
            made_at: now,
            query: self.query.cloned(),
            total,
            before,
            groups,
            more_groups,
            empty,
            failures: acts.failures(),
            failures_before,
            critical: acts.critical(),
            failed: acts.failed(),
            people,
            all_people,
            impersonations: acts.impersonations(),
            own: self.whole(&own)?,
            more_own,
            late,
            late_listed: self.whole(&late_listed)?,
            ahead,
            quiet,
            last,
            head,
            window,
        })
    }

    /// Visits the events of an extent that are asked for, the newest first.
    fn each(&mut self, extent: &Extent, visit: &mut dyn FnMut(&mut Self, Event)) -> Result<()> {
        const PAGE: usize = 2_000;
        let (log, depth) = (self.log, self.depth());
        let Some(query) = self.query else {
            return log.each_newest_first(extent, depth, &mut |event| visit(self, event));
        };
        let query = within(query, extent.since, extent.until);
        let up_to = Some(extent.through);
        let mut after = None;
        loop {
            let page = Page { order: Order::Newest, after, skip: 0, limit: PAGE, up_to };
            let events = log.page(&query, &page)?;
            let Some(last) = events.last() else { return Ok(()) };
            after = Some(Cursor::of(last));
            events.into_iter().for_each(|event| visit(self, event));
        }
    }

    fn depth(&self) -> Depth {
        if self.query.is_none() && self.options.kinds.by_action() {
            Depth::Outline
        } else {
            Depth::Whole
        }
    }

    fn heading(&mut self, event: &Event) -> Heading {
        match self.sorter.of(event) {
            Some(kind) => Heading::Kind(kind),
            None => Heading::Action(event.action.slug.clone()),
        }
    }

    /// Counts the window before, as far as it is told: in all, what failed, and by heading.
    fn count_before(&mut self, window: &Window) -> Result<(u64, u64)> {
        let extent = Extent {
            after: EventId(0),
            through: window.through,
            since: window.before(),
            until: window.since,
        };
        let (mut all, mut failures) = (0, 0);
        if self.depth() == Depth::Outline {
            for tally in self.log.tally(&extent)? {
                all += tally.count;
                failures += if tally.failed { tally.count } else { 0 };
                let heading = match self.options.kinds.of_action(&tally.action, tally.failed) {
                    Some(kind) => Heading::Kind(kind),
                    None => Heading::Action(tally.action.slug.clone()),
                };
                self.counts.entry(heading).or_default().before += tally.count;
            }
        } else {
            self.each(&extent, &mut |reader, event| {
                if !event.own {
                    all += 1;
                    failures += u64::from(event.is_failed());
                    let heading = reader.heading(&event);
                    reader.counts.entry(heading).or_default().before += 1;
                }
            })?;
        }
        Ok((all, failures))
    }

    /// The groups in their order with the newest events of each, the empty kinds, and what is left.
    fn groups(&mut self) -> Result<(Vec<Group>, Vec<String>, (u64, u64))> {
        let mut counts = std::mem::take(&mut self.counts);
        let mut chosen = Vec::new();
        let mut empty = Vec::new();
        for (place, kind) in self.options.kinds.all().iter().enumerate() {
            match counts.remove(&Heading::Kind(place)) {
                Some(count) => chosen.push((Heading::Kind(place), count)),
                None => empty.push(kind.name.clone()),
            }
        }
        let mut actions: Vec<_> = counts.into_iter().filter(|(_, count)| count.now > 0).collect();
        actions.sort_by(|(a, x), (b, y)| (Reverse(x.now), a).cmp(&(Reverse(y.now), b)));
        let rest = actions.split_off(actions.len().min(ACTIONS));
        let more = (rest.len() as u64, rest.iter().map(|(_, count)| count.now).sum());
        chosen.append(&mut actions);
        let each = share(chosen.iter().map(|(_, count)| count.listed.len()));
        let groups = chosen.into_iter().map(|(heading, mut count)| {
            count.listed.truncate(each);
            self.group(heading, &count)
        });
        Ok((groups.collect::<Result<_>>()?, empty, more))
    }

    fn group(&self, heading: Heading, count: &Count) -> Result<Group> {
        let query = self.asks_for(&heading, count);
        let (name, is_action) = match heading {
            Heading::Kind(place) => (self.options.kinds.all()[place].name.clone(), false),
            Heading::Action(slug) => (slug, true),
        };
        let listed = self.whole(&count.listed)?;
        Ok(Group { name, is_action, query, count: count.now, before: count.before, listed })
    }

    /// The query for all that stands under a heading, times aside.
    fn asks_for(&self, heading: &Heading, count: &Count) -> String {
        // Longer lists of actions are harder to read than the globs that they came from.
        const ACTIONS: usize = 6;
        let kind = match heading {
            Heading::Kind(place) => Some(&self.options.kinds.all()[*place]),
            Heading::Action(_) => None,
        };
        let slugs: Vec<&str> = count.actions.keys().map(String::as_str).collect();
        let named = format!("action:{}", slugs.join(","));
        let asked = match (kind, self.query) {
            (Some(kind), None) if !kind.built_in || slugs.len() > ACTIONS => kind.written.clone(),
            (Some(kind), _) if kind.written.ends_with(" -is:failed") => named + " -is:failed",
            // Those that went well may stand under a kind.
            (None, _) if count.actions.values().all(|only_failed| *only_failed) => {
                named + " is:failed"
            }
            _ => named,
        };
        words::narrowed(&asked, self.query)
    }

    /// The events with those ids, in their order.
    fn whole(&self, ids: &[EventId]) -> Result<Vec<Event>> {
        let events = self.log.with_ids(ids)?;
        let mut events: HashMap<EventId, Event> =
            events.into_iter().map(|event| (event.id, event)).collect();
        Ok(ids.iter().filter_map(|id| events.remove(id)).collect())
    }

    /// What has gone quiet, of kinds that actions decide and of actions of no kind. A part of the
    /// log has no rhythm of its own.
    fn quiet(&self, until: Timestamp) -> Result<Vec<Quiet>> {
        if self.query.is_some_and(|query| query.terms().next().is_some()) {
            return Ok(Vec::new());
        }
        let mut sums: BTreeMap<Heading, (rhythm::Daily, Vec<_>)> = BTreeMap::new();
        for counted in self.log.rhythms(until, rhythm::DAYS)? {
            let heading = match self.options.kinds.of_action(&counted.action, counted.failed) {
                Some(kind) => Heading::Kind(kind),
                None => Heading::Action(counted.action.slug.clone()),
            };
            let (daily, actions) = sums.entry(heading).or_insert(([0; rhythm::DAYS], Vec::new()));
            for (sum, count) in daily.iter_mut().zip(&counted.daily) {
                *sum += count;
            }
            actions.push((counted.action, counted.failed));
        }
        let mut quiet = Vec::new();
        for (place, kind) in self.options.kinds.all().iter().enumerate() {
            if !kind.by_action {
                let (daily, last) = self.rhythm_of(&kind.query, until)?;
                let pace = rhythm::gone_quiet(&daily);
                quiet.extend(pace.zip(last).map(|found| (Heading::Kind(place), found)));
            }
        }
        for (heading, (daily, actions)) in sums {
            let Some(pace) = rhythm::gone_quiet(&daily) else { continue };
            let mut last = None;
            for (action, failed) in actions {
                last = last.max(self.log.last_of(&action, failed, until)?);
            }
            quiet.extend(last.map(|last| (heading, (pace, last))));
        }
        quiet.sort_by(|(a, _), (b, _)| a.cmp(b));
        let named = quiet.into_iter().map(|(heading, (pace, last))| {
            let (name, is_action) = match heading {
                Heading::Kind(place) => (self.options.kinds.all()[place].name.clone(), false),
                Heading::Action(slug) => (slug, true),
            };
            Quiet { name, is_action, pace, last }
        });
        Ok(named.collect())
    }

    /// How often a query is met day by day, and when last.
    fn rhythm_of(
        &self,
        query: &Query,
        until: Timestamp,
    ) -> Result<(rhythm::Daily, Option<Timestamp>)> {
        let edges = rhythm::edges(until);
        let seen = self.log.vocabulary(&within(query, edges[0], until), &edges)?;
        let mut daily = [0; rhythm::DAYS];
        let mut last = None;
        for action in seen.iter().filter(|seen| !own::is_reserved(&seen.action)) {
            for (sum, count) in daily.iter_mut().zip(&action.activity) {
                *sum += count;
            }
            last = last.max(Some(action.last));
        }
        Ok((daily, last))
    }
}

/// What a query means, in another span of time than its own.
fn within(query: &Query, since: Timestamp, until: Timestamp) -> Query {
    let clock = Clock { now: until, zone: &Zone::utc() };
    let span = Query::parse(&format!("since:{since} until:{until}"), &clock);
    query.clone().at_any_time().and(span.expect("times read back"))
}

/// How many events each group may list, for all to list no more than [`LISTED`] together.
fn share(listed: impl Iterator<Item = usize> + Clone) -> usize {
    let most = listed.clone().max().unwrap_or(0);
    (1..=most)
        .rev()
        .find(|each| listed.clone().map(|count| count.min(*each)).sum::<usize>() <= LISTED)
        .unwrap_or(1)
}
