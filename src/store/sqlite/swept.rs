//! The runs of ids that sweeps vouch for, in SQL. Rows that stand within one, left by a sweep that was
//! killed or put there by hand, are gone for every reader.
//!
//! A run is a row of `gap`, or a row of `removal` under the number of the newest sweep. Such a row of
//! `removal` counts in place of the gaps within it.
//!
//! ## Cost
//! Ids behind the last run, which are nearly all where events are swept by age alone, cost one
//! comparison each. Any other id costs a search in each of the two tables.

use rusqlite::Connection;

/// The last id of the last run, 0 if there is none.
macro_rules! last_swept {
    () => {
        "max( \
           ifnull((SELECT last FROM gap ORDER BY first DESC LIMIT 1), 0), \
           ifnull((SELECT last FROM removal WHERE sweep = (SELECT sweep FROM head) \
                   ORDER BY first DESC LIMIT 1), 0))"
    };
}

/// The condition that an event stands in no such run. The sign hides the id from SQLite's planner, which
/// would read whole rows in its order.
macro_rules! not_swept {
    () => {
        concat!(
            "(+event.id > (SELECT ",
            $crate::store::sqlite::swept::last_swept!(),
            ") OR (event.id <= (SELECT last FROM gap WHERE first <= event.id \
                                ORDER BY first DESC LIMIT 1)) IS NOT TRUE \
                AND (event.id <= (SELECT last FROM removal \
                                  WHERE sweep = (SELECT sweep FROM head) AND first <= event.id \
                                  ORDER BY first DESC LIMIT 1)) IS NOT TRUE)"
        )
    };
}
pub(super) use last_swept;
pub(super) use not_swept;

/// Whether some event may stand in such a run. Where none can, a statement that reads very many events
/// does without [`not_swept`].
pub(super) fn may_hold_events(connection: &Connection) -> rusqlite::Result<bool> {
    const FIRST_IS_BEFORE_THE_END: &str =
        concat!("SELECT (SELECT min(id) FROM event) <= ", last_swept!());
    let mut statement = connection.prepare_cached(FIRST_IS_BEFORE_THE_END)?;
    Ok(statement.query_row([], |row| row.get::<_, Option<bool>>(0))?.unwrap_or(false))
}

/// Selects the runs that count when sweep ?1 is the newest, as first and last id, hash and sweep, in the
/// order of ids.
pub(super) const SELECT_RUNS: &str = "SELECT first, last, hash, sweep FROM gap \
     WHERE (first <= (SELECT whole.last FROM removal AS whole \
                      WHERE whole.sweep = ?1 AND whole.first <= gap.first \
                      ORDER BY whole.first DESC LIMIT 1)) IS NOT TRUE \
     UNION ALL SELECT first, last, hash, sweep FROM removal WHERE sweep = ?1 ORDER BY first";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::migrate;

    fn log_with_runs(sql: &str) -> Connection {
        let log = Connection::open_in_memory().unwrap();
        log.execute_batch(migrate::SCHEMA).unwrap();
        log.execute_batch(sql).unwrap();
        log
    }

    fn runs(log: &Connection, sweep: i64) -> Vec<(i64, i64, i64)> {
        let mut statement = log.prepare(SELECT_RUNS).unwrap();
        let rows = statement
            .query_map([sweep], |row| Ok((row.get(0)?, row.get(1)?, row.get(3)?)))
            .unwrap();
        rows.collect::<rusqlite::Result<_>>().unwrap()
    }

    const RUNS: &str = "INSERT INTO head VALUES (1, 99, zeroblob(32), 2);
        INSERT INTO gap VALUES (2, 3, zeroblob(32), 1), (7, 7, zeroblob(32), 1), (20, 20, zeroblob(32), 1);
        INSERT INTO removal VALUES (2, 6, 9, zeroblob(32), 5, NULL), (3, 1, 90, zeroblob(32), 0, NULL);";

    #[test]
    fn what_a_sweep_removes_counts_in_place_of_the_gaps_within() {
        let log = log_with_runs(RUNS);
        assert_eq!(runs(&log, 2), [(2, 3, 1), (6, 9, 2), (20, 20, 1)]);
        assert_eq!(runs(&log, 1), [(2, 3, 1), (7, 7, 1), (20, 20, 1)]);
        assert_eq!(runs(&log, 3), [(1, 90, 3)], "as soon as that sweep is the newest");
    }

    #[test]
    fn an_id_within_a_run_that_counts_is_swept() {
        let log = log_with_runs(RUNS);
        let sql = concat!(
            "WITH RECURSIVE event (id) AS (VALUES (1) UNION ALL SELECT id + 1 FROM event WHERE id < 22) \
             SELECT id FROM event WHERE ",
            not_swept!()
        );
        let mut statement = log.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, i64>(0)).unwrap();
        let kept = rows.collect::<rusqlite::Result<Vec<_>>>().unwrap();
        assert_eq!(kept, [1, 4, 5, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21, 22]);
    }

    #[test]
    fn only_events_behind_the_last_run_need_no_comparison() {
        let log = log_with_runs(RUNS);
        log.pragma_update(None, "foreign_keys", false).unwrap();
        assert!(!may_hold_events(&log).unwrap(), "there is no event");
        let add = |id: i64| {
            log.execute("UPDATE head SET id = ?1 - 1", [id]).unwrap();
            log.execute(
                "INSERT INTO event (id, event_id, occurred_at, recorded_at, recorder, tenant, source, \
                 severity, action, own, salt, hash) VALUES (?1, ?1, 0, 0, 1, 0, 0, 0, 1, 0, x'', x'')",
                [id],
            )
            .unwrap();
        };
        add(21);
        assert!(!may_hold_events(&log).unwrap());
        log.execute("INSERT INTO gap VALUES (21, 22, zeroblob(32), 2)", []).unwrap();
        assert!(may_hold_events(&log).unwrap());
        log.execute("DELETE FROM gap", []).unwrap();
        log.execute("UPDATE head SET sweep = 3", []).unwrap();
        assert!(may_hold_events(&log).unwrap(), "the newest sweep removes up to 90");
    }

    /// However many runs there are, an id costs a search and no scan.
    #[test]
    fn a_run_is_found_by_its_key() {
        let log = log_with_runs(RUNS);
        let mut statement = log
            .prepare(concat!("EXPLAIN QUERY PLAN SELECT id FROM event WHERE ", not_swept!()))
            .unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(3)).unwrap();
        let plan = rows.collect::<rusqlite::Result<Vec<_>>>().unwrap().join("\n");
        assert!(plan.contains("SEARCH gap USING INTEGER PRIMARY KEY (rowid<?)"), "{plan}");
        assert!(plan.contains("SEARCH removal USING PRIMARY KEY (sweep=? AND first<?)"), "{plan}");
        assert!(!plan.contains("TEMP B-TREE") && !plan.contains("MULTI-INDEX"), "{plan}");
    }
}
