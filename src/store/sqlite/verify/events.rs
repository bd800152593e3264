//! One event as its row has it, with the rows that it refers to.
//!
//! What depends on a row of a dimension is computed once per row, and remembered within bounds: memory
//! stays flat.

use std::collections::HashMap;
use std::result::Result as StdResult;

use rusqlite::CachedStatement;
use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Row;
use rusqlite::types::FromSql;
use rusqlite::types::ValueRef;

use crate::chain;
use crate::chain::Body;
use crate::chain::ChainLink;
use crate::chain::EventContent;
use crate::chain::Sha256Digest;
use crate::event::EventId;
use crate::event::Hash;
use crate::event::Severity;
use crate::event::Source;
use crate::store::verify::InspectedEvent;
use crate::store::verify::NO_CONTENT;
use crate::text;
use crate::time::Timestamp;

/// What cannot be so in an event that nobody touched.
type Flaw = String;

/// How many rows of one dimension are remembered.
const MAX_CACHED_ROWS: usize = 1 << 16;

/// What an event takes from a row of a dimension, by key; `None` where there is no such row.
type CheckedRows<T> = HashMap<i64, Option<T>>;

/// A row that enters the chain by commitment.
struct CheckedCommitment {
    digest: Sha256Digest,
    /// Whether salt and texts are those that it commits to.
    holds: bool,
}

/// The rows that were read.
#[derive(Default)]
pub(super) struct CheckedDimensions {
    recorders: CheckedRows<String>,
    tenants: CheckedRows<String>,
    /// Slug and module.
    actions: CheckedRows<(String, String)>,
    actors: CheckedRows<CheckedCommitment>,
    /// With the type.
    targets: CheckedRows<(String, CheckedCommitment)>,
    /// The text, and whether words are searched in the same.
    titles: CheckedRows<(String, bool)>,
    agents: CheckedRows<CheckedCommitment>,
}

/// The statements that find them.
pub(super) struct DimensionStatements<'a> {
    recorder: CachedStatement<'a>,
    tenant: CachedStatement<'a>,
    action: CachedStatement<'a>,
    actor: CachedStatement<'a>,
    target: CachedStatement<'a>,
    title: CachedStatement<'a>,
    agent: CachedStatement<'a>,
}

impl<'a> DimensionStatements<'a> {
    pub(super) fn new(connection: &'a Connection) -> rusqlite::Result<Self> {
        let find = |sql| connection.prepare_cached(sql);
        Ok(Self {
            recorder: find("SELECT text FROM recorder WHERE key = ?1")?,
            tenant: find("SELECT text FROM tenant WHERE key = ?1")?,
            action: find("SELECT slug, module FROM action WHERE key = ?1")?,
            actor: find("SELECT id, label, salt, digest, folded FROM actor WHERE key = ?1")?,
            target: find(
                "SELECT id, label, salt, digest, folded, type FROM target WHERE key = ?1",
            )?,
            title: find("SELECT text, folded FROM title WHERE key = ?1")?,
            agent: find("SELECT text, salt, digest FROM agent WHERE key = ?1")?,
        })
    }
}

/// Clears a shelf that is full. Between two events, for one may need two rows of it.
fn clear_if_full<T>(shelf: &mut CheckedRows<T>) {
    if shelf.len() >= MAX_CACHED_ROWS {
        shelf.clear();
    }
}

