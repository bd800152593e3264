//! The caller's part of a mail: the site, the zone, and what it warns of.

use crate::time::Zone;

/// How a page is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RenderOptions<'a> {
    /// What names the log.
    pub site: &'a str,
    pub zone: &'a Zone,
    /// Who acts where nobody does.
    pub system_label: &'a str,
    /// Given when less is left for the log than should be.
    pub low_disk_space: Option<LowDiskSpace>,
    /// The sentence that says that the log cannot be written, and why.
    pub write_failure_notice: Option<&'a str>,
}

/// The bytes that are left for the log, and those that the config asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LowDiskSpace {
    pub free: u64,
    pub required: u64,
}
