//! The sender, the recipients and the transport of mails, from the config.
//!
//! The config has checked each key by itself. This module decides which keys a transport needs, and
//! names the key that is missing or wrong.

use std::path::Path;
use std::time::Duration;

use crate::config;
use crate::digest::deliver;
use crate::digest::deliver::Delivery;
use crate::digest::deliver::DeliveryFailure;
use crate::digest::deliver::Mail;
use crate::digest::deliver::Mailbox;
use crate::digest::deliver::RetryPolicy;
use crate::digest::deliver::SendGrid;
use crate::digest::deliver::Sendmail;
use crate::digest::deliver::Smtp;
use crate::digest::deliver::Transport;
use crate::digest::rendered_mail::RenderedMail;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::lent_rights::FileRights;
use crate::secret::Secret;
use crate::time::Timestamp;

const SENDGRID_URL: &str = "https://api.sendgrid.com";
const SENDMAIL_COMMAND: [&str; 3] = ["/usr/sbin/sendmail", "-t", "-i"];

/// The keys in the environment, and the user whose key files are trusted besides those of root.
#[derive(Clone, Copy)]
pub(crate) struct MailCredentials<'a> {
    /// `SENDGRID_API_KEY`.
    pub sendgrid_api_key: Option<&'a str>,
    /// `ACTIVITY_SMTP_PASSWORD`.
    pub smtp_password: Option<&'a str>,
    pub trusted_uid: u32,
    /// The rights of a command that sends for the caller.
    pub rights: &'a FileRights,
}

/// Everything that a mail needs besides its contents.
#[derive(Debug)]
pub(crate) struct MailSettings {
    pub transport: Transport,
    retry_policy: RetryPolicy,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl MailSettings {
    /// Returns the settings of the config. `to` replaces its recipients, unless it is empty.
    ///
    /// # Errors
    /// [`Exit::Config`] with the key; [`Exit::NoPermission`] for a key file that the caller may not
    /// read; [`Exit::Usage`] for a wrong address in `to`.
    pub(crate) fn new(
        config: &config::DigestConfig,
        to: &[String],
        credentials: MailCredentials<'_>,
    ) -> Result<Self, Failure> {
        let from = config.from.as_deref().ok_or_else(|| missing_key("from"))?;
        let from = Mailbox::parse(from).map_err(|failure| with_key("from", failure))?;
        let to = if to.is_empty() {
            if config.to.is_empty() {
                return Err(missing_key("to"));
            }
            let parsed = config.to.iter().map(|text| Mailbox::parse(text));
            parsed.collect::<Result<_, _>>().map_err(|failure| with_key("to", failure))?
        } else {
            let parsed = to.iter().map(|text| Mailbox::parse(text));
            parsed.collect::<Result<_, _>>().map_err(|failure| Failure {
                exit: Exit::Usage,
                message: format!("--to: {}", failure.message),
                ..failure
            })?
        };
        let default = RetryPolicy::default();
        let retry_policy = RetryPolicy {
            attempts: config.attempts.unwrap_or(default.attempts),
            first_wait: config
                .wait
                .map_or(default.first_wait, |span| Duration::from_secs(span.as_seconds())),
            ..default
        };
        Ok(Self { transport: read_transport(config, credentials)?, retry_policy, from, to })
    }

    /// Returns the settings with one attempt of each mail, where something else tries again.
    pub(crate) fn with_one_attempt(mut self) -> Self {
        self.retry_policy.attempts = 1;
        self
    }

    /// Returns the addresses of the recipients.
    pub(crate) fn recipients(&self) -> Vec<String> {
        self.to.iter().map(Mailbox::to_string).collect()
    }

    /// Addresses a rendered mail. `unique` must be used for no other mail.
    pub(crate) fn compose(&self, rendered: RenderedMail, window_id: String, unique: &str) -> Mail {
        Mail {
            message_id: Mail::new_message_id(unique, &self.from),
            from: self.from.clone(),
            to: self.to.clone(),
            subject: rendered.subject,
            text: rendered.text,
            html: rendered.html,
            window_id,
        }
    }

    /// Sends a mail that [`Self::compose`] addressed. `now` is the beginning; `pause` waits between
    /// the attempts.
    ///
    /// # Errors
    /// The mail was not sent, as far as is known.
    pub(crate) fn send(
        &self,
        mail: &Mail,
        now: Timestamp,
        pause: &mut dyn FnMut(Duration),
    ) -> Result<Delivery, DeliveryFailure> {
        deliver::deliver(&self.transport, mail, &self.retry_policy, now, pause)
    }
}

fn read_transport(
    config: &config::DigestConfig,
    credentials: MailCredentials<'_>,
) -> Result<Transport, Failure> {
    match config.transport.as_deref() {
        Some("sendgrid") => {
            let key = match (credentials.sendgrid_api_key, &config.sendgrid_key_file) {
                (Some(key), _) => Secret::new(key, "SENDGRID_API_KEY")?,
                (None, Some(file)) => {
                    read_secret("sendgrid.api_key_file", file, credentials.trusted_uid)?
                }
                (None, None) => {
                    return Err(missing_key("sendgrid.api_key_file").hint(
                        "or set SENDGRID_API_KEY; a key is never an argument, for all can see those",
                    ));
                }
            };
            let url = config.sendgrid_url.as_deref().unwrap_or(SENDGRID_URL);
            let sendgrid =
                SendGrid::new(url, key).map_err(|failure| with_key("sendgrid", failure))?;
            Ok(Transport::SendGrid(sendgrid))
        }
        Some("smtp") => {
            let url = config.smtp_url.as_deref().ok_or_else(|| missing_key("smtp.url"))?;
            let password = match (credentials.smtp_password, &config.smtp_password_file) {
                (Some(password), _) => Some(Secret::new(password, "ACTIVITY_SMTP_PASSWORD")?),
                (None, Some(file)) => {
                    Some(read_secret("smtp.password_file", file, credentials.trusted_uid)?)
                }
                (None, None) => None,
            };
            let smtp = Smtp::new(url, password).map_err(|failure| with_key("smtp", failure))?;
            Ok(Transport::Smtp(smtp))
        }
        Some("sendmail") => {
            let default = || SENDMAIL_COMMAND.map(str::to_owned).to_vec();
            let command = config.sendmail_command.clone().unwrap_or_else(default);
            let sendmail = Sendmail::new(&command, credentials.rights.clone());
            Ok(Transport::Sendmail(
                sendmail.map_err(|failure| with_key("sendmail.command", failure))?,
            ))
        }
        _ => Err(missing_key("transport").hint("sendgrid, smtp or sendmail")),
    }
}

fn read_secret(key: &str, file: &Path, uid: u32) -> Result<Secret, Failure> {
    Secret::read(file, uid).map_err(|failure| with_key(key, failure))
}

fn missing_key(key: &str) -> Failure {
    let failure = Failure::new(Exit::Config, format!("config: digest.{key} is missing"));
    failure.hint("no mail can be sent without; --dry-run shows the digest all the same")
}

fn with_key(key: &str, failure: Failure) -> Failure {
    Failure { message: format!("config: digest.{key}: {}", failure.message), ..failure }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_CREDENTIALS: MailCredentials<'_> = MailCredentials {
        sendgrid_api_key: None,
        smtp_password: None,
        trusted_uid: 0,
        rights: &FileRights::Program,
    };

