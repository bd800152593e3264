//! Signals that ask the program to end. They are noted, so that work that was begun can be
//! finished.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use signal_hook::consts::SIGHUP;
use signal_hook::consts::SIGINT;
use signal_hook::consts::SIGTERM;
use signal_hook::flag;
use signal_hook::low_level;

/// The newest signal that came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<AtomicUsize>);

impl Interrupt {
    /// From now on SIGINT, SIGTERM and SIGHUP are noted and do not end the program; a second one
    /// ends it nevertheless. A signal that was ignored when the program began stays ignored,
    /// because `nohup` relies on it.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn listen() -> io::Result<Self> {
        let interrupt = Self::default();
        let ignored = ignored_signals();
        let again = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            if ignored & (1 << (signal - 1)) == 0 {
                let number = usize::try_from(signal).map_err(io::Error::other)?;
                // The handlers run in this order: the first signal does not end the program.
                flag::register_conditional_default(signal, Arc::clone(&again))?;
                flag::register(signal, Arc::clone(&again))?;
                flag::register_usize(signal, Arc::clone(&interrupt.0), number)?;
            }
        }
        Ok(interrupt)
    }

    /// Returns the signal that came, if one did.
    pub(crate) fn signal(&self) -> Option<i32> {
        i32::try_from(self.0.load(Ordering::Relaxed)).ok().filter(|signal| *signal > 0)
    }

    #[cfg(test)]
    pub(crate) fn send(&self, signal: usize) {
        self.0.store(signal, Ordering::Relaxed);
    }
}

/// Ends the program as if the signal had not been caught, so that the parent process sees the
/// cause.
///
/// # Errors
/// Those of the system; otherwise it does not return.
pub(crate) fn reraise(signal: i32) -> io::Result<()> {
    low_level::emulate_default_handler(signal)
}

/// Returns the signals that the program ignores, as bits; none if the system does not say.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_noted() {
        let interrupt = Interrupt::listen().unwrap();
        assert_eq!(interrupt.signal(), None);
        // `nohup cargo test` has SIGHUP ignored, and an ignored signal stays so.
        let signal = [SIGHUP, SIGTERM]
            .into_iter()
            .find(|signal| ignored_signals() & (1 << (signal - 1)) == 0);
        let signal = signal.expect("one of them is not ignored");
        low_level::raise(signal).unwrap();
        assert_eq!(interrupt.signal(), Some(signal));
    }
}
