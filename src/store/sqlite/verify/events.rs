//! Checks one event: its row, the dimension rows that it refers to, and the content that they make.
//!
//! This reader trusts nothing that the other reader of rows trusts; the two share only the positions
//! of the columns, and what remembers rows by their keys.
//!
//! ## Cost
//! The digest of a dimension row is computed once for as long as the row is remembered.

use std::result::Result as StdResult;

use rusqlite::CachedStatement;
use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Row;
use rusqlite::types::FromSql;
use rusqlite::types::ValueRef;

use crate::chain;
use crate::chain::BodySalt;
use crate::chain::ChainLink;
use crate::chain::EventContent;
use crate::chain::RowSalt;
use crate::chain::Sha256Digest;
use crate::chain::StoredValues;
use crate::event::EventId;
use crate::event::Hash;
use crate::event::Severity;
use crate::event::Source;
use crate::store::sqlite::layout;
use crate::store::sqlite::layout::Column;
use crate::store::sqlite::layout::Dimension;
use crate::store::sqlite::layout::ReferencedKeys;
use crate::store::sqlite::recent_rows::HeldText;
use crate::store::sqlite::recent_rows::RecentRows;
use crate::store::verify::InspectedEvent;
use crate::store::verify::NO_CONTENT;
use crate::text;
use crate::time::Timestamp;

/// A statement about an event that cannot hold for one that nobody touched.
type Flaw = String;

/// The checked rows of one dimension by key; `None` where there is no such row.
type CheckedRows<T> = RecentRows<Option<T>>;

/// A row that enters the chain by commitment.
struct CheckedCommitment {
    digest: Sha256Digest,
    /// Whether salt and texts are those that the digest commits to.
    holds: bool,
}

struct CheckedTarget {
    kind: String,
    commitment: CheckedCommitment,
}

struct CheckedAction {
    slug: String,
    module: String,
}

struct CheckedTitle {
    text: String,
    /// Whether the folded text, in which searches look for words, is that of the text.
    folded_holds: bool,
}

impl HeldText for CheckedCommitment {
    fn text_bytes(&self) -> usize {
        0
    }
}

impl HeldText for CheckedTarget {
    fn text_bytes(&self) -> usize {
        self.kind.len()
    }
}

impl HeldText for CheckedAction {
    fn text_bytes(&self) -> usize {
        self.slug.len() + self.module.len()
    }
}

impl HeldText for CheckedTitle {
    fn text_bytes(&self) -> usize {
        self.text.len()
    }
}

/// The dimension rows that were read.
#[derive(Default)]
pub(super) struct CheckedDimensions {
    recorders: CheckedRows<String>,
    tenants: CheckedRows<String>,
    actions: CheckedRows<CheckedAction>,
    actors: CheckedRows<CheckedCommitment>,
    targets: CheckedRows<CheckedTarget>,
    titles: CheckedRows<CheckedTitle>,
    agents: CheckedRows<CheckedCommitment>,
}

/// The statements that read one row of each dimension.
pub(super) struct RowStatements<'a>(Vec<CachedStatement<'a>>);

impl<'a> RowStatements<'a> {
    pub(super) fn new(connection: &'a Connection) -> rusqlite::Result<Self> {
        let statements = Dimension::ALL
            .iter()
            .map(|dimension| connection.prepare_cached(dimension.statements().select_row));
        statements.collect::<rusqlite::Result<_>>().map(Self)
    }

    fn of(&mut self, dimension: Dimension) -> &mut CachedStatement<'a> {
        &mut self.0[dimension as usize]
    }
}

