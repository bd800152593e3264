//! Verifies a log against its own hashes, and against heads that were noted outside it.
//!
//! One snapshot is read, in this order: the text of the schema, the newest writes, the events of sweeps,
//! every event and every swept run in the order of ids, the head, the published heads. The walk ends at
//! the first event that does not hold, because nothing after it is certain. Anything else that is wrong is
//! reported, and the verification continues. The integrity check of the engine runs beside all that, on a
//! thread of its own.
//!
//! ## What a good result means
//!
//! Nobody has changed, removed, added or moved an event since it was recorded, except by computing
//! the chain anew from there to the head. Only the heads that others keep, in a mail or a noted
//! line, reveal that. The heads in the log's own table are as easy to change as the rest.
//!
//! ## Concurrency
//!
//! Writers and sweeps are not blocked: a snapshot is the log at one moment.
//! While it is held, the write-ahead log cannot start over, and grows with every write.

pub(crate) mod anchors;
pub(crate) mod fleet;
mod fleet_report;
mod mime;
mod report;
mod sweeps;
pub(crate) mod verified_heads;
mod walk;

use anyhow::Result;

use crate::access::PlatformWork;
use crate::chain;
use crate::event::EventId;
use crate::event::Hash;
use crate::store::Log;
use crate::store::verify::HashLookup;
use crate::store::verify::LogHead;
use crate::store::verify::PendingWrites;
use crate::store::verify::PublishedHead;
use crate::store::verify::ReadError;
use crate::store::verify::Snapshot;
use crate::text;
use crate::verify::anchors::Anchor;
use crate::verify::walk::ChainWalk;

pub(crate) use crate::verify::fleet_report::FleetReport;
pub(crate) use crate::verify::report::AnchorVerdict;
pub(crate) use crate::verify::report::VerifyReport;
pub(crate) use crate::verify::report::Violation;
pub(crate) use crate::verify::report::ViolationKind;

/// How many findings of the integrity check are reported one by one.
const MAX_FINDINGS: usize = 10;

/// How far the verification is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum VerifyProgress {
    Integrity,
    /// At this id of so many, with so many events that hold.
    Event {
        id: u64,
        of: u64,
        events: u64,
    },
}

/// The scope of a verification.
pub(crate) struct VerifyOptions<'a> {
    /// Leaves out the integrity check of the engine.
    pub quick: bool,
    /// Heads that were noted outside the log.
    pub anchors: &'a [Anchor],
}

/// Verifies a log against everything that is known of it.
///
/// # Errors
/// The log cannot be read, for a reason that says nothing about the log itself.
pub(crate) fn run(
    log: &Log,
    request: &VerifyOptions<'_>,
    reached: &mut dyn FnMut(VerifyProgress),
) -> Result<VerifyReport> {
    log.inspect(PlatformWork::Verification, |log| {
        let mut report = VerifyReport { quick: request.quick, ..VerifyReport::default() };
        check_schema(log, &mut report)?;
        check_pending_writes(log, &mut report)?;
        if request.quick {
            report.notes.push("--quick left the integrity check out".to_owned());
            check_chain(log, request, reached, &mut report)?;
            return Ok(report);
        }
        reached(VerifyProgress::Integrity);
        let place = report.violations.len();
        let (checked, found) = log.integrity_findings_beside(|| {
            let checked = check_chain(log, request, reached, &mut report);
            reached(VerifyProgress::Integrity);
            checked
        });
        checked?;
        add_integrity_findings(found, place, &mut report)?;
        Ok(report)
    })
}

