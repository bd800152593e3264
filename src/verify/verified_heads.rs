//! What an earlier verification of a central store found to hold: a line for each log, `UUID ID:HASH`.

use std::collections::BTreeMap;

use crate::chain;
use crate::event::EventId;
use crate::event::Hash;
use crate::store::central;

/// The last event of each log up to which it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VerifiedHeads(BTreeMap<[u8; 16], (EventId, Hash)>);

impl VerifiedHeads {
    /// Reads the lines of a file. What stands behind the head of a line is for people.
    ///
    /// # Errors
    /// The number of the line that has no sense, from 1 on.
    pub(crate) fn parse(text: &str) -> Result<Self, usize> {
        let mut heads = BTreeMap::new();
        for (number, line) in (1_usize..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (uuid, head) = parse_line(line).ok_or(number)?;
            heads.insert(uuid, head);
        }
        Ok(Self(heads))
    }

    pub(crate) fn head_of(&self, uuid: &[u8; 16]) -> Option<(EventId, Hash)> {
        self.0.get(uuid).copied()
    }

    pub(crate) fn uuids(&self) -> impl Iterator<Item = &[u8; 16]> {
        self.0.keys()
    }

    pub(crate) fn insert(&mut self, uuid: [u8; 16], head: (EventId, Hash)) {
        self.0.insert(uuid, head);
    }

    /// Returns the lines of a file.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::from("# activity verify --since-verified\n");
        for (uuid, (id, hash)) in &self.0 {
            let uuid = central::uuid_text(uuid);
            text.extend([&*uuid, " ", &id.to_string(), ":", &hash.to_string(), "\n"]);
        }
        text
    }
}

fn parse_line(line: &str) -> Option<([u8; 16], (EventId, Hash))> {
    let mut words = line.split_ascii_whitespace();
    let uuid = chain::parse_canonical_uuid(words.next()?)?;
    let (id, digits) = words.next()?.split_once(':')?;
    let id: i64 = id.parse().ok().filter(|id| *id >= 0)?;
    Some((uuid, (EventId(id), parse_hash(digits)?)))
}

fn parse_hash(digits: &str) -> Option<Hash> {
    let mut hash = [0; 32];
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, place) in hash.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(digits.get(place..place + 2)?, 16).ok()?;
    }
    Some(Hash(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_come_back_from_their_text() {
        let mut heads = VerifiedHeads::default();
        heads.insert(
            [7; 16],
            (EventId(12), Hash(std::array::from_fn(|n| u8::try_from(n).unwrap()))),
        );
        heads.insert([9; 16], (EventId(0), Hash([255; 32])));
        assert_eq!(VerifiedHeads::parse(&heads.to_text()), Ok(heads));
        assert_eq!(VerifiedHeads::parse(""), Ok(VerifiedHeads::default()));
        let hash = "0".repeat(64);
        let uuid = "01890a5d-ac96-774b-bcce-b302099a8057";
        assert!(VerifiedHeads::parse(&format!("{uuid} 3:{hash} web3\n")).is_ok());
        for bad in [
            format!("{uuid} 3:{}", &hash[1..]),
            format!("{uuid} -3:{hash}"),
            uuid.to_owned(),
            format!("web3 3:{hash}"),
            format!("{uuid} 3:{}", hash.replace('0', "é")),
        ] {
            assert_eq!(VerifiedHeads::parse(&format!("# x\n{bad}\n")), Err(2), "{bad}");
        }
    }
}
