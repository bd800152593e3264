//! The chain of hashes: the bytes that are hashed, and the walk that compares a log with its hashes.
//!
//! Pure: bytes in, SHA-256 out. Salts come from the caller, who stores them; which events a sweep took
//! is the store's to know.
//!
//! `docs/log-format.md` has the bytes of every hash, with test vectors: it is enough to check a log
//! without this program. The unit test below reads the vectors from that page.
//!
//! ## Compatibility
//!
//! The bytes of a recorded event never change. A new field gets the next number and is left out where
//! it is absent; a new meaning needs a new domain (`activity-event-v2`).

use ring::digest;

use crate::event::EventId;
use crate::event::Hash;
use crate::event::Severity;
use crate::event::Source;
use crate::time::Timestamp;

/// A SHA-256 digest.
pub(crate) type Sha256Digest = [u8; 32];
/// The salt of a dimension row.
pub(crate) type RowSalt = [u8; 16];
/// The salt of an event's body.
pub(crate) type BodySalt = [u8; 8];

/// Collects the bytes of one hash.
struct HashInput(Vec<u8>);

impl HashInput {
    fn with_domain(domain: &str) -> Self {
        // Most inputs fit; glibc serves pieces of up to 1,032 bytes from a list.
        let mut bytes = Vec::with_capacity(896);
        bytes.extend_from_slice(domain.as_bytes());
        bytes.push(0);
        Self(bytes)
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn tagged(mut self, number: u8, value: Option<&[u8]>) -> Self {
        self.0.extend_from_slice(&[number, u8::from(value.is_some())]);
        let value = value.unwrap_or_default();
        let length = u32::try_from(value.len()).expect("an event is 1 MiB at most");
        self.0.extend_from_slice(&length.to_be_bytes());
        self.raw(value)
    }

    fn text(self, number: u8, value: Option<&str>) -> Self {
        self.tagged(number, value.map(str::as_bytes))
    }

    fn integer(self, number: u8, value: Option<i64>) -> Self {
        self.tagged(number, value.map(i64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice))
    }

    fn digest(self, number: u8, value: Option<&Sha256Digest>) -> Self {
        self.tagged(number, value.map(Sha256Digest::as_slice))
    }

    fn sha256(self) -> Sha256Digest {
        sha256(&self.0)
    }
}

/// The SHA-256 of some bytes.
pub(crate) fn sha256(bytes: &[u8]) -> Sha256Digest {
    digest::digest(&digest::SHA256, bytes).as_ref().try_into().expect("SHA-256 is 32 bytes")
}

/// The bytes of a UUID in lower case with hyphens. Other forms of the same UUID stay text, so that an id
/// is returned as it came.
pub(crate) fn parse_canonical_uuid(text: &str) -> Option<[u8; 16]> {
    if text.len() != 36 || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    uuid::Uuid::try_parse(text).ok().map(uuid::Uuid::into_bytes)
}

/// The hash before the first event.
pub(crate) fn genesis_hash(uuid: &[u8; 16]) -> Hash {
    Hash(HashInput::with_domain("activity-genesis-v1").raw(uuid).sha256())
}

/// The hash of an event, over the hash before it and its content.
pub(crate) fn link_hash(previous: &Hash, id: EventId, content: &Sha256Digest) -> Hash {
    let bytes =
        HashInput::with_domain("activity-link-v1").raw(&previous.0).raw(&id.0.to_be_bytes());
    Hash(bytes.raw(content).sha256())
}

/// Commits to an actor or impersonator.
pub(crate) fn party_commitment(
    salt: &RowSalt,
    id: Option<&str>,
    label: Option<&str>,
) -> Sha256Digest {
    HashInput::with_domain("activity-party-v1").raw(salt).text(1, id).text(2, label).sha256()
}

/// Commits to a target, without its type, which is in the content.
pub(crate) fn target_commitment(
    salt: &RowSalt,
    id: Option<&str>,
    label: Option<&str>,
) -> Sha256Digest {
    HashInput::with_domain("activity-target-v1").raw(salt).text(1, id).text(2, label).sha256()
}

/// Commits to a user agent.
pub(crate) fn agent_commitment(salt: &RowSalt, text: &str) -> Sha256Digest {
    HashInput::with_domain("activity-agent-v1").raw(salt).text(1, Some(text)).sha256()
}

/// The values that stand in an event's row as they are.
#[derive(Clone, Copy, Default)]
pub(crate) struct StoredValues<'a> {
    pub status_code: Option<u16>,
    pub method: Option<&'a str>,
    pub endpoint: Option<&'a str>,
    pub ip: Option<&'a str>,
    pub session_id: Option<&'a str>,
    pub description: Option<&'a str>,
    pub diff: Option<&'a str>,
    pub payload: Option<&'a str>,
}

