//! The central store of many hosts as a destination.
//!
//! What an event was when it first arrived stays: a host that later sends another hash for the same id
//! has changed its past, which is told and never overwrites anything.

mod clickhouse;
#[cfg(feature = "central")]
mod postgres;

pub(super) use crate::mirror::sinks::central::clickhouse::ClickHouseSink;
#[cfg(feature = "central")]
pub(super) use crate::mirror::sinks::central::postgres::PostgresSink;

use crate::event::Hash;
use crate::mirror::sink::OutgoingEvent;
use crate::mirror::sink::RefusedEvent;
use crate::mirror::sink::SinkContext;
use crate::mirror::sink::SinkFailure;
use crate::store::central::CentralError;
use crate::store::central::CentralErrorKind;
use crate::store::central::CentralRow;
use crate::store::central::OtherVersion;
use crate::store::central::ServerAccess;

impl From<CentralError> for SinkFailure {
    fn from(error: CentralError) -> Self {
        let failure = match error.kind {
            CentralErrorKind::Refused => Self::refused(error.reason),
            CentralErrorKind::Unavailable
            | CentralErrorKind::Denied
            | CentralErrorKind::NoTables
            | CentralErrorKind::NewerVersion => Self::unavailable(error.reason),
        };
        Self { status: error.status, retry_after: error.retry_after, ..failure }
    }
}

fn access(context: SinkContext<'_>) -> ServerAccess<'_> {
    let SinkContext { environment, trusted_uid, timeout, .. } = context;
    ServerAccess { environment, trusted_uid, timeout }
}

fn row(outgoing: &OutgoingEvent) -> CentralRow<'_> {
    CentralRow { event: &outgoing.event, seal: outgoing.seal.as_ref() }
}

/// Returns the versions of events that a batch brought and the store has not.
fn other_versions(batch: &[OutgoingEvent], changed: &[RefusedEvent]) -> Vec<OtherVersion> {
    let events = changed.iter().filter_map(|refused| Some(&batch.get(refused.index)?.event));
    events.map(|event| OtherVersion { id: event.id, hash: event.hash }).collect()
}

/// Names an event of which the store has another version.
fn changed_past(index: usize, stored: &[u8], outgoing: &OutgoingEvent) -> RefusedEvent {
    let stored = match <[u8; 32]>::try_from(stored) {
        Ok(hash) => Hash(hash).to_string(),
        Err(_) => "no hash".to_owned(),
    };
    let event = &outgoing.event;
    let reason = format!(
        "the past was changed: the store has {stored} for event {}, this log {}",
        event.id, event.hash
    );
    RefusedEvent { index, reason, status: None }
}
