//! Kinds of activity: the headings of events in a digest.
//!
//! A kind is a query with a name. The kinds of the config come first, in their order, and one with the
//! name of a built-in kind replaces it; the built-in kinds follow. An event belongs to the first kind
//! that it matches. An event that matches none stands under its own action.

use std::collections::HashMap;
use std::sync::Arc;

use crate::event::Action;
use crate::event::Event;
use crate::query::Clock;
use crate::query::Predicate;
use crate::query::Query;
use crate::query::QueryError;
use crate::query::TextField;
use crate::query::value::EventProperty;
use crate::time::Timestamp;
use crate::time::Zone;

/// The kind of sign-ins that failed. It is listed behind the others, and its absence is not told.
pub(super) const FAILED_SIGN_INS: &str = "Failed sign-ins";

/// The built-in kinds and their queries, in the order in which they are tried.
const BUILT_IN_KINDS: [(&str, &str); 11] = [
    (
        "Newsletter subscriptions",
        "action:newsletter.subscribe*,newsletter.signup*,newsletter.sign_up*",
    ),
    ("Bookings", "action:booking.create*,booking.made,event.register*,event.book*"),
    (
        FAILED_SIGN_INS,
        "action:*.signin,*.login,signin,login,magic.*,*.signed_in,*.logged_in,*.login_failed,\
         *.signin_failed is:failed",
    ),
    ("Sign-ins", "action:*.signin,*.login,signin,login,magic.*,*.signed_in,*.logged_in -is:failed"),
    (
        "Sign-ups",
        "action:*.signup,*.sign_up,*.signed_up,*.register,*.registered,*.account_created,signup,\
         register,account_created",
    ),
    ("Purchases", "action:*.purchase*,order.paid"),
    ("Enrolments", "action:*.enrol*,enrol,enroll,enrolment.create*,enrollment.create*"),
    ("Lesson completions", "action:lesson.complete*"),
    ("Quiz attempts", "action:quiz.attempt*,quiz.start*,quiz.submit*,submit_quiz"),
    ("Contact messages", "action:contact.*,contact_form.*"),
    ("Comments", "action:comment.create*,comment.post*"),
];

/// The order in which a mail lists the kinds; kinds of the config's own come before them.
const LISTED_ORDER: [&str; 11] = [
    "Sign-ups",
    "Sign-ins",
    "Comments",
    "Newsletter subscriptions",
    "Purchases",
    "Bookings",
    "Enrolments",
    "Lesson completions",
    "Quiz attempts",
    "Contact messages",
    FAILED_SIGN_INS,
];

/// A named query.
#[derive(Clone, Debug)]
pub(crate) struct ActivityKind {
    pub name: String,
    /// The query as the config has it.
    pub query_text: String,
    pub query: Query,
    pub built_in: bool,
    /// Whether the query depends only on the action and on whether it failed.
    pub decided_by_action: bool,
}

impl ActivityKind {
    fn new(name: &str, query_text: &str, built_in: bool) -> Result<Self, QueryError> {
        // The config refuses kinds with terms on time, so the clock does not matter.
        let clock = Clock { now: Timestamp::from_nanos(0), zone: &Zone::utc() };
        let query = Query::parse(query_text, &clock)?;
        let decided_by_action = query.terms().all(|term| match &term.predicate {
            Predicate::Text(field, _) => matches!(field, TextField::Action | TextField::Module),
            Predicate::Is(all) => all.iter().all(|is| matches!(is, EventProperty::Failed)),
            _ => false,
        });
        let (name, query_text) = (name.to_owned(), query_text.trim().to_owned());
        Ok(Self { name, query_text, query, built_in, decided_by_action })
    }
}

/// A heading of events: a kind by its index, or an action without a kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Heading {
    Kind(usize),
    Action(String),
}

/// The kinds, in the order in which they are tried.
#[derive(Clone, Debug)]
pub(crate) struct ActivityKinds {
    all: Vec<ActivityKind>,
}

