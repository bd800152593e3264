//! A second walk of the chain, written from its description in `docs/log-format.md` and not with the
//! program's code.
//!
//! It reads the tables as any program could, computes every commitment and link anew, and compares
//! them with what is stored, up to the head. Where events are missing it goes on from the hash that
//! a sweep left, and compares all such runs with the newest sweep's event. Of a removal that is under way
//! it takes what is left only if that leads to the end of the run.

use ring::digest::SHA256;
use ring::digest::digest;
use rusqlite::Connection;
use rusqlite::Row;
use rusqlite::types::Value;

const EVENTS: &str = "
SELECT event.id, event.event_id, event.occurred_at, event.recorded_at, recorder.text, tenant.text,
  event.source, event.severity, action.module, action.slug,
  actor.salt, actor.id, actor.label, actor.digest,
  impersonator.salt, impersonator.id, impersonator.label, impersonator.digest,
  target.type, target.salt, target.id, target.label, target.digest,
  agent.salt, agent.text, agent.digest,
  event.method, event.endpoint, event.status,
  event.salt, title.text, event.description, event.diff, event.payload, event.ip, event.session_id,
  event.own, event.hash
FROM event
LEFT JOIN recorder ON recorder.key = event.recorder
LEFT JOIN tenant ON tenant.key = event.tenant
LEFT JOIN action ON action.key = event.action
LEFT JOIN actor ON actor.key = event.actor
LEFT JOIN actor AS impersonator ON impersonator.key = event.impersonator
LEFT JOIN target ON target.key = event.target
LEFT JOIN agent ON agent.key = event.agent
LEFT JOIN title ON title.key = event.title
ORDER BY event.id";

