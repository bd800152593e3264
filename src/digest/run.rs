//! One run of the digest: reads the report, sends it, and records what became of it.
//!
//! A mail goes out whatever is wrong with the log or the templates. Its head is noted in the log
//! before it is sent, its outcome after that: killed in between, the next digest covers the window
//! again and says so. Where the log can be read and not written, the report goes out all the same,
//! without a head and saying why. What cannot be sent for want of settings is refused before, by
//! [`MailSettings`].

use std::time::Duration;

use anyhow::Result;

use crate::config;
use crate::digest::deliver;
use crate::digest::deliver::Delivery;
use crate::digest::deliver::DeliveryFailure;
use crate::digest::kinds::ActivityKinds;
use crate::digest::mail_settings::MailSettings;
use crate::digest::outcome::DigestOutcome;
use crate::digest::rendered_mail::RenderedMail;
use crate::digest::rendered_mail::Templates;
use crate::digest::report::ANCHOR_PLACE;
use crate::digest::report::Coverage;
use crate::digest::report::DigestReport;
use crate::digest::report::ReportOptions;
use crate::digest::template_context::RenderOptions;
use crate::failure;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::store::DigestLock;
use crate::store::LocalLog;
use crate::store::Log;
use crate::store::Stamp;
use crate::text;
use crate::time::TimeFormat;
use crate::time::Timestamp;
use crate::time::Zone;

/// The people named, and the events listed under one kind, where the config says nothing.
pub(crate) const DEFAULT_TOP: usize = 5;
pub(crate) const DEFAULT_PER_KIND: usize = 20;
/// Where a head is known that a mail has carried out which moves no window.
const ONE_OFF_ANCHOR_PLACE: &str = "one-off digest";

/// What a digest is made by, as the config has it.
pub(crate) struct DigestOptions {
    kinds: ActivityKinds,
    top: usize,
    per_kind: usize,
    pub templates: Templates,
}

impl DigestOptions {
    /// # Errors
    /// [`Exit::Config`] with the key.
    pub(crate) fn new(config: &config::DigestConfig) -> Result<Self, Failure> {
        let kinds = config.kinds.iter().map(|(name, query)| (name.as_str(), query.as_str()));
        let kinds = ActivityKinds::new(kinds).map_err(|(name, why)| {
            Failure::new(Exit::Config, format!("config: digest.kinds.{name:?}: {why}"))
        })?;
        Ok(Self {
            kinds,
            top: config.top.unwrap_or(DEFAULT_TOP),
            per_kind: config.per_kind.unwrap_or(DEFAULT_PER_KIND),
            templates: Templates::read(config.templates.as_deref(), config.subject.clone()),
        })
    }

    pub(crate) fn report_options(&self) -> ReportOptions<'_> {
        ReportOptions { kinds: &self.kinds, top: self.top, per_kind: self.per_kind }
    }
}

/// A digest that is to be sent.
pub(crate) struct DigestRequest<'a> {
    pub options: &'a DigestOptions,
    pub mail_settings: &'a MailSettings,
    pub render_options: RenderOptions<'a>,
    pub coverage: Coverage<'a>,
    /// Whether it moves no window; one of a query never does.
    pub one_off: bool,
    pub now: Timestamp,
    pub clock: &'a dyn Fn() -> Timestamp,
    pub recorded_by: &'a str,
}

impl DigestRequest<'_> {
    fn is_one_off(&self) -> bool {
        self.one_off || matches!(self.coverage, Coverage::OneOff(_))
    }
}

/// A run that has tried to send a mail.
pub(crate) struct DigestRunSummary {
    /// What it says on standard output.
    pub line: String,
    /// Why all is not well: the log cannot be read or written, the mail was refused, to some or
    /// altogether, or the templates are broken.
    pub error: Option<anyhow::Error>,
}

/// What opens the log, to write or else to read alone.
pub(crate) struct LogOpener<W, R> {
    pub open_to_write: W,
    pub open_to_read: R,
}

