//! Paths into a record: `actor.name`, `target[0].displayName`, `parameters[name=ROLE].value`.
//!
//! A key that has a dot, a bracket or an equals sign is written in quotes: `labels."app.kubernetes.io/name"`.

use std::borrow::Cow;
use std::fmt;

use serde_json::value::RawValue;

use crate::event::json;
use crate::text;

/// The deepest path. JSON itself may not nest deeper than an event's.
const MAX_STEPS: usize = json::MAX_DEPTH;

/// A way from a record to one of its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordPath {
    /// The key at the top of the record.
    pub first: String,
    rest: Vec<PathStep>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PathStep {
    Key(String),
    Index(usize),
    /// The first object of a list that has this text under this key.
    Entry {
        key: String,
        value: String,
    },
}

/// One step of a way that was found: a key, or a place in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FoundStep<'a> {
    Key(Cow<'a, str>),
    Index(usize),
    /// A place in a list, found by what stands there under a key.
    Entry {
        place: usize,
        key: Cow<'a, str>,
    },
}

/// A value that a path leads to, below the top of the record.
pub(super) struct FoundValue<'a> {
    pub raw: &'a str,
    /// The way to it from the value at the top; empty where it is that value.
    pub way: Vec<FoundStep<'a>>,
}

impl RecordPath {
    /// Reads a path.
    ///
    /// # Errors
    /// The reason.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text;
        let mut steps = vec![PathStep::Key(take_key(&mut rest, ".[")?)];
        while let Some(mark) = rest.chars().next() {
            rest = &rest[1..];
            steps.push(match mark {
                '.' => PathStep::Key(take_key(&mut rest, ".[")?),
                '[' => take_bracket(&mut rest)?,
                _ => return Err("a dot or [ stands behind a key in quotes".to_owned()),
            });
        }
        if steps.len() > MAX_STEPS {
            return Err(format!("it has more than {MAX_STEPS} steps"));
        }
        let rest = steps.split_off(1);
        match steps.pop() {
            Some(PathStep::Key(first)) => Ok(Self { first, rest }),
            Some(PathStep::Index(_) | PathStep::Entry { .. }) | None => {
                Err("it is empty".to_owned())
            }
        }
    }

    /// The path to a value at the top.
    pub(super) fn of_key(key: &str) -> Self {
        Self { first: key.to_owned(), rest: Vec::new() }
    }

    /// The path to a value within the object that this one leads to.
    pub(super) fn child(&self, key: &str) -> Self {
        let mut path = self.clone();
        path.rest.push(PathStep::Key(key.to_owned()));
        path
    }

    /// The keys that it goes through; `None` where it goes into a list.
    pub(super) fn keys(&self) -> Option<Vec<&str>> {
        let rest = self.rest.iter().map(|step| match step {
            PathStep::Key(key) => Some(key.as_str()),
            PathStep::Index(_) | PathStep::Entry { .. } => None,
        });
        std::iter::once(Some(self.first.as_str())).chain(rest).collect()
    }

    /// Whether it leads to a value at the top of the record.
    pub(super) fn is_top(&self) -> bool {
        self.rest.is_empty()
    }

    /// Follows the steps behind the first, from the JSON text that the first leads to.
    pub(super) fn follow<'a>(&self, raw: &'a str) -> Option<FoundValue<'a>> {
        let mut found = FoundValue { raw, way: Vec::with_capacity(self.rest.len()) };
        for step in &self.rest {
            let (step, raw) = step.follow(found.raw)?;
            found.raw = raw;
            found.way.push(step);
        }
        Some(found)
    }
}

impl fmt::Display for RecordPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&written_key(&self.first))?;
        self.rest.iter().try_for_each(|step| match step {
            PathStep::Key(key) => write!(f, ".{}", written_key(key)),
            PathStep::Index(index) => write!(f, "[{index}]"),
            PathStep::Entry { key, value } => {
                write!(f, "[{}={}]", written_key(key), written_key(value))
            }
        })
    }
}

/// A key as it stands in a path: in quotes where it has a mark of paths.
fn written_key(key: &str) -> Cow<'_, str> {
    if !key.is_empty() && !key.contains(['.', '[', ']', '=', '"', '\'']) {
        Cow::Borrowed(key)
    } else if key.contains('"') {
        Cow::Owned(format!("'{key}'"))
    } else {
        Cow::Owned(format!("\"{key}\""))
    }
}

impl PathStep {
    fn follow<'a>(&self, raw: &'a str) -> Option<(FoundStep<'a>, &'a str)> {
        match self {
            Self::Key(wanted) => json::members(raw)
                .ok()?
                .into_iter()
                .find(|(key, _)| key == wanted)
                .map(|(key, raw)| (FoundStep::Key(key), raw)),
            Self::Index(index) => {
                let raw = elements(raw).get(*index)?.get();
                Some((FoundStep::Index(*index), raw))
            }
            Self::Entry { key: wanted, value } => {
                elements(raw).into_iter().enumerate().find_map(|(place, element)| {
                    let members = json::members(element.get()).ok()?;
                    let (key, _) = members.into_iter().find(|(key, raw)| {
                        key == wanted && json::parse_string(raw).is_ok_and(|text| text == *value)
                    })?;
                    Some((FoundStep::Entry { place, key }, element.get()))
                })
            }
        }
    }
}

