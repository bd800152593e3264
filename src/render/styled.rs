//! Text in several styles that knows its width.
//!
//! Foreign text is escaped when it is added, so all text that is measured, cut, wrapped and painted
//! here is already safe for a terminal.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use crate::render::theme::TextStyle;
use crate::terminal::DisplayOptions;
use crate::text;

/// A line, or a piece of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StyledText {
    text: String,
    /// The end of each run in the text, ascending, and its style.
    runs: Vec<(usize, TextStyle)>,
    cut_place: CutPlace,
}

/// Where a text is cut that is too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum CutPlace {
    #[default]
    End,
    /// Both ends tell it apart from others.
    Middle,
    /// Before this place, as long as something of what is before it stays.
    Before(usize),
}

/// The least width of what stands before a tail that is kept.
const LEAST_BEFORE_TAIL: usize = 4;

impl StyledText {
    /// Returns a text of our own, which needs no escaping.
    pub(crate) fn own(style: TextStyle, text: &str) -> Self {
        let mut styled = Self::default();
        styled.push(style, text);
        styled
    }

    /// Returns a foreign text, escaped.
    pub(crate) fn foreign(style: TextStyle, text: &str) -> Self {
        let mut styled = Self::default();
        styled.push_foreign(style, text);
        styled
    }

    pub(crate) fn plain(text: &str) -> Self {
        Self::own(TextStyle::Plain, text)
    }

    pub(crate) fn push(&mut self, style: TextStyle, text: &str) {
        if text.is_empty() {
            return;
        }
        self.text.push_str(text);
        match self.runs.last_mut() {
            Some((end, last)) if *last == style => *end = self.text.len(),
            _ => self.runs.push((self.text.len(), style)),
        }
    }

    pub(crate) fn push_foreign(&mut self, style: TextStyle, text: &str) {
        for (escaped, part) in text::escape_parts(text) {
            self.push(if escaped { TextStyle::Escaped } else { style }, &part);
        }
    }

    pub(crate) fn append(&mut self, other: &Self) {
        for (style, text) in other.styled_runs() {
            self.push(style, text);
        }
    }

    /// Returns the text, to be cut in its middle where it is too long.
    #[must_use]
    pub(crate) fn with_middle_cut(mut self) -> Self {
        self.cut_place = CutPlace::Middle;
        self
    }

