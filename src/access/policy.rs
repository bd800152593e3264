//! What the config says about who may do what.

use crate::access::capability;
use crate::access::capability::Capability;
use crate::access::capability::CapabilitySet;
use crate::access::permissions::Grant;
use crate::access::permissions::GrantSource;
use crate::access::permissions::Permissions;
use crate::query::Query;

/// The caller, as the policy knows them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Person<'a> {
    /// Their user name; the number of a user without a name.
    pub name: &'a str,
    /// Whether they are root itself, not somebody who became root by `sudo`.
    pub is_root: bool,
}

/// A role that the config defines.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Role {
    pub name: String,
    pub capabilities: CapabilitySet,
    /// Joined to all that its members read; the default is everything.
    pub only: Query,
}

/// A user whom the config names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    pub user: String,
    pub role: String,
    /// Who they are in the log; absent where it is their user name.
    pub actor_id: Option<String>,
    /// Joined to all that they read; the default is everything.
    pub only: Query,
    /// The line of the config that names them.
    pub line: usize,
}

/// The policy of a log: `[access]` in the config.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AccessPolicy {
    /// The path of the config, for messages.
    pub file: String,
    /// The role of users whom nothing names, and the line that says so.
    pub default_role: Option<(String, usize)>,
    pub members: Vec<Member>,
    pub roles: Vec<Role>,
    /// Whether a caller may record what others did; absent where only root itself may.
    pub as_others: Option<bool>,
}

impl AccessPolicy {
    /// Returns what a caller may do.
    pub(crate) fn permissions(&self, person: &Person<'_>) -> Permissions {
        let member = self.members.iter().find(|member| member.user == person.name);
        let grant = match (member, &self.default_role) {
            (Some(member), _) => {
                let own_id = member.actor_id.as_deref().unwrap_or(person.name);
                let grant = self.grant(&member.role, own_id, GrantSource::Line(member.line));
                Some(grant.restricted_to(&member.only))
            }
            (None, _) if person.is_root => Some(Grant::root(person.name)),
            (None, Some((role, line))) => {
                Some(self.grant(role, person.name, GrantSource::Line(*line)))
            }
            (None, None) => None,
        };
        let grant = match grant {
            Some(grant) if person.is_root => Some(grant.with(Capability::PLATFORM)),
            grant => grant,
        };
        let as_others = self.as_others.unwrap_or(person.is_root);
        Permissions::under_policy(person.name, &self.file, grant, as_others)
    }

    /// Returns the grant of a role to a person of that id. Whoever made the policy has checked that
    /// there is such a role: an unknown one grants nothing.
    pub(crate) fn grant(&self, role: &str, own_id: &str, source: GrantSource) -> Grant {
        let defined = self.roles.iter().find(|defined| defined.name == role);
        let (capabilities, only) = match defined {
            Some(role) => (role.capabilities, role.only.clone()),
            None => (capability::built_in_role(role).unwrap_or_default(), Query::default()),
        };
        Grant::new(role, own_id, capabilities, only, source)
    }

    /// Whether there is a role of that name.
    pub(crate) fn has_role(&self, name: &str) -> bool {
        capability::BUILT_IN_ROLES.contains(&name)
            || self.roles.iter().any(|role| role.name == name)
    }

    /// Returns the names of all roles.
    pub(crate) fn role_names(&self) -> impl Iterator<Item = &str> {
        let defined = self.roles.iter().map(|role| role.name.as_str());
        capability::BUILT_IN_ROLES.into_iter().chain(defined)
    }
}
