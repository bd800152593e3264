//! The theme: it maps meanings to escape codes and glyphs.
//!
//! The rest of `render` speaks of a failure or of a name, never of red or bold. Only the eight
//! colours that every palette has are used, and neither black nor white, so a page is readable on a
//! light and on a dark background.

use crate::terminal::DisplayOptions;

/// The meaning of a run of text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TextStyle {
    #[default]
    Plain,
    /// The head of a column, or the subject of a page.
    Heading,
    /// A headline within a page.
    Title,
    /// Text beside the data: footers, stand-ins for missing labels.
    Faint,
    /// An escaped character, which the terminal would obey or hide.
    Escaped,
    /// An action of severity critical.
    Critical,
    /// An action of severity high.
    High,
    /// The mark of a failed action.
    Failed,
    /// A value before a change.
    Before,
    /// A value after a change.
    After,
    /// An HTTP method that reads.
    HttpRead,
    /// An HTTP method that makes.
    HttpCreate,
    /// An HTTP method that changes.
    HttpUpdate,
    /// An HTTP method that deletes.
    HttpDelete,
    /// An HTTP status 2xx.
    Success,
    /// An HTTP status 4xx.
    ClientError,
    /// An HTTP status 5xx.
    ServerError,
}

impl TextStyle {
    /// Returns the parameters of "select graphic rendition", empty for plain text.
    fn sgr(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Heading | Self::Title => "1",
            Self::Faint => "2",
            Self::Escaped => "7",
            Self::Critical => "1;31",
            Self::High | Self::Failed | Self::Before | Self::HttpDelete | Self::ServerError => "31",
            Self::After | Self::HttpCreate | Self::Success => "32",
            Self::HttpUpdate | Self::ClientError => "33",
            Self::HttpRead => "34",
        }
    }

    /// Appends `text` to `out`, in this style if there is colour.
    pub(crate) fn paint_into(self, out: &mut String, text: &str, colour: bool) {
        let sgr = self.sgr();
        if !colour || sgr.is_empty() || text.is_empty() {
            out.push_str(text);
            return;
        }
        for part in ["\x1b[", sgr, "m", text, "\x1b[0m"] {
            out.push_str(part);
        }
    }
}

/// Our own glyphs, which are ASCII if the locale is not UTF-8.
impl DisplayOptions {
    /// Returns the mark of a cut.
    pub(crate) fn ellipsis(&self) -> &'static str {
        if self.utf8 { "…" } else { "..." }
    }

    /// Returns the separator between remarks on one line.
    pub(crate) fn separator(&self) -> &'static str {
        if self.utf8 { " · " } else { " - " }
    }

    /// Returns the arrow from before to after.
    pub(crate) fn arrow(&self) -> &'static str {
        if self.utf8 { "→" } else { "->" }
    }

    /// Returns the mark of the row that a page is about.
    pub(crate) fn row_mark(&self) -> &'static str {
        if self.utf8 { "▶" } else { ">" }
    }

    /// Returns the mark of a failed action.
    pub(crate) fn failure_mark(&self) -> &'static str {
        if self.utf8 { "✗" } else { "x" }
    }
}
