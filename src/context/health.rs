//! The examination of the host that `doctor` prints, and its test mail.

use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::thread;

use anyhow::Result;

use crate::context::Context;
use crate::context::LogAccess;
use crate::context::free_space;
use crate::digest::deliver::Mailbox;
use crate::digest::rendered_mail::RenderedMail;
use crate::doctor;
use crate::doctor::CheckInputs;
use crate::doctor::Diagnosis;
use crate::doctor::Host;
use crate::doctor::SettingRow;
use crate::doctor::store::StoreInputs;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::lent_rights::FileRights;
use crate::settings::LogLocation;
use crate::store::LocalLog;
use crate::text;

impl Context {
    /// Sends a test mail to an address in the way of a digest, and returns the line to print.
    ///
    /// # Errors
    /// As [`Context::mail_settings`] and [`MailSettings::send`](crate::digest::mail_settings::MailSettings::send); a recipient that was refused.
    pub(crate) fn send_test_mail(&self, to: &str) -> Result<String, Failure> {
        self.settings.permissions.require_administrator("doctor")?;
        Mailbox::parse(to).map_err(|failure| Failure {
            exit: Exit::Usage,
            message: format!("--mail: {}", failure.message),
            ..failure
        })?;
        let mail_settings = self.mail_settings(&[to.to_owned()])?;
        let zone = self.settings.zone()?.value;
        let host = rustix::system::uname();
        let from =
            format!("{} on {}", self.caller.recorded_by(), host.nodename().to_string_lossy());
        let content = RenderedMail::test_mail(&self.settings.site(), &from, self.now, &zone);
        let mail = mail_settings.compose(
            content,
            format!("test,{}", self.now),
            &format!("{}.test", self.now.as_nanos()),
        );
        let sent = mail_settings.send(&mail, self.now, &mut thread::sleep)?;
        if let Some(refused) = sent.refused.first() {
            let message =
                format!("the mail was not taken for {}: {}", refused.address, refused.reason);
            return Err(Failure::new(Exit::Unavailable, message));
        }
        let id = sent.message_id.as_deref().unwrap_or(&mail.message_id);
        Ok(format!(
            "{} test mail to {} {} {} id {}, which is no digest and not recorded",
            self.now.truncate_to_second(),
            mail_settings.recipients().join(","),
            mail_settings.transport.name(),
            text::escape(&sent.status),
            text::escape(id)
        ))
    }
}

impl Context {
    /// Returns the settings that hold, each with its origin.
    ///
    /// # Errors
    /// A caller who is no administrator.
    pub(crate) fn setting_rows(&self) -> Result<Vec<SettingRow>, Failure> {
        self.settings.permissions.require_administrator("config")?;
        Ok(doctor::setting_rows(&self.settings, self.mail_credentials()))
    }
}

impl LogAccess<'_> {
    /// Examines whether this host is set up, or the store that the call names. `config_error` says why the
    /// config was left out.
    pub(crate) fn diagnose(self, config_error: Option<&anyhow::Error>) -> Result<Diagnosis> {
        let context = self.context;
        context.settings.permissions.require_administrator("doctor")?;
        let zone = context.zone()?;
        if let LogLocation::Store(address) = context.settings.location()? {
            return Ok(doctor::store::examine(&StoreInputs {
                name: &address.name(),
                found: self.examine_store(&address),
                // Without a log of this host nothing is recorded.
                digests: self.digests().unwrap_or_default(),
                wants_digest: !context.settings.config.digest.to.is_empty(),
                now: context.now,
                zone: &zone,
            }));
        }
        let site = context.settings.site();
        let db = context.settings.db();
        // Without a config nobody knows who may read the log.
        let log = config_error.is_none().then(|| match &db {
            Ok(db) => LocalLog::open_to_read(&db.value),
            Err(failure) => Err(Failure::new(failure.exit, failure.message.clone()).into()),
        });
        let home = context.settings.environment.get("HOME").map(Path::new);
        let is_root = context.caller.real.uid == 0;
        let host = Host {
            root: Path::new("/"),
            home,
            is_root,
            own_crontab: if is_root { None } else { own_crontab(&context.settings.rights) },
        };
        Ok(doctor::examine(&CheckInputs {
            settings: &context.settings,
            config_error,
            log,
            free_bytes: db.ok().and_then(|db| free_space(&db.value)),
            credentials: context.mail_credentials(),
            mail_context: context.mail_context(&site, &zone),
            now: context.now,
            host: &host,
        }))
    }
}

/// Returns the caller's crontab, which only `crontab` may read on their behalf.
fn own_crontab(rights: &FileRights) -> Option<String> {
    let mut crontab = Command::new("/usr/bin/crontab");
    crontab.arg("-l").env_clear().stdin(Stdio::null());
    let child = rights.spawn(crontab.stdout(Stdio::piped()).stderr(Stdio::null())).ok()?;
    let output = child.wait_with_output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}
