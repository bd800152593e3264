//! What an ingest would store.

use std::io;
use std::io::Write;

use crate::event::Event;
use crate::render::Labels;
use crate::render::Printer;
use crate::render::styled::StyledText;
use crate::render::theme::TextStyle;
use crate::text;
use crate::time::Timestamp;

/// The most keys that are listed.
const MAX_KEYS: usize = 20;

/// The counts of an ingest that stores nothing, and its first events.
pub(crate) struct IntakePreview<'a> {
    pub new: u64,
    pub known: u64,
    pub duplicates: u64,
    pub rejected: u64,
    /// The times of the earliest and of the latest new event.
    pub span: Option<(Timestamp, Timestamp)>,
    /// The keys that go into the payload, with the numbers of their events.
    pub payload_keys: Vec<(&'a str, u64)>,
    pub first: &'a [Event],
}

impl Printer<'_> {
    /// Writes the counts, the keys that go into the payload, and the first events in full.
    pub(crate) fn write_preview(
        &self,
        preview: &IntakePreview<'_>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let IntakePreview { new, known, duplicates, rejected, .. } = *preview;
        let number = text::format_thousands;
        let all = new + known + duplicates + rejected;
        let noun = if all == 1 { "event" } else { "events" };
        let mut head = format!("{} {noun}", number(all));
        if let Some((first, last)) = preview.span {
            head = format!("{head}, {} to {}", self.format_day(first), self.format_day(last));
        }
        head.push_str(", nothing stored");
        self.write_line(&StyledText::own(TextStyle::Heading, &head), out)?;
        let counts =
            [("new", new), ("known", known), ("duplicates", duplicates), ("rejected", rejected)]
                .map(|(name, count)| format!("{name} {}", number(count)));
        let counts = format!("  {}", counts.join(self.display.separator()));
        self.write_line(&StyledText::plain(&counts), out)?;
        if !preview.payload_keys.is_empty() {
            let listed = preview.payload_keys.iter().take(MAX_KEYS);
            let mut keys: Vec<String> =
                listed.map(|(key, count)| format!("{key} ({})", number(*count))).collect();
            let more = preview.payload_keys.len().saturating_sub(MAX_KEYS);
            if more > 0 {
                keys.push(format!("{more} more"));
            }
            let line = format!("  into the payload: {}", keys.join(", "));
            let line = StyledText::foreign(TextStyle::Plain, &line);
            let width = self.display.width.unwrap_or(usize::MAX);
            self.write_lines(&line.wrap(width.max(20)), out)?;
        }
        for (place, event) in preview.first.iter().enumerate() {
            let title = if place == 0 { "the first as it would be stored:" } else { "the next:" };
            self.write_line(&StyledText::own(TextStyle::Faint, title), out)?;
            self.write_detail(event, &Labels::default(), "", out)?;
        }
        Ok(())
    }
}
