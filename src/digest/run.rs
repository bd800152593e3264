//! One run of the digest: reads the report, sends it, and records the outcome.
//!
//! A mail goes out even where the log or the templates are broken. The head that a mail carries is
//! recorded before the mail is sent, and the outcome after it: after a crash in between, the next
//! digest covers the window again and says so. Where the log can be read and not written, the report
//! is sent all the same, without a head and with the reason. Incomplete settings are refused before
//! anything is read, by [`MailSettings`].
//!
//! The digest of a central store is recorded in the log of this host, and is not made without that:
//! then the mail says so and nothing of the store.
//!
//! ## Locking
//! A run holds the log's digest lock from before the report is read until the outcome is recorded,
//! so no two runs send the same window. Digests of central stores have a lock of their own.

use std::time::Duration;

use anyhow::Result;

use crate::config;
use crate::digest::deliver::Delivery;
use crate::digest::deliver::DeliveryFailure;
use crate::digest::kinds::ActivityKinds;
use crate::digest::logs;
use crate::digest::logs::DigestLogs;
use crate::digest::mail_context::MailContext;
use crate::digest::mail_settings::MailSettings;
use crate::digest::outcome::DigestOutcome;
use crate::digest::outcome::RecordedOutcome;
use crate::digest::reader;
use crate::digest::rendered_mail::RenderedMail;
use crate::digest::rendered_mail::Templates;
use crate::digest::report::Coverage;
use crate::digest::report::DigestReport;
use crate::digest::report::ReportOptions;
use crate::failure;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::store::DigestLock;
use crate::store::DigestSubject;
use crate::store::LocalLog;
use crate::store::Log;
use crate::store::Stamp;
use crate::text;
use crate::time::Span;
use crate::time::TimeFormat;
use crate::time::Timestamp;
use crate::time::Zone;

/// The number of people named where the config sets none.
pub(crate) const DEFAULT_TOP: usize = 5;
/// The number of events listed under one kind where the config sets none.
pub(crate) const DEFAULT_PER_KIND: usize = 20;
/// The number of events listed in all where the config sets none.
pub(crate) const DEFAULT_TOTAL: usize = 100;
/// The place under which the log keeps the head that a one-off mail carries. Such a head begins no
/// window.
const ONE_OFF_ANCHOR_PLACE: &str = "one-off digest";

/// The contents and the form of digests, as the config sets them.
pub(crate) struct DigestOptions {
    kinds: ActivityKinds,
    top: usize,
    per_kind: usize,
    total: usize,
    pub templates: Templates,
}

impl DigestOptions {
    /// # Errors
    /// [`Exit::Config`] with the name of a kind whose query does not parse.
    pub(crate) fn new(config: &config::DigestConfig) -> Result<Self, Failure> {
        let kinds = config.kinds.iter().map(|(name, query)| (name.as_str(), query.as_str()));
        let kinds = ActivityKinds::new(kinds).map_err(|(name, error)| {
            Failure::new(Exit::Config, format!("config: digest.kinds.{name:?}: {error}"))
        })?;
        Ok(Self {
            kinds,
            top: config.top.unwrap_or(DEFAULT_TOP),
            per_kind: config.per_kind.unwrap_or(DEFAULT_PER_KIND),
            total: config.total.unwrap_or(DEFAULT_TOTAL),
            templates: Templates::read(config.templates.as_deref(), config.subject.clone()),
        })
    }

    pub(crate) fn report_options(&self) -> ReportOptions<'_> {
        ReportOptions {
            kinds: &self.kinds,
            top: self.top,
            per_kind: self.per_kind,
            total: self.total,
        }
    }
}

/// A run so soon after the last digest, with nothing new, was started twice by mistake.
const REPEAT_WINDOW: Span = Span::from_seconds(60);

/// What a digest is sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DigestPurpose {
    /// It is the next one. A run right after the last one, with nothing new, sends none.
    Regular,
    /// It is the next one, whenever the last one was sent.
    RegularNow,
    /// It goes to somebody else. The next window begins where it would without this digest.
    Copy,
}

/// A digest to be sent.
pub(crate) struct DigestRequest<'a> {
    pub options: &'a DigestOptions,
    pub mail_settings: &'a MailSettings,
    pub mail_context: MailContext<'a>,
    pub coverage: Coverage<'a>,
    /// A digest of a query is always one-off.
    pub purpose: DigestPurpose,
    pub now: Timestamp,
    pub clock: &'a dyn Fn() -> Timestamp,
    pub recorded_by: &'a str,
}

