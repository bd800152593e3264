//! Sends a mail: through SendGrid, SMTP or `sendmail`.
//!
//! [`deliver`] tries as often as the [`RetryPolicy`] say, waits between the tries, and returns what became
//! of the mail as data. Inputs are plain: which transport, whose key and how often comes from the
//! settings, what is in the mail from the page, and the outcome is recorded and told by the caller.
//!
//! A mail may arrive twice, when it was sent and no answer came; then the [`Delivery`] says so, and
//! both copies carry the window's id (`X-Activity-Window`). It never arrives other than as told: no
//! field can add a header or a recipient. No key or password is in an outcome, even if the service
//! echoes it.

mod mail;
mod sendgrid;
mod sendmail;
mod smtp;

#[cfg(test)]
mod fake_servers;
#[cfg(test)]
mod tests;

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::time::Duration;
use std::time::Instant;

use lettre::address::Address;

use crate::failure::Exit;
use crate::failure::Failure;
use crate::http::Timeouts;
use crate::retry;
use crate::text;
use crate::time::Timestamp;

use crate::digest::deliver::mail::EncodedMail;

pub(crate) use crate::digest::deliver::mail::Mail;
pub(crate) use crate::digest::deliver::mail::Mailbox;
pub(crate) use crate::digest::deliver::sendgrid::SendGrid;
pub(crate) use crate::digest::deliver::sendmail::Sendmail;
pub(crate) use crate::digest::deliver::smtp::Smtp;

/// The longest text of a service that is passed on, in columns.
const MAX_FOREIGN_COLUMNS: usize = 300;
const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// The way a mail goes.
#[derive(Clone, Debug)]
pub(crate) enum Transport {
    SendGrid(SendGrid),
    Smtp(Smtp),
    Sendmail(Sendmail),
}

impl Transport {
    /// Returns the name that the config has for it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::SendGrid(_) => "sendgrid",
            Self::Smtp(_) => "smtp",
            Self::Sendmail(_) => "sendmail",
        }
    }
}

/// How often a send is tried and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetryPolicy {
    /// Tries in all; none counts as one.
    pub attempts: u32,
    /// The wait before the second try, which doubles.
    pub first_wait: Duration,
    /// The time-outs of one try.
    pub timeouts: Timeouts,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 4,
            first_wait: Duration::from_secs(2),
            timeouts: Timeouts { connect: Duration::from_secs(10), total: Duration::from_secs(60) },
        }
    }
}

/// A mail that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// What the service answered: `202`, `250`, or the exit code of the command.
    pub status: String,
    /// The service's own id of the mail, or else the mail's.
    pub message_id: Option<String>,
    pub attempts: u32,
    /// Whether an earlier try may have sent it too.
    pub maybe_duplicate: bool,
    /// Recipients that the service did not take, each with its answer; never all of them.
    pub refused: Vec<RefusedRecipient>,
}

/// A recipient that did not get the mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefusedRecipient {
    pub address: String,
    pub reason: String,
}

/// A mail that was not sent, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeliveryFailure {
    /// [`Exit::TryAgain`], or [`Exit::Unavailable`] when another try is no use; [`Exit::Config`].
    pub exit: Exit,
    /// What the service answered, or why there was no answer: one line, escaped.
    pub error: String,
    /// The service's status, if it had one.
    pub status: Option<String>,
    pub attempts: u32,
    /// Whether a try got no answer, so that the mail may have gone out all the same.
    pub maybe_sent: bool,
}

impl fmt::Display for DeliveryFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)?;
        if self.attempts > 1 {
            write!(f, " ({} tries)", self.attempts)?;
        }
        if self.maybe_sent {
            f.write_str("; a try without an answer may have sent it")?;
        }
        Ok(())
    }
}

impl std::error::Error for DeliveryFailure {}

impl From<DeliveryFailure> for Failure {
    fn from(failed: DeliveryFailure) -> Self {
        Self::new(failed.exit, format!("the mail was not sent: {failed}"))
    }
}

/// Sends the mail. `now` is when that began; `pause` waits between the tries.
pub(crate) fn deliver(
    transport: &Transport,
    mail: &Mail,
    terms: &RetryPolicy,
    now: Timestamp,
    pause: &mut dyn FnMut(Duration),
) -> Result<Delivery, DeliveryFailure> {
    if mail.to.is_empty() {
        let failure = Failure::new(Exit::Config, "there is no recipient");
        return Err(DeliveryFailure::without_attempt(failure));
    }
    let begun = Instant::now();
    let seconds = || {
        let elapsed = i64::try_from(begun.elapsed().as_secs()).unwrap_or_default();
        now.as_nanos().div_euclid(NANOS_PER_SECOND).saturating_add(elapsed)
    };
    match transport {
        Transport::SendGrid(sendgrid) => {
            let request = sendgrid.request_body(mail);
            let client = sendgrid.client(terms.timeouts);
            deliver_with_retries(terms, &[], pause, &mut |_| {
                sendgrid.attempt(&client, &request, seconds())
            })
        }
        Transport::Smtp(smtp) => {
            let letter = EncodedMail::new(mail, now).map_err(DeliveryFailure::without_attempt)?;
            deliver_with_retries(terms, &letter.to, pause, &mut |to| {
                smtp.attempt(&letter, to, terms.timeouts)
            })
        }
        Transport::Sendmail(sendmail) => {
            let letter = EncodedMail::new(mail, now).map_err(DeliveryFailure::without_attempt)?;
            deliver_with_retries(terms, &[], pause, &mut |_| {
                sendmail.attempt(&letter, terms.timeouts.total)
            })
        }
    }
}

