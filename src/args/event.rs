//! The flags that describe one event, made from the table of fields.

use std::borrow::Cow;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::builder::ValueParser;
use clap::{Arg, ArgMatches, Command, FromArgMatches};

use crate::args::capitalize;
use crate::event::NewEvent;
use crate::event::builder::InputValue;
use crate::event::builder::IntakeOptions;
use crate::event::builder::NewEventBuilder;
use crate::event::field;
use crate::event::field::FieldKind;
use crate::event::leniency::Leniency;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::text;

/// The flags for the record before and after. They are not fields of the event: the diff is made of
/// them.
const RECORD_STATES: [(&str, &str); 2] = [
    ("before", "the record before the change, a JSON object; with --after it makes the diff"),
    ("after", "the record after the change, a JSON object"),
];

/// The flags of an event as they were typed: names of fields with their text.
#[derive(Debug, Default)]
pub(crate) struct EventArgs {
    values: Vec<(&'static str, OsString)>,
}

impl EventArgs {
    /// Returns whether no flag describes an event.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Returns the event that the flags describe.
    ///
    /// # Errors
    /// [`Exit::Data`], with the name of the flag and the reason that an input file would get.
    pub(crate) fn event(&self, options: IntakeOptions<'_>) -> Result<NewEvent, Failure> {
        for (name, value) in &self.values {
            let is_strict = options.leniency == Leniency::Strict;
            if is_strict && ["actor_id", "actor_label"].contains(name) && value.is_empty() {
                let message = format!("--{} is empty", flag_name(name));
                return Err(Failure::new(Exit::Usage, message)
                    .hint("the variable that it comes from may not be set; leave the flag out"));
            }
        }
        let mut builder = NewEventBuilder::new(options);
        for (name, value) in &self.values {
            add_flag(&mut builder, name, value)
                .map_err(|why| Failure::new(Exit::Data, format!("--{}: {why}", flag_name(name))))?;
        }
        builder.build().map_err(|why| {
            let failure = Failure::new(Exit::Data, format!("cannot take the event: {why}"));
            if why.starts_with("action") {
                failure.hint("--action says what was done")
            } else {
                failure
            }
        })
    }
}

/// Adds the value of one flag. The reason of an error leaves out the name of the field, because the
/// message names the flag.
fn add_flag<'a>(
    builder: &mut NewEventBuilder<'a>,
    name: &'static str,
    value: &'a OsString,
) -> Result<(), String> {
    let text = match value.to_str() {
        Some(text) => Cow::Borrowed(text),
        None if builder.is_lenient() => {
            builder.note_escaped(name);
            Cow::Owned(text::escape_bytes(value.as_bytes()))
        }
        None => return Err("not UTF-8".to_owned()),
    };
    let input = match text {
        Cow::Borrowed(text)
            if RECORD_STATES.iter().any(|(state, _)| *state == name) && !text.is_empty() =>
        {
            match InputValue::parse_json(text) {
                // It goes into the payload as text.
                Err(_) if builder.is_lenient() => InputValue::Text(text.into()),
                parsed => parsed?,
            }
        }
        text => InputValue::Untyped(text),
    };
    builder.add(name.into(), input).map_err(|why| {
        why.strip_prefix(name).and_then(|why| why.strip_prefix(": ")).unwrap_or(&why).to_owned()
    })
}

/// Returns the names that have a flag, in the order of the help: the fields without the stamps of the
/// log, then the states of the record.
fn argument_names() -> impl Iterator<Item = &'static str> {
    let fields = field::FIELDS.iter().filter(|field| field.kind != FieldKind::Stamp);
    fields.map(|field| field.name).chain(RECORD_STATES.iter().map(|(name, _)| *name))
}

fn flag_name(name: &str) -> String {
    name.replace('_', "-")
}

/// Returns one flag. Its value may begin with a dash, because a hook passes on what a person typed.
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
        arguments.event(IntakeOptions::default()).map_err(|failure| failure.message)
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
        let rejection = |line: &[&str]| event(line).unwrap_err();
        assert_eq!(
            rejection(&["--action=a", "--ip=10.0.0.300"]),
            "--ip: \"10.0.0.300\" is not an address"
        );
        assert_eq!(rejection(&["--action=a", "--actor="]), "--actor-label is empty");
        assert_eq!(
            rejection(&["--action=a", "--status-code=1"]),
            "--status-code: \"1\" is not a status from 100 to 599"
        );
        assert!(
            rejection(&["--action=a", "--before={x"]).starts_with("--before: key must be a string")
        );
        assert_eq!(rejection(&["--title=a"]), "cannot take the event: action is missing");
    }
}
