//! Alerts: mirrors whose destination is a person. One message tells all that waits.

mod message;
pub(crate) mod silence;

use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Result;

use crate::access::PlatformWork;
use crate::access::Scope;
use crate::codec::jsonl;
use crate::config::mirror::AlertChannel;
use crate::config::mirror::AlertConfig;
use crate::config::mirror::WebhookConfig;
use crate::digest::deliver::command;
use crate::digest::deliver::command::CommandEnd;
use crate::digest::mail_settings::MailSettings;
use crate::digest::rendered_mail::RenderedMail;
use crate::event::EventId;
use crate::failure;
use crate::lent_rights::FileRights;
use crate::mirror::alert::message::AlertMessage;
use crate::mirror::alert::message::AlertStyle;
use crate::mirror::feed::Selection;
use crate::mirror::sink::FailureKind;
use crate::mirror::sink::OutgoingEvent;
use crate::mirror::sink::RefusedEvent;
use crate::mirror::sink::Sink;
use crate::mirror::sink::SinkContext;
use crate::mirror::sink::SinkFailure;
use crate::mirror::sinks::slack;
use crate::mirror::sinks::slack::SlackWebhook;
use crate::query::Query;
use crate::store::Log;
use crate::store::mirror::BatchBounds;
use crate::text;
use crate::time::Span;
use crate::time::Timestamp;
use crate::time::Zone;

/// The most events of one message. More than these wait for the next one.
const DEFAULT_BATCH: usize = 10_000;

/// The time between two messages of an alert that sets none: cron runs once a minute.
const USUAL_INTERVAL: Span = Span::from_seconds(60);

/// The most events that a preview looks at, and the bytes of their texts.
const MAX_PREVIEWED: usize = 100_000;
const MAX_PREVIEWED_BYTES: usize = 64 << 20;

/// Tells events to people.
pub(super) struct AlertSink {
    name: String,
    site: String,
    system_label: String,
    zone: Zone,
    clock: fn() -> Timestamp,
    timeout: Duration,
    channel: MessageChannel,
}

/// The way of a message, ready to be used.
enum MessageChannel {
    Mail(MailSettings),
    Slack(SlackWebhook),
    Command(Vec<String>, FileRights),
}

impl AlertSink {
    /// `mail` makes the settings of mails to some addresses.
    ///
    /// # Errors
    /// Those of `mail`, and of an address.
    pub(super) fn new(
        config: &AlertConfig,
        (site, system_label): (&str, &str),
        context: &SinkContext<'_>,
        mail: impl FnOnce(&[String]) -> Result<MailSettings>,
    ) -> Result<Self> {
        let channel = match &config.channel {
            AlertChannel::Mail(to) => MessageChannel::Mail(mail(to)?.with_one_attempt()),
            AlertChannel::Slack(url) => {
                let webhook = WebhookConfig { url: url.clone(), headers: Vec::new() };
                MessageChannel::Slack(SlackWebhook::new("slack", &webhook, *context)?)
            }
            AlertChannel::Command(command) => {
                MessageChannel::Command(command.clone(), context.rights.clone())
            }
        };
        Ok(Self {
            name: config.name.clone(),
            site: site.to_owned(),
            system_label: system_label.to_owned(),
            zone: *context.zone,
            clock: context.clock,
            timeout: context.timeout,
            channel,
        })
    }

    fn write(&self, batch: &[OutgoingEvent]) -> AlertMessage {
        let style = AlertStyle {
            site: &self.site,
            alert: &self.name,
            zone: &self.zone,
            system_label: &self.system_label,
        };
        AlertMessage::write(batch.iter().map(|outgoing| &outgoing.event), &style)
    }

    fn send_mail(
        &self,
        settings: &MailSettings,
        batch: &[OutgoingEvent],
    ) -> Result<(), SinkFailure> {
        let message = self.write(batch);
        let rendered = RenderedMail {
            text: message.to_text(),
            subject: message.subject,
            html: None,
            template_error: None,
        };
        // A mail that is sent again has the same ids.
        let id =
            |outgoing: Option<&OutgoingEvent>| outgoing.map_or(0, |outgoing| outgoing.event.id.0);
        let (first, last) = (id(batch.first()), id(batch.last()));
        let at = batch.first().map_or(0, |outgoing| outgoing.event.recorded_at.as_nanos());
        let mail = settings.compose(
            rendered,
            format!("alert,{first}-{last}"),
            &format!("{at}.{first}-{last}.alert"),
        );
        let sent = settings.send(&mail, (self.clock)(), &mut |_| {});
        sent.map(drop).map_err(|error| {
            let mut failure = SinkFailure::unavailable(error.error);
            failure.status = error.status.and_then(|status| status.parse().ok());
            failure
        })
    }

