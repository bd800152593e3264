//! What a request to a central store can end in.

use std::time::Duration;

use crate::failure::Exit;
use crate::failure::Failure;

/// A request to a central store that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CentralError {
    pub kind: CentralErrorKind,
    /// One line, escaped, without secrets, with the name of the server.
    pub reason: String,
    /// The status of the server, if it speaks HTTP and answered.
    pub status: Option<u16>,
    /// How long the server asks to be left alone.
    pub retry_after: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CentralErrorKind {
    /// The server is out of reach, busy, or cannot do it now.
    Unavailable,
    /// The server refuses a value, however often it is sent.
    Refused,
    /// The role may not do it, or may not log in.
    Denied,
    /// There are no tables of a central store.
    NoTables,
    /// The tables are those of a newer version.
    #[cfg_attr(not(feature = "central"), expect(dead_code, reason = "PostgreSQL tells a version"))]
    NewerVersion,
}

impl CentralError {
    pub(crate) fn new(kind: CentralErrorKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into(), status: None, retry_after: None }
    }
}

impl From<CentralError> for Failure {
    fn from(error: CentralError) -> Self {
        match error.kind {
            CentralErrorKind::Unavailable => Self::new(Exit::TryAgain, error.reason),
            CentralErrorKind::Refused => Self::new(Exit::Unavailable, error.reason),
            CentralErrorKind::Denied => Self::new(Exit::NoPermission, error.reason),
            CentralErrorKind::NoTables => Self::new(Exit::NoInput, error.reason)
                .hint("`activity central init` makes them, or the first run of a mirror"),
            CentralErrorKind::NewerVersion => Self::new(Exit::Config, error.reason),
        }
    }
}

impl From<CentralError> for anyhow::Error {
    fn from(error: CentralError) -> Self {
        Failure::from(error).into()
    }
}
