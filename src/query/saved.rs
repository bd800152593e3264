//! Saved queries: `@night` stands for the text that the config has under that name.
//!
//! The text takes the place of the name, so both mean the same in every place. In quotes, and with
//! other signs than a name has (`@example.org`), an `@` is a letter like any other.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::text;

/// The saved queries by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SavedQueries {
    texts: BTreeMap<String, String>,
}

impl FromIterator<(String, String)> for SavedQueries {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(all: I) -> Self {
        Self { texts: all.into_iter().collect() }
    }
}

impl SavedQueries {
    /// Returns the names and texts, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// Whether a query can be saved under a name.
    pub(crate) fn is_name(name: &str) -> bool {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        !name.is_empty() && name.chars().all(fits)
    }

    /// Puts the texts of saved queries in the place of their names.
    ///
    /// # Errors
    /// One line: nothing is saved under a name, or a name is negated.
    pub(crate) fn expand<'a>(&self, query: &'a str) -> Result<Cow<'a, str>, String> {
        if !query.contains('@') {
            return Ok(Cow::Borrowed(query));
        }
        let mut expanded = String::with_capacity(query.len());
        for (is_gap, part) in split_at_blanks(query) {
            match part.strip_prefix('-').unwrap_or(part).strip_prefix('@') {
                Some(name) if !is_gap && Self::is_name(name) => {
                    expanded.push_str(self.get(name, part.starts_with('-'))?);
                }
                Some(_) | None => expanded.push_str(part),
            }
        }
        Ok(Cow::Owned(expanded))
    }

    fn get(&self, name: &str, is_negated: bool) -> Result<&str, String> {
        let Some(text) = self.texts.get(name) else {
            let hint = match text::nearest(name, self.texts.keys().map(String::as_str)) {
                Some(near) => format!("did you mean @{near}?"),
                None => "in quotes it is a word to search for".to_owned(),
            };
            return Err(format!("no query is saved as @{name}; {hint}"));
        };
        if is_negated {
            return Err(format!(
                "@{name} cannot be excluded as a whole: write {text} with its dashes"
            ));
        }
        Ok(text)
    }
}

/// Splits a query at the blanks outside of quotes; `true` marks blanks.
fn split_at_blanks(query: &str) -> Vec<(bool, &str)> {
    let mut parts = Vec::new();
    let (mut start, mut is_gap, mut is_quoted, mut is_escaped) = (0, false, false, false);
    for (place, c) in query.char_indices() {
        let gap = c.is_whitespace() && !is_quoted;
        if gap != is_gap {
            parts.push((is_gap, &query[start..place]));
            (start, is_gap) = (place, gap);
        }
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ => {}
        }
    }
    parts.push((is_gap, &query[start..]));
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn saved() -> SavedQueries {
        let pair = |(name, text): (&str, &str)| (name.to_owned(), text.to_owned());
        [("night", "action:auth.* is:failed"), ("ann", "actor:\"Ann B\"")]
            .map(pair)
            .into_iter()
            .collect()
    }

    #[test]
    fn a_name_stands_for_its_text() {
        let expanded = |query| saved().expand(query).unwrap().into_owned();
        assert_eq!(expanded("@night"), "action:auth.* is:failed");
        assert_eq!(expanded("x @ann  @night"), "x actor:\"Ann B\"  action:auth.* is:failed");
        assert_eq!(
            expanded("\"@night\" @example.org a@night actor:@night"),
            "\"@night\" @example.org a@night actor:@night"
        );
        assert_eq!(expanded("\"a \\\" @night\""), "\"a \\\" @night\"");
    }

    #[test]
    fn an_unknown_name_is_an_error() {
        let refused = |query| saved().expand(query).unwrap_err();
        assert_eq!(refused("@nigth"), "no query is saved as @nigth; did you mean @night?");
        assert!(refused("@bob").ends_with("in quotes it is a word to search for"));
        assert!(refused("-@night").starts_with("@night cannot be excluded as a whole"));
    }

    proptest! {
        #[test]
        fn without_names_nothing_changes(query in "[a-z\"\\\\ .:-]{0,30}") {
            let expanded = saved().expand(&query).unwrap().into_owned();
            prop_assert_eq!(expanded, query);
        }

        #[test]
        fn parts_make_the_whole(query in "[@a\"\\\\ ]{0,30}") {
            let whole: String = split_at_blanks(&query).into_iter().map(|(_, part)| part).collect();
            prop_assert_eq!(whole, query);
        }
    }
}
