//! Counts of what tests did to logs, printed in one form so that one command gathers them:
//! `cargo test --features real -- --nocapture 2>&1 | grep -o 'torture: .*'`.

use std::thread;

/// Counts the faults of one test, and prints `torture: NUMBER WHAT in TEST` at its end.
pub(crate) struct FaultCount {
    what: &'static str,
    count: usize,
}

impl FaultCount {
    /// `what` is the plural of the fault: `kills`, `injections`, `flipped bits`, `manipulations`, `power cuts`.
    pub(crate) fn new(what: &'static str) -> Self {
        Self { what, count: 0 }
    }

    pub(crate) fn add(&mut self, more: usize) {
        self.count += more;
    }
}

impl Drop for FaultCount {
    fn drop(&mut self) {
        let thread = thread::current();
        eprintln!("torture: {} {} in {}", self.count, self.what, thread.name().unwrap_or("a test"));
    }
}
