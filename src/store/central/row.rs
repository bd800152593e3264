//! An event as a central store has it.

use crate::chain::Seal;
use crate::event::Event;
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
    /// A column whose value no event can have: somebody has changed it.
    pub flaw: Option<&'static str>,
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
    use super::*;
    use crate::query::samples::full_event;
    use crate::query::samples::minimal_event;

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
