//! What is drawn how: meanings on one side, escape codes and glyphs on the other.
//!
//! The rest of `render` speaks of a failure or of a name, never of red or bold. Only the eight
//! colours that every palette has are used, and neither black nor white, so a page reads on a light
//! ground as well as on a dark one.

use crate::terminal::DisplayOptions;

/// What a run of text means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TextStyle {
    #[default]
    Plain,
    /// The head of a column, or what a page is about.
    Heading,
    /// A headline within a page.
    Title,
    /// What is said beside the data: footers, labels that nobody has.
    Faint,
    /// A character that was written out, for the terminal would obey or hide it.
    Escaped,
    /// Something of severity critical.
    Critical,
    /// Something of severity high.
    High,
    /// The mark of what did not succeed.
    Failed,
    /// A value as it was.
    Before,
    /// A value as it became.
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
    /// The parameters of "select graphic rendition"; empty where nothing is to be done.
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

    /// Appends `text`, in this style where there is colour.
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

/// Our own glyphs, which are ASCII where the locale is not UTF-8.
impl DisplayOptions {
    /// The mark of a cut.
    pub(crate) fn ellipsis(&self) -> &'static str {
        if self.utf8 { "…" } else { "..." }
    }

    /// What stands between remarks on one line.
    pub(crate) fn separator(&self) -> &'static str {
        if self.utf8 { " · " } else { " - " }
    }

    /// What leads from before to after.
    pub(crate) fn arrow(&self) -> &'static str {
        if self.utf8 { "→" } else { "->" }
    }

    /// The mark of what did not succeed.
    pub(crate) fn failure_mark(&self) -> &'static str {
        if self.utf8 { "✗" } else { "x" }
    }
}
