use std::path::PathBuf;

use anyhow::Result;

use crate::access::Reading;
use crate::args::filter::FilterArgs;
use crate::codec::jsonl;
use crate::commands::Invocation;
use crate::commands::RunCommand;
use crate::context::Context;
use crate::digest::mail_context::MailContext;
use crate::digest::rendered_mail::RenderedMail;
use crate::digest::report::Coverage;
use crate::digest::run::DigestOptions;
use crate::digest::run::DigestPurpose;
use crate::export;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::time::Zone;

const EXAMPLES: &str = "\
Examples:
  What the next mail will say; nothing is sent:
  $ activity digest --dry-run

  How many events the last week had, for a program:
  $ activity digest --days 7 --json | jq .total";

/// Mail what happened since the last digest, even if nothing did
///
/// Every event is in exactly one regular digest: each covers the events recorded since the one before.
/// A query or a time makes an extra digest, which changes nothing for the regular ones. If the log
/// cannot be read, a plain mail says so. A run within a minute of the last digest, with nothing new,
/// sends none. `[digest]` in the config names sender, recipients and
/// transport; the SendGrid key is read from a file or from SENDGRID_API_KEY, the SMTP password from
/// ACTIVITY_SMTP_PASSWORD.
///
/// With --central it tells of all hosts of the central store, names those that are behind, and is
/// recorded in the log of this host.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct DigestArgs {
    /// Print the text part; send and record nothing
    #[arg(long, help_heading = "Digest")]
    dry_run: bool,
    /// Write the HTML part to FILE, - for standard output; send and record nothing
    #[arg(long, value_name = "FILE", help_heading = "Digest")]
    preview: Option<PathBuf>,
    /// Print the digest, or the history, as JSON; send and record nothing
    #[arg(long, conflicts_with = "dry_run", help_heading = "Digest")]
    json: bool,
    /// Send an extra digest to ADDRESS instead of the config's recipients [can be repeated]
    #[arg(long, value_name = "ADDRESS", help_heading = "Digest")]
    to: Vec<String>,
    /// Send the next digest even if the last one was sent within a minute and nothing is new
    #[arg(long, conflicts_with_all = ["dry_run", "preview", "json", "to"], help_heading = "Digest")]
    now: bool,
    /// List the digests that were sent and those that failed
    #[arg(long, conflicts_with_all = ["dry_run", "preview", "to", "now"], help_heading = "Digest")]
    history: bool,
    #[command(flatten)]
    filter: FilterArgs,
}

impl RunCommand for DigestArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        let context = &call.into_context()?;
        context.log().ensure_may_read(Reading::Digest)?;
        let zone = context.zone()?;
        if self.history {
            return self.print_history(context, &zone);
        }
        let query = if self.filter.is_empty() {
            None
        } else {
            Some(self.filter.query(&context.clock(&zone), &context.settings.config.queries)?)
        };
        let coverage = query.as_ref().map_or(Coverage::Due, Coverage::OneOff);
        let options = DigestOptions::new(&context.settings.config.digest)?;
        let site = context.settings.site();
        let silent_alerts = context.log().silent_alerts(&zone);
        let program = context.settings.reading_program();
        let mail_context = MailContext {
            silent_alerts: &silent_alerts,
            program: &program,
            ..context.mail_context(&site, &zone)
        };
        if self.dry_run || self.json || self.preview.is_some() {
            return self.print_report(context, coverage, &options, &mail_context);
        }
        let mail_settings = context.mail_settings(&self.to)?;
        let purpose = match (self.to.is_empty(), self.now) {
            (false, _) => DigestPurpose::Copy,
            (true, true) => DigestPurpose::RegularNow,
            (true, false) => DigestPurpose::Regular,
        };
        let summary =
            context.log().send_digest(&options, &mail_settings, mail_context, coverage, purpose)?;
        context.output.print(format!("{}\n", summary.line).as_bytes())?;
        summary.error.map_or(Ok(Exit::Success), Err)
    }
}

impl DigestArgs {
    fn print_history(&self, context: &Context, zone: &Zone) -> Result<Exit> {
        if !self.filter.is_empty() {
            let message = "--history lists all digests, and takes no query";
            return Err(Failure::new(Exit::Usage, message).into());
        }
        let mut lines = String::new();
        for outcome in context.log().digests()? {
            lines.push_str(&match self.json {
                true => outcome.to_json(),
                false => outcome.history_line(zone),
            });
            lines.push('\n');
        }
        context.output.print(lines.as_bytes())?;
        Ok(Exit::Success)
    }

    /// Prints the digest or writes its preview; sends and records nothing.
    fn print_report(
        &self,
        context: &Context,
        coverage: Coverage<'_>,
        options: &DigestOptions,
        mail_context: &MailContext<'_>,
    ) -> Result<Exit> {
        let previews_to_stdout = self.preview.as_deref().is_some_and(export::is_stdout);
        if previews_to_stdout && (self.json || self.dry_run) {
            let message =
                "--preview - goes with neither --json nor --dry-run: all print to standard output";
            return Err(Failure::new(Exit::Usage, message).into());
        }
        let report = context.log().digest_report(coverage, &options.report_options())?;
        if self.json {
            let line = report.to_json(mail_context.site, jsonl::encode);
            context.output.print(format!("{line}\n").as_bytes())?;
        }
        if !self.dry_run && self.preview.is_none() {
            return Ok(Exit::Success);
        }
        let mail = RenderedMail::render(&report, mail_context, &options.templates);
        if self.dry_run {
            let text = format!("Subject: {}\n\n{}", mail.subject, mail.text);
            context.output.print(text.as_bytes())?;
        }
        if let (Some(path), Some(html)) = (&self.preview, &mail.html) {
            context.write_file(path, html.as_bytes())?;
        }
        match mail.template_error {
            Some(why) => {
                let message = format!("the templates are broken: {why}");
                Err(Failure::new(Exit::Config, message).into())
            }
            None => Ok(Exit::Success),
        }
    }
}
