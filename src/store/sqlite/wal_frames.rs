//! Reads the frames of a write-ahead log as a file, and finds those that SQLite passes over.
//!
//! SQLite reads a write-ahead log up to the first frame that does not hold and forgets the rest: after a
//! power cut that is what was never synced. But one damaged byte hides every transaction behind it in
//! the same way, without an error.
//!
//! The format is that of <https://www.sqlite.org/fileformat2.html#walformat>: a header of 32 bytes, and
//! frames of 24 bytes and one page. Each frame repeats two salts of the header, which change whenever
//! the file is started over, and has a checksum over all frames up to it.
//!
//! ## What is damage
//! Frames with the salts of the header behind one that does not hold, each with the checksum that
//! follows from the frame before it, and among them the ends of two transactions or more. One end alone
//! is no proof: a transaction is synced before the next one begins, so the last one may have been cut
//! short, and what a killed process had written may stand behind what others wrote over its beginning.
//! Frames with other salts are older, and were copied into the log long ago.
//!
//! ## Concurrency
//! Nothing is locked, and writers may be at work. So damage counts only if a second look finds the same:
//! by then a frame that was just being written is complete.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::BufReader;
use std::io::ErrorKind;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;

/// The pause before a second look, in which a writer completes its frame.
const PAUSE: Duration = Duration::from_millis(50);

/// The first four bytes of a write-ahead log, apart from the last bit, which is set where checksums are
/// over big-endian words.
const MAGIC: u32 = 0x377f_0682;

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// SQLite's limits for the size of a page.
const PAGE_SIZES: std::ops::RangeInclusive<u32> = 512..=65_536;

/// What SQLite passes over at the end of a write-ahead log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HiddenFrames {
    salts: u64,
    /// The number of the frame that does not hold; 0 for the header.
    pub bad_frame: u64,
    /// The number of frames behind it that hold together.
    pub following: u64,
    /// How many transactions end in them.
    pub transactions: u64,
    /// Whether the frame that does not hold is in the middle of a transaction.
    is_within_transaction: bool,
}

impl HiddenFrames {
    /// Whether transactions are hidden that were synced.
    pub(super) fn are_damage(&self) -> bool {
        self.transactions > 1
    }

    /// Whether the last transaction is hidden, which a power cut does too.
    pub(super) fn are_cut_short(&self) -> bool {
        self.transactions == 1 && self.is_within_transaction && self.following > 0
    }
}

/// Looks for frames that SQLite passes over and that do not belong to an older use of the file.
///
/// # Errors
/// Those of reading the file. A file that is not there has no frames.
pub(super) fn find_hidden(wal: &Path) -> io::Result<Option<HiddenFrames>> {
    let Some(found) = look(wal)? else { return Ok(None) };
    thread::sleep(PAUSE);
    Ok(look(wal)?.filter(|again| *again == found))
}

fn look(wal: &Path) -> io::Result<Option<HiddenFrames>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    match OpenOptions::new().read(true).custom_flags(flags).open(wal) {
        Ok(file) if file.metadata()?.is_file() => scan(file),
        Ok(_) => Ok(None),
        Err(why) if why.kind() == ErrorKind::NotFound => Ok(None),
        Err(why) => Err(why),
    }
}

/// The checksum of the header and of the frames up to one.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Checksum(u32, u32);

impl Checksum {
    fn stored(bytes: &[u8]) -> Self {
        Self(word(bytes, 0), word(bytes, 4))
    }

    fn with(self, bytes: &[u8], is_big_endian: bool) -> Self {
        let Self(mut first, mut second) = self;
        let (words, _) = bytes.as_chunks::<4>();
        let read = |bytes: [u8; 4]| {
            if is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
        };
        let (pairs, _) = words.as_chunks::<2>();
        for [one, two] in pairs {
            first = first.wrapping_add(read(*one)).wrapping_add(second);
            second = second.wrapping_add(read(*two)).wrapping_add(first);
        }
        Self(first, second)
    }
}

/// Returns the big-endian word at a place; 0 beyond the end.
fn word(bytes: &[u8], place: usize) -> u32 {
    let word = bytes.get(place..).and_then(<[u8]>::first_chunk);
    word.map_or(0, |word| u32::from_be_bytes(*word))
}

fn salts_at(bytes: &[u8], place: usize) -> u64 {
    u64::from(word(bytes, place)) << 32 | u64::from(word(bytes, place + 4))
}

