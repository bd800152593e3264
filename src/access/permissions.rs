//! What one caller may do.

use crate::access::capability::ADMINISTRATOR;
use crate::access::capability::Capability;
use crate::access::capability::CapabilitySet;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::query::Query;
use crate::text;

/// A role that somebody has, and who they are in the log.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Grant {
    pub role: String,
    /// The id of the caller's own events.
    pub own_id: String,
    pub capabilities: CapabilitySet,
    /// Joined to all that is read.
    pub only: Query,
    pub source: GrantSource,
}

/// What gives a role to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GrantSource {
    /// A line of the config.
    Line(usize),
    /// Root itself, whom no config can keep out.
    Root,
    /// The call itself, on behalf of somebody who may do less.
    Call,
}

impl Grant {
    pub(super) fn new(
        role: &str,
        own_id: &str,
        capabilities: CapabilitySet,
        only: Query,
        source: GrantSource,
    ) -> Self {
        Self { role: role.to_owned(), own_id: own_id.to_owned(), capabilities, only, source }
    }

    /// Root itself, where the config does not name it.
    pub(super) fn root(name: &str) -> Self {
        let all = Capability::ALL.into_iter().collect();
        Self::new("root", name, all, Query::default(), GrantSource::Root)
    }

    #[must_use]
    pub(super) fn with(mut self, more: impl IntoIterator<Item = Capability>) -> Self {
        self.capabilities = self.capabilities.with(more);
        self
    }

    #[must_use]
    pub(super) fn restricted_to(mut self, only: &Query) -> Self {
        self.only = self.only.and(only.clone());
        self
    }

    /// Returns what it lets see: everything with the capability `all`, but the events of the system
    /// without that for those, else the caller's own.
    pub(super) fn visible(&self, all: Capability) -> Query {
        let visible = if !self.capabilities.contains(all) {
            Query::own_events(&self.own_id)
        } else if self.capabilities.contains(Capability::SystemEvents) {
            Query::default()
        } else {
            Query::own_or_of_people(&self.own_id)
        };
        visible.and(self.only.clone())
    }
}

/// What a caller may do: all that each of their grants permits.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Permissions {
    /// Absent without a policy: then everything is permitted.
    policy: Option<PolicyResult>,
    /// A grant that narrows them, for somebody on whose behalf they call.
    narrowing: Option<Grant>,
}

/// What a policy says about a caller.
#[derive(Clone, Debug, PartialEq)]
struct PolicyResult {
    user: String,
    file: String,
    /// Absent where nothing names the caller.
    grant: Option<Grant>,
    as_others: bool,
}

impl Permissions {
    /// The permissions where there is no policy.
    pub(crate) const fn unrestricted() -> Self {
        Self { policy: None, narrowing: None }
    }

    pub(super) fn under_policy(
        user: &str,
        file: &str,
        grant: Option<Grant>,
        as_others: bool,
    ) -> Self {
        let (user, file) = (user.to_owned(), file.to_owned());
        Self { policy: Some(PolicyResult { user, file, grant, as_others }), narrowing: None }
    }

    /// Takes away what another grant does not permit.
    pub(crate) fn narrow(&mut self, grant: Grant) {
        self.narrowing = Some(grant);
    }

    /// Returns the grants, of which each narrows the others.
    pub(crate) fn grants(&self) -> impl Iterator<Item = &Grant> {
        let granted = self.policy.as_ref().and_then(|policy| policy.grant.as_ref());
        granted.into_iter().chain(&self.narrowing)
    }

    /// Returns the path of the config that has the policy.
    pub(crate) fn file(&self) -> Option<&str> {
        self.policy.as_ref().map(|policy| policy.file.as_str())
    }

    /// Returns what all grants have in common.
    pub(crate) fn capabilities(&self) -> CapabilitySet {
        if self.ensure_known().is_err() {
            return CapabilitySet::default();
        }
        let all = Capability::ALL.into_iter().collect();
        self.grants()
            .fold(all, |common: CapabilitySet, grant| common.intersection(grant.capabilities))
    }

    /// Returns the id of the caller's own events: the narrowest grant says it.
    pub(crate) fn own_id(&self) -> Option<&str> {
        self.grants().last().map(|grant| grant.own_id.as_str())
    }

    /// Whether the caller keeps the log: an administrator under a policy. Without one nobody has a
    /// role.
    pub(crate) fn is_administrator(&self) -> bool {
        self.policy.is_some()
            && self.grants().next().is_some()
            && self.grants().all(|grant| grant.role == ADMINISTRATOR)
    }

    /// Whether the caller may record what others did.
    pub(crate) fn may_record_others(&self) -> bool {
        self.policy.as_ref().is_none_or(|policy| policy.as_others)
    }

    /// Refuses a caller whom nothing names.
    ///
    /// # Errors
    /// [`Exit::NoPermission`], with the caller and the file.
    pub(crate) fn ensure_known(&self) -> Result<(), Failure> {
        match &self.policy {
            Some(PolicyResult { user, file, grant: None, .. }) => {
                let user = text::escape(user);
                let message =
                    format!("{user} has no role: {} does not name them", text::escape(file));
                let hint = format!("`{user} = \"viewer\"` under [access.users], or a default_role");
                Err(Failure::new(Exit::NoPermission, message).hint(hint))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Refuses a caller without a capability.
    ///
    /// # Errors
    /// [`Exit::NoPermission`], with the capability and the file that grants it.
    pub(crate) fn require(&self, capability: Capability) -> Result<(), Failure> {
        self.ensure_known()?;
        match self.grants().find(|grant| !grant.capabilities.contains(capability)) {
            None => Ok(()),
            Some(grant) => Err(self.refusal(
                grant,
                &format!("the role {} lacks {capability}", text::escape(&grant.role)),
            )),
        }
    }

    /// Refuses everybody but root itself and administrators, where a policy holds.
    ///
    /// # Errors
    /// [`Exit::NoPermission`], with what was refused.
    pub(crate) fn require_administrator(&self, what: &str) -> Result<(), Failure> {
        self.ensure_known()?;
        let keeps =
            |grant: &&Grant| grant.role == ADMINISTRATOR || grant.source == GrantSource::Root;
        match self.grants().find(|grant| !keeps(grant)) {
            None => Ok(()),
            Some(grant) => Err(self.refusal(grant, &format!("{what} is the administrator's"))),
        }
    }

    fn refusal(&self, grant: &Grant, why: &str) -> Failure {
        let (user, file) = match &self.policy {
            Some(policy) => (policy.user.as_str(), Some(policy.file.as_str())),
            None => (grant.own_id.as_str(), None),
        };
        let message = format!("{} may not do this: {why}", text::escape(user));
        let hint = match file {
            Some(file) => format!("[access] in {} says who may", text::escape(file)),
            None => "`gate --as` says who may".to_owned(),
        };
        Failure::new(Exit::NoPermission, message).hint(hint)
    }
}
