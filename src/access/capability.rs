//! What a role may do.

use std::fmt;

/// The role that everybody who keeps the log has.
pub(crate) const ADMINISTRATOR: &str = "administrator";

/// One thing that a role may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Capability {
    ListOwn,
    ListAll,
    ShowOwn,
    ShowAny,
    SearchActorOwn,
    SearchActorAny,
    SearchTarget,
    Export,
    SystemEvents,
    Ingest,
    Sweep,
    Digest,
    Mirror,
    Backup,
}

impl Capability {
    pub(crate) const ALL: [Self; 14] = [
        Self::ListOwn,
        Self::ListAll,
        Self::ShowOwn,
        Self::ShowAny,
        Self::SearchActorOwn,
        Self::SearchActorAny,
        Self::SearchTarget,
        Self::Export,
        Self::SystemEvents,
        Self::Ingest,
        Self::Sweep,
        Self::Digest,
        Self::Mirror,
        Self::Backup,
    ];

    /// What keeps the log going; root may do it, and the roles to which the config gives it.
    pub(crate) const PLATFORM: [Self; 5] =
        [Self::Ingest, Self::Sweep, Self::Digest, Self::Mirror, Self::Backup];

    /// The name in the config.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ListOwn => "list-own",
            Self::ListAll => "list-all",
            Self::ShowOwn => "show-own",
            Self::ShowAny => "show-any",
            Self::SearchActorOwn => "search-actor-own",
            Self::SearchActorAny => "search-actor-any",
            Self::SearchTarget => "search-target",
            Self::Export => "export",
            Self::SystemEvents => "system-events",
            Self::Ingest => "ingest",
            Self::Sweep => "sweep",
            Self::Digest => "digest",
            Self::Mirror => "mirror",
            Self::Backup => "backup",
        }
    }

    /// Returns the capability of that name.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|capability| capability.name() == name)
    }

    /// The narrower capability that comes with this one.
    const fn includes(self) -> Option<Self> {
        match self {
            Self::ListAll => Some(Self::ListOwn),
            Self::ShowAny => Some(Self::ShowOwn),
            Self::SearchActorAny => Some(Self::SearchActorOwn),
            Self::ListOwn
            | Self::ShowOwn
            | Self::SearchActorOwn
            | Self::SearchTarget
            | Self::Export
            | Self::SystemEvents
            | Self::Ingest
            | Self::Sweep
            | Self::Digest
            | Self::Mirror
            | Self::Backup => None,
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Capabilities, each with the narrower ones that come with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CapabilitySet(u16);

impl CapabilitySet {
    pub(crate) fn contains(self, capability: Capability) -> bool {
        self.0 & Self::bit(capability) != 0
    }

    #[must_use]
    pub(crate) fn with(self, more: impl IntoIterator<Item = Capability>) -> Self {
        more.into_iter().fold(self, |set, capability| {
            let included = capability.includes().map_or(0, Self::bit);
            Self(set.0 | Self::bit(capability) | included)
        })
    }

    pub(super) const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Returns the names, in the order of [`Capability::ALL`].
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        Capability::ALL.into_iter().filter(move |one| self.contains(*one)).map(Capability::name)
    }

    const fn bit(capability: Capability) -> u16 {
        1 << capability as u16
    }
}

impl FromIterator<Capability> for CapabilitySet {
    fn from_iter<I: IntoIterator<Item = Capability>>(all: I) -> Self {
        Self::default().with(all)
    }
}

/// Returns what a built-in role may do.
pub(super) fn built_in_role(name: &str) -> Option<CapabilitySet> {
    let own = [Capability::ListOwn, Capability::ShowOwn, Capability::SearchActorOwn];
    match name {
        ADMINISTRATOR => Some(
            Capability::ALL.into_iter().filter(|one| !Capability::PLATFORM.contains(one)).collect(),
        ),
        "editor" | "viewer" => Some(own.into_iter().collect()),
        _ => None,
    }
}

/// The names of the built-in roles.
pub(super) const BUILT_IN_ROLES: [&str; 3] = [ADMINISTRATOR, "editor", "viewer"];
