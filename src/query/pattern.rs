//! Patterns: text in which `*` stands for any text.
//!
//! This defines `*` for [`Query::matches`](super::Query::matches) and for every store. An engine may
//! find candidates by an index with [`Pattern::as_literal`] and [`Pattern::prefix`], but
//! [`Pattern::matches`] decides.

use std::collections::HashSet;
use std::ops::Deref;
use std::sync::OnceLock;

use memchr::memmem::Finder;

use crate::text;

/// Pieces of text with any text between them, or none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pattern {
    /// At least one piece. Only the first and the last may be empty.
    pieces: Vec<String>,
}

impl Pattern {
    pub(crate) fn literal(text: impl Into<String>) -> Self {
        Self { pieces: vec![text.into()] }
    }

    /// Returns the pattern of a text in which every `*` is a wildcard.
    pub(crate) fn glob(text: &str) -> Self {
        Self::from_pieces(text.split('*').map(str::to_owned))
    }

    /// Returns the pattern with these [pieces](Self::pieces). Without pieces it matches only empty
    /// text.
    pub(crate) fn from_pieces(pieces: impl IntoIterator<Item = String>) -> Self {
        let mut pieces: Vec<String> = pieces.into_iter().collect();
        let last = pieces.len().saturating_sub(1);
        let mut index = 0;
        // Two stars in a row mean the same as one.
        pieces.retain(|piece| {
            let inner = index > 0 && index < last;
            index += 1;
            !(inner && piece.is_empty())
        });
        if pieces.is_empty() {
            pieces.push(String::new());
        }
        Self { pieces }
    }

    pub(crate) fn pieces(&self) -> &[String] {
        &self.pieces
    }

    /// Returns the text of a pattern without a wildcard.
    pub(crate) fn as_literal(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [text] => Some(text),
            _ => None,
        }
    }

    /// Returns the prefix of every text that matches.
    pub(crate) fn prefix(&self) -> &str {
        self.pieces.first().map_or("", String::as_str)
    }

    /// Whether every text matches.
    pub(crate) fn matches_everything(&self) -> bool {
        self.pieces.len() > 1 && self.pieces.iter().all(String::is_empty)
    }

    /// Returns the pattern for folded text.
    pub(crate) fn folded(&self) -> Self {
        self.map(|piece| text::fold(piece).into_owned())
    }

    pub(super) fn map(&self, change: impl Fn(&str) -> String) -> Self {
        Self { pieces: self.pieces.iter().map(|piece| change(piece)).collect() }
    }

    /// Whether the whole text matches.
    pub(crate) fn matches(&self, text: &str) -> bool {
        self.matcher()(text.as_bytes())
    }

    /// Whether a part of the text matches.
    pub(crate) fn occurs_in(&self, text: &str) -> bool {
        self.searcher()(text.as_bytes())
    }

    /// Returns [`Self::matches`] prepared for many texts.
    pub(crate) fn matcher(&self) -> impl Fn(&[u8]) -> bool + '_ {
        let (first, rest) = self.pieces.split_first().expect("a pattern has a piece");
        let ends = rest.split_last();
        let middle = finders(ends.map_or(&[], |(_, middle)| middle));
        move |text| match ends {
            None => text == first.as_bytes(),
            Some((last, _)) => text
                .strip_prefix(first.as_bytes())
                .and_then(|text| text.strip_suffix(last.as_bytes()))
                .is_some_and(|text| contains_in_order(&middle, text)),
        }
    }

    /// Returns [`Self::occurs_in`] prepared for many texts.
    pub(crate) fn searcher(&self) -> impl Fn(&[u8]) -> bool + '_ {
        let pieces = finders(&self.pieces);
        move |text| contains_in_order(&pieces, text)
    }

    /// Returns the parts before and after the first slash.
    pub(super) fn split_at_slash(&self) -> Option<(Self, Self)> {
        let index = self.pieces.iter().position(|piece| piece.contains('/'))?;
        let (head, tail) = self.pieces[index].split_once('/')?;
        let before = self.pieces[..index].iter().cloned().chain([head.to_owned()]);
        let after = [tail.to_owned()].into_iter().chain(self.pieces[index + 1..].iter().cloned());
        Some((Self::from_pieces(before), Self::from_pieces(after)))
    }
}

/// Returns the least text that follows every text with this prefix; `None` where all of the prefix is
/// the last character.
pub(crate) fn prefix_upper_bound(prefix: &str) -> Option<String> {
    let mut after: String = prefix.to_owned();
    while let Some(last) = after.pop() {
        // The surrogates are no characters: behind U+D7FF comes U+E000.
        let next =
            if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(last as u32 + 1) };
        if let Some(next) = next {
            after.push(next);
            return Some(after);
        }
    }
    None
}

