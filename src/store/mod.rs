//! The log: stores events and reads them back.
//!
//! There are two faces. [`Log`] is for reading, in terms of the domain alone: events, pages, cursors,
//! counts, summaries, and the rows of the chain. An engine on another host can stand behind it.
//! [`LocalLog`] is a log in a file of this host. It is read as a [`Log`], and it alone is written,
//! swept, locked and copied: there is one log of record, and an engine that only answers questions
//! never has to offer these. A function that only reads takes a `&Log`.
//!
//! Who may read is decided above, in `context`. The time and the name of who runs the program are
//! arguments. No SQL and no type of an engine passes through here.
//!
//! ## Durability
//!
//! [`LocalLog::append`] returns after commit and sync. An event that was reported as stored, or as a
//! duplicate, survives a crash of the program, of the system and of the power. An event whose append
//! ended in an error is not stored, unless the error says "not confirmed": then only a repeat with the
//! same `event_id` shows whether it is. After such an error the [`LocalLog`] refuses to write.
//!
//! ## Concurrency
//!
//! Any number of processes read and write one log on one host. Writers take turns, and wait up to
//! 30 s for theirs. Readers never wait; one call sees the log as it was at one moment. Ids ascend in
//! the order of commits, without holes.
//!
//! ## Compatibility
//!
//! The first writer of a newer version migrates a log. A log of a newer version is refused.
//! For every engine it is decided here whether two events are the same, which link of the chain
//! follows which, and how events are ordered; every engine must pass `conformance`.

pub(crate) mod central;
#[cfg(test)]
mod conformance;
pub(crate) mod digest;
mod local;
pub(crate) mod mirror;
pub(crate) mod names;
mod read;
#[cfg(test)]
mod scope_tests;
mod sqlite;
pub(crate) mod sweep;
pub(crate) mod tally;
pub(crate) mod verify;

use crate::event::Event;
use crate::event::NewEvent;
use crate::event::Severity;
use crate::event::Source;
use crate::event::field;
use crate::event::field::FieldValue;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::store::central::read::CentralEngine;
pub(crate) use crate::store::central::read::CentralHeads;
pub(crate) use crate::store::local::AppendOutcome;
pub(crate) use crate::store::local::Batch;
pub(crate) use crate::store::local::Create;
pub(crate) use crate::store::local::DigestLock;
pub(crate) use crate::store::local::DigestSubject;
pub(crate) use crate::store::local::ExportLock;
pub(crate) use crate::store::local::FileIdentity;
pub(crate) use crate::store::local::FileProgress;
pub(crate) use crate::store::local::LocalLog;
pub(crate) use crate::store::local::RejectedStretch;
pub(crate) use crate::store::local::Stamp;
pub(crate) use crate::store::read::ActionUsage;
pub(crate) use crate::store::read::Cursor;
pub(crate) use crate::store::read::EventIdMatch;
pub(crate) use crate::store::read::EventSummary;
pub(crate) use crate::store::read::Occurrences;
pub(crate) use crate::store::read::Order;
pub(crate) use crate::store::read::PageRequest;
pub(crate) use crate::store::read::RecentClock;
pub(crate) use crate::store::read::Suggestion;
pub(crate) use crate::store::read::SuggestionKind;
pub(crate) use crate::store::read::SweptRanges;
#[cfg(test)]
pub(crate) use crate::store::read::sortable_fields;
pub(crate) use crate::store::sqlite::Companion;
pub(crate) use crate::store::sqlite::RESERVE_SIZE;
use crate::store::sqlite::Sqlite;
pub(crate) use crate::store::sqlite::note_first_warning_of_day;

/// A log to read, on whatever engine. [`Log::open_to_read`] opens one, and a [`LocalLog`] is one.
pub(crate) struct Log {
    engine: Engine,
}

/// What a log is read from.
enum Engine {
    /// A file of this host.
    Local(Box<Sqlite>),
    /// The logs of many hosts.
    Central(CentralEngine),
}

impl Log {
    /// Returns the engine of a log of this host, for what is done with no other.
    fn local(&self) -> Result<&Sqlite, Failure> {
        match &self.engine {
            Engine::Local(engine) => Ok(engine),
            Engine::Central(_) => {
                let message = "a central store has the events of its logs, and no more of them";
                Err(Failure::new(Exit::Usage, message).hint("ask on the host whose log it is"))
            }
        }
    }
}

/// The first field in which the event says something else than the one that is there. Only what was
/// given counts: a repeat without a time has another "now".
pub(crate) fn conflicting_field(given: &NewEvent, stored: &Event) -> Option<&'static str> {
    field::FIELDS.iter().find_map(|field| {
        let value = (field.given)(given).filter(|value| *value != FieldValue::Text(""))?;
        ((field.get)(stored) != Some(value)).then_some(field.name)
    })
}

/// The stored number of a source.
fn source_number(source: Source) -> i64 {
    match source {
        Source::Operator => 0,
        Source::System => 1,
        Source::Api => 2,
        Source::Cron => 3,
    }
}

/// The stored number of a severity.
fn severity_number(severity: Severity) -> i64 {
    match severity {
        Severity::Info => 0,
        Severity::Low => 1,
        Severity::Medium => 2,
        Severity::High => 3,
        Severity::Critical => 4,
    }
}
