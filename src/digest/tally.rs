//! Who did what, counted event by event: the most active people, what failed, who acted as somebody
//! else.
//!
//! A person is who has one id within one tenant, whatever the labels; without an id, who has one
//! label. Shown is the newest label: events come the newest first.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::Arc;

use crate::event::Event;
use crate::event::Party;
use crate::event::Severity;
use crate::time::Timestamp;

/// A person and the number of their events.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ActivePerson {
    pub who: Party,
    pub count: u64,
}

/// Somebody's failures at one thing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FailedAttempts {
    pub action: String,
    /// Who tried; else the record that it was tried on, which for a failed sign-in is the account.
    pub who: Option<Party>,
    pub count: u64,
    pub last: Timestamp,
}

impl FailedAttempts {
    /// Whether it was to sign in that somebody failed.
    pub(crate) fn is_sign_in(&self) -> bool {
        const SIGN_IN_WORDS: [&str; 5] = ["login", "logon", "signin", "magic", "password"];
        let mut words = self.action.split(|c: char| !c.is_ascii_alphanumeric()).peekable();
        while let Some(word) = words.next() {
            let two = matches!((word, words.peek()), ("log" | "sign", Some(&("in" | "on"))));
            if two || SIGN_IN_WORDS.contains(&word) {
                return true;
            }
        }
        false
    }
}

/// Somebody who acted as somebody else.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Impersonation {
    pub impersonator: Party,
    /// Nobody where the event names no actor.
    pub actor: Option<Party>,
    pub count: u64,
}

/// Who did what.
#[derive(Clone, Debug, Default)]
pub(super) struct PeopleTally {
    people: HashMap<TenantParty, EventCount>,
    failed_attempts: HashMap<(String, Option<TenantParty>), EventCount>,
    impersonations: HashMap<(TenantParty, Option<TenantParty>), EventCount>,
    failures: u64,
    critical: u64,
}

/// Somebody as one event names them, and the tenant that the name belongs to.
type TenantParty = (Option<Arc<str>>, Arc<Party>);

/// How often, and when last.
#[derive(Clone, Copy, Debug)]
struct EventCount {
    count: u64,
    last: Timestamp,
}

impl PeopleTally {
    pub(super) fn add(&mut self, event: &Event) {
        let who = |party: &Arc<Party>| (event.tenant.clone(), Arc::clone(party));
        let actor = event.actor.as_ref().map(who);
        self.critical += u64::from(event.severity == Severity::Critical);
        if let Some(actor) = actor.clone().filter(|_| !event.source.is_system()) {
            count_event(&mut self.people, actor, event);
        }
        if let Some(impersonator) = event.impersonator.as_ref().map(who) {
            count_event(&mut self.impersonations, (impersonator, actor.clone()), event);
        }
        if event.is_failed() {
            self.failures += 1;
            let target = || {
                let target = event.target.as_deref()?;
                let party = Party { id: target.id.clone(), label: target.label.clone() };
                (party != Party::default()).then(|| (event.tenant.clone(), Arc::new(party)))
            };
            let tried = actor.or_else(target);
            count_event(&mut self.failed_attempts, (event.action.slug.clone(), tried), event);
        }
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures
    }

    pub(super) fn critical(&self) -> u64 {
        self.critical
    }

    /// The most active people, so many at most, and how many there are.
    pub(super) fn people(&self, top: usize) -> (Vec<ActivePerson>, u64) {
        let all =
            merge_by_identity(self.people.iter().map(|(who, seen)| (((), [Some(who)]), *seen)));
        let number = all.len() as u64;
        let people = all
            .into_iter()
            .take(top)
            .filter_map(|(((), [who]), seen)| Some(ActivePerson { who: who?, count: seen.count }));
        (people.collect(), number)
    }

    /// Everybody's failures, the most first.
    pub(super) fn failed_attempts(&self) -> Vec<FailedAttempts> {
        let entries = self
            .failed_attempts
            .iter()
            .map(|((action, who), seen)| ((action.clone(), [who.as_ref()]), *seen));
        let failed = merge_by_identity(entries).into_iter().map(|((action, [who]), seen)| {
            FailedAttempts { action, who, count: seen.count, last: seen.last }
        });
        failed.collect()
    }

    /// Everybody who acted as somebody else, the most often first.
    pub(super) fn impersonations(&self) -> Vec<Impersonation> {
        let entries = self
            .impersonations
            .iter()
            .map(|((by, seen_as), seen)| (((), [Some(by), seen_as.as_ref()]), *seen));
        let all =
            merge_by_identity(entries).into_iter().filter_map(|(((), [by, seen_as]), seen)| {
                Some(Impersonation { impersonator: by?, actor: seen_as, count: seen.count })
            });
        all.collect()
    }
}

fn count_event<K: Eq + Hash>(counts: &mut HashMap<K, EventCount>, key: K, event: &Event) {
    let seen = counts.entry(key).or_insert(EventCount { count: 0, last: event.occurred_at });
    seen.count += 1;
    seen.last = seen.last.max(event.occurred_at);
}

/// What makes two names the same person: the id, else the label.
type PersonIdentity<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>);

fn identity((tenant, party): &TenantParty) -> PersonIdentity<'_> {
    let label = if party.id.is_none() { party.label.as_deref() } else { None };
    (tenant.as_deref(), party.id.as_deref(), label)
}

/// People as they are named, each with when an event named them so.
type DatedNames<'a, const N: usize> = [Option<(&'a Party, Timestamp)>; N];

/// Sums by a key of whatever kind and the identities of people.
type IdentityCounts<'a, K, const N: usize> =
    HashMap<(K, [Option<PersonIdentity<'a>>; N]), (DatedNames<'a, N>, EventCount)>;

/// What the same people did, and how often.
type MergedCounts<K, const N: usize> = Vec<((K, [Option<Party>; N]), EventCount)>;

/// Adds up what the same people did, under the newest of their labels; the most first.
fn merge_by_identity<'a, K: Clone + Eq + Hash + Ord, const N: usize>(
    entries: impl Iterator<Item = ((K, [Option<&'a TenantParty>; N]), EventCount)>,
) -> MergedCounts<K, N> {
    let mut sums: IdentityCounts<'a, K, N> = HashMap::new();
    for ((key, people), seen) in entries {
        let named = people.map(|who| who.map(|who| (&*who.1, seen.last)));
        match sums.entry((key, people.map(|who| who.map(identity)))) {
            Entry::Vacant(new) => drop(new.insert((named, seen))),
            Entry::Occupied(known) => {
                let (names, sum) = known.into_mut();
                sum.count += seen.count;
                sum.last = sum.last.max(seen.last);
                for (name, other) in names.iter_mut().zip(named) {
                    // A label beats none, a newer one an older.
                    let rank = |(party, last): (&Party, Timestamp)| (party.label.is_some(), last);
                    if other.map(rank) > name.map(rank) {
                        *name = other;
                    }
                }
            }
        }
    }
    let mut all: Vec<_> = sums
        .into_iter()
        .map(|((key, _), (people, seen))| {
            ((key, people.map(|name| name.map(|(party, _)| party.clone()))), seen)
        })
        .collect();
    let names = |people: &[Option<Party>; N]| {
        people.clone().map(|party| party.map(|party| (party.label, party.id)))
    };
    all.sort_by_cached_key(|((key, people), seen)| {
        (Reverse(seen.count), key.clone(), names(people), Reverse(seen.last))
    });
    all
}
