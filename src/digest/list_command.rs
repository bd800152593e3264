//! The command that lists the events behind a count.

use std::fmt::Write;

use crate::query::Predicate;
use crate::query::Query;
use crate::query::Term;
use crate::query::TextField;
use crate::text;
use crate::time::Timestamp;

/// The command that shows what a query finds, times in full so that the counts agree.
pub(super) fn list_command(
    query: &str,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
) -> String {
    let mut command = format!("activity list '{}'", text::escape(query).replace('\'', r"'\''"));
    for (flag, at) in [("since", since), ("until", until)] {
        if let Some(at) = at {
            write!(command, " --{flag} {at}").expect("a String takes all");
        }
    }
    command
}

/// `asked`, which may name actions, and all that a one-off digest is about but times and actions.
pub(super) fn narrow_query(asked: &str, query: Option<&Query>) -> String {
    let is_other = |term: &&Term| !matches!(term.predicate, Predicate::Text(TextField::Action, _));
    let terms = query.into_iter().flat_map(Query::terms).filter(is_other);
    terms.fold(asked.to_owned(), |all, term| format!("{all} {term}"))
}
