//! Labels for actors of whom an event has only the id.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

use crate::event::Event;
use crate::event::Party;

/// The newest label of each id within its tenant. The caller looks up the [`missing`] ones in the log
/// and inserts those that the user may see.
///
/// [`missing`]: Labels::missing
#[derive(Clone, Debug, Default)]
pub(crate) struct Labels(HashMap<Option<String>, HashMap<String, String>>);

impl Labels {
    pub(crate) fn insert(&mut self, tenant: Option<&str>, id: &str, label: &str) {
        let ids = self.0.entry(tenant.map(str::to_owned)).or_default();
        ids.insert(id.to_owned(), label.to_owned());
    }

    /// Returns the tenant and id of every actor of these events that has no label there or here, each
    /// once.
    pub(crate) fn missing(&self, events: &[Event]) -> Vec<(Option<Arc<str>>, String)> {
        let mut seen = HashSet::new();
        let mut missing = Vec::new();
        for event in events {
            for party in [&event.actor, &event.impersonator].into_iter().flatten() {
                let Party { id: Some(id), label: None } = &**party else { continue };
                let known = self.get(event.tenant.as_deref(), id).is_some();
                if !known && seen.insert((event.tenant.clone(), id)) {
                    missing.push((event.tenant.clone(), id.clone()));
                }
            }
        }
        missing
    }

    pub(crate) fn get(&self, tenant: Option<&str>, id: &str) -> Option<&str> {
        self.0.get(&tenant.map(str::to_owned))?.get(id).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::sample;

    #[test]
    fn each_missing_label_is_returned_once_within_its_tenant() {
        let nameless = |tenant: &str| Event {
            tenant: Some(tenant.into()),
            actor: Some(Arc::new(Party { id: Some("17".into()), label: None })),
            ..sample::edit()
        };
        let events = [nameless("a"), nameless("a"), nameless("b"), sample::edit()];
        let mut labels = Labels::default();
        assert_eq!(
            labels.missing(&events),
            [(Some("a".into()), "17".into()), (Some("b".into()), "17".into())]
        );
        labels.insert(Some("a"), "17", "James Compton");
        assert_eq!(labels.missing(&events), [(Some("b".into()), "17".into())]);
        assert_eq!(labels.get(Some("b"), "17"), None, "another tenant's 17 is somebody else");
    }
}
