//! Holds the layers: a module imports only from modules before it, and each crate has its place.
//!
//! The sources are read as text. That is why a grouped import from the crate's root is refused:
//! it would hide what it imports.

use std::fs;
use std::path::Path;

/// The modules in their one order; a module may name those before it, and itself.
const LAYERS: [&str; 37] = [
    "text",
    "failure",
    "lent_rights",
    "atomic_file",
    "retry",
    "secret",
    "time",
    "event",
    "query",
    "retention",
    "map",
    "codec",
    "chain",
    "access",
    "config",
    "caller",
    "settings",
    "manual",
    "terminal",
    "interrupt",
    "http",
    "tls",
    "store",
    "render",
    "ingest",
    "export",
    "verify",
    "backup",
    "digest",
    "mirror",
    "doctor",
    "sweep",
    "setup",
    "context",
    "args",
    "commands",
    "main",
];

/// The modules that may name each crate; an empty list means all.
const CRATE_PLACES: [(&str, &[&str]); 39] = [
    ("anyhow", &[]),
    ("base64", &["verify", "digest", "mirror"]),
    ("chrono", &["time"]),
    ("chrono_tz", &["time"]),
    ("clap", &["args", "commands", "main"]),
    ("clap_complete", &["commands"]),
    ("clap_mangen", &["commands"]),
    ("comfy_table", &["render"]),
    ("csv", &["codec"]),
    ("flate2", &["codec", "mirror"]),
    ("httpdate", &["retry"]),
    // No module names it: its version decides what url builds on.
    ("idna_adapter", &["http"]),
    ("indicatif", &["terminal"]),
    ("lettre", &["digest"]),
    ("libsqlite3_sys", &["store"]),
    ("memchr", &["query", "codec"]),
    ("minijinja", &["map", "digest"]),
    ("percent_encoding", &["digest"]),
    ("quoted_printable", &["verify"]),
    ("regex", &["map"]),
    ("ring", &["chain", "store", "ingest", "tls", "mirror"]),
    ("rusqlite", &["store"]),
    ("rustix", &[]),
    ("rustls", &["tls"]),
    ("rustls_native_certs", &["http"]),
    ("ruzstd", &["codec"]),
    ("serde", &["event", "codec", "config", "render", "digest", "mirror"]),
    ("serde_json", &[]),
    ("signal_hook", &["main", "interrupt"]),
    ("tokio", &["store"]),
    ("tokio_postgres", &["store"]),
    ("tokio_postgres_rustls", &["store"]),
    ("toml", &["map", "config"]),
    ("unicode_segmentation", &["text", "render"]),
    ("unicode_width", &["text"]),
    ("ureq", &["http"]),
    ("url", &["http", "digest", "store", "mirror"]),
    ("uuid", &["chain", "store"]),
    ("webpki_roots", &["tls"]),
];

#[test]
fn modules_import_from_the_layers_before_them() {
    let mut breaches = Vec::new();
    let mut count = 0;
    for (module, path, source) in source_files() {
        count += 1;
        let deep = path.matches('/').count() - usize::from(path.ends_with("/mod.rs"));
        breaches.extend(breaches_of(&module, deep, &source).map(|why| format!("{path}:{why}")));
    }
    assert!(count > 20, "only {count} source files found");
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
}

#[test]
fn every_module_has_its_layer_and_every_crate_its_place() {
    let main = read_file("src/main.rs");
    let declared = main.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    let unknown: Vec<_> = declared.filter(|module| !LAYERS.contains(module)).collect();
    assert!(unknown.is_empty(), "modules without a layer: {unknown:?}");

    let manifest = read_file("Cargo.toml");
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap();
    let dependencies = dependencies.split("\n[").next().unwrap();
    let names =
        dependencies.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name);
    let homeless: Vec<_> = names
        .filter(|name| !name.starts_with('#'))
        .filter(|name| !CRATE_PLACES.iter().any(|(place, _)| *place == name.replace('-', "_")))
        .collect();
    assert!(homeless.is_empty(), "crates without a place: {homeless:?}");
}