fn scan(file: File) -> io::Result<Option<HiddenFrames>> {
    let mut file = BufReader::with_capacity(1 << 18, file);
    let mut header = [0; HEADER_BYTES];
    if !fill(&mut file, &mut header)? {
        return Ok(None);
    }
    let magic = word(&header, 0);
    let page_size = word(&header, 8);
    // Any other file was never a write-ahead log.
    if magic & !1 != MAGIC || !page_size.is_power_of_two() || !PAGE_SIZES.contains(&page_size) {
        return Ok(None);
    }
    let is_big_endian = magic & 1 == 1;
    let stored = Checksum::stored(&header[24..]);
    let holds = stored == Checksum(0, 0).with(&header[..24], is_big_endian);
    let mut frames = FrameRuns::new(salts_at(&header, 16), stored, holds);
    let mut frame = vec![0; FRAME_HEADER_BYTES + usize::try_from(page_size).unwrap_or(0)];
    while fill(&mut file, &mut frame)? {
        frames.take(&frame, is_big_endian);
    }
    Ok(frames.hidden())
}

/// Fills a buffer; `false` if the file ends before.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(why) if why.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(why) => Err(why),
    }
}

/// The frames up to one, as runs that hold together.
struct FrameRuns {
    salts: u64,
    number: u64,
    /// The checksum that the last frame has.
    stored: Checksum,
    /// The first frame that does not hold, and whether that is in the middle of a transaction.
    bad: Option<(u64, bool)>,
    /// Whether the last frame that holds ends a transaction.
    is_at_end: bool,
    /// The number of frames behind the bad one, and of ends of transactions, in the last run and in the
    /// one with most ends.
    run: (u64, u64),
    longest: (u64, u64),
}

impl FrameRuns {
    fn new(salts: u64, stored: Checksum, header_holds: bool) -> Self {
        Self {
            salts,
            number: 0,
            stored,
            bad: (!header_holds).then_some((0, false)),
            is_at_end: true,
            run: (0, 0),
            longest: (0, 0),
        }
    }

    fn take(&mut self, frame: &[u8], is_big_endian: bool) {
        self.number += 1;
        let (header, page) = frame.split_at(FRAME_HEADER_BYTES);
        let (of_page, rest) = header.split_at(8);
        let salts = salts_at(rest, 0);
        // A header that does not hold may have lost its salts, too.
        if self.bad == Some((0, false)) && self.number == 1 {
            self.salts = salts;
        }
        let follows = self.stored.with(of_page, is_big_endian).with(page, is_big_endian);
        self.stored = Checksum::stored(&rest[8..]);
        let holds = follows == self.stored;
        let ends = u64::from(word(of_page, 4) > 0);
        let is_current = salts == self.salts;
        if self.bad.is_none() {
            if is_current && holds {
                self.is_at_end = ends > 0;
                return;
            }
            self.bad = Some((self.number, !self.is_at_end));
            self.run = (0, if is_current { ends } else { 0 });
        } else if is_current && holds {
            self.run = (self.run.0 + 1, self.run.1 + ends);
        } else {
            // Whatever comes next may hold together with this one, although this one does not with
            // those before.
            self.run = if is_current { (1, ends) } else { (0, 0) };
        }
        if self.run.1 > self.longest.1 {
            self.longest = self.run;
        }
    }

    fn hidden(&self) -> Option<HiddenFrames> {
        let (bad_frame, is_within_transaction) = self.bad?;
        let (following, transactions) = self.longest;
        let found = HiddenFrames {
            salts: self.salts,
            bad_frame,
            following,
            transactions,
            is_within_transaction,
        };
        (found.are_damage() || found.are_cut_short()).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering;

    use rusqlite::Connection;
    use tempfile::TempDir;

    use super::*;

    const PAGE: usize = 4_096;
    const FRAME: usize = PAGE + FRAME_HEADER_BYTES;

    #[expect(clippy::disallowed_methods, reason = "any database has a write-ahead log")]
    fn new_log() -> (TempDir, Connection, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.db");
        let log = Connection::open(&path).unwrap();
        log.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE t (id INTEGER PRIMARY KEY, x); PRAGMA wal_checkpoint(TRUNCATE)",
        )
        .unwrap();
        let wal = folder.path().join("log.db-wal");
        (folder, log, wal)
    }

    /// Transactions of three frames: two pages of text, and that of the table.
    fn write(log: &Connection, transactions: usize) {
        for _ in 0..transactions {
            log.execute("INSERT INTO t (x) VALUES (zeroblob(8192))", []).unwrap();
        }
    }

