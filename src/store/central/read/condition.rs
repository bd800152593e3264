//! Compiles the terms of a query to conditions on rows of a central store.
//!
//! A condition is exact, or it lets more rows through than the term: then [`Query::matches`] decides on
//! each. What a query means is never left to the server: names are compared by the keys and words that
//! the mirror folded, and no function of the server knows letter case.
//!
//! [`Query::matches`]: crate::query::Query::matches

use crate::chain;
use crate::event;
use crate::event::Source;
use crate::query::Predicate;
use crate::query::TextField;
use crate::query::pattern::NamePattern;
use crate::query::pattern::Pattern;
use crate::query::pattern::TargetPattern;
use crate::query::value::AddressSet;
use crate::query::value::EventProperty;
use crate::query::value::PlaceRange;
use crate::query::value::PresentField;
use crate::query::value::ValueRange;
use crate::query::value::log_names;
use crate::store;
use crate::store::central::read::fragment::Fragment;
use crate::store::central::read::fragment::SqlDialect;
use crate::store::central::read::fragment::SqlValue;
use crate::store::central::read::origin::NamedOrigin;
use crate::store::central::row::label_key;

/// A condition on rows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Condition {
    pub sql: Fragment,
    /// Whether it holds for the very rows of its term, and not for more.
    pub is_exact: bool,
    /// Conditions that an index leads to, each in the order of time, if together they are this one.
    pub walks: Option<Vec<Fragment>>,
}

impl Condition {
    fn exact(sql: Fragment) -> Self {
        Self { sql, is_exact: true, walks: None }
    }

    fn wider(sql: Fragment) -> Self {
        Self { sql, is_exact: false, walks: None }
    }

    fn exact_text(sql: &str) -> Self {
        Self::exact(Fragment::new(sql))
    }

    /// A condition that an index leads to.
    fn walk(sql: Fragment) -> Self {
        Self { walks: Some(vec![sql.clone()]), ..Self::exact(sql) }
    }

    fn both(a: &Self, b: &Self) -> Self {
        let mut sql = Fragment::new("(");
        sql.append(&a.sql).add(" AND ").append(&b.sql).add(")");
        Self { sql, is_exact: a.is_exact && b.is_exact, walks: None }
    }

    /// Holds where the term does not. Where the condition is wider than its term, nothing is said.
    pub(super) fn negated(self, dialect: SqlDialect) -> Self {
        if !self.is_exact {
            return Self::wider(Fragment::new(always(dialect)));
        }
        let (before, behind) = match dialect {
            SqlDialect::Postgres => ("(", " IS NOT TRUE)"),
            SqlDialect::ClickHouse => ("(NOT ifNull(", ", 0))"),
        };
        let mut sql = Fragment::new(before);
        sql.append(&self.sql).add(behind);
        Self::exact(sql)
    }
}

/// Returns the condition that holds for every row.
pub(super) fn always(dialect: SqlDialect) -> &'static str {
    match dialect {
        SqlDialect::Postgres => "TRUE",
        SqlDialect::ClickHouse => "1",
    }
}

/// Returns the condition that holds for no row.
pub(super) fn never(dialect: SqlDialect) -> &'static str {
    match dialect {
        SqlDialect::Postgres => "FALSE",
        SqlDialect::ClickHouse => "0",
    }
}

/// What decides how a term is compiled, beside itself.
#[derive(Clone, Copy)]
pub(super) struct Compiler<'a> {
    pub dialect: SqlDialect,
    pub origins: &'a [NamedOrigin],
}

/// The columns of a person, and whether the words have their label.
struct PartyColumns {
    id: &'static str,
    label: &'static str,
    key: &'static str,
    in_words: bool,
}

const ACTOR: PartyColumns =
    PartyColumns { id: "actor_id", label: "actor_label", key: "actor_key", in_words: true };
const IMPERSONATOR: PartyColumns = PartyColumns {
    id: "impersonator_id",
    label: "impersonator_label",
    key: "impersonator_key",
    in_words: false,
};
const TARGET: PartyColumns =
    PartyColumns { id: "target_id", label: "target_label", key: "target_key", in_words: true };

