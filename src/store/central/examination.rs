//! What a server says of itself and of its store, for an examination.

use crate::time::Timestamp;

/// The state of a central store, as far as it is cheap to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoreExamination {
    /// The kind of the server and its version: `PostgreSQL 15.14`.
    pub server: String,
    /// Who asks.
    pub user: String,
    /// How the connection is encrypted: `TLSv1.3`; absent where it is not.
    pub encryption: Option<String>,
    /// What the user may do to the table of events beside reading it; absent where that is not known.
    pub writing_rights: Option<Vec<String>>,
    /// The clock of the server.
    pub clock: Timestamp,
    /// The bytes of the events with their indexes; absent where the user may not see that.
    pub bytes: Option<u64>,
    /// About how many events there are.
    pub events: Option<u64>,
    /// The months that are there, `202611`, in their order; absent where a server makes them by itself.
    pub months: Option<Vec<String>>,
    /// The bytes of events that belong to no month.
    pub bytes_of_others: u64,
}
