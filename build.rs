//! Writes the offsets of the named zones as one block of bytes, in the format of `src/time/zone_table.rs`.
//!
//! The data are those of `chrono-tz`. Its own tables hold pointers, and the loader of the system would
//! adjust each of them whenever the program starts.

use std::collections::HashMap;
use std::path::PathBuf;
use std::{env, fs};

use chrono::{DateTime, NaiveDateTime, Offset, TimeZone};
use chrono_tz::{OffsetName, TZ_VARIANTS, Tz};

const DAY: i64 = 86_400;

/// No zone has a change before 1800, and `chrono-tz` knows none after 2100; seconds since 1970.
const FIRST: i64 = -5_364_662_400;
const LAST: i64 = 4_133_980_800;

const ABBREVIATION_LENGTH: usize = 6;

#[expect(
    clippy::disallowed_methods,
    reason = "cargo tells a build script its folder in no other way"
)]
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names the folder"));
    fs::write(folder.join("zones.bin"), encode_zones()).expect("the folder can be written");
}

fn encode_zones() -> Vec<u8> {
    let mut places = Vec::new();
    let mut records = Vec::new();
    let mut known = HashMap::new();
    for zone in TZ_VARIANTS {
        let place = *known.entry(encode_history(zone)).or_insert_with_key(|record| {
            records.extend(record);
            TZ_VARIANTS.len() * 4 + records.len() - record.len()
        });
        places.extend(u32::try_from(place).expect("the block is small").to_le_bytes());
    }
    [places, records].concat()
}

fn encode_history(zone: Tz) -> Vec<u8> {
    let changes = changes(zone);
    let mut kinds = Vec::new();
    let mut numbers = Vec::new();
    for at in [FIRST].iter().chain(&changes) {
        let kind = encode_kind(zone, *at);
        let number = kinds.iter().position(|known| *known == kind).unwrap_or_else(|| {
            kinds.push(kind);
            kinds.len() - 1
        });
        numbers.push(u8::try_from(number).expect("a zone has few kinds of time"));
    }
    let mut record = vec![u8::try_from(kinds.len()).expect("a zone has few kinds of time")];
    record.extend(u16::try_from(changes.len()).expect("a zone has few changes").to_le_bytes());
    record.extend(kinds.concat());
    record.extend(changes.iter().flat_map(|at| at.to_le_bytes().into_iter().take(5)));
    record.extend(numbers);
    record
}

fn encode_kind(zone: Tz, at: i64) -> Vec<u8> {
    let offset = offset(zone, at);
    let mut kind = offset.fix().local_minus_utc().to_le_bytes().to_vec();
    kind.extend(offset.abbreviation().unwrap_or_default().bytes());
    assert!(kind.len() <= 4 + ABBREVIATION_LENGTH, "an abbreviation of {zone} is too long");
    kind.resize(4 + ABBREVIATION_LENGTH, 0);
    kind
}

/// Returns when what the clocks of a zone show changed. No zone has two changes within a day.
fn changes(zone: Tz) -> Vec<i64> {
    let mut changes = Vec::new();
    let mut before = offset(zone, FIRST);
    let mut at = FIRST;
    while at < LAST {
        let after = offset(zone, at + DAY);
        if !shows_the_same(&before, &after) {
            changes.push(change_between(zone, at, at + DAY));
        }
        (at, before) = (at + DAY, after);
    }
    changes
}

/// Returns the first second that differs from the start of a span.
fn change_between(zone: Tz, start: i64, end: i64) -> i64 {
    let before = offset(zone, start);
    let (mut same, mut changed) = (start, end);
    while changed - same > 1 {
        let middle = i64::midpoint(same, changed);
        if shows_the_same(&before, &offset(zone, middle)) {
            same = middle;
        } else {
            changed = middle;
        }
    }
    changed
}

fn offset(zone: Tz, at: i64) -> <Tz as TimeZone>::Offset {
    zone.offset_from_utc_datetime(&naive(at))
}

fn naive(at: i64) -> NaiveDateTime {
    DateTime::from_timestamp(at, 0).expect("the time is within the range of dates").naive_utc()
}

fn shows_the_same(one: &(impl Offset + OffsetName), other: &(impl Offset + OffsetName)) -> bool {
    one.fix() == other.fix() && one.abbreviation() == other.abbreviation()
}