#[test]
fn planted_breaches_are_caught() {
    let caught = |module, source| breaches_of(module, 1, source).collect::<Vec<_>>();

    assert_eq!(caught("event", "use crate::time::Zone;\nuse crate::event::Json;\n"), [""; 0]);
    assert_eq!(caught("render", "//! Beside [`crate::store`].\n/// crate::store\n"), [""; 0]);
    assert_eq!(caught("store", "    use super::*;\n"), [""; 0]);
    let deeper = "use super::*;\n    super::super::Piece";
    assert_eq!(breaches_of("codec", 3, deeper).collect::<Vec<_>>(), [""; 0]);
    assert_eq!(breaches_of("codec", 2, "use super::super::store;\n").count(), 1);

    for (module, source) in [
        ("event", "use crate::store::Log;\n"),
        ("render", "fn f(log: &crate::store::Log) {}\nfn g() { crate::commands::run() }\n"),
        ("codec", "use crate::{event::Event, text};\n"),
        ("commands", "use crate::nowhere::Thing;\n"),
        ("query", "use chrono::Utc;\n"),
        ("render", "let value: rusqlite::Value = x;\n"),
        ("store", "#[derive(clap::Args)]\n"),
        ("text", "use super::failure::Exit;\n"),
        ("text", "    use super::super::failure::Exit;\n"),
        ("text", "pub(crate) use crate::*;\n"),
    ] {
        assert!(!caught(module, source).is_empty(), "not caught in {module}: {source}");
    }
}

/// The source files with the module of the first level that they belong to.
fn source_files() -> Vec<(String, String, String)> {
    fn visit(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    visit(&root, &mut found);
    let described = found.iter().map(|path| {
        let inner = path.strip_prefix(&root).unwrap();
        let first = inner.components().next().unwrap().as_os_str().to_str().unwrap();
        let module = first.strip_suffix(".rs").unwrap_or(first).to_owned();
        (module, format!("src/{}", inner.display()), fs::read_to_string(path).unwrap())
    });
    described.collect()
}

fn read_file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Finds the breaches in a file. `deep`: the number of `super`s from the file to the crate's root.
fn breaches_of<'a>(
    module: &'a str,
    deep: usize,
    source: &'a str,
) -> impl Iterator<Item = String> + 'a {
    let lines = source.lines().enumerate();
    lines.flat_map(move |(number, line)| {
        let code = line.split("//").next().unwrap_or(line);
        let of_modules =
            identifiers_after(code, "crate::").filter_map(|name| layer_breach(module, name));
        let of_crates = CRATE_PLACES.iter().filter_map(|(name, places)| {
            let wrong =
                !places.is_empty() && !places.contains(&module) && is_crate_named(code, name);
            wrong.then(|| format!("{name} has its place in {}", places.join(", ")))
        });
        // From a module inside the file, the root is one level further.
        let root = "super::".repeat(deep + usize::from(code.starts_with(' ')));
        let upwards = code
            .contains(&root)
            .then(|| "name the module from the root: `use crate::…`".to_owned());
        of_modules
            .chain(of_crates)
            .chain(upwards)
            .map(move |breach| format!("{}: {breach}", number + 1))
            .collect::<Vec<_>>()
    })
}

/// The reason why one module may not name another; absent where it may.
fn layer_breach(module: &str, name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("an import from the root names its modules one by one".to_owned());
    }
    let layer = |module: &str| LAYERS.iter().position(|other| *other == module);
    match (layer(module), layer(name)) {
        (_, None) => Some(format!("{name} has no layer")),
        (Some(own), Some(other)) if other <= own => None,
        _ => Some(format!("{module} comes before {name}")),
    }
}

/// The identifiers that stand directly behind a prefix; an empty one where none does.
fn identifiers_after<'a>(code: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    code.match_indices(prefix).map(move |(at, _)| {
        let rest = &code[at + prefix.len()..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    })
}

/// Whether code names a crate: its name as a word, with a path behind it.
fn is_crate_named(code: &str, name: &str) -> bool {
    code.match_indices(&format!("{name}::")).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}
