//! Who gets the mail and how it goes, from what the config says.
//!
//! Each key by itself was checked when the config was read. Here is decided which of them a
//! transport needs; what is missing or means nothing is told by its key.

use std::path::Path;
use std::time::Duration;

use crate::config;
use crate::digest::deliver::Mail;
use crate::digest::deliver::Mailbox;
use crate::digest::deliver::RetryPolicy;
use crate::digest::deliver::SendGrid;
use crate::digest::deliver::Sendmail;
use crate::digest::deliver::Smtp;
use crate::digest::deliver::Transport;
use crate::digest::page::Page;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::secret::Secret;

const SENDGRID: &str = "https://api.sendgrid.com";
const SENDMAIL: [&str; 3] = ["/usr/sbin/sendmail", "-t", "-i"];

/// The keys that the environment holds, and whose key files are trusted besides root's.
#[derive(Clone, Copy)]
pub(crate) struct Keys<'a> {
    /// `SENDGRID_API_KEY`.
    pub sendgrid: Option<&'a str>,
    /// `ACTIVITY_SMTP_PASSWORD`.
    pub smtp: Option<&'a str>,
    pub uid: u32,
}

/// All that a mail needs besides what is in it.
#[derive(Debug)]
pub(crate) struct Post {
    pub transport: Transport,
    pub terms: RetryPolicy,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl Post {
    /// `to` stands for the recipients of the config, where it names any.
    ///
    /// # Errors
    /// [`Exit::Config`] with the key, or [`Exit::NoPermission`] for a key file that is closed to the
    /// caller; [`Exit::Usage`] for an address in `to`.
    pub(crate) fn new(
        config: &config::DigestConfig,
        to: &[String],
        keys: Keys<'_>,
    ) -> Result<Self, Failure> {
        let from = config.from.as_deref().ok_or_else(|| missing("from"))?;
        let from = Mailbox::parse(from).map_err(|failure| at("from", failure))?;
        let to = if to.is_empty() {
            if config.to.is_empty() {
                return Err(missing("to"));
            }
            let parsed = config.to.iter().map(|text| Mailbox::parse(text));
            parsed.collect::<Result<_, _>>().map_err(|failure| at("to", failure))?
        } else {
            let parsed = to.iter().map(|text| Mailbox::parse(text));
            parsed.collect::<Result<_, _>>().map_err(|failure| Failure {
                exit: Exit::Usage,
                message: format!("--to: {}", failure.message),
                ..failure
            })?
        };
        let usual = RetryPolicy::default();
        let terms = RetryPolicy {
            attempts: config.attempts.unwrap_or(usual.attempts),
            first_wait: config
                .wait
                .map_or(usual.first_wait, |span| Duration::from_secs(span.as_seconds())),
            ..usual
        };
        Ok(Self { transport: transport(config, keys)?, terms, from, to })
    }

    /// The addresses that the mail goes to.
    pub(crate) fn recipients(&self) -> Vec<String> {
        self.to.iter().map(Mailbox::to_string).collect()
    }

    /// A page as the mail that carries it. No other mail is called `unique`.
    pub(crate) fn mail(&self, page: Page, window: String, unique: &str) -> Mail {
        Mail {
            message_id: Mail::new_message_id(unique, &self.from),
            from: self.from.clone(),
            to: self.to.clone(),
            subject: page.subject,
            text: page.text,
            html: page.html,
            window_id: window,
        }
    }
}

fn transport(config: &config::DigestConfig, keys: Keys<'_>) -> Result<Transport, Failure> {
    match config.transport.as_deref() {
        Some("sendgrid") => {
            let key = match (keys.sendgrid, &config.sendgrid_key_file) {
                (Some(key), _) => Secret::new(key, "SENDGRID_API_KEY")?,
                (None, Some(file)) => secret("sendgrid.api_key_file", file, keys.uid)?,
                (None, None) => {
                    return Err(missing("sendgrid.api_key_file").hint(
                        "or set SENDGRID_API_KEY; a key is never an argument, for all can see those",
                    ));
                }
            };
            let url = config.sendgrid_url.as_deref().unwrap_or(SENDGRID);
            let sendgrid = SendGrid::new(url, key).map_err(|failure| at("sendgrid", failure))?;
            Ok(Transport::SendGrid(sendgrid))
        }
        Some("smtp") => {
            let url = config.smtp_url.as_deref().ok_or_else(|| missing("smtp.url"))?;
            let password = match (keys.smtp, &config.smtp_password_file) {
                (Some(password), _) => Some(Secret::new(password, "ACTIVITY_SMTP_PASSWORD")?),
                (None, Some(file)) => Some(secret("smtp.password_file", file, keys.uid)?),
                (None, None) => None,
            };
            let smtp = Smtp::new(url, password).map_err(|failure| at("smtp", failure))?;
            Ok(Transport::Smtp(smtp))
        }
        Some("sendmail") => {
            let usual = || SENDMAIL.map(str::to_owned).to_vec();
            let command = config.sendmail_command.clone().unwrap_or_else(usual);
            let sendmail = Sendmail::new(&command);
            Ok(Transport::Sendmail(sendmail.map_err(|failure| at("sendmail.command", failure))?))
        }
        _ => Err(missing("transport").hint("sendgrid, smtp or sendmail")),
    }
}

fn secret(key: &str, file: &Path, uid: u32) -> Result<Secret, Failure> {
    Secret::read(file, uid).map_err(|failure| at(key, failure))
}

fn missing(key: &str) -> Failure {
    let failure = Failure::new(Exit::Config, format!("config: digest.{key} is missing"));
    failure.hint("no mail can be sent without; --dry-run shows the digest all the same")
}

fn at(key: &str, failure: Failure) -> Failure {
    Failure { message: format!("config: digest.{key}: {}", failure.message), ..failure }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_KEYS: Keys<'_> = Keys { sendgrid: None, smtp: None, uid: 0 };

    fn complete(transport: &str) -> config::DigestConfig {
        config::DigestConfig {
            from: Some("Activity <log@example.org>".to_owned()),
            to: vec!["ops@example.org".to_owned()],
            transport: Some(transport.to_owned()),
            ..config::DigestConfig::default()
        }
    }

    fn refused(config: &config::DigestConfig, keys: Keys<'_>) -> String {
        let failure = Post::new(config, &[], keys).unwrap_err();
        assert_eq!(failure.exit, Exit::Config, "{failure}");
        failure.message
    }

    #[test]
    fn what_is_missing_is_told_by_its_key() {
        let without_to = config::DigestConfig { to: Vec::new(), ..complete("sendmail") };
        for (config, key) in [
            (config::DigestConfig::default(), "from"),
            (without_to, "to"),
            (config::DigestConfig { transport: None, ..complete("") }, "transport"),
            (complete("sendgrid"), "sendgrid.api_key_file"),
            (complete("smtp"), "smtp.url"),
        ] {
            assert_eq!(refused(&config, NO_KEYS), format!("config: digest.{key} is missing"));
        }
    }

    #[test]
    fn what_means_nothing_is_told_by_its_key() {
        let with_from = |from: &str| config::DigestConfig {
            from: Some(from.to_owned()),
            ..complete("sendmail")
        };
        assert!(refused(&with_from("nobody"), NO_KEYS).starts_with("config: digest.from: "));
        let plain = config::DigestConfig {
            sendgrid_url: Some("http://example.org".to_owned()),
            ..complete("sendgrid")
        };
        let keys = Keys { sendgrid: Some("SG.hush"), ..NO_KEYS };
        let told = refused(&plain, keys);
        assert!(told.starts_with("config: digest.sendgrid: "), "{told}");
        let absent = config::DigestConfig {
            smtp_url: Some("smtps://u@example.org".to_owned()),
            smtp_password_file: Some("/nowhere/x".into()),
            ..complete("smtp")
        };
        let told = refused(&absent, NO_KEYS);
        assert!(told.starts_with("config: digest.smtp.password_file: "), "{told}");
    }

    #[test]
    fn the_environment_comes_before_the_key_file() {
        let config = config::DigestConfig {
            sendgrid_key_file: Some("/nowhere/key".into()),
            ..complete("sendgrid")
        };
        let keys = Keys { sendgrid: Some("SG.hush"), ..NO_KEYS };
        let post = Post::new(&config, &[], keys).unwrap();
        assert_eq!(post.transport.name(), "sendgrid");
        assert!(!format!("{post:?}").contains("SG.hush"));
    }

    #[test]
    fn addresses_of_the_call_take_the_place_of_the_configs() {
        let to = ["Ann <ann@example.org>".to_owned()];
        let post = Post::new(&complete("sendmail"), &to, NO_KEYS).unwrap();
        assert_eq!(post.recipients(), ["ann@example.org"]);
        let failure = Post::new(&complete("sendmail"), &["ann".to_owned()], NO_KEYS).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.starts_with("--to: "), "{failure}");
    }
}
