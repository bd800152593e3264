//! An event as a central store has it.

use std::sync::Arc;

use ring::digest;

use crate::chain;
use crate::chain::ChainLink;
use crate::chain::EventContent;
use crate::chain::RowSalt;
use crate::chain::Seal;
use crate::chain::Sha256Digest;
use crate::chain::StoredValues;
use crate::event::Event;
use crate::event::Party;
use crate::event::json::JsonObject;
use crate::text;

/// An event on its way into a central store.
#[derive(Clone, Copy)]
pub(crate) struct CentralRow<'a> {
    pub event: &'a Event,
    pub seal: Option<&'a Seal>,
}

impl CentralRow<'_> {
    /// The bytes of the seal; none where there is no seal.
    pub(super) fn seal_bytes(&self) -> Vec<u8> {
        self.seal.map(|seal| seal.to_bytes()).unwrap_or_default()
    }
}

/// An event as a central store has it. Nothing in it is trusted.
#[derive(Clone, Debug)]
pub(crate) struct StoredEvent {
    pub event: Event,
    pub seal: Vec<u8>,
    pub words: Option<String>,
    /// The keys of its labels, in the order of [`KEY_COLUMNS`].
    pub keys: [Option<i64>; 3],
    /// A column whose value no event can have: somebody has changed it.
    pub flaw: Option<&'static str>,
}

/// The columns by whose keys labels are found.
pub(super) const KEY_COLUMNS: [&str; 3] = ["actor_key", "impersonator_key", "target_key"];

/// Returns the keys of the labels of an event, in the order of [`KEY_COLUMNS`].
pub(super) fn label_keys(event: &Event) -> [Option<i64>; 3] {
    let actor = event.actor.as_ref().and_then(|party| party.label.as_deref());
    let impersonator = event.impersonator.as_ref().and_then(|party| party.label.as_deref());
    let target = event.target.as_ref().and_then(|target| target.label.as_deref());
    [actor, impersonator, target].map(|label| label.map(|label| label_key(&text::fold(label))))
}

/// Returns a number that stands for a folded label in an index: labels may be longer than an index
/// takes. Nobody finds another label with the number of a given one.
pub(super) fn label_key(folded: &str) -> i64 {
    let digest = digest::digest(&digest::SHA256, folded.as_bytes());
    let mut number = [0; 8];
    number.copy_from_slice(&digest.as_ref()[..8]);
    i64::from_be_bytes(number)
}

impl StoredEvent {
    /// Returns the event as a link of the chain, or what no event can have unless somebody changed it.
    ///
    /// # Errors
    /// One line about the row.
    pub(crate) fn to_link(&self) -> Result<ChainLink, String> {
        let event = &self.event;
        if let Some(column) = self.flaw {
            return Err(format!("no event has such a value in {column}"));
        }
        let Some(seal) = Seal::from_bytes(&self.seal) else {
            return Err("its seal cannot be read".to_owned());
        };
        if self.words != words(event) {
            return Err("the words by which it is found are not its own".to_owned());
        }
        if self.keys != label_keys(event) {
            return Err("the keys by which its labels are found are not their own".to_owned());
        }
        let content = content_digest(event, &seal).ok_or("its seal is that of another event")?;
        Ok(ChainLink { id: event.id, content, hash: event.hash })
    }
}

/// Returns the digest of the content of an event; `None` where the seal has a part that the event has
/// not, or lacks one.
fn content_digest(event: &Event, seal: &Seal) -> Option<Sha256Digest> {
    let party = |party: &Option<Arc<Party>>, salt: Option<RowSalt>| match (party, salt) {
        (Some(party), Some(salt)) => {
            Some(Some(chain::party_commitment(&salt, party.id.as_deref(), party.label.as_deref())))
        }
        (None, None) => Some(None),
        (_, _) => None,
    };
    let target = match (&event.target, seal.target) {
        (Some(target), Some(salt)) => {
            let (id, label) = (target.id.as_deref(), target.label.as_deref());
            Some(chain::target_commitment(&salt, id, label))
        }
        (None, None) => None,
        (_, _) => return None,
    };
    let agent = match (&event.user_agent, seal.agent) {
        (Some(agent), Some(salt)) => Some(chain::agent_commitment(&salt, agent)),
        (None, None) => None,
        (_, _) => return None,
    };
    let content = EventContent {
        event_id: &event.event_id,
        occurred_at: event.occurred_at,
        recorded_at: event.recorded_at,
        recorded_by: &event.recorded_by,
        tenant: event.tenant.as_deref(),
        source: event.source,
        severity: event.severity,
        module: event.action.module.as_deref(),
        action: &event.action.slug,
        title: event.title.as_deref(),
        actor: party(&event.actor, seal.actor)?,
        impersonator: party(&event.impersonator, seal.impersonator)?,
        target_type: event.target.as_ref().and_then(|target| target.kind.as_deref()),
        target,
        agent,
        values: StoredValues {
            status_code: event.status_code,
            method: event.method.as_deref(),
            endpoint: event.endpoint.as_deref(),
            ip: event.ip.as_deref(),
            session_id: event.session_id.as_deref(),
            description: event.description.as_deref(),
            diff: event.diff.as_ref().map(JsonObject::as_str),
            payload: event.payload.as_ref().map(JsonObject::as_str),
        },
        own: event.own,
        salt: seal.body,
    };
    Some(content.digest())
}

/// Returns the text in which words are looked for: the labels and the title, folded, each on a line.
pub(crate) fn words(event: &Event) -> Option<String> {
    let actor = event.actor.as_ref().and_then(|actor| actor.label.as_deref());
    let target = event.target.as_ref().and_then(|target| target.label.as_deref());
    let mut words = String::new();
    for text in [actor, target, event.title.as_deref()].into_iter().flatten() {
        if !words.is_empty() {
            words.push('\n');
        }
        words.push_str(&text::fold(text));
    }
    Some(words).filter(|words| !words.is_empty())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::Party;
    use crate::query::samples::full_event;
    use crate::query::samples::minimal_event;

    #[test]
    fn labels_of_any_case_have_one_key() {
        let mut event = full_event();
        let keys = label_keys(&event);
        assert!(keys.iter().all(Option::is_some), "{keys:?}");
        let actor = event.actor.as_deref().unwrap();
        let label = actor.label.as_deref().map(str::to_uppercase);
        event.actor = Some(Arc::new(Party { id: None, label }));
        assert_eq!(label_keys(&event), keys);
        assert_eq!(label_keys(&minimal_event()), [None; 3]);
        assert_eq!(label_key(""), -2_039_914_840_885_289_964);
    }

    #[test]
    fn words_are_folded_and_do_not_run_together() {
        let mut event = full_event();
        event.title = Some("STRASSE".into());
        let words = words(&event).unwrap();
        assert!(words.ends_with("\nstrasse"), "{words}");
        assert_eq!(words.lines().count(), 3);
        assert_eq!(super::words(&minimal_event()), None);
    }
}
