//! One event in one sentence.

use crate::event::Event;
use crate::render::Labels;
use crate::render::Printer;
use crate::render::styled::StyledText;
use crate::render::target_name;
use crate::render::theme::TextStyle;

/// The last part of an action in the present and the past tense.
const VERBS: [(&str, &str); 40] = [
    ("add", "added"),
    ("approve", "approved"),
    ("archive", "archived"),
    ("assign", "assigned"),
    ("attach", "attached"),
    ("cancel", "cancelled"),
    ("change", "changed"),
    ("close", "closed"),
    ("complete", "completed"),
    ("create", "created"),
    ("delete", "deleted"),
    ("deploy", "deployed"),
    ("detach", "detached"),
    ("disable", "disabled"),
    ("download", "downloaded"),
    ("edit", "edited"),
    ("enable", "enabled"),
    ("export", "exported"),
    ("finish", "finished"),
    ("grant", "granted"),
    ("import", "imported"),
    ("install", "installed"),
    ("invite", "invited"),
    ("merge", "merged"),
    ("move", "moved"),
    ("patch", "patched"),
    ("publish", "published"),
    ("purge", "purged"),
    ("reject", "rejected"),
    ("remove", "removed"),
    ("rename", "renamed"),
    ("reopen", "reopened"),
    ("restore", "restored"),
    ("revoke", "revoked"),
    ("start", "started"),
    ("stop", "stopped"),
    ("suspend", "suspended"),
    ("update", "updated"),
    ("upload", "uploaded"),
    ("view", "viewed"),
];

/// Verbs that take no target.
const VERBS_WITHOUT_TARGET: [(&str, &str); 5] = [
    ("login", "signed in"),
    ("signin", "signed in"),
    ("logout", "signed out"),
    ("signout", "signed out"),
    ("signup", "signed up"),
];

impl Printer<'_> {
    /// Returns the title; without one, a sentence of actor, verb and target if the verb is known. The
    /// sentence never says that a failed action was done.
    pub(super) fn sentence(&self, event: &Event, labels: &Labels) -> StyledText {
        if let Some(title) = &event.title {
            return StyledText::foreign(TextStyle::Plain, title);
        }
        let target = event.target.as_deref().map(target_name).unwrap_or_default();
        let verb = event.action.slug.rsplit('.').next().unwrap_or_default();
        let mut sentence = self.styled_actor(event, labels);
        let past_tense = |verbs: &[(&str, &'static str)]| {
            let known = verbs.iter().find(|(name, past)| *name == verb || *past == verb);
            known.map(|(_, past)| *past).filter(|_| !event.is_failed())
        };
        if let Some(past) = past_tense(&VERBS_WITHOUT_TARGET) {
            sentence.push(TextStyle::Plain, " ");
            sentence.push(TextStyle::Plain, past);
        } else if !target.is_empty() {
            let link = past_tense(&VERBS).map(|past| format!(" {past} "));
            sentence.push(TextStyle::Plain, link.as_deref().unwrap_or(self.display.separator()));
            sentence.append(&target);
        }
        sentence
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::Action;
    use crate::event::Source;
    use crate::render::sample;

    fn sentence(event: &Event) -> String {
        sample::with_printer(Some(80), |printer| {
            printer.sentence(event, &Labels::default()).text().to_owned()
        })
    }

    fn acted(slug: &str) -> Event {
        let action = Action { slug: slug.to_owned(), module: None };
        Event { action: Arc::new(action), title: None, ..sample::edit() }
    }

    #[test]
    fn an_event_becomes_a_sentence() {
        assert_eq!(sentence(&acted("user.edit")), "Jerome Cruz edited James Compton");
        assert_eq!(sentence(&acted("user.edited")), "Jerome Cruz edited James Compton");
        assert_eq!(sentence(&acted("auth.login")), "Jerome Cruz signed in");
        assert_eq!(sentence(&acted("quiz.attempt")), "Jerome Cruz · James Compton");
        let title = Some("Profile update".into());
        assert_eq!(sentence(&Event { title, ..acted("user.edit") }), "Profile update");
        let backup = Event { actor: None, source: Source::Cron, ..acted("backup.created") };
        assert_eq!(sentence(&backup), "(system) created James Compton");
    }

    #[test]
    fn a_failed_action_is_not_said_to_be_done() {
        let refused = Event { status_code: Some(403), ..acted("user.delete") };
        assert_eq!(sentence(&refused), "Jerome Cruz · James Compton");
        assert_eq!(sentence(&Event { target: None, ..acted("user.delete") }), "Jerome Cruz");
    }

    #[test]
    fn verbs_are_sorted_and_unique() {
        assert!(VERBS.is_sorted());
        assert!(VERBS.windows(2).all(|pair| pair[0].0 != pair[1].0));
    }
}
