//! Refuses what other languages have and this one has not: `OR`, `AND`, `NOT`, `NAME=VALUE`. As words they
//! would find nothing, and nobody would know why.

use crate::query::error::ParseError;
use crate::query::error::quoted;
use crate::query::lex::Token;
use crate::query::qualifiers;

/// The comparisons that stand in place of a colon, the longest first, and whether they negate.
const COMPARISONS: [(&str, bool); 8] = [
    ("!=", true),
    ("==", false),
    (">=", false),
    ("<=", false),
    ("=~", false),
    ("=", false),
    (">", false),
    ("<", false),
];

/// The operators that people write without blanks between two terms, the longest first.
const GLUED: [&str; 3] = ["||", "|", "&&"];

/// The qualifiers whose values may begin with a comparison.
const ORDERED: [&str; 5] = ["id", "status", "severity", "on", "recorded_at"];

/// Refuses operators of other languages.
///
/// # Errors
/// The place of the operator, and the right spelling as a hint.
pub(super) fn refuse(tokens: &[Token], text: &str) -> Result<(), ParseError> {
    for (place, token) in tokens.iter().enumerate() {
        refuse_glued(token, tokens.get(place + 1), text)?;
        let Some(word) = bare_word(token) else { continue };
        let before = place.checked_sub(1).and_then(|place| tokens.get(place));
        let after = tokens.get(place + 1);
        let are_terms = [before, after].iter().flatten().all(|token| token.qualifier.is_some());
        // In lower case they are words, unless terms stand around them.
        let is_operator = |name: &str| {
            word == name || word.eq_ignore_ascii_case(name) && are_terms && after.is_some()
        };
        match (before, after) {
            (Some(before), Some(after)) if is_operator("OR") || word == "|" || word == "||" => {
                return Err(refuse_or(text, before, token, after));
            }
            (Some(_), Some(_)) if is_operator("AND") || word == "&&" || word == "&" => {
                let reason = format!("{word} is not needed: different terms narrow");
                let rest = [&text[..token.span.start], text[token.span.end..].trim_start()];
                return Err(ParseError::new(token.span.clone(), reason).hint(rest.concat()));
            }
            (_, Some(after)) if is_operator("NOT") || word == "!" => {
                let reason = format!("a leading - excludes, not {word}");
                let hint = format!("-{}", &text[after.span.clone()]);
                return Err(ParseError::new(token.span.clone(), reason).hint(hint));
            }
            (Some(before), Some(after)) if is_comparison(word) => {
                if let (Some(name), Some(value)) = (bare_word(before), bare_word(after)) {
                    refuse_comparison(token, name, word, value)?;
                }
            }
            _ => {}
        }
        let operator = COMPARISONS
            .iter()
            .filter_map(|(operator, _)| word.find(operator).map(|place| (place, *operator)));
        // At the first place, the longest.
        if let Some((place, operator)) = operator.min_by_key(|(place, _)| *place) {
            let value = &word[place + operator.len()..];
            refuse_comparison(token, &word[..place], operator, value)?;
        }
    }
    Ok(())
}

/// Whether a word without quotes might be taken for an operator.
pub(super) fn may_be_operator(word: &str) -> bool {
    let names = ["or", "and", "not"];
    word.contains(['=', '<', '>', '!', '&', '|'])
        || names.iter().any(|name| name.eq_ignore_ascii_case(word))
}

/// Returns the text of a token that is a word without quotes.
fn bare_word(token: &Token) -> Option<&str> {
    let is_plain = token.qualifier.is_none() && !token.negated;
    token.values.first().filter(|word| is_plain && !word.is_quoted()).map(|word| word.text.as_str())
}

fn is_comparison(word: &str) -> bool {
    COMPARISONS.iter().any(|(operator, _)| *operator == word)
}

