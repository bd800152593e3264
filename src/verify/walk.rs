//! The walk over events and swept runs in the order of ids, and what its end means.

use std::ops::ControlFlow;

use anyhow::Result;

use crate::chain;
use crate::chain::ChainBreak;
use crate::chain::ChainLink;
use crate::chain::Verifier;
use crate::event::EventId;
use crate::event::Hash;
use crate::store::verify::ChainEntry;
use crate::store::verify::InspectedEvent;
use crate::store::verify::LogHead;
use crate::store::verify::ReadError;
use crate::store::verify::Snapshot;
use crate::store::verify::SweepGap;
use crate::text;
use crate::time::Timestamp;
use crate::verify::Reached;
use crate::verify::report::Broken;
use crate::verify::report::Kind;
use crate::verify::report::Report;
use crate::verify::report::Swept;
use crate::verify::report::Why;

/// How many events go by between two words on how far it is.
const WORD: u64 = 4_096;
/// How many removals before an event are looked for where the ids behind them were moved down.
const MOVED: i64 = 1_024;

/// How far the walk is, and what it has seen.
pub(super) struct Walk {
    verifier: Verifier,
    head: Option<LogHead>,
    /// The swept run that was reached last, and the walk before it.
    run: Option<(SweepGap, Verifier)>,
    /// The last event that is still there within it.
    within: Option<ChainLink>,
    found: Option<Found>,
    unread: bool,
    pub events: u64,
    pub swept: Swept,
    /// Events within swept runs that are still there.
    pub left: u64,
    /// When the last event was recorded.
    recorded_at: Option<Timestamp>,
    /// How often that stepped back, and first at which event.
    pub steps_back: Option<(u64, EventId)>,
    /// The runs before which the last event was recorded after this time, and how many they took.
    pub late: Option<Late>,
    /// The ids that were asked for, and are within a run.
    asked: Option<(EventId, bool)>,
}

/// Counts what was swept though it was recorded after some time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Late {
    pub after: Timestamp,
    pub events: u64,
}

/// Where the walk ended too early.
struct Found {
    broken: ChainBreak,
    /// The event at which it was seen; absent for a run, or the end.
    reading: Option<InspectedEvent>,
    /// The next id that is there.
    next: Option<EventId>,
    /// The run that does not fit.
    run: Option<SweepGap>,
}

impl Walk {
    pub(super) fn new(uuid: &[u8; 16], head: Option<&LogHead>) -> Self {
        Self {
            verifier: Verifier::new(uuid),
            head: head.copied(),
            run: None,
            within: None,
            found: None,
            unread: false,
            events: 0,
            swept: Swept::default(),
            left: 0,
            recorded_at: None,
            steps_back: None,
            late: None,
            asked: None,
        }
    }

    /// Asks whether an event is within a run that was swept.
    pub(super) fn ask(&mut self, id: EventId) {
        self.asked = Some((id, false));
    }

    pub(super) fn is_swept(&self, id: EventId) -> bool {
        self.asked == Some((id, true))
    }

    /// The last event that holds.
    pub(super) fn end(&self) -> (EventId, Hash) {
        self.verifier.head()
    }

    /// Whether every event holds.
    pub(super) fn is_whole(&self) -> bool {
        self.found.is_none() && !self.unread
    }

