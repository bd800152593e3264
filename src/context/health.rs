//! Whether the host is set up, as the caller may find out, and a mail that tries the way.

use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::thread;

use anyhow::Result;

use crate::context::Context;
use crate::context::free_space;
use crate::digest::deliver;
use crate::digest::deliver::Mailbox;
use crate::digest::rendered_mail::RenderedMail;
use crate::doctor;
use crate::doctor::CheckInputs;
use crate::doctor::Diagnosis;
use crate::doctor::Host;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::store::LocalLog;
use crate::text;

impl Context {
    /// Sends a mail that tries the digest's way to an address, and returns what to say of it.
    ///
    /// # Errors
    /// As [`Context::mail_settings`] and [`deliver::deliver`]; a recipient that was turned away.
    pub(crate) fn send_test_mail(&self, to: &str) -> Result<String, Failure> {
        Mailbox::parse(to).map_err(|failure| Failure {
            exit: Exit::Usage,
            message: format!("--mail: {}", failure.message),
            ..failure
        })?;
        let post = self.mail_settings(&[to.to_owned()])?;
        let zone = self.settings.zone()?.value;
        let host = rustix::system::uname();
        let from =
            format!("{} on {}", self.caller.recorded_by(), host.nodename().to_string_lossy());
        let page = RenderedMail::test_mail(&self.settings.site(), &from, self.now, &zone);
        let mail = post.compose(
            page,
            format!("test,{}", self.now),
            &format!("{}.test", self.now.as_nanos()),
        );
        let pause = &mut thread::sleep;
        let sent = deliver::deliver(&post.transport, &mail, &post.retry_policy, self.now, pause)?;
        if let Some(refused) = sent.refused.first() {
            let what =
                format!("the mail was not taken for {}: {}", refused.address, refused.reason);
            return Err(Failure::new(Exit::Unavailable, what));
        }
        let id = sent.message_id.as_deref().unwrap_or(&mail.message_id);
        Ok(format!(
            "{} test mail to {} {} {} id {}, which is no digest and not recorded",
            self.now.truncate_to_second(),
            post.recipients().join(","),
            post.transport.name(),
            text::escape(&sent.status),
            text::escape(id)
        ))
    }

    /// Looks at whether this host is set up. `config_fault`: why the config was left out.
    pub(crate) fn diagnose(&self, config_fault: Option<&anyhow::Error>) -> Result<Diagnosis> {
        let zone = self.zone()?;
        let site = self.settings.site();
        let db = self.settings.db();
        // Who may read it stands in the config.
        let log = config_fault.is_none().then(|| match &db {
            Ok(db) => LocalLog::open_to_read(&db.value),
            Err(failure) => Err(Failure::new(failure.exit, failure.message.clone()).into()),
        });
        let home = self.settings.environment.get("HOME").map(Path::new);
        let is_root = self.caller.real.uid == 0;
        let host = Host {
            root: Path::new("/"),
            home,
            is_root,
            own_crontab: if is_root { None } else { own_crontab() },
        };
        Ok(doctor::examine(&CheckInputs {
            settings: &self.settings,
            config_error: config_fault,
            log,
            free_bytes: db.ok().and_then(|db| free_space(&db.value)),
            credentials: self.mail_credentials(),
            page_setting: self.render_options(&site, &zone),
            now: self.now,
            host: &host,
        }))
    }
}

/// The caller's crontab, which `crontab` alone may read for him.
fn own_crontab() -> Option<String> {
    let listed = Command::new("/usr/bin/crontab")
        .arg("-l")
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .ok()
        .filter(|listed| listed.status.success())?;
    Some(String::from_utf8_lossy(&listed.stdout).into_owned())
}