impl CheckedDimensions {
    /// Reads the rows that an event refers to and that are not here yet.
    fn load_referenced(
        &mut self,
        keys: &ReferencedKeys,
        select: &mut RowStatements<'_>,
    ) -> rusqlite::Result<()> {
        self.make_room();
        let recorder = select.of(Dimension::Recorder);
        load_row(&mut self.recorders, Some(keys.recorder), recorder, |row| row.get("text"))?;
        let tenant = select.of(Dimension::Tenant);
        load_row(&mut self.tenants, Some(keys.tenant), tenant, |row| row.get("text"))?;
        let action = select.of(Dimension::Action);
        load_row(&mut self.actions, Some(keys.action), action, check_action)?;
        let actor = select.of(Dimension::Actor);
        load_row(&mut self.actors, keys.actor, actor, check_actor)?;
        load_row(&mut self.actors, keys.impersonator, actor, check_actor)?;
        let target = select.of(Dimension::Target);
        load_row(&mut self.targets, keys.target, target, check_target)?;
        load_row(&mut self.titles, keys.title, select.of(Dimension::Title), check_title)?;
        load_row(&mut self.agents, keys.agent, select.of(Dimension::Agent), check_agent)?;
        Ok(())
    }

    /// Forgets what is too much to remember. This happens between two events, because one event may
    /// need two rows of a dimension.
    fn make_room(&mut self) {
        self.recorders.make_room();
        self.tenants.make_room();
        self.actions.make_room();
        self.actors.make_room();
        self.targets.make_room();
        self.titles.make_room();
        self.agents.make_room();
    }
}