impl DigestRequest<'_> {
    fn is_one_off(&self) -> bool {
        self.purpose == DigestPurpose::Copy || matches!(self.coverage, Coverage::OneOff(_))
    }
}

/// The result of a run that tried to send a mail.
pub(crate) struct DigestRunSummary {
    /// The line for standard output.
    pub line: String,
    /// The error of a log that could not be read or written, of a mail that was refused to some or
    /// to all recipients, or of broken templates.
    pub error: Option<anyhow::Error>,
}

/// The ways to open the log that records digests, and the store that they tell of.
pub(crate) struct DigestLogOpener<'a> {
    pub open_to_write: &'a dyn Fn() -> Result<LocalLog>,
    /// Used where it cannot be opened to write.
    pub open_to_read: &'a dyn Fn() -> Result<Log>,
    pub store: Option<DigestStore<'a>>,
}

/// A central store that a digest tells of.
pub(crate) struct DigestStore<'a> {
    /// The name under which its digests are recorded.
    pub name: &'a str,
    pub open: &'a dyn Fn() -> Result<Log>,
}

/// Makes the digest of a log, sends it and records it. `pause` waits between the attempts.
///
/// # Errors
/// [`Exit::TryAgain`] where another run holds the digest lock.
pub(crate) fn send(
    opener: &DigestLogOpener<'_>,
    request: &DigestRequest<'_>,
    pause: &mut dyn FnMut(Duration),
) -> Result<DigestRunSummary> {
    match prepare(opener, request) {
        Ok(Preparation::Ready(digest)) => Ok(digest.send_and_record(request, pause)),
        Ok(Preparation::NothingNew(sent_at)) => {
            let [at, sent_at] = [request.now, sent_at]
                .map(|at| Zone::utc().format(at.truncate_to_second(), TimeFormat::Rfc3339));
            let line = format!(
                "{at} digest not sent: nothing is new since the one sent {sent_at}; --now sends one"
            );
            Ok(DigestRunSummary { line, error: None })
        }
        Ok(Preparation::Busy) => {
            let message = match &opener.store {
                Some(_) => "another digest of a central store is being made",
                None => "another digest of this log is being made",
            };
            Err(Failure::new(Exit::TryAgain, message).into())
        }
        Err(error) => Ok(send_fallback_mail(error, request, pause)),
    }
}

/// How the preparation of a digest ended.
enum Preparation {
    Ready(Box<PreparedDigest>),
    /// The digest that was sent a moment ago, at this time, has everything.
    NothingNew(Timestamp),
    /// Another run holds the digest lock.
    Busy,
}

/// A report that is ready to be sent.
struct PreparedDigest {
    /// Absent where the log is open only to read.
    log: Option<LocalLog>,
    /// Held until the outcome is recorded; absent where the log cannot be written.
    lock: Option<DigestLock>,
    report: DigestReport,
    /// Why the log cannot be written.
    write_error: Option<anyhow::Error>,
}

/// Reads the report and records the head that the mail will carry.
fn prepare(opener: &DigestLogOpener<'_>, request: &DigestRequest<'_>) -> Result<Preparation> {
    if let Some(store) = &opener.store {
        return prepare_of_store((opener.open_to_write)()?, store, request);
    }
    let read = |log: &Log| read(DigestLogs::of_host(log), request);
    let mut log = match (opener.open_to_write)() {
        Ok(log) => log,
        Err(error) => {
            // Where it cannot be read either, the first error names the cause.
            let Ok(log) = (opener.open_to_read)() else { return Err(error) };
            let report = read(&log)?;
            let write_error = Some(error);
            let digest = PreparedDigest { log: None, lock: None, report, write_error };
            return Ok(Preparation::Ready(Box::new(digest)));
        }
    };
    let (lock, mut write_error) = match log.try_lock_digest(DigestSubject::Host) {
        Ok(Some(lock)) => (Some(lock), None),
        Ok(None) => return Ok(Preparation::Busy),
        Err(error) => (None, Some(error)),
    };
    if let Some(last) = just_sent(DigestLogs::of_host(&log), request)? {
        return Ok(Preparation::NothingNew(last.at));
    }
    let report = read(&log)?;
    if let Err(error) = record_head(&mut log, &report, request) {
        write_error.get_or_insert(error);
    }
    let digest = PreparedDigest { log: Some(log), lock, report, write_error };
    Ok(Preparation::Ready(Box::new(digest)))
}

