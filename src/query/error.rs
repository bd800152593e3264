//! Why a query does not parse, and where.

use std::fmt;
use std::ops::Range;

use crate::text;

/// What is wrong with a part of a query or of a flag's value.
#[derive(Debug)]
pub(super) struct ParseError {
    /// Where, in bytes.
    span: Range<usize>,
    reason: String,
}

impl ParseError {
    pub(super) fn new(span: Range<usize>, why: impl Into<String>) -> Self {
        Self { span, reason: why.into() }
    }

    /// Says which qualifier it concerns.
    pub(super) fn with_qualifier(mut self, qualifier: &str) -> Self {
        self.reason = format!("{}: {}", text::escape(qualifier), self.reason);
        self
    }

    pub(super) fn to_error_in_query(&self, query: &str) -> QueryError {
        self.to_query_error("the query", "", query)
    }

    pub(super) fn to_error_in_flag(&self, flag: &str, value: &str) -> QueryError {
        self.to_query_error(&format!("--{flag}"), &format!("--{flag} "), value)
    }

    fn to_query_error(&self, what: &str, before: &str, source: &str) -> QueryError {
        let end = self.span.end.min(source.len());
        let start = self.span.start.min(end);
        // Escaped apart, so that the carets stand where the parts really begin and end.
        let [head, place, tail] = [&source[..start], &source[start..end], &source[end..]]
            .map(|part| text::escape(part).into_owned());
        QueryError {
            message: format!("cannot read {what}: {}", self.reason),
            column: before.len() + text::width(&head),
            carets: text::width(&place).max(1),
            source: format!("{before}{head}{place}{tail}"),
        }
    }
}

/// A query that does not parse: a line that says why, the query, and carets under the place. What
/// came from outside is escaped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct QueryError {
    message: String,
    source: String,
    column: usize,
    carets: usize,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { message, source, column, carets } = self;
        // Not by the width of a format, which is 65,535 at most.
        let (blanks, marks) = (" ".repeat(*column), "^".repeat(*carets));
        write!(f, "{message}\n  {source}\n  {blanks}{marks}")
    }
}

impl std::error::Error for QueryError {}

/// What was typed, for a message.
pub(super) fn quoted(typed: &str) -> String {
    format!("\"{}\"", text::truncate(&text::escape(typed), 60))
}
