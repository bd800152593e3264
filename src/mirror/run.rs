//! Runs all mirrors: once, without an end, or right after an ingest.
//!
//! Each mirror has a thread with a connection of its own.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Result;

use crate::event::EventId;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::mirror::feed::Feed;
use crate::mirror::runner;
use crate::mirror::runner::MirrorRun;
use crate::mirror::runner::MirrorRunEnd;
use crate::mirror::runner::Persistence;
use crate::store::Create;
use crate::store::LocalLog;
use crate::time::Timestamp;

/// How often a run without an end looks for new events.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How long it does nothing where there are none: a heartbeat is due, or an alert may speak again.
const LONGEST_REST: Duration = Duration::from_secs(60);
const SPACED_REST: Duration = Duration::from_secs(1);
/// How long it waits after an error of the log.
const ERROR_REST: Duration = Duration::from_secs(2);

/// What the runs of all mirrors have in common.
#[derive(Clone)]
pub(crate) struct RunContext {
    pub log: PathBuf,
    pub clock: fn() -> Timestamp,
    pub recorded_by: String,
    /// The name of this host.
    pub host: String,
    pub interrupt: Interrupt,
}

impl RunContext {
    pub(super) fn open_log(&self) -> Result<LocalLog> {
        let log = LocalLog::open_to_write(&self.log, Create::Never)?;
        log.keep_few_pages()?;
        Ok(log)
    }
}

/// What became of one mirror in a run, or the error of the log that ended it.
pub(crate) type MirrorResult = Result<MirrorRun>;

/// Runs every feed until it has delivered what is there, or gives up for now.
pub(crate) fn run_once(
    feeds: Vec<Feed>,
    context: &RunContext,
    report: &mut dyn FnMut(MirrorResult),
) {
    run_threads(feeds, context, report, |feed, context, sender| {
        let run = context
            .open_log()
            .and_then(|mut log| runner::run(&mut log, feed, context, Persistence::Full));
        // The receiver lives as long as the threads.
        drop(sender.send(run));
    });
}

/// Runs every feed until a signal comes. New events are delivered within a second.
pub(crate) fn follow(feeds: Vec<Feed>, context: &RunContext, report: &mut dyn FnMut(MirrorResult)) {
    run_threads(feeds, context, report, |feed, context, sender| {
        while context.interrupt.signal().is_none() {
            let ended = follow_log(feed, context, &sender);
            if let Err(error) = ended {
                drop(sender.send(Err(error)));
                runner::sleep(ERROR_REST, &context.interrupt);
            }
        }
    });
}

fn run_threads(
    feeds: Vec<Feed>,
    context: &RunContext,
    report: &mut dyn FnMut(MirrorResult),
    work: fn(&mut Feed, &RunContext, mpsc::Sender<MirrorResult>),
) {
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for mut feed in feeds {
            let own = sender.clone();
            let run = move || work(&mut feed, context, own);
            if let Err(error) = thread::Builder::new().spawn_scoped(scope, run) {
                drop(sender.send(Err(thread_failure(error))));
            }
        }
        drop(sender);
        receiver.into_iter().for_each(report);
    });
}

fn thread_failure(error: io::Error) -> anyhow::Error {
    anyhow::Error::new(error).context(Failure::new(Exit::Io, "cannot start a thread"))
}

/// Follows a log until a signal comes, or until another file has its name.
fn follow_log(
    feed: &mut Feed,
    context: &RunContext,
    sender: &mpsc::Sender<MirrorResult>,
) -> Result<()> {
    let mut log = context.open_log()?;
    while !log.is_replaced() {
        let seen = log.head()?.0;
        let run = runner::run(&mut log, feed, context, Persistence::Full)?;
        let rest = match run.end {
            MirrorRunEnd::CaughtUp | MirrorRunEnd::Busy => LONGEST_REST,
            MirrorRunEnd::Spaced => SPACED_REST,
            MirrorRunEnd::Waiting { .. } => Duration::ZERO,
            MirrorRunEnd::Interrupted => return Ok(()),
        };
        drop(sender.send(Ok(run)));
        if !rest_until_new(&log, seen, rest, context)? {
            return Ok(());
        }
    }
    Ok(())
}

/// Rests until there are new events, or so long; returns whether no signal came.
fn rest_until_new(
    log: &LocalLog,
    seen: EventId,
    rest: Duration,
    context: &RunContext,
) -> Result<bool> {
    let began = Instant::now();
    while began.elapsed() < rest && log.head()?.0 == seen && !log.is_replaced() {
        if !runner::sleep(POLL_INTERVAL, &context.interrupt) {
            return Ok(false);
        }
    }
    Ok(context.interrupt.signal().is_none())
}

/// Gives every feed one try, and waits for each no longer than its time-out. What is not delivered
/// then is left to the next run; a try that is still at work ends with the process.
pub(crate) fn deliver_directly(feeds: Vec<Feed>, context: &RunContext) {
    let longest = feeds.iter().map(|feed| feed.timeout).max().unwrap_or_default();
    let deadline = Instant::now() + longest;
    let (sender, receiver) = mpsc::channel();
    for mut feed in feeds {
        let (sender, context) = (sender.clone(), context.clone());
        // What gets no thread is left to the next run.
        drop(thread::Builder::new().spawn(move || {
            let run = context.open_log().and_then(|mut log| {
                runner::run(&mut log, &mut feed, &context, Persistence::OneTry)
            });
            drop(sender.send(run));
        }));
    }
    drop(sender);
    // A failure is in the state of the mirror, and the next run tells it.
    while let Ok(Ok(_) | Err(_)) =
        receiver.recv_timeout(deadline.saturating_duration_since(Instant::now()))
    {}
}
