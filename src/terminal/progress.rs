//! The line that shows a person how far a long operation is.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use indicatif::ProgressBar;
use indicatif::ProgressDrawTarget;
use indicatif::ProgressState;
use indicatif::ProgressStyle;

use crate::text;

/// The width at which a name is cut.
const MAX_NAME_WIDTH: usize = 32;

/// The unit of an operation, and its total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProgressTotal {
    /// Events; the total is a number of bytes or ids, if it is known.
    Events(Option<u64>),
    Bytes(u64),
    /// Not known before the end.
    Unknown,
}

/// `events.jsonl  ━━━━━━━━━╸──────  61 %  1.2 M events  98 k/s  8 s left`, on standard error; gone
/// when its last clone is dropped.
#[derive(Clone)]
pub(crate) struct ProgressLine(Arc<SharedBar>);

struct SharedBar {
    bar: ProgressBar,
    events: Arc<AtomicU64>,
}

impl ProgressLine {
    pub(super) fn new(name: &str, total: ProgressTotal, utf8: bool) -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(10);
        let events = Arc::new(AtomicU64::new(0));
        let name = text::escape(name);
        let length = match total {
            ProgressTotal::Events(length) => length,
            ProgressTotal::Bytes(length) => Some(length),
            ProgressTotal::Unknown => None,
        };
        // The style is set first, because each of these calls draws.
        let bar = ProgressBar::with_draw_target(length, target)
            .with_style(style(total, utf8, &events))
            .with_prefix(text::truncate(&name, MAX_NAME_WIDTH).into_owned());
        // The line also moves while a slow stream sends nothing.
        bar.enable_steady_tick(Duration::from_millis(250));
        Self(Arc::new(SharedBar { bar, events }))
    }

    /// Returns a line that is never drawn.
    pub(super) fn hidden() -> Self {
        Self(Arc::new(SharedBar { bar: ProgressBar::hidden(), events: Arc::default() }))
    }

    /// Sets how much is done, in the unit of the total, and the number of events so far.
    pub(crate) fn update(&self, done: u64, events: u64) {
        self.0.events.store(events, Ordering::Relaxed);
        self.0.bar.set_position(done);
    }

    /// Removes the line.
    pub(crate) fn clear(&self) {
        self.0.bar.finish_and_clear();
    }

    /// Removes the line while something else is written.
    pub(super) fn suspend(&self, write: impl FnOnce()) {
        self.0.bar.suspend(write);
    }
}

impl Drop for SharedBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style(total: ProgressTotal, utf8: bool, events: &Arc<AtomicU64>) -> ProgressStyle {
    let template = match total {
        ProgressTotal::Events(Some(_)) => {
            "{prefix}  {bar:16}  {percent} %  {events} events  {rate}/s  {left} left"
        }
        ProgressTotal::Events(None) => "{prefix}  {events} events  {rate}/s",
        ProgressTotal::Bytes(_) => "{prefix}  {bar:16}  {percent} %  {left} left",
        ProgressTotal::Unknown => "{prefix}  {since}",
    };
    let (counted, rated) = (Arc::clone(events), Arc::clone(events));
    ProgressStyle::with_template(template)
        .expect("the template is ours")
        .progress_chars(if utf8 { "━╸─" } else { "=>-" })
        .with_key("events", move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = out.write_str(&abbreviate(counted.load(Ordering::Relaxed)));
        })
        .with_key("rate", move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let events = u128::from(rated.load(Ordering::Relaxed));
            let rate = events * 1_000 / state.elapsed().as_millis().max(1);
            let _ = out.write_str(&abbreviate(u64::try_from(rate).unwrap_or(u64::MAX)));
        })
        .with_key("since", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = out.write_str(&format_seconds(state.elapsed().as_secs()));
        })
        .with_key("left", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = out.write_str(&format_seconds(state.eta().as_secs()));
        })
}

/// Returns a number in at most three digits: `1.2 M`.
fn abbreviate(n: u64) -> String {
    let units = [(1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    match units.into_iter().find(|(unit, _)| n >= *unit) {
        Some((unit, name)) if n / unit < 10 => {
            format!("{}.{} {name}", n / unit, n % unit / (unit / 10))
        }
        Some((unit, name)) => format!("{} {name}", n / unit),
        None => n.to_string(),
    }
}

fn format_seconds(seconds: u64) -> String {
    match seconds {
        0..100 => format!("{seconds} s"),
        100..6_000 => format!("{} min", seconds / 60),
        _ => format!("{} hr", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let shown = [0, 999, 1_000, 1_250_000, 98_400, 123_456_789, 9_999_999_999].map(abbreviate);
        assert_eq!(shown, ["0", "999", "1.0 k", "1.2 M", "98 k", "123 M", "9.9 G"]);
        assert_eq!([8, 99, 100, 7_200].map(format_seconds), ["8 s", "99 s", "1 min", "2 hr"]);
    }

    #[test]
    fn a_line_that_nobody_sees_can_be_moved() {
        let progress = ProgressLine::hidden();
        progress.update(10, 1);
        let mut written = false;
        progress.suspend(|| written = true);
        assert!(written);
        progress.clear();
    }
}
