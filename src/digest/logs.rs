//! The logs of a digest: what it tells of, and the log that records digests.
//!
//! A log of this host records its own digests. Those of a central store are recorded in the log of the
//! host that sends them, under the name of the store.

use anyhow::Result;

use crate::access::PlatformWork;
use crate::digest::outcome;
use crate::digest::outcome::RecordedOutcome;
use crate::digest::window::BegunDigest;
use crate::store::Log;
use crate::store::digest::ArrivedLog;
use crate::store::digest::LogPositions;

/// The logs that a digest is made from.
#[derive(Clone, Copy)]
pub(crate) struct DigestLogs<'a> {
    /// What it tells of.
    pub events: &'a Log,
    /// The log that records digests; absent where there is none yet.
    pub records: Option<&'a Log>,
    /// The name of the central store that it tells of; absent for a log of this host, which records its
    /// own digests.
    pub store: Option<&'a str>,
}

impl<'a> DigestLogs<'a> {
    pub(crate) fn of_host(log: &'a Log) -> Self {
        Self { events: log, records: Some(log), store: None }
    }

    /// Returns the outcomes of the digests of these logs, in the order of their ids.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn history(self) -> Result<Vec<RecordedOutcome>> {
        let Some(records) = self.records else { return Ok(Vec::new()) };
        let mut outcomes = history(records)?;
        outcomes.retain(|recorded| recorded.outcome.store.as_deref() == self.store);
        Ok(outcomes)
    }

    /// Returns the digests that were begun, in the order of the heads that they noted.
    pub(super) fn begun(self, arrived: &LogPositions) -> Result<Vec<BegunDigest>> {
        let Some(records) = self.records else { return Ok(Vec::new()) };
        let place = anchor_place(self.store);
        let published = records.published_heads(PlatformWork::Digest, &place)?;
        let begun = published.into_iter().map(|(head, at)| BegunDigest {
            at,
            head,
            through: match self.store {
                Some(_) => arrived.clone(),
                None => LogPositions::of_host(head),
            },
        });
        Ok(begun.collect())
    }
}

/// Returns the place under which a log keeps the head that was its newest when a digest was begun.
pub(super) fn anchor_place(store: Option<&str>) -> String {
    match store {
        Some(store) => format!("digest of {store}"),
        None => "digest".to_owned(),
    }
}

/// Returns how far the logs of a store have arrived.
///
/// # Errors
/// The store cannot be read.
pub(super) fn arrived(logs: DigestLogs<'_>) -> Result<LogPositions> {
    Ok(positions(&logs.events.arrived_logs(PlatformWork::Digest)?))
}

pub(super) fn positions(hosts: &[ArrivedLog]) -> LogPositions {
    LogPositions::of_logs(hosts.iter().map(|log| (log.uuid.clone(), log.delivered)))
}

/// Returns every outcome of a digest that a log records, of itself and of central stores, in the order
/// of their ids.
///
/// # Errors
/// The log cannot be read.
pub(crate) fn history(log: &Log) -> Result<Vec<RecordedOutcome>> {
    let mut events = log.own_events(PlatformWork::Digest, outcome::SENT_ACTION)?;
    events.extend(log.own_events(PlatformWork::Digest, outcome::FAILED_ACTION)?);
    events.sort_by_key(|event| event.id);
    Ok(events.iter().filter_map(RecordedOutcome::from_event).collect())
}
