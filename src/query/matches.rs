//! Decides whether a query matches an event.

use std::borrow::Cow;

use crate::event::Event;
use crate::event::Party;
use crate::event::field;
use crate::event::json;
use crate::query::Predicate;
use crate::query::Query;
use crate::query::Term;
use crate::query::TextField;
use crate::query::pattern::NamePattern;
use crate::query::pattern::Pattern;
use crate::query::value;
use crate::query::value::AddressSet;
use crate::query::value::EventProperty;
use crate::query::value::PresentField;
use crate::text;

impl Query {
    /// Whether the query matches an event. An absent field matches nothing.
    pub(crate) fn matches(&self, event: &Event) -> bool {
        self.bounds().contains(event.occurred_at) && self.terms().all(|term| term.matches(event))
    }
}

impl Term {
    fn matches(&self, event: &Event) -> bool {
        self.predicate.holds(event) != self.negated
    }
}

impl Predicate {
    fn holds(&self, event: &Event) -> bool {
        let actor = event.actor.as_deref();
        let impersonator = event.impersonator.as_deref();
        match self {
            Self::Actor(names) => matches_party(names, actor),
            Self::Impersonator(names) => matches_party(names, impersonator),
            Self::Person(names) => {
                matches_party(names, actor) || matches_party(names, impersonator)
            }
            Self::NotSystemOr(names) => {
                !event.source.is_system()
                    || matches_party(names, actor)
                    || matches_party(names, impersonator)
            }
            Self::Target(records) => event.target.as_deref().is_some_and(|target| {
                let (kind, id) = (target.kind.as_deref(), target.id.as_deref());
                records.iter().any(|record| record.matches(kind, id, target.label.as_deref()))
            }),
            Self::Text(field, _) => {
                field.value_of(event).is_some_and(|text| self.holds_for_text(&text))
            }
            Self::Payload { .. } => {
                event.payload.as_ref().is_some_and(|payload| self.holds_for_text(payload.as_str()))
            }
            Self::Id(ranges) => {
                ranges.iter().any(|range| range.contains(event.log.as_deref(), event.id))
            }
            Self::Source(sources) => sources.contains(&event.source),
            Self::Severity(ranges) => ranges.iter().any(|range| range.contains(event.severity)),
            Self::Status(ranges) => event
                .status_code
                .is_some_and(|status| ranges.iter().any(|range| range.contains(status))),
            Self::Ip(_) => event.ip.as_deref().is_some_and(|ip| self.holds_for_text(ip)),
            Self::Is(all) => all.iter().any(|is| is.holds(event)),
            Self::Has(fields) => fields.iter().any(|field| field.holds(event)),
            Self::Changed(_) => {
                event.diff.as_ref().is_some_and(|diff| self.holds_for_text(diff.as_str()))
            }
            Self::Occurred(ranges) => ranges.iter().any(|range| range.contains(event.occurred_at)),
            Self::Recorded(ranges) => ranges.iter().any(|range| range.contains(event.recorded_at)),
            Self::Phrase(pattern) => {
                let texts = [
                    actor.and_then(|actor| actor.label.as_deref()),
                    event.target.as_deref().and_then(|target| target.label.as_deref()),
                    event.title.as_deref(),
                ];
                texts.into_iter().flatten().any(|text| pattern.occurs_in(&text::fold(text)))
            }
        }
    }
}

impl Predicate {
    /// Whether a predicate on a single text holds for it: on a text field, the address, or the whole
    /// payload or diff. Predicates on anything else never hold here.
    pub(crate) fn holds_for_text(&self, value: &str) -> bool {
        match self {
            Self::Text(field, patterns) if field.is_in_any_case() => {
                patterns.any_matches(&text::fold(value))
            }
            Self::Text(TextField::Log, patterns) => {
                value::log_names(value).iter().any(|name| patterns.any_matches(name))
            }
            Self::Text(_, patterns) => patterns.any_matches(value),
            Self::Changed(names) => json::members(value)
                .is_ok_and(|entries| entries.iter().any(|(entry, _)| names.any_matches(entry))),
            Self::Ip(addresses) => AddressSet::any_contains(addresses, value),
            Self::Payload { key, values } => {
                may_contain(value, key, values)
                    && payload_value(value, key).is_some_and(|value| values.any_matches(&value))
            }
            Self::Actor(_)
            | Self::Impersonator(_)
            | Self::Person(_)
            | Self::NotSystemOr(_)
            | Self::Target(_)
            | Self::Id(_)
            | Self::Source(_)
            | Self::Severity(_)
            | Self::Status(_)
            | Self::Is(_)
            | Self::Has(_)
            | Self::Occurred(_)
            | Self::Recorded(_)
            | Self::Phrase(_) => false,
        }
    }
}