/// Puts the row with that key on its shelf. A row that cannot be what it should is not there.
fn load_row<T>(
    shelf: &mut CheckedRows<T>,
    key: Option<i64>,
    find: &mut CachedStatement<'_>,
    make: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<()> {
    let Some(key) = key.filter(|key| !shelf.contains_key(key)) else {
        return Ok(());
    };
    let found = match find.query_row([key], make).optional() {
        Err(why) if !matches!(why, rusqlite::Error::SqliteFailure(..)) => None,
        found => found?,
    };
    shelf.insert(key, found);
    Ok(())
}

fn read_party(row: &Row<'_>) -> rusqlite::Result<CheckedCommitment> {
    check_commitment(row, chain::party_commitment)
}

fn read_target(row: &Row<'_>) -> rusqlite::Result<(String, CheckedCommitment)> {
    Ok((row.get(5)?, check_commitment(row, chain::target_commitment)?))
}

fn check_commitment(
    row: &Row<'_>,
    digest: impl FnOnce(&chain::RowSalt, Option<&str>, Option<&str>) -> Sha256Digest,
) -> rusqlite::Result<CheckedCommitment> {
    let (id, label): (String, String) = (row.get(0)?, row.get(1)?);
    let (salt, stored): (chain::RowSalt, Sha256Digest) = (row.get(2)?, row.get(3)?);
    let computed = digest(&salt, non_empty(&id), non_empty(&label));
    let folded: String = row.get(4)?;
    Ok(CheckedCommitment {
        digest: stored,
        holds: computed == stored && is_folded(&label, &folded),
    })
}

fn read_agent(row: &Row<'_>) -> rusqlite::Result<CheckedCommitment> {
    let (text, salt, stored): (String, chain::RowSalt, Sha256Digest) =
        (row.get(0)?, row.get(1)?, row.get(2)?);
    Ok(CheckedCommitment { digest: stored, holds: chain::agent_commitment(&salt, &text) == stored })
}

/// Whether words are searched in what is shown. Unicode may fold a letter differently one day, ASCII
/// does not: only there is another form somebody's doing.
fn is_folded(text: &str, folded: &str) -> bool {
    !text.is_ascii() || text::fold(text) == folded
}

/// Absent text is empty in a dimension.
fn non_empty(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// Reads one event.
///
/// # Errors
/// That the file itself cannot be read; what is wrong with the event is a flaw of it.
pub(super) fn inspect_event(
    row: &Row<'_>,
    id: EventId,
    dimensions: &mut CheckedDimensions,
    lookup: &mut DimensionStatements<'_>,
) -> rusqlite::Result<InspectedEvent> {
    let hash = column_value::<[u8; 32]>(row, 24, "hash");
    let recorded_at = column_value::<i64>(row, 3, "recorded_at").map(Timestamp::from_nanos);
    let sealed = |content, hash| ChainLink { id, content, hash };
    let content = match ReferencedKeys::read(row) {
        Ok(keys) => {
            dimensions.load_referenced(&keys, lookup)?;
            content_digest(row, &keys, dimensions)
        }
        Err(flaw) => Err(flaw),
    };
    let none = Hash([0; 32]);
    Ok(match (content, hash, recorded_at) {
        (Ok((content, flaw)), Ok(hash), Ok(recorded_at)) => {
            InspectedEvent { link: sealed(content, Hash(hash)), recorded_at, flaw }
        }
        (content, hash, recorded_at) => {
            let flaw =
                content.as_ref().err().or(hash.as_ref().err()).or(recorded_at.as_ref().err());
            InspectedEvent {
                flaw: flaw.cloned(),
                link: sealed(NO_CONTENT, hash.map_or(none, Hash)),
                recorded_at: recorded_at.unwrap_or(Timestamp::from_nanos(0)),
            }
        }
    })
}

/// What an event refers to.
struct ReferencedKeys {
    recorder: i64,
    tenant: i64,
    action: i64,
    actor: Option<i64>,
    impersonator: Option<i64>,
    target: Option<i64>,
    title: Option<i64>,
    agent: Option<i64>,
}

impl ReferencedKeys {
    fn read(row: &Row<'_>) -> StdResult<Self, Flaw> {
        Ok(Self {
            recorder: column_value(row, 4, "recorder")?,
            tenant: column_value(row, 5, "tenant")?,
            action: column_value(row, 8, "action")?,
            actor: column_value(row, 9, "actor")?,
            impersonator: column_value(row, 10, "impersonator")?,
            target: column_value(row, 11, "target")?,
            title: column_value(row, 12, "title")?,
            agent: column_value(row, 13, "user agent")?,
        })
    }
}

impl CheckedDimensions {
    /// Reads the rows that an event refers to and that are not here yet.
    fn load_referenced(
        &mut self,
        keys: &ReferencedKeys,
        lookup: &mut DimensionStatements<'_>,
    ) -> rusqlite::Result<()> {
        clear_if_full(&mut self.recorders);
        clear_if_full(&mut self.tenants);
        clear_if_full(&mut self.actions);
        clear_if_full(&mut self.actors);
        clear_if_full(&mut self.targets);
        clear_if_full(&mut self.titles);
        clear_if_full(&mut self.agents);
        load_row(&mut self.recorders, Some(keys.recorder), &mut lookup.recorder, |row| row.get(0))?;
        load_row(&mut self.tenants, Some(keys.tenant), &mut lookup.tenant, |row| row.get(0))?;
        load_row(&mut self.actions, Some(keys.action), &mut lookup.action, |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        load_row(&mut self.actors, keys.actor, &mut lookup.actor, read_party)?;
        load_row(&mut self.actors, keys.impersonator, &mut lookup.actor, read_party)?;
        load_row(&mut self.targets, keys.target, &mut lookup.target, read_target)?;
        load_row(&mut self.titles, keys.title, &mut lookup.title, |row| {
            let (text, folded): (String, String) = (row.get(0)?, row.get(1)?);
            let same = is_folded(&text, &folded);
            Ok((text, same))
        })?;
        load_row(&mut self.agents, keys.agent, &mut lookup.agent, read_agent)
    }
}

/// The digest of what an event says, and the first of its rows that does not hold.
fn content_digest(
    row: &Row<'_>,
    keys: &ReferencedKeys,
    dimensions: &CheckedDimensions,
) -> StdResult<(Sha256Digest, Option<Flaw>), Flaw> {
    let mut flaw = None;
    let mut check = |holds: bool, what: &str| {
        if !holds && flaw.is_none() {
            flaw = Some(format!("{what} is not what was hashed"));
        }
    };
    let actor = optional_referenced_row(&dimensions.actors, keys.actor, "actor")?;
    let impersonator =
        optional_referenced_row(&dimensions.actors, keys.impersonator, "impersonator")?;
    let target = optional_referenced_row(&dimensions.targets, keys.target, "target")?;
    let title = optional_referenced_row(&dimensions.titles, keys.title, "title")?;
    let agent = optional_referenced_row(&dimensions.agents, keys.agent, "user agent")?;
    check(actor.is_none_or(|row| row.holds), "its actor's id or label");
    check(impersonator.is_none_or(|row| row.holds), "its impersonator's id or label");
    check(target.is_none_or(|(_, row)| row.holds), "its target's id or label");
    check(title.is_none_or(|(_, same)| *same), "the form of its title that words are searched in");
    check(agent.is_none_or(|row| row.holds), "its user agent");
    let (slug, module) = referenced_row(&dimensions.actions, keys.action, "action")?;

    let mut uuid = uuid::Uuid::encode_buffer();
    let event_id = match row.get_ref(1) {
        Ok(ValueRef::Blob(bytes)) => {
            let id = uuid::Uuid::from_slice(bytes).map_err(|_| invalid_value("event_id"))?;
            &*id.hyphenated().encode_lower(&mut uuid)
        }
        // A UUID as text would not be found again by its bytes.
        Ok(ValueRef::Text(bytes)) => str::from_utf8(bytes)
            .ok()
            .filter(|text| chain::parse_canonical_uuid(text).is_none())
            .ok_or_else(|| invalid_value("event_id"))?,
        _ => return Err(invalid_value("event_id")),
    };
    let salt: chain::BodySalt = column_value(row, 23, "salt")?;
    let body = Body {
        title: title.map(|(text, _)| text.as_str()),
        description: column_text(row, 19, "description")?,
        diff: column_text(row, 20, "diff")?,
        payload: column_text(row, 21, "payload")?,
        ip: column_text(row, 17, "ip")?,
        session_id: column_text(row, 18, "session_id")?,
    };
    let one_of = |column, name| column_value::<u8>(row, column, name).map(usize::from);
    let own: i64 = column_value(row, 22, "mark of the log's own")?;
    if !matches!(own, 0 | 1) {
        return Err(invalid_value("mark of the log's own"));
    }
    let digest = EventContent {
        event_id,
        occurred_at: Timestamp::from_nanos(column_value(row, 2, "occurred_at")?),
        recorded_at: Timestamp::from_nanos(column_value(row, 3, "recorded_at")?),
        recorded_by: referenced_row(&dimensions.recorders, keys.recorder, "recorder")?,
        tenant: non_empty(referenced_row(&dimensions.tenants, keys.tenant, "tenant")?),
        source: *Source::ALL.get(one_of(6, "source")?).ok_or_else(|| invalid_value("source"))?,
        severity: *Severity::ALL
            .get(one_of(7, "severity")?)
            .ok_or_else(|| invalid_value("severity"))?,
        module: non_empty(module),
        action: slug,
        actor: actor.map(|row| row.digest),
        impersonator: impersonator.map(|row| row.digest),
        target_type: target.and_then(|(kind, _)| non_empty(kind)),
        target: target.map(|(_, row)| row.digest),
        agent: agent.map(|row| row.digest),
        method: column_text(row, 15, "method")?,
        endpoint: column_text(row, 16, "endpoint")?,
        status_code: column_value(row, 14, "status_code")?,
        body: body.digest(&salt),
        own: own == 1,
    }
    .digest();
    Ok((digest, flaw))
}

fn invalid_value(name: &str) -> Flaw {
    format!("it has no {name} that there can be")
}

fn column_value<T: FromSql>(row: &Row<'_>, column: usize, name: &str) -> StdResult<T, Flaw> {
    row.get(column).map_err(|_| invalid_value(name))
}

fn column_text<'a>(
    row: &'a Row<'_>,
    column: usize,
    name: &str,
) -> StdResult<Option<&'a str>, Flaw> {
    match row.get_ref(column) {
        Ok(ValueRef::Null) => Ok(None),
        Ok(ValueRef::Text(bytes)) => {
            str::from_utf8(bytes).map(Some).map_err(|_| invalid_value(name))
        }
        _ => Err(invalid_value(name)),
    }
}

fn referenced_row<'a, T>(
    shelf: &'a CheckedRows<T>,
    key: i64,
    name: &str,
) -> StdResult<&'a T, Flaw> {
    let found = shelf.get(&key).and_then(Option::as_ref);
    found.ok_or_else(|| format!("the {name} that it refers to is not there, or damaged"))
}

fn optional_referenced_row<'a, T>(
    shelf: &'a CheckedRows<T>,
    key: Option<i64>,
    name: &str,
) -> StdResult<Option<&'a T>, Flaw> {
    key.map(|key| referenced_row(shelf, key, name)).transpose()
}