/// Walks the whole chain.
///
/// # Errors
/// The first fault, with the event's id.
pub(crate) fn verify_chain(sql: &Connection) -> Result<(), String> {
    let uuid: Vec<u8> = sql
        .query_row("SELECT value FROM meta WHERE key = 'uuid'", [], |row| row.get(0))
        .map_err(|why| format!("no uuid: {why}"))?;
    let mut hash = sha256(&[b"activity-genesis-v1\0", &uuid]);
    let mut last = 0_i64;
    let mut gaps = vouched_gaps(sql)?.into_iter().peekable();
    let mut statement = sql.prepare(EVENTS).unwrap();
    let mut rows = statement.query([]).unwrap();
    let mut left: Option<Remainder> = None;
    while let Some(row) = rows.next().map_err(|why| why.to_string())? {
        let mut columns = RowCursor { row, index: 0 };
        let id = columns.integer();
        while let Some(gap) = gaps.next_if(|gap| gap.first == last + 1 && gap.first <= id) {
            Remainder::end(left.take())?;
            left = Remainder::of(sql, &gap, &hash);
            (last, hash) = (gap.last, gap.hash);
        }
        if id <= last {
            let Some(left) = &mut left else { return Err(format!("event {id} was swept")) };
            left.next(sql, id, &mut columns)?;
            continue;
        }
        if id != last + 1 {
            return Err(format!("event {} is missing", last + 1));
        }
        hash = next_hash(&hash, id, &mut columns)?;
        last = id;
    }
    Remainder::end(left)?;
    if let Some(gap) = gaps.next() {
        return Err(format!("the run from {} is nowhere", gap.first));
    }
    let head: (i64, Vec<u8>) = sql
        .query_row("SELECT id, hash FROM head", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(|why| format!("no head: {why}"))?;
    if head == (last, hash) { Ok(()) } else { Err(format!("the head is {}, not {last}", head.0)) }
}

/// Returns the hash of the next event, which must be the stored one.
fn next_hash(hash: &[u8], id: i64, columns: &mut RowCursor<'_>) -> Result<Vec<u8>, String> {
    let content = content_hash(columns).map_err(|why| format!("event {id}: {why}"))?;
    let hash = sha256(&[b"activity-link-v1\0", hash, &id.to_be_bytes(), &content]);
    if columns.blob().as_deref() != Some(&hash) {
        return Err(format!("event {id}: its hash is another"));
    }
    Ok(hash)
}

/// What is left of a run that a sweep is removing.
struct Remainder {
    last: i64,
    hash: Vec<u8>,
    any: bool,
    end: (i64, Vec<u8>),
}

impl Remainder {
    /// That of a run, if it is being removed; `before` is the hash before the run.
    fn of(sql: &Connection, run: &Gap, before: &[u8]) -> Option<Self> {
        const SQL: &str = "SELECT removed_to, removed_hash FROM removal, head \
            WHERE removal.sweep = head.sweep AND first = ?1";
        sql.query_row(SQL, [run.first], |row| {
            let hash: Option<Vec<u8>> = row.get(1)?;
            Ok(Self {
                last: row.get(0)?,
                hash: hash.unwrap_or_else(|| before.to_vec()),
                any: false,
                end: (run.last, run.hash.clone()),
            })
        })
        .ok()
    }

    /// Takes an event, after the gaps of earlier sweeps that lie before it.
    fn next(
        &mut self,
        sql: &Connection,
        id: i64,
        columns: &mut RowCursor<'_>,
    ) -> Result<(), String> {
        let gap = |first: i64| {
            sql.query_row("SELECT last, hash FROM gap WHERE first = ?1", [first], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
        };
        while self.last + 1 < id
            && let Ok(passed) = gap(self.last + 1)
        {
            (self.last, self.hash) = passed;
        }
        if id != self.last + 1 {
            return Err(format!("event {id} does not follow what a sweep removed"));
        }
        self.hash = next_hash(&self.hash, id, columns)?;
        (self.last, self.any) = (id, true);
        Ok(())
    }

    fn end(left: Option<Self>) -> Result<(), String> {
        match left {
            Some(left) if left.any && (left.last, &left.hash) != (left.end.0, &left.end.1) => {
                Err(format!("event {} leads to no end of a run", left.last))
            }
            _ => Ok(()),
        }
    }
}

/// The runs that count once a sweep is the newest: what it removes, in place of the gaps within.
const RUNS: &str = "SELECT first, last, hash, sweep FROM gap WHERE NOT EXISTS ( \
      SELECT 1 FROM removal \
      WHERE removal.sweep = ?1 AND gap.first BETWEEN removal.first AND removal.last) \
    UNION ALL SELECT first, last, hash, sweep FROM removal WHERE sweep = ?1 ORDER BY first";

/// A run of events that sweeps removed.
struct Gap {
    first: i64,
    last: i64,
    hash: Vec<u8>,
}

/// The runs that count, which must be those that the newest sweep vouches for.
fn vouched_gaps(sql: &Connection) -> Result<Vec<Gap>, String> {
    let mut bytes = b"activity-gaps-v1\0".to_vec();
    let sweep: i64 = sql.query_row("SELECT sweep FROM head", [], |row| row.get(0)).unwrap();
    let mut statement = sql.prepare(RUNS).unwrap();
    let gaps = statement.query_map([sweep], |row| {
        let gap = Gap { first: row.get(0)?, last: row.get(1)?, hash: row.get(2)? };
        bytes.extend(gap.first.to_be_bytes());
        bytes.extend(gap.last.to_be_bytes());
        bytes.extend(&gap.hash);
        bytes.extend(row.get::<_, i64>(3)?.to_be_bytes());
        Ok(gap)
    });
    let gaps: Vec<Gap> = gaps.unwrap().collect::<Result<_, _>>().map_err(|why| why.to_string())?;
    let hex: String = sha256(&[&bytes]).iter().map(|byte| format!("{byte:02x}")).collect();
    if sweep == 0 {
        return if gaps.is_empty() { Ok(gaps) } else { Err("runs without a sweep".to_owned()) };
    }
    let vouching = "SELECT json_extract(payload, '$.sweep'), json_extract(payload, '$.gaps'), \
        json_extract(payload, '$.gaps_sha256') FROM event \
        JOIN action ON action.key = event.action \
        WHERE slug = 'retention.sweep' AND own = 1 ORDER BY event.id DESC LIMIT 1";
    let vouched: (i64, i64, String) = sql
        .query_row(vouching, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .map_err(|why| format!("no sweep vouches: {why}"))?;
    let wanted = (sweep, i64::try_from(gaps.len()).unwrap(), hex);
    if vouched == wanted {
        Ok(gaps)
    } else {
        Err(format!("{vouched:?} is vouched, not {wanted:?}"))
    }
}

/// Returns the digest over a whole event; reads the columns up to its hash.
fn content_hash(columns: &mut RowCursor<'_>) -> Result<Vec<u8>, String> {
    let mut fields = Vec::new();
    let event_id = columns.value();
    push_tagged(
        &mut fields,
        1,
        if let Value::Blob(bytes) = &event_id { Some(bytes) } else { None },
    );
    push_tagged(
        &mut fields,
        2,
        if let Value::Text(text) = &event_id { Some(text.as_bytes()) } else { None },
    );
    push_tagged(&mut fields, 3, Some(&columns.integer().to_be_bytes()));
    push_tagged(&mut fields, 4, Some(&columns.integer().to_be_bytes()));
    push_tagged(&mut fields, 5, columns.text().as_deref());
    push_tagged(&mut fields, 6, columns.text().as_deref());
    let source = ["operator", "system", "api", "cron"][usize::try_from(columns.integer()).unwrap()];
    push_tagged(&mut fields, 7, Some(source.as_bytes()));
    let severity = ["info", "low", "medium", "high", "critical"];
    let severity = severity[usize::try_from(columns.integer()).unwrap()];
    push_tagged(&mut fields, 8, Some(severity.as_bytes()));
    push_tagged(&mut fields, 9, columns.text().as_deref());
    push_tagged(&mut fields, 10, columns.text().as_deref());
    push_tagged(&mut fields, 11, columns.commitment("party", 2)?.as_deref());
    push_tagged(&mut fields, 12, columns.commitment("party", 2)?.as_deref());
    push_tagged(&mut fields, 13, columns.text().as_deref());
    push_tagged(&mut fields, 14, columns.commitment("target", 2)?.as_deref());
    push_tagged(&mut fields, 15, columns.commitment("agent", 1)?.as_deref());
    push_tagged(&mut fields, 16, columns.text().as_deref());
    push_tagged(&mut fields, 17, columns.text().as_deref());
    push_tagged(&mut fields, 18, columns.integer_bytes().as_deref());
    let salt = columns.blob().ok_or("it has no salt")?;
    let mut body = Vec::new();
    for number in 1..=6 {
        push_tagged(&mut body, number, columns.text().as_deref());
    }
    push_tagged(&mut fields, 19, Some(&sha256(&[b"activity-body-v1\0", &salt, &body])));
    push_tagged(&mut fields, 20, Some(&columns.integer().to_be_bytes()));
    Ok(sha256(&[b"activity-event-v1\0", &fields]))
}

/// The columns of a row, taken one after the other.
struct RowCursor<'a> {
    row: &'a Row<'a>,
    index: usize,
}

impl RowCursor<'_> {
    fn value(&mut self) -> Value {
        self.index += 1;
        self.row.get(self.index - 1).unwrap()
    }

    fn integer(&mut self) -> i64 {
        self.index += 1;
        self.row.get(self.index - 1).unwrap()
    }

    fn blob(&mut self) -> Option<Vec<u8>> {
        self.index += 1;
        self.row.get(self.index - 1).unwrap()
    }

    fn integer_bytes(&mut self) -> Option<Vec<u8>> {
        self.index += 1;
        let number: Option<i64> = self.row.get(self.index - 1).unwrap();
        number.map(|number| number.to_be_bytes().to_vec())
    }

    /// Reads a text; in a dimension the empty text stands for an absent value.
    fn text(&mut self) -> Option<Vec<u8>> {
        self.index += 1;
        let text: Option<String> = self.row.get(self.index - 1).unwrap();
        text.filter(|text| !text.is_empty()).map(String::into_bytes)
    }

    /// The commitment of a dimension row, computed from its salt and texts, which must equal the
    /// stored one. `None`: the event has no such row.
    fn commitment(&mut self, name: &str, texts: u8) -> Result<Option<Vec<u8>>, String> {
        let salt = self.blob();
        let mut fields = Vec::new();
        for number in 1..=texts {
            push_tagged(&mut fields, number, self.text().as_deref());
        }
        let stored = self.blob();
        let Some(salt) = salt else { return Ok(None) };
        let domain = format!("activity-{name}-v1\0");
        let computed = sha256(&[domain.as_bytes(), &salt, &fields]);
        if stored.as_ref() == Some(&computed) {
            Ok(Some(computed))
        } else {
            Err(format!("the digest of its {name} is another"))
        }
    }
}

fn push_tagged(bytes: &mut Vec<u8>, number: u8, value: Option<&[u8]>) {
    bytes.extend([number, u8::from(value.is_some())]);
    let value = value.unwrap_or_default();
    bytes.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
    bytes.extend(value);
}

fn sha256(parts: &[&[u8]]) -> Vec<u8> {
    digest(&SHA256, &parts.concat()).as_ref().to_vec()
}

/// Computes the chain anew from an event on, rows and head, as a skilled attacker does.
pub(crate) fn rehash(sql: &Connection, from: i64) {
    const BEFORE: &str = "SELECT hash FROM event WHERE id = ?1 \
        UNION ALL SELECT hash FROM gap WHERE last = ?1";
    let mut hash: Vec<u8> = sql.query_row(BEFORE, [from - 1], |row| row.get(0)).unwrap();
    let mut contents = Vec::new();
    let mut statement = sql.prepare(EVENTS).unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let mut columns = RowCursor { row, index: 0 };
        let id = columns.integer();
        if id >= from {
            contents.push((id, content_hash(&mut columns).unwrap()));
        }
    }
    for (id, content) in contents {
        hash = sha256(&[b"activity-link-v1\0", &hash, &id.to_be_bytes(), &content]);
        sql.execute("UPDATE event SET hash = ?1 WHERE id = ?2", (&hash, id)).unwrap();
        sql.execute("UPDATE head SET id = ?1, hash = ?2", (id, &hash)).unwrap();
    }
}

