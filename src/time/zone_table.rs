//! The offsets of the named zones, as one block of bytes that is read on demand.
//!
//! `chrono-tz` has the same data as tables of pointers. The loader of the system adjusts each of them
//! whenever the program starts: half of the pages that a process touches to record one event. So the names
//! come from `chrono-tz`, and its offsets from `zones.bin`, which `build.rs` makes of it. A test compares the
//! two.
//!
//! ## Format
//! All numbers are little-endian. For each zone, in the order of [`chrono_tz::TZ_VARIANTS`], 4 bytes
//! have the place of its record; zones with one history share it. A record is:
//!
//! | bytes | content |
//! | --- | --- |
//! | 1 | the number of kinds of time, k |
//! | 2 | the number of changes of the clocks, n |
//! | 10 k | for each kind: seconds east of UTC (4), abbreviation (6), zeros where it has none |
//! | 5 n | when each change was, in seconds since 1970, ascending |
//! | n + 1 | the kind before the first change, then the one after each |

use chrono_tz::Tz;

use super::civil::SECONDS_PER_DAY;
use super::posix_zone::ShownInstants;

static ZONES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/zones.bin"));

const PLACE_LENGTH: usize = 4;
const KIND_LENGTH: usize = 10;
const CHANGE_LENGTH: usize = 5;

/// Longer than any offset: clocks that show one local time are at most this far from UTC.
const MAX_OFFSET: i64 = SECONDS_PER_DAY;

/// The history of a zone: what its clocks showed from when on.
#[derive(Clone, Copy)]
pub(super) struct ZoneHistory {
    kinds: &'static [[u8; KIND_LENGTH]],
    changes: &'static [[u8; CHANGE_LENGTH]],
    kind_numbers: &'static [u8],
}

/// A kind of time: standard time, summer time and the like.
#[derive(Clone, Copy)]
struct KindOfTime {
    offset: i64,
    abbreviation: &'static [u8],
}

impl ZoneHistory {
    pub(super) fn of(zone: Tz) -> Self {
        Self::read(ZONES, zone as usize).expect("a test reads every zone")
    }

    fn read(zones: &'static [u8], number: usize) -> Option<Self> {
        let place = zones.get(number * PLACE_LENGTH..)?.first_chunk()?;
        let record = zones.get(usize::try_from(u32::from_le_bytes(*place)).ok()?..)?;
        let (&[kinds, low, high], record) = record.split_first_chunk()?;
        let changes = usize::from(u16::from_le_bytes([low, high]));
        let (kinds, record) = record.split_at_checked(usize::from(kinds) * KIND_LENGTH)?;
        let (times, record) = record.split_at_checked(changes * CHANGE_LENGTH)?;
        Some(Self {
            kinds: kinds.as_chunks().0,
            changes: times.as_chunks().0,
            kind_numbers: record.get(..=changes)?,
        })
    }

    /// Returns the seconds east of UTC at a time in seconds since 1970.
    pub(super) fn offset_at(&self, at: i64) -> i64 {
        self.kind(self.changes_until(at)).offset
    }

    /// Returns what people call the time that holds then; `None` where it is only an offset.
    pub(super) fn abbreviation(&self, at: i64) -> Option<&'static str> {
        let padded = self.kind(self.changes_until(at)).abbreviation;
        let text = padded.split(|byte| *byte == 0).next().filter(|text| !text.is_empty())?;
        str::from_utf8(text).ok()
    }

    /// Returns the instants of a local time, in seconds since 1970 as if it were UTC.
    pub(super) fn instants(&self, local: i64) -> ShownInstants {
        let first = self.changes_until(local - MAX_OFFSET);
        let last = self.changes_until(local + MAX_OFFSET);
        let instant_in = |span: usize| {
            let instant = local - self.kind(span).offset;
            (self.changes_until(instant) == span).then_some(instant)
        };
        let mut existing = (first..=last).filter_map(instant_in);
        if let Some(earlier) = existing.next() {
            return ShownInstants::Existing(earlier, existing.next_back().unwrap_or(earlier));
        }
        let skipping = (first..last).find_map(|span| {
            let change = self.change(span)?;
            let skipped = change + self.kind(span).offset..change + self.kind(span + 1).offset;
            skipped.contains(&local).then_some(change)
        });
        ShownInstants::Skipped(skipping.unwrap_or_else(|| local - self.offset_at(local)))
    }

    /// Returns the number of changes up to a time: the kind of time of this number holds then.
    fn changes_until(&self, at: i64) -> usize {
        self.changes.partition_point(|change| seconds(*change) <= at)
    }

    fn change(&self, number: usize) -> Option<i64> {
        self.changes.get(number).copied().map(seconds)
    }

    fn kind(&self, span: usize) -> KindOfTime {
        let kind = self.kind_numbers.get(span).and_then(|kind| self.kinds.get(usize::from(*kind)));
        let (offset, abbreviation) = kind.expect("a test reads every zone").split_at(4);
        let offset = offset.first_chunk().map_or(0, |offset| i32::from_le_bytes(*offset));
        KindOfTime { offset: i64::from(offset), abbreviation }
    }
}