/// Reads the row with this key unless it was read. A row with values that it cannot have counts as
/// missing.
fn load_row<T: HeldText>(
    rows: &mut CheckedRows<T>,
    key: Option<i64>,
    select: &mut CachedStatement<'_>,
    check: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<()> {
    let Some(key) = key.filter(|key| !rows.renew(*key)) else {
        return Ok(());
    };
    let found = match select.query_row([key], check).optional() {
        Err(error) if !matches!(error, rusqlite::Error::SqliteFailure(..)) => None,
        found => found?,
    };
    rows.insert(key, found);
    Ok(())
}

fn check_action(row: &Row<'_>) -> rusqlite::Result<CheckedAction> {
    Ok(CheckedAction { slug: row.get("slug")?, module: row.get("module")? })
}

fn check_actor(row: &Row<'_>) -> rusqlite::Result<CheckedCommitment> {
    check_commitment(row, chain::party_commitment)
}

fn check_target(row: &Row<'_>) -> rusqlite::Result<CheckedTarget> {
    let commitment = check_commitment(row, chain::target_commitment)?;
    Ok(CheckedTarget { kind: row.get("type")?, commitment })
}

fn check_title(row: &Row<'_>) -> rusqlite::Result<CheckedTitle> {
    let (text, folded): (String, String) = (row.get("text")?, row.get("folded")?);
    Ok(CheckedTitle { folded_holds: is_folded(&text, &folded), text })
}

fn check_agent(row: &Row<'_>) -> rusqlite::Result<CheckedCommitment> {
    let (text, salt): (String, RowSalt) = (row.get("text")?, row.get("salt")?);
    let digest = row.get("digest")?;
    Ok(CheckedCommitment { digest, holds: chain::agent_commitment(&salt, &text) == digest })
}

/// Checks a row that has an id and a label.
fn check_commitment(
    row: &Row<'_>,
    commitment: impl FnOnce(&RowSalt, Option<&str>, Option<&str>) -> Sha256Digest,
) -> rusqlite::Result<CheckedCommitment> {
    let (id, label): (String, String) = (row.get("id")?, row.get("label")?);
    let (salt, digest): (RowSalt, Sha256Digest) = (row.get("salt")?, row.get("digest")?);
    let folded: String = row.get("folded")?;
    let computed = commitment(&salt, non_empty(&id), non_empty(&label));
    Ok(CheckedCommitment { digest, holds: computed == digest && is_folded(&label, &folded) })
}

/// Whether searches look for words in the text that is shown. Where a newer version of Unicode gives
/// a letter another lower case, the stored texts are folded anew by a migration.
fn is_folded(text: &str, folded: &str) -> bool {
    text::fold(text) == folded
}

/// Absent text is empty in a dimension.
fn non_empty(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// Reads one event.
///
/// # Errors
/// The file itself cannot be read. A value that is wrong in the event is a flaw of the event.
pub(super) fn inspect_event(
    row: &Row<'_>,
    id: EventId,
    dimensions: &mut CheckedDimensions,
    select: &mut RowStatements<'_>,
) -> rusqlite::Result<InspectedEvent> {
    let hash = column_value::<[u8; 32]>(row, Column::hash, "hash");
    let recorded_at =
        column_value::<i64>(row, Column::recorded_at, "recorded_at").map(Timestamp::from_nanos);
    let content = match ReferencedKeys::read(row, |noun, _| invalid_value(noun)) {
        Ok(keys) => {
            dimensions.load_referenced(&keys, select)?;
            content_digest(row, &keys, dimensions)
        }
        Err(flaw) => Err(flaw),
    };
    Ok(match (content, hash, recorded_at) {
        (Ok((content, flaw)), Ok(hash), Ok(recorded_at)) => {
            InspectedEvent { link: ChainLink { id, content, hash: Hash(hash) }, recorded_at, flaw }
        }
        (content, hash, recorded_at) => {
            let flaw =
                content.as_ref().err().or(hash.as_ref().err()).or(recorded_at.as_ref().err());
            InspectedEvent {
                flaw: flaw.cloned(),
                link: ChainLink { id, content: NO_CONTENT, hash: Hash(hash.unwrap_or([0; 32])) },
                recorded_at: recorded_at.unwrap_or(Timestamp::from_nanos(0)),
            }
        }
    })
}

/// The rows that one event refers to.
struct ReferencedRows<'a> {
    recorder: &'a str,
    tenant: &'a str,
    action: &'a CheckedAction,
    actor: Option<&'a CheckedCommitment>,
    impersonator: Option<&'a CheckedCommitment>,
    target: Option<&'a CheckedTarget>,
    title: Option<&'a CheckedTitle>,
    agent: Option<&'a CheckedCommitment>,
}

impl<'a> ReferencedRows<'a> {
    fn find(keys: &ReferencedKeys, dimensions: &'a CheckedDimensions) -> StdResult<Self, Flaw> {
        Ok(Self {
            actor: optional_row(&dimensions.actors, keys.actor, "actor")?,
            impersonator: optional_row(&dimensions.actors, keys.impersonator, "impersonator")?,
            target: optional_row(&dimensions.targets, keys.target, "target")?,
            title: optional_row(&dimensions.titles, keys.title, "title")?,
            agent: optional_row(&dimensions.agents, keys.agent, "user agent")?,
            action: referenced_row(&dimensions.actions, keys.action, "action")?,
            recorder: referenced_row(&dimensions.recorders, keys.recorder, "recorder")?,
            tenant: referenced_row(&dimensions.tenants, keys.tenant, "tenant")?,
        })
    }

    /// The first row that does not hold.
    fn flaw(&self) -> Option<Flaw> {
        let target = self.target.map(|row| &row.commitment);
        let holds = |row: Option<&CheckedCommitment>| row.is_none_or(|row| row.holds);
        let checks = [
            (holds(self.actor), "its actor's id or label"),
            (holds(self.impersonator), "its impersonator's id or label"),
            (holds(target), "its target's id or label"),
            (
                self.title.is_none_or(|row| row.folded_holds),
                "the form of its title that words are searched in",
            ),
            (holds(self.agent), "its user agent"),
        ];
        let (_, name) = checks.into_iter().find(|(holds, _)| !holds)?;
        Some(format!("{name} is not what was hashed"))
    }
}

/// The digest of an event's content, and the first of its rows that does not hold.
fn content_digest(
    row: &Row<'_>,
    keys: &ReferencedKeys,
    dimensions: &CheckedDimensions,
) -> StdResult<(Sha256Digest, Option<Flaw>), Flaw> {
    let rows = ReferencedRows::find(keys, dimensions)?;
    let mut uuid = uuid::Uuid::encode_buffer();
    let content = EventContent {
        event_id: read_event_id(row, &mut uuid)?,
        salt: column_value::<BodySalt>(row, Column::salt, "salt")?,
        values: read_values(row)?,
        own: match column_value(row, Column::own, "mark of the log's own")? {
            0_i64 => false,
            1 => true,
            _ => return Err(invalid_value("mark of the log's own")),
        },
        occurred_at: column_value(row, Column::occurred_at, "occurred_at")
            .map(Timestamp::from_nanos)?,
        recorded_at: column_value(row, Column::recorded_at, "recorded_at")
            .map(Timestamp::from_nanos)?,
        recorded_by: rows.recorder,
        tenant: non_empty(rows.tenant),
        source: numbered(row, Column::source, "source", &Source::ALL)?,
        severity: numbered(row, Column::severity, "severity", &Severity::ALL)?,
        module: non_empty(&rows.action.module),
        action: &rows.action.slug,
        title: rows.title.map(|title| title.text.as_str()),
        actor: rows.actor.map(|actor| actor.digest),
        impersonator: rows.impersonator.map(|impersonator| impersonator.digest),
        target_type: rows.target.and_then(|target| non_empty(&target.kind)),
        target: rows.target.map(|target| target.commitment.digest),
        agent: rows.agent.map(|agent| agent.digest),
    };
    Ok((content.digest(), rows.flaw()))
}

fn read_event_id<'a>(row: &'a Row<'_>, buffer: &'a mut [u8]) -> StdResult<&'a str, Flaw> {
    match row.get_ref(Column::event_id.position()) {
        Ok(ValueRef::Blob(bytes)) => {
            let id = uuid::Uuid::from_slice(bytes).map_err(|_| invalid_value("event_id"))?;
            let text: &str = id.hyphenated().encode_lower(buffer);
            Ok(text)
        }
        // A UUID as text would not be found again by its bytes.
        Ok(ValueRef::Text(bytes)) => str::from_utf8(bytes)
            .ok()
            .filter(|text| chain::parse_canonical_uuid(text).is_none())
            .ok_or_else(|| invalid_value("event_id")),
        Ok(ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_)) | Err(_) => {
            Err(invalid_value("event_id"))
        }
    }
}

