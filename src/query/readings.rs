//! Other things that a query could have meant: a word that is an action, an address that is no name, a
//! value whose quotes the shell ate. They are tried where the query finds nothing.

use std::net::IpAddr;

use crate::event::Severity;
use crate::query::lex;
use crate::query::lex::Token;
use crate::query::value::EventProperty;

/// A query that could have been meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OtherReading {
    /// The term that differs, as it is written.
    pub term: String,
    /// The whole query with that term.
    pub query: String,
}

/// Returns what a query could have meant; nothing if it does not parse.
pub(crate) fn other_readings(text: &str) -> Vec<OtherReading> {
    let Ok(tokens) = lex::tokenize(text) else { return Vec::new() };
    let mut readings = Vec::new();
    for (place, token) in tokens.iter().enumerate() {
        for (term, end) in terms_for(text, token, &tokens[place + 1..]) {
            let query = format!("{}{term}{}", &text[..token.span.start], &text[end..]);
            let reading = OtherReading { term, query };
            if !readings.contains(&reading) {
                readings.push(reading);
            }
        }
    }
    readings
}

/// Returns the terms that may have been meant by a token, each with the end of what it replaces.
fn terms_for(text: &str, token: &Token, behind: &[Token]) -> Vec<(String, usize)> {
    let Some(value) = token.values.first() else { return Vec::new() };
    let sign = if token.negated { "-" } else { "" };
    let word = value.text.as_str();
    let end = token.span.end;
    let Some(qualifier) = &token.qualifier else {
        let is_plain = !value.is_quoted() && !word.contains('*');
        let terms = if is_plain { terms_for_word(word) } else { Vec::new() };
        return terms.into_iter().map(|term| (format!("{sign}{term}"), end)).collect();
    };
    let name = qualifier.text.as_str();
    if matches!(name, "actor" | "person") && matches!(word, "(system)" | "system") {
        return vec![(format!("{sign}is:system"), end)];
    }
    // The blanks of a value that has lost its quotes: each word more may belong to it.
    let is_bare = |token: &&Token| {
        token.qualifier.is_none()
            && !token.negated
            && token.values.iter().all(|word| !word.is_quoted())
    };
    if token.values.len() > 1 || value.is_quoted() {
        return Vec::new();
    }
    let words = behind.iter().take_while(is_bare).map(|word| word.span.end);
    let joined = words.map(|end| {
        let value = &text[value.span.start..end];
        (format!("{sign}{name}:\"{value}\""), end)
    });
    joined.collect()
}

/// Returns the terms that may have been meant by a word.
fn terms_for_word(word: &str) -> Vec<String> {
    let mut terms = Vec::new();
    let slug = |c: char| c.is_ascii_alphanumeric() || "_.:/-".contains(c);
    if word == "(system)" {
        terms.push("is:system".to_owned());
    }
    if word.parse::<IpAddr>().is_ok() || word.contains('/') && is_network(word) {
        terms.push(format!("ip:{word}"));
    }
    if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()) {
        if word.len() == 3 {
            terms.push(format!("status:{word}"));
        }
        terms.extend(["id", "target_id", "actor_id"].map(|name| format!("{name}:{word}")));
        return terms;
    }
    if word.chars().all(slug) {
        terms.push(format!("action:{word}"));
        terms.push(format!("action:{word}.*"));
        terms.push(format!("event:{word}"));
    }
    if let Some(property) = EventProperty::parse(word) {
        terms.push(format!("is:{}", property.name()));
    }
    if Severity::parse(word).is_some() {
        terms.push(format!("severity:{word}"));
    }
    if word.contains('/') && !word.starts_with('/') {
        terms.push(format!("target:{word}"));
    }
    if word.starts_with('/') {
        terms.push(format!("endpoint:{word}"));
    }
    terms.extend(["target_id", "actor_id"].map(|name| format!("{name}:{word}")));
    terms
}

fn is_network(word: &str) -> bool {
    let parts = word.split_once('/');
    parts.is_some_and(|(address, bits)| {
        address.parse::<IpAddr>().is_ok() && bits.parse::<u8>().is_ok()
    })
}
