//! What the fields of an event are made of.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::net::SocketAddr;

use crate::event;
use crate::event::MAX_ID_BYTES;
use crate::event::Severity;
use crate::event::Source;
use crate::event::field::Field;
use crate::event::field::FieldKind;
use crate::map::path;
use crate::map::path::RecordPath;
use crate::map::record::Record;
use crate::map::record::RecordMatch;
use crate::map::template::RecordTemplate;
use crate::text;

/// The suffix of the action of what failed.
const FAILED_SUFFIX: &str = "_failed";

/// How one field is made.
pub(super) struct FieldRule {
    pub field: MappedField,
    /// The first of these that has a value counts.
    pub choices: Vec<FieldSource>,
    /// The values of all choices are joined by this text, instead.
    pub join: Option<String>,
    pub prefix: String,
    /// Whole values, and what becomes of them.
    pub words: HashMap<String, String>,
    /// The rule holds only where this path leads to a value.
    pub condition: Option<RecordPath>,
    /// Where one of these holds, the action failed.
    pub failures: Vec<FailureSign>,
}

/// What a rule makes.
#[derive(Clone, Copy)]
pub(super) enum MappedField {
    Field(&'static Field),
    /// The state of the record before or after: the diff is made of both.
    State(&'static str),
}

impl MappedField {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Field(field) => field.name,
            Self::State(name) => name,
        }
    }

    /// Whether its value is a JSON object.
    pub(super) fn is_object(self) -> bool {
        match self {
            Self::Field(field) => field.kind == FieldKind::Object,
            Self::State(_) => true,
        }
    }

    fn is_prose(self) -> bool {
        matches!(self, Self::Field(field) if field.kind == FieldKind::Text)
    }

    fn is_action(self) -> bool {
        matches!(self, Self::Field(field) if field.kind == FieldKind::Slug)
    }

    /// Whether a text can be a value of the field. What cannot stays in the payload: other systems write
    /// all sorts of things in place of an address or a status.
    fn accepts(self, text: &str) -> bool {
        let Self::Field(field) = self else { return true };
        match field.kind {
            FieldKind::IpAddress => {
                let bare = text.trim_start_matches('[').trim_end_matches(']');
                bare.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok()
            }
            FieldKind::Status => {
                text.parse::<u16>().is_ok_and(|status| (100..600).contains(&status))
            }
            FieldKind::Severity => Severity::parse(text).is_some(),
            FieldKind::Source => Source::parse(text).is_some(),
            FieldKind::Label | FieldKind::Id { .. } => text.len() <= MAX_ID_BYTES,
            FieldKind::Stamp
            | FieldKind::Text
            | FieldKind::Time
            | FieldKind::Slug
            | FieldKind::Object
            | FieldKind::HttpMethod => true,
        }
    }
}

/// A value, and where the record has it: nowhere, if a template or the map itself gave it.
type FirstValue<'a> = (Cow<'a, str>, Option<RecordMatch<'a>>);

/// Where the value of a field comes from.
pub(super) enum FieldSource {
    Path(RecordPath),
    Template(Box<RecordTemplate>),
    Constant(String),
}

impl fmt::Display for FieldSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.fmt(f),
            Self::Template(template) => f.write_str(template.text()),
            Self::Constant(_) => f.write_str("const"),
        }
    }
}

/// A sign that an action failed: a path, and the values that say so; no values stand for any.
pub(super) struct FailureSign {
    pub path: RecordPath,
    pub values: Vec<String>,
}

impl FailureSign {
    fn holds(&self, record: &Record<'_>) -> bool {
        let text = record.find(&self.path).and_then(|found| found.text());
        text.is_some_and(|text| {
            self.values.is_empty() || self.values.iter().any(|value| *value == *text)
        })
    }
}

impl FieldRule {
    /// The paths of the rule.
    pub(super) fn paths(&self) -> impl Iterator<Item = &RecordPath> {
        let of_choices = self.choices.iter().flat_map(|choice| match choice {
            FieldSource::Path(path) => std::slice::from_ref(path),
            FieldSource::Template(template) => template.keys(),
            FieldSource::Constant(_) => &[],
        });
        of_choices.chain(&self.condition).chain(self.failures.iter().map(|sign| &sign.path))
    }