/// Checks all that the log itself says of its events.
fn check_chain(
    log: &Snapshot<'_>,
    request: &VerifyOptions<'_>,
    reached: &mut dyn FnMut(VerifyProgress),
    report: &mut VerifyReport,
) -> Result<()> {
    let head = or_violation(log.head(), report, ViolationKind::Head, "its head cannot be read")?;
    let uuid = or_violation(log.uuid(), report, ViolationKind::Head, "its UUID cannot be read")?;
    let vouched = match &head {
        Some(head) => sweeps::check_sweeps(log, head, report)?,
        None => sweeps::NewestSweep::default(),
    };
    let Some(uuid) = uuid else {
        return Ok(());
    };
    let mut walk = ChainWalk::new(&uuid, head.as_ref());
    if let Some(event) = vouched.event {
        walk.watch(event);
    }
    walk.late = vouched.latest_cutoff.map(|after| walk::LateRemovals { after, events: 0 });
    walk.run(log, vouched.number, reached, report)?;
    let end = walk.verified_head();
    if walk.is_intact() {
        check_head(&walk, head.as_ref(), &vouched, report);
    }
    report.events = walk.events;
    report.head = end;
    report.swept = walk.swept;
    sweeps::add_notes(&walk, &vouched, report);
    let known = AnchorChecker {
        genesis: chain::genesis_hash(&uuid),
        sweep: vouched.number.unwrap_or(-1),
        newest_id: if walk.is_intact() { end.0 } else { head.map_or(end.0, |head| head.id) },
        broken_at: (!walk.is_intact()).then_some(EventId(end.0.0.saturating_add(1))),
    };
    check_published_heads(log, &known, report)?;
    for anchor in request.anchors {
        let verdict = known.verdict(log, anchor)?;
        report.anchors.push((anchor.clone(), verdict));
    }
    Ok(())
}

/// Verifies the runs that earlier sweeps removed against the event that vouches for them, and
/// nothing else. Returns what is wrong with them.
///
/// # Errors
/// The log cannot be read.
pub(crate) fn check_gaps(log: &Log) -> Result<Option<String>> {
    log.inspect(PlatformWork::Verification, |log| {
        let mut report = VerifyReport::default();
        let head =
            or_violation(log.head(), &mut report, ViolationKind::Head, "its head cannot be read")?;
        if let Some(head) = head {
            sweeps::check_sweeps(log, &head, &mut report)?;
        }
        Ok(report.violations.into_iter().next().map(|broken| broken.message))
    })
}

/// Returns what was read; `None` if the log is damaged there, which is added to the report.
///
/// # Errors
/// Those that say nothing about the log.
fn or_violation<T>(
    read: Result<T, ReadError>,
    report: &mut VerifyReport,
    kind: ViolationKind,
    message: &str,
) -> Result<Option<T>> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(ReadError::Damage(why)) => {
            report.violations.push(Violation::new(kind, format!("{message}: {why}")));
            Ok(None)
        }
        Err(ReadError::Failed(error)) => Err(error),
    }
}

fn check_schema(log: &Snapshot<'_>, report: &mut VerifyReport) -> Result<()> {
    let foreign = or_violation(
        log.schema_difference(),
        report,
        ViolationKind::Schema,
        "its schema cannot be read",
    )?;
    if let Some(difference) = foreign.flatten() {
        report.violations.push(Violation::new(
            ViolationKind::Schema,
            format!("its schema was changed: {difference}"),
        ));
    }
    Ok(())
}

/// Checks what the engine has yet to copy into the file of the log.
fn check_pending_writes(log: &Snapshot<'_>, report: &mut VerifyReport) -> Result<()> {
    const READ: &str = "its newest writes cannot be read";
    let kind = ViolationKind::Integrity;
    match or_violation(log.pending_writes(), report, kind, READ)? {
        Some(PendingWrites::Damaged(what)) => report.violations.push(Violation::new(kind, what)),
        Some(PendingWrites::CutShort(what)) => {
            report.notes.push(format!("{what}: a power cut has ended a write there, or damage"));
        }
        Some(PendingWrites::Sound) | None => {}
    }
    Ok(())
}

/// Reports the findings of the integrity check at a place among the violations.
fn add_integrity_findings(
    found: Result<Vec<String>, ReadError>,
    place: usize,
    report: &mut VerifyReport,
) -> Result<()> {
    const CHECK: &str = "the integrity check fails";
    let later = report.violations.split_off(place);
    let found = or_violation(found, report, ViolationKind::Integrity, CHECK)?.unwrap_or_default();
    for finding in found.iter().take(MAX_FINDINGS) {
        report
            .violations
            .push(Violation::new(ViolationKind::Integrity, format!("{CHECK}: {finding}")));
    }
    if found.len() > MAX_FINDINGS {
        let more = text::plural((found.len() - MAX_FINDINGS) as u64, "finding");
        report
            .violations
            .push(Violation::new(ViolationKind::Integrity, format!("{CHECK}: {more} more")));
    }
    report.violations.extend(later);
    Ok(())
}

