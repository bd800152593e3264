//! Changes a log as an attacker with write access to its file does: drops the triggers, changes
//! rows, and restores the triggers, so that only the chain shows the change.

use std::path::Path;

use rusqlite::Connection;
use serde_json::Value;
use serde_json::json;

use crate::support::Output;
use crate::support::Sandbox;
use crate::support::chain;
use crate::support::log::Log;

/// Changes a log. Afterwards the schema is as before, except for the changes themselves.
pub(crate) fn without_triggers<T>(log: &Path, hands: impl FnOnce(&Connection) -> T) -> T {
    let log = Log::open_to_write(log);
    log.sql.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    let triggers = "sqlite_schema WHERE type = 'trigger' ORDER BY rowid";
    let put_back = log.query_texts(&format!("SELECT sql FROM {triggers}"));
    assert!(put_back.len() > 20, "the triggers of a log");
    for name in log.query_texts(&format!("SELECT name FROM {triggers}")) {
        log.sql.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
    }
    let done = hands(&log.sql);
    for sql in put_back {
        log.sql.execute_batch(&sql).unwrap();
    }
    done
}

/// Imitates a sweep of the program, or half of one.
pub(crate) struct ForgedSweep<'a> {
    pub number: i64,
    pub ranges: &'a [(i64, i64)],
    /// Empty for the time of the newest event.
    pub cutoff: &'a str,
    /// Members of the payload that replace the true ones.
    pub claims: &'a str,
    /// The last id that it removed.
    pub removed_up_to: i64,
    pub own: bool,
}

impl Default for ForgedSweep<'_> {
    fn default() -> Self {
        Self {
            number: 1,
            ranges: &[],
            cutoff: "",
            claims: "{}",
            removed_up_to: i64::MAX,
            own: true,
        }
    }
}

impl ForgedSweep<'_> {
    pub(crate) fn forge(&self, sql: &Connection) {
        self.forge_as(sql, &format!("sweep-{}", self.number));
    }

    /// Forges it with an event of that id.
    pub(crate) fn forge_as(&self, sql: &Connection, event_id: &str) {
        let number = self.number;
        // With all events of a run gone it is a gap, else it is being removed.
        let is_gone = |last: i64| last <= self.removed_up_to;
        for (first, last) in self.ranges {
            let run = if is_gone(*last) {
                "INSERT INTO gap (first, last, hash, sweep) \
                 SELECT ?1, ?2, hash, ?3 FROM event WHERE id = ?2"
            } else {
                "INSERT INTO removal (first, last, hash, sweep, removed_to, removed_hash) \
                 SELECT ?1, ?2, hash, ?3, max(?1 - 1, ?4), \
                   (SELECT hash FROM event WHERE id = ?4 AND id >= ?1) FROM event WHERE id = ?2"
            };
            let mut run = sql.prepare(run).unwrap();
            let inserted = if is_gone(*last) {
                run.execute((first, last, number))
            } else {
                run.execute((first, last, number, self.removed_up_to))
            };
            assert_eq!(inserted.unwrap(), 1);
        }
        let payload = self.payload(sql);
        sql.execute_batch(
            "INSERT OR IGNORE INTO action (slug, module) VALUES ('retention.sweep', '')",
        )
        .unwrap();
        let event = "INSERT INTO event (id, event_id, occurred_at, recorded_at, recorder, tenant, \
            source, severity, action, payload, own, salt, hash) \
            SELECT 1 + head.id, ?1, last.recorded_at, last.recorded_at, last.recorder, \
            0, 1, 0, action.key, ?2, ?3, x'0102030405060708', zeroblob(32) \
            FROM head JOIN event AS last ON last.id = head.id JOIN action ON slug = 'retention.sweep'";
        assert_eq!(sql.execute(event, (event_id, payload.to_string(), self.own)).unwrap(), 1);
        chain::rehash(sql, sql.last_insert_rowid());
        sql.execute("UPDATE head SET sweep = ?1", [number]).unwrap();
        for (first, last) in self.ranges {
            let last = (*last).min(self.removed_up_to);
            sql.execute("DELETE FROM event WHERE id BETWEEN ?1 AND ?2", (first, last)).unwrap();
        }
    }
}

impl ForgedSweep<'_> {
    /// Describes what it takes, as far as `claims` does not say otherwise.
    fn payload(&self, sql: &Connection) -> Value {
        let number = self.number;
        let mut by_action = serde_json::Map::new();
        for (first, last) in self.ranges {
            let mut slugs = sql
                .prepare(
                    "SELECT slug, count(*) FROM event JOIN action ON action.key = action \
                     WHERE event.id BETWEEN ?1 AND ?2 GROUP BY slug",
                )
                .unwrap();
            let mut rows = slugs.query((first, last)).unwrap();
            while let Some(row) = rows.next().unwrap() {
                let (slug, count): (String, i64) = (row.get(0).unwrap(), row.get(1).unwrap());
                let sum = by_action.get(&slug).and_then(Value::as_i64).unwrap_or(0) + count;
                by_action.insert(slug, sum.into());
            }
        }
        let (gaps, total): (i64, i64) = sql
            .query_row(
                "SELECT count(*), coalesce(sum(last - first + 1), 0) FROM (SELECT first, last FROM gap \
                 UNION ALL SELECT first, last FROM removal WHERE sweep = ?1)",
                [number],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .unwrap();
        let count: i64 = self.ranges.iter().map(|(first, last)| last - first + 1).sum();
        let newest: String = sql
            .query_row("SELECT recorded_at FROM events ORDER BY id DESC LIMIT 1", [], |row| {
                row.get(0)
            })
            .unwrap();
        let cutoff = if self.cutoff.is_empty() { &newest } else { self.cutoff };
        let mut payload = json!({
            "sweep": number, "count": count, "by_action": by_action, "cutoff": cutoff,
            "rules": [], "late": 0, "held": 0, "total": total, "gaps": gaps,
            "gaps_sha256": chain::gaps_sha256(sql, number),
        });
        let claims: Value = serde_json::from_str(self.claims).unwrap();
        for (name, value) in claims.as_object().unwrap() {
            payload[name] = value.clone();
        }
        payload
    }
}

impl Sandbox {
    /// Changes the sandbox's log by statements of SQL.
    #[track_caller]
    pub(crate) fn tamper(&self, sql: &str) {
        without_triggers(&self.db(), |log| {
            log.execute_batch(sql).unwrap_or_else(|why| panic!("{sql}: {why}"));
        });
    }
}

/// Checks that `verify` prints that line, and does not say that the log holds.
#[track_caller]
pub(crate) fn assert_broken(out: &Output, line: &str) {
    assert!(out.stdout().lines().any(|printed| printed == line), "{line}\n{out}");
    assert!(!out.stdout().contains("holds:"), "{out}");
}
