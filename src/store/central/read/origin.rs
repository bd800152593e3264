//! The logs that write to a central store, and the names by which they are read.

use std::sync::Arc;

use crate::event::EventId;
use crate::event::Hash;
use crate::store::central::distinct_log_names;
use crate::store::central::read::fragment::SqlValue;
use crate::time::Timestamp;

/// A log that writes to the store.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NamedOrigin {
    /// The name of its host; behind it a `~` and digits of its UUID where a host has several logs.
    pub name: Arc<str>,
    pub uuid: String,
    /// How the rows of its events name it.
    pub(super) key: SqlValue,
    /// The newest event at the last run of its mirror with its hash, what the store had confirmed, and
    /// the time of that run.
    pub head: EventId,
    pub head_hash: Hash,
    pub delivered: EventId,
    pub seen_at: Option<Timestamp>,
}

/// A log as its row has it.
#[derive(Clone, Debug)]
pub(super) struct OriginRow {
    pub host: String,
    pub uuid: String,
    pub key: SqlValue,
    pub head: EventId,
    pub head_hash: Hash,
    pub delivered: EventId,
    pub seen_at: Option<Timestamp>,
}

/// Names the logs so that no two have one name.
pub(super) fn name_origins(rows: Vec<OriginRow>) -> Vec<NamedOrigin> {
    let logs: Vec<_> = rows.iter().map(|row| (row.host.clone(), row.uuid.clone())).collect();
    let names = distinct_log_names(&logs).into_iter().map(Arc::from);
    let named = names.zip(rows).map(|(name, row)| NamedOrigin {
        name,
        uuid: row.uuid,
        key: row.key,
        head: row.head,
        head_hash: row.head_hash,
        delivered: row.delivered,
        seen_at: row.seen_at,
    });
    let mut named: Vec<NamedOrigin> = named.collect();
    named.sort_by(|a, b| a.name.cmp(&b.name));
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_of_one_host_are_told_apart() {
        let row = |host: &str, uuid: &str, key| OriginRow {
            host: host.to_owned(),
            uuid: uuid.to_owned(),
            key: SqlValue::Integer(key),
            head: EventId(0),
            head_hash: Hash([0; 32]),
            delivered: EventId(0),
            seen_at: None,
        };
        let named = name_origins(vec![
            row("web3", "01890a5d-ac96-774b-bcce-b302099a8057", 1),
            row("db1", "01890a5d-ac96-774b-bcce-b302099a8058", 2),
            row("web3", "01890a5d-ac96-774b-bcce-b302099a8059", 3),
        ]);
        let names: Vec<&str> = named.iter().map(|origin| &*origin.name).collect();
        assert_eq!(names, ["db1", "web3~9a8057", "web3~9a8059"]);
    }
}
