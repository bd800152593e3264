//! The logs that write to a central store, and the names by which they are read.

use std::collections::HashMap;
use std::sync::Arc;

use crate::event::EventId;
use crate::store::central::read::fragment::SqlValue;
use crate::time::Timestamp;

/// The last digits of a UUID that tell the logs of one host apart.
const TOLD_APART_DIGITS: usize = 6;

/// A log that writes to the store.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NamedOrigin {
    /// The name of its host; behind it a `~` and digits of its UUID where a host has several logs.
    pub name: Arc<str>,
    /// How the rows of its events name it.
    pub(super) key: SqlValue,
    /// The newest event at the last run of its mirror, and the time of that run.
    pub head: EventId,
    pub seen_at: Option<Timestamp>,
}

/// A log as its row has it.
#[derive(Clone, Debug)]
pub(super) struct OriginRow {
    pub host: String,
    pub uuid: String,
    pub key: SqlValue,
    pub head: EventId,
    pub seen_at: Option<Timestamp>,
}

/// Names the logs so that no two have one name.
pub(super) fn name_origins(rows: Vec<OriginRow>) -> Vec<NamedOrigin> {
    let mut logs_of_host: HashMap<String, usize> = HashMap::new();
    for row in &rows {
        *logs_of_host.entry(row.host.clone()).or_default() += 1;
    }
    let named = rows.into_iter().map(|row| {
        let name = match logs_of_host.get(&row.host) {
            Some(1) | None => row.host,
            Some(_) => {
                let digits = row.uuid.len().saturating_sub(TOLD_APART_DIGITS);
                format!("{}~{}", row.host, row.uuid.get(digits..).unwrap_or(&row.uuid))
            }
        };
        let name = Arc::from(name);
        NamedOrigin { name, key: row.key, head: row.head, seen_at: row.seen_at }
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
