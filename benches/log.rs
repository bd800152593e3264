//! Benchmarks of the log against peers, in one run.

fn main() {}
