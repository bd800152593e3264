//! The options of a mail that come from the caller: the site, the zone, and warnings.

use crate::time::Zone;

/// The options for rendering a report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MailContext<'a> {
    /// The name of the log.
    pub site: &'a str,
    /// How the program is called to read what the mail tells of: `activity`, with the options that name
    /// a central store.
    pub program: &'a str,
    pub zone: &'a Zone,
    /// The label of an actor where the system acted.
    pub system_label: &'a str,
    /// Present where less space is left than the config asks for.
    pub low_disk_space: Option<LowDiskSpace>,
    /// The sentence that says why the log cannot be written. Present where it cannot.
    pub write_failure_notice: Option<&'a str>,
    /// The alerts that have nothing to tell, each with its name and the reason.
    pub silent_alerts: &'a [(String, String)],
}

/// The bytes that are left for the log, and the bytes that the config asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LowDiskSpace {
    pub free: u64,
    pub required: u64,
}
