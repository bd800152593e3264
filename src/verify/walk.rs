//! The walk over events and swept runs in the order of ids, and the meaning of its end.

use std::ops::ControlFlow;

use anyhow::Result;

use crate::chain;
use crate::chain::ChainBreak;
use crate::chain::ChainLink;
use crate::chain::Verifier;
use crate::event::EventId;
use crate::event::Hash;
use crate::store::verify::EventOrGap;
use crate::store::verify::InspectedEvent;
use crate::store::verify::LogHead;
use crate::store::verify::ReadError;
use crate::store::verify::Snapshot;
use crate::store::verify::SweepGap;
use crate::text;
use crate::time::Timestamp;
use crate::verify::VerifyProgress;
use crate::verify::report::SweptTotals;
use crate::verify::report::VerifyReport;
use crate::verify::report::Violation;
use crate::verify::report::ViolationKind;
use crate::verify::report::ViolationReason;

/// How many events pass between two reports of progress.
const PROGRESS_INTERVAL: u64 = 4_096;
/// By how many ids events may have been moved down for the removed one to be named.
const MAX_ID_SHIFT: i64 = 1_024;

/// The state of the walk.
pub(super) struct ChainWalk {
    verifier: Verifier,
    noted_head: Option<LogHead>,
    /// The last swept run that was reached.
    last_gap: Option<SweepGap>,
    /// What is left of that run.
    remainder: Option<Remainder>,
    found_break: Option<FoundBreak>,
    is_unreadable: bool,
    pub events: u64,
    pub swept: SweptTotals,
    /// The number of events within swept runs that are still there.
    pub unremoved: u64,
    /// The time when the last event was recorded.
    last_recorded_at: Option<Timestamp>,
    /// How often that time stepped back, and at which event first.
    pub clock_steps_back: Option<(u64, EventId)>,
    /// Counts late removals, if the newest sweep says from when on they are late.
    pub late: Option<LateRemovals>,
    /// An id that was asked for, and whether it is within a run.
    watched: Option<(EventId, bool)>,
}

/// What a sweep has yet to remove of a run: the events behind the last one that it removed, and gaps
/// of earlier sweeps between them, which lead to the end of the run.
struct Remainder {
    verifier: Verifier,
    removed_to: EventId,
    /// The last event that is there.
    last_event: Option<InspectedEvent>,
}

/// Counts the swept events that come after an event recorded later than `after`.
#[derive(Clone, Copy, Debug)]
pub(super) struct LateRemovals {
    pub after: Timestamp,
    pub events: u64,
}

/// The place where the walk ended too early.
struct FoundBreak {
    kind: ChainBreak,
    /// The event at which the walk ended; `None` for a run, or the end of the log.
    event: Option<InspectedEvent>,
    /// The next id in the log.
    next_id: Option<EventId>,
    /// The run that does not fit.
    gap: Option<SweepGap>,
}

impl FoundBreak {
    /// A run that does not fit.
    fn at_run(kind: ChainBreak, run: SweepGap) -> Self {
        Self { kind, event: None, next_id: Some(run.first), gap: Some(run) }
    }

    /// An event within a run.
    fn within_run(kind: ChainBreak, event: InspectedEvent, run: SweepGap) -> Self {
        Self { kind, event: Some(event), next_id: None, gap: Some(run) }
    }
}

impl ChainWalk {
    pub(super) fn new(uuid: &[u8; 16], head: Option<&LogHead>) -> Self {
        Self {
            verifier: Verifier::new(uuid),
            noted_head: head.copied(),
            last_gap: None,
            remainder: None,
            found_break: None,
            is_unreadable: false,
            events: 0,
            swept: SweptTotals::default(),
            unremoved: 0,
            last_recorded_at: None,
            clock_steps_back: None,
            late: None,
            watched: None,
        }
    }

    /// Asks whether an event is within a swept run.
    pub(super) fn watch(&mut self, id: EventId) {
        self.watched = Some((id, false));
    }

    pub(super) fn is_watched_swept(&self, id: EventId) -> bool {
        self.watched == Some((id, true))
    }

    /// Returns the last event that holds, and its hash.
    pub(super) fn verified_head(&self) -> (EventId, Hash) {
        self.verifier.head()
    }

    /// Whether every event holds.
    pub(super) fn is_intact(&self) -> bool {
        self.found_break.is_none() && !self.is_unreadable
    }

