//! The tests that need root, a daemon or minutes.
