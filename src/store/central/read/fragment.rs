//! Pieces of SQL with their values: PostgreSQL gets the values beside the text, and ClickHouse, which
//! had no parameters for long, as literals in it.

use std::fmt::Write;

/// The SQL of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SqlDialect {
    Postgres,
    ClickHouse,
}

/// A value that is sent to the server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum SqlValue {
    Text(String),
    Integer(i64),
    /// A UUID in its usual form.
    Uuid(String),
    Integers(Vec<i64>),
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    Value(SqlValue),
}

/// A piece of SQL.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fragment(Vec<Piece>);

impl Fragment {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(vec![Piece::Text(text.into())])
    }

    pub(super) fn add(&mut self, text: &str) -> &mut Self {
        match self.0.last_mut() {
            Some(Piece::Text(last)) => last.push_str(text),
            Some(Piece::Value(_)) | None => self.0.push(Piece::Text(text.to_owned())),
        }
        self
    }

    pub(super) fn bind(&mut self, value: SqlValue) -> &mut Self {
        self.0.push(Piece::Value(value));
        self
    }

    pub(super) fn append(&mut self, other: &Self) -> &mut Self {
        for piece in &other.0 {
            match piece {
                Piece::Text(text) => self.add(text),
                Piece::Value(value) => self.bind(value.clone()),
            };
        }
        self
    }

    /// Whether it begins with the column of actions.
    pub(super) fn is_about_action(&self) -> bool {
        matches!(self.0.first(), Some(Piece::Text(text)) if text.starts_with("action "))
    }

    /// Returns the fragments with a word between them, in brackets; `empty` where there are none.
    pub(super) fn joined(
        fragments: impl IntoIterator<Item = Self>,
        word: &str,
        empty: &str,
    ) -> Self {
        let mut joined = Self::default();
        for (place, fragment) in fragments.into_iter().enumerate() {
            joined.add(if place == 0 { "(" } else { word }).append(&fragment);
        }
        if joined.0.is_empty() {
            return Self::new(empty);
        }
        joined.add(")");
        joined
    }

    /// Returns the text for a server, and the values beside it.
    pub(super) fn to_statement(&self, dialect: SqlDialect) -> (String, Vec<&SqlValue>) {
        let mut text = String::new();
        let mut values = Vec::new();
        for piece in &self.0 {
            match (piece, dialect) {
                (Piece::Text(piece), _) => text.push_str(piece),
                (Piece::Value(value), SqlDialect::Postgres) => {
                    values.push(value);
                    let _ = write!(text, "${}", values.len());
                    if let SqlValue::Uuid(_) = value {
                        text.push_str("::uuid");
                    }
                }
                (Piece::Value(value), SqlDialect::ClickHouse) => write_literal(value, &mut text),
            }
        }
        (text, values)
    }
}

/// Writes a value as ClickHouse reads it.
fn write_literal(value: &SqlValue, out: &mut String) {
    match value {
        SqlValue::Text(text) => write_quoted(text, out),
        SqlValue::Integer(number) => {
            // The least number is not read as a literal of its type.
            let _ = write!(out, "toInt64('{number}')");
        }
        SqlValue::Uuid(text) => {
            out.push_str("toUUID(");
            write_quoted(text, out);
            out.push(')');
        }
        SqlValue::Integers(numbers) => {
            let numbers: Vec<String> =
                numbers.iter().map(|number| format!("toInt64('{number}')")).collect();
            let _ = write!(out, "[{}]", numbers.join(","));
        }
    }
}

fn write_quoted(text: &str, out: &mut String) {
    out.push('\'');
    for c in text.chars() {
        match c {
            '\'' | '\\' => out.extend(['\\', c]),
            '\0' => out.push_str("\\0"),
            c => out.push(c),
        }
    }
    out.push('\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_beside_the_text_or_in_it() {
        let mut inner = Fragment::new("a = ");
        inner.bind(SqlValue::Text("it's \\ \0".to_owned()));
        let mut other = Fragment::new("b = ");
        other.bind(SqlValue::Integer(i64::MIN)).add(" AND u = ");
        other.bind(SqlValue::Uuid("01890a5d-ac96-774b-bcce-b302099a8057".to_owned()));
        let both = Fragment::joined([inner, other], " OR ", "FALSE");
        let (text, values) = both.to_statement(SqlDialect::Postgres);
        assert_eq!(text, "(a = $1 OR b = $2 AND u = $3::uuid)");
        assert_eq!(values.len(), 3);
        let (text, values) = both.to_statement(SqlDialect::ClickHouse);
        assert_eq!(
            text,
            "(a = 'it\\'s \\\\ \\0' OR b = toInt64('-9223372036854775808') \
             AND u = toUUID('01890a5d-ac96-774b-bcce-b302099a8057'))"
        );
        assert!(values.is_empty());
        assert_eq!(Fragment::joined([], " OR ", "FALSE"), Fragment::new("FALSE"));
    }
}
