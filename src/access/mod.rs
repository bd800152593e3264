//! Who may read what: roles, their capabilities, and the part of the log that a caller may see.
//!
//! [`AccessPolicy`] is what the config says, [`Permissions`] are what follows for one caller. [`scope()`]
//! turns them into a [`Scope`], which every read of events demands: a caller without a capability gets
//! an error that names it, before a row is read. Nothing here knows a file, a process or a clock.
//!
//! Without a policy, whoever can open the log may do everything.

mod capability;
mod ingest_rights;
mod permissions;
mod policy;
mod scope;
#[cfg(test)]
mod tests;

use crate::access::permissions::Grant;
use crate::failure::Failure;
use crate::query::Query;

pub(crate) use crate::access::capability::ADMINISTRATOR;
pub(crate) use crate::access::capability::Capability;
pub(crate) use crate::access::capability::CapabilitySet;
pub(crate) use crate::access::ingest_rights::IngestRights;
pub(crate) use crate::access::ingest_rights::OwnNames;
pub(crate) use crate::access::permissions::GrantSource;
pub(crate) use crate::access::permissions::Permissions;
pub(crate) use crate::access::policy::AccessPolicy;
pub(crate) use crate::access::policy::Member;
pub(crate) use crate::access::policy::Person;
pub(crate) use crate::access::policy::Role;
pub(crate) use crate::access::scope::PlatformWork;
pub(crate) use crate::access::scope::Scope;

/// What a caller reads the log for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading<'a> {
    /// A listing, its counts and summaries, and the vocabulary.
    List,
    /// Single events.
    Show,
    /// All that one person did, named as it was typed.
    SearchActor(&'a str),
    /// The history of one record.
    SearchTarget,
    /// Rows that leave the log.
    Export,
    /// The content of a digest, which has the whole log.
    Digest,
    /// The events that a sweep would remove.
    Sweep,
}

/// Returns the part of the log that a caller may read for a purpose.
///
/// # Errors
/// [`Exit::NoPermission`](crate::failure::Exit::NoPermission), with the capability that is missing.
pub(crate) fn scope(permissions: &Permissions, reading: Reading<'_>) -> Result<Scope, Failure> {
    let (own, all) = match reading {
        Reading::List => (Capability::ListOwn, Capability::ListAll),
        Reading::Show => (Capability::ShowOwn, Capability::ShowAny),
        Reading::SearchActor(_) => (Capability::SearchActorOwn, Capability::SearchActorAny),
        Reading::SearchTarget => (Capability::SearchTarget, Capability::ListAll),
        Reading::Export => (Capability::Export, Capability::ListAll),
        Reading::Digest => {
            permissions.require(Capability::Digest)?;
            return Ok(Scope::of(PlatformWork::Digest));
        }
        Reading::Sweep => {
            permissions.require(Capability::Sweep)?;
            return Ok(Scope::of(PlatformWork::Sweep));
        }
    };
    permissions.require(own)?;
    let visible = |grant: &Grant| {
        // Who may search for themselves alone finds nobody else, not even in their own events.
        let is_other = matches!(reading, Reading::SearchActor(name) if name != grant.own_id);
        let finds_nobody = is_other && !grant.capabilities.contains(all);
        if finds_nobody { Query::nothing() } else { grant.visible(all) }
    };
    Ok(Scope::of_caller(permissions.grants().map(visible).fold(Query::default(), Query::and)))
}
