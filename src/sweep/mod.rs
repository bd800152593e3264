//! The sweep: removes what is older than the log is to keep, and vouches for it.
//!
//! `plan` finds what is too old, in short reads of that alone; `told` is what is said of it, in the
//! log and to the caller. Here is the order of things: first what an earlier sweep left is removed;
//! then the one `retention.sweep` event vouches for what goes, also for nothing; only then it goes.
//! So a run that is killed anywhere has recorded nothing, or the next one finishes what it began.
//!
//! Ingest goes on beside it. Exports are kept out only while events are removed, and waited for.

mod plan;
mod summary;
#[cfg(test)]
mod tests;

use std::time::Duration;
use std::time::Instant;

use anyhow::Result;

use crate::event::own_events;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::retention::RetentionPolicy;
use crate::store::ExportLock;
use crate::store::LocalLog;
use crate::store::Log;
use crate::store::Stamp;
use crate::store::sweep::CleanupScope;
use crate::store::sweep::ShouldContinue;
use crate::store::sweep::SweepLock;
use crate::time::Span;
use crate::time::Timestamp;
use crate::verify;

pub(crate) use plan::SweepPlan;
pub(crate) use summary::SweepSummary;
pub(crate) use summary::decider_label;

/// The action of the event that vouches for a sweep.
pub(crate) const SWEEP_ACTION: &str = "retention.sweep";

/// How long exports that are at work are waited for.
pub(crate) const EXPORT_PATIENCE: Duration = Duration::from_secs(600);

/// A clock that is further than this past the newest event may be wrong.
const MAX_CLOCK_LEAD: Span = Span::from_seconds(30 * 86_400);

/// What a sweep is called with.
pub(crate) struct SweepOptions<'a> {
    pub retention: &'a RetentionPolicy,
    /// Sweep though the clock is far ahead of the log.
    pub force: bool,
    pub now: Timestamp,
    pub clock: &'a dyn Fn() -> Timestamp,
    pub recorded_by: &'a str,
    pub interrupt: &'a Interrupt,
    /// How long exports are waited for.
    pub export_patience: Duration,
}

/// How a sweep ended.
#[derive(Debug)]
pub(crate) enum SweepEnd {
    Done(Box<SweepSummary>),
    /// By a signal; whether the log vouches for what is yet to be removed or given back.
    Interrupted {
        signal: i32,
        vouched: bool,
    },
}

/// What is told while it runs.
pub(crate) enum SweepUpdate<'a> {
    /// A line about what is wrong, but no reason to end.
    Warning(&'a str),
    /// So many of so many events are removed.
    Removed { events: u64, of: u64 },
}

/// Sweeps a log.
///
/// # Errors
/// [`Exit::TryAgain`] where another sweep or an export is at work, or the clock is far ahead;
/// [`Exit::Io`] where a hand has changed what earlier sweeps vouch for; those of the log, after which the next sweep finishes what this one began.
pub(crate) fn run(
    log: &mut LocalLog,
    job: &SweepOptions<'_>,
    report: &mut dyn FnMut(SweepUpdate<'_>),
) -> Result<SweepEnd> {
    let Some(mut sweeping) = log.try_lock_sweep()? else {
        return Err(Failure::new(Exit::TryAgain, "another sweep of this log is at work").into());
    };
    if !job.force
        && let Some(why) = clock_ahead_reason(log, job.now)?
    {
        return Err(Failure::new(Exit::TryAgain, format!("nothing is swept: {why}"))
            .hint("set the clock, or say --force if it is right")
            .into());
    }
    // The digest that is recorded next would vouch for ranges that a hand has put in, too.
    if let Some(what) = verify::check_gaps(log)? {
        return Err(Failure::new(Exit::Io, format!("nothing is swept: {what}"))
            .hint("`activity verify` tells all that is wrong with the log")
            .into());
    }
    let end =
        SweepRun { log, options: job, lock: &mut sweeping, started_at: Instant::now() }.run(report);
    if let Err(why) = sweeping.restore_reserve()
        && end.is_ok()
    {
        report(SweepUpdate::Warning(&why));
    }
    end
}

/// Why the clock may be wrong, if it is far past the newest event.
///
/// # Errors
/// That the log cannot be read.
pub(crate) fn clock_ahead_reason(log: &Log, now: Timestamp) -> Result<Option<String>> {
    let (head, _) = log.head()?;
    let newest = log.event(head)?.map(|event| event.recorded_at);
    Ok(newest.filter(|newest| now > newest.saturating_add(MAX_CLOCK_LEAD)).map(|newest| {
        format!(
            "the clock says {now}, and the newest event was recorded {newest}, over 30 days before"
        )
    }))
}

struct SweepRun<'a> {
    log: &'a mut LocalLog,
    options: &'a SweepOptions<'a>,
    lock: &'a mut SweepLock,
    started_at: Instant,
}

impl SweepRun<'_> {
    fn run(&mut self, report: &mut dyn FnMut(SweepUpdate<'_>)) -> Result<SweepEnd> {
        let interrupt = self.options.interrupt;
        let go_on: ShouldContinue<'_> = &mut |_| interrupt.signal().is_none();
        if self.log.sweep_state()?.unfinished {
            let Some(alone) = self.lock_out_exports(go_on)? else {
                return Ok(self.interrupted(true));
            };
            if !self.log.remove_swept(self.lock, CleanupScope::AllRows, go_on)? {
                return Ok(self.interrupted(true));
            }
            drop(alone);
        }

        let plan =
            SweepPlan::read(self.log, self.options.retention, self.options.now, &mut || go_on(0))?;
        let Some(plan) = plan else { return Ok(self.interrupted(false)) };
        let (alone, swept) = loop {
            let planned = self.log.plan_sweep(self.lock, &plan.ids, go_on)?;
            let Some(planned) = planned else { return Ok(self.interrupted(false)) };
            let Some(alone) = self.lock_out_exports(go_on)? else {
                return Ok(self.interrupted(false));
            };
            let swept = SweepSummary::from_pending(
                &plan,
                self.options.retention,
                &planned,
                self.options.now,
            );
            let event = own_events::system_event(SWEEP_ACTION, &swept.to_payload());
            let (recorded_at, recorded_by) = ((self.options.clock)(), self.options.recorded_by);
            let stamp = Stamp { recorded_at, recorded_by };
            if self.log.vouch(self.lock, &planned, &event, &stamp)? {
                break (alone, swept);
            }
        };

        let of = plan.ids.len();
        let removed =
            self.log.remove_swept(self.lock, CleanupScope::RemovedEvents, &mut |events| {
                report(SweepUpdate::Removed { events, of });
                go_on(0)
            })?;
        drop(alone);
        if !removed {
            return Ok(self.interrupted(true));
        }
        let given_back = self.log.reclaim_space(self.lock, go_on)?;
        if !go_on(0) {
            return Ok(self.interrupted(true));
        }
        Ok(SweepEnd::Done(Box::new(swept.with_results(given_back, self.started_at.elapsed()))))
    }

    /// Keeps exports out; `None` where a signal came meanwhile.
    fn lock_out_exports(&self, go_on: ShouldContinue<'_>) -> Result<Option<ExportLock>> {
        self.log.lock_out_exports(self.options.export_patience, go_on)
    }

    fn interrupted(&self, vouched: bool) -> SweepEnd {
        let signal = self.options.interrupt.signal().unwrap_or_default();
        SweepEnd::Interrupted { signal, vouched }
    }
}
