use std::env;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use anyhow::Result;
use clap::ValueEnum;
use serde_json::json;

use crate::commands::Invocation;
use crate::commands::RunCommand;
use crate::config::reference;
use crate::context::Context;
use crate::doctor;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::setup;
use crate::setup::HostSetup;
use crate::setup::LogSharing;
use crate::setup::StepOutcome;
use crate::text;

const EXAMPLES: &str = "\
Examples:
  What holds on this host, and where each value comes from:
  $ activity config

  What a host would get, before `activity config init --system` makes it:
  $ activity config init --system --dry-run";

/// Show the settings that hold, each with its origin; write a config
///
/// `config init` writes a config in which every key is explained and commented out: that of the host for
/// root, else your own; --config names another place. With --system it sets up the host: /etc/activity,
/// a folder for the log that a group shares, the nightly jobs with the path of this program, logrotate;
/// then it runs `doctor`. It asks nothing, and leaves alone what is there. With --setgid the program is
/// installed as /usr/local/bin/activity with the group, and nobody else opens the log: roles of the config
/// say who may read what. A program that is there is replaced, and you become an administrator.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ConfigArgs {
    /// init: write a commented config
    #[arg(value_name = "init", hide_possible_values = true)]
    action: Option<ConfigAction>,
    /// Set up the whole host
    #[arg(long, requires = "action", help_heading = "config init")]
    system: bool,
    /// Lend the log by the program alone, so that roles hold for everybody but root
    #[arg(long, requires = "system", help_heading = "config init")]
    setgid: bool,
    /// Show what would be made, and make nothing
    #[arg(long, requires = "action", help_heading = "config init")]
    dry_run: bool,
    /// The group that shares the log [default: activity]
    #[arg(long, value_name = "NAME", requires = "system", help_heading = "config init")]
    group: Option<String>,
    /// Mail the digest to ADDRESS, by this host's own mailer; can be repeated
    #[arg(long, value_name = "ADDRESS", requires = "system", help_heading = "config init")]
    to: Vec<String>,
    /// Set up the system below DIR, such as an image, instead of this one
    #[arg(long, value_name = "DIR", requires = "system", help_heading = "config init")]
    root: Option<PathBuf>,
    /// Print JSON Lines
    #[arg(long, conflicts_with = "action", help_heading = "Output")]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ConfigAction {
    Init,
}

impl RunCommand for ConfigArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        match self.action {
            None => self.show(&call.into_context()?),
            Some(ConfigAction::Init) => {
                let (overrides, arguments) = (call.overrides.clone(), call.arguments.clone());
                let (context, _) = &call.into_context_despite_config()?;
                context.require_own_rights("config init")?;
                if !self.system {
                    return self.write(context, overrides.config);
                }
                self.set_up(context)?;
                if self.dry_run || self.root.is_some() {
                    return Ok(Exit::Success);
                }
                examine(&Context::new(overrides, arguments)?)
            }
        }
    }
}

impl ConfigArgs {
    fn show(&self, context: &Context) -> Result<Exit> {
        let rows = context.setting_rows()?;
        let mut lines = String::new();
        let widths = [
            rows.iter().map(|row| text::width(&row.key)).max().unwrap_or(0) + 2,
            rows.iter()
                .map(|row| text::width(&text::escape(&row.value)))
                .max()
                .unwrap_or(0)
                .min(44)
                + 2,
        ];
        for doctor::SettingRow { key, value, origin } in &rows {
            if self.json {
                let row = json!({"key": key, "value": value, "origin": origin.to_string()});
                text::json_escape_into(&mut lines, &row.to_string());
            } else {
                lines += &text::pad(key, widths[0]);
                lines += &text::pad(&text::escape(value), widths[1]);
                lines += &origin.to_string();
            }
            lines.push('\n');
        }
        context.output.print(lines.as_bytes())?;
        Ok(Exit::Success)
    }

    /// Writes a commented config, to where the program will look for it.
    fn write(&self, context: &Context, named: Option<PathBuf>) -> Result<Exit> {
        let config = reference::commented_config();
        if self.dry_run {
            context.output.print(config.as_bytes())?;
            return Ok(Exit::Success);
        }
        let (path, is_shared) = context.settings.place_for_config(named)?;
        let shown = text::escape(&path.to_string_lossy()).into_owned();
        if path.symlink_metadata().is_ok() {
            let failure = Failure::new(Exit::CantCreate, format!("{shown} is there already"));
            let hint = "it stays as it is; `activity config init --dry-run` prints a new one";
            return Err(failure.hint(hint).into());
        }
        // Keys and passwords have files of their own, and who uses the log reads the host's config.
        let mode = if is_shared { 0o644 } else { 0o600 };
        let failure = || Failure::new(Exit::CantCreate, format!("cannot make {shown}"));
        setup::make_file(&path, mode, &config).with_context(failure)?;
        context.output.print(format!("{shown}\n").as_bytes())?;
        context.output.note("every line is commented out: take the # off what you want to set");
        Ok(Exit::Success)
    }

    /// Sets the host up, and says of each step what became of it.
    fn set_up(&self, context: &Context) -> Result<()> {
        let root = self.root.as_deref().unwrap_or(Path::new("/"));
        let is_root = rustix::process::geteuid().is_root();
        if !is_root && !self.dry_run && self.root.is_none() {
            let message = "only root sets up a host";
            let hint = "sudo activity config init --system, or --dry-run to see it";
            return Err(Failure::new(Exit::NoPermission, message).hint(hint).into());
        }
        let program =
            env::current_exe().context("the system does not tell where this program is")?;
        let setup = HostSetup {
            root,
            group: self.group.as_deref().unwrap_or("activity"),
            sharing: if self.setgid {
                LogSharing::Program { administrator: &context.caller.person().name }
            } else {
                LogSharing::Members
            },
            program: &program,
            recipients: &self.to,
        };
        for step in setup.steps() {
            let is_done = step.is_done(root);
            let verb = match (is_done, self.dry_run) {
                (true, _) => "kept",
                (false, true) => "would make",
                (false, false) => match step.apply(root)? {
                    StepOutcome::Made => "made",
                    StepOutcome::Kept => "kept",
                },
            };
            let path = text::escape(&step.path.to_string_lossy()).into_owned();
            let what = if is_done { "as it is".to_owned() } else { step.describe() };
            let mut lines = format!("{verb} {path} ({what})\n");
            if self.dry_run && !is_done && !path.ends_with("config.toml") {
                for line in step.text().unwrap_or_default().lines() {
                    lines += format!("    {line}").trim_end();
                    lines.push('\n');
                }
            }
            context.output.print(lines.as_bytes())?;
        }
        Ok(())
    }
}

/// Runs `doctor` with the settings that hold now.
fn examine(context: &Context) -> Result<Exit> {
    let diagnosis = context.log().diagnose(None)?;
    let zone = context.zone()?;
    let printer = context.printer(&zone, None);
    let (status, verdict) = diagnosis.verdict();
    let sections = diagnosis.sections();
    context.output.show(|out| printer.write_findings(&sections, (status, &verdict), out))?;
    Ok(if diagnosis.is_healthy() { Exit::Success } else { Exit::Negative })
}