/// The elements of a JSON list; none where it is no list.
pub(super) fn elements(raw: &str) -> Vec<&RawValue> {
    match raw.as_bytes().first() {
        Some(b'[') => serde_json::from_str(raw).unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// Takes a key from the beginning of a path: one in quotes, or all up to one of the marks.
fn take_key(rest: &mut &str, marks: &str) -> Result<String, String> {
    for quote in ['"', '\''] {
        if let Some(quoted) = rest.strip_prefix(quote) {
            let (key, behind) = quoted.split_once(quote).ok_or("a quote does not end")?;
            *rest = behind;
            return Ok(key.to_owned());
        }
    }
    let end = rest.find(|c| marks.contains(c)).unwrap_or(rest.len());
    let (key, behind) = rest.split_at(end);
    if key.is_empty() {
        return Err("a key is missing".to_owned());
    }
    *rest = behind;
    Ok(key.to_owned())
}

/// Takes what stands behind an opening bracket, and the closing one.
fn take_bracket(rest: &mut &str) -> Result<PathStep, String> {
    let is_index = rest.starts_with(|c: char| c.is_ascii_digit());
    let key = take_key(rest, "=]")?;
    let step = match rest.strip_prefix('=') {
        Some(behind) => {
            *rest = behind;
            PathStep::Entry { key, value: take_key(rest, "]")? }
        }
        None if is_index => {
            PathStep::Index(key.parse().map_err(|_| format!("{key:?} is no place in a list"))?)
        }
        None => return Err(format!("[{key}] is neither a place like [0] nor [KEY=VALUE]")),
    };
    *rest = rest.strip_prefix(']').ok_or("] is missing")?;
    Ok(step)
}

/// Appends JSON text without the values that ways lead to. Objects and lists that are empty then are left
/// out; an element of a list becomes null, so that the others keep their places. Returns whether anything
/// was written.
pub(super) fn write_without(raw: &str, ways: &[&[FoundStep<'_>]], out: &mut String) -> bool {
    if ways.is_empty() {
        out.push_str(raw);
        return true;
    }
    if ways.iter().any(|way| way.is_empty()) {
        return false;
    }
    match raw.as_bytes().first() {
        Some(b'[') => {
            let length = out.len();
            let mut any = false;
            for (place, element) in elements(raw).into_iter().enumerate() {
                out.push(if place == 0 { '[' } else { ',' });
                let below = below(ways, |step| match step {
                    FoundStep::Index(at) | FoundStep::Entry { place: at, .. } => *at == place,
                    FoundStep::Key(_) => false,
                });
                let is_left = !is_only_name(element.get(), place, ways, &below)
                    && write_without(element.get(), &below, out);
                if is_left {
                    any = true;
                } else {
                    out.push_str("null");
                }
            }
            out.push(']');
            if !any {
                out.truncate(length);
            }
            any
        }
        _ => {
            let start = out.len();
            for (key, value) in json::members(raw).unwrap_or_default() {
                let below =
                    below(ways, |step| matches!(step, FoundStep::Key(name) if *name == key));
                let length = out.len();
                out.push(if length == start { '{' } else { ',' });
                text::json_string_into(out, &key);
                out.push(':');
                if !write_without(value, &below, out) {
                    out.truncate(length);
                }
            }
            let any = out.len() > start;
            if any {
                out.push('}');
            }
            any
        }
    }
}

/// Whether nothing is left of an element of a list but the key by which it was found.
fn is_only_name(
    element: &str,
    place: usize,
    ways: &[&[FoundStep<'_>]],
    below: &[&[FoundStep<'_>]],
) -> bool {
    ways.iter().filter_map(|way| way.first()).any(|step| match step {
        FoundStep::Entry { place: at, key } if *at == place => {
            let name = [FoundStep::Key(Cow::Borrowed(key.as_ref()))];
            let all: Vec<&[FoundStep<'_>]> = below.iter().copied().chain([&name[..]]).collect();
            !write_without(element, &all, &mut String::new())
        }
        FoundStep::Entry { .. } | FoundStep::Index(_) | FoundStep::Key(_) => false,
    })
}

/// The rest of the ways whose first step is this one.
fn below<'w, 'a>(
    ways: &[&'w [FoundStep<'a>]],
    is_step: impl Fn(&FoundStep<'a>) -> bool,
) -> Vec<&'w [FoundStep<'a>]> {
    ways.iter()
        .filter_map(|way| way.split_first())
        .filter(|(step, _)| is_step(step))
        .map(|(_, rest)| rest)
        .collect()
}