    /// Walks over the log, and reports the first event that does not hold.
    ///
    /// # Errors
    /// Those that say nothing about the log.
    pub(super) fn run(
        &mut self,
        log: &Snapshot<'_>,
        sweep: Option<i64>,
        reached: &mut dyn FnMut(VerifyProgress),
        report: &mut VerifyReport,
    ) -> Result<()> {
        let of = self.noted_head.map_or(0, |head| u64::try_from(head.id.0).unwrap_or(0));
        let mut visited = 0_u64;
        let mut visit = |step| {
            visited += 1;
            if visited % PROGRESS_INTERVAL == 1 {
                let id = u64::try_from(self.verified_head().0.0).unwrap_or(0);
                reached(VerifyProgress::Event { id, of, events: self.events });
            }
            self.found_break = match step {
                EventOrGap::Gap(run) => {
                    self.end_remainder(run.first).or_else(|| self.take_gap(run))
                }
                EventOrGap::Removal { run, removed_to, removed_hash } => self
                    .end_remainder(run.first)
                    .or_else(|| self.take_removal(run, removed_to, removed_hash)),
                EventOrGap::Event(reading) => {
                    self.end_remainder(reading.link.id).or_else(|| self.take_event(reading))
                }
            };
            if self.found_break.is_none() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        };
        // The integrity check, which runs beside the walk unless that is quick, has the other processor.
        let walked = if report.quick {
            log.walk_all_by_turns(sweep, &mut visit)
        } else {
            log.walk(EventId(i64::MIN), sweep, &mut visit)
        };
        match walked {
            Ok(()) => {}
            Err(ReadError::Damage(why)) => {
                self.is_unreadable = true;
                let next = EventId(self.verified_head().0.0.saturating_add(1));
                let message = format!("event {next} cannot be read: {why}");
                report
                    .violations
                    .push(Violation::new(ViolationKind::Integrity, message).with_id(next));
                return Ok(());
            }
            Err(ReadError::Failed(error)) => return Err(error),
        }
        if self.found_break.is_none() {
            self.found_break = self.end_remainder(EventId(i64::MAX));
        }
        if self.found_break.is_none()
            && let Some(head) = self.noted_head
            && let Err(broken) = self.verifier.finish(head.id)
        {
            self.found_break =
                Some(FoundBreak { kind: broken, event: None, next_id: None, gap: None });
        }
        if let Some(found) = &self.found_break {
            report.violations.push(self.to_violation(log, found)?);
        }
        Ok(())
    }

    fn take_gap(&mut self, run: SweepGap) -> Option<FoundBreak> {
        if let Some(remainder) = &mut self.remainder {
            // The gap of an earlier sweep. It goes when the events before it have gone.
            let broken = run.last > remainder.removed_to
                && remainder.verifier.verify_gap(run.first, run.last, run.hash).is_err();
            return broken.then(|| FoundBreak::at_run(ChainBreak::Inserted(run.first), run));
        }
        let before = self.verifier;
        let past = self.noted_head.is_some_and(|head| run.last > head.id);
        let stepped = self.verifier.verify_gap(run.first, run.last, run.hash);
        if past || stepped.is_err() {
            self.verifier = before;
            let broken = match stepped {
                Err(ChainBreak::Removed(id)) => ChainBreak::Removed(id),
                _ => ChainBreak::Inserted(run.first),
            };
            return Some(FoundBreak::at_run(broken, run));
        }
        let touches =
            self.last_gap.is_some_and(|last| last.last.0.saturating_add(1) == run.first.0);
        let events = run.last.0.abs_diff(run.first.0) + 1;
        self.swept.events += events;
        self.swept.ranges += u64::from(!touches);
        if let (Some(late), Some(recorded_at)) = (&mut self.late, self.last_recorded_at)
            && recorded_at > late.after
        {
            late.events += events;
        }
        if let Some((id, within)) = &mut self.watched {
            *within |= run.first <= *id && *id <= run.last;
        }
        self.last_gap = Some(run);
        None
    }

    /// Takes a run that a sweep has yet to remove.
    fn take_removal(
        &mut self,
        run: SweepGap,
        removed_to: EventId,
        removed_hash: Option<Hash>,
    ) -> Option<FoundBreak> {
        let mut verifier = self.verifier;
        let found = self.take_gap(run);
        if found.is_some() {
            return found;
        }
        let removed = removed_hash.is_none_or(|hash| {
            removed_to < run.last && verifier.verify_gap(run.first, removed_to, hash).is_ok()
        });
        if !removed || removed_hash.is_none() && removed_to >= run.first {
            return Some(FoundBreak::at_run(ChainBreak::Inserted(run.first), run));
        }
        self.remainder = Some(Remainder { verifier, removed_to, last_event: None });
        None
    }

