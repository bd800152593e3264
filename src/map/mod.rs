//! Maps: how a record that another system wrote becomes an event.
//!
//! A map is a file of TOML ([`RecordMap::parse`]). It says which values of a record become which
//! fields; all others go into the payload, so nothing is lost. The formats that are built in are maps
//! too ([`built_in`]). What a map makes passes [`NewEventBuilder`], so it is a valid event or a reason
//! why there is none. A time that cannot be read is such a reason: it never becomes now.
//!
//! ## Cost
//! A map is read only when it is named. A record is scanned once; templates are the dearest rules.

mod absence;
pub(crate) mod built_in;
mod file;
mod path;
mod record;
mod rules;
mod template;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

use regex::Regex;

use crate::event::NewEvent;
use crate::event::builder::InputValue;
use crate::event::builder::IntakeOptions;
use crate::event::builder::NewEventBuilder;
use crate::event::field::FieldKind;
use crate::event::intake::Undated;
use crate::event::json;
use crate::event::leniency::Leniency;
use crate::event::quoted;
pub(crate) use crate::map::path::RecordPath;
pub(crate) use crate::map::record::Record;
pub(crate) use crate::map::record::RecordValue;
use crate::map::rules::DiffRule;
use crate::map::rules::FieldRule;
use crate::map::rules::MappedField;
use crate::time;
use crate::time::TimeLayout;
use crate::time::Timestamp;

/// The fields that a map must find in every record.
const TIME_FIELD: &str = "occurred_at";
const ACTION_FIELD: &str = "action";

/// How records stand in an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordFormat {
    /// An object a line.
    JsonLines,
    /// Objects one after the other, in a list, or in a list within an object.
    Json,
    Csv,
    /// Lines that fit a pattern.
    Lines,
}

impl RecordFormat {
    const ALL: [Self; 4] = [Self::JsonLines, Self::Json, Self::Csv, Self::Lines];

    fn name(self) -> &'static str {
        match self {
            Self::JsonLines => "jsonl",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Lines => "lines",
        }
    }
}

/// What is wrong with a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MapError {
    pub line: usize,
    pub reason: String,
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.reason)
    }
}

/// How the records of another system become events.
#[derive(Default)]
pub(crate) struct RecordMap {
    /// Absent where the first character of an input decides.
    format: Option<RecordFormat>,
    /// The keys that may lead to the list which holds the records, from an object at the top of the
    /// input; equally many in each case.
    records: Vec<Vec<String>>,
    /// Where a record has this value, that is the record: JSON as text within an envelope.
    record: Option<RecordPath>,
    /// The patterns of a line; the first that fits counts.
    patterns: Vec<Regex>,
    /// Patterns for the text of one value, whose groups become values of the record.
    within: Vec<(RecordPath, Vec<Regex>)>,
    times: Vec<TimeLayout>,
    /// The first of several for one field that gives a value counts.
    rules: Vec<FieldRule>,
    /// The first of these that finds a change makes the diff.
    diffs: Vec<DiffRule>,
    drops: Vec<RecordPath>,
}

impl fmt::Debug for RecordMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordMap").field("format", &self.format).finish_non_exhaustive()
    }
}

/// The name of a field, and where the record had its value, as the map names the place.
pub(crate) type FieldOrigin = (&'static str, String);

/// What a record is read with.
#[derive(Clone, Copy, Default)]
pub(crate) struct MapContext<'a> {
    pub intake: IntakeOptions<'a>,
    /// The time of the input's last line, at the latest. It gives times their year that have none.
    pub latest: Option<Timestamp>,
    /// Where it is noted what each field was taken from.
    pub origins: Option<&'a RefCell<Vec<FieldOrigin>>>,
}

impl MapContext<'_> {
    /// Notes where a field is taken from, if anybody wants to know.
    fn note_origin(self, name: &'static str, origin: impl FnOnce() -> String) {
        if let Some(origins) = self.origins {
            origins.borrow_mut().push((name, origin()));
        }
    }
}

/// What a record became.
#[derive(Debug)]
pub(crate) struct MappedFields<'a> {
    /// The name of each field with its value, in the order of the map.
    pub fields: Vec<(&'static str, Cow<'a, str>)>,
    /// The fields that are objects, as JSON text.
    pub objects: Vec<(&'static str, Cow<'a, str>)>,
}

