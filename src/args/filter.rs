//! The filter of a listing: a flag for each qualifier of the query language, made from its table, and
//! the words of a query.

use anyhow::Result;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};

use crate::args::capitalize;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::query;
use crate::query::Clock;
use crate::query::Query;
use crate::query::QueryError;
use crate::query::saved::SavedQueries;

const HEADING: &str = "Filters (can be repeated: the same filter widens, different filters narrow)";
const SEARCH_FLAG: &str = "search";
/// Flags for frequent filters: flag, qualifier, value and help.
const SHORTHAND_FLAGS: [(&str, &str, &str, &str); 2] = [
    ("impersonated", "is", "impersonated", "the same as --is impersonated"),
    ("failed", "is", "failed", "the same as --is failed"),
];

/// A filter as it was typed.
#[derive(Clone, Debug, Default)]
pub(crate) struct FilterArgs {
    /// The flags: names of qualifiers with their values.
    flags: Vec<(&'static str, String)>,
    phrases: Vec<String>,
    today: bool,
    words: Vec<String>,
}

impl FilterArgs {
    /// Returns whether the filter is empty, so that it matches everything.
    pub(crate) fn is_empty(&self) -> bool {
        self.flags.is_empty() && self.phrases.is_empty() && !self.today && self.words.is_empty()
    }

    /// Returns the query that the words and the flags make together.
    ///
    /// # Errors
    /// [`Exit::Usage`] with a mark under the place of the error.
    pub(crate) fn query(&self, clock: &Clock<'_>, saved: &SavedQueries) -> Result<Query> {
        let usage = |error: QueryError| {
            let mut failure = Failure::new(Exit::Usage, error.to_string());
            failure.hint = error.hint;
            failure
        };
        let words = self.words.join(" ");
        let words = saved.expand(&words).map_err(|why| Failure::new(Exit::Usage, why))?;
        Ok(self.query_with(&words, clock).map_err(usage)?)
    }

    /// Returns what the words may have been meant to be: the term that differs, with the whole query.
    pub(crate) fn other_readings(&self, clock: &Clock<'_>) -> Vec<(String, Query)> {
        let readings = query::other_readings(&self.words.join(" ")).into_iter();
        let with_flags = readings.filter_map(|reading| {
            Some((reading.term, self.query_with(&reading.query, clock).ok()?))
        });
        with_flags.collect()
    }

