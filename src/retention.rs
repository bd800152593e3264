//! How long events are kept: the rule that decides on an event, and the time before which it is too
//! old.
//!
//! The first rule whose query matches an event decides on it, otherwise the general `keep`. If
//! there is neither, the event is kept for ever. The time is an argument.
//!
//! An event that an enabled mirror has yet to deliver is held, however old it is. A mirror that has
//! not run yet holds what it will deliver: every event that it wants, or none with `start = "now"`.
//! Alerts hold nothing: nobody wants to be told of what happened before their oldest event expired.

use crate::event::Event;
use crate::event::EventId;
use crate::event::own_events;
use crate::query::Clock;
use crate::query::Query;
use crate::query::QueryError;
use crate::time::Span;
use crate::time::Timestamp;
use crate::time::Zone;

/// How long events are kept, by rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RetentionPolicy {
    /// For events that no rule matches; `None` keeps them for ever.
    keep: Option<Span>,
    rules: Vec<RetentionRule>,
    mirrors: Vec<MirrorHold>,
}

/// A mirror whose events are held until it has delivered them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MirrorHold {
    pub name: String,
    query: Query,
    /// Whether it will deliver what is there already when it first runs.
    wants_existing_events: bool,
}

/// A rule of the config.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RetentionRule {
    query: Query,
    /// The query as it was written.
    pub text: String,
    pub keep: Span,
}

/// The part of the policy that decides on an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Decider {
    /// The rule at that place.
    Rule(usize),
    Keep,
}

/// The time before which the events of one rule, or of the general `keep`, are too old.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Horizon {
    pub decider: Decider,
    pub keep: Span,
    /// Events that occurred before it are too old.
    pub cutoff: Timestamp,
    /// Matches all events that the rule matches and that are too old. An earlier rule may match
    /// some of them too, and decides then.
    pub query: Query,
}

impl RetentionPolicy {
    /// # Errors
    /// The place of the first rule whose query does not parse, and the reason.
    pub(crate) fn new(
        keep: Option<Span>,
        rules: &[(String, Span)],
    ) -> Result<Self, (usize, QueryError)> {
        let rules = rules.iter().enumerate().map(|(place, (text, keep))| {
            let query = parse_query(text).map_err(|why| (place, why))?;
            Ok(RetentionRule { query, text: text.clone(), keep: *keep })
        });
        Ok(Self { keep, rules: rules.collect::<Result<_, _>>()?, mirrors: Vec::new() })
    }

    /// Returns the policy with mirrors: it holds events that they have yet to deliver. Each has its
    /// name, its query, and whether it will deliver what is there already when it first runs.
    ///
    /// # Errors
    /// The place of the first query that does not parse, and the reason.
    pub(crate) fn with_mirrors<'a>(
        self,
        mirrors: impl Iterator<Item = (&'a str, &'a str, bool)>,
    ) -> Result<Self, (usize, QueryError)> {
        let mirrors = mirrors.enumerate().map(|(place, (name, text, wants_existing_events))| {
            let query = mirror_query(text).map_err(|why| (place, why))?;
            Ok(MirrorHold { name: name.to_owned(), query, wants_existing_events })
        });
        Ok(Self { mirrors: mirrors.collect::<Result<_, _>>()?, ..self })
    }

    pub(crate) fn mirrors(&self) -> &[MirrorHold] {
        &self.mirrors
    }

    /// Whether a mirror has yet to deliver an event. `cursors` has, for each of
    /// [mirrors](Self::mirrors), the last event that needs no more work; `None` where it has not run.
    pub(crate) fn is_undelivered(&self, event: &Event, cursors: &[Option<EventId>]) -> bool {
        self.mirrors.iter().zip(cursors).any(|(mirror, cursor)| {
            let is_ahead = cursor.map_or(mirror.wants_existing_events, |cursor| event.id > cursor);
            is_ahead && mirror.query.matches(event)
        })
    }

    /// Whether everything is kept for ever.
    pub(crate) fn keeps_all(&self) -> bool {
        self.keep.is_none() && self.rules.is_empty()
    }

    pub(crate) fn keep(&self) -> Option<Span> {
        self.keep
    }

    pub(crate) fn rules(&self) -> &[RetentionRule] {
        &self.rules
    }

    /// Returns what decides on an event; `None` if it is kept for ever.
    pub(crate) fn decider(&self, event: &Event) -> Option<Decider> {
        let rule = self.rules.iter().position(|rule| rule.query.matches(event));
        rule.map(Decider::Rule).or(self.keep.map(|_| Decider::Keep))
    }

    /// Returns the horizons at a time, those of the rules first.
    pub(crate) fn horizons(&self, now: Timestamp) -> Vec<Horizon> {
        let horizon = |decider, mut query: Query, keep| {
            let cutoff = now.saturating_sub(keep);
            query.narrow_to_before(cutoff);
            Horizon { decider, keep, cutoff, query }
        };
        let rules = self.rules.iter().enumerate();
        let rules =
            rules.map(|(place, rule)| horizon(Decider::Rule(place), rule.query.clone(), rule.keep));
        let keep = self.keep.map(|keep| horizon(Decider::Keep, Query::default(), keep));
        rules.chain(keep).collect()
    }
}