/// The content of an event as it is hashed: personal values enter by commitment.
pub(crate) struct EventContent<'a> {
    pub event_id: &'a str,
    pub occurred_at: Timestamp,
    pub recorded_at: Timestamp,
    pub recorded_by: &'a str,
    pub tenant: Option<&'a str>,
    pub source: Source,
    pub severity: Severity,
    pub module: Option<&'a str>,
    pub action: &'a str,
    pub title: Option<&'a str>,
    pub actor: Option<Sha256Digest>,
    pub impersonator: Option<Sha256Digest>,
    pub target_type: Option<&'a str>,
    pub target: Option<Sha256Digest>,
    pub agent: Option<Sha256Digest>,
    pub values: StoredValues<'a>,
    pub own: bool,
    /// The salt of the commitment to title, description, diff, payload, address and session.
    pub salt: BodySalt,
}

impl EventContent<'_> {
    pub(crate) fn digest(&self) -> Sha256Digest {
        let uuid = parse_canonical_uuid(self.event_id);
        let text = if uuid.is_none() { Some(self.event_id) } else { None };
        HashInput::with_domain("activity-event-v1")
            .tagged(1, uuid.as_ref().map(<[u8; 16]>::as_slice))
            .text(2, text)
            .integer(3, Some(self.occurred_at.as_nanos()))
            .integer(4, Some(self.recorded_at.as_nanos()))
            .text(5, Some(self.recorded_by))
            .text(6, self.tenant)
            .text(7, Some(self.source.name()))
            .text(8, Some(self.severity.name()))
            .text(9, self.module)
            .text(10, Some(self.action))
            .digest(11, self.actor.as_ref())
            .digest(12, self.impersonator.as_ref())
            .text(13, self.target_type)
            .digest(14, self.target.as_ref())
            .digest(15, self.agent.as_ref())
            .text(16, self.values.method)
            .text(17, self.values.endpoint)
            .integer(18, self.values.status_code.map(i64::from))
            .digest(19, Some(&self.body_commitment()))
            .integer(20, Some(i64::from(self.own)))
            .sha256()
    }

    /// Commits to the event's free text.
    fn body_commitment(&self) -> Sha256Digest {
        HashInput::with_domain("activity-body-v1")
            .raw(&self.salt)
            .text(1, self.title)
            .text(2, self.values.description)
            .text(3, self.values.diff)
            .text(4, self.values.payload)
            .text(5, self.values.ip)
            .text(6, self.values.session_id)
            .sha256()
    }
}

/// The salts behind the commitments of one event: with them and the event's fields anybody can
/// compute its content digest again. Each is absent where the event has no such part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seal {
    pub body: BodySalt,
    pub actor: Option<RowSalt>,
    pub impersonator: Option<RowSalt>,
    pub target: Option<RowSalt>,
    pub agent: Option<RowSalt>,
}

impl Seal {
    /// Returns the seal as bytes: for body, actor, impersonator, target and agent, in this order, a
    /// tag and what it announces. Tag 0 is nothing, 1 a salt: 8 bytes for the body, else 16.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = vec![1];
        bytes.extend_from_slice(&self.body);
        for salt in [self.actor, self.impersonator, self.target, self.agent] {
            bytes.push(u8::from(salt.is_some()));
            bytes.extend_from_slice(salt.as_ref().map_or(&[], RowSalt::as_slice));
        }
        bytes
    }
}

impl Seal {
    /// Reads what [`Seal::to_bytes`] made; `None` for anything else.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (body, mut rest) = bytes.strip_prefix(&[1])?.split_first_chunk::<8>()?;
        let mut next = || match rest.split_first()? {
            (0, behind) => {
                rest = behind;
                Some(None)
            }
            (1, behind) => {
                let (salt, behind) = behind.split_first_chunk::<16>()?;
                rest = behind;
                Some(Some(*salt))
            }
            (_, _) => None,
        };
        let [actor, impersonator, target, agent] = [next()?, next()?, next()?, next()?];
        rest.is_empty().then_some(Self { body: *body, actor, impersonator, target, agent })
    }
}

/// Digests the gaps that sweeps left.
pub(crate) struct GapHasher(digest::Context);

impl GapHasher {
    pub(crate) fn new() -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"activity-gaps-v1\0");
        Self(context)
    }

    /// Adds the next gap, in the order of ids; `hash` is that of its last event, `sweep` the number of
    /// the sweep that recorded it.
    pub(crate) fn update(&mut self, first: EventId, last: EventId, hash: &Hash, sweep: i64) {
        self.0.update(&first.0.to_be_bytes());
        self.0.update(&last.0.to_be_bytes());
        self.0.update(&hash.0);
        self.0.update(&sweep.to_be_bytes());
    }

    pub(crate) fn finish(self) -> Sha256Digest {
        self.0.finish().as_ref().try_into().expect("SHA-256 is 32 bytes")
    }
}

