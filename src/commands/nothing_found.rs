//! What a query that finds nothing could have been meant to be, within what the caller may see.

use anyhow::Result;

use crate::args::filter::FilterArgs;
use crate::context::LogReader;
use crate::query::Clock;
use crate::query::Predicate;
use crate::query::Query;
use crate::query::TextField;
use crate::query::pattern::NamePattern;
use crate::query::pattern::Pattern;
use crate::store::Suggestion;
use crate::store::SuggestionKind;
use crate::text;
use crate::time::TimeFormat;
use crate::time::Zone;

/// The number of other readings that are told.
const MAX_READINGS: usize = 2;

/// The number of names in a term for which others are suggested. A list of thousands was not mistyped.
const MAX_NAMES: usize = 10;

/// Returns the query as it was understood, for a message that nothing matches; empty without a filter.
pub(super) fn describe_query(query: &Query, zone: &Zone) -> String {
    if *query == Query::default() {
        return String::new();
    }
    format!("match {}", query.describe(|at| zone.format(at, TimeFormat::DateTimeMinute)))
}

/// Returns what the query could have been meant to be, each with what it finds.
pub(super) fn hints(
    reader: &LogReader,
    query: &Query,
    filter: &FilterArgs,
    clock: Clock<'_>,
) -> Result<Vec<String>> {
    let mut hints = Vec::new();
    for (term, other) in filter.other_readings(&clock) {
        let count = reader.count(&other, u64::MAX)?.unwrap_or(u64::MAX);
        if count > 0 {
            hints.push(format!("{term} finds {}", text::format_thousands(count)));
        }
        if hints.len() == MAX_READINGS {
            break;
        }
    }
    if hints.is_empty() {
        for term in query.terms().filter(|term| !term.negated) {
            let names = names_in(&term.predicate);
            // Where it finds something, the other terms exclude that.
            if names.is_empty() || reader.count(&Query::from_term(term), 1)? != Some(0) {
                continue;
            }
            for (kind, word) in names.into_iter().take(MAX_NAMES) {
                let similar = reader.suggestions(kind, &word)?;
                hints.extend(did_you_mean(&describe_suggestions(&similar)));
            }
        }
    }
    Ok(hints)
}

/// Returns the names that a predicate asks for.
fn names_in(predicate: &Predicate) -> Vec<(SuggestionKind, String)> {
    let literals = |patterns: &mut dyn Iterator<Item = &Pattern>, kind| {
        patterns
            .filter_map(|pattern| Some((kind, pattern.as_literal()?.to_owned())))
            .collect::<Vec<_>>()
    };
    let named = |names: &[NamePattern]| {
        literals(&mut names.iter().map(|name| &name.id), SuggestionKind::Actors)
    };
    match predicate {
        Predicate::Actor(names) | Predicate::Impersonator(names) | Predicate::Person(names) => {
            named(names)
        }
        Predicate::Target(records) => {
            let ids = &mut records.iter().map(|record| &record.name.id);
            literals(ids, SuggestionKind::Targets)
        }
        Predicate::Text(TextField::Action, slugs) => {
            literals(&mut slugs.iter(), SuggestionKind::Actions)
        }
        Predicate::Text(..)
        | Predicate::Payload { .. }
        | Predicate::Id(_)
        | Predicate::Source(_)
        | Predicate::Severity(_)
        | Predicate::Status(_)
        | Predicate::Ip(_)
        | Predicate::Is(_)
        | Predicate::Has(_)
        | Predicate::Changed(_)
        | Predicate::Occurred(_)
        | Predicate::Recorded(_)
        | Predicate::NotSystemOr(_)
        | Predicate::Phrase(_) => Vec::new(),
    }
}

/// Returns each suggestion with its events: `Jerome Cruz (3, 141 events)`.
pub(super) fn describe_suggestions(suggestions: &[Suggestion]) -> Vec<String> {
    let describe = |Suggestion { id, label, events }: &Suggestion| {
        let noun = if *events == 1 { "event" } else { "events" };
        let events = format!("{} {noun}", text::format_thousands(*events));
        match (label, id) {
            (Some(label), Some(id)) if label != id => format!("{label} ({id}, {events})"),
            (Some(name), _) | (None, Some(name)) => format!("{name} ({events})"),
            (None, None) => events,
        }
    };
    suggestions.iter().map(describe).collect()
}

/// Returns the question whether one of these names was meant.
pub(super) fn did_you_mean(names: &[String]) -> Option<String> {
    let (last, others) = names.split_last()?;
    Some(match others {
        [] => format!("did you mean {last}?"),
        others => format!("did you mean {} or {last}?", others.join(", ")),
    })
}