/// Reads a number of five bytes with a sign.
fn seconds([a, b, c, d, e]: [u8; CHANGE_LENGTH]) -> i64 {
    i64::from_le_bytes([0, 0, 0, a, b, c, d, e]) >> 24
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeZone};
    use chrono_tz::{GapInfo, OffsetName, TZ_VARIANTS};

    use super::*;

    fn naive(seconds: i64) -> NaiveDateTime {
        DateTime::from_timestamp(seconds, 0).unwrap().naive_utc()
    }

    fn start_of_year(year: i32) -> i64 {
        let day = chrono::NaiveDate::from_ymd_opt(year, 1, 1).unwrap();
        day.and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp()
    }

    /// What `chrono-tz` says of a time: seconds east of UTC, and the abbreviation.
    fn theirs(zone: Tz, at: i64) -> (i64, Option<String>) {
        let offset = zone.offset_from_utc_datetime(&naive(at));
        (offset_of(&offset), offset.abbreviation().map(str::to_owned))
    }

    fn offset_of(offset: &impl Offset) -> i64 {
        i64::from(offset.fix().local_minus_utc())
    }

    /// Every other week, around each change, and where local times are skipped or shown twice.
    #[test]
    fn every_zone_is_as_in_chrono_tz() {
        const FORTNIGHT: usize = 14 * 86_400;
        let (begin, end) = (start_of_year(1900), start_of_year(2100));
        for zone in TZ_VARIANTS {
            let history = ZoneHistory::of(zone);
            let compare = |at| {
                let ours = (history.offset_at(at), history.abbreviation(at).map(str::to_owned));
                assert_eq!(ours, theirs(zone, at), "{zone} at {at}");
                ours.0
            };
            for at in (begin..end).step_by(FORTNIGHT) {
                compare(at);
            }
            let changes = history.changes.iter().copied().map(seconds);
            for at in changes.filter(|at| (begin..end).contains(at)) {
                let (before, after) = (compare(at - 1), compare(at));
                for local in [at - 1 + before, at + before, at - 1 + after, at + after] {
                    compare_instants(zone, &history, local);
                }
            }
        }
    }

    fn compare_instants(zone: Tz, history: &ZoneHistory, local: i64) {
        let expected = match zone.offset_from_local_datetime(&naive(local)) {
            MappedLocalTime::Single(one) => (local - offset_of(&one), local - offset_of(&one)),
            MappedLocalTime::Ambiguous(a, b) => {
                let (a, b) = (local - offset_of(&a), local - offset_of(&b));
                (a.min(b), a.max(b))
            }
            MappedLocalTime::None => {
                let (begin, before) = GapInfo::new(&naive(local), &zone).unwrap().begin.unwrap();
                let change = begin.and_utc().timestamp() - offset_of(&before);
                assert!(
                    matches!(history.instants(local), ShownInstants::Skipped(at) if at == change),
                    "{zone} at {local} local"
                );
                return;
            }
        };
        assert!(
            matches!(history.instants(local), ShownInstants::Existing(a, b) if (a, b) == expected),
            "{zone} at {local} local"
        );
    }
}
