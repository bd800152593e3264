//! Counts people event by event: the most active ones, those who failed, and impersonators.
//!
//! A person is identified by tenant and id; without an id, by tenant and label. The newest label is
//! shown.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::Arc;

use crate::event::Event;
use crate::event::Party;
use crate::time::Timestamp;

/// A person and the number of their events.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ActivePerson {
    pub who: Party,
    pub count: u64,
}

/// The failures of one person at one action.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PersonFailures {
    pub action: String,
    /// The person who tried, or else the target, which for a failed sign-in is the account.
    pub who: Option<Party>,
    pub count: u64,
    pub last: Timestamp,
}

impl PersonFailures {
    /// Whether the action is a sign-in.
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

/// A person who acted as somebody else.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Impersonation {
    pub impersonator: Party,
    /// Absent where the event has no actor.
    pub actor: Option<Party>,
    pub count: u64,
}

/// The counts of people.
#[derive(Clone, Debug, Default)]
pub(super) struct PeopleTally {
    people: HashMap<TenantParty, EventCount>,
    failed_attempts: HashMap<(String, Option<TenantParty>), EventCount>,
    impersonations: HashMap<(TenantParty, Option<TenantParty>), EventCount>,
    failures: u64,
}

/// The id of a person in a tenant.
type TenantId = (Option<Arc<str>>, String);

/// The most people whose labels are looked up.
const MAX_NAMELESS: usize = 200;

/// A party as one event names it, with the tenant of the event.
type TenantParty = (Option<Arc<str>>, Arc<Party>);

/// The number of events, and the time of the last one.
#[derive(Clone, Copy, Debug)]
struct EventCount {
    events: u64,
    last: Timestamp,
}

impl PeopleTally {
    pub(super) fn add(&mut self, event: &Event) {
        let who = |party: &Arc<Party>| (event.tenant.clone(), Arc::clone(party));
        let actor = event.actor.as_ref().map(who);
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

    /// Returns the tenant and id of each person whom some event gives without a label, up to a number,
    /// with the label that another event of the window gives.
    pub(super) fn nameless(&self) -> Vec<(TenantId, Option<String>)> {
        let mut labels: HashMap<(Option<&str>, &str), &str> = HashMap::new();
        for (tenant, party) in self.parties() {
            if let (Some(id), Some(label)) = (&party.id, &party.label) {
                let known = labels.entry((tenant.as_deref(), id)).or_insert(label);
                // In any order of the map the same one.
                *known = (*known).max(label);
            }
        }
        let nameless: BTreeSet<TenantId> = self
            .parties()
            .filter_map(|(tenant, party)| {
                let id = party.id.as_deref().filter(|_| party.label.is_none())?;
                Some((tenant.clone(), id.to_owned()))
            })
            .collect();
        let named = |who: TenantId| {
            let label =
                labels.get(&(who.0.as_deref(), who.1.as_str())).map(|&label| label.to_owned());
            (who, label)
        };
        nameless.into_iter().take(MAX_NAMELESS).map(named).collect()
    }

    fn parties(&self) -> impl Iterator<Item = &TenantParty> {
        let failed = self.failed_attempts.keys().filter_map(|(_, who)| who.as_ref());
        let acting = self
            .impersonations
            .keys()
            .flat_map(|(by, actor)| std::iter::once(by).chain(actor.as_ref()));
        self.people.keys().chain(failed).chain(acting)
    }

    /// Gives a label to a person who has none.
    pub(super) fn name(&mut self, tenant: Option<&str>, id: &str, label: &str) {
        let named = |who: TenantParty| {
            let is_meant = who.0.as_deref() == tenant
                && who.1.id.as_deref() == Some(id)
                && who.1.label.is_none();
            if !is_meant {
                return who;
            }
            let party = Party { id: Some(id.to_owned()), label: Some(label.to_owned()) };
            (who.0, Arc::new(party))
        };
        self.people = with_keys(std::mem::take(&mut self.people), named);
        self.failed_attempts =
            with_keys(std::mem::take(&mut self.failed_attempts), |(action, who)| {
                (action, who.map(named))
            });
        self.impersonations = with_keys(std::mem::take(&mut self.impersonations), |(by, actor)| {
            (named(by), actor.map(named))
        });
    }

    /// Returns the `top` most active people, and the number of all people.
    pub(super) fn people(&self, top: usize) -> (Vec<ActivePerson>, u64) {
        let all =
            merge_by_identity(self.people.iter().map(|(who, count)| (((), [Some(who)]), *count)));
        // The same id with the same label is the same person in every tenant.
        let mut people: Vec<ActivePerson> = Vec::with_capacity(all.len());
        let mut places: HashMap<Party, usize> = HashMap::new();
        for (((), [who]), count) in all {
            let Some(who) = who else { continue };
            let is_certain = who.id.is_some() && who.label.is_some();
            let known = places.get(&who).filter(|_| is_certain);
            match known.and_then(|place| people.get_mut(*place)) {
                Some(person) => person.count += count.events,
                None => {
                    places.insert(who.clone(), people.len());
                    people.push(ActivePerson { who, count: count.events });
                }
            }
        }
        people.sort_by_key(|person| Reverse(person.count));
        let number = people.len() as u64;
        people.truncate(top);
        (people, number)
    }

    /// Returns the failures by person and action, the most frequent first.
    pub(super) fn failed_attempts(&self) -> Vec<PersonFailures> {
        let entries = self
            .failed_attempts
            .iter()
            .map(|((action, who), count)| ((action.clone(), [who.as_ref()]), *count));
        let failed = merge_by_identity(entries).into_iter().map(|((action, [who]), count)| {
            PersonFailures { action, who, count: count.events, last: count.last }
        });
        failed.collect()
    }

    /// Returns the impersonations, the most frequent first.
    pub(super) fn impersonations(&self) -> Vec<Impersonation> {
        let entries = self
            .impersonations
            .iter()
            .map(|((by, actor), count)| (((), [Some(by), actor.as_ref()]), *count));
        let all =
            merge_by_identity(entries).into_iter().filter_map(|(((), [by, actor]), count)| {
                Some(Impersonation { impersonator: by?, actor, count: count.events })
            });
        all.collect()
    }
}

/// Returns the counts under other keys; those that become one key are added up.
fn with_keys<K: Eq + Hash>(
    counts: HashMap<K, EventCount>,
    key: impl Fn(K) -> K,
) -> HashMap<K, EventCount> {
    let mut sums: HashMap<K, EventCount> = HashMap::with_capacity(counts.len());
    for (old, count) in counts {
        match sums.entry(key(old)) {
            Entry::Vacant(new) => drop(new.insert(count)),
            Entry::Occupied(known) => {
                let sum = known.into_mut();
                sum.events += count.events;
                sum.last = sum.last.max(count.last);
            }
        }
    }
    sums
}

fn count_event<K: Eq + Hash>(counts: &mut HashMap<K, EventCount>, key: K, event: &Event) {
    let count = counts.entry(key).or_insert(EventCount { events: 0, last: event.occurred_at });
    count.events += 1;
    count.last = count.last.max(event.occurred_at);
}

/// The identity of a person: the tenant, and the id or else the label.
type PersonIdentity<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>);

