//! No test file is forgotten: Cargo looks for none by itself here.

use std::fs;
use std::path::Path;

#[test]
fn every_file_of_tests_is_declared() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let main = fs::read_to_string(tests.join("main.rs")).unwrap();
    let files = modules(&tests);
    let forgotten = undeclared(&files, &main);
    assert!(forgotten.is_empty(), "not declared in tests/main.rs: {forgotten:?}");
}

#[test]
fn a_forgotten_file_is_found() {
    let files = ["list".to_owned(), "lost".to_owned()];
    assert_eq!(undeclared(&files, "mod list;\n// mod lost;\n"), ["lost"]);
}

fn modules(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let modules = entries.filter_map(|path| {
        let name = path.file_stem()?.to_str()?.to_owned();
        let is_module = path.extension().is_some_and(|extension| extension == "rs")
            || path.join("mod.rs").exists();
        (is_module && name != "main").then_some(name)
    });
    modules.collect()
}

fn undeclared<'a>(files: &'a [String], main: &str) -> Vec<&'a str> {
    let declared = |name: &str| main.lines().any(|line| line == format!("mod {name};"));
    files.iter().map(String::as_str).filter(|name| !declared(name)).collect()
}
