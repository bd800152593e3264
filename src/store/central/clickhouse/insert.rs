//! The rows of a batch in the format RowBinary.

use crate::event::Event;
use crate::store::central::CentralRow;
use crate::store::central::columns::COLUMNS;
use crate::store::central::columns::CentralColumn;
use crate::store::central::columns::ColumnValue;
use crate::store::central::row;

/// Returns the names of the columns in the order of [`write_row`].
pub(super) fn column_names() -> String {
    let columns = COLUMNS.iter().map(|column| column.name);
    let names =
        ["log", "id", "event_id"].into_iter().chain(columns).chain(["seal", "hash", "words"]);
    let names = names.chain(row::KEY_COLUMNS);
    names.collect::<Vec<_>>().join(", ")
}

/// Writes an event in the order of [`column_names`].
pub(super) fn write_row(log: &[u8; 16], row: &CentralRow<'_>, out: &mut Vec<u8>) {
    let event = row.event;
    write_uuid(log, out);
    out.extend(event.id.0.to_le_bytes());
    write_bytes(event.event_id.as_bytes(), out);
    for column in &COLUMNS {
        write_column(column, event, out);
    }
    write_bytes(&row.seal_bytes(), out);
    out.extend(event.hash.0);
    write_optional(row::words(event).as_deref(), out);
    for key in row::label_keys(event) {
        out.push(u8::from(key.is_none()));
        if let Some(key) = key {
            out.extend(key.to_le_bytes());
        }
    }
}

/// Writes one value: an absent number is 0, an absent text that must be there is empty.
fn write_column(column: &CentralColumn, event: &Event, out: &mut Vec<u8>) {
    match &column.value {
        ColumnValue::Integer { get, .. } => out.extend(get(event).to_le_bytes()),
        ColumnValue::SmallInteger { get, .. } => {
            out.extend(get(event).unwrap_or_default().to_le_bytes());
        }
        ColumnValue::Boolean { get, .. } => out.push(get(event).into()),
        ColumnValue::Text { get, .. } if column.is_required => {
            write_bytes(get(event).unwrap_or_default().as_bytes(), out);
        }
        ColumnValue::Text { get, .. } => write_optional(get(event), out),
    }
}

/// A UUID is two numbers of 64 bits, the upper half first, each with its lowest byte first.
pub(super) fn write_uuid(uuid: &[u8; 16], out: &mut Vec<u8>) {
    let (upper, lower) = uuid.split_at(8);
    out.extend(upper.iter().rev());
    out.extend(lower.iter().rev());
}

/// A text or bytes, with the length in front in groups of 7 bits, the lowest first.
pub(super) fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(u8::try_from(length & 0x7F).expect("it is 7 bits") | 0x80);
        length >>= 7;
    }
    out.push(u8::try_from(length).expect("it is less than 0x80"));
    out.extend(bytes);
}

fn write_optional(text: Option<&str>, out: &mut Vec<u8>) {
    out.push(u8::from(text.is_none()));
    if let Some(text) = text {
        write_bytes(text.as_bytes(), out);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_and_uuids_are_those_of_the_format() {
        let mut out = Vec::new();
        write_bytes(&[b'x'; 300], &mut out);
        assert_eq!(out[..3], [0xAC, 0x02, b'x']);
        out.clear();
        write_uuid(&std::array::from_fn(|n| u8::try_from(n).unwrap()), &mut out);
        assert_eq!(out, [7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8]);
        out.clear();
        write_optional(None, &mut out);
        write_optional(Some("a\0"), &mut out);
        assert_eq!(out, [1, 0, 2, b'a', 0]);
    }

    proptest! {
        #[test]
        fn a_length_comes_back(length in 0_usize..2_000_000) {
            let mut out = Vec::new();
            write_bytes(&vec![0; length], &mut out);
            let mut read = 0;
            let mut shift = 0;
            for byte in &out {
                read |= usize::from(byte & 0x7F) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            prop_assert_eq!(read, length);
            prop_assert_eq!(out.len(), length + shift / 7);
        }
    }
}
