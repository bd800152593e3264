//! One run of the digest: reads the report, sends it, and records what became of it.
//!
//! A mail goes out whatever is wrong with the log or the templates. Its head is noted in the log
//! before it is sent, its outcome after that: killed in between, the next digest covers the window
//! again and says so. Where the log can be read and not written, the report goes out all the same,
//! without a head and saying why. What cannot be sent for want of settings is refused before, by
//! [`Post`].

use std::time::Duration;

use anyhow::Result;

use crate::config;
use crate::digest::deliver;
use crate::digest::deliver::Delivery;
use crate::digest::deliver::DeliveryFailure;
use crate::digest::kinds::Kinds;
use crate::digest::outcome::Outcome;
use crate::digest::page::Page;
use crate::digest::page::Templates;
use crate::digest::post::Post;
use crate::digest::report::Options;
use crate::digest::report::PLACE;
use crate::digest::report::Report;
use crate::digest::report::Scope;
use crate::digest::view::Setting;
use crate::failure;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::store::DigestLock;
use crate::store::Log;
use crate::store::Stamp;
use crate::text;
use crate::time::TimeFormat;
use crate::time::Timestamp;
use crate::time::Zone;

/// The people named, and the events listed under one kind, where the config says nothing.
pub(crate) const TOP: usize = 5;
pub(crate) const PER_KIND: usize = 20;
/// Where a head is known that a mail has carried out which moves no window.
const ASIDE: &str = "one-off digest";

/// What a digest is made by, as the config has it.
pub(crate) struct Brief {
    kinds: Kinds,
    top: usize,
    per_kind: usize,
    pub templates: Templates,
}

impl Brief {
    /// # Errors
    /// [`Exit::Config`] with the key.
    pub(crate) fn new(config: &config::DigestConfig) -> Result<Self, Failure> {
        let kinds = config.kinds.iter().map(|(name, query)| (name.as_str(), query.as_str()));
        let kinds = Kinds::new(kinds).map_err(|(name, why)| {
            Failure::new(Exit::Config, format!("config: digest.kinds.{name:?}: {why}"))
        })?;
        Ok(Self {
            kinds,
            top: config.top.unwrap_or(TOP),
            per_kind: config.per_kind.unwrap_or(PER_KIND),
            templates: Templates::read(config.templates.as_deref(), config.subject.clone()),
        })
    }

    pub(crate) fn options(&self) -> Options<'_> {
        Options { kinds: &self.kinds, top: self.top, per_kind: self.per_kind }
    }
}

/// A digest that is to be sent.
pub(crate) struct Job<'a> {
    pub brief: &'a Brief,
    pub post: &'a Post,
    pub setting: Setting<'a>,
    pub scope: Scope<'a>,
    /// Whether it moves no window; one of a query never does.
    pub one_off: bool,
    pub now: Timestamp,
    pub clock: &'a dyn Fn() -> Timestamp,
    pub recorded_by: &'a str,
}

impl Job<'_> {
    fn moves_nothing(&self) -> bool {
        self.one_off || matches!(self.scope, Scope::OneOff(_))
    }
}

/// A run that has tried to send a mail.
pub(crate) struct Done {
    /// What it says on standard output.
    pub line: String,
    /// Why all is not well: the log cannot be read or written, the mail was refused, to some or
    /// altogether, or the templates are broken.
    pub trouble: Option<anyhow::Error>,
}

/// What opens the log, to write or else to read alone.
pub(crate) struct Doors<W, R> {
    pub write: W,
    pub read: R,
}