    /// Ends what is left of a run, if the next entry lies behind it. A sweep removes events in the order
    /// of ids, so the last event of a run goes last: what is left without it was put in.
    fn end_remainder(&mut self, next: EventId) -> Option<FoundBreak> {
        let run = self.last_gap.filter(|run| run.last < next)?;
        let remainder = self.remainder.take()?;
        let event = remainder.last_event?;
        let ends = remainder.verifier.head() == (run.last, run.hash);
        (!ends).then(|| FoundBreak::within_run(ChainBreak::Inserted(event.link.id), event, run))
    }

    fn take_event(&mut self, reading: InspectedEvent) -> Option<FoundBreak> {
        let event = reading.link;
        if let Some(run) = self.last_gap.filter(|run| event.id <= run.last) {
            return self.take_unremoved(reading, run);
        }
        let beyond = self.noted_head.is_some_and(|head| event.id > head.id);
        let taken = match &reading.flaw {
            _ if beyond && event.id.0 == self.verified_head().0.0.saturating_add(1) => {
                Err(ChainBreak::Inserted(event.id))
            }
            Some(_) if event.id.0 == self.verified_head().0.0.saturating_add(1) => {
                Err(ChainBreak::Altered(event.id))
            }
            _ => self.verifier.verify_event(&event),
        };
        if let Err(broken) = taken {
            let next = Some(event.id);
            return Some(FoundBreak {
                kind: broken,
                event: Some(reading),
                next_id: next,
                gap: None,
            });
        }
        self.events += 1;
        if self.last_recorded_at.is_some_and(|before| reading.recorded_at < before) {
            let (times, _) = self.clock_steps_back.get_or_insert((0, event.id));
            *times += 1;
        }
        self.last_recorded_at = Some(reading.recorded_at);
        None
    }

    /// Takes an event that a sweep has vouched for and not removed yet. It must link to what was removed
    /// before it: otherwise events could be added where others were.
    fn take_unremoved(&mut self, reading: InspectedEvent, run: SweepGap) -> Option<FoundBreak> {
        let event = reading.link;
        let remainder = self.remainder.as_mut().filter(|left| event.id > left.removed_to);
        let Some(remainder) = remainder else {
            return Some(FoundBreak::within_run(ChainBreak::Inserted(event.id), reading, run));
        };
        if reading.flaw.is_some() || remainder.verifier.verify_event(&event).is_err() {
            return Some(FoundBreak::within_run(ChainBreak::Altered(event.id), reading, run));
        }
        self.unremoved += 1;
        remainder.last_event = Some(reading);
        None
    }

    fn to_violation(&self, log: &Snapshot<'_>, found: &FoundBreak) -> Result<Violation> {
        let (last, _) = self.verified_head();
        Ok(match (found.kind, &found.event, found.gap) {
            (ChainBreak::Inserted(_), None, Some(run)) => {
                let message = format!("the swept range {}-{} cannot be there", run.first, run.last);
                Violation::new(ViolationKind::Gaps, message).with_id(run.first)
            }
            (ChainBreak::Inserted(id), None, None) => {
                // The walk came further than the head.
                let message = format!("the head is behind event {id}");
                Violation::new(ViolationKind::Head, message).with_id(id)
            }
            (ChainBreak::Altered(id), Some(reading), Some(_)) => {
                let flaw = reading.flaw.as_deref().unwrap_or("it is not what was hashed");
                let more = format!(": a sweep has yet to remove it, but {flaw}");
                Violation::of_event(id, ViolationReason::Altered, &more)
            }
            (ChainBreak::Inserted(id), Some(_), Some(_)) => Violation::of_event(
                id,
                ViolationReason::Inserted,
                ": a sweep has removed the event with this id",
            ),
            (ChainBreak::Inserted(id), Some(_), None) => match self.noted_head {
                Some(head) if id > head.id => Violation::of_event(
                    id,
                    ViolationReason::Inserted,
                    &format!(": the log ends at {}", head.id),
                ),
                _ if id.0 < 1 => {
                    Violation::of_event(id, ViolationReason::Inserted, ": the first event is 1")
                }
                _ => Violation::of_event(
                    id,
                    ViolationReason::OutOfOrder,
                    &format!(": it comes after event {last}"),
                ),
            },
            (ChainBreak::Removed(id), _, _) => self.removed_violation(log, id, found.next_id)?,
            (ChainBreak::Altered(id), reading, _) => {
                let reading = reading.as_ref();
                let flaw = reading.and_then(|reading| reading.flaw.as_deref());
                let search = self.search_after_break(log, reading)?;
                self.altered_violation(id, reading.map(|reading| &reading.link), flaw, &search)
            }
        })
    }

