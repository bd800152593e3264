//! The errors of queries: why a query does not parse, and at which place.

use std::fmt;
use std::ops::Range;

use crate::text;

/// An error in a part of a query or of a flag's value.
#[derive(Debug)]
pub(super) struct ParseError {
    /// The bytes of the part.
    span: Range<usize>,
    reason: String,
    hint: Option<String>,
}

impl ParseError {
    pub(super) fn new(span: Range<usize>, reason: impl Into<String>) -> Self {
        Self { span, reason: reason.into(), hint: None }
    }

    /// Puts the qualifier in front of the reason.
    pub(super) fn with_qualifier(mut self, qualifier: &str) -> Self {
        self.reason = format!("{}: {}", text::escape(qualifier), self.reason);
        self
    }

    /// Adds what to write instead.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn to_error_in_query(&self, query: &str) -> QueryError {
        self.to_query_error("the query", "", query)
    }

    pub(super) fn to_error_in_flag(&self, flag: &str, value: &str) -> QueryError {
        self.to_query_error(&format!("--{flag}"), &format!("--{flag} "), value)
    }

    fn to_query_error(&self, subject: &str, prefix: &str, source: &str) -> QueryError {
        let end = self.span.end.min(source.len());
        let start = self.span.start.min(end);
        // Escaped one by one, so that the carets stand under the escaped part.
        let [head, place, tail] = [&source[..start], &source[start..end], &source[end..]]
            .map(|part| text::escape(part).into_owned());
        QueryError {
            message: format!("cannot read {subject}: {}", self.reason),
            column: prefix.len() + text::width(&head),
            carets: text::width(&place).max(1),
            source: format!("{prefix}{head}{place}{tail}"),
            hint: self.hint.clone(),
        }
    }
}

/// The error of a query that does not parse: a line with the reason, the query, and carets under the
/// place. Text from outside is escaped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct QueryError {
    message: String,
    source: String,
    column: usize,
    carets: usize,
    /// What to write instead.
    pub hint: Option<String>,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { message, source, column, carets, .. } = self;
        // The width of a format is at most 65,535, so it cannot pad a longer query.
        let (blanks, marks) = (" ".repeat(*column), "^".repeat(*carets));
        write!(f, "{message}\n  {source}\n  {blanks}{marks}")
    }
}

impl std::error::Error for QueryError {}

/// Returns typed text in quotes, escaped and cut for a message.
pub(super) fn quoted(typed: &str) -> String {
    format!("\"{}\"", text::truncate(&text::escape(typed), 60))
}