    fn complete(transport: &str) -> config::DigestConfig {
        config::DigestConfig {
            from: Some("Activity <log@example.org>".to_owned()),
            to: vec!["ops@example.org".to_owned()],
            transport: Some(transport.to_owned()),
            ..config::DigestConfig::default()
        }
    }

    fn refusal(config: &config::DigestConfig, credentials: MailCredentials<'_>) -> String {
        let failure = MailSettings::new(config, &[], credentials).unwrap_err();
        assert_eq!(failure.exit, Exit::Config, "{failure}");
        failure.message
    }

    #[test]
    fn a_missing_key_is_named() {
        let without_to = config::DigestConfig { to: Vec::new(), ..complete("sendmail") };
        for (config, key) in [
            (config::DigestConfig::default(), "from"),
            (without_to, "to"),
            (config::DigestConfig { transport: None, ..complete("") }, "transport"),
            (complete("sendgrid"), "sendgrid.api_key_file"),
            (complete("smtp"), "smtp.url"),
        ] {
            assert_eq!(
                refusal(&config, NO_CREDENTIALS),
                format!("config: digest.{key} is missing")
            );
        }
    }

    #[test]
    fn a_wrong_key_is_named() {
        let with_from = |from: &str| config::DigestConfig {
            from: Some(from.to_owned()),
            ..complete("sendmail")
        };
        assert!(refusal(&with_from("nobody"), NO_CREDENTIALS).starts_with("config: digest.from: "));
        let plain = config::DigestConfig {
            sendgrid_url: Some("http://example.org".to_owned()),
            ..complete("sendgrid")
        };
        let keys = MailCredentials { sendgrid_api_key: Some("SG.hush"), ..NO_CREDENTIALS };
        let message = refusal(&plain, keys);
        assert!(message.starts_with("config: digest.sendgrid: "), "{message}");
        let absent = config::DigestConfig {
            smtp_url: Some("smtps://u@example.org".to_owned()),
            smtp_password_file: Some("/nowhere/x".into()),
            ..complete("smtp")
        };
        let message = refusal(&absent, NO_CREDENTIALS);
        assert!(message.starts_with("config: digest.smtp.password_file: "), "{message}");
    }

    #[test]
    fn the_environment_comes_before_the_key_file() {
        let config = config::DigestConfig {
            sendgrid_key_file: Some("/nowhere/key".into()),
            ..complete("sendgrid")
        };
        let keys = MailCredentials { sendgrid_api_key: Some("SG.hush"), ..NO_CREDENTIALS };
        let settings = MailSettings::new(&config, &[], keys).unwrap();
        assert_eq!(settings.transport.name(), "sendgrid");
        assert!(!format!("{settings:?}").contains("SG.hush"));
    }

    #[test]
    fn addresses_of_the_call_take_the_place_of_the_configs() {
        let to = ["Ann <ann@example.org>".to_owned()];
        let settings = MailSettings::new(&complete("sendmail"), &to, NO_CREDENTIALS).unwrap();
        assert_eq!(settings.recipients(), ["ann@example.org"]);
        let failure = MailSettings::new(&complete("sendmail"), &["ann".to_owned()], NO_CREDENTIALS)
            .unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.starts_with("--to: "), "{failure}");
    }
}