    fn removed_violation(
        &self,
        log: &Snapshot<'_>,
        id: EventId,
        next_id: Option<EventId>,
    ) -> Result<Violation> {
        let search = self.search_after_break(log, None)?;
        if let Some(stands) = search.expected_at {
            let more = format!(": the event that belongs here stands at {stands}");
            return Ok(Violation::of_event(id, ViolationReason::OutOfOrder, &more));
        }
        let next = next_id.or(self.noted_head.map(|head| EventId(head.id.0.saturating_add(1))));
        let more = next.map_or(0, |next| next.0.abs_diff(id.0).saturating_sub(1));
        let more = if more == 0 {
            ", and no sweep vouches for it".to_owned()
        } else {
            let more = text::plural(more, "event");
            format!(", as {more} behind it, and no sweep vouches for them")
        };
        Ok(Violation::of_event(id, ViolationReason::Removed, &more))
    }

    fn altered_violation(
        &self,
        id: EventId,
        event: Option<&ChainLink>,
        flaw: Option<&str>,
        search: &BreakSearch,
    ) -> Violation {
        if let Some(stands) = search.expected_at {
            let why = if search.belongs_elsewhere {
                ViolationReason::OutOfOrder
            } else {
                ViolationReason::Inserted
            };
            let more = format!(": the event that belongs here stands at {stands}");
            return Violation::of_event(id, why, &more);
        }
        if let Some(flaw) = flaw {
            return Violation::of_event(id, ViolationReason::Altered, &format!(": {flaw}"));
        }
        let links = |hash: &Hash, by: i64| {
            search.following.is_some_and(|next| {
                let id = EventId(next.id.0.saturating_add(by));
                chain::link_hash(hash, id, &next.content) == next.hash
            })
        };
        if let Some(event) = event {
            let hash = chain::link_hash(&self.verified_head().1, id, &event.content);
            let at_head = self.noted_head.is_some_and(|head| head.id == id && head.hash == hash);
            if links(&hash, 0) || at_head {
                let more = ": its hash is another, what it says is not";
                return Violation::of_event(id, ViolationReason::Altered, more);
            }
            if let Some(by) = (1..=MAX_ID_SHIFT).find(|by| links(&event.hash, *by)) {
                let by = text::plural(by.unsigned_abs(), "event");
                let more = format!(": {by} before it, and the ids of those behind were moved");
                return Violation::of_event(id, ViolationReason::Removed, &more);
            }
        }
        let more = ": what it says, or the hash before it, is not what was hashed";
        Violation::of_event(id, ViolationReason::Altered, more)
    }

    /// Looks behind the break for the event that should be next, and for the place of the event
    /// that is there instead.
    fn search_after_break(
        &self,
        log: &Snapshot<'_>,
        instead: Option<&InspectedEvent>,
    ) -> Result<BreakSearch> {
        let mut search = BreakSearch::default();
        let instead = instead.map(|reading| reading.link);
        let from = EventId(self.verified_head().0.0.saturating_add(1));
        let searched = log.walk(from, None, &mut |step| {
            let EventOrGap::Event(InspectedEvent { link: sealed, .. }) = step else {
                return ControlFlow::Continue(());
            };
            // Only its place matters here, not the flaws of the event itself.
            let is_instead = instead.is_some_and(|instead| instead.id == sealed.id);
            if search.expected_at.is_none() && !is_instead && self.verifier.is_next(&sealed) {
                search.expected_at = Some(sealed.id);
            }
            if let Some(instead) = instead.filter(|_| !is_instead) {
                if sealed.id.0 == instead.id.0.saturating_add(1) {
                    search.following = Some(sealed);
                }
                // The event before it may have been moved by one, too.
                search.belongs_elsewhere |= (0..=2).any(|by| {
                    let id = EventId(sealed.id.0.saturating_add(by));
                    chain::link_hash(&sealed.hash, id, &instead.content) == instead.hash
                });
            }
            let done =
                search.expected_at.is_some() && (instead.is_none() || search.belongs_elsewhere);
            if done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        match searched {
            // Events behind a page that cannot be read are not found.
            Ok(()) | Err(ReadError::Damage(_)) => Ok(search),
            Err(ReadError::Failed(error)) => Err(error),
        }
    }
}

/// The events that were found behind the break.
#[derive(Default)]
struct BreakSearch {
    /// The place of the event that should be next.
    expected_at: Option<EventId>,
    /// The event that is there instead belongs after another event.
    belongs_elsewhere: bool,
    /// The event after that one.
    following: Option<ChainLink>,
}