/// Makes the digest of a log, sends and records it. `pause` waits between the tries.
///
/// # Errors
/// [`Exit::TryAgain`] where another digest of the log is being made.
pub(crate) fn send(
    doors: LogOpener<impl FnOnce() -> Result<LocalLog>, impl FnOnce() -> Result<Log>>,
    job: &DigestRequest<'_>,
    pause: &mut dyn FnMut(Duration),
) -> Result<DigestRunSummary> {
    let PreparedDigest { log, claim, report, write_error: unwritten } = match prepare(doors, job) {
        Ok(Some(prepared)) => prepared,
        Ok(None) => {
            let what = "another digest of this log is being made";
            return Err(Failure::new(Exit::TryAgain, what).into());
        }
        Err(error) => return Ok(send_fallback_mail(error, job, pause)),
    };
    // What is in the way may be gone when the mail is out, so nothing is sure yet.
    let again =
        if job.is_one_off() { "" } else { ", and then the next digest has its events again" };
    let told = unwritten
        .as_ref()
        .map(|why| format!("This mail may go unrecorded{again}: {}.", failure::describe(why)));
    let setting = RenderOptions { write_failure_notice: told.as_deref(), ..job.render_options };
    let page = RenderedMail::render(&report, &setting, &job.options.templates);
    let fault = page.template_error.clone();
    let window = report.window.id();
    let unique = format!("{}.{}", job.now.as_nanos(), report.head.0);
    let mail = job.mail_settings.compose(page, window, &unique);
    let sent = deliver::deliver(
        &job.mail_settings.transport,
        &mail,
        &job.mail_settings.retry_policy,
        job.now,
        pause,
    );

    let outcome = to_outcome(job, &report, &sent, &mail.message_id);
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
            Some(unrecorded_error(error, id, job))
        }
        (Ok(delivery), Ok(())) => {
            let broken = |why| {
                let what =
                    format!("the built-in mail was sent, for the templates are broken: {why}");
                Failure::new(Exit::Config, what)
            };
            refusals_to_failure(&delivery).or_else(|| fault.map(broken)).map(Into::into)
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
    Ok(DigestRunSummary { line, error: trouble })
}

/// A report that is ready to be sent.
struct PreparedDigest {
    /// Absent where it is open to read alone.
    log: Option<LocalLog>,
    claim: Option<DigestLock>,
    report: DigestReport,
    /// Why the log could not be written.
    write_error: Option<anyhow::Error>,
}

/// Reads the report and notes the head that the mail will carry; `None` where another digest is
/// being made.
fn prepare(
    doors: LogOpener<impl FnOnce() -> Result<LocalLog>, impl FnOnce() -> Result<Log>>,
    job: &DigestRequest<'_>,
) -> Result<Option<PreparedDigest>> {
    let options = job.options.report_options();
    let mut log = match (doors.open_to_write)() {
        Ok(log) => log,
        Err(error) => {
            // That it cannot be written is the cause where it cannot be read either.
            let Ok(log) = (doors.open_to_read)() else { return Err(error) };
            let report = DigestReport::read(&log, job.coverage, job.now, &options)?;
            let unwritten = Some(error);
            return Ok(Some(PreparedDigest {
                log: None,
                claim: None,
                report,
                write_error: unwritten,
            }));
        }
    };
    let (claim, mut unwritten) = match log.try_lock_digest() {
        Ok(Some(claim)) => (Some(claim), None),
        Ok(None) => return Ok(None),
        Err(error) => (None, Some(error)),
    };
    let report = DigestReport::read(&log, job.coverage, job.now, &options)?;
    // An empty log has no event to hold against a head.
    if report.head.0.0 > 0
        && let Err(error) = anchor_head(&mut log, &report, job)
    {
        unwritten.get_or_insert(error);
    }
    Ok(Some(PreparedDigest { log: Some(log), claim, report, write_error: unwritten }))
}

