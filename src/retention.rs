//! How long events are kept: which rule decides on an event, and since when it is too old.
//!
//! The first rule whose query fits an event decides on it, else the general `keep`; where neither
//! is there, it is kept for ever. Pure: what time it is comes in.
//!
//! What an enabled mirror has yet to deliver is held, however old it is. This version delivers
//! nothing, so that is all that such a mirror asks for. One with `start = "now"` begins with what is
//! recorded after its first run, of which there was none: it holds nothing. Alerts begin with what was
//! recorded in the hour before, and a delivery that comes later is not worth the log: they hold nothing.

use crate::event::Event;
use crate::event::own_events;
use crate::query::Clock;
use crate::query::Query;
use crate::query::QueryError;
use crate::time::Span;
use crate::time::Timestamp;
use crate::time::Zone;

/// How long which events are kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RetentionPolicy {
    /// Of what no rule fits; absent, that is kept for ever.
    keep: Option<Span>,
    rules: Vec<RetentionRule>,
    /// What each mirror has yet to deliver.
    undelivered: Vec<Query>,
}

/// A rule of the config.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RetentionRule {
    query: Query,
    /// The query as it was written.
    pub text: String,
    pub keep: Span,
}

/// What decides on an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Decider {
    /// The rule at that place.
    Rule(usize),
    Keep,
}

/// Since when events that one rule, or the general `keep`, decides on are too old.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Horizon {
    pub decider: Decider,
    pub keep: Span,
    /// What occurred before it is too old.
    pub cutoff: Timestamp,
    /// All that is older and that the rule fits; an earlier rule may fit it too, and decide.
    pub query: Query,
}

impl RetentionPolicy {
    /// # Errors
    /// The place of the first rule whose query does not parse, and why.
    pub(crate) fn new(
        keep: Option<Span>,
        rules: &[(String, Span)],
    ) -> Result<Self, (usize, QueryError)> {
        let rules = rules.iter().enumerate().map(|(place, (text, keep))| {
            let query = parse_query(text).map_err(|why| (place, why))?;
            Ok(RetentionRule { query, text: text.clone(), keep: *keep })
        });
        Ok(Self { keep, rules: rules.collect::<Result<_, _>>()?, undelivered: Vec::new() })
    }

    /// The same, but holding what mirrors with these queries have yet to deliver.
    ///
    /// # Errors
    /// The place of the first query that does not parse, and why.
    pub(crate) fn with_mirrors<'a>(
        self,
        mirrors: impl Iterator<Item = &'a str>,
    ) -> Result<Self, (usize, QueryError)> {
        let mirrors = mirrors.enumerate();
        let queries = mirrors.map(|(place, text)| parse_query(text).map_err(|why| (place, why)));
        Ok(Self { undelivered: queries.collect::<Result<_, _>>()?, ..self })
    }

    /// Whether a mirror has yet to deliver an event.
    pub(crate) fn is_undelivered(&self, event: &Event) -> bool {
        // What mirrors say of themselves goes to one that asks for it by name: a failing mirror
        // shall feed nothing to itself.
        let fed = |query: &Query| {
            !event.action.slug.starts_with(own_events::MIRROR_PREFIX)
                || query.names_actions_with_prefix(own_events::MIRROR_PREFIX)
        };
        self.undelivered.iter().any(|query| fed(query) && query.matches(event))
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

    /// What decides on an event; nothing where it is kept for ever.
    pub(crate) fn decider(&self, event: &Event) -> Option<Decider> {
        let rule = self.rules.iter().position(|rule| rule.query.matches(event));
        rule.map(Decider::Rule).or(self.keep.map(|_| Decider::Keep))
    }

    /// The horizons at that time, those of the rules first.
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

/// Reads a query of the config. It has no times in it, so it does not matter what time it is.
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
            let retention = retention(Some(9), &[]).with_mirrors(queries.iter().copied()).unwrap();
            retention.is_undelivered(&event(slug))
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
        let wrong = retention(None, &[]).with_mirrors(["", "severity:purple"].into_iter());
        assert_eq!(wrong.unwrap_err().0, 1);
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