/// Makes the digest of a log, sends and records it. `pause` waits between the tries.
///
/// # Errors
/// [`Exit::TryAgain`] where another digest of the log is being made.
pub(crate) fn send(
    doors: Doors<impl FnOnce() -> Result<Log>, impl FnOnce() -> Result<Log>>,
    job: &Job<'_>,
    pause: &mut dyn FnMut(Duration),
) -> Result<Done> {
    let Prepared { log, claim, report, unwritten } = match prepare(doors, job) {
        Ok(Some(prepared)) => prepared,
        Ok(None) => {
            let what = "another digest of this log is being made";
            return Err(Failure::new(Exit::TryAgain, what).into());
        }
        Err(error) => return Ok(told_by_mail(error, job, pause)),
    };
    // What is in the way may be gone when the mail is out, so nothing is sure yet.
    let again =
        if job.moves_nothing() { "" } else { ", and then the next digest has its events again" };
    let told = unwritten
        .as_ref()
        .map(|why| format!("This mail may go unrecorded{again}: {}.", failure::describe(why)));
    let setting = Setting { unwritten: told.as_deref(), ..job.setting };
    let page = Page::render(&report, &setting, &job.brief.templates);
    let fault = page.fault.clone();
    let window = report.window.id();
    let unique = format!("{}.{}", job.now.as_nanos(), report.head.0);
    let mail = job.post.mail(page, window, &unique);
    let sent = deliver::deliver(&job.post.transport, &mail, &job.post.terms, job.now, pause);

    let outcome = outcome(job, &report, &sent, &mail.message_id);
    let stamp = Stamp { recorded_at: (job.clock)(), recorded_by: job.recorded_by };
    let recorded = match (log, unwritten) {
        // What was in the way may be gone by now.
        (Some(mut log), _) => log.append(&[outcome.to_event()], &stamp).map(drop),
        (None, why) => Err(why.expect("a log that is not open to write says why")),
    };
    drop(claim);
    let mut line = outcome.run_line(job.now);
    if recorded.is_err() {
        line.push_str(" not recorded");
    }
    let trouble = match (sent, recorded) {
        (Ok(delivery), Err(error)) => {
            let id = delivery.message_id.as_deref().unwrap_or(&mail.message_id);
            Some(unrecorded(error, id, job))
        }
        (Ok(delivery), Ok(())) => {
            let broken = |why| {
                let what =
                    format!("the built-in mail was sent, for the templates are broken: {why}");
                Failure::new(Exit::Config, what)
            };
            turned_away(&delivery).or_else(|| fault.map(broken)).map(Into::into)
        }
        (Err(failed), recorded) => {
            let failure = Failure::from(failed);
            Some(match recorded {
                Ok(()) => failure.into(),
                Err(error) => {
                    let what = format!("{}, which cannot be recorded", failure.message);
                    error.context(Failure { message: what, ..failure })
                }
            })
        }
    };
    Ok(Done { line, trouble })
}

/// A report that is ready to be sent.
struct Prepared {
    /// Absent where it is open to read alone.
    log: Option<Log>,
    claim: Option<DigestLock>,
    report: Report,
    /// Why the log could not be written.
    unwritten: Option<anyhow::Error>,
}

/// Reads the report and notes the head that the mail will carry; `None` where another digest is
/// being made.
fn prepare(
    doors: Doors<impl FnOnce() -> Result<Log>, impl FnOnce() -> Result<Log>>,
    job: &Job<'_>,
) -> Result<Option<Prepared>> {
    let options = job.brief.options();
    let mut log = match (doors.write)() {
        Ok(log) => log,
        Err(error) => {
            // That it cannot be written is the cause where it cannot be read either.
            let Ok(log) = (doors.read)() else { return Err(error) };
            let report = Report::read(&log, job.scope, job.now, &options)?;
            let unwritten = Some(error);
            return Ok(Some(Prepared { log: None, claim: None, report, unwritten }));
        }
    };
    let (claim, mut unwritten) = match log.try_lock_digest() {
        Ok(Some(claim)) => (Some(claim), None),
        Ok(None) => return Ok(None),
        Err(error) => (None, Some(error)),
    };
    let report = Report::read(&log, job.scope, job.now, &options)?;
    // An empty log has no event to hold against a head.
    if report.head.0.0 > 0
        && let Err(error) = note(&mut log, &report, job)
    {
        unwritten.get_or_insert(error);
    }
    Ok(Some(Prepared { log: Some(log), claim, report, unwritten }))
}