    /// The ends of transactions in a whole write-ahead log, by the number of their frames.
    fn ends(wal: &[u8]) -> Vec<u64> {
        let frames = wal[HEADER_BYTES..].chunks_exact(FRAME);
        let ends = (1..).zip(frames).filter(|(_, frame)| word(frame, 4) > 0);
        ends.map(|(number, _)| number).collect()
    }

    #[test]
    fn a_flipped_byte_that_hides_two_transactions_is_damage_wherever_it_is() {
        let (folder, log, wal) = new_log();
        write(&log, 4);
        let sound = fs::read(&wal).unwrap();
        assert_eq!(look(&wal).unwrap(), None);
        let ends = ends(&sound);
        assert_eq!(ends.len(), 4);
        let copy = folder.path().join("copy");
        // The number of the page, the mark of an end, the salts, the checksum, and the page.
        for number in 1_u64..=ends[3] {
            let expected = ends.iter().filter(|end| **end >= number).count();
            for place in [3, 8, 15, 24, 24 + PAGE / 2, FRAME - 1] {
                let mut bytes = sound.clone();
                let frame = usize::try_from(number - 1).unwrap() * FRAME + HEADER_BYTES;
                bytes[frame + place] ^= 0x40;
                fs::write(&copy, &bytes).unwrap();
                let found = look(&copy).unwrap();
                let what = format!("byte {place} of frame {number}: {found:?}");
                // The bad frame's own end counts only where its salts are whole.
                if expected > 2 || expected == 2 && !ends.contains(&number) {
                    assert!(found.is_some_and(|found| found.are_damage()), "{what}");
                    assert_eq!(found.unwrap().bad_frame, number, "{what}");
                } else if expected < 2 {
                    assert!(!found.is_some_and(|found| found.are_damage()), "{what}");
                }
            }
        }
        for place in 8..HEADER_BYTES {
            let mut bytes = sound.clone();
            bytes[place] ^= 0x40;
            fs::write(&copy, &bytes).unwrap();
            // Another size of pages is none that frames could be read by.
            if place >= 12 {
                let found = look(&copy).unwrap().unwrap();
                assert!(found.are_damage() && found.bad_frame == 0, "byte {place}: {found:?}");
            }
        }
    }

    #[test]
    fn what_is_older_cut_short_or_no_log_is_no_damage() {
        let (folder, log, wal) = new_log();
        write(&log, 9);
        // The next transaction starts the file over, and older frames stay behind it.
        log.execute_batch("PRAGMA wal_checkpoint").unwrap();
        write(&log, 1);
        let sound = fs::read(&wal).unwrap();
        assert!(ends(&sound).len() > 4, "older frames are there");
        assert_eq!(look(&wal).unwrap(), None);
        let copy = folder.path().join("copy");
        for length in (0..sound.len()).step_by(997) {
            fs::write(&copy, &sound[..length]).unwrap();
            assert_eq!(look(&copy).unwrap(), None, "{length}");
        }
        fs::write(&copy, b"something else".repeat(5_000)).unwrap();
        assert_eq!(look(&copy).unwrap(), None);
        assert_eq!(look(&folder.path().join("nowhere")).unwrap(), None);
        assert_eq!(look(folder.path()).unwrap(), None);
    }

    #[test]
    fn what_was_rolled_back_is_no_damage() {
        let (_folder, log, wal) = new_log();
        write(&log, 2);
        // A transaction that is larger than the cache writes frames, and then they stay behind.
        log.execute_batch("PRAGMA cache_size = 10; BEGIN").unwrap();
        write(&log, 50);
        log.execute_batch("ROLLBACK").unwrap();
        write(&log, 1);
        let frames = fs::read(&wal).unwrap().len() / FRAME;
        assert!(frames > 60, "{frames} frames");
        assert_eq!(look(&wal).unwrap(), None);
    }

    #[test]
    fn a_reader_beside_a_writer_is_told_of_no_damage() {
        let (_folder, log, wal) = new_log();
        let is_done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..40 {
                    assert_eq!(find_hidden(&wal).unwrap(), None);
                }
                is_done.store(true, Ordering::Relaxed);
            });
            let log = log;
            while !is_done.load(Ordering::Relaxed) {
                write(&log, 40);
                log.execute_batch("PRAGMA wal_checkpoint").unwrap();
            }
        });
    }
}
