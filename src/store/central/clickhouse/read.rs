//! Values and events read back from the format RowBinary.

use crate::event::EventId;
use crate::event::Hash;
use crate::store::central::StoredEvent;
use crate::store::central::columns::COLUMNS;
use crate::store::central::columns::ColumnValue;
use crate::store::central::columns::EventParts;
use crate::store::central::row;

/// Returns what a query selects for [`BinaryRows::event`].
pub(super) fn selected_columns() -> String {
    let columns = COLUMNS.iter().map(|column| column.name);
    let names = ["id", "event_id"].into_iter().chain(columns).chain(["seal", "hash", "words"]);
    let names = names.chain(row::KEY_COLUMNS);
    names.collect::<Vec<_>>().join(", ")
}

/// The rows of an answer that are left to read. `None` is the end of the bytes.
pub(super) struct BinaryRows<'a>(pub &'a [u8]);

impl BinaryRows<'_> {
    pub(super) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(super) fn integer(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub(super) fn hash(&mut self) -> Option<Hash> {
        self.array().map(Hash)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn bytes(&mut self) -> Option<Vec<u8>> {
        let mut length = 0_usize;
        let mut shift = 0_u32;
        loop {
            let byte = self.byte()?;
            length |= usize::from(byte & 0x7F).checked_shl(shift)?;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken.to_vec())
    }

    /// A text; what is no UTF-8 in it is replaced.
    pub(super) fn text(&mut self) -> Option<String> {
        let bytes = self.bytes()?;
        let text = String::from_utf8(bytes);
        Some(text.unwrap_or_else(|why| String::from_utf8_lossy(why.as_bytes()).into_owned()))
    }

    fn optional_text(&mut self) -> Option<Option<String>> {
        if self.byte()? == 0 { self.text().map(Some) } else { Some(None) }
    }

    /// Reads an event in the order of [`selected_columns`].
    pub(super) fn event(&mut self) -> Option<StoredEvent> {
        let mut parts = EventParts::new();
        parts.event.id = EventId(self.integer()?);
        parts.event.event_id = self.text()?;
        let mut flaw = None;
        for column in &COLUMNS {
            let taken = match &column.value {
                ColumnValue::Integer { set, .. } => set(&mut parts, self.integer()?),
                ColumnValue::SmallInteger { set, .. } => match i16::from_le_bytes(self.array()?) {
                    0 if !column.is_required => Some(()),
                    value => set(&mut parts, value),
                },
                ColumnValue::Boolean { set, .. } => set(&mut parts, self.byte()? != 0),
                ColumnValue::Text { set, .. } if column.is_required => {
                    set(&mut parts, self.text()?)
                }
                ColumnValue::Text { set, .. } => match self.optional_text()? {
                    Some(text) => set(&mut parts, text),
                    None => Some(()),
                },
            };
            if taken.is_none() {
                flaw = Some(column.name);
            }
        }
        let seal = self.bytes()?;
        parts.event.hash = self.hash()?;
        let words = self.optional_text()?;
        let mut keys = [None; 3];
        for key in &mut keys {
            *key = if self.byte()? == 0 { Some(self.integer()?) } else { None };
        }
        Some(StoredEvent { event: parts.into_event(), seal, words, keys, flaw })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::samples::full_event;
    use crate::query::samples::minimal_event;
    use crate::store::central::CentralRow;
    use crate::store::central::clickhouse::insert;

    #[test]
    fn an_event_comes_back_as_it_was_written() {
        for event in [full_event(), minimal_event()] {
            let mut bytes = Vec::new();
            insert::write_row(&[7; 16], &CentralRow { event: &event, seal: None }, &mut bytes);
            let mut rows = BinaryRows(&bytes[16..]);
            let stored = rows.event().unwrap();
            assert_eq!(stored.keys, row::label_keys(&event));
            assert_eq!((stored.event, stored.flaw), (event, None));
            assert!(rows.is_at_end());
            for end in 16..bytes.len() {
                assert!(BinaryRows(&bytes[16..end]).event().is_none(), "{end}");
            }
        }
    }
}