/// What became of one try.
#[derive(Debug)]
enum AttemptResult {
    Sent(AcceptedMail),
    /// Another try may help.
    TemporaryFailure(AttemptFailure),
    /// It would not.
    PermanentFailure(Exit, AttemptFailure),
}

impl AttemptResult {
    /// Says whom a refusal is about.
    fn for_recipient(self, address: &Address) -> Self {
        let about = |trouble: AttemptFailure| AttemptFailure {
            reason: format!("{address}: {}", trouble.reason),
            ..trouble
        };
        match self {
            Self::Sent(sent) => Self::Sent(sent),
            Self::TemporaryFailure(trouble) => Self::TemporaryFailure(about(trouble)),
            Self::PermanentFailure(exit, trouble) => Self::PermanentFailure(exit, about(trouble)),
        }
    }
}

#[derive(Debug, Default)]
struct AcceptedMail {
    status: String,
    message_id: Option<String>,
    /// Recipients turned away for good.
    refused: Vec<RefusedRecipient>,
    /// Recipients turned away for now: the next try is for them alone.
    deferred: Vec<(Address, String)>,
}

#[derive(Debug, Default)]
struct AttemptFailure {
    reason: String,
    status: Option<String>,
    /// The wait that the service asked for.
    retry_after: Option<Duration>,
    /// Whether the mail may have been taken.
    maybe_sent: bool,
}

impl DeliveryFailure {
    /// A mail that no try was made for.
    fn without_attempt(failure: Failure) -> Self {
        Self {
            exit: failure.exit,
            error: failure.message,
            status: None,
            attempts: 0,
            maybe_sent: false,
        }
    }
}

/// Tries until the mail is sent to everyone in `to`, or refused, or the tries are used up.
fn deliver_with_retries(
    terms: &RetryPolicy,
    to: &[Address],
    pause: &mut dyn FnMut(Duration),
    attempt: &mut dyn FnMut(&[Address]) -> AttemptResult,
) -> Result<Delivery, DeliveryFailure> {
    let mut to = to.to_vec();
    let mut taken: Option<Delivery> = None;
    let mut put_off: Vec<(Address, String)> = Vec::new();
    let mut unclear = false;
    for count in 1.. {
        let last = count >= terms.attempts;
        let (exit, trouble) = match attempt(&to) {
            AttemptResult::Sent(sent) => {
                let delivery = taken.get_or_insert_with(|| Delivery {
                    status: sent.status,
                    message_id: sent.message_id,
                    attempts: count,
                    maybe_duplicate: unclear,
                    refused: Vec::new(),
                });
                delivery.attempts = count;
                delivery.maybe_duplicate = unclear;
                delivery.refused.extend(sent.refused);
                to = sent.deferred.iter().map(|(address, _)| address.clone()).collect();
                put_off = sent.deferred;
                (None, AttemptFailure::default())
            }
            AttemptResult::TemporaryFailure(trouble) => {
                unclear |= trouble.maybe_sent;
                (last.then_some(Exit::TryAgain), trouble)
            }
            AttemptResult::PermanentFailure(exit, trouble) => (Some(exit), trouble),
        };
        if let Some(mut delivery) = taken.take_if(|_| put_off.is_empty() || last || exit.is_some())
        {
            delivery.refused.extend(put_off.into_iter().map(|(address, why)| RefusedRecipient {
                address: address.to_string(),
                reason: sanitize(&why),
            }));
            return Ok(delivery);
        }
        if let Some(exit) = exit {
            return Err(DeliveryFailure {
                exit,
                error: trouble.reason,
                status: trouble.status,
                attempts: count,
                maybe_sent: unclear,
            });
        }
        let noise = RandomState::new().hash_one(count);
        pause(
            trouble.retry_after.unwrap_or_else(|| retry::backoff(terms.first_wait, count, noise)),
        );
    }
    unreachable!("the last try returns")
}

/// Foreign text as it may stand in a line: escaped and cut.
fn sanitize(foreign: &str) -> String {
    text::truncate(&text::escape(foreign.trim()), MAX_FOREIGN_COLUMNS).into_owned()
}
