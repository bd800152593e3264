//! Sends a mail: through SendGrid, SMTP or `sendmail`.
//!
//! [`deliver`] makes as many attempts as the [`RetryPolicy`] allows, waits between them, and returns the
//! result as data. The settings decide the transport, the key and the policy; the caller records and
//! reports the result.
//!
//! A mail may arrive twice, where it was sent and no answer came. Then the [`Delivery`] says so, and
//! both copies carry the id of the window (`X-Activity-Window`). No field of a mail can add a header or
//! a recipient. No result contains a key or a password, even if the service echoes it.

pub(crate) mod command;
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

/// The service or command that takes a mail.
#[derive(Clone, Debug)]
pub(crate) enum Transport {
    SendGrid(SendGrid),
    Smtp(Smtp),
    Sendmail(Sendmail),
}

impl Transport {
    /// Returns the name of the transport in the config.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::SendGrid(_) => "sendgrid",
            Self::Smtp(_) => "smtp",
            Self::Sendmail(_) => "sendmail",
        }
    }
}

/// The limits on the attempts to send a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetryPolicy {
    /// The number of attempts in all; 0 counts as 1.
    pub attempts: u32,
    /// The wait before the second attempt. It doubles from attempt to attempt.
    pub first_wait: Duration,
    /// The time-outs of one attempt.
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
    /// The status of the service: `202`, `250`, or the exit code of the command.
    pub status: String,
    /// The id that the service gave the mail, or else the id of the mail itself.
    pub message_id: Option<String>,
    pub attempts: u32,
    /// Whether an earlier attempt may have sent it too.
    pub maybe_duplicate: bool,
    /// The recipients that the service refused, each with its reason; never all of them.
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
    /// [`Exit::TryAgain`] where another attempt may help; [`Exit::Unavailable`] or [`Exit::Config`]
    /// where it would not.
    pub exit: Exit,
    /// The answer of the service, or why there is none: one line, escaped.
    pub error: String,
    /// The status of the service, if it answered.
    pub status: Option<String>,
    pub attempts: u32,
    /// Whether an attempt got no answer, so that the mail may have been sent all the same.
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

/// Sends the mail. `now` is the beginning; `pause` waits between the attempts.
///
/// # Errors
/// The mail was not sent, as far as is known.
pub(crate) fn deliver(
    transport: &Transport,
    mail: &Mail,
    policy: &RetryPolicy,
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
            let body = sendgrid.request_body(mail);
            let client = sendgrid.client(policy.timeouts);
            deliver_with_retries(policy, &[], pause, &mut |_| {
                sendgrid.attempt(&client, &body, seconds())
            })
        }
        Transport::Smtp(smtp) => {
            let encoded = EncodedMail::new(mail, now).map_err(DeliveryFailure::without_attempt)?;
            deliver_with_retries(policy, &encoded.to, pause, &mut |to| {
                smtp.attempt(&encoded, to, policy.timeouts)
            })
        }
        Transport::Sendmail(sendmail) => {
            let encoded = EncodedMail::new(mail, now).map_err(DeliveryFailure::without_attempt)?;
            deliver_with_retries(policy, &[], pause, &mut |_| {
                sendmail.attempt(&encoded, policy.timeouts.total)
            })
        }
    }
}

/// The result of one attempt.
#[derive(Debug)]
enum AttemptResult {
    Sent(AcceptedMail),
    /// Another attempt may help.
    TemporaryFailure(AttemptFailure),
    /// Another attempt would not help.
    PermanentFailure(Exit, AttemptFailure),
}

impl AttemptResult {
    /// Puts the recipient in front of the reason.
    fn for_recipient(self, address: &Address) -> Self {
        let with_address = |failure: AttemptFailure| AttemptFailure {
            reason: format!("{address}: {}", failure.reason),
            ..failure
        };
        match self {
            Self::Sent(sent) => Self::Sent(sent),
            Self::TemporaryFailure(failure) => Self::TemporaryFailure(with_address(failure)),
            Self::PermanentFailure(exit, failure) => {
                Self::PermanentFailure(exit, with_address(failure))
            }
        }
    }
}

#[derive(Debug, Default)]
struct AcceptedMail {
    status: String,
    message_id: Option<String>,
    /// The recipients that are refused for good.
    refused: Vec<RefusedRecipient>,
    /// The recipients that are refused for now. The next attempt is for them alone.
    deferred: Vec<(Address, String)>,
}

#[derive(Debug, Default)]
struct AttemptFailure {
    reason: String,
    status: Option<String>,
    /// The wait that the service asks for.
    retry_after: Option<Duration>,
    /// Whether the service may have taken the mail.
    maybe_sent: bool,
}

impl DeliveryFailure {
    /// Returns the failure of a mail for which no attempt was made.
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

/// Makes attempts until the mail is sent to everyone in `to`, or is refused, or no attempt is left.
fn deliver_with_retries(
    policy: &RetryPolicy,
    to: &[Address],
    pause: &mut dyn FnMut(Duration),
    attempt: &mut dyn FnMut(&[Address]) -> AttemptResult,
) -> Result<Delivery, DeliveryFailure> {
    let mut to = to.to_vec();
    let mut accepted: Option<Delivery> = None;
    let mut deferred: Vec<(Address, String)> = Vec::new();
    let mut maybe_sent = false;
    for count in 1.. {
        let last = count >= policy.attempts;
        let (exit, failure) = match attempt(&to) {
            AttemptResult::Sent(sent) => {
                let delivery = accepted.get_or_insert_with(|| Delivery {
                    status: sent.status,
                    message_id: sent.message_id,
                    attempts: count,
                    maybe_duplicate: maybe_sent,
                    refused: Vec::new(),
                });
                delivery.attempts = count;
                delivery.maybe_duplicate = maybe_sent;
                delivery.refused.extend(sent.refused);
                to = sent.deferred.iter().map(|(address, _)| address.clone()).collect();
                deferred = sent.deferred;
                (None, AttemptFailure::default())
            }
            AttemptResult::TemporaryFailure(failure) => {
                maybe_sent |= failure.maybe_sent;
                (last.then_some(Exit::TryAgain), failure)
            }
            AttemptResult::PermanentFailure(exit, failure) => (Some(exit), failure),
        };
        if let Some(mut delivery) =
            accepted.take_if(|_| deferred.is_empty() || last || exit.is_some())
        {
            delivery.refused.extend(deferred.into_iter().map(|(address, reason)| {
                RefusedRecipient { address: address.to_string(), reason: sanitize(&reason) }
            }));
            return Ok(delivery);
        }
        if let Some(exit) = exit {
            return Err(DeliveryFailure {
                exit,
                error: failure.reason,
                status: failure.status,
                attempts: count,
                maybe_sent,
            });
        }
        let noise = RandomState::new().hash_one(count);
        pause(
            failure.retry_after.unwrap_or_else(|| retry::backoff(policy.first_wait, count, noise)),
        );
    }
    unreachable!("the last try returns")
}

/// Returns text of a service as a part of a line: escaped and cut.
fn sanitize(text: &str) -> String {
    text::truncate(&text::escape(text.trim()), MAX_FOREIGN_COLUMNS).into_owned()
}