    /// Walks, and tells the first event that does not hold.
    ///
    /// # Errors
    /// What says nothing about the log.
    pub(super) fn run(
        &mut self,
        log: &Snapshot<'_>,
        sweep: Option<i64>,
        reached: &mut dyn FnMut(Reached),
        report: &mut Report,
    ) -> Result<()> {
        let of = self.head.map_or(0, |head| u64::try_from(head.id.0).unwrap_or(0));
        let mut seen = 0_u64;
        let walked = log.walk(EventId(i64::MIN), sweep, &mut |step| {
            seen += 1;
            if seen % WORD == 1 {
                let id = u64::try_from(self.end().0.0).unwrap_or(0);
                reached(Reached::Event { id, of, events: self.events });
            }
            self.found = match step {
                ChainEntry::Gap(run) => self.step_over(run),
                ChainEntry::Event(reading) => self.take(reading),
            };
            if self.found.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        match walked {
            Ok(()) => {}
            Err(ReadError::Damage(why)) => {
                self.unread = true;
                let next = EventId(self.end().0.0.saturating_add(1));
                let what = format!("event {next} cannot be read: {why}");
                report.broken.push(Broken::of(Kind::Integrity, what).at(next));
                return Ok(());
            }
            Err(ReadError::Failed(error)) => return Err(error),
        }
        if self.found.is_none()
            && let Some(head) = self.head
            && let Err(broken) = self.verifier.finish(head.id)
        {
            self.found = Some(Found { broken, reading: None, next: None, run: None });
        }
        if let Some(found) = &self.found {
            report.broken.push(self.told(log, found)?);
        }
        Ok(())
    }

    fn step_over(&mut self, run: SweepGap) -> Option<Found> {
        let before = self.verifier;
        let past = self.head.is_some_and(|head| run.last > head.id);
        let stepped = self.verifier.verify_gap(run.first, run.last, run.hash);
        if past || stepped.is_err() {
            self.verifier = before;
            let broken = match stepped {
                Err(ChainBreak::Removed(id)) => ChainBreak::Removed(id),
                _ => ChainBreak::Inserted(run.first),
            };
            return Some(Found { broken, reading: None, next: Some(run.first), run: Some(run) });
        }
        let touches =
            self.run.is_some_and(|(last, _)| last.last.0.saturating_add(1) == run.first.0);
        let events = run.last.0.abs_diff(run.first.0) + 1;
        self.swept.events += events;
        self.swept.ranges += u64::from(!touches);
        if let (Some(late), Some(recorded_at)) = (&mut self.late, self.recorded_at)
            && recorded_at > late.after
        {
            late.events += events;
        }
        if let Some((id, within)) = &mut self.asked {
            *within |= run.first <= *id && *id <= run.last;
        }
        self.run = Some((run, before));
        self.within = None;
        None
    }

    fn take(&mut self, reading: InspectedEvent) -> Option<Found> {
        let event = reading.link;
        if let Some((run, before)) = self.run.filter(|(run, _)| event.id <= run.last) {
            return self.take_left(reading, &run, &before);
        }
        let beyond = self.head.is_some_and(|head| event.id > head.id);
        let taken = match &reading.flaw {
            _ if beyond && event.id.0 == self.end().0.0.saturating_add(1) => {
                Err(ChainBreak::Inserted(event.id))
            }
            Some(_) if event.id.0 == self.end().0.0.saturating_add(1) => {
                Err(ChainBreak::Altered(event.id))
            }
            _ => self.verifier.verify_event(&event),
        };
        if let Err(broken) = taken {
            let next = Some(event.id);
            return Some(Found { broken, reading: Some(reading), next, run: None });
        }
        self.events += 1;
        if self.recorded_at.is_some_and(|before| reading.recorded_at < before) {
            let (times, _) = self.steps_back.get_or_insert((0, event.id));
            *times += 1;
        }
        self.recorded_at = Some(reading.recorded_at);
        None
    }

    /// Takes an event that a sweep has yet to remove. What is still known of it must be so: else
    /// events could be put in where others were.
    fn take_left(
        &mut self,
        reading: InspectedEvent,
        run: &SweepGap,
        before: &Verifier,
    ) -> Option<Found> {
        let event = reading.link;
        if self.head.is_some_and(|head| head.sweep_finished) {
            let broken = ChainBreak::Inserted(event.id);
            return Some(Found { broken, reading: Some(reading), next: None, run: Some(*run) });
        }
        let follows = match self.within {
            Some(last) if last.id.0.saturating_add(1) == event.id.0 => {
                chain::link_hash(&last.hash, event.id, &event.content) == event.hash
            }
            _ => event.id != run.first || before.is_next(&event),
        };
        let ends = event.id != run.last || event.hash == run.hash;
        if reading.flaw.is_some() || !follows || !ends {
            let broken = ChainBreak::Altered(event.id);
            return Some(Found { broken, reading: Some(reading), next: None, run: Some(*run) });
        }
        self.left += 1;
        self.within = Some(event);
        None
    }

    fn told(&self, log: &Snapshot<'_>, found: &Found) -> Result<Broken> {
        let (last, _) = self.end();
        Ok(match (found.broken, &found.reading, found.run) {
            (ChainBreak::Inserted(_), None, Some(run)) => {
                let what = format!("the swept range {}-{} cannot be there", run.first, run.last);
                Broken::of(Kind::Gaps, what).at(run.first)
            }
            (ChainBreak::Inserted(id), None, None) => {
                // The walk came further than the head.
                let what = format!("the head is behind event {id}");
                Broken::of(Kind::Head, what).at(id)
            }
            (ChainBreak::Altered(id), Some(reading), Some(_)) => {
                let flaw = reading.flaw.as_deref().unwrap_or("it is not what was hashed");
                let more = format!(": a sweep has yet to remove it, but {flaw}");
                Broken::event(id, Why::Altered, &more)
            }
            (ChainBreak::Inserted(id), Some(_), Some(_)) => {
                Broken::event(id, Why::PutIn, ": a sweep has removed the event with this id")
            }
            (ChainBreak::Inserted(id), Some(_), None) => match self.head {
                Some(head) if id > head.id => {
                    Broken::event(id, Why::PutIn, &format!(": the log ends at {}", head.id))
                }
                _ if id.0 < 1 => Broken::event(id, Why::PutIn, ": the first event is 1"),
                _ => Broken::event(id, Why::Order, &format!(": it comes after event {last}")),
            },
            (ChainBreak::Removed(id), _, _) => {
                let search = self.search(log, None)?;
                if let Some(stands) = search.expected {
                    let more = format!(": the event that belongs here stands at {stands}");
                    return Ok(Broken::event(id, Why::Order, &more));
                }
                let next =
                    found.next.or(self.head.map(|head| EventId(head.id.0.saturating_add(1))));
                let more = next.map_or(0, |next| next.0.abs_diff(id.0).saturating_sub(1));
                let more = if more == 0 {
                    ", and no sweep vouches for it".to_owned()
                } else {
                    let more = text::plural(more, "event");
                    format!(", as {more} behind it, and no sweep vouches for them")
                };
                Broken::event(id, Why::Removed, &more)
            }
            (ChainBreak::Altered(id), reading, _) => {
                let reading = reading.as_ref();
                let flaw = reading.and_then(|reading| reading.flaw.as_deref());
                let search = self.search(log, reading)?;
                self.altered(id, reading.map(|reading| &reading.link), flaw, &search)
            }
        })
    }

    fn altered(
        &self,
        id: EventId,
        event: Option<&ChainLink>,
        flaw: Option<&str>,
        search: &Search,
    ) -> Broken {
        if let Some(stands) = search.expected {
            let why = if search.belongs_elsewhere { Why::Order } else { Why::PutIn };
            let more = format!(": the event that belongs here stands at {stands}");
            return Broken::event(id, why, &more);
        }
        if let Some(flaw) = flaw {
            return Broken::event(id, Why::Altered, &format!(": {flaw}"));
        }
        let links = |hash: &Hash, by: i64| {
            search.next.is_some_and(|next| {
                let id = EventId(next.id.0.saturating_add(by));
                chain::link_hash(hash, id, &next.content) == next.hash
            })
        };
        if let Some(event) = event {
            let hash = chain::link_hash(&self.end().1, id, &event.content);
            let at_head = self.head.is_some_and(|head| head.id == id && head.hash == hash);
            if links(&hash, 0) || at_head {
                let more = ": its hash is another, what it says is not";
                return Broken::event(id, Why::Altered, more);
            }
            if let Some(by) = (1..=MOVED).find(|by| links(&event.hash, *by)) {
                let by = text::plural(by.unsigned_abs(), "event");
                let more = format!(": {by} before it, and the ids of those behind were moved");
                return Broken::event(id, Why::Removed, &more);
            }
        }
        let more = ": what it says, or the hash before it, is not what was hashed";
        Broken::event(id, Why::Altered, more)
    }

    /// Looks behind the break for the event that should come next, and for the place of the one that
    /// is there instead.
    fn search(&self, log: &Snapshot<'_>, instead: Option<&InspectedEvent>) -> Result<Search> {
        let mut search = Search::default();
        let instead = instead.map(|reading| reading.link);
        let from = EventId(self.end().0.0.saturating_add(1));
        let searched = log.walk(from, None, &mut |step| {
            let ChainEntry::Event(InspectedEvent { link: sealed, .. }) = step else {
                return ControlFlow::Continue(());
            };
            // What is wrong with the event itself is no matter of its place.
            let is_instead = instead.is_some_and(|instead| instead.id == sealed.id);
            if search.expected.is_none() && !is_instead && self.verifier.is_next(&sealed) {
                search.expected = Some(sealed.id);
            }
            if let Some(instead) = instead.filter(|_| !is_instead) {
                if sealed.id.0 == instead.id.0.saturating_add(1) {
                    search.next = Some(sealed);
                }
                // The one before it may have been moved by one, too.
                search.belongs_elsewhere |= (0..=2).any(|by| {
                    let id = EventId(sealed.id.0.saturating_add(by));
                    chain::link_hash(&sealed.hash, id, &instead.content) == instead.hash
                });
            }
            let done = search.expected.is_some() && (instead.is_none() || search.belongs_elsewhere);
            if done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        match searched {
            // What is behind a page that cannot be read is not found.
            Ok(()) | Err(ReadError::Damage(_)) => Ok(search),
            Err(ReadError::Failed(error)) => Err(error),
        }
    }
}

/// What was found behind the break.
#[derive(Default)]
struct Search {
    /// Where the event stands that should come next.
    expected: Option<EventId>,
    /// The event that is there instead comes behind another one.
    belongs_elsewhere: bool,
    /// The event behind that one.
    next: Option<ChainLink>,
}
