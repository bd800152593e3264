//! The flags of one event: one per field of the table, made from it.

use std::ffi::OsString;

use clap::builder::ValueParser;
use clap::{Arg, ArgMatches, Command, FromArgMatches};

use crate::args::capitalize;
use crate::event::NewEvent;
use crate::event::builder::InputValue;
use crate::event::builder::NewEventBuilder;
use crate::event::field;
use crate::event::field::FieldKind;
use crate::failure::{Exit, Failure};
use crate::time::Zone;

/// The record before and after: the fields are made a diff of, and so are no fields of the event.
const RECORD_STATES: [(&str, &str); 2] = [
    ("before", "the record before the change, a JSON object; with --after it makes the diff"),
    ("after", "the record after the change, a JSON object"),
];

/// What the flags say of an event: a field's name and the text that it was given.
#[derive(Debug, Default)]
pub(crate) struct EventArgs {
    values: Vec<(&'static str, OsString)>,
}

impl EventArgs {
    /// Whether there is any event in the flags.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The event that the flags describe. `zone` reads a time that has no offset.
    ///
    /// # Errors
    /// [`Exit::Data`], naming the flag: what an emitter says is rejected in the same words wherever
    /// it comes from.
    pub(crate) fn event(&self, zone: Option<&Zone>) -> Result<NewEvent, Failure> {
        let mut intake = NewEventBuilder::new(zone);
        for (name, value) in &self.values {
            take_flag(&mut intake, name, value)
                .map_err(|why| Failure::new(Exit::Data, format!("--{}: {why}", flag_name(name))))?;
        }
        intake.build().map_err(|why| {
            let failure = Failure::new(Exit::Data, format!("cannot take the event: {why}"));
            if why.starts_with("action") {
                failure.hint("--action says what was done")
            } else {
                failure
            }
        })
    }
}

/// Takes the value of one flag. The reason does not repeat the field's name, for the flag says it.
fn take_flag<'a>(
    intake: &mut NewEventBuilder<'a>,
    name: &'static str,
    value: &'a OsString,
) -> Result<(), String> {
    let text = value.to_str().ok_or("not UTF-8")?;
    let given = if RECORD_STATES.iter().any(|(state, _)| *state == name) && !text.is_empty() {
        InputValue::parse_json(text)?
    } else {
        InputValue::Untyped(text.into())
    };
    intake.add(name.into(), given).map_err(|why| {
        why.strip_prefix(name).and_then(|why| why.strip_prefix(": ")).unwrap_or(&why).to_owned()
    })
}

/// The names that have a flag, in the order of help: the table's, without the log's own stamps.
fn argument_names() -> impl Iterator<Item = &'static str> {
    let fields = field::FIELDS.iter().filter(|field| field.kind != FieldKind::Stamp);
    fields.map(|field| field.name).chain(RECORD_STATES.iter().map(|(name, _)| *name))
}

fn flag_name(name: &str) -> String {
    name.replace('_', "-")
}

/// One flag. A value may begin with a dash: a hook passes on what a person typed.
fn argument(name: &'static str, value_name: &'static str, about: &'static str) -> Arg {
    let argument = Arg::new(name)
        .long(flag_name(name))
        .value_name(value_name)
        .help(capitalize(about))
        .help_heading("The event")
        .allow_hyphen_values(true)
        .value_parser(ValueParser::os_string());
    match name.strip_suffix("_label") {
        Some(party) => argument.visible_alias(party),
        None => argument,
    }
}

fn value_name(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Stamp | FieldKind::Text | FieldKind::Label => "TEXT",
        FieldKind::Id { .. } => "ID",
        FieldKind::Time => "TIME",
        FieldKind::Source => "SOURCE",
        FieldKind::Severity => "LEVEL",
        FieldKind::Slug => "SLUG",
        FieldKind::Object => "JSON",
        FieldKind::IpAddress => "ADDRESS",
        FieldKind::HttpMethod => "VERB",
        FieldKind::Status => "STATUS",
    }
}

impl clap::Args for EventArgs {
    fn augment_args(command: Command) -> Command {
        let fields = field::FIELDS.iter().filter(|field| field.kind != FieldKind::Stamp);
        let fields = fields.map(|field| argument(field.name, value_name(field.kind), field.about));
        let states = RECORD_STATES.into_iter().map(|(name, about)| argument(name, "JSON", about));
        command.args(fields).args(states)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for EventArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let value = |name: &'static str| Some((name, matches.get_one::<OsString>(name)?.clone()));
        Ok(Self { values: argument_names().filter_map(value).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Args;

    use super::*;

    fn event(line: &[&str]) -> Result<NewEvent, String> {
        let command = EventArgs::augment_args(Command::new("ingest").no_binary_name(true));
        let matches = command.try_get_matches_from(line).expect("the flags are known");
        let arguments = EventArgs::from_arg_matches(&matches).expect("they have been matched");
        arguments.event(None).map_err(|failure| failure.message)
    }

    #[test]
    fn each_field_has_a_flag_and_labels_a_short_one() {
        let event = event(&[
            "--action=User.Edit",
            "--actor=Ann",
            "--target-type=user",
            "--target",
            "-odd",
            "--status-code=200",
            "--payload={\"a\": 1}",
        ])
        .unwrap();
        assert_eq!(event.action, "user.edit");
        assert_eq!(event.actor_label.as_deref(), Some("Ann"));
        assert_eq!(event.target_label.as_deref(), Some("-odd"));
        assert_eq!(event.status_code, Some(200));
        assert_eq!(event.payload.unwrap().as_str(), r#"{"a":1}"#);
    }

    #[test]
    fn before_and_after_become_a_diff() {
        let both = event(&["--action=a", "--before={\"x\":1}", "--after={\"x\":2}"]).unwrap();
        assert_eq!(both.diff.unwrap().as_str(), r#"{"x":{"before":1,"after":2}}"#);
    }

    #[test]
    fn a_rejected_value_names_its_flag() {
        let told = |line: &[&str]| event(line).unwrap_err();
        assert_eq!(told(&["--action=a", "--ip=x"]), "--ip: \"x\" is not an address");
        assert_eq!(
            told(&["--action=a", "--status-code=1"]),
            "--status-code: \"1\" is not a status from 100 to 599"
        );
        assert!(told(&["--action=a", "--before={x"]).starts_with("--before: key must be a string"));
        assert_eq!(told(&["--title=a"]), "cannot take the event: action is missing");
    }
}