    /// Appends a text that is cut last.
    pub(crate) fn append_tail(&mut self, tail: &Self) {
        self.cut_place = CutPlace::Before(self.text.len());
        self.append(tail);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn width(&self) -> usize {
        text::width(&self.text)
    }

    /// Returns the text without the blanks at its end.
    #[must_use]
    pub(crate) fn trim_end(&self) -> Self {
        self.slice(0..self.text.trim_end_matches(' ').len())
    }

    #[must_use]
    pub(crate) fn trim_start(&self) -> Self {
        let kept = self.text.trim_start_matches(' ').len();
        self.slice(self.text.len() - kept..self.text.len())
    }

    /// Returns the text in another style; escapes keep theirs.
    #[must_use]
    pub(crate) fn restyled(&self, style: TextStyle) -> Self {
        let mut out = Self::default();
        for (old_style, text) in self.styled_runs() {
            let is_escaped = old_style == TextStyle::Escaped;
            out.push(if is_escaped { old_style } else { style }, text);
        }
        out
    }

    /// Cuts the text to at most `columns`; an ellipsis stands for what is cut off.
    #[must_use]
    pub(crate) fn cut(&self, columns: usize, display: &DisplayOptions) -> Self {
        if self.width() <= columns {
            return self.clone();
        }
        let tail = match self.cut_place {
            CutPlace::End => self.text.len(),
            CutPlace::Middle => {
                // The beginning gets one more than the end.
                let room = columns.saturating_sub(text::width(display.ellipsis())) / 2;
                let mut kept = 0;
                let graphemes = self.text.grapheme_indices(true).rev();
                let fitting = graphemes.take_while(|(_, grapheme)| {
                    kept += text::width(grapheme);
                    kept <= room
                });
                fitting.last().map_or(self.text.len(), |(place, _)| place)
            }
            CutPlace::Before(place) => place,
        };
        let tail = self.slice(tail..self.text.len());
        match columns.checked_sub(tail.width()) {
            Some(room) if room >= LEAST_BEFORE_TAIL && !tail.is_empty() => {
                let head = self.slice(0..self.text.len() - tail.text.len());
                let mut cut = head.cut_end(room, display);
                cut.append(&tail);
                cut
            }
            // The tail says more than what little of the beginning would have room.
            Some(_) | None if matches!(self.cut_place, CutPlace::Before(_)) => {
                tail.trim_start().cut_end(columns, display)
            }
            Some(_) | None => self.cut_end(columns, display),
        }
    }

    /// Cuts the end of the text off.
    fn cut_end(&self, columns: usize, display: &DisplayOptions) -> Self {
        if self.width() <= columns {
            return self.clone();
        }
        let mark: String = display.ellipsis().chars().take(columns).collect();
        // `truncate` keeps one column free for its own mark.
        let room = (columns + 1).saturating_sub(text::width(&mark));
        let cut = text::truncate(&self.text, room);
        let kept = cut.strip_suffix('…').unwrap_or_default().trim_end_matches(' ').len();
        let mut out = self.slice(0..kept);
        let style = self.style_at(kept);
        out.push(if style == TextStyle::Escaped { TextStyle::Plain } else { style }, &mark);
        out
    }

    /// Breaks the text into lines of at most `columns`: at blanks, and between any two characters of a
    /// word that is longer than a line. Returns at least one line.
    pub(crate) fn wrap(&self, columns: usize) -> Vec<Self> {
        if self.width() <= columns {
            return vec![self.clone()];
        }
        let mut lines = Vec::new();
        let (mut start, mut used) = (0, 0);
        // The position behind the last blank of the line.
        let mut break_at = None;
        for (place, grapheme) in self.text.grapheme_indices(true) {
            let width = text::width(grapheme);
            if used + width > columns && place > start && grapheme != " " {
                let fits = |start: &usize| {
                    let word = self.text[*start..].split(' ').next().unwrap_or_default();
                    text::width(word) <= columns
                };
                let next = break_at.filter(fits).unwrap_or(place);
                lines.push(self.slice(start..next).trim_end());
                (start, used, break_at) = (next, text::width(&self.text[next..place]), None);
            }
            used += width;
            if grapheme == " " {
                break_at = Some(place + 1);
            }
        }
        lines.push(self.slice(start..self.text.len()).trim_end());
        lines
    }

    /// Appends the text to `out`, painted if there is colour.
    pub(crate) fn paint_into(&self, out: &mut String, display: &DisplayOptions) {
        for (style, text) in self.styled_runs() {
            style.paint_into(out, text, display.colour);
        }
    }

    fn styled_runs(&self) -> impl Iterator<Item = (TextStyle, &str)> {
        let starts = std::iter::once(0).chain(self.runs.iter().map(|(end, _)| *end));
        starts.zip(&self.runs).map(|(start, (end, style))| (*style, &self.text[start..*end]))
    }

    fn style_at(&self, place: usize) -> TextStyle {
        self.runs.iter().find(|(end, _)| place < *end).map_or(TextStyle::Plain, |(_, style)| *style)
    }

    /// Returns the part between two character boundaries.
    fn slice(&self, range: Range<usize>) -> Self {
        let mut out = Self::default();
        // A binary search, because hostile text has a run for each character and is sliced for each line.
        let first = self.runs.partition_point(|(end, _)| *end <= range.start);
        let mut start = range.start;
        for (end, style) in &self.runs[first..] {
            if start >= range.end {
                break;
            }
            let end = (*end).min(range.end);
            out.push(*style, &self.text[start..end]);
            start = end;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOOK: DisplayOptions = DisplayOptions { colour: true, utf8: true, width: None };
    const ASCII: DisplayOptions = DisplayOptions { utf8: false, ..LOOK };

    fn painted(styled: &StyledText) -> String {
        let mut out = String::new();
        styled.paint_into(&mut out, &LOOK);
        out
    }

    #[test]
    fn escapes_are_drawn_in_reverse_video() {
        let styled = StyledText::foreign(TextStyle::High, "a\u{1b}[2Jb");
        assert_eq!(painted(&styled), "\x1b[31ma\x1b[0m\x1b[7m\\e\x1b[0m\x1b[31m[2Jb\x1b[0m");
        assert_eq!(styled.width(), 7);
    }

    #[test]
    fn a_cut_ends_in_a_mark_of_the_locale() {
        let name = StyledText::own(TextStyle::High, "Jerome Cruz");
        assert_eq!(name.cut(11, &LOOK).text(), "Jerome Cruz");
        assert_eq!(name.cut(10, &LOOK).text(), "Jerome Cr…");
        assert_eq!(name.cut(8, &LOOK).text(), "Jerome…", "no blank before the mark");
        assert_eq!(name.cut(10, &ASCII).text(), "Jerome...");
        assert_eq!(name.cut(2, &ASCII).text(), "..");
        assert_eq!(name.cut(0, &LOOK).text(), "");
        assert_eq!(painted(&name.cut(4, &LOOK)), "\x1b[31mJer…\x1b[0m");
    }

    #[test]
    fn lines_break_at_blanks_and_long_words_anywhere() {
        let lines = |text: &str, columns| -> Vec<String> {
            StyledText::plain(text).wrap(columns).iter().map(|line| line.text.clone()).collect()
        };
        assert_eq!(lines("one two three", 8), ["one two", "three"]);
        assert_eq!(lines("one two three", 7), ["one two", "three"]);
        assert_eq!(lines("0123456789", 4), ["0123", "4567", "89"]);
        assert_eq!(lines("ab 0123456789", 6), ["ab 012", "345678", "9"]);
        assert_eq!(lines("ab 012345", 6), ["ab", "012345"]);
        assert_eq!(lines("", 4), [""]);
        assert_eq!(lines("日本語", 1), ["日", "本", "語"], "a wide letter goes on");
    }

    #[test]
    fn an_id_is_cut_in_its_middle_and_a_tail_is_kept() {
        let id = StyledText::plain("arn:aws:iam::123456789012:user/bert").with_middle_cut();
        assert_eq!(id.cut(20, &LOOK).text(), "arn:aws:ia…user/bert");
        assert_eq!(id.cut(35, &LOOK).text(), "arn:aws:iam::123456789012:user/bert");
        let mut both = StyledText::plain("James Compton");
        both.append_tail(&StyledText::plain(" (by Jerome Cruz)"));
        assert_eq!(both.cut(26, &LOOK).text(), "James Co… (by Jerome Cruz)");
        assert_eq!(both.cut(18, &LOOK).text(), "(by Jerome Cruz)");
        assert_eq!(both.cut(12, &LOOK).text(), "(by Jerome…");
    }

    proptest! {
        #[test]
        fn an_id_keeps_to_its_columns(text in "\\PC{0,40}", columns in 8usize..20) {
            let styled = StyledText::foreign(TextStyle::Plain, &text).with_middle_cut();
            for look in [&LOOK, &ASCII] {
                prop_assert!(styled.cut(columns, look).width() <= columns);
            }
        }

        #[test]
        fn cut_or_wrapped_text_keeps_to_its_columns(text in "\\PC{0,40}", columns in 8usize..20) {
            let styled = StyledText::foreign(TextStyle::Plain, &text);
            for look in [&LOOK, &ASCII] {
                prop_assert!(styled.cut(columns, look).width() <= columns);
            }
            let lines = styled.wrap(columns);
            prop_assert!(lines.iter().all(|line| line.width() <= columns));
            let joined: String = lines.iter().map(|line| line.text.replace(' ', "")).collect();
            prop_assert_eq!(joined, styled.text.replace(' ', ""));
        }
    }
}