    /// Returns the query of some words together with the flags.
    fn query_with(&self, words: &str, clock: &Clock<'_>) -> Result<Query, QueryError> {
        let mut query = Query::parse(words, clock)?;
        for (name, value) in &self.flags {
            query.add_flag(name, value, clock)?;
        }
        for phrase in &self.phrases {
            query.add_phrase(phrase);
        }
        if self.today {
            query.narrow_to_today(clock);
        }
        Ok(query)
    }
}

fn argument(name: &'static str, help: impl Into<clap::builder::StyledStr>) -> Arg {
    Arg::new(argument_id(name)).long(name).help(help).help_heading(HEADING)
}

/// Returns the id of a flag, which differs from the id of an argument of the same name: `search-actor
/// ACTOR`.
fn argument_id(flag: &str) -> String {
    format!("--{flag}")
}

impl clap::Args for FilterArgs {
    fn augment_args(command: Command) -> Command {
        let words =
            Arg::new("query").value_name("QUERY").action(ArgAction::Append).num_args(0..).help(
                "Words, \"phrases\" and QUALIFIER:VALUE to search for, explained by `activity help \
                 query`; a leading - excludes, and @NAME is a saved query",
            );
        let flags = query::QUALIFIERS.iter().filter_map(|qualifier| {
            let flag = qualifier.flag?;
            let argument = argument(flag, capitalize(qualifier.help))
                .value_name(qualifier.value_name)
                .action(ArgAction::Append);
            // `-2h` is a time, not a flag.
            Some(argument.allow_hyphen_values(matches!(flag, "since" | "until")))
        });
        let short = SHORTHAND_FLAGS
            .map(|(flag, _, _, help)| argument(flag, capitalize(help)).action(ArgAction::SetTrue));
        let today = argument("today", "Since midnight").action(ArgAction::SetTrue);
        let search = argument(
            SEARCH_FLAG,
            "A phrase, taken literally; searched for in the same fields as words",
        )
        .value_name("PHRASE")
        .action(ArgAction::Append);
        command.arg(words).args(flags).args(short).arg(today).arg(search)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for FilterArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let values = |id: &str| matches.get_many::<String>(id).into_iter().flatten().cloned();
        let qualifiers = query::QUALIFIERS.iter().filter_map(|qualifier| {
            let flag = qualifier.flag?;
            let positions = matches.indices_of(&argument_id(flag)).into_iter().flatten();
            Some(
                positions
                    .zip(values(&argument_id(flag)))
                    .map(move |(position, value)| (position, (flag, value))),
            )
        });
        let shorthands =
            SHORTHAND_FLAGS.into_iter().filter(|(flag, ..)| matches.get_flag(&argument_id(flag)));
        let shorthands = shorthands.map(|(flag, name, value, _)| {
            (matches.index_of(&argument_id(flag)).unwrap_or_default(), (name, value.to_owned()))
        });
        // In the order in which they were typed, because the query is shown and recorded by an export.
        let mut flags: Vec<_> = qualifiers.flatten().chain(shorthands).collect();
        flags.sort_by_key(|(position, _)| *position);
        Ok(Self {
            flags: flags.into_iter().map(|(_, flag)| flag).collect(),
            phrases: values(&argument_id(SEARCH_FLAG)).collect(),
            today: matches.get_flag(&argument_id("today")),
            words: values("query").collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The filter of a command that has a `--by` of its own: that of the recorder is `--recorded-by`.
#[derive(Clone, Debug, Default)]
pub(crate) struct CountFilterArgs(FilterArgs);

impl CountFilterArgs {
    /// As [`FilterArgs::query`].
    ///
    /// # Errors
    /// As there.
    pub(crate) fn query(&self, clock: &Clock<'_>, saved: &SavedQueries) -> Result<Query> {
        self.0.query(clock, saved)
    }
}

impl clap::Args for CountFilterArgs {
    fn augment_args(command: Command) -> Command {
        FilterArgs::augment_args(command)
            .mut_arg(argument_id("by"), |argument| argument.long("recorded-by"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for CountFilterArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        FilterArgs::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

#[cfg(test)]
mod tests {
    use clap::Args;

    use super::*;
    use crate::time::Timestamp;
    use crate::time::Zone;

    fn filter(line: &[&str]) -> FilterArgs {
        let command = FilterArgs::augment_args(Command::new("list").no_binary_name(true));
        let matches = command.try_get_matches_from(line).expect("the flags are known");
        FilterArgs::from_arg_matches(&matches).expect("they have been matched")
    }

    fn query(line: &[&str]) -> Result<Query, String> {
        let clock = Clock { now: Timestamp::from_nanos(1 << 60), zone: &Zone::utc() };
        filter(line).query(&clock, &SavedQueries::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_and_words_mean_the_same() {
        for (flags, words) in [
            (
                &["--action", "user.*,login", "--actor=Ann B"][..],
                "action:user.*,login actor:\"Ann B\"",
            ),
            (&["--action", "a", "--action", "b"], "action:a action:b"),
            (&["--action", "!a,b"], "-action:a,b"),
            (
                &["--status", ">=500", "--failed", "--impersonated"],
                "status:>=500 is:failed,impersonated",
            ),
            (&["--since", "-2h", "--until", "now"], "since:2h until:now"),
            (&["--days", "7", "--search", "a b"], "days:7 \"a b\""),
        ] {
            assert_eq!(query(flags).unwrap(), query(&["--", words]).unwrap(), "{words}");
        }
    }

    #[test]
    fn several_words_are_one_query() {
        assert_eq!(
            query(&["action:a", "--", "-actor:b"]).unwrap(),
            query(&["action:a -actor:b"]).unwrap()
        );
    }

    #[test]
    fn words_and_flags_are_one_query() {
        assert_eq!(
            query(&["action:a", "--action", "b", "--ip=::1"]).unwrap(),
            query(&["action:a,b ip:::1"]).unwrap()
        );
    }

    #[test]
    fn nothing_typed_is_everything() {
        assert!(filter(&[]).is_empty());
        assert_eq!(query(&[]).unwrap(), Query::default());
        assert!(!filter(&["--today"]).is_empty());
    }

    #[test]
    fn an_error_is_marked_in_its_place() {
        let message = query(&["--status", ">=abc"]).unwrap_err();
        assert!(message.starts_with("cannot read --status: "), "{message}");
        assert!(message.contains("\n  --status >=abc\n"), "{message}");
    }
}
