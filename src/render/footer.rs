//! The line below a table, and command lines that a reader can copy.

use std::borrow::Cow;
use std::io;
use std::io::Write;

use crate::event::EventPlace;
use crate::render::Printer;
use crate::render::styled::StyledText;
use crate::render::theme::TextStyle;
use crate::text;

/// The facts that the line below a table shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Footer {
    pub shown: u64,
    /// The number of all matching events, if it was cheap to count.
    pub total: Option<u64>,
    /// The words of the command for the next page, if there is one.
    pub next_page: Option<Vec<String>>,
    /// The newest event of the page.
    pub newest: Option<EventPlace>,
    /// The words of a command about the same log: `activity` with the flags that name it.
    pub command: Vec<String>,
}

impl Printer<'_> {
    /// Writes the footer of a table: how many events, and how to see more.
    pub(crate) fn write_footer(&self, footer: &Footer, out: &mut dyn Write) -> io::Result<()> {
        let shown = text::format_thousands(footer.shown);
        let count = match footer.total.filter(|total| *total > footer.shown) {
            Some(total) => format!("{shown} of {} events", text::format_thousands(total)),
            None if footer.shown == 1 => "1 event".to_owned(),
            None => format!("{shown} events"),
        };
        let mut parts = vec![count];
        match (&footer.next_page, &footer.newest) {
            (Some(words), _) => parts.push(format!("next page: {}", shell_command(words))),
            (None, Some(newest)) => {
                let command = shell_command(&footer.command);
                parts.push(format!("{command} show {newest} for the newest in full"));
                parts.push("--help for filters".to_owned());
            }
            (None, None) => {}
        }
        // A command must be copied in one piece, so the line is not cut; advice may be left out.
        let line = |parts: &[String]| {
            StyledText::foreign(TextStyle::Faint, &parts.join(self.display.separator()))
        };
        let mut drawn = line(&parts);
        while footer.next_page.is_none()
            && parts.len() > 1
            && self.display.width.is_some_and(|width| drawn.width() > width)
        {
            parts.pop();
            drawn = line(&parts);
        }
        self.write_line(&drawn, out)
    }

    /// Returns the message for a listing without events: the filter as it was understood, and what else
    /// could have been meant.
    pub(crate) fn nothing_found(&self, filter: &str, hints: &[String]) -> String {
        let mut line = "no events".to_owned();
        for part in [" ", filter].into_iter().filter(|_| !filter.is_empty()) {
            line.push_str(part);
        }
        for hint in hints {
            line.push_str(self.display.separator());
            line.push_str(hint);
        }
        text::escape(&line).into_owned()
    }
}

/// Returns the words quoted for a shell.
pub(crate) fn shell_command<S: AsRef<str>>(words: &[S]) -> String {
    let quoted: Vec<Cow<'_, str>> = words.iter().map(|word| shell_quote(word.as_ref())).collect();
    quoted.join(" ")
}

fn shell_quote(word: &str) -> Cow<'_, str> {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:,=@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(safe) {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventId;
    use crate::render::sample;

    fn footer(footer: &Footer, width: usize) -> String {
        sample::drawn(Some(width), |printer, out| printer.write_footer(footer, out))
    }

    #[test]
    fn a_footer_says_how_to_see_more() {
        let words =
            ["activity", "list", "action:user.*", "--after", "2026-11-19T04:12:09.5Z,48163"];
        let more = Footer {
            shown: 50,
            total: Some(18_412),
            next_page: Some(words.map(str::to_owned).to_vec()),
            newest: Some(EventPlace { id: EventId(48_213), log: None }),
            command: vec!["activity".to_owned()],
        };
        assert_eq!(
            footer(&more, 80),
            "50 of 18,412 events · next page: activity list 'action:user.*' --after \
             2026-11-19T04:12:09.5Z,48163\n"
        );
        let all = Footer { total: Some(6), shown: 6, next_page: None, ..more };
        assert_eq!(
            footer(&all, 80),
            "6 events · activity show 48213 for the newest in full · --help for filters\n"
        );
        assert_eq!(footer(&all, 60), "6 events · activity show 48213 for the newest in full\n");
        let one = Footer { shown: 1, total: Some(1), ..all };
        assert_eq!(footer(&one, 20), "1 event\n");
    }

    #[test]
    fn nothing_found_names_the_filter_and_similar_names() {
        let look = |filter: &str, names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            sample::with_printer(None, |printer| printer.nothing_found(filter, &names))
        };
        assert_eq!(look("", &[]), "no events");
        assert_eq!(
            look("match action:user.edit since 2026-11-19 04:00 SAST", &[]),
            "no events match action:user.edit since 2026-11-19 04:00 SAST"
        );
        assert_eq!(
            look("by jerom", &["did you mean Jerome Cruz (3, 141 events)?"]),
            "no events by jerom · did you mean Jerome Cruz (3, 141 events)?"
        );
        assert_eq!(look("by a\u{1b}", &["x finds 1", "y"]), "no events by a\\e · x finds 1 · y");
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(
            shell_command(&["a-b=c", "", "it's", "user.*", "é"]),
            r"a-b=c '' 'it'\''s' 'user.*' 'é'"
        );
    }
}