macro_rules! read_value {
    (text $row:ident $column:ident $name:expr) => {
        column_text($row, Column::$column, $name)
    };
    (json $row:ident $column:ident $name:expr) => {
        column_text($row, Column::$column, $name)
    };
    (status $row:ident $column:ident $name:expr) => {
        column_value($row, Column::$column, $name)
    };
}

/// Reads the values that stand in the row as they are.
fn read_values<'a>(row: &'a Row<'_>) -> StdResult<StoredValues<'a>, Flaw> {
    macro_rules! read_all {
        ($($column:ident $field:ident $kind:ident,)*) => {
            StoredValues { $($field: read_value!($kind row $column stringify!($field))?,)* }
        };
    }
    Ok(layout::for_values!(read_all))
}

fn invalid_value(name: &str) -> Flaw {
    format!("its {name} is invalid")
}

fn column_value<T: FromSql>(row: &Row<'_>, column: Column, name: &str) -> StdResult<T, Flaw> {
    row.get(column.position()).map_err(|_| invalid_value(name))
}

fn column_text<'a>(
    row: &'a Row<'_>,
    column: Column,
    name: &str,
) -> StdResult<Option<&'a str>, Flaw> {
    match row.get_ref(column.position()) {
        Ok(ValueRef::Null) => Ok(None),
        Ok(ValueRef::Text(bytes)) => {
            str::from_utf8(bytes).map(Some).map_err(|_| invalid_value(name))
        }
        _ => Err(invalid_value(name)),
    }
}

/// Reads a value that is stored as its number in the list of all.
fn numbered<T: Copy>(row: &Row<'_>, column: Column, name: &str, all: &[T]) -> StdResult<T, Flaw> {
    let number = usize::from(column_value::<u8>(row, column, name)?);
    all.get(number).copied().ok_or_else(|| invalid_value(name))
}

fn referenced_row<'a, T: HeldText>(
    rows: &'a CheckedRows<T>,
    key: i64,
    name: &str,
) -> StdResult<&'a T, Flaw> {
    let found = rows.get(key).and_then(Option::as_ref);
    found.ok_or_else(|| format!("the {name} that it refers to is not there, or damaged"))
}

fn optional_row<'a, T: HeldText>(
    rows: &'a CheckedRows<T>,
    key: Option<i64>,
    name: &str,
) -> StdResult<Option<&'a T>, Flaw> {
    key.map(|key| referenced_row(rows, key, name)).transpose()
}