/// The digest over the runs that count, as a sweep vouches for it, in hex.
pub(crate) fn gaps_sha256(sql: &Connection, sweep: i64) -> String {
    let mut bytes = b"activity-gaps-v1\0".to_vec();
    let mut statement = sql.prepare(RUNS).unwrap();
    let mut rows = statement.query([sweep]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let number = |column| row.get::<_, i64>(column).unwrap().to_be_bytes();
        bytes.extend(number(0));
        bytes.extend(number(1));
        bytes.extend(row.get::<_, Vec<u8>>(2).unwrap());
        bytes.extend(number(3));
    }
    sha256(&[&bytes]).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use crate::support::Sandbox;
    use crate::support::log::Log;

    #[test]
    fn the_walk_finds_what_a_hand_has_changed() {
        for (hand, found) in [
            ("UPDATE event SET occurred_at = occurred_at + 1 WHERE id = 3", "event 3: its hash"),
            ("UPDATE event SET payload = '{}' WHERE id = 6", "event 6: its hash"),
            ("UPDATE event SET hash = zeroblob(32) WHERE id = 5", "event 5: its hash"),
            ("UPDATE actor SET label = 'Eve' WHERE id = '9'", "event 3: the digest"),
            ("UPDATE action SET slug = 'x.y' WHERE slug = 'page.delete'", "event 5: its hash"),
            ("DELETE FROM event WHERE id = 2", "event 2 is missing"),
            ("DELETE FROM event WHERE id = 8", "the head is 8, not 7"),
            ("UPDATE head SET id = 9", "the head is 9, not 8"),
        ] {
            let sandbox = Sandbox::with_events();
            sandbox.assert_sound_with(8);
            let log = Log::open_to_write(&sandbox.db());
            for trigger in log.query_texts("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
            {
                log.sql.execute(&format!("DROP TRIGGER {trigger}"), []).unwrap();
            }
            assert_eq!(log.sql.execute(hand, []).unwrap(), 1, "{hand}");
            let fault = super::verify_chain(&log.sql).unwrap_err();
            assert!(fault.starts_with(found), "{hand}: {fault}");
        }
    }
}
