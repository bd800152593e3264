//! The checks of the mail: whether the digest can be rendered and sent. Nothing is sent.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::digest::deliver::Transport;
use crate::digest::logs::DigestLogs;
use crate::digest::mail_settings::MailSettings;
use crate::digest::reader;
use crate::digest::rendered_mail::RenderedMail;
use crate::digest::report::Coverage;
use crate::digest::run::DigestOptions;
use crate::doctor::Area;
use crate::doctor::Check;
use crate::doctor::CheckInputs;
use crate::doctor::file_access::FileAccess;
use crate::failure::Exit;
use crate::query::Query;
use crate::render::Status;
use crate::secret::Secret;

/// `is_tried`: whether a digest was ever sent.
pub(super) fn evaluate(subject: &CheckInputs<'_>, is_tried: bool) -> Vec<Check> {
    // The settings of the mail stand in the config, which cannot be read.
    if subject.config_error.is_some() {
        return Vec::new();
    }
    let mut checks = vec![check_transport(subject, is_tried)];
    let digest = &subject.settings.config.digest;
    for file in [&digest.sendgrid_key_file, &digest.smtp_password_file].into_iter().flatten() {
        checks.push(check_key_file(file, subject.credentials.trusted_uid));
    }
    checks.extend(check_templates(subject));
    checks
}

fn check_transport(subject: &CheckInputs<'_>, is_tried: bool) -> Check {
    let check = |status, value: String| Check::new(Area::Mail, "transport", status, value);
    let digest = &subject.settings.config.digest;
    let post = match MailSettings::new(digest, &[], subject.credentials) {
        Ok(post) => post,
        Err(failure) => return Check::from_failure(Area::Mail, "transport", failure),
    };
    let value = format!("{} to {}", post.transport.name(), post.recipients().join(", "));
    let variable = match &post.transport {
        Transport::Sendmail(sendmail) => {
            let program = Path::new(sendmail.program());
            if program.is_absolute() && !is_executable(program) {
                let value = format!("{value}: there is no program {}", program.display());
                return check(Status::Bad, value)
                    .with_advice("install a mail server, or name another digest.sendmail.command");
            }
            None
        }
        Transport::SendGrid(_) => {
            let only = subject.credentials.sendgrid_api_key.is_some()
                && digest.sendgrid_key_file.is_none();
            only.then_some(("SENDGRID_API_KEY", "digest.sendgrid.api_key_file"))
        }
        Transport::Smtp(_) => {
            let only =
                subject.credentials.smtp_password.is_some() && digest.smtp_password_file.is_none();
            only.then_some(("ACTIVITY_SMTP_PASSWORD", "digest.smtp.password_file"))
        }
    };
    match variable {
        Some((variable, key)) => {
            check(Status::Note, format!("{value}, with the key of {variable}"))
                .with_advice(format!("a schedule has no such variable: set {key}"))
        }
        None if is_tried => check(Status::Ok, value),
        None => check(Status::Ok, value)
            .with_advice("`activity doctor --mail ADDRESS` sends a test this way"),
    }
}

fn check_key_file(path: &Path, uid: u32) -> Check {
    let describe = |owner: FileAccess| format!("{}, {}", path.display(), owner.describe());
    match Secret::read(path, uid) {
        Ok(_) => {
            let value = FileAccess::read(path).map_or_else(|| path.display().to_string(), describe);
            Check::new(Area::Mail, "key file", Status::Ok, value)
        }
        // A key that others cannot read is right, but the sender of the digest must read it.
        Err(failure) if failure.exit == Exit::NoPermission => {
            Check::new(Area::Mail, "key file", Status::Note, failure.message)
                .with_advice("the user who sends the digest must read it: call this as that user")
        }
        Err(failure) => Check::from_failure(Area::Mail, "key file", failure),
    }
}

/// Renders the last day with the user's own templates; the built-in ones need no check.
fn check_templates(subject: &CheckInputs<'_>) -> Option<Check> {
    let digest = &subject.settings.config.digest;
    let (templates, own_subject) = (&digest.templates, digest.subject.is_some());
    if templates.is_none() && !own_subject {
        return None;
    }
    let what = templates.as_ref().map_or_else(
        || "the subject of the config".to_owned(),
        |folder| folder.display().to_string(),
    );
    let check = |status, value: String| Check::new(Area::Mail, "templates", status, value);
    let brief = match DigestOptions::new(digest) {
        Ok(brief) => brief,
        Err(failure) => return Some(Check::from_failure(Area::Mail, "templates", failure)),
    };
    let report = subject.log.as_ref().and_then(|log| log.as_ref().ok()).map(|log| {
        reader::read_report(
            DigestLogs::of_host(log),
            Coverage::OneOff(&Query::default()),
            subject.now,
            &brief.report_options(),
        )
    });
    let fault = match report {
        Some(Ok(report)) => {
            RenderedMail::render(&report, &subject.mail_context, &brief.templates).template_error
        }
        // Without a log there are no events to render.
        Some(Err(_)) | None => brief.templates.read_error().map(str::to_owned),
    };
    Some(match fault {
        Some(why) => check(Status::Bad, why)
            .with_advice("the digest is sent by the built-in ones until they are mended"),
        None => check(Status::Ok, format!("{what}, and they work")),
    })
}

pub(super) fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}