/// Checks the head, once every event holds.
fn check_head(
    walk: &ChainWalk,
    head: Option<&LogHead>,
    vouched: &sweeps::NewestSweep,
    report: &mut VerifyReport,
) {
    let (id, hash) = walk.verified_head();
    if head.is_some_and(|head| head.hash != hash) {
        let message = format!("the head does not have the hash of event {id}");
        report.violations.push(Violation::new(ViolationKind::Head, message));
    }
    // Rows within a swept run are not verified, so none of them can vouch.
    if let Some(voucher) = vouched.event.filter(|id| walk.is_watched_swept(*id)) {
        let message =
            format!("event {voucher}, which vouches for what was swept, was swept itself");
        report.violations.push(Violation::new(ViolationKind::Gaps, message));
    }
}

/// Verifies the log against the heads that it knows to be published.
fn check_published_heads(
    log: &Snapshot<'_>,
    known: &AnchorChecker,
    report: &mut VerifyReport,
) -> Result<()> {
    let mut heads: Vec<PublishedHead> = Vec::new();
    let read = log.each_published_head(&mut |head| heads.push(head));
    or_violation(read, report, ViolationKind::Anchor, "the published heads cannot be read")?;
    let mut failed = 0_u64;
    for head in heads {
        let (id, at, place) = (head.id, head.published_at, &head.place);
        let message = match known.hash_at(log, id)? {
            _ if id > known.newest_id => {
                let missing = text::plural(id.0.abs_diff(known.newest_id.0), "event");
                format!(
                    "the log ends at {}, {missing} missing: head {id} was published at {at} ({place})",
                    known.newest_id
                )
            }
            HashLookup::Known(hash) if hash == head.hash => continue,
            HashLookup::Known(_) => {
                format!("event {id} is not the one whose hash was published at {at} ({place})")
            }
            HashLookup::Swept(..) => {
                format!(
                    "event {id} was swept as if its hash had not been published at {at} ({place})"
                )
            }
            // The walk has reported it.
            HashLookup::Missing => continue,
        };
        failed += 1;
        if failed == 1 {
            report.violations.push(Violation::new(ViolationKind::Anchor, message).with_id(id));
        }
    }
    if failed > 1 {
        let more = text::plural(failed - 1, "published head");
        report
            .violations
            .push(Violation::new(ViolationKind::Anchor, format!("{more} more fail like it")));
    }
    Ok(())
}

/// The parts of a log that anchors are compared with.
struct AnchorChecker {
    genesis: Hash,
    sweep: i64,
    /// The newest event.
    newest_id: EventId,
    /// The first event that does not hold.
    broken_at: Option<EventId>,
}

impl AnchorChecker {
    fn hash_at(&self, log: &Snapshot<'_>, id: EventId) -> Result<HashLookup> {
        if id.0 == 0 {
            return Ok(HashLookup::Known(self.genesis));
        }
        match log.hash_at(id, self.sweep) {
            Ok(place) => Ok(place),
            // The walk has reported what cannot be read.
            Err(ReadError::Damage(_)) => Ok(HashLookup::Missing),
            Err(ReadError::Failed(error)) => Err(error),
        }
    }

    fn verdict(&self, log: &Snapshot<'_>, anchor: &Anchor) -> Result<AnchorVerdict> {
        let id = anchor.id;
        if id > self.newest_id {
            return Ok(AnchorVerdict::BeyondEnd { end: self.newest_id });
        }
        Ok(match self.hash_at(log, id)? {
            HashLookup::Known(hash) if !anchor.matches(&hash) => AnchorVerdict::HashDiffers,
            HashLookup::Known(_) => match self.broken_at {
                Some(broken_at) if id >= broken_at => AnchorVerdict::AfterBreak { broken_at },
                _ => AnchorVerdict::Holds,
            },
            HashLookup::Swept(first, last) => {
                AnchorVerdict::Swept { before: EventId(first.0.saturating_sub(1)), after: last }
            }
            HashLookup::Missing => AnchorVerdict::Missing,
        })
    }
}