impl EventProperty {
    fn holds(self, event: &Event) -> bool {
        match self {
            Self::Impersonated => event.impersonator.is_some(),
            Self::Failed => event.is_failed(),
            Self::System => event.source.is_system(),
            Self::Edit => event.diff.is_some(),
        }
    }
}

impl PresentField {
    fn holds(self, event: &Event) -> bool {
        match self {
            Self::Actor => event.actor.is_some(),
            Self::Impersonator => event.impersonator.is_some(),
            Self::Target => event.target.is_some(),
            Self::Field(name) => {
                field::by_name(name).is_some_and(|field| (field.get)(event).is_some())
            }
        }
    }
}

impl TextField {
    fn value_of(self, event: &Event) -> Option<Cow<'_, str>> {
        let actor = event.actor.as_deref();
        let impersonator = event.impersonator.as_deref();
        let target = event.target.as_deref();
        let text = match self {
            Self::Action => Some(event.action.slug.as_str()),
            Self::Module => event.action.module.as_deref(),
            Self::Tenant => event.tenant.as_deref(),
            Self::Session => event.session_id.as_deref(),
            Self::Endpoint => event.endpoint.as_deref(),
            Self::Method => event.method.as_deref(),
            Self::RecordedBy => Some(&*event.recorded_by),
            Self::EventId => Some(event.event_id.as_str()),
            Self::Title => event.title.as_deref(),
            Self::Description => event.description.as_deref(),
            Self::UserAgent => event.user_agent.as_deref(),
            Self::ActorId => actor.and_then(|actor| actor.id.as_deref()),
            Self::ActorLabel => actor.and_then(|actor| actor.label.as_deref()),
            Self::ImpersonatorId => impersonator.and_then(|party| party.id.as_deref()),
            Self::ImpersonatorLabel => impersonator.and_then(|party| party.label.as_deref()),
            Self::TargetType => target.and_then(|target| target.kind.as_deref()),
            Self::TargetId => target.and_then(|target| target.id.as_deref()),
            Self::TargetLabel => target.and_then(|target| target.label.as_deref()),
            Self::Log => event.log.as_deref(),
            Self::Hash => return Some(event.hash.to_string().into()),
        };
        text.map(Cow::Borrowed)
    }
}

fn matches_party(names: &[NamePattern], party: Option<&Party>) -> bool {
    party.is_some_and(|party| {
        names.iter().any(|name| name.matches(party.id.as_deref(), party.label.as_deref()))
    })
}

/// The number of values up to which each is looked for in the text of a payload.
const MAX_SEARCHED: usize = 8;

/// Whether a payload may have a value, judged by its text alone. A payload with an escape always may,
/// because escapes are not decoded here.
fn may_contain(payload: &str, key: &str, values: &[Pattern]) -> bool {
    let has = |piece: &String| payload.contains(piece.as_str());
    payload.contains('\\')
        || (key.split('.').all(|part| payload.contains(part))
            && (values.len() > MAX_SEARCHED
                || values.iter().any(|pattern| pattern.pieces().iter().all(has))))
}

/// Returns the value of a key of a payload as text: strings decoded, everything else as its JSON with
/// the escapes of letters undone. A key with dots is one at the top, else a path into objects. `null`
/// counts as absent. The last one of duplicate keys counts.
fn payload_value<'a>(payload: &'a str, key: &str) -> Option<Cow<'a, str>> {
    let members = json::members(payload).ok()?;
    let member = |wanted: &str| members.iter().rev().find(|(name, _)| name == wanted);
    if let Some((_, raw)) = member(key) {
        return match raw.as_bytes().first() {
            Some(b'"') => json::parse_string(raw).ok(),
            Some(b'n') => None,
            Some(b'{' | b'[') => Some(json::unescape_letters(raw)),
            _ => Some(Cow::Borrowed(raw)),
        };
    }
    key.match_indices('.').find_map(|(dot, _)| {
        let (_, raw) = member(&key[..dot])?;
        payload_value(raw, &key[dot + 1..])
    })
}