impl ActivityKinds {
    /// Returns the kinds of the config, given by name and query, and the built-in kinds after them.
    ///
    /// # Errors
    /// The name of a kind whose query does not parse, and the error.
    pub(crate) fn new<'a>(
        configured: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, (String, QueryError)> {
        let mut all: Vec<ActivityKind> = Vec::new();
        for (name, query_text) in configured {
            all.push(
                ActivityKind::new(name, query_text, false)
                    .map_err(|error| (name.to_owned(), error))?,
            );
        }
        let configured = all.len();
        for (name, query_text) in BUILT_IN_KINDS {
            if !all[..configured].iter().any(|kind| kind.name == name) {
                all.push(
                    ActivityKind::new(name, query_text, true).expect("the built-in queries parse"),
                );
            }
        }
        Ok(Self { all })
    }

    pub(crate) fn all(&self) -> &[ActivityKind] {
        &self.all
    }

    /// Returns the places of all kinds, in the order in which a mail lists them.
    pub(super) fn listed_order(&self) -> Vec<usize> {
        let rank = |place: &usize| {
            let name = self.all.get(*place).map(|kind| kind.name.as_str());
            LISTED_ORDER.iter().position(|known| Some(*known) == name)
        };
        let mut places: Vec<usize> = (0..self.all.len()).collect();
        // `None` comes first, and the sort keeps the order of the config.
        places.sort_by_key(rank);
        places
    }

    /// Whether every kind depends only on the action and on whether it failed, so that counts by
    /// action suffice.
    pub(crate) fn decided_by_action(&self) -> bool {
        self.all.iter().all(|kind| kind.decided_by_action)
    }

    pub(crate) fn kind(&self, heading: &Heading) -> Option<&ActivityKind> {
        match heading {
            Heading::Kind(index) => self.all.get(*index),
            Heading::Action(_) => None,
        }
    }

    /// Returns the text of a heading, and whether it is the name of an action.
    pub(crate) fn heading_name(&self, heading: Heading) -> (String, bool) {
        match heading {
            Heading::Kind(index) => (self.all[index].name.clone(), false),
            Heading::Action(slug) => (slug, true),
        }
    }

    /// Returns the heading of an event: the first kind that it matches, or its action.
    pub(crate) fn heading_of(&self, event: &Event) -> Heading {
        self.first_heading(event, |_| true)
    }

    /// Returns the heading of events with an action. It ignores kinds that depend on more than that.
    pub(crate) fn heading_of_action(&self, action: &Arc<Action>, failed: bool) -> Heading {
        self.first_heading(&representative_event(action, failed), |kind| kind.decided_by_action)
    }

    fn first_heading(&self, event: &Event, eligible: impl Fn(&ActivityKind) -> bool) -> Heading {
        self.all
            .iter()
            .position(|kind| eligible(kind) && kind.query.matches(event))
            .map_or_else(|| Heading::Action(event.action.slug.clone()), Heading::Kind)
    }

    /// Returns a classifier of many events.
    pub(crate) fn classifier(&self) -> Classifier<'_> {
        Classifier {
            kinds: self,
            decided_by_action: self.decided_by_action(),
            cache: HashMap::new(),
        }
    }
}

/// Classifies many events. Where the action decides, each action is matched once.
pub(crate) struct Classifier<'a> {
    kinds: &'a ActivityKinds,
    decided_by_action: bool,
    cache: HashMap<(Arc<Action>, bool), Heading>,
}

impl Classifier<'_> {
    pub(crate) fn classify(&mut self, event: &Event) -> Heading {
        if !self.decided_by_action {
            return self.kinds.heading_of(event);
        }
        let key = (Arc::clone(&event.action), event.is_failed());
        let heading = self
            .cache
            .entry(key)
            .or_insert_with_key(|(action, failed)| self.kinds.heading_of_action(action, *failed));
        heading.clone()
    }
}