/// Reads the report of a central store, and records in the log of this host that it is about to be sent.
fn prepare_of_store(
    mut log: LocalLog,
    store: &DigestStore<'_>,
    request: &DigestRequest<'_>,
) -> Result<Preparation> {
    let Some(lock) = log.try_lock_digest(DigestSubject::Store)? else {
        return Ok(Preparation::Busy);
    };
    let events = (store.open)()?;
    let logs = DigestLogs { events: &events, records: Some(&log), store: Some(store.name) };
    if let Some(last) = just_sent(logs, request)? {
        return Ok(Preparation::NothingNew(last.at));
    }
    let report = read(logs, request)?;
    record_head(&mut log, &report, request)?;
    let digest = PreparedDigest { log: Some(log), lock: Some(lock), report, write_error: None };
    Ok(Preparation::Ready(Box::new(digest)))
}

fn read(logs: DigestLogs<'_>, request: &DigestRequest<'_>) -> Result<DigestReport> {
    let options = request.options.report_options();
    reader::read_report(logs, request.coverage, request.now, &options)
}

/// Returns the last digest, if it was sent a moment ago and nothing was recorded since; for a digest that
/// goes out whenever the last one did, nothing.
fn just_sent(logs: DigestLogs<'_>, request: &DigestRequest<'_>) -> Result<Option<RecordedOutcome>> {
    if request.is_one_off() || request.purpose != DigestPurpose::Regular {
        return Ok(None);
    }
    let Some(last) = logs.history()?.pop() else { return Ok(None) };
    let is_nothing_new = match logs.store {
        // What the log records meanwhile is about other things.
        Some(_) => !last.outcome.through.is_before(&logs::arrived(logs)?),
        None => logs.events.head()?.0 == last.id,
    };
    let now = request.now;
    Ok(Some(last).filter(|last| {
        is_nothing_new
            && last.outcome.sent
            && !last.outcome.one_off
            && last.at <= now.saturating_add(REPEAT_WINDOW)
            && now <= last.at.saturating_add(REPEAT_WINDOW)
    }))
}

/// Records that the head of a report is about to be known outside the log. An empty log has no head.
fn record_head(
    log: &mut LocalLog,
    report: &DigestReport,
    request: &DigestRequest<'_>,
) -> Result<()> {
    if report.head.0.0 == 0 {
        return Ok(());
    }
    let place = match request.is_one_off() {
        true => ONE_OFF_ANCHOR_PLACE.to_owned(),
        false => logs::anchor_place(report.store.as_deref()),
    };
    let mut batch = log.begin()?;
    batch.record_anchor(report.head, request.now, &place)?;
    batch.commit()
}

impl PreparedDigest {
    fn send_and_record(
        self,
        request: &DigestRequest<'_>,
        pause: &mut dyn FnMut(Duration),
    ) -> DigestRunSummary {
        let rendered = self.render(request);
        let template_error = rendered.template_error.clone();
        let unique = format!("{}.{}", request.now.as_nanos(), self.report.head.0);
        let mail = request.mail_settings.compose(rendered, self.report.window.id(), &unique);
        let sent = request.mail_settings.send(&mail, request.now, pause);

        let outcome = to_outcome(request, &self.report, &sent, &mail.message_id);
        let recorded = self.record(&outcome, request);
        let mut line = outcome.run_line(request.now);
        if recorded.is_err() {
            line.push_str(" not recorded");
        }
        let error = match (sent, recorded) {
            (Ok(delivery), Ok(())) => refusals_to_failure(&delivery)
                .or_else(|| template_error.as_deref().map(template_failure))
                .map(Into::into),
            (Ok(delivery), Err(error)) => {
                let id = delivery.message_id.as_deref().unwrap_or(&mail.message_id);
                Some(unrecorded_error(error, id, request))
            }
            (Err(failed), Ok(())) => Some(Failure::from(failed).into()),
            (Err(failed), Err(error)) => {
                let failure = Failure::from(failed);
                let message = format!("{}, which cannot be recorded", failure.message);
                Some(error.context(Failure { message, ..failure }))
            }
        };
        DigestRunSummary { line, error }
    }

    /// Renders the report. Where the log could not be written so far, the mail says so.
    fn render(&self, request: &DigestRequest<'_>) -> RenderedMail {
        let consequence = match request.is_one_off() {
            true => "",
            false => ", and then the next digest has its events again",
        };
        // The log may be writable again by the time the mail is out, so the sentence says "may".
        let notice = self.write_error.as_ref().map(|error| {
            format!("This mail may go unrecorded{consequence}: {}.", failure::describe(error))
        });
        let options =
            MailContext { write_failure_notice: notice.as_deref(), ..request.mail_context };
        RenderedMail::render(&self.report, &options, &request.options.templates)
    }