/// Notes the head of a report: it is about to be known outside the log.
fn anchor_head(log: &mut LocalLog, report: &DigestReport, job: &DigestRequest<'_>) -> Result<()> {
    let place = if job.is_one_off() { ONE_OFF_ANCHOR_PLACE } else { ANCHOR_PLACE };
    let mut batch = log.begin()?;
    batch.record_anchor(report.head, job.now, place)?;
    batch.commit()
}

/// Says that a mail went out of which the log knows nothing.
fn unrecorded_error(
    error: anyhow::Error,
    message_id: &str,
    job: &DigestRequest<'_>,
) -> anyhow::Error {
    let exit = match error.downcast_ref::<Failure>() {
        Some(Failure { exit: exit @ (Exit::TryAgain | Exit::NoPermission), .. }) => *exit,
        _ => Exit::Io,
    };
    let id = text::escape(message_id);
    let what = format!("the digest was sent (message id {id}) and cannot be recorded");
    let failure = Failure::new(exit, what);
    error.context(match job.is_one_off() {
        true => failure,
        false => failure.hint("the next one covers it again"),
    })
}

/// Sends word of a log that cannot be read.
fn send_fallback_mail(
    error: anyhow::Error,
    job: &DigestRequest<'_>,
    pause: &mut dyn FnMut(Duration),
) -> DigestRunSummary {
    let reason = text::escape(&failure::describe(&error)).into_owned();
    let page =
        RenderedMail::fallback(job.render_options.site, &reason, job.now, job.render_options.zone);
    let unique = format!("{}.unread", job.now.as_nanos());
    let mail = job.mail_settings.compose(page, format!("unread,{}", job.now), &unique);
    let transport = &job.mail_settings.transport;
    let sent = deliver::deliver(transport, &mail, &job.mail_settings.retry_policy, job.now, pause);
    let said = match &sent {
        Ok(delivery) => format!(
            "a mail that says so to {} {} {}",
            job.mail_settings.recipients().join(","),
            transport.name(),
            delivery.status
        ),
        Err(failed) => format!("no mail that says so ({failed})"),
    };
    let at = Zone::utc().format(job.now.truncate_to_second(), TimeFormat::Rfc3339);
    DigestRunSummary {
        line: format!("{at} digest not made, {}: {reason}", text::escape(&said)),
        error: Some(match sent {
            Ok(_) => error,
            Err(failed) => error.context(format!("no digest, and no mail that says so ({failed})")),
        }),
    }
}

fn to_outcome(
    job: &DigestRequest<'_>,
    report: &DigestReport,
    sent: &Result<Delivery, DeliveryFailure>,
    message_id: &str,
) -> DigestOutcome {
    let window = &report.window;
    let base = DigestOutcome {
        sent: sent.is_ok(),
        since: window.since,
        until: window.until,
        through: window.through,
        events: report.event_count(),
        recipients: job.mail_settings.recipients(),
        transport: job.mail_settings.transport.name().to_owned(),
        status: None,
        error: None,
        message_id: None,
        attempts: 1,
        maybe_duplicate: false,
        one_off: job.is_one_off(),
    };
    match sent {
        Ok(delivery) => {
            let got_it = |address: &String| {
                !delivery.refused.iter().any(|refused| refused.address == *address)
            };
            DigestOutcome {
                recipients: base.recipients.into_iter().filter(got_it).collect(),
                status: Some(delivery.status.clone()),
                error: refusals_to_failure(delivery).map(|failure| failure.message),
                message_id: delivery.message_id.clone(),
                attempts: delivery.attempts.into(),
                maybe_duplicate: delivery.maybe_duplicate,
                ..base
            }
        }
        Err(failed) => DigestOutcome {
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
fn refusals_to_failure(delivery: &Delivery) -> Option<Failure> {
    let each =
        delivery.refused.iter().map(|refused| format!("{}: {}", refused.address, refused.reason));
    let each: Vec<_> = each.collect();
    let what = format!("the mail was not taken for {}", each.join("; "));
    (!each.is_empty()).then(|| Failure::new(Exit::Unavailable, what))
}
