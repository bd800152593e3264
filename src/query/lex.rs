//! Splits a query into its terms, and a flag's value into its values: blanks, quotes, commas,
//! colons and stars. What they mean is decided in [`super::parse`].

use std::ops::Range;

use crate::query::error::ParseError;
use crate::query::pattern::Pattern;

/// A piece of a query without its quotes.
#[derive(Debug, Default)]
pub(super) struct Lexeme {
    pub text: String,
    /// Where in `text` a `*` stands for anything.
    stars: Vec<usize>,
    /// Where it stands in the query, quotes included.
    pub span: Range<usize>,
    /// Up to where in `text` blanks were quoted.
    quoted_until: usize,
}

impl Lexeme {
    fn starting_at(place: usize) -> Self {
        Self { span: place..place, ..Self::default() }
    }

    pub(super) fn to_pattern(&self) -> Pattern {
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
    pub(super) fn span_of(&self, part: &str) -> Range<usize> {
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
    pub qualifier: Option<Lexeme>,
    /// One for a word or phrase, one or more behind a qualifier.
    pub values: Vec<Lexeme>,
    pub span: Range<usize>,
}

/// The terms of a query.
///
/// # Errors
/// A quote that is not closed, or a minus that nothing follows.
pub(super) fn tokenize(text: &str) -> Result<Vec<Token>, ParseError> {
    let mut reader = Lexer { text, position: 0 };
    let mut tokens = Vec::new();
    loop {
        reader.skip_whitespace();
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
pub(super) fn split_flag_value(text: &str) -> Result<(bool, Vec<Lexeme>), ParseError> {
    let mut reader = Lexer { text, position: 0 };
    reader.skip_whitespace();
    let negated = reader.consume('!');
    let mut values = Vec::new();
    loop {
        reader.skip_whitespace();
        let mut value = reader.lexeme(|c| c == ',')?;
        let kept = value.text[value.quoted_until..].trim_end().len() + value.quoted_until;
        value.span.end -= value.text.len() - kept;
        value.text.truncate(kept);
        values.push(value);
        if !reader.consume(',') {
            return Ok((negated, values));
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    position: usize,
}

impl Lexer<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.position..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.position += c.len_utf8();
        Some(c)
    }

    fn consume(&mut self, expected: char) -> bool {
        let there = self.peek() == Some(expected);
        if there {
            self.position += expected.len_utf8();
        }
        there
    }

    fn skip_whitespace(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.next();
        }
    }

    fn token(&mut self) -> Result<Token, ParseError> {
        let start = self.position;
        let negated = self.consume('-');
        if self.peek().is_none_or(char::is_whitespace) {
            return Err(ParseError::new(
                start..self.position,
                "a minus excludes what follows it, and nothing does",
            ));
        }
        let first = self.lexeme(|c| c == ':' || c.is_whitespace())?;
        let (mut qualifier, mut values) = (None, Vec::new());
        if self.consume(':') {
            qualifier = Some(first);
            loop {
                values.push(self.lexeme(|c| c == ',' || c.is_whitespace())?);
                if !self.consume(',') {
                    break;
                }
            }
        } else {
            values.push(first);
        }
        Ok(Token { negated, qualifier, values, span: start..self.position })
    }

    /// Reads up to a character that ends it and that no quotes protect.
    fn lexeme(&mut self, ends: impl Fn(char) -> bool) -> Result<Lexeme, ParseError> {
        let mut chunk = Lexeme::starting_at(self.position);
        while let Some(c) = self.peek() {
            if ends(c) {
                break;
            }
            self.next();
            match c {
                '"' => {
                    self.quoted_text(&mut chunk.text)?;
                    chunk.quoted_until = chunk.text.len();
                }
                '*' => {
                    chunk.stars.push(chunk.text.len());
                    chunk.text.push(c);
                }
                _ => chunk.text.push(c),
            }
        }
        chunk.span.end = self.position;
        Ok(chunk)
    }

    /// Reads to the closing quote. A backslash is one, but before a quote.
    fn quoted_text(&mut self, into: &mut String) -> Result<(), ParseError> {
        let opening = self.position - 1;
        loop {
            match self.next() {
                Some('"') => return Ok(()),
                Some('\\') if self.consume('"') => into.push('"'),
                Some(c) => into.push(c),
                None => {
                    return Err(ParseError::new(opening..opening + 1, "this quote is not closed"));
                }
            }
        }
    }
}
