//! Text in which `*` stands for anything.
//!
//! The one meaning of `*`, for [`matches`](super::Query::matches) and for every store: an engine
//! may use [`Pattern::as_literal`] and [`Pattern::prefix`] to find candidates by an index, but
//! [`Pattern::matches`] decides.

use memchr::memmem::Finder;

use crate::text;

/// Pieces of text, with anything, nothing included, between each two of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// At least one. Only the first and the last may be empty, unless one is all there is.
    pieces: Vec<String>,
}

impl Pattern {
    pub(crate) fn literal(text: impl Into<String>) -> Self {
        Self { pieces: vec![text.into()] }
    }

    /// Reads text in which every `*` stands for anything.
    pub(crate) fn glob(text: &str) -> Self {
        Self::from_pieces(text.split('*').map(str::to_owned))
    }

    /// Joins what [`Self::pieces`] took apart. Without a piece nothing matches but empty text.
    pub(crate) fn from_pieces(pieces: impl IntoIterator<Item = String>) -> Self {
        let mut pieces: Vec<String> = pieces.into_iter().collect();
        let last = pieces.len().saturating_sub(1);
        let mut place = 0;
        // Two stars in a row say no more than one.
        pieces.retain(|piece| {
            let inner = place > 0 && place < last;
            place += 1;
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

    /// The whole text, when no star is in it.
    pub(crate) fn as_literal(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [text] => Some(text),
            _ => None,
        }
    }

    /// What every text begins with that matches.
    pub(crate) fn prefix(&self) -> &str {
        self.pieces.first().map_or("", String::as_str)
    }

    /// Whether every text matches.
    pub(crate) fn matches_everything(&self) -> bool {
        self.pieces.len() > 1 && self.pieces.iter().all(String::is_empty)
    }

    /// The same for text that has been folded.
    pub(crate) fn folded(&self) -> Self {
        self.map(|piece| text::fold(piece).into_owned())
    }

    pub(super) fn map(&self, change: impl Fn(&str) -> String) -> Self {
        Self { pieces: self.pieces.iter().map(|piece| change(piece)).collect() }
    }

    /// Whether `text` as a whole is like this.
    pub(crate) fn matches(&self, text: &str) -> bool {
        self.matcher()(text.as_bytes())
    }

    /// Whether some part of `text` is like this.
    pub(crate) fn occurs_in(&self, text: &str) -> bool {
        self.searcher()(text.as_bytes())
    }

    /// [`Self::matches`] for very many texts.
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

    /// [`Self::occurs_in`] for very many texts.
    pub(crate) fn searcher(&self) -> impl Fn(&[u8]) -> bool + '_ {
        let pieces = finders(&self.pieces);
        move |text| contains_in_order(&pieces, text)
    }

    /// The parts before and after the first slash.
    pub(super) fn split_at_slash(&self) -> Option<(Self, Self)> {
        let place = self.pieces.iter().position(|piece| piece.contains('/'))?;
        let (head, tail) = self.pieces[place].split_once('/')?;
        let before = self.pieces[..place].iter().cloned().chain([head.to_owned()]);
        let after = [tail.to_owned()].into_iter().chain(self.pieces[place + 1..].iter().cloned());
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

/// Whether the pieces stand in `text` one behind the other. Whole characters are never found but in
/// whole characters: UTF-8 is made so.
fn contains_in_order(pieces: &[Finder<'_>], mut text: &[u8]) -> bool {
    pieces.iter().all(|piece| match piece.find(text) {
        // The earliest place leaves the most for the pieces behind it.
        Some(place) => {
            text = &text[place + piece.needle().len()..];
            true
        }
        None => false,
    })
}

/// A name that is matched exactly as an id and in any case as a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamePattern {
    pub id: Pattern,
    /// For the folded label.
    pub label: Pattern,
}

impl NamePattern {
    pub(super) fn new(pattern: Pattern) -> Self {
        Self { label: pattern.folded(), id: pattern }
    }

    /// An absent id or label matches nothing.
    pub(crate) fn matches(&self, id: Option<&str>, label: Option<&str>) -> bool {
        id.is_some_and(|id| self.id.matches(id))
            || label.is_some_and(|label| self.label.matches(&text::fold(label)))
    }
}

/// A record as it is named in a query: by id, label or `TYPE/ID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TargetPattern {
    pub name: NamePattern,
    /// Type and id, when there is a slash.
    pub type_and_id: Option<(Pattern, Pattern)>,
}

impl TargetPattern {
    pub(super) fn new(pattern: Pattern) -> Self {
        Self { type_and_id: pattern.split_at_slash(), name: NamePattern::new(pattern) }
    }

    /// `TYPE/*` is every record of the type, one without an id too.
    pub(crate) fn matches(
        &self,
        kind: Option<&str>,
        id: Option<&str>,
        label: Option<&str>,
    ) -> bool {
        let as_parts = || match (&self.type_and_id, kind) {
            (Some((of_kind, of_id)), Some(kind)) => {
                of_kind.matches(kind)
                    && id.map_or(of_id.matches_everything(), |id| of_id.matches(id))
            }
            _ => false,
        };
        self.name.matches(id, label) || as_parts()
    }
}