fn identity((tenant, party): &TenantParty) -> PersonIdentity<'_> {
    let label = if party.id.is_none() { party.label.as_deref() } else { None };
    (tenant.as_deref(), party.id.as_deref(), label)
}

/// The names of people, each with the time of the event that names them.
type DatedNames<'a, const N: usize> = [Option<(&'a Party, Timestamp)>; N];

/// Counts by a key and the identities of people.
type IdentityCounts<'a, K, const N: usize> =
    HashMap<(K, [Option<PersonIdentity<'a>>; N]), (DatedNames<'a, N>, EventCount)>;

/// Counts by a key and people.
type MergedCounts<K, const N: usize> = Vec<((K, [Option<Party>; N]), EventCount)>;

/// Adds up the counts of the same people under their newest labels, and sorts them by count.
fn merge_by_identity<'a, K: Clone + Eq + Hash + Ord, const N: usize>(
    entries: impl Iterator<Item = ((K, [Option<&'a TenantParty>; N]), EventCount)>,
) -> MergedCounts<K, N> {
    let mut sums: IdentityCounts<'a, K, N> = HashMap::new();
    for ((key, people), count) in entries {
        let named = people.map(|who| who.map(|who| (&*who.1, count.last)));
        match sums.entry((key, people.map(|who| who.map(identity)))) {
            Entry::Vacant(new) => drop(new.insert((named, count))),
            Entry::Occupied(known) => {
                let (names, sum) = known.into_mut();
                sum.events += count.events;
                sum.last = sum.last.max(count.last);
                for (name, other) in names.iter_mut().zip(named) {
                    // A label wins over none, and a newer one over an older one.
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
        .map(|((key, _), (people, count))| {
            ((key, people.map(|name| name.map(|(party, _)| party.clone()))), count)
        })
        .collect();
    let names = |people: &[Option<Party>; N]| {
        people.clone().map(|party| party.map(|party| (party.label, party.id)))
    };
    all.sort_by_cached_key(|((key, people), count)| {
        (Reverse(count.events), key.clone(), names(people), Reverse(count.last))
    });
    all
}