    /// Returns the value of a field that is text; `None` where the record has none.
    ///
    /// # Errors
    /// The reason: a template fails.
    pub(super) fn text<'a>(&self, record: &mut Record<'a>) -> Result<Option<Cow<'a, str>>, String> {
        if !self.applies(record) {
            return Ok(None);
        }
        let (given, found) = match &self.join {
            Some(separator) => match self.joined(record, separator) {
                Some((text, found)) => (Cow::Owned(text), found),
                None => return Ok(None),
            },
            None => match self.first(record)? {
                Some((text, found)) => (text, found.into_iter().collect()),
                None => return Ok(None),
            },
        };
        // Some programs indent what they log.
        let given = if self.field.is_prose() { trim(given) } else { given };
        let known = self.words.get(given.as_ref()).map(|word| Cow::Owned(word.clone()));
        let mut text = match known {
            Some(word) => word,
            None if self.prefix.is_empty() => given.clone(),
            None => Cow::Owned(format!("{}{given}", self.prefix)),
        };
        if self.field.is_action() {
            text = to_slug(text);
            if self.failures.iter().any(|sign| sign.holds(record))
                && !event::is_failure_action(&text)
            {
                text.to_mut().push_str(FAILED_SUFFIX);
            }
        }
        // What the field does not show word for word stays in the payload too.
        let is_kept_whole = text.ends_with(given.as_ref());
        for one in found.into_iter().filter(|_| is_kept_whole) {
            record.take(one);
        }
        Ok(Some(text))
    }

    /// Whether the record has what the rule depends on.
    pub(super) fn applies(&self, record: &Record<'_>) -> bool {
        let condition = self.condition.as_ref();
        condition.is_none_or(|path| record.find(path).is_some_and(|found| found.json().is_some()))
    }

    /// The first value that there is, and where it was found.
    fn first<'a>(&self, record: &Record<'a>) -> Result<Option<FirstValue<'a>>, String> {
        for choice in &self.choices {
            if let Some(value) = self.value_of(choice, record)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// The value of one choice, if the field accepts it, and where it was found.
    fn value_of<'a>(
        &self,
        choice: &FieldSource,
        record: &Record<'a>,
    ) -> Result<Option<FirstValue<'a>>, String> {
        let (text, found) = match choice {
            FieldSource::Path(path) => {
                let found = record.find(path);
                (found.as_ref().and_then(RecordMatch::text), found)
            }
            FieldSource::Template(template) => (template.render(record)?.map(Cow::Owned), None),
            FieldSource::Constant(text) => (Some(Cow::Owned(text.clone())), None),
        };
        let Some(text) = text else { return Ok(None) };
        let value = self.words.get(text.as_ref()).map_or(text.as_ref(), String::as_str);
        Ok((!value.is_empty() && self.field.accepts(value)).then_some((text, found)))
    }

    /// Describes where [`FieldRule::text`] or [`FieldRule::object`] takes a value from that it finds.
    pub(super) fn origin(&self, record: &Record<'_>) -> String {
        let has_value = |choice: &&FieldSource| match choice {
            FieldSource::Path(path) if self.field.is_object() => record.find(path).is_some(),
            choice => self.value_of(choice, record).is_ok_and(|value| value.is_some()),
        };
        let used: Vec<_> = match self.join {
            Some(_) => self.choices.iter().collect(),
            None => self.choices.iter().find(has_value).into_iter().collect(),
        };
        used.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(" + ")
    }

    /// The values of all paths; `None` where one is missing.
    fn joined<'a>(
        &self,
        record: &Record<'a>,
        separator: &str,
    ) -> Option<(String, Vec<RecordMatch<'a>>)> {
        let mut text = String::new();
        let mut all = Vec::with_capacity(self.choices.len());
        for choice in &self.choices {
            if !text.is_empty() {
                text.push_str(separator);
            }
            match choice {
                FieldSource::Path(path) => {
                    let found = record.find(path)?;
                    text.push_str(&found.text()?);
                    all.push(found);
                }
                FieldSource::Constant(constant) => text.push_str(constant),
                FieldSource::Template(template) => text.push_str(&template.render(record).ok()??),
            }
        }
        Some((text, all))
    }

    /// Returns the value of a field that is an object, as JSON text.
    pub(super) fn object<'a>(&self, record: &mut Record<'a>) -> Option<Cow<'a, str>> {
        if !self.applies(record) {
            return None;
        }
        for choice in &self.choices {
            let FieldSource::Path(path) = choice else { continue };
            let Some(found) = record.find(path) else { continue };
            // A cell of CSV may hold an object too.
            let object = match found.text() {
                Some(text) if text.starts_with('{') => Some(text),
                _ => found.json().filter(|json| json.starts_with('{')),
            };
            if let Some(object) = object {
                record.take(found);
                return Some(object);
            }
        }
        None
    }
}

