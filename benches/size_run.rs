//! A history of one size: its files, and what is kept of it for the larger sizes.

use std::fs;
use std::fs::File;
use std::io;
use std::io::BufWriter;
use std::io::Write;

use chrono::DateTime;
use chrono::NaiveDate;

use crate::generator;
use crate::generator::Generator;
use crate::host_logs;
use crate::host_logs::HostLog;
use crate::workbench::Bench;

/// Every history ends at about this time, 2026-01-01, whatever its size: in nanoseconds since 1970.
const HISTORY_END: u64 = 1_767_225_600_000_000_000;
/// Up to so many events the logs of the host are peers: a journal of more is made in minutes.
const HOST_LOG_EVENTS: usize = 100_000;
/// The bytes of an event in all files of a run, with some to spare.
const ROOM_PER_EVENT: u64 = 1_100;
/// The bytes of an event in the flat table and in what it is filled from, without what is removed before.
const PEER_ROOM_PER_EVENT: u64 = 700;
/// The log that keeps all events while the steps change the other one.
pub(crate) const KEPT_LOG: &str = "kept.db";

/// A history of one size, with the log and the flat table that are made of it.
pub(crate) struct SizeRun {
    pub(crate) bench: Bench,
    /// Whether the disk has room for it.
    pub(crate) has_flat_table: bool,
    /// A day near the end of the history, which is a whole one unless the history is short.
    pub(crate) day: NaiveDate,
    /// The time before which a tenth of the events happened, in milliseconds since 1970.
    pub(crate) tenth: i64,
    /// The logs of the host that are peers at this size.
    pub(crate) host_logs: Vec<HostLog>,
}

impl SizeRun {
    /// Writes a history as JSON Lines and CSV, and as the logs of the host have it. Returns nothing if
    /// the disk has no room for it.
    pub(crate) fn new(events: usize) -> io::Result<Option<Self>> {
        let bench = Bench::new(events)?;
        let disk = rustix::fs::statvfs(bench.path(""))?;
        let room = disk.f_bavail * disk.f_frsize;
        if room < events as u64 * ROOM_PER_EVENT {
            return Ok(None);
        }
        let has_flat_table = room >= events as u64 * (ROOM_PER_EVENT + PEER_ROOM_PER_EVENT);
        let mut host_logs = HostLog::ALL.to_vec();
        host_logs.retain(|log| events <= HOST_LOG_EVENTS && log.missing().is_none());
        let mut run =
            Self { bench, has_flat_table, day: NaiveDate::default(), tenth: 0, host_logs };
        run.write_history()?;
        if run.host_logs.contains(&HostLog::Journal) {
            host_logs::build_journal(&run.bench)?;
        }
        Ok(Some(run))
    }

    fn write_history(&mut self) -> io::Result<()> {
        self.bench.report_progress("making events");
        let events = self.bench.events;
        let create = |name: &str| File::create(self.bench.path(name)).map(BufWriter::new);
        let mut jsonl = create("all.jsonl")?;
        let mut csv = if self.has_flat_table { Some(create("all.csv")?) } else { None };
        let mut entries = Vec::new();
        for log in &self.host_logs {
            entries.push((*log, create(log.input_name())?));
        }
        let mut generator =
            Generator::starting_at(HISTORY_END - events as u64 * generator::MEAN_PAUSE);
        let mut line = String::new();
        for number in 0..events {
            let row = generator.next();
            write_line(&mut jsonl, &mut line, |line| generator::write_json(&row, line))?;
            if let Some(csv) = &mut csv {
                write_line(csv, &mut line, |line| generator::write_csv(&row, line))?;
            }
            for (log, file) in &mut entries {
                write_line(file, &mut line, |line| log.write_entry(number + 1, &row, line))?;
            }
            if number == events / 10 {
                self.tenth = host_logs::millis(&row);
            }
            // Three days before the end; in the midst of a short history.
            if number == events - (events / 2).min(10_000) {
                let time = DateTime::from_timestamp_millis(host_logs::millis(&row));
                self.day = time.expect("a time of our days").date_naive();
            }
        }
        jsonl.flush()?;
        csv.iter_mut().try_for_each(Write::flush)?;
        entries.iter_mut().try_for_each(|(_, file)| file.flush())
    }

    /// Keeps a log of all events for the larger sizes, and removes the rest.
    pub(crate) fn keep_log(&self) -> io::Result<()> {
        for db in ["all.db", "flat.db"] {
            self.bench.remove_database(db);
        }
        let ingest =
            self.bench.activity_command(KEPT_LOG, &["ingest", "--quiet", "all.jsonl"]).output()?;
        assert!(ingest.status.success(), "{}", String::from_utf8_lossy(&ingest.stderr));
        for entry in fs::read_dir(self.bench.path(""))? {
            let path = entry?.path();
            let extension = path.extension().unwrap_or_default();
            if ["jsonl", "log", "export", "journal"].iter().any(|other| extension == *other) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

/// Writes what `format` makes, in a buffer that is used again.
fn write_line(
    file: &mut BufWriter<File>,
    line: &mut String,
    format: impl FnOnce(&mut String),
) -> io::Result<()> {
    line.clear();
    format(line);
    file.write_all(line.as_bytes())
}