/// Refuses `NAME:VALUE|NAME:VALUE`, where the operator has become part of a value.
fn refuse_glued(token: &Token, next: Option<&Token>, text: &str) -> Result<(), ParseError> {
    let Some(name) = &token.qualifier else { return Ok(()) };
    let name_of = |term: &str| {
        let (name, value) = term.split_once(':')?;
        let name = name.trim_start_matches('-');
        let is_known = qualifiers::payload_key(name).is_some() || qualifiers::find(name).is_some();
        is_known.then(|| (name.to_owned(), value.to_owned()))
    };
    for value in token.values.iter().filter(|value| !value.is_quoted()) {
        let found =
            GLUED.iter().find_map(|operator| value.text.split_once(operator).zip(Some(operator)));
        let Some(((before, rest), operator)) = found else { continue };
        let next =
            next.filter(|next| next.qualifier.is_some()).map(|next| &text[next.span.clone()]);
        let rest = if rest.is_empty() { next.unwrap_or_default() } else { rest };
        let Some((other, other_value)) = name_of(rest) else { continue };
        let same = name.text.eq_ignore_ascii_case(&other) && !rest.starts_with('-');
        let (why, hint) = if *operator == "&&" {
            ("different terms narrow", format!("{}:{before} {rest}", name.text))
        } else if same {
            let hint = format!("{}:{before},{other_value}", name.text);
            ("a comma or the same qualifier again means or", hint)
        } else {
            let why = "only values of one qualifier widen";
            (why, "one query after the other finds either".to_owned())
        };
        let reason = format!("{operator} is not part of the language: {why}");
        return Err(ParseError::new(value.span.clone(), reason).hint(hint));
    }
    Ok(())
}

fn refuse_or(text: &str, before: &Token, token: &Token, after: &Token) -> ParseError {
    let word = &text[token.span.clone()];
    let name = |token: &Token| token.qualifier.as_ref().map(|name| name.text.to_ascii_lowercase());
    let values = |token: &Token| match (token.values.first(), token.values.last()) {
        (Some(first), Some(last)) => text[first.span.start..last.span.end].to_owned(),
        _ => String::new(),
    };
    let (one, other) = (name(before), name(after));
    if one.is_some() && one == other && before.negated == after.negated {
        let reason = format!("{word} is not needed: a comma or the same qualifier again means or");
        let hint = format!("{},{}", &text[before.span.clone()], values(after));
        return ParseError::new(token.span.clone(), reason).hint(hint);
    }
    if let (Some(one), Some(other)) = (bare_word(before), bare_word(after))
        && [one, other].iter().all(|word| word.contains('.'))
    {
        let reason = format!("{word} is not needed: a comma means or");
        return ParseError::new(token.span.clone(), reason).hint(format!("action:{one},{other}"));
    }
    let reason = format!("{word} is not part of the language: only values of one qualifier widen");
    ParseError::new(token.span.clone(), reason).hint("one query after the other finds either")
}

/// Refuses `NAME=VALUE` where the name is that of a qualifier.
fn refuse_comparison(
    token: &Token,
    name: &str,
    operator: &str,
    value: &str,
) -> Result<(), ParseError> {
    let is_known = qualifiers::payload_key(name).is_some() || qualifiers::find(name).is_some();
    if name.is_empty() || !is_known {
        return Ok(());
    }
    let known = qualifiers::find(name).map_or(name, |qualifier| qualifier.name);
    let is_ordered = ORDERED.contains(&known) && operator.starts_with(['<', '>']);
    let negates = COMPARISONS.iter().any(|(known, negates)| *known == operator && *negates);
    let spelling = match known {
        "since" | "until" | "days" => format!("{known}:{value}"),
        _ if is_ordered => format!("{known}:{operator}{value}"),
        _ => format!("{}{name}:{value}", if negates { "-" } else { "" }),
    };
    let reason = format!(
        "{} is not a term: a colon follows a qualifier",
        quoted(&format!("{name}{operator}"))
    );
    Err(ParseError::new(token.span.clone(), reason).hint(spelling))
}