impl MappedFields<'_> {
    fn has(&self, name: &str) -> bool {
        let of_name = |(field, _): &(&str, Cow<'_, str>)| *field == name;
        self.fields.iter().any(of_name) || self.objects.iter().any(of_name)
    }
}

impl RecordMap {
    /// Reads a map from TOML.
    ///
    /// # Errors
    /// The line and what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, MapError> {
        file::parse(text)
    }

    pub(crate) fn format(&self) -> Option<RecordFormat> {
        self.format
    }

    /// The keys that may lead to the list which holds the records.
    pub(crate) fn records(&self) -> &[Vec<String>] {
        &self.records
    }

    /// Whether an object has such a list, as JSON text.
    pub(crate) fn has_list(&self, object: &str) -> bool {
        self.records.iter().any(|keys| {
            let mut within = object;
            keys.iter().all(|wanted| {
                let members = json::members(within).unwrap_or_default();
                let found = members.into_iter().find(|(key, _)| key == wanted);
                found.map(|(_, raw)| within = raw).is_some()
            })
        })
    }

    /// The name by which the map knows a column of CSV: letter case, blanks, `_` and `-` do not matter.
    pub(crate) fn column_name(&self, column: &str) -> Option<&str> {
        let folded = |name: &str| {
            let kept = name.chars().filter(|c| !c.is_whitespace() && !matches!(c, '_' | '-'));
            kept.flat_map(char::to_lowercase).collect::<String>()
        };
        let wanted = folded(column);
        let mut names = self.paths().map(|path| path.first.as_str());
        names.find(|name| folded(name) == wanted)
    }

    /// All paths of the map.
    fn paths(&self) -> impl Iterator<Item = &RecordPath> {
        let of_rules = self.rules.iter().flat_map(FieldRule::paths);
        let of_diffs = self.diffs.iter().flat_map(DiffRule::paths);
        let within = self.within.iter().map(|(path, _)| path);
        of_rules.chain(of_diffs).chain(within).chain(&self.drops)
    }

    /// Splits a line by the first pattern that fits.
    ///
    /// # Errors
    /// The reason: none fits.
    pub(crate) fn split_line<'a>(&'a self, line: &'a str) -> Result<Record<'a>, String> {
        let found =
            self.patterns.iter().find_map(|pattern| Some((pattern, pattern.captures(line)?)));
        let Some((pattern, captures)) = found else {
            return Err("does not fit the pattern of the format".to_owned());
        };
        let groups = pattern.capture_names().enumerate().filter_map(|(number, name)| {
            let text = captures.get(number)?.as_str();
            Some((Cow::Borrowed(name?), RecordValue::Text(Cow::Borrowed(text))))
        });
        Record::new(groups)
    }

    /// Makes the event of a record.
    ///
    /// # Errors
    /// The reason why it is none.
    pub(crate) fn event(
        &self,
        record: Record<'_>,
        context: MapContext<'_>,
    ) -> Result<NewEvent, String> {
        let enveloped = self.record.as_ref().and_then(|path| record.find(path)?.text());
        let record = match &enveloped {
            Some(text) => Record::from_json(text)?,
            None => record,
        };
        let mapped = self.fields(record, context)?;
        let mut builder = NewEventBuilder::new(context.intake);
        for (name, text) in &mapped.fields {
            builder.add((*name).into(), InputValue::Text(text.as_ref().into()))?;
        }
        for (name, object) in &mapped.objects {
            builder.add((*name).into(), InputValue::Json(object))?;
        }
        builder.build()
    }

    /// Returns the fields of a record.
    ///
    /// # Errors
    /// The reason: it has no time or no action, or a template fails.
    pub(crate) fn fields<'a>(
        &'a self,
        mut record: Record<'a>,
        context: MapContext<'_>,
    ) -> Result<MappedFields<'a>, String> {
        self.add_inner_values(&mut record);
        let mut mapped = MappedFields {
            fields: Vec::with_capacity(self.rules.len()),
            objects: Vec::with_capacity(3),
        };
        for rule in &self.rules {
            let name = rule.field.name();
            if mapped.has(name) {
                continue;
            }
            if rule.field.is_object() {
                if let Some(object) = rule.object(&mut record) {
                    context.note_origin(name, || rule.origin(&record));
                    mapped.objects.push((name, object));
                }
                continue;
            }
            let text = rule.text(&mut record).map_err(|why| format!("{name}: {why}"))?;
            if text.is_some() {
                context.note_origin(name, || rule.origin(&record));
            }
            let text = match rule.field {
                MappedField::Field(field) if field.kind == FieldKind::Time => {
                    self.time(name, text, context)?
                }
                MappedField::Field(_) | MappedField::State(_) => text,
            };
            mapped.fields.extend(text.map(|text| (name, text)));
        }
        self.require_fields(&mapped, &record, context)?;
        let diffs = if mapped.has("diff") { &[] } else { self.diffs.as_slice() };
        let diff = diffs.iter().find_map(|rule| Some((rule, rule.diff(&mut record)?)));
        if let Some((rule, diff)) = diff {
            context.note_origin("diff", || rule.origin());
            mapped.objects.push(("diff", Cow::Owned(diff)));
        }
        for path in &self.drops {
            if let Some(found) = record.find(path) {
                record.take(found);
            }
        }
        mapped.objects.extend(record.rest().map(|rest| ("payload", Cow::Owned(rest))));
        Ok(mapped)
    }

    /// # Errors
    /// The reason: the record has no time or no action, and is not taken without.
    fn require_fields(
        &self,
        mapped: &MappedFields<'_>,
        record: &Record<'_>,
        context: MapContext<'_>,
    ) -> Result<(), String> {
        if context.intake.leniency != Leniency::Strict {
            // The builder makes do, and notes it.
            return Ok(());
        }
        let needs_time = context.intake.undated == Undated::Refused;
        let required = [TIME_FIELD, ACTION_FIELD].into_iter().skip(usize::from(!needs_time));
        match required.into_iter().find(|field| !mapped.has(field)) {
            None => Ok(()),
            Some(field) => {
                let rules = self.rules.iter().filter(|rule| rule.field.name() == field);
                Err(absence::describe(field, rules, record))
            }
        }
    }

    /// Adds the named groups of the patterns that fit values of the record.
    fn add_inner_values<'a>(&'a self, record: &mut Record<'a>) {
        for (path, patterns) in &self.within {
            let Some(text) = record.find(path).and_then(|found| found.text()) else { continue };
            let found =
                patterns.iter().find_map(|pattern| Some((pattern, pattern.captures(&text)?)));
            let Some((pattern, captures)) = found else { continue };
            for (number, name) in pattern.capture_names().enumerate() {
                if let (Some(name), Some(group)) = (name, captures.get(number)) {
                    record.add(name, group.as_str().to_owned());
                }
            }
        }
    }

    /// Returns a time in the one form that every reader takes.
    ///
    /// # Errors
    /// The reason: it cannot be read.
    fn time<'a>(
        &self,
        name: &str,
        text: Option<Cow<'a, str>>,
        context: MapContext<'_>,
    ) -> Result<Option<Cow<'a, str>>, String> {
        let is_lenient = context.intake.leniency != Leniency::Strict;
        let Some(text) = text else { return Ok(None) };
        let zone = context.intake.zone;
        let by_layout =
            self.times.iter().find_map(|layout| layout.read(&text, zone, context.latest));
        let read = by_layout.unwrap_or_else(|| {
            time::parse_emitted(&text, zone).map_err(|reason| match self.times.first() {
                Some(layout) if !reason.contains("--input-tz") => {
                    format!("{} is not a time like {layout}", quoted(&text))
                }
                None if !reason.contains("--input-tz") => {
                    format!("{reason}; `time` in the map says how else, like \"%d.%m.%Y %H:%M:%S\"")
                }
                Some(_) | None => reason,
            })
        });
        match read {
            Ok(at) => Ok(Some(Cow::Owned(at.to_string()))),
            // The builder leaves it out and notes it.
            Err(_) if is_lenient => Ok(Some(text)),
            Err(reason) => Err(format!("{name}: {reason}")),
        }
    }
}
