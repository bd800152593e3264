//! The command that lists the events behind a count.

use std::fmt::Write;

use crate::query::Predicate;
use crate::query::Query;
use crate::query::Term;
use crate::query::TextField;
use crate::text;
use crate::time::Timestamp;

/// Returns the command that lists the events of a query. Its times are exact, so that it lists as
/// many events as the digest counts.
pub(super) fn list_command(
    program: &str,
    query: &str,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
) -> String {
    let mut command = format!("{program} list");
    if !query.is_empty() {
        let quoted = text::escape(query).replace('\'', r"'\''");
        write!(command, " '{quoted}'").expect("a String takes all");
    }
    for (flag, at) in [("since", since), ("until", until)] {
        if let Some(at) = at {
            write!(command, " --{flag} {at}").expect("a String takes all");
        }
    }
    command
}

/// Narrows the text of a query by the query of a one-off digest, without its times and its actions.
pub(super) fn narrow_query(text: &str, query: Option<&Query>) -> String {
    let is_other = |term: &&Term| !matches!(term.predicate, Predicate::Text(TextField::Action, _));
    let terms = query.into_iter().flat_map(Query::terms).filter(is_other);
    let narrowed = terms.fold(text.to_owned(), |narrowed, term| format!("{narrowed} {term}"));
    narrowed.trim_start().to_owned()
}
