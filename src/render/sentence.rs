//! One event in one sentence.

use crate::event::Event;
use crate::render::Labels;
use crate::render::Printer;
use crate::render::styled::StyledText;
use crate::render::target_name;
use crate::render::theme::TextStyle;

/// The last part of an action, as it is named before and after the fact.
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

/// Acts that are done to no record.
const VERBS_WITHOUT_TARGET: [(&str, &str); 5] = [
    ("login", "signed in"),
    ("signin", "signed in"),
    ("logout", "signed out"),
    ("signout", "signed out"),
    ("signup", "signed up"),
];

impl Printer<'_> {
    /// The title; without one who did what to which record, where the action says so in English.
    /// Nothing is said to have been done that failed.
    pub(super) fn sentence(&self, event: &Event) -> StyledText {
        if let Some(title) = &event.title {
            return StyledText::foreign(TextStyle::Plain, title);
        }
        let target = event.target.as_deref().map(target_name).unwrap_or_default();
        let act = event.action.slug.rsplit('.').next().unwrap_or_default();
        let mut sentence = self.styled_actor(event, &Labels::default());
        let done = |acts: &[(&str, &'static str)]| {
            let known = acts.iter().find(|(name, past)| *name == act || *past == act);
            known.map(|(_, past)| *past).filter(|_| !event.is_failed())
        };
        if let Some(done) = done(&VERBS_WITHOUT_TARGET) {
            sentence.push(TextStyle::Plain, " ");
            sentence.push(TextStyle::Plain, done);
        } else if !target.is_empty() {
            let link = done(&VERBS).map(|done| format!(" {done} "));
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
        sample::with_printer(Some(80), |printer| printer.sentence(event).text().to_owned())
    }

    fn acted(slug: &str) -> Event {
        let action = Action { slug: slug.to_owned(), module: None };
        Event { action: Arc::new(action), title: None, ..sample::edit() }
    }

    #[test]
    fn an_event_is_told_in_a_sentence() {
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
    fn what_failed_is_not_said_to_have_been_done() {
        let refused = Event { status_code: Some(403), ..acted("user.delete") };
        assert_eq!(sentence(&refused), "Jerome Cruz · James Compton");
        assert_eq!(sentence(&Event { target: None, ..acted("user.delete") }), "Jerome Cruz");
    }

    #[test]
    fn acts_are_in_order_and_each_there_once() {
        assert!(VERBS.is_sorted());
        assert!(VERBS.windows(2).all(|pair| pair[0].0 != pair[1].0));
    }
}
