//! Reads a map from TOML. An error names its line, and an unknown key is one.

use std::collections::HashMap;

use regex::Regex;
use toml::Spanned;
use toml::de::DeTable;
use toml::de::DeValue;

use crate::event::field::FIELDS;
use crate::event::field::FieldKind;
use crate::event::quoted;
use crate::map::MapError;
use crate::map::RecordFormat;
use crate::map::RecordMap;
use crate::map::path::RecordPath;
use crate::map::rules::DiffRule;
use crate::map::rules::FailureSign;
use crate::map::rules::FieldRule;
use crate::map::rules::FieldSource;
use crate::map::rules::MappedField;
use crate::map::template::RecordTemplate;
use crate::text;
use crate::time::TimeLayout;

const TOP_KEYS: [&str; 8] =
    ["format", "records", "record", "pattern", "time", "within", "fields", "drop"];
const RULE_KEYS: [&str; 7] = ["from", "const", "join", "prefix", "words", "if", "failed"];
const DIFF_KEYS: [&str; 5] = ["list", "name", "before", "after", "pairs"];
const DROP_KEYS: [&str; 1] = ["keys"];

/// The states of a record, which are no fields but make the diff.
const STATES: [&str; 2] = ["before", "after"];

type TomlValue<'t> = Spanned<DeValue<'t>>;

/// The text of a map, to find the line of a place in it.
#[derive(Clone, Copy)]
struct MapText<'t>(&'t str);

/// Reads a map.
///
/// # Errors
/// The first thing that is wrong, with its line.
pub(super) fn parse(text: &str) -> Result<RecordMap, MapError> {
    let source = MapText(text);
    let table = DeTable::parse(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let what = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
        source.error_at(start, what)
    })?;
    let end = text.trim_end().len();
    let table = table.get_ref();
    source.check_keys(table, &TOP_KEYS)?;
    let mut map = RecordMap::default();
    source.add_reading(&mut map, table)?;
    let Some(fields) = table.get("fields") else {
        return Err(source
            .error_at(end, "[fields] is missing: it says what becomes which field".to_owned()));
    };
    for (name, value) in source.table(fields, "fields")? {
        source.add_field(&mut map, name, value)?;
    }
    for required in ["occurred_at", "action"] {
        if map.rules.iter().all(|rule| rule.field.name() != required) {
            let what = if required == "action" { "what was done" } else { "when it was" };
            return Err(source.error(fields, format!("[fields] has no {required}: {what}")));
        }
    }
    Ok(map)
}

impl<'t> MapText<'t> {
    /// Adds how the records are found and what is looked for in them.
    fn add_reading(self, map: &mut RecordMap, table: &DeTable<'t>) -> Result<(), MapError> {
        if let Some(value) = table.get("format") {
            map.format = Some(self.format(value)?);
        }
        if let Some(value) = table.get("pattern") {
            map.patterns = self.patterns(value, "pattern")?;
            if map.format.is_some_and(|format| format != RecordFormat::Lines) {
                return Err(self.error(value, "pattern goes with format = \"lines\"".to_owned()));
            }
            map.format = Some(RecordFormat::Lines);
        }
        if map.format == Some(RecordFormat::Lines) && map.patterns.is_empty() {
            return Err(self.error_at(0, "format = \"lines\" needs a pattern".to_owned()));
        }
        if let Some(value) = table.get("records") {
            if !matches!(map.format, None | Some(RecordFormat::Json)) {
                return Err(self.error(value, "records goes with format = \"json\"".to_owned()));
            }
            map.records = self.lists(value)?;
        }
        if let Some(value) = table.get("record") {
            map.record = Some(self.path(self.text(value, "record")?, value.span().start)?);
        }
        if let Some(value) = table.get("time") {
            for (layout, place) in self.texts(value, "time")? {
                let layout = TimeLayout::parse(layout)
                    .map_err(|why| self.error_at(place, format!("time: {why}")))?;
                map.times.push(layout);
            }
        }
        if let Some(value) = table.get("within") {
            for (key, value) in self.table(value, "within")? {
                let path = self.path(key.get_ref(), key.span().start)?;
                map.within.push((path, self.patterns(value, key.get_ref())?));
            }
        }
        if let Some(value) = table.get("drop") {
            let drop = self.table(value, "drop")?;
            self.check_keys(drop, &DROP_KEYS)?;
            if let Some(value) = drop.get("keys") {
                map.drops = self.paths(value, "keys")?;
            }
        }
        Ok(())
    }

    fn error(self, value: &TomlValue<'_>, reason: String) -> MapError {
        self.error_at(value.span().start, reason)
    }

    fn error_at(self, start: usize, reason: String) -> MapError {
        let before = self.0.get(..start).unwrap_or(self.0);
        MapError { line: 1 + before.matches('\n').count(), reason }
    }