    /// Records the outcome and releases the lock.
    fn record(self, outcome: &DigestOutcome, request: &DigestRequest<'_>) -> Result<()> {
        let stamp = Stamp { clock: request.clock, recorded_by: request.recorded_by };
        let recorded = match self.log {
            // A log that could not be written before the mail may be writable now.
            Some(mut log) => log.append(&[outcome.to_event()], &stamp).map(drop),
            None => Err(self.write_error.expect("a log open only to read has a write error")),
        };
        drop(self.lock);
        recorded
    }
}

/// Returns the failure of a digest that was sent by the built-in templates.
fn template_failure(reason: &str) -> Failure {
    let message = format!("the built-in mail was sent, for the templates are broken: {reason}");
    Failure::new(Exit::Config, message)
}

/// Returns the error of a mail that was sent and could not be recorded.
fn unrecorded_error(
    error: anyhow::Error,
    message_id: &str,
    request: &DigestRequest<'_>,
) -> anyhow::Error {
    let exit = match error.downcast_ref::<Failure>() {
        Some(Failure { exit: exit @ (Exit::TryAgain | Exit::NoPermission), .. }) => *exit,
        _ => Exit::Io,
    };
    let id = text::escape(message_id);
    let message = format!("the digest was sent (message id {id}) and cannot be recorded");
    let failure = Failure::new(exit, message);
    error.context(match request.is_one_off() {
        true => failure,
        false => failure.hint("the next one covers it again"),
    })
}

/// Sends a mail that says that the log cannot be read.
fn send_fallback_mail(
    error: anyhow::Error,
    request: &DigestRequest<'_>,
    pause: &mut dyn FnMut(Duration),
) -> DigestRunSummary {
    let MailContext { site, zone, .. } = request.mail_context;
    let settings = request.mail_settings;
    let reason = text::escape(&failure::describe(&error)).into_owned();
    let rendered = RenderedMail::fallback(site, &reason, request.now, zone);
    let unique = format!("{}.unread", request.now.as_nanos());
    let mail = settings.compose(rendered, format!("unread,{}", request.now), &unique);
    let sent = settings.send(&mail, request.now, pause);
    let result = match &sent {
        Ok(delivery) => format!(
            "a mail that says so to {} {} {}",
            settings.recipients().join(","),
            settings.transport.name(),
            delivery.status
        ),
        Err(failed) => format!("no mail that says so ({failed})"),
    };
    let at = Zone::utc().format(request.now.truncate_to_second(), TimeFormat::Rfc3339);
    DigestRunSummary {
        line: format!("{at} digest not made, {}: {reason}", text::escape(&result)),
        error: Some(match sent {
            Ok(_) => error,
            Err(failed) => error.context(format!("no digest, and no mail that says so ({failed})")),
        }),
    }
}

/// Returns the outcome of a digest as the log records it.
fn to_outcome(
    request: &DigestRequest<'_>,
    report: &DigestReport,
    sent: &Result<Delivery, DeliveryFailure>,
    message_id: &str,
) -> DigestOutcome {
    let window = &report.window;
    let base = DigestOutcome {
        sent: sent.is_ok(),
        since: window.since,
        until: window.until,
        through: window.through.clone(),
        head: report.head.0,
        store: report.store.clone(),
        events: report.event_count(),
        recipients: request.mail_settings.recipients(),
        transport: request.mail_settings.transport.name().to_owned(),
        status: None,
        error: None,
        message_id: None,
        attempts: 1,
        maybe_duplicate: false,
        one_off: request.is_one_off(),
    };
    match sent {
        Ok(delivery) => {
            let has_received = |address: &String| {
                !delivery.refused.iter().any(|refused| refused.address == *address)
            };
            DigestOutcome {
                recipients: base.recipients.into_iter().filter(has_received).collect(),
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
            // The mail may have arrived all the same.
            message_id: failed.maybe_sent.then(|| message_id.to_owned()),
            attempts: failed.attempts.into(),
            maybe_duplicate: failed.maybe_sent,
            ..base
        },
    }
}

/// Returns the failure of a mail that some recipients were refused, if there are such.
fn refusals_to_failure(delivery: &Delivery) -> Option<Failure> {
    if delivery.refused.is_empty() {
        return None;
    }
    let refusals: Vec<_> = delivery
        .refused
        .iter()
        .map(|refused| format!("{}: {}", refused.address, refused.reason))
        .collect();
    let message = format!("the mail was not taken for {}", refusals.join("; "));
    Some(Failure::new(Exit::Unavailable, message))
}
