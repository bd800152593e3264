//! Builds statements that depend on a query, from pieces of text that are constants of the program.
//!
//! Every value is a parameter: the types make it impossible to splice a value into the text.

use std::rc::Rc;

use rusqlite::Params;
use rusqlite::ToSql;
use rusqlite::params_from_iter;

/// The text of a statement, or of a part of one, with its parameters in order.
#[derive(Clone, Default)]
pub(super) struct Sql {
    text: String,
    values: Vec<Rc<dyn ToSql>>,
}

impl Sql {
    pub(super) fn new(text: &'static str) -> Self {
        Self { text: text.to_owned(), values: Vec::new() }
    }

    pub(super) fn add(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds a piece with one `?` and the value of that parameter.
    pub(super) fn bind(&mut self, text: &'static str, value: impl ToSql + 'static) -> &mut Self {
        debug_assert_eq!(text.matches('?').count(), 1, "one parameter: {text}");
        self.text.push_str(text);
        self.values.push(Rc::new(value));
        self
    }

    pub(super) fn append(&mut self, other: &Self) -> &mut Self {
        self.text.push_str(&other.text);
        self.values.extend(other.values.iter().cloned());
        self
    }

    /// Returns a condition that holds if any of these holds; without conditions it is false.
    pub(super) fn any_of(conditions: impl IntoIterator<Item = Self>) -> Self {
        let conditions: Vec<Self> = conditions.into_iter().collect();
        let mut any = Self::new("(");
        if conditions.is_empty() {
            any.add("FALSE");
        }
        any.append_joined(" OR ", &conditions);
        any.add(")");
        any
    }

    /// Appends the conditions with an operator between them.
    ///
    /// They are joined in halves: SQLite refuses an expression that is nested deeper than 1,000, and
    /// nests a row of operators once for each of them.
    pub(super) fn append_joined(&mut self, operator: &'static str, conditions: &[Self]) {
        match conditions {
            [] => {}
            [condition] => {
                self.append(condition);
            }
            [left, right] => {
                self.append(left).add(operator).append(right);
            }
            _ => {
                let (left, right) = conditions.split_at(conditions.len() / 2);
                self.add("(").append_joined(operator, left);
                self.add(")").add(operator).add("(").append_joined(operator, right);
                self.add(")");
            }
        }
    }

    pub(super) fn param_count(&self) -> usize {
        self.values.len()
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn params(&self) -> impl Params + '_ {
        params_from_iter(self.values.iter())
    }
}
