//! The sections that manual pages share, in roff.

use crate::manual::HelpTopic;
use crate::manual::pages;
use crate::query::saved::SavedQueries;

/// Returns the sections at the end of a manual page; `with_query` adds that on queries.
pub(crate) fn shared_sections(with_query: bool) -> String {
    let mut sections = String::new();
    if with_query {
        sections += &section("QUERY", &HelpTopic::Query.page(&SavedQueries::default()));
    }
    sections += &section("EXIT STATUS", &HelpTopic::ExitCodes.page(&SavedQueries::default()));
    sections += &section("FILES", &pages::files());
    sections += &section("ENVIRONMENT", &pages::variables());
    sections
}

/// Returns a section whose lines stay as they are, without hyphenation.
fn section(name: &str, text: &str) -> String {
    let mut section = format!(".SH {name}\n.nh\n.nf\n");
    for line in text.lines() {
        // A line that begins with a point or an apostrophe would be a request.
        let guard = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
        let line = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
        section = format!("{section}{guard}{line}\n");
    }
    section + ".fi\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_a_request_by_chance() {
        let text = section("S", ".so x\n'br\n--tz a\\b\n");
        assert_eq!(text, ".SH S\n.nh\n.nf\n\\&.so x\n\\&\\(aqbr\n\\-\\-tz a\\eb\n.fi\n");
    }
}