    fn post_to_slack(
        &self,
        webhook: &SlackWebhook,
        batch: &[OutgoingEvent],
    ) -> Result<(), SinkFailure> {
        // One post: where the second of several failed, the first would come again. People are told late
        // rather than never: an alert has no dead letters.
        let text = self.write(batch).to_short_text(slack::MAX_MESSAGE_CHARS, slack::escape_lines);
        webhook
            .post(&text)
            .map_err(|failure| SinkFailure { kind: FailureKind::Unavailable, ..failure })
    }

    fn run_command(
        &self,
        line: &[String],
        rights: &FileRights,
        batch: &[OutgoingEvent],
    ) -> Result<(), SinkFailure> {
        let Some((program, arguments)) = line.split_first() else {
            return Err(SinkFailure::unavailable("its command is empty"));
        };
        let mut lines = String::new();
        for outgoing in batch {
            jsonl::encode(&outgoing.event, &mut lines);
            lines.push('\n');
        }
        let name = text::escape(program);
        let reason = match command::run(program, arguments, lines.as_bytes(), self.timeout, rights)
        {
            Ok((CommandEnd::Exited(status), _)) if status.success() => return Ok(()),
            Ok((CommandEnd::Exited(status), errors)) => describe_end(status, &errors),
            Ok((CommandEnd::TimedOut, _)) => {
                format!("did not end within {} s", self.timeout.as_secs())
            }
            Err(error) => format!("cannot be run: {}", failure::os_error_message(&error)),
        };
        Err(SinkFailure::unavailable(format!("{name} {reason}")))
    }
}

impl Sink for AlertSink {
    fn default_batch(&self) -> usize {
        DEFAULT_BATCH
    }

    fn deliver(&mut self, batch: &[OutgoingEvent]) -> Result<Vec<RefusedEvent>, SinkFailure> {
        match &self.channel {
            MessageChannel::Mail(settings) => self.send_mail(settings, batch)?,
            MessageChannel::Slack(webhook) => self.post_to_slack(webhook, batch)?,
            MessageChannel::Command(line, rights) => self.run_command(line, rights, batch)?,
        }
        Ok(Vec::new())
    }
}

/// Says how a command ended that failed: its exit code, and the first line of its errors.
fn describe_end(status: ExitStatus, errors: &str) -> String {
    let end = match status.code() {
        Some(code) => format!("exited with {code}"),
        None => "was killed by a signal".to_owned(),
    };
    match errors.lines().find(|line| !line.trim().is_empty()) {
        Some(line) => format!("{end}: {}", text::truncate(&text::escape(line.trim()), 200)),
        None => end,
    }
}

/// What an alert would have sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AlertPreview {
    pub events: u64,
    pub messages: u64,
    /// All events as one message would tell them.
    pub text: String,
}

/// Returns what an alert would have sent about the events that a further query matches.
///
/// # Errors
/// The log cannot be read; the query of the alert is wrong.
pub(crate) fn preview(
    log: &Log,
    config: &AlertConfig,
    narrowed: &Query,
    zone: &Zone,
    system_label: &str,
) -> Result<AlertPreview> {
    let query = Selection::of_alert(config)?.query.and(narrowed.clone());
    let bounds = BatchBounds {
        after: EventId(0),
        up_to: EventId(i64::MAX),
        events: MAX_PREVIEWED,
        bytes: MAX_PREVIEWED_BYTES,
    };
    let events = log.events_within(&Scope::of(PlatformWork::Mirror), &query, &bounds)?;
    let every = config.every.unwrap_or(USUAL_INTERVAL);
    let style = AlertStyle { site: "", alert: &config.name, zone, system_label };
    Ok(AlertPreview {
        events: events.len() as u64,
        messages: count_messages(events.iter().map(|event| event.recorded_at), every),
        text: AlertMessage::write(events.iter(), &style).to_text(),
    })
}

/// Counts the messages about events at these times: the first goes at once, then one after each
/// interval carries what came meanwhile.
fn count_messages(times: impl Iterator<Item = Timestamp>, every: Span) -> u64 {
    let mut sent: Option<Timestamp> = None;
    let mut count = 0;
    for at in times {
        if sent.is_none_or(|sent| at > sent) {
            count += 1;
            sent = Some(sent.map_or(at, |sent| at.max(sent.saturating_add(every))));
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_spaced() {
        let at = |seconds: i64| Timestamp::from_nanos(seconds * 1_000_000_000);
        let count = |seconds: &[i64]| {
            count_messages(seconds.iter().map(|s| at(*s)), Span::from_seconds(300))
        };
        assert_eq!(count(&[]), 0);
        assert_eq!(count(&[7]), 1);
        let burst: Vec<i64> = (0..50).collect();
        assert_eq!(count(&burst), 2, "the first at once, then one with 49");
        assert_eq!(count(&[0, 1, 299, 300, 301, 1000]), 4);
    }
}
