//! The line that tells a person how far a long work is.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use indicatif::ProgressBar;
use indicatif::ProgressDrawTarget;
use indicatif::ProgressState;
use indicatif::ProgressStyle;

use crate::text;

/// The longest name that is shown whole.
const NAME: usize = 32;

/// What a work consists of, and how much there is of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Events, in so many bytes or ids where that is known.
    Events(Option<u64>),
    Bytes(u64),
    /// Nobody knows until it is done.
    Unknown,
}

/// `events.jsonl  ━━━━━━━━━╸──────  61 %  1.2 M events  98 k/s  8 s left`, on standard error; gone
/// when the last one who holds it is done.
#[derive(Clone)]
pub(crate) struct Progress(Arc<Line>);

struct Line {
    bar: ProgressBar,
    events: Arc<AtomicU64>,
}

impl Progress {
    pub(super) fn new(name: &str, work: Work, utf8: bool) -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(10);
        let events = Arc::new(AtomicU64::new(0));
        let name = text::escape(name);
        let length = match work {
            Work::Events(length) => length,
            Work::Bytes(length) => Some(length),
            Work::Unknown => None,
        };
        // The style comes first: each of these draws.
        let bar = ProgressBar::with_draw_target(length, target)
            .with_style(style(work, utf8, &events))
            .with_prefix(text::truncate(&name, NAME).into_owned());
        // A slow stream keeps its line alive, too.
        bar.enable_steady_tick(Duration::from_millis(250));
        Self(Arc::new(Line { bar, events }))
    }

    /// One that nobody sees.
    pub(super) fn hidden() -> Self {
        Self(Arc::new(Line { bar: ProgressBar::hidden(), events: Arc::default() }))
    }

    /// So much of the work is done, with so many events in it.
    pub(crate) fn at(&self, done: u64, events: u64) {
        self.0.events.store(events, Ordering::Relaxed);
        self.0.bar.set_position(done);
    }

    /// Takes the line away.
    pub(crate) fn clear(&self) {
        self.0.bar.finish_and_clear();
    }

    /// Takes the line away while something else is written.
    pub(super) fn suspend(&self, write: impl FnOnce()) {
        self.0.bar.suspend(write);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style(work: Work, utf8: bool, events: &Arc<AtomicU64>) -> ProgressStyle {
    let template = match work {
        Work::Events(Some(_)) => {
            "{prefix}  {bar:16}  {percent} %  {events} events  {rate}/s  {left} left"
        }
        Work::Events(None) => "{prefix}  {events} events  {rate}/s",
        Work::Bytes(_) => "{prefix}  {bar:16}  {percent} %  {left} left",
        Work::Unknown => "{prefix}  {since}",
    };
    let (counted, rated) = (Arc::clone(events), Arc::clone(events));
    ProgressStyle::with_template(template)
        .expect("the template is ours")
        .progress_chars(if utf8 { "━╸─" } else { "=>-" })
        .with_key("events", move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = out.write_str(&short(counted.load(Ordering::Relaxed)));
        })
        .with_key("rate", move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let events = u128::from(rated.load(Ordering::Relaxed));
            let rate = events * 1_000 / state.elapsed().as_millis().max(1);
            let _ = out.write_str(&short(u64::try_from(rate).unwrap_or(u64::MAX)));
        })
        .with_key("since", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = out.write_str(&length(state.elapsed().as_secs()));
        })
        .with_key("left", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = out.write_str(&length(state.eta().as_secs()));
        })
}

/// A number in three digits at most: `1.2 M`.
fn short(n: u64) -> String {
    let units = [(1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    match units.into_iter().find(|(unit, _)| n >= *unit) {
        Some((unit, name)) if n / unit < 10 => {
            format!("{}.{} {name}", n / unit, n % unit / (unit / 10))
        }
        Some((unit, name)) => format!("{} {name}", n / unit),
        None => n.to_string(),
    }
}

fn length(seconds: u64) -> String {
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
        let shown = [0, 999, 1_000, 1_250_000, 98_400, 123_456_789, 9_999_999_999].map(short);
        assert_eq!(shown, ["0", "999", "1.0 k", "1.2 M", "98 k", "123 M", "9.9 G"]);
        assert_eq!([8, 99, 100, 7_200].map(length), ["8 s", "99 s", "1 min", "2 hr"]);
    }

    #[test]
    fn a_line_that_nobody_sees_can_be_moved() {
        let progress = Progress::hidden();
        progress.at(10, 1);
        let mut written = false;
        progress.suspend(|| written = true);
        assert!(written);
        progress.clear();
    }
}
