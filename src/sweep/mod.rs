//! The sweep: removes the events that are older than the log keeps them, and vouches for that.
//!
//! `plan` finds the events that are too old, in short reads. `summary` describes the sweep, for the
//! log and for the caller. This module does the steps in their order: it removes what an earlier
//! sweep left, then records the one `retention.sweep` event that vouches for the removal, even if
//! nothing is removed, and only then removes the events.
//!
//! ## Durability
//!
//! A sweep that is killed has either recorded nothing, or the next one finishes it.
//!
//! ## Concurrency
//!
//! Other processes ingest at the same time. The sweep waits for exports and keeps them out, but
//! only while it removes events.

mod guard;
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
use crate::store::Stamp;
use crate::store::sweep::CleanupScope;
use crate::store::sweep::ShouldContinue;
use crate::store::sweep::SweepLock;
use crate::time::Timestamp;
use crate::verify;

pub(crate) use guard::clock_doubt;
pub(crate) use guard::size_doubt;
pub(crate) use plan::SweepPlan;
pub(crate) use summary::SweepSummary;
pub(crate) use summary::decider_label;

/// The action of the event that vouches for a sweep.
pub(crate) const SWEEP_ACTION: &str = "retention.sweep";

/// How long a sweep waits for exports that are at work.
pub(crate) const EXPORT_PATIENCE: Duration = Duration::from_secs(600);

/// The settings of a sweep.
pub(crate) struct SweepOptions<'a> {
    pub retention: &'a RetentionPolicy,
    /// Sweeps even if the clock may be wrong.
    pub force: bool,
    /// Whether to go on with a removal that is unusually large; it gets the reason to doubt it.
    pub confirm: &'a dyn Fn(&str) -> Result<bool>,
    pub now: Timestamp,
    pub clock: &'a dyn Fn() -> Timestamp,
    pub recorded_by: &'a str,
    pub interrupt: &'a Interrupt,
    /// How long to wait for exports that are at work.
    pub export_patience: Duration,
}

/// How a sweep ended.
#[derive(Debug)]
pub(crate) enum SweepEnd {
    Done(Box<SweepSummary>),
    /// A signal ended it. `vouched`: the log vouches for events that are still to be removed, or
    /// for space that is still to be returned.
    Interrupted {
        signal: i32,
        vouched: bool,
    },
}

/// A report to the caller while a sweep runs.
pub(crate) enum SweepUpdate<'a> {
    /// A line about something that is wrong, and that does not end the sweep.
    Warning(&'a str),
    /// So many of so many events are removed.
    Removed { events: u64, of: u64 },
}

/// Sweeps a log.
///
/// # Errors
/// [`Exit::TryAgain`] if another sweep or an export is at work, the clock may be wrong, or a large
/// removal is not confirmed;
/// [`Exit::Io`] if somebody has changed what earlier sweeps vouch for; the errors of the log, after
/// which the next sweep finishes this one.
pub(crate) fn run(
    log: &mut LocalLog,
    options: &SweepOptions<'_>,
    report: &mut dyn FnMut(SweepUpdate<'_>),
) -> Result<SweepEnd> {
    let Some(mut lock) = log.try_lock_sweep()? else {
        return Err(Failure::new(Exit::TryAgain, "another sweep of this log is at work").into());
    };
    if !options.force
        && let Some(why) = clock_doubt(log, options.now)?
    {
        return Err(Failure::new(Exit::TryAgain, format!("nothing is swept: {why}"))
            .hint("set the clock, or say --force if it is right")
            .into());
    }
    // The event of this sweep will vouch for all runs, so it would vouch for runs that somebody
    // added.
    if let Some(what) = verify::check_gaps(log)? {
        return Err(Failure::new(Exit::Io, format!("nothing is swept: {what}"))
            .hint("`activity verify` tells all that is wrong with the log")
            .into());
    }
    let end = SweepRun { log, options, lock: &mut lock, started_at: Instant::now() }.run(report);
    if let Err(why) = lock.restore_reserve()
        && end.is_ok()
    {
        report(SweepUpdate::Warning(&why));
    }
    end
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
            let Some(export_lock) = self.lock_out_exports(go_on)? else {
                return Ok(self.interrupted(true));
            };
            if !self.log.remove_swept(self.lock, CleanupScope::AllRows, go_on)? {
                return Ok(self.interrupted(true));
            }
            drop(export_lock);
        }

        let plan =
            SweepPlan::read(self.log, self.options.retention, self.options.now, &mut || go_on(0))?;
        let Some(plan) = plan else { return Ok(self.interrupted(false)) };
        if let Some(why) = size_doubt(self.log, &plan, self.options.retention)?
            && !(self.options.confirm)(&why)?
        {
            if !go_on(0) {
                return Ok(self.interrupted(false));
            }
            return Err(Failure::new(Exit::TryAgain, format!("nothing is swept: {why}"))
                .hint("`activity sweep --dry-run` shows what would go; --yes if that is right")
                .into());
        }
        let (export_lock, swept) = loop {
            let planned = self.log.plan_sweep(self.lock, &plan.ids, go_on)?;
            let Some(planned) = planned else { return Ok(self.interrupted(false)) };
            let Some(export_lock) = self.lock_out_exports(go_on)? else {
                return Ok(self.interrupted(false));
            };
            let swept = SweepSummary::from_pending(
                &plan,
                self.options.retention,
                &planned,
                self.options.now,
            );
            let event = own_events::system_event(SWEEP_ACTION, &swept.to_payload());
            let stamp = Stamp { clock: self.options.clock, recorded_by: self.options.recorded_by };
            if self.log.vouch(self.lock, &planned, &event, &stamp)? {
                break (export_lock, swept);
            }
        };

        let of = plan.ids.len();
        let removed =
            self.log.remove_swept(self.lock, CleanupScope::RemovedEvents, &mut |events| {
                report(SweepUpdate::Removed { events, of });
                go_on(0)
            })?;
        drop(export_lock);
        if !removed {
            return Ok(self.interrupted(true));
        }
        let given_back = self.log.reclaim_space(self.lock, go_on)?;
        if !go_on(0) {
            return Ok(self.interrupted(true));
        }
        Ok(SweepEnd::Done(Box::new(swept.with_results(given_back, self.started_at.elapsed()))))
    }

    /// Keeps exports out; `None` if a signal came in the meantime.
    fn lock_out_exports(&self, go_on: ShouldContinue<'_>) -> Result<Option<ExportLock>> {
        self.log.lock_out_exports(self.options.export_patience, go_on)
    }

    fn interrupted(&self, vouched: bool) -> SweepEnd {
        let signal = self.options.interrupt.signal().unwrap_or_default();
        SweepEnd::Interrupted { signal, vouched }
    }
}