fn trim(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// Turns any text into an action: `ConsoleLogin` and `Console login` become `console_login`. The
/// characters that actions may have stay as they are.
pub(super) fn to_slug(text: Cow<'_, str>) -> Cow<'_, str> {
    let is_plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.:/-".contains(&byte);
    if text.bytes().all(is_plain) {
        return text;
    }
    let mut slug = String::with_capacity(text.len() + 8);
    let mut before = '.';
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let next_is_lower = rest.peek().is_some_and(char::is_ascii_lowercase);
        let begins_word = c.is_ascii_uppercase()
            && (before.is_ascii_lowercase()
                || before.is_ascii_digit()
                || (before.is_ascii_uppercase() && next_is_lower));
        if begins_word {
            slug.push('_');
        }
        match c {
            c if c.is_ascii_alphanumeric() || "_.:/-".contains(c) => {
                slug.push(c.to_ascii_lowercase());
            }
            _ if slug.is_empty() || slug.ends_with(|c: char| !c.is_ascii_alphanumeric()) => {}
            _ => slug.push('_'),
        }
        before = c;
    }
    slug.truncate(slug.trim_end_matches('_').len());
    Cow::Owned(slug)
}

/// How the diff is made of values that stand apart.
pub(super) enum DiffRule {
    /// A list of changes, each with its name, the value before and the one after.
    List { list: RecordPath, name: RecordPath, before: RecordPath, after: RecordPath },
    /// One change in the record itself.
    Single { name: RecordPath, before: RecordPath, after: RecordPath },
    /// Pairs of keys that differ only in a mark, like `old_name` and `new_name`. `within` leads to the
    /// object that has them, where it is not the record.
    Pairs { within: Option<RecordPath>, before: String, after: String },
}

impl DiffRule {
    /// The paths of the rule that begin at the record.
    pub(super) fn paths(&self) -> impl Iterator<Item = &RecordPath> {
        let paths = match self {
            Self::List { list, .. } => [Some(list), None, None],
            Self::Single { name, before, after } => [Some(name), Some(before), Some(after)],
            Self::Pairs { within, .. } => [within.as_ref(), None, None],
        };
        paths.into_iter().flatten()
    }

    /// Describes where the diff is taken from.
    pub(super) fn origin(&self) -> String {
        match self {
            Self::List { list, .. } => list.to_string(),
            Self::Single { before, after, .. } => format!("{before} + {after}"),
            Self::Pairs { before, after, .. } => format!("{before}* + {after}*"),
        }
    }

    /// Returns the diff as JSON text; `None` where the record has no change.
    pub(super) fn diff(&self, record: &mut Record<'_>) -> Option<String> {
        let mut out = DiffText::default();
        match self {
            Self::List { list, name, before, after } => {
                let found = record.find(list)?;
                let json = found.json()?;
                for element in path::elements(&json) {
                    let element = Record::from_json(element.get()).ok()?;
                    let side = |path| element.find(path).and_then(|found| found.json());
                    let name = element.find(name).and_then(|found| found.text())?;
                    out.add(&name, side(before).as_deref(), side(after).as_deref());
                }
                if !out.text.is_empty() {
                    record.take(found);
                }
            }
            Self::Single { name, before, after } => {
                let name = record.find(name)?;
                let sides = [record.find(before), record.find(after)];
                let [old, new] = sides.each_ref().map(|side| side.as_ref()?.json());
                out.add(&name.text()?, old.as_deref(), new.as_deref());
                if !out.text.is_empty() {
                    record.take(name);
                    sides.into_iter().flatten().for_each(|side| record.take(side));
                }
            }
            Self::Pairs { within, before, after } => {
                add_pairs(record, within.as_ref(), [before, after], &mut out);
            }
        }
        (!out.text.is_empty()).then(|| out.text + "}")
    }
}

/// Adds the pairs of keys that differ only in their mark, and takes them.
fn add_pairs(
    record: &mut Record<'_>,
    within: Option<&RecordPath>,
    [before, after]: [&String; 2],
    out: &mut DiffText,
) {
    let mut taken = Vec::new();
    {
        let inner = within.map(|path| record.find(path).and_then(|found| found.json()));
        let inner = match &inner {
            Some(Some(json)) => Record::from_json(json).ok(),
            Some(None) => return,
            None => None,
        };
        let values = inner.as_ref().unwrap_or(record);
        let keys = values.values().map(|(key, _)| key);
        for old in keys.filter(|key| key.contains(before.as_str())) {
            let new = old.replacen(before.as_str(), after, 1);
            let name = old.split_once(before.as_str()).map_or(old, |(_, name)| name);
            let side = |key: &str| {
                let path = RecordPath::of_key(key);
                values.find(&path).and_then(|found| found.json()).map(Cow::into_owned)
            };
            if let (Some(old_value), Some(new_value)) = (side(old), side(&new)) {
                out.add(name, Some(&old_value), Some(&new_value));
                taken.extend([old.to_owned(), new]);
            }
        }
    }
    for key in taken {
        let path = match within {
            Some(path) => path.child(&key),
            None => RecordPath::of_key(&key),
        };
        if let Some(found) = record.find(&path) {
            record.take(found);
        }
    }
}

/// The text of a diff while it is made.
#[derive(Default)]
struct DiffText {
    text: String,
}

impl DiffText {
    /// Adds a change that has a side at least.
    fn add(&mut self, name: &str, before: Option<&str>, after: Option<&str>) {
        if before.is_none() && after.is_none() {
            return;
        }
        self.text.push(if self.text.is_empty() { '{' } else { ',' });
        text::json_string_into(&mut self.text, name);
        self.text.push(':');
        let mut mark = '{';
        for (side, value) in [("\"before\":", before), ("\"after\":", after)] {
            if let Some(value) = value {
                self.text.push(mark);
                self.text.push_str(side);
                self.text.push_str(value);
                mark = ',';
            }
        }
        self.text.push('}');
    }
}
