//! A reason why a scheduled job does not run, as the checks of crontabs and units find it.

/// Why an entry does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub reason: String,
    /// The step that helps.
    pub advice: String,
}
