//! Names that begin with what a person has typed, for completions.

use anyhow::Result;

use crate::access::Scope;
use crate::query::Query;
use crate::store::Engine;
use crate::store::Log;

/// The kind of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameKind {
    Action,
    /// Ids and labels.
    Actor,
    /// Ids and labels.
    Target,
    Module,
    Tenant,
    Recorder,
}

#[cfg(test)]
impl NameKind {
    pub(crate) const ALL: [Self; 6] =
        [Self::Action, Self::Actor, Self::Target, Self::Module, Self::Tenant, Self::Recorder];
}

impl Log {
    /// Returns some names within the scope that begin with a text, labels in any case; sorted.
    ///
    /// # Errors
    /// The class and the reason.
    pub(crate) fn names(
        &self,
        scope: &Scope,
        kind: NameKind,
        beginning: &str,
        limit: usize,
    ) -> Result<Vec<String>> {
        match &self.engine {
            Engine::Local(engine) => {
                engine.names(&scope.narrow(&Query::default()), kind, beginning, limit)
            }
            // Nobody waits for a server behind a key.
            Engine::Central(_) => Ok(Vec::new()),
        }
    }
}
