//! Splits a query into its terms, and a flag's value into its values: blanks, quotes, commas,
//! colons and stars. What they mean is decided in [`super::parse`].

use std::ops::Range;

use super::error::Bad;
use super::pattern::Pattern;

/// A piece of a query without its quotes.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub text: String,
    /// Where in `text` a `*` stands for anything.
    stars: Vec<usize>,
    /// Where it stands in the query, quotes included.
    pub span: Range<usize>,
    /// Up to where in `text` blanks were quoted.
    quoted_to: usize,
}

impl Chunk {
    fn starting_at(place: usize) -> Self {
        Self { span: place..place, ..Self::default() }
    }

    pub(super) fn pattern(&self) -> Pattern {
        let mut from = 0;
        let mut pieces = Vec::with_capacity(self.stars.len() + 1);
        for star in &self.stars {
            pieces.push(self.text[from..*star].to_owned());
            from = star + 1;
        }
        pieces.push(self.text[from..].to_owned());
        Pattern::from_pieces(pieces)
    }

    /// Where a part of `text` stands in the query; all of it, when quotes make that uncertain.
    pub(super) fn place_of(&self, part: &str) -> Range<usize> {
        match self.text.find(part) {
            Some(start) if self.text.len() == self.span.len() && !part.is_empty() => {
                let start = self.span.start + start;
                start..start + part.len()
            }
            _ => self.span.clone(),
        }
    }
}

/// One term of a query.
#[derive(Debug)]
pub(super) struct Token {
    pub negated: bool,
    /// What stands before the first colon.
    pub qualifier: Option<Chunk>,
    /// One for a word or phrase, one or more behind a qualifier.
    pub values: Vec<Chunk>,
    pub span: Range<usize>,
}

/// The terms of a query.
///
/// # Errors
/// A quote that is not closed, or a minus that nothing follows.
pub(super) fn query(text: &str) -> Result<Vec<Token>, Bad> {
    let mut reader = Reader { text, place: 0 };
    let mut tokens = Vec::new();
    loop {
        reader.skip_blanks();
        if reader.peek().is_none() {
            return Ok(tokens);
        }
        tokens.push(reader.token()?);
    }
}

/// The values of a flag, and whether they are excluded.
///
/// # Errors
/// A quote that is not closed.
pub(super) fn flag(text: &str) -> Result<(bool, Vec<Chunk>), Bad> {
    let mut reader = Reader { text, place: 0 };
    reader.skip_blanks();
    let negated = reader.take('!');
    let mut values = Vec::new();
    loop {
        reader.skip_blanks();
        let mut value = reader.chunk(|c| c == ',')?;
        let kept = value.text[value.quoted_to..].trim_end().len() + value.quoted_to;
        value.span.end -= value.text.len() - kept;
        value.text.truncate(kept);
        values.push(value);
        if !reader.take(',') {
            return Ok((negated, values));
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    place: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.place..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.place += c.len_utf8();
        Some(c)
    }

    fn take(&mut self, expected: char) -> bool {
        let there = self.peek() == Some(expected);
        if there {
            self.place += expected.len_utf8();
        }
        there
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.next();
        }
    }

    fn token(&mut self) -> Result<Token, Bad> {
        let start = self.place;
        let negated = self.take('-');
        if self.peek().is_none_or(char::is_whitespace) {
            return Err(Bad::new(
                start..self.place,
                "a minus excludes what follows it, and nothing does",
            ));
        }
        let first = self.chunk(|c| c == ':' || c.is_whitespace())?;
        let (mut qualifier, mut values) = (None, Vec::new());
        if self.take(':') {
            qualifier = Some(first);
            loop {
                values.push(self.chunk(|c| c == ',' || c.is_whitespace())?);
                if !self.take(',') {
                    break;
                }
            }
        } else {
            values.push(first);
        }
        Ok(Token { negated, qualifier, values, span: start..self.place })
    }

    /// Reads up to a character that ends it and that no quotes protect.
    fn chunk(&mut self, ends: impl Fn(char) -> bool) -> Result<Chunk, Bad> {
        let mut chunk = Chunk::starting_at(self.place);
        while let Some(c) = self.peek() {
            if ends(c) {
                break;
            }
            self.next();
            match c {
                '"' => {
                    self.quoted(&mut chunk.text)?;
                    chunk.quoted_to = chunk.text.len();
                }
                '*' => {
                    chunk.stars.push(chunk.text.len());
                    chunk.text.push(c);
                }
                _ => chunk.text.push(c),
            }
        }
        chunk.span.end = self.place;
        Ok(chunk)
    }

    /// Reads to the closing quote. A backslash is one, but before a quote.
    fn quoted(&mut self, into: &mut String) -> Result<(), Bad> {
        let opening = self.place - 1;
        loop {
            match self.next() {
                Some('"') => return Ok(()),
                Some('\\') if self.take('"') => into.push('"'),
                Some(c) => into.push(c),
                None => return Err(Bad::new(opening..opening + 1, "this quote is not closed")),
            }
        }
    }
}
