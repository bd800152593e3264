//! The names hold: a type has one meaning in the crate, and no text cites a document that readers
//! of the repository cannot open.
//!
//! The sources are read as text, as they are formatted: an item begins a line.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Type names that more than one module may define, each with the reason.
const SHARED_TYPE_NAMES: [(&str, &str); 0] = [];

/// Function names that say nothing about what the function does.
const REFUSED_FUNCTION_NAMES: [&str; 1] = ["told"];

/// Documents of other places.
const ABSENT_DOCUMENTS: [&str; 6] =
    ["CONTRACT", "DESIGN", "RELIABILITY", "STYLE.md", "SCREENS", "CENTRAL"];

/// The only file that may name them.
const OWN_PATH: &str = "tests/names.rs";

const TYPE_KEYWORDS: [&str; 5] = ["struct", "enum", "trait", "type", "union"];

#[test]
fn a_type_name_is_defined_once() {
    let sources = sources();
    let mut places: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (path, text) in &sources {
        for name in type_names(text) {
            places.entry(name).or_default().insert(path);
        }
    }
    assert!(places.len() > 100, "only {} types found", places.len());
    let is_shared = |name: &str| SHARED_TYPE_NAMES.iter().any(|(shared, _)| *shared == name);
    let doubles: Vec<String> = places
        .iter()
        .filter(|(name, paths)| paths.len() > 1 && !is_shared(name))
        .map(|(name, paths)| format!("{name}: {paths:?}"))
        .collect();
    assert!(doubles.is_empty(), "defined in several modules:\n{}", doubles.join("\n"));
    for (name, reason) in SHARED_TYPE_NAMES {
        let count = places.get(name).map_or(0, BTreeSet::len);
        assert!(count > 1, "{name} ({reason}) is no longer shared: remove the exception");
    }
}

#[test]
fn function_names_say_something() {
    let sources = sources();
    let refused: Vec<String> = sources
        .iter()
        .flat_map(|(path, text)| {
            let names =
                item_names(text, &["fn"]).filter(|name| REFUSED_FUNCTION_NAMES.contains(name));
            names.map(move |name| format!("{path}: {name}"))
        })
        .collect();
    assert!(refused.is_empty(), "rename:\n{}", refused.join("\n"));
}

#[test]
fn every_document_that_is_cited_is_in_the_repository() {
    let mut citations = Vec::new();
    for (path, text) in repository_texts() {
        for (number, line) in (1..).zip(text.lines()) {
            citations.extend(cited(line).map(|document| format!("{path}:{number}: {document}")));
        }
    }
    assert!(citations.is_empty(), "say the rule itself:\n{}", citations.join("\n"));
}

#[test]
fn planted_names_are_found() {
    let text = "pub(crate) struct One<'a> {\n    type_: u8,\n}\nenum Two {}\n\
                impl Iterator for One<'_> {\n    type Item = u8;\n    fn next() {\n    }\n}\n\
                trait Three {\n    type Output;\n}\n\
                mod tests {\n    type Four = u8;\n    pub(super) unsafe trait Five {}\n}\n\
                /// struct Six\n// enum Seven\nlet structure = 1;\npub union Eight {}\n";
    let names: Vec<&str> = type_names(text).collect();
    assert_eq!(names, ["One", "Two", "Three", "Four", "Five", "Eight"]);
    let functions = "fn a() {\n    pub(crate) const fn told() {\n// fn b\n";
    assert_eq!(item_names(functions, &["fn"]).collect::<Vec<_>>(), ["a", "told"]);
    assert_eq!(cited("see DESIGN, and STYLE.md").collect::<Vec<_>>(), ["DESIGN", "STYLE.md"]);
    assert_eq!(cited("a DESIGNER, REDESIGN, CENTRAL_HOST, STYLE").count(), 0);
}

/// The types that a source file defines; the associated types of traits are none.
fn type_names(text: &str) -> impl Iterator<Item = &str> {
    let mut headers: Vec<&str> = Vec::new();
    text.lines().filter_map(move |line| {
        let indent = indent(line);
        headers.retain(|header| indent > self::indent(header));
        let is_associated = headers.last().is_some_and(|header| {
            header
                .split(|c: char| !c.is_alphanumeric())
                .any(|word| word == "impl" || word == "trait")
        });
        if line.ends_with('{') {
            headers.push(line);
        }
        let name = item_name(line, &TYPE_KEYWORDS)?;
        (!is_associated).then_some(name)
    })
}

fn item_names<'a>(text: &'a str, keywords: &'a [&str]) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| item_name(line, keywords))
}

/// The name of the item that a line begins with one of the keywords, after what may precede it.
fn item_name<'a>(line: &'a str, keywords: &[&str]) -> Option<&'a str> {
    let mut words = line.split_ascii_whitespace();
    let precedes = |word: &str| {
        word.starts_with("pub") || ["const", "unsafe", "async", "extern", "\"C\""].contains(&word)
    };
    let keyword = words.find(|word| !precedes(word))?;
    let rest = words.next().filter(|_| keywords.contains(&keyword))?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let name = &rest[..end];
    (!name.is_empty()).then_some(name)
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The absent documents that a line names as whole words.
fn cited(line: &str) -> impl Iterator<Item = &'static str> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    ABSENT_DOCUMENTS.into_iter().filter(move |document| {
        line.match_indices(document).any(|(at, _)| {
            let (before, after) = (&line[..at], &line[at + document.len()..]);
            !before.ends_with(is_part) && !after.starts_with(is_part)
        })
    })
}

/// The sources of the program, each with its path in the repository.
fn sources() -> Vec<(String, String)> {
    texts_in("src").into_iter().filter(|(path, _)| path.ends_with(".rs")).collect()
}

/// The texts of the repository, except licences, what was built and this file.
fn repository_texts() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    let is_ours = |name: &str| name != "target" && name != ".git" && !name.starts_with("LICENSE");
    let kept = names.filter(|name| is_ours(name));
    let texts = kept.flat_map(|name| texts_in(&name));
    texts.filter(|(path, _)| path != OWN_PATH).collect()
}

/// The texts of a file or a folder, each with its path in the repository.
fn texts_in(path: &str) -> Vec<(String, String)> {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if full.is_dir() {
        let names = fs::read_dir(full).unwrap().map(|entry| entry.unwrap().file_name());
        let names = names.map(|name| name.into_string().unwrap());
        return names.flat_map(|name| texts_in(&format!("{path}/{name}"))).collect();
    }
    // Bytes that are no text, as in a log, cite nothing.
    fs::read_to_string(full).map(|text| (path.to_owned(), text)).into_iter().collect()
}