impl Compiler<'_> {
    pub(super) fn compile(self, predicate: &Predicate) -> Condition {
        match predicate {
            Predicate::Actor(names) => self.names(&ACTOR, names),
            Predicate::Impersonator(names) => self.names(&IMPERSONATOR, names),
            Predicate::Person(names) => {
                self.any_of([self.names(&ACTOR, names), self.names(&IMPERSONATOR, names)])
            }
            Predicate::NotSystemOr(names) => self.any_of([
                Condition::exact_text("source NOT IN (1, 3)"),
                self.names(&ACTOR, names),
                self.names(&IMPERSONATOR, names),
            ]),
            Predicate::Target(records) => {
                self.any_of(records.iter().map(|record| self.target(record)))
            }
            Predicate::Text(field, patterns) => {
                let conditions = patterns.iter().map(|pattern| self.text(*field, pattern));
                self.any_of(conditions)
            }
            Predicate::Payload { key, values } => self.payload(key, values),
            Predicate::Id(ranges) => self.any_of(ranges.iter().map(|range| self.place(range))),
            Predicate::Source(sources) => {
                self.any_of(sources.iter().map(|source| self.source(*source)))
            }
            Predicate::Severity(ranges) => self.ranges("severity", ranges, store::severity_number),
            Predicate::Status(ranges) => self.ranges("status_code", ranges, i64::from),
            Predicate::Ip(addresses) => {
                self.any_of(addresses.iter().map(|addresses| self.addresses(addresses)))
            }
            Predicate::Is(all) => self.any_of(all.iter().map(|is| self.property(*is))),
            Predicate::Has(fields) => self.any_of(fields.iter().map(|field| self.presence(*field))),
            Predicate::Changed(names) => {
                let texts = names.iter().map(|name| self.json_text("diff", &[], name));
                self.any_of(texts)
            }
            Predicate::Occurred(ranges) => self.ranges("occurred_at", ranges, |at| at.as_nanos()),
            Predicate::Recorded(ranges) => self.ranges("recorded_at", ranges, |at| at.as_nanos()),
            Predicate::Phrase(pattern) => self.words(pattern),
        }
    }

    /// Holds where any of the conditions does.
    fn any_of(self, conditions: impl IntoIterator<Item = Condition>) -> Condition {
        let conditions: Vec<Condition> = conditions.into_iter().collect();
        let is_exact = conditions.iter().all(|condition| condition.is_exact);
        let walks = conditions.iter().map(|condition| condition.walks.clone());
        let walks = walks.collect::<Option<Vec<_>>>().map(|walks| walks.concat());
        let sql = conditions.into_iter().map(|condition| condition.sql);
        Condition { sql: Fragment::joined(sql, " OR ", never(self.dialect)), is_exact, walks }
    }

    fn is_postgres(self) -> bool {
        self.dialect == SqlDialect::Postgres
    }

    fn present(self, column: &str) -> Fragment {
        match column {
            // No tenant is an empty one.
            "tenant" => Fragment::new("tenant <> ''"),
            "status_code" if !self.is_postgres() => Fragment::new("status_code <> 0"),
            _ => Fragment::new(format!("{column} IS NOT NULL")),
        }
    }

    /// The values of a column that match a pattern, in the very case.
    fn matching(self, column: &str, pattern: &Pattern) -> Condition {
        let mut sql = Fragment::new(column);
        if let Some(text) = pattern.as_literal() {
            sql.add(" = ").bind(SqlValue::Text(text.to_owned()));
            if column == "tenant" && text.is_empty() {
                return Condition::exact_text(never(self.dialect));
            }
            return match column {
                "actor_id" | "impersonator_id" | "target_id" | "action" => Condition::walk(sql),
                _ => Condition::exact(sql),
            };
        }
        if pattern.matches_everything() {
            return Condition::exact(self.present(column));
        }
        sql.add(" LIKE ").bind(self.like(pattern.pieces(), ["", ""]));
        if column == "tenant" {
            let mut both = Fragment::new("(tenant <> '' AND ");
            both.append(&sql).add(")");
            return self.unless_cut(Condition::exact(both), pattern);
        }
        self.unless_cut(Condition::exact(sql), pattern)
    }

    /// A text of PostgreSQL has a pair of characters where one cannot stand. A piece that begins with
    /// the second of a pair may be found in the middle of one.
    fn unless_cut(self, condition: Condition, pattern: &Pattern) -> Condition {
        let may_be_cut = |piece: &String| piece.starts_with(['0', '1']);
        let behind_a_star = pattern.pieces().iter().skip(1);
        if self.is_postgres() && behind_a_star.into_iter().any(may_be_cut) {
            return Condition { is_exact: false, ..condition };
        }
        condition
    }

    /// Returns a pattern of LIKE: the pieces with anything between them.
    fn like(self, pieces: &[String], ends: [&str; 2]) -> SqlValue {
        let pieces = pieces.iter().map(|piece| {
            let mut escaped = String::with_capacity(piece.len());
            for c in piece.chars() {
                if matches!(c, '\\' | '%' | '_') {
                    escaped.push('\\');
                }
                escaped.push(c);
            }
            escaped
        });
        let pieces: Vec<String> = pieces.collect();
        SqlValue::Text(format!("{}{}{}", ends[0], pieces.join("%"), ends[1]))
    }

    /// The events in whose words the pieces stand one behind the other.
    fn words_with(self, pattern: &Pattern) -> Fragment {
        let mut sql = Fragment::new("words LIKE ");
        sql.bind(self.like(pattern.pieces(), ["%", "%"]));
        sql
    }

    fn words(self, pattern: &Pattern) -> Condition {
        if pattern.matches_everything() {
            return Condition::exact_text("words IS NOT NULL");
        }
        let sql = self.words_with(pattern);
        // The texts stand on a line each, and one of them must have it all.
        let is_cut = self.is_postgres() && pattern.prefix().starts_with(['0', '1']);
        match pattern.as_literal() {
            Some(text) if !text.contains('\n') && !is_cut => Condition::exact(sql),
            Some(_) | None => Condition::wider(sql),
        }
    }

    fn names(self, columns: &PartyColumns, names: &[NamePattern]) -> Condition {
        let either = |name: &NamePattern| {
            let mut conditions = vec![self.matching(columns.id, &name.id)];
            // No label is empty.
            if name.label.as_literal() != Some("") {
                conditions.push(self.label(columns, &name.label));
            }
            self.any_of(conditions)
        };
        self.any_of(names.iter().map(either))
    }

    /// The labels that match a folded pattern.
    fn label(self, columns: &PartyColumns, pattern: &Pattern) -> Condition {
        if let Some(text) = pattern.as_literal() {
            let mut sql = Fragment::new(columns.key);
            sql.add(" = ").bind(SqlValue::Integer(label_key(text)));
            return Condition::walk(sql);
        }
        if pattern.matches_everything() {
            return Condition::exact(self.present(columns.label));
        }
        Condition::wider(if columns.in_words {
            self.words_with(pattern)
        } else {
            self.present(columns.label)
        })
    }

    fn target(self, record: &TargetPattern) -> Condition {
        let mut conditions = vec![self.names(&TARGET, std::slice::from_ref(&record.name))];
        if let Some((kind, id)) = &record.type_and_id {
            let of_kind = self.matching("target_type", kind);
            if id.matches_everything() {
                conditions.push(of_kind);
            } else {
                let of_id = self.matching("target_id", id);
                let is_walk = of_id.walks.is_some();
                let both = Condition::both(&of_id, &of_kind);
                let walks = is_walk.then(|| vec![both.sql.clone()]);
                conditions.push(Condition { walks, ..both });
            }
        }
        self.any_of(conditions)
    }

    fn text(self, field: TextField, pattern: &Pattern) -> Condition {
        match field {
            TextField::Action => self.matching("action", pattern),
            TextField::Module => self.matching("module", pattern),
            TextField::Tenant => self.matching("tenant", pattern),
            TextField::Session => self.matching("session_id", pattern),
            TextField::Endpoint => self.matching("endpoint", pattern),
            TextField::Method => self.matching("method", pattern),
            TextField::RecordedBy => self.matching("recorded_by", pattern),
            TextField::ActorId => self.matching("actor_id", pattern),
            TextField::ImpersonatorId => self.matching("impersonator_id", pattern),
            TextField::TargetType => self.matching("target_type", pattern),
            TextField::TargetId => self.matching("target_id", pattern),
            TextField::ActorLabel => self.label(&ACTOR, pattern),
            TextField::ImpersonatorLabel => self.label(&IMPERSONATOR, pattern),
            TextField::TargetLabel => self.label(&TARGET, pattern),
            TextField::EventId => self.event_id(pattern),
            TextField::Title => self.in_any_case("title", Some(self.words_with(pattern)), pattern),
            TextField::Description => self.in_any_case("description", None, pattern),
            TextField::UserAgent => self.in_any_case("user_agent", None, pattern),
            TextField::Hash => self.hash(pattern),
            TextField::Log => {
                let is_named = |origin: &&NamedOrigin| {
                    log_names(&origin.name).iter().any(|name| pattern.matches(name))
                };
                self.of_logs(self.origins.iter().filter(is_named))
            }
        }
    }

    /// A text of which the store has no folded form, but perhaps among the words.
    fn in_any_case(self, column: &str, words: Option<Fragment>, pattern: &Pattern) -> Condition {
        let present = self.present(column);
        if pattern.matches_everything() {
            return Condition::exact(present);
        }
        Condition::wider(words.unwrap_or(present))
    }

    fn event_id(self, pattern: &Pattern) -> Condition {
        if !self.is_postgres() {
            return self.matching("event_id", pattern);
        }
        match pattern.as_literal() {
            Some(text) if chain::parse_canonical_uuid(text).is_some() => {
                let mut sql = Fragment::new("event_uuid = ");
                sql.bind(SqlValue::Uuid(text.to_owned()));
                Condition::exact(sql)
            }
            Some(_) => self.matching("event_text", pattern),
            None if pattern.matches_everything() => Condition::exact_text("TRUE"),
            None => match uuid_range(pattern) {
                Some([least, greatest]) => {
                    let mut uuid = Fragment::new("event_uuid BETWEEN ");
                    uuid.bind(least).add(" AND ").bind(greatest);
                    self.any_of([Condition::exact(uuid), self.matching("event_text", pattern)])
                }
                None => self.matching("coalesce(event_uuid::text, event_text)", pattern),
            },
        }
    }

    fn hash(self, pattern: &Pattern) -> Condition {
        let column = match self.dialect {
            SqlDialect::Postgres => "encode(hash, 'hex')",
            SqlDialect::ClickHouse => "lower(hex(hash))",
        };
        match pattern.matches_everything() {
            true => Condition::exact_text(always(self.dialect)),
            false => self.matching(column, pattern),
        }
    }

    pub(super) fn of_logs<'o>(self, origins: impl Iterator<Item = &'o NamedOrigin>) -> Condition {
        let logs = origins.map(|origin| {
            let mut sql = Fragment::new("log = ");
            sql.bind(origin.key.clone());
            sql
        });
        Condition::exact(Fragment::joined(logs, " OR ", never(self.dialect)))
    }

    fn place(self, range: &PlaceRange) -> Condition {
        let ids = self.ranges("id", &[range.ids], |id| id.0);
        let Some(wanted) = &range.log else { return ids };
        let is_named = |origin: &&NamedOrigin| log_names(&origin.name).contains(&wanted.as_str());
        Condition::both(&self.of_logs(self.origins.iter().filter(is_named)), &ids)
    }

    fn source(self, source: Source) -> Condition {
        Condition::exact(Fragment::new(format!("source = {}", store::source_number(source))))
    }

    fn ranges<T: Copy>(
        self,
        column: &str,
        ranges: &[ValueRange<T>],
        number: impl Fn(T) -> i64,
    ) -> Condition {
        let between = ranges.iter().map(|range| {
            let (from, to) = (number(range.from), number(range.to));
            let mut sql = Fragment::new(column);
            if from == to {
                sql.add(" = ").bind(SqlValue::Integer(from));
            } else {
                sql.add(" BETWEEN ").bind(SqlValue::Integer(from));
                sql.add(" AND ").bind(SqlValue::Integer(to));
            }
            sql
        });
        Condition::exact(Fragment::joined(between, " OR ", never(self.dialect)))
    }

    /// Addresses are stored as text, so that of ranges only single addresses are told apart.
    fn addresses(self, addresses: &AddressSet) -> Condition {
        match addresses {
            AddressSet::Pattern(pattern) => self.matching("ip", pattern),
            AddressSet::V4(ValueRange { from, to }) if from == to => {
                let address = std::net::Ipv4Addr::from_bits(*from);
                let mapped = Pattern::literal(address.to_ipv6_mapped().to_string());
                let address = Pattern::literal(address.to_string());
                self.any_of([self.matching("ip", &address), self.matching("ip", &mapped)])
            }
            AddressSet::V4(_) | AddressSet::V6(_) => Condition::wider(self.present("ip")),
        }
    }

    fn property(self, is: EventProperty) -> Condition {
        match is {
            EventProperty::Impersonated => self.presence(PresentField::Impersonator),
            EventProperty::System => Condition::exact_text("source IN (1, 3)"),
            EventProperty::Edit => Condition::exact(self.present("diff")),
            EventProperty::Failed => {
                let words = event::FAILURE_WORDS.join("|");
                // A word of the part behind the last dot.
                let failed = format!("(^|[^a-z0-9])({words})([^a-z0-9.][^.]*)?$");
                Condition::exact(Fragment::new(match self.dialect {
                    SqlDialect::Postgres => format!("(status_code >= 400 OR action ~ '{failed}')"),
                    SqlDialect::ClickHouse => {
                        format!("(status_code >= 400 OR match(action, '{failed}'))")
                    }
                }))
            }
        }
    }

    fn presence(self, field: PresentField) -> Condition {
        let any = |columns: &[&str]| {
            let present = columns.iter().map(|column| self.present(column));
            Condition::exact(Fragment::joined(present, " OR ", never(self.dialect)))
        };
        match field {
            PresentField::Actor => any(&["actor_id", "actor_label"]),
            PresentField::Impersonator => any(&["impersonator_id", "impersonator_label"]),
            PresentField::Target => any(&["target_type", "target_id", "target_label"]),
            // Every event has an id of its own, whichever column has it.
            PresentField::Field("event_id") => Condition::exact_text(always(self.dialect)),
            PresentField::Field(name) => any(&[name]),
        }
    }

    fn payload(self, key: &str, values: &[Pattern]) -> Condition {
        let parts: Vec<&str> = key.split('.').collect();
        let conditions = values.iter().map(|value| self.json_text("payload", &parts, value));
        self.any_of(conditions)
    }

    /// JSON that may have a text in which all these pieces stand. What is escaped is not looked into.
    fn json_text(self, column: &str, parts: &[&str], pattern: &Pattern) -> Condition {
        let pieces = pattern.pieces().iter().map(String::as_str).filter(|piece| !piece.is_empty());
        let contains = |piece: &str| {
            let mut sql = Fragment::new(column);
            sql.add(" LIKE ").bind(self.like(&[piece.to_owned()], ["%", "%"]));
            sql
        };
        let all = parts.iter().copied().chain(pieces).map(contains);
        let all = Fragment::joined(all, " AND ", always(self.dialect));
        let either = Fragment::joined([contains("\\"), all], " OR ", always(self.dialect));
        Condition::wider(Fragment::joined([self.present(column), either], " AND ", "TRUE"))
    }
}

/// Returns the least and the greatest UUID with the beginning that a pattern demands, if it demands
/// nothing else and UUIDs can begin so.
fn uuid_range(pattern: &Pattern) -> Option<[SqlValue; 2]> {
    const LEAST: &str = "00000000-0000-0000-0000-000000000000";
    const GREATEST: &str = "ffffffff-ffff-ffff-ffff-ffffffffffff";
    let [prefix, end] = pattern.pieces() else { return None };
    if !end.is_empty() || !prefix.is_ascii() {
        return None;
    }
    let filled = |rest: &str| Some(format!("{prefix}{}", rest.get(prefix.len()..)?));
    let (least, greatest) = (filled(LEAST)?, filled(GREATEST)?);
    chain::parse_canonical_uuid(&least)?;
    Some([SqlValue::Uuid(least), SqlValue::Uuid(greatest)])
}
