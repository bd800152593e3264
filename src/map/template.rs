//! Fields that are made by a template, `{{ event }} of {{ target.name }}`.

use std::collections::BTreeMap;

use minijinja::Environment;
use minijinja::Error;
use minijinja::ErrorKind;
use minijinja::UndefinedBehavior;
use minijinja::Value;
use serde_json::Number;

use crate::map::path::RecordPath;
use crate::map::record::Record;
use crate::map::record::RecordValue;

/// The only name in an environment, which has one template.
const NAME: &str = "field";

/// The steps that a template may take for one record.
const MAX_STEPS: u64 = 10_000;

/// A template, strict: where a value that it names is missing it gives no text at all.
pub(super) struct RecordTemplate {
    environment: Environment<'static>,
    text: String,
    /// The keys at the top of the record that it names.
    keys: Vec<RecordPath>,
}

impl RecordTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// The reason.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(MAX_STEPS));
        environment.add_filter("fill", fill);
        environment.add_template_owned(NAME, text.to_owned()).map_err(|error| describe(&error))?;
        let template = environment.get_template(NAME).map_err(|error| describe(&error))?;
        let mut keys: Vec<String> = template.undeclared_variables(false).into_iter().collect();
        keys.sort();
        let keys = keys.iter().map(|key| RecordPath::of_key(key)).collect();
        Ok(Self { environment, text: text.to_owned(), keys })
    }

    /// The template as it is written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The keys at the top of the record that it names.
    pub(super) fn keys(&self) -> &[RecordPath] {
        &self.keys
    }

    /// Returns the text for a record; `None` where it is empty, or a value is missing.
    ///
    /// # Errors
    /// The reason: the template fails.
    pub(super) fn render(&self, record: &Record<'_>) -> Result<Option<String>, String> {
        let values = self.keys.iter().filter_map(|key| {
            let value = match record.find(key)?.value {
                RecordValue::Text(text) => cell_value(text.as_ref()),
                RecordValue::Json(raw) => to_template_value(serde_json::from_str(raw).ok()?),
            };
            (!is_absent(&value)).then(|| (key.first.clone(), value))
        });
        let context = Value::from(values.collect::<BTreeMap<String, Value>>());
        let rendered =
            self.environment.get_template(NAME).and_then(|template| template.render(context));
        match rendered {
            Ok(text) => Ok((!text.is_empty()).then_some(text)),
            Err(error) if error.kind() == ErrorKind::UndefinedError => Ok(None),
            Err(error) => Err(describe(&error)),
        }
    }
}

/// Replaces each `{key}` of a text by the value that has this key, as messages of PSR-3 loggers have them.
/// A key without a value stays as it is.
fn fill(text: &str, values: &Value) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        out.push_str(before);
        let value = behind.split_once('}').and_then(|(key, after)| {
            let value = values.get_attr(key).ok().filter(|value| !is_absent(value))?;
            Some((value.to_string(), after))
        });
        match value {
            Some((value, after)) => {
                out.push_str(&value);
                rest = after;
            }
            None => {
                out.push('{');
                rest = behind;
            }
        }
    }
    out.push_str(rest);
    out
}

/// The value of a text. Some exports have a whole object as JSON in one cell of a CSV: its members have
/// names in a template as they have in a path.
fn cell_value(text: &str) -> Value {
    let object = text.starts_with('{').then(|| serde_json::from_str(text).ok()).flatten();
    object.map_or_else(|| Value::from(text), to_template_value)
}

/// An empty text counts as absent, as it does everywhere else.
fn is_absent(value: &Value) -> bool {
    value.is_none() || value.is_undefined() || value.as_str() == Some("")
}

/// The value of JSON; what is null within an object is left out, so that it is missing.
fn to_template_value(json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::from(()),
        serde_json::Value::Bool(truth) => Value::from(truth),
        serde_json::Value::Number(number) => number_value(&number),
        serde_json::Value::String(text) => Value::from(text),
        serde_json::Value::Array(elements) => {
            Value::from(elements.into_iter().map(to_template_value).collect::<Vec<_>>())
        }
        serde_json::Value::Object(members) => Value::from(
            members
                .into_iter()
                .map(|(key, value)| (key, to_template_value(value)))
                .filter(|(_, value)| !is_absent(value))
                .collect::<BTreeMap<String, Value>>(),
        ),
    }
}

/// A whole number that fits, else its text as it was written.
fn number_value(number: &Number) -> Value {
    match (number.as_i64(), number.as_u64()) {
        (Some(whole), _) => Value::from(whole),
        (None, Some(whole)) => Value::from(whole),
        (None, None) => Value::from(number.to_string()),
    }
}

/// The reason on one line.
fn describe(error: &Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}