/// Returns an event of which only the action and the failure are set.
fn representative_event(action: &Arc<Action>, failed: bool) -> Event {
    Event { status_code: failed.then_some(500), ..Event::minimal(Arc::clone(action)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Source;

    fn kind(kinds: &ActivityKinds, slug: &str, failed: bool) -> String {
        let action = Arc::new(Action { slug: slug.to_owned(), module: None });
        let heading = kinds.heading_of_action(&action, failed);
        assert_eq!(heading, kinds.heading_of(&representative_event(&action, failed)));
        kinds.heading_name(heading).0
    }

    #[test]
    fn each_built_in_kind_has_its_actions() {
        let kinds = ActivityKinds::new([]).unwrap();
        let expected = [
            ("Sign-ups", "user.signup member.register x.account_created signup user.signed_up"),
            ("Sign-ins", "auth.login user.signin login signin magic.link_used user.logged_in"),
            ("Comments", "comment.create comment.created comment.posted"),
            ("Newsletter subscriptions", "newsletter.subscribe newsletter.signup"),
            ("Purchases", "course.purchase shop.purchased order.paid"),
            ("Bookings", "booking.create booking.created booking.made event.register"),
            ("Enrolments", "course.enrol course.enrolled x.enroll enrol enrolment.created"),
            ("Failed sign-ins", "auth.login_failed user.signin_failed magic.link_refused"),
            ("Lesson completions", "lesson.complete lesson.completed"),
            ("Quiz attempts", "quiz.attempt quiz.started quiz.submitted submit_quiz"),
            ("Contact messages", "contact.message contact_form.sent"),
        ];
        for (name, actions) in expected {
            for action in actions.split(' ') {
                assert_eq!(kind(&kinds, action, false), name);
            }
        }
        for action in ["user.edit", "booking.cancelled", "comment.delete", "quiz.view", "logins"] {
            assert_eq!(kind(&kinds, action, false), action);
        }
        // A failed sign-in is no sign-in; a failed purchase is a purchase that needs a look.
        assert_eq!(kind(&kinds, "auth.login", true), "Failed sign-ins");
        assert_eq!(kind(&kinds, "order.paid", true), "Purchases");
        assert!(kinds.decided_by_action());
    }

    #[test]
    fn configured_kinds_come_first_and_take_the_place_of_built_in_ones() {
        let kinds = ActivityKinds::new([
            ("Deploys", "action:deploy.*"),
            ("Sign-ins", "action:auth.login,magic.*"),
            ("Paid", "action:order.*"),
        ])
        .unwrap();
        let names: Vec<&str> = kinds.all().iter().map(|kind| kind.name.as_str()).collect();
        assert_eq!(names[..4], ["Deploys", "Sign-ins", "Paid", "Newsletter subscriptions"]);
        assert_eq!(names.len(), 13);
        let listed: Vec<&str> = kinds.listed_order().iter().map(|place| names[*place]).collect();
        assert_eq!(listed[..5], ["Deploys", "Paid", "Sign-ups", "Sign-ins", "Comments"]);
        assert_eq!(listed.last(), Some(&"Failed sign-ins"));
        assert_eq!(kind(&kinds, "auth.login", true), "Sign-ins");
        assert_eq!(kind(&kinds, "user.signin", false), "user.signin");
        assert_eq!(kind(&kinds, "order.paid", false), "Paid");
    }

    #[test]
    fn a_kind_that_asks_for_more_than_the_action_is_asked_of_each_event() {
        let kinds = ActivityKinds::new([("By hand", "action:deploy.* source:operator")]).unwrap();
        assert!(!kinds.decided_by_action());
        let action = Arc::new(Action { slug: "deploy.done".to_owned(), module: None });
        let mut event = representative_event(&action, false);
        assert_eq!(kinds.classifier().classify(&event), Heading::Action("deploy.done".to_owned()));
        event.source = Source::Operator;
        assert_eq!(kinds.classifier().classify(&event), Heading::Kind(0));
    }

    #[test]
    fn an_error_in_a_query_names_its_kind() {
        let (name, _) = ActivityKinds::new([("Odd", "acton:x")]).unwrap_err();
        assert_eq!(name, "Odd");
    }
}