/// Parses the query of a mirror or alert. Events about mirrors are only for a query that names their
/// actions: a mirror that fails must not feed itself.
///
/// # Errors
/// The text is no query.
pub(crate) fn mirror_query(text: &str) -> Result<Query, QueryError> {
    let query = parse_query(text)?;
    if query.names_actions_with_prefix(own_events::MIRROR_PREFIX) {
        return Ok(query);
    }
    let others = parse_query(&format!("-action:{}*", own_events::MIRROR_PREFIX))?;
    Ok(query.and(others))
}

/// Parses a query of the config. Such a query has no times, so the clock does not matter.
fn parse_query(text: &str) -> Result<Query, QueryError> {
    Query::parse(text, &Clock { now: Timestamp::from_nanos(0), zone: &Zone::utc() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Action;
    use crate::query::samples;

    fn days(days: u64) -> Span {
        Span::from_seconds(days * 86_400)
    }

    fn retention(keep: Option<u64>, rules: &[(&str, u64)]) -> RetentionPolicy {
        let rules: Vec<_> =
            rules.iter().map(|(query, keep)| ((*query).to_owned(), days(*keep))).collect();
        RetentionPolicy::new(keep.map(days), &rules).unwrap()
    }

    #[test]
    fn the_first_rule_that_fits_decides_and_else_keep() {
        let event = samples::full_event();
        let slug = &event.action.slug;
        let fits = format!("action:{slug}");
        let rules = [("action:nowhere", 1), (fits.as_str(), 2), ("", 3)];
        assert_eq!(retention(Some(9), &rules).decider(&event), Some(Decider::Rule(1)));
        assert_eq!(retention(Some(9), &rules[..1]).decider(&event), Some(Decider::Keep));
        assert_eq!(retention(None, &rules[..1]).decider(&event), None);
        assert!(retention(None, &[]).keeps_all());
        assert!(!retention(None, &rules).keeps_all());
        let wrong = [("a:b:c:d".to_owned(), days(1)), ("severity:purple".to_owned(), days(1))];
        assert_eq!(RetentionPolicy::new(None, &wrong).unwrap_err().0, 0);
    }

    #[test]
    fn what_a_mirror_asks_for_is_held() {
        let event = |slug: &str| {
            let action =
                Action { slug: slug.to_owned(), ..(*samples::full_event().action).clone() };
            Event { action: action.into(), ..samples::full_event() }
        };
        let holds = |queries: &[&str], slug: &str| {
            let mirrors = queries.iter().map(|query| ("m", *query, true));
            let retention = retention(Some(9), &[]).with_mirrors(mirrors).unwrap();
            retention.is_undelivered(&event(slug), &vec![None; queries.len()])
        };
        assert!(!holds(&[], "user.edit"));
        assert!(holds(&[""], "user.edit"));
        assert!(holds(&["action:cron.*", "action:user.*"], "user.edit"));
        assert!(!holds(&["action:cron.*", "-action:user.*"], "user.edit"));
        for feeds in ["action:mirror.dead", "action:mirror.*", "action:a.b,mirror.*"] {
            assert!(holds(&[feeds], "mirror.dead"), "{feeds}");
        }
        for silent in ["", "action:*", "action:m*", "is:failed", "-action:mirror.failing"] {
            assert!(!holds(&[silent], "mirror.dead"), "{silent}");
        }
        let wrong = ["", "severity:purple"].map(|query| ("m", query, true));
        assert_eq!(retention(None, &[]).with_mirrors(wrong.into_iter()).unwrap_err().0, 1);
    }

    #[test]
    fn what_a_mirror_has_delivered_is_not_held() {
        let event = samples::full_event();
        let holds = |wants_existing, cursor| {
            let mirror = [("m", "", wants_existing)];
            let retention = retention(Some(9), &[]).with_mirrors(mirror.into_iter()).unwrap();
            retention.is_undelivered(&event, &[cursor])
        };
        let before = EventId(event.id.0 - 1);
        assert!(holds(true, None) && !holds(false, None));
        assert!(holds(true, Some(before)) && holds(false, Some(before)));
        assert!(!holds(true, Some(event.id)) && !holds(false, Some(event.id)));
    }

    #[test]
    fn what_occurred_before_the_cutoff_is_too_old() {
        let event = samples::full_event();
        let now = event.occurred_at.saturating_add(days(10));
        let older = retention(Some(9), &[("action:nowhere", 1)]);
        let horizons = older.horizons(now);
        assert_eq!(horizons.len(), 2);
        assert_eq!(horizons[1].cutoff, now.saturating_sub(days(9)));
        assert!(horizons[1].query.matches(&event));
        assert!(!horizons[0].query.matches(&event));
        let exact = retention(Some(10), &[]).horizons(now);
        assert!(!exact[0].query.matches(&event), "what is as old as its horizon is kept");
    }
}
