//! Splits a query into tokens, and the text of a flag into values, by blanks, quotes, commas, colons
//! and stars. [`super::parse`] decides what they mean.

use std::ops::Range;

use crate::query::error::ParseError;
use crate::query::pattern::Pattern;

/// A piece of a query, with its quotes removed.
#[derive(Debug, Default)]
pub(super) struct Lexeme {
    pub text: String,
    /// The places of the wildcards in `text`.
    stars: Vec<usize>,
    /// The bytes of the piece in the query, including its quotes.
    pub span: Range<usize>,
    /// The end in `text` of the last quoted part. Blanks before it are kept.
    quoted_until: usize,
}

impl Lexeme {
    fn starting_at(offset: usize) -> Self {
        Self { span: offset..offset, ..Self::default() }
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

    /// Whether a part of it stands in quotes.
    pub(super) fn is_quoted(&self) -> bool {
        self.quoted_until > 0 || self.text.is_empty() && !self.span.is_empty()
    }

    /// Returns the bytes in the query of a part of `text`, or of the whole piece where quotes make the
    /// place uncertain.
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

/// A term of a query before it is parsed.
#[derive(Debug)]
pub(super) struct Token {
    pub negated: bool,
    /// The text before the first colon.
    pub qualifier: Option<Lexeme>,
    /// One value for a word or a phrase, one or more after a qualifier.
    pub values: Vec<Lexeme>,
    pub span: Range<usize>,
}

/// Splits a query into tokens.
///
/// # Errors
/// A quote that is not closed, or a minus that nothing follows.
pub(super) fn tokenize(text: &str) -> Result<Vec<Token>, ParseError> {
    let mut lexer = Lexer { text, position: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_whitespace();
        if lexer.peek().is_none() {
            return Ok(tokens);
        }
        tokens.push(lexer.token()?);
    }
}

/// Splits the text of a flag into values, and returns whether they are negated.
///
/// # Errors
/// A quote that is not closed.
pub(super) fn split_flag_value(text: &str) -> Result<(bool, Vec<Lexeme>), ParseError> {
    let mut lexer = Lexer { text, position: 0 };
    lexer.skip_whitespace();
    let negated = lexer.consume('!');
    let mut values = Vec::new();
    loop {
        lexer.skip_whitespace();
        let mut value = lexer.lexeme(|c| c == ',')?;
        let length = value.text[value.quoted_until..].trim_end().len() + value.quoted_until;
        value.span.end -= value.text.len() - length;
        value.text.truncate(length);
        values.push(value);
        if !lexer.consume(',') {
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
        let found = self.peek() == Some(expected);
        if found {
            self.position += expected.len_utf8();
        }
        found
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

    /// Reads up to the first unquoted character that `ends` accepts.
    fn lexeme(&mut self, ends: impl Fn(char) -> bool) -> Result<Lexeme, ParseError> {
        let mut lexeme = Lexeme::starting_at(self.position);
        while let Some(c) = self.peek() {
            if ends(c) {
                break;
            }
            self.next();
            match c {
                '"' => {
                    self.quoted_text(&mut lexeme.text)?;
                    lexeme.quoted_until = lexeme.text.len();
                }
                '*' => {
                    lexeme.stars.push(lexeme.text.len());
                    lexeme.text.push(c);
                }
                _ => lexeme.text.push(c),
            }
        }
        lexeme.span.end = self.position;
        Ok(lexeme)
    }

    /// Reads up to the closing quote. A backslash stands for itself, except before a quote or another
    /// backslash.
    fn quoted_text(&mut self, into: &mut String) -> Result<(), ParseError> {
        let opening = self.position - 1;
        loop {
            match self.next() {
                Some('"') => return Ok(()),
                Some('\\') if self.consume('"') => into.push('"'),
                Some('\\') if self.consume('\\') => into.push('\\'),
                Some(c) => into.push(c),
                None => {
                    return Err(ParseError::new(opening..opening + 1, "this quote is not closed"));
                }
            }
        }
    }
}
