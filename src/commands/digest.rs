use std::path::PathBuf;

use anyhow::Result;

use crate::args::filter::FilterArgs;
use crate::codec::jsonl;
use crate::commands::{Invocation, RunCommand};
use crate::digest::rendered_mail::RenderedMail;
use crate::digest::report::Coverage;
use crate::digest::run::DigestOptions;
use crate::failure::{Exit, Failure};
use crate::query::Query;

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
/// cannot be read, a plain mail says so. `[digest]` in the config names sender, recipients and
/// transport; the SendGrid key is read from a file or from SENDGRID_API_KEY, the SMTP password from
/// ACTIVITY_SMTP_PASSWORD.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct DigestArgs {
    /// Print the text part; send and record nothing
    #[arg(long, help_heading = "Digest")]
    dry_run: bool,
    /// Write the HTML part to FILE; send and record nothing
    #[arg(long, value_name = "FILE", help_heading = "Digest")]
    preview: Option<PathBuf>,
    /// Print the digest, or the history, as JSON; send and record nothing
    #[arg(long, conflicts_with = "dry_run", help_heading = "Digest")]
    json: bool,
    /// Send an extra digest to ADDRESS instead of the config's recipients [can be repeated]
    #[arg(long, value_name = "ADDRESS", help_heading = "Digest")]
    to: Vec<String>,
    /// List the digests that were sent and those that failed
    #[arg(long, conflicts_with_all = ["dry_run", "preview", "to"], help_heading = "Digest")]
    history: bool,
    #[command(flatten)]
    filter: FilterArgs,
}

impl RunCommand for DigestArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        let context = &call.into_context()?;
        let zone = context.zone()?;
        if self.history {
            if !self.filter.is_empty() {
                let what = "--history lists all digests, and takes no query";
                return Err(Failure::new(Exit::Usage, what).into());
            }
            let mut lines = String::new();
            for recorded in context.log().open_reader()?.digests()? {
                lines.push_str(&match self.json {
                    true => recorded.to_json(),
                    false => recorded.history_line(&zone),
                });
                lines.push('\n');
            }
            context.output.print(lines.as_bytes())?;
            return Ok(Exit::Success);
        }

        let query: Option<Query> = match self.filter.is_empty() {
            true => None,
            false => Some(self.filter.query(&context.clock(&zone))?),
        };
        let scope = query.as_ref().map_or(Coverage::Due, Coverage::OneOff);
        let brief = DigestOptions::new(&context.settings.config.digest)?;
        let site = context.settings.site();
        let setting = context.render_options(&site, &zone);

        if !(self.dry_run || self.json || self.preview.is_some()) {
            let post = context.mail_settings(&self.to)?;
            let done =
                context.log().send_digest(&brief, &post, setting, scope, !self.to.is_empty())?;
            context.output.print(format!("{}\n", done.line).as_bytes())?;
            return done.error.map_or(Ok(Exit::Success), Err);
        }

        let report =
            context.log().open_reader()?.report(scope, context.now, &brief.report_options())?;
        if self.json {
            let line = report.to_json(&site, jsonl::encode);
            context.output.print(format!("{line}\n").as_bytes())?;
        }
        if !self.dry_run && self.preview.is_none() {
            return Ok(Exit::Success);
        }
        let page = RenderedMail::render(&report, &setting, &brief.templates);
        if self.dry_run {
            context
                .output
                .print(format!("Subject: {}\n\n{}", page.subject, page.text).as_bytes())?;
        }
        if let (Some(path), Some(html)) = (&self.preview, &page.html) {
            context.write_file(path, html.as_bytes())?;
        }
        match page.template_error {
            Some(why) => {
                let what = format!("the templates are broken: {why}");
                Err(Failure::new(Exit::Config, what).into())
            }
            None => Ok(Exit::Success),
        }
    }
}
