//! Holds a log against its own hashes, and against heads that were noted outside it.
//!
//! One snapshot is read, in this order: the schema's text, the engine's own integrity check, what the
//! newest sweep vouches for, every event and every swept run in the order of ids, the head, the heads
//! that were published. The walk ends at the first event that does not hold, for nothing behind it is
//! sure; anything else that is wrong is told and does not end it.
//!
//! ## What it shows
//!
//! That nobody has changed, removed, put in or moved an event since it was recorded, save one who
//! computed the chain anew from there to the head. Against him stand the heads that others keep: a
//! mail, a noted line. Those that the log has in its own table are as easy to change as the rest.
//!
//! ## Concurrency
//!
//! Nobody is kept from anything, sweeps neither: the snapshot is what the log was at one moment. As long
//! as it is held, the write-ahead log does not start over and grows by what is written.

pub(crate) mod anchors;
mod mail;
mod report;
mod sweeps;
mod walk;

use anyhow::Result;

use crate::chain;
use crate::event::EventId;
use crate::event::Hash;
use crate::store::Log;
use crate::store::verify::HashLookup;
use crate::store::verify::LogHead;
use crate::store::verify::PublishedHead;
use crate::store::verify::ReadError;
use crate::store::verify::Snapshot;
use crate::text;
use crate::verify::anchors::Anchor;
use crate::verify::walk::Walk;

pub(crate) use crate::verify::report::Broken;
pub(crate) use crate::verify::report::Kind;
pub(crate) use crate::verify::report::Report;
pub(crate) use crate::verify::report::Verdict;

/// How many findings of the integrity check are told one by one.
const FINDINGS: usize = 10;

/// How far it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reached {
    Integrity,
    /// At this id of so many, with so many events that hold.
    Event {
        id: u64,
        of: u64,
        events: u64,
    },
}

/// How much is looked at.
pub(crate) struct Request<'a> {
    /// Without the engine's own integrity check.
    pub quick: bool,
    /// Heads that were noted outside the log.
    pub anchors: &'a [Anchor],
}

/// Holds a log against everything that is known of it.
///
/// # Errors
/// That it cannot be read, where that says nothing about the log itself.
pub(crate) fn run(
    log: &Log,
    request: &Request<'_>,
    reached: &mut dyn FnMut(Reached),
) -> Result<Report> {
    log.inspect(|log| {
        let mut report = Report { quick: request.quick, ..Report::default() };
        schema(log, &mut report)?;
        if request.quick {
            report.notes.push("--quick left the integrity check out".to_owned());
        } else {
            reached(Reached::Integrity);
            integrity(log, &mut report)?;
        }
        let head = or_broken(log.head(), &mut report, Kind::Head, "its head cannot be read")?;
        let uuid = or_broken(log.uuid(), &mut report, Kind::Head, "its UUID cannot be read")?;
        let vouched = match &head {
            Some(head) => sweeps::vouched(log, head, &mut report)?,
            None => sweeps::Vouched::default(),
        };
        let Some(uuid) = uuid else {
            return Ok(report);
        };
        let mut walk = Walk::new(&uuid, head.as_ref());
        if let Some(event) = vouched.event {
            walk.ask(event);
        }
        walk.late = vouched.horizon.map(|after| walk::Late { after, events: 0 });
        walk.run(log, vouched.sweep, reached, &mut report)?;
        let end = walk.end();
        if walk.is_whole() {
            at_the_end(&walk, head.as_ref(), &vouched, &mut report);
        }
        report.events = walk.events;
        report.head = end;
        report.swept = walk.swept;
        sweeps::note(&walk, &vouched, &mut report);
        let known = Known {
            genesis: chain::genesis_hash(&uuid),
            sweep: vouched.sweep.unwrap_or(-1),
            end: if walk.is_whole() { end.0 } else { head.map_or(end.0, |head| head.id) },
            broken_at: (!walk.is_whole()).then_some(EventId(end.0.0.saturating_add(1))),
        };
        published(log, &known, &mut report)?;
        for anchor in request.anchors {
            let verdict = known.verdict(log, anchor)?;
            report.anchors.push((anchor.clone(), verdict));
        }
        Ok(report)
    })
}

/// Holds the ranges that earlier sweeps took against the event that vouches for them, and looks at
/// nothing else; tells what is wrong with them.
///
/// # Errors
/// That the log cannot be read.
pub(crate) fn swept_ranges(log: &Log) -> Result<Option<String>> {
    log.inspect(|log| {
        let mut report = Report::default();
        let head = or_broken(log.head(), &mut report, Kind::Head, "its head cannot be read")?;
        if let Some(head) = head {
            sweeps::vouched(log, &head, &mut report)?;
        }
        Ok(report.broken.into_iter().next().map(|broken| broken.what))
    })
}

