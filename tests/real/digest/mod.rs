//! The digest against counterparts that others wrote, on hosts where things go wrong, and for a month.

mod faults;
mod mail_server;
mod month;
mod postfix;
mod sendgrid;
mod smtp;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;
use serde_json::json;

use crate::support::Output;
use crate::support::Sandbox;
use crate::support::clock;
use crate::support::join_lines;

const SENDGRID_KEY: &str = "SG.hush-hush.0123456789";

/// A config of a digest with these further lines.
fn digest_config(transport: &str, more: &str) -> String {
    format!(
        "site = 's2l.online'\n[digest]\nfrom = 'Site activity <log@example.org>'\n\
         to = ['ops@example.org', '\"Müller, Ä.\" <hello@example.org>']\n\
         transport = '{transport}'\n{more}\n"
    )
}

/// A minute old each, done by a person.
fn events(actions: &[&str]) -> String {
    let at = clock::seconds_ago(60);
    let event = |action: &&str| {
        json!({"action": action, "occurred_at": at, "actor_id": "3", "actor_label": "Jerome Cruz"})
            .to_string()
    };
    join_lines(actions.iter().map(event))
}

/// The outcomes of digests that the log has, the oldest first: action and payload.
fn digest_outcomes(sandbox: &Sandbox) -> Vec<(String, Value)> {
    let own = sandbox.stored_events().into_iter();
    own.filter(|event| event["action"].as_str().unwrap().starts_with("digest."))
        .map(|event| (event["action"].as_str().unwrap().to_owned(), event["payload"].clone()))
        .collect()
}

/// Writes a program in the place of `sendmail` that keeps each letter in a file of `letters/`.
pub(crate) fn install_sendmail(sandbox: &Sandbox) {
    fs::create_dir(sandbox.path("letters")).unwrap();
    let script = "#!/bin/sh\nd=${0%/*}/letters\ncat > $d/new\nn=$(ls $d | wc -l)\nmv $d/new $d/$(printf %03d $n)\n";
    let script = sandbox.write("sendmail", script);
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
}

pub(crate) fn sendmail_config(sandbox: &Sandbox, more: &str) -> String {
    let command = sandbox.path("sendmail");
    digest_config(
        "sendmail",
        &format!("{more}\n[digest.sendmail]\ncommand = ['{}']", command.display()),
    )
}

/// The letters in a folder in the order of their names, as another parser reads them.
pub(crate) fn parse_letters(sandbox: &Sandbox, folder: &Path) -> Vec<Value> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = entries.collect();
    paths.sort();
    if paths.is_empty() {
        return Vec::new();
    }
    let mut command = mail_server::python_command(sandbox);
    command.arg(mail_server::script_path("letter.py")).args(&paths);
    sandbox.run_command(command).ok().no_stderr().json_lines()
}

/// The values of a header, of which there may be several.
fn header_values<'a>(letter: &'a Value, name: &str) -> Vec<&'a str> {
    let headers = letter["headers"].as_array().unwrap().iter();
    let named = headers.filter(|header| header[0].as_str().unwrap().eq_ignore_ascii_case(name));
    named.map(|header| header[1].as_str().unwrap()).collect()
}

/// The only value of a header.
#[track_caller]
pub(crate) fn single_header<'a>(letter: &'a Value, name: &str) -> &'a str {
    let values = header_values(letter, name);
    assert_eq!(values.len(), 1, "{name} in {}", letter["headers"]);
    values[0]
}

/// The plain part.
pub(crate) fn text_body(letter: &Value) -> &str {
    assert_eq!(letter["parts"][0]["type"], "text/plain");
    letter["parts"][0]["content"].as_str().unwrap()
}

/// Checks that no secret is in the output of a run, and returns the output.
#[track_caller]
fn assert_no_secret(out: Output, secrets: &[&str]) -> Output {
    let said = out.to_string();
    assert!(secrets.iter().all(|secret| !said.contains(secret)), "{out}");
    out
}