/// Notes the head of a report: it is about to be known outside the log.
fn note(log: &mut Log, report: &Report, job: &Job<'_>) -> Result<()> {
    let place = if job.moves_nothing() { ASIDE } else { PLACE };
    let mut batch = log.begin()?;
    batch.record_anchor(report.head, job.now, place)?;
    batch.commit()
}

/// Says that a mail went out of which the log knows nothing.
fn unrecorded(error: anyhow::Error, message_id: &str, job: &Job<'_>) -> anyhow::Error {
    let exit = match error.downcast_ref::<Failure>() {
        Some(Failure { exit: exit @ (Exit::TryAgain | Exit::NoPermission), .. }) => *exit,
        _ => Exit::Io,
    };
    let id = text::escape(message_id);
    let what = format!("the digest was sent (message id {id}) and cannot be recorded");
    let failure = Failure::new(exit, what);
    error.context(match job.moves_nothing() {
        true => failure,
        false => failure.hint("the next one covers it again"),
    })
}

/// Sends word of a log that cannot be read.
fn told_by_mail(error: anyhow::Error, job: &Job<'_>, pause: &mut dyn FnMut(Duration)) -> Done {
    let reason = text::escape(&failure::describe(&error)).into_owned();
    let page = Page::fallback(job.setting.site, &reason, job.now, job.setting.zone);
    let unique = format!("{}.unread", job.now.as_nanos());
    let mail = job.post.mail(page, format!("unread,{}", job.now), &unique);
    let transport = &job.post.transport;
    let sent = deliver::deliver(transport, &mail, &job.post.terms, job.now, pause);
    let said = match &sent {
        Ok(delivery) => format!(
            "a mail that says so to {} {} {}",
            job.post.recipients().join(","),
            transport.name(),
            delivery.status
        ),
        Err(failed) => format!("no mail that says so ({failed})"),
    };
    let at = Zone::utc().format(job.now.truncate_to_second(), TimeFormat::Rfc3339);
    Done {
        line: format!("{at} digest not made, {}: {reason}", text::escape(&said)),
        trouble: Some(match sent {
            Ok(_) => error,
            Err(failed) => error.context(format!("no digest, and no mail that says so ({failed})")),
        }),
    }
}

fn outcome(
    job: &Job<'_>,
    report: &Report,
    sent: &Result<Delivery, DeliveryFailure>,
    message_id: &str,
) -> Outcome {
    let window = &report.window;
    let base = Outcome {
        sent: sent.is_ok(),
        since: window.since,
        until: window.until,
        through: window.through,
        events: report.events(),
        recipients: job.post.recipients(),
        transport: job.post.transport.name().to_owned(),
        status: None,
        error: None,
        message_id: None,
        attempts: 1,
        maybe_duplicate: false,
        one_off: job.moves_nothing(),
    };
    match sent {
        Ok(delivery) => {
            let got_it = |address: &String| {
                !delivery.refused.iter().any(|refused| refused.address == *address)
            };
            Outcome {
                recipients: base.recipients.into_iter().filter(got_it).collect(),
                status: Some(delivery.status.clone()),
                error: turned_away(delivery).map(|failure| failure.message),
                message_id: delivery.message_id.clone(),
                attempts: delivery.attempts.into(),
                maybe_duplicate: delivery.maybe_duplicate,
                ..base
            }
        }
        Err(failed) => Outcome {
            status: failed.status.clone(),
            error: Some(failed.error.clone()),
            // It may stand in a mailbox all the same.
            message_id: failed.maybe_sent.then(|| message_id.to_owned()),
            attempts: failed.attempts.into(),
            maybe_duplicate: failed.maybe_sent,
            ..base
        },
    }
}

/// Who did not get the mail that others got.
fn turned_away(delivery: &Delivery) -> Option<Failure> {
    let each =
        delivery.refused.iter().map(|refused| format!("{}: {}", refused.address, refused.reason));
    let each: Vec<_> = each.collect();
    let what = format!("the mail was not taken for {}", each.join("; "));
    (!each.is_empty()).then(|| Failure::new(Exit::Unavailable, what))
}