/// What was read; where the log is damaged there, that is told and there is nothing.
///
/// # Errors
/// What says nothing about the log.
fn or_broken<T>(
    read: Result<T, ReadError>,
    report: &mut Report,
    kind: Kind,
    what: &str,
) -> Result<Option<T>> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(ReadError::Damage(why)) => {
            report.broken.push(Broken::of(kind, format!("{what}: {why}")));
            Ok(None)
        }
        Err(ReadError::Failed(error)) => Err(error),
    }
}

fn schema(log: &Snapshot<'_>, report: &mut Report) -> Result<()> {
    let foreign =
        or_broken(log.schema_difference(), report, Kind::Schema, "its schema cannot be read")?;
    if let Some(what) = foreign.flatten() {
        report.broken.push(Broken::of(Kind::Schema, format!("its schema was changed: {what}")));
    }
    Ok(())
}

fn integrity(log: &Snapshot<'_>, report: &mut Report) -> Result<()> {
    const CHECK: &str = "the integrity check fails";
    let found =
        or_broken(log.integrity_findings(), report, Kind::Integrity, CHECK)?.unwrap_or_default();
    for what in found.iter().take(FINDINGS) {
        report.broken.push(Broken::of(Kind::Integrity, format!("{CHECK}: {what}")));
    }
    if found.len() > FINDINGS {
        let more = text::plural((found.len() - FINDINGS) as u64, "finding");
        report.broken.push(Broken::of(Kind::Integrity, format!("{CHECK}: {more} more")));
    }
    Ok(())
}

/// What must be true where every event holds.
fn at_the_end(walk: &Walk, head: Option<&LogHead>, vouched: &sweeps::Vouched, report: &mut Report) {
    let (id, hash) = walk.end();
    if head.is_some_and(|head| head.hash != hash) {
        let what = format!("the head does not have the hash of event {id}");
        report.broken.push(Broken::of(Kind::Head, what));
    }
    // Rows within a swept run are not held against anything, so none of them can vouch.
    if let Some(voucher) = vouched.event.filter(|id| walk.is_swept(*id)) {
        let what = format!("event {voucher}, which vouches for what was swept, was swept itself");
        report.broken.push(Broken::of(Kind::Gaps, what));
    }
}

/// Holds the log against the heads that it knows to be published.
fn published(log: &Snapshot<'_>, known: &Known, report: &mut Report) -> Result<()> {
    let mut heads: Vec<PublishedHead> = Vec::new();
    let read = log.each_published_head(&mut |head| heads.push(head));
    or_broken(read, report, Kind::Anchor, "the published heads cannot be read")?;
    let mut failed = 0_u64;
    for head in heads {
        let (id, at, place) = (head.id, head.published_at, &head.place);
        let what = match known.place(log, id)? {
            _ if id > known.end => {
                let missing = text::plural(id.0.abs_diff(known.end.0), "event");
                format!(
                    "the log ends at {}, {missing} missing: head {id} was published at {at} ({place})",
                    known.end
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
            // The walk has told it.
            HashLookup::Missing => continue,
        };
        failed += 1;
        if failed == 1 {
            report.broken.push(Broken::of(Kind::Anchor, what).at(id));
        }
    }
    if failed > 1 {
        let more = text::plural(failed - 1, "published head");
        report.broken.push(Broken::of(Kind::Anchor, format!("{more} more fail like it")));
    }
    Ok(())
}

/// What anchors are held against.
struct Known {
    genesis: Hash,
    sweep: i64,
    /// The newest event.
    end: EventId,
    /// The first that does not hold.
    broken_at: Option<EventId>,
}

impl Known {
    fn place(&self, log: &Snapshot<'_>, id: EventId) -> Result<HashLookup> {
        if id.0 == 0 {
            return Ok(HashLookup::Known(self.genesis));
        }
        match log.hash_at(id, self.sweep) {
            Ok(place) => Ok(place),
            // What cannot be read was told by the walk.
            Err(ReadError::Damage(_)) => Ok(HashLookup::Missing),
            Err(ReadError::Failed(error)) => Err(error),
        }
    }

    fn verdict(&self, log: &Snapshot<'_>, anchor: &Anchor) -> Result<Verdict> {
        let id = anchor.id;
        if id > self.end {
            return Ok(Verdict::Beyond { end: self.end });
        }
        Ok(match self.place(log, id)? {
            HashLookup::Known(hash) if !anchor.is_of(&hash) => Verdict::Another,
            HashLookup::Known(_) => match self.broken_at {
                Some(broken_at) if id >= broken_at => Verdict::Behind { broken_at },
                _ => Verdict::Holds,
            },
            HashLookup::Swept(first, last) => {
                Verdict::Swept { before: EventId(first.0.saturating_sub(1)), after: last }
            }
            HashLookup::Missing => Verdict::Missing,
        })
    }
}
