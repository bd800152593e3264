//! Receivers that no package installs beside the others: `.ci/receivers` puts them into a folder.

use std::path::PathBuf;

use crate::support::skip;

/// Returns the folder of a receiver; `None` where it is missing, which under CI is a failure.
pub(super) fn folder(name: &str) -> Option<PathBuf> {
    let all = std::env::var_os("ACTIVITY_RECEIVERS").map(PathBuf::from).or_else(|| {
        std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/activity-receivers"))
    })?;
    if !all.join(format!("{name}.done")).exists() {
        skip(&format!("{name} is missing: .ci/receivers {}", all.display()));
        return None;
    }
    Some(all.join(name))
}