/// An event as a link of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChainLink {
    pub id: EventId,
    /// The digest of its content.
    pub content: Sha256Digest,
    pub hash: Hash,
}

/// The first place where a log does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChainBreak {
    /// The event is not the one that was hashed here.
    Altered(EventId),
    /// The event should be here, and no sweep vouches for its removal.
    Removed(EventId),
    /// The event stands where no event can be.
    Inserted(EventId),
}

/// Walks a log in the order of ids, over events and gaps alike, up to the first break.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verifier {
    last: EventId,
    hash: Hash,
}

impl Verifier {
    pub(crate) fn new(uuid: &[u8; 16]) -> Self {
        Self { last: EventId(0), hash: genesis_hash(uuid) }
    }

    /// A walk that goes on behind an event that an earlier walk reached.
    pub(crate) fn resume(last: EventId, hash: Hash) -> Self {
        Self { last, hash }
    }

    /// The last id that was reached, and its hash.
    pub(crate) fn head(&self) -> (EventId, Hash) {
        (self.last, self.hash)
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// The break, if the event does not follow the last one. The head stays as it was.
    pub(crate) fn verify_event(&mut self, event: &ChainLink) -> Result<(), ChainBreak> {
        self.expect_next(event.id)?;
        if !self.is_next(event) {
            return Err(ChainBreak::Altered(event.id));
        }
        (self.last, self.hash) = (event.id, event.hash);
        Ok(())
    }

    /// Whether an event, wherever it stands now, is the one that was hashed as the next.
    pub(crate) fn is_next(&self, event: &ChainLink) -> bool {
        link_hash(&self.hash, EventId(self.last.0.saturating_add(1)), &event.content) == event.hash
    }

    /// Steps over a gap that a sweep left; `hash` is that of its last event.
    ///
    /// # Errors
    /// The break, if the gap does not follow the last event.
    pub(crate) fn verify_gap(
        &mut self,
        first: EventId,
        last: EventId,
        hash: Hash,
    ) -> Result<(), ChainBreak> {
        self.expect_next(first)?;
        (self.last, self.hash) = (last, hash);
        Ok(())
    }

    /// Ends the walk at the newest id that the log has recorded.
    ///
    /// # Errors
    /// The break, if the walk ended elsewhere.
    pub(crate) fn finish(&self, head: EventId) -> Result<(), ChainBreak> {
        self.expect_next(EventId(head.0.saturating_add(1))).map_err(|why| match why {
            ChainBreak::Inserted(_) => ChainBreak::Inserted(self.last),
            ChainBreak::Altered(_) | ChainBreak::Removed(_) => why,
        })
    }

    fn expect_next(&self, id: EventId) -> Result<(), ChainBreak> {
        let next = EventId(self.last.0.saturating_add(1));
        match id.cmp(&next) {
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(ChainBreak::Removed(next)),
            std::cmp::Ordering::Less => Err(ChainBreak::Inserted(id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash that `docs/log-format.md` has under that name.
    fn documented_hash(name: &str) -> &'static str {
        let page = include_str!("../docs/log-format.md");
        let mut hashes = page.lines().filter_map(|line| {
            let (name, hash) = line.split_once(' ')?;
            Some((name, hash.trim())).filter(|(_, hash)| hash.len() == 64)
        });
        hashes.find_map(|(listed, hash)| (listed == name).then_some(hash)).unwrap()
    }

    #[test]
    fn a_seal_has_a_tag_for_each_part() {
        let seal = Seal {
            body: [7; 8],
            actor: Some([1; 16]),
            impersonator: None,
            target: Some([2; 16]),
            agent: None,
        };
        let expected = [&[1][..], &[7; 8], &[1], &[1; 16], &[0], &[1], &[2; 16], &[0]].concat();
        assert_eq!(seal.to_bytes(), expected);
        assert_eq!(Seal::from_bytes(&expected), Some(seal));
        for end in 0..expected.len() {
            assert_eq!(Seal::from_bytes(&expected[..end]), None, "{end}");
        }
        assert_eq!(Seal::from_bytes(&[expected, vec![0]].concat()), None);
    }

    fn time(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn the_bytes_are_those_of_the_page() {
        let row: RowSalt = std::array::from_fn(|n| 0x10 + u8::try_from(n).unwrap());
        let salt: BodySalt = std::array::from_fn(|n| 0x20 + u8::try_from(n).unwrap());
        let uuid = parse_canonical_uuid("00010203-0405-0607-0809-0a0b0c0d0e0f").unwrap();

        let genesis = genesis_hash(&uuid);
        let actor = party_commitment(&row, Some("17"), Some("James Compton"));
        let impersonator = party_commitment(&row, Some("3"), Some("Jerome Cruz"));
        let target = target_commitment(&row, Some("42"), Some("Zoë"));
        let agent = agent_commitment(&row, "curl/8.5");
        let full = EventContent {
            event_id: "01890a5d-ac96-774b-bcce-b302099a8057",
            occurred_at: time("2026-11-20T04:00:00.123456789Z"),
            recorded_at: time("2026-11-20T04:00:01Z"),
            recorded_by: "root sudo:alice",
            tenant: Some("s2l"),
            source: Source::Operator,
            severity: Severity::High,
            module: Some("auth"),
            action: "user.edit",
            actor: Some(actor),
            impersonator: Some(impersonator),
            target_type: Some("user"),
            target: Some(target),
            agent: Some(agent),
            title: Some("User edited"),
            values: StoredValues {
                status_code: Some(200),
                method: Some("POST"),
                endpoint: Some("/users/42"),
                ip: Some("2001:db8::1"),
                session_id: Some("s-1"),
                description: Some("By hand"),
                diff: Some(r#"{"name":{"before":"Zoe","after":"Zoë"}}"#),
                payload: Some(r#"{"n":1.10}"#),
            },
            own: false,
            salt,
        };
        let small = EventContent {
            event_id: "evt-2",
            occurred_at: time("1969-12-31T23:59:59.999999999Z"),
            recorded_by: "root",
            tenant: None,
            source: Source::System,
            severity: Severity::Info,
            module: None,
            action: "cron.run",
            actor: None,
            impersonator: None,
            target_type: None,
            target: None,
            agent: None,
            title: None,
            values: StoredValues::default(),
            own: true,
            ..full
        };
        let first = link_hash(&genesis, EventId(1), &full.digest());
        let second = link_hash(&first, EventId(2), &small.digest());
        for (name, hash) in [
            ("hash(0)", genesis),
            ("actor", Hash(actor)),
            ("impersonator", Hash(impersonator)),
            ("target", Hash(target)),
            ("agent", Hash(agent)),
            ("body(1)", Hash(full.body_commitment())),
            ("c(1)", Hash(full.digest())),
            ("hash(1)", first),
            ("body(2)", Hash(small.body_commitment())),
            ("c(2)", Hash(small.digest())),
            ("hash(2)", second),
        ] {
            assert_eq!(hash.to_string(), documented_hash(name), "{name}");
        }
    }

    #[test]
    fn only_the_usual_form_of_a_uuid_is_one() {
        let uuid = "01890a5d-ac96-774b-bcce-b302099a8057";
        assert_eq!(parse_canonical_uuid(uuid).map(|bytes| bytes[0]), Some(1));
        for other in [
            "01890A5D-ac96-774b-bcce-b302099a8057",
            "01890a5dac96774bbcceb302099a8057",
            "{01890a5d-ac96-774b-bcce-b302099a8057}",
            "urn:uuid:01890a5d-ac96-774b-bcce-b302099a8057",
            "01890a5d-ac96-774b-bcce-b302099a805é",
            "01890a5d-ac96-774b-bcce-b302099a805",
        ] {
            assert_eq!(parse_canonical_uuid(other), None, "{other}");
        }
    }

    #[test]
    fn values_cannot_move_between_fields() {
        let salt = [0; 16];
        let all = [
            party_commitment(&salt, Some("ab"), Some("c")),
            party_commitment(&salt, Some("a"), Some("bc")),
            party_commitment(&salt, Some("abc"), None),
            party_commitment(&salt, None, Some("abc")),
            party_commitment(&salt, Some("abc"), Some("")),
            target_commitment(&salt, Some("ab"), Some("c")),
        ];
        let different: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
    }

    #[test]
    fn the_walk_wants_every_id() {
        let walk = || Verifier { last: EventId(4), hash: Hash([4; 32]) };
        assert_eq!(
            walk().verify_gap(EventId(6), EventId(9), Hash([9; 32])),
            Err(ChainBreak::Removed(EventId(5)))
        );
        assert_eq!(
            walk().verify_gap(EventId(3), EventId(9), Hash([9; 32])),
            Err(ChainBreak::Inserted(EventId(3)))
        );
        let mut over = walk();
        over.verify_gap(EventId(5), EventId(9), Hash([9; 32])).unwrap();
        assert_eq!(over.head(), (EventId(9), Hash([9; 32])));
        assert_eq!(over.finish(EventId(9)), Ok(()));
        assert_eq!(walk().finish(EventId(6)), Err(ChainBreak::Removed(EventId(5))));
        assert_eq!(walk().finish(EventId(3)), Err(ChainBreak::Inserted(EventId(4))));
    }
}