fn finders(pieces: &[String]) -> Vec<Finder<'_>> {
    pieces.iter().map(Finder::new).collect()
}

/// Whether the pieces occur in `text` one after another. A search of bytes suffices, because in UTF-8
/// no character is a part of another.
fn contains_in_order(pieces: &[Finder<'_>], mut text: &[u8]) -> bool {
    pieces.iter().all(|piece| match piece.find(text) {
        // The first occurrence leaves the most text for the pieces after it.
        Some(index) => {
            text = &text[index + piece.needle().len()..];
            true
        }
        None => false,
    })
}

/// Patterns of which any may match a text. Those without a wildcard are looked up, so that thousands of
/// them are tried as fast as a few.
#[derive(Clone, Debug, Default)]
pub(crate) struct PatternList {
    patterns: Vec<Pattern>,
    /// Made when there are many and the first text is tried.
    index: OnceLock<PatternIndex>,
}

#[derive(Clone, Debug)]
struct PatternIndex {
    literals: HashSet<String>,
    /// The patterns with a wildcard.
    starred: Vec<Pattern>,
}

/// The number of patterns up to which each is tried.
const MAX_TRIED: usize = 8;

impl PatternList {
    /// Whether any pattern matches the whole text.
    pub(crate) fn any_matches(&self, text: &str) -> bool {
        if self.patterns.len() <= MAX_TRIED {
            return self.patterns.iter().any(|pattern| pattern.matches(text));
        }
        let index = self.index.get_or_init(|| PatternIndex {
            literals: self
                .patterns
                .iter()
                .filter_map(Pattern::as_literal)
                .map(str::to_owned)
                .collect(),
            starred: self
                .patterns
                .iter()
                .filter(|one| one.as_literal().is_none())
                .cloned()
                .collect(),
        });
        index.literals.contains(text) || index.starred.iter().any(|pattern| pattern.matches(text))
    }

    /// Changes the patterns.
    pub(super) fn update(&mut self, change: impl FnOnce(&mut Vec<Pattern>)) {
        change(&mut self.patterns);
        self.index = OnceLock::new();
    }
}

impl From<Pattern> for PatternList {
    fn from(pattern: Pattern) -> Self {
        Self { patterns: vec![pattern], index: OnceLock::new() }
    }
}

impl Deref for PatternList {
    type Target = [Pattern];

    fn deref(&self) -> &[Pattern] {
        &self.patterns
    }
}

impl PartialEq for PatternList {
    fn eq(&self, other: &Self) -> bool {
        self.patterns == other.patterns
    }
}

/// A name that matches an id exactly, or a label in any case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NamePattern {
    pub id: Pattern,
    /// The pattern for the folded label.
    pub label: Pattern,
}

impl NamePattern {
    pub(super) fn new(pattern: Pattern) -> Self {
        Self { label: pattern.folded(), id: pattern }
    }

    /// Matches this very id, and no label: no label is empty.
    pub(super) fn of_id(id: &str) -> Self {
        Self { id: Pattern::literal(id), label: Pattern::literal("") }
    }

    /// Whether the id or the label matches. An absent one does not.
    pub(crate) fn matches(&self, id: Option<&str>, label: Option<&str>) -> bool {
        id.is_some_and(|id| self.id.matches(id))
            || label.is_some_and(|label| self.label.matches(&text::fold(label)))
    }
}

/// The name of a record in a query: an id, a label or `TYPE/ID`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TargetPattern {
    pub name: NamePattern,
    /// The patterns of the type and the id, where the name has a slash.
    pub type_and_id: Option<(Pattern, Pattern)>,
}

impl TargetPattern {
    pub(super) fn new(pattern: Pattern) -> Self {
        Self { type_and_id: pattern.split_at_slash(), name: NamePattern::new(pattern) }
    }

    /// Whether a record matches. `TYPE/*` matches every record of the type, also without an id.
    pub(crate) fn matches(
        &self,
        kind: Option<&str>,
        id: Option<&str>,
        label: Option<&str>,
    ) -> bool {
        let as_parts = || match (&self.type_and_id, kind) {
            (Some((kind_pattern, id_pattern)), Some(kind)) => {
                kind_pattern.matches(kind)
                    && id.map_or(id_pattern.matches_everything(), |id| id_pattern.matches(id))
            }
            _ => false,
        };
        self.name.matches(id, label) || as_parts()
    }
}