    /// Refuses keys that are not among the known ones, with the nearest of those.
    fn check_keys(self, table: &DeTable<'_>, known: &[&str]) -> Result<(), MapError> {
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                let hint = match text::nearest(name, known.iter().copied()) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("it is one of {}", known.join(", ")),
                };
                let reason = format!("unknown key {}; {hint}", quoted(name));
                return Err(self.error_at(key.span().start, reason));
            }
        }
        Ok(())
    }

    fn text<'v>(self, value: &'v TomlValue<'t>, key: &str) -> Result<&'v str, MapError> {
        match value.get_ref() {
            DeValue::String(text) => Ok(text),
            _ => Err(self.error(value, format!("{key} must be text"))),
        }
    }

    /// Text, or a list of texts, each with its place.
    fn texts<'v>(
        self,
        value: &'v TomlValue<'t>,
        key: &str,
    ) -> Result<Vec<(&'v str, usize)>, MapError> {
        match value.get_ref() {
            DeValue::Array(list) if !list.is_empty() => {
                list.iter().map(|value| Ok((self.text(value, key)?, value.span().start))).collect()
            }
            DeValue::String(text) => Ok(vec![(text, value.span().start)]),
            _ => Err(self.error(value, format!("{key} must be text or a list of texts"))),
        }
    }

    fn table<'v>(self, value: &'v TomlValue<'t>, key: &str) -> Result<&'v DeTable<'t>, MapError> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(table),
            _ => Err(self.error(value, format!("{key} must be a table"))),
        }
    }

    fn path(self, text: &str, place: usize) -> Result<RecordPath, MapError> {
        RecordPath::parse(text)
            .map_err(|why| self.error_at(place, format!("{} is no path: {why}", quoted(text))))
    }

    fn paths(self, value: &TomlValue<'t>, key: &str) -> Result<Vec<RecordPath>, MapError> {
        self.texts(value, key)?.into_iter().map(|(text, place)| self.path(text, place)).collect()
    }

    /// The keys that lead to the lists of records.
    fn lists(self, value: &TomlValue<'t>) -> Result<Vec<Vec<String>>, MapError> {
        let mut lists: Vec<Vec<String>> = Vec::new();
        for (text, place) in self.texts(value, "records")? {
            let path = self.path(text, place)?;
            let Some(keys) = path.keys() else {
                let reason = format!("records: {} goes into a list", quoted(text));
                return Err(self.error_at(place, reason));
            };
            if lists.first().is_some_and(|first| first.len() != keys.len()) {
                let reason = "records: all paths must have equally many keys".to_owned();
                return Err(self.error_at(place, reason));
            }
            lists.push(keys.into_iter().map(str::to_owned).collect());
        }
        Ok(lists)
    }

    fn format(self, value: &TomlValue<'t>) -> Result<RecordFormat, MapError> {
        let name = self.text(value, "format")?;
        RecordFormat::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| {
            self.error(
                value,
                format!("format is one of jsonl, json, csv, lines, not {}", quoted(name)),
            )
        })
    }

    fn patterns(self, value: &TomlValue<'t>, key: &str) -> Result<Vec<Regex>, MapError> {
        let mut patterns = Vec::new();
        for (text, place) in self.texts(value, key)? {
            let pattern = Regex::new(text).map_err(|error| {
                let error = error.to_string();
                let why = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
                self.error_at(place, format!("{key}: {why}"))
            })?;
            if pattern.capture_names().flatten().next().is_none() {
                let reason = format!("{key} has no named group like (?P<user>\\S+)");
                return Err(self.error_at(place, reason));
            }
            patterns.push(pattern);
        }
        Ok(patterns)
    }

    fn add_field(
        self,
        map: &mut RecordMap,
        name: &Spanned<std::borrow::Cow<'t, str>>,
        value: &TomlValue<'t>,
    ) -> Result<(), MapError> {
        let field = self.field(name.get_ref(), name.span().start)?;
        let is_rule_table = |table: &DeTable<'_>| {
            table.contains_key("name") || table.contains_key("pairs") || table.contains_key("list")
        };
        if field.name() == "diff" {
            match value.get_ref() {
                DeValue::Table(table) if is_rule_table(table) => {
                    map.diffs.push(self.diff_rule(table, value)?);
                    return Ok(());
                }
                DeValue::Array(list)
                    if list.iter().all(|one| matches!(one.get_ref(), DeValue::Table(_))) =>
                {
                    for one in list {
                        map.diffs.push(self.diff_rule(self.table(one, "diff")?, one)?);
                    }
                    return Ok(());
                }
                _ => {}
            }
        }
        match value.get_ref() {
            DeValue::Array(list)
                if list.iter().any(|one| matches!(one.get_ref(), DeValue::Table(_))) =>
            {
                for one in list {
                    map.rules.push(self.rule(field, one)?);
                }
            }
            _ => map.rules.push(self.rule(field, value)?),
        }
        Ok(())
    }

    fn field(self, name: &str, place: usize) -> Result<MappedField, MapError> {
        if let Some(state) = STATES.into_iter().find(|state| *state == name) {
            return Ok(MappedField::State(state));
        }
        let can_be_mapped = |kind: FieldKind| kind != FieldKind::Stamp;
        let found = FIELDS.iter().find(|field| field.name == name && can_be_mapped(field.kind));
        match found {
            Some(field) if field.name == "payload" => Err(self.error_at(
                place,
                "payload is no field of a map: it holds what no field takes".to_owned(),
            )),
            Some(field) => Ok(MappedField::Field(field)),
            None => {
                let names =
                    FIELDS.iter().filter(|field| can_be_mapped(field.kind)).map(|field| field.name);
                let hint = text::nearest(name, names.chain(STATES));
                let hint = hint.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                Err(self.error_at(place, format!("{} is no field of an event{hint}", quoted(name))))
            }
        }
    }

    /// A path or a template.
    fn source(self, text: &str, place: usize, field: MappedField) -> Result<FieldSource, MapError> {
        if text.contains("{{") || text.contains("{%") {
            if field.is_object() {
                let reason = format!("{} is an object; a template makes text", field.name());
                return Err(self.error_at(place, reason));
            }
            return RecordTemplate::parse(text)
                .map(|template| FieldSource::Template(Box::new(template)))
                .map_err(|why| self.error_at(place, format!("template: {why}")));
        }
        if text.contains('{') {
            let reason =
                format!("{}: a template has double braces, like {{{{ user.name }}}}", quoted(text));
            return Err(self.error_at(place, reason));
        }
        self.path(text, place).map(FieldSource::Path)
    }

    fn sources(
        self,
        value: &TomlValue<'t>,
        key: &str,
        field: MappedField,
    ) -> Result<Vec<FieldSource>, MapError> {
        let texts = self.texts(value, key)?;
        texts.into_iter().map(|(text, place)| self.source(text, place, field)).collect()
    }

    fn rule(self, field: MappedField, value: &TomlValue<'t>) -> Result<FieldRule, MapError> {
        let mut rule = FieldRule {
            field,
            choices: Vec::new(),
            join: None,
            prefix: String::new(),
            words: HashMap::new(),
            condition: None,
            failures: Vec::new(),
        };
        let DeValue::Table(table) = value.get_ref() else {
            rule.choices = self.sources(value, field.name(), field)?;
            return Ok(rule);
        };
        self.check_keys(table, &RULE_KEYS)?;
        match (table.get("from"), table.get("const")) {
            (Some(from), None) => rule.choices = self.sources(from, "from", field)?,
            (None, Some(constant)) if !field.is_object() => {
                let text = self.text(constant, "const")?;
                rule.choices = vec![FieldSource::Constant(text.to_owned())];
            }
            _ => return Err(self.error(value, format!("{} needs from or const", field.name()))),
        }
        let text = |key| table.get(key).map(|value| self.text(value, key)).transpose();
        rule.join = text("join")?.map(str::to_owned);
        rule.prefix = text("prefix")?.unwrap_or_default().to_owned();
        rule.condition = match table.get("if") {
            Some(value) => Some(self.path(self.text(value, "if")?, value.span().start)?),
            None => None,
        };
        if let Some(words) = table.get("words") {
            for (from, to) in self.table(words, "words")? {
                let to = self.text(to, "a word")?;
                rule.words.insert(from.get_ref().clone().into_owned(), to.to_owned());
            }
        }
        if let Some(failed) = table.get("failed") {
            if field.name() != "action" {
                return Err(self.error(failed, "failed goes with action".to_owned()));
            }
            rule.failures = self.failures(failed)?;
        }
        Ok(rule)
    }

    fn failures(self, value: &TomlValue<'t>) -> Result<Vec<FailureSign>, MapError> {
        let mut signs = Vec::new();
        for (path, values) in self.table(value, "failed")? {
            let texts = self.texts(values, "failed")?;
            let values = match texts.as_slice() {
                [("*", _)] => Vec::new(),
                texts => texts.iter().map(|(text, _)| (*text).to_owned()).collect(),
            };
            signs.push(FailureSign { path: self.path(path.get_ref(), path.span().start)?, values });
        }
        Ok(signs)
    }

    fn diff_rule(self, table: &DeTable<'t>, value: &TomlValue<'t>) -> Result<DiffRule, MapError> {
        self.check_keys(table, &DIFF_KEYS)?;
        let missing = |key: &str| self.error(value, format!("diff needs {key}"));
        let path = |key: &str| {
            let value = table.get(key).ok_or_else(|| missing(key))?;
            self.path(self.text(value, key)?, value.span().start)
        };
        let mark = |key: &str| {
            let value = table.get(key).ok_or_else(|| missing(key))?;
            Ok(self.text(value, key)?.to_owned())
        };
        if let Some(pairs) = table.get("pairs") {
            let within = match self.text(pairs, "pairs")? {
                "" => None,
                _ => Some(path("pairs")?),
            };
            return Ok(DiffRule::Pairs { within, before: mark("before")?, after: mark("after")? });
        }
        let (name, before, after) = (path("name")?, path("before")?, path("after")?);
        Ok(match table.contains_key("list") {
            true => DiffRule::List { list: path("list")?, name, before, after },
            false => DiffRule::Single { name, before, after },
        })
    }
}
