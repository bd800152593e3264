//! Standard output and standard error, as the commands use them.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io;
use std::io::Write;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::settings::Environment;
use crate::settings::Settings;
use crate::terminal::DisplayOptions;
use crate::terminal::ProgressLine;
use crate::terminal::ProgressTotal;
use crate::terminal::Terminal;
use crate::terminal::TerminalSettings;
use crate::terminal::is_utf8_locale;

/// Where a command writes. It knows nothing of the log.
pub(crate) struct Output {
    /// One thread writes; the cell lets a progress line and a warning share the terminal.
    terminal: RefCell<Terminal>,
    /// The environment of a pager that runs with rights of its own; absent where it inherits that of
    /// the program.
    clean_environment: Option<Vec<(&'static str, OsString)>>,
}

impl Output {
    pub(super) fn new(settings: &Settings) -> Self {
        let clean_environment =
            settings.rights.are_lent().then(|| clean_environment(&settings.environment));
        let terminal = RefCell::new(Terminal::new(terminal_settings(settings)));
        Self { terminal, clean_environment }
    }

    /// Returns whether a person reads standard output.
    pub(crate) fn is_interactive(&self) -> bool {
        self.terminal.borrow().is_tty()
    }

    /// The colours, characters and width that a page may use.
    pub(super) fn display_options(&self) -> DisplayOptions {
        self.terminal.borrow().display_options()
    }

    /// Writes a page, through the pager where a person reads it.
    ///
    /// # Errors
    /// Those of standard output.
    pub(crate) fn show(&self, draw: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
        let mut terminal = self.terminal.borrow_mut();
        terminal.start_pager(|pager| {
            if let Some(variables) = &self.clean_environment {
                pager.env_clear().envs(variables.iter().map(|(name, value)| (*name, value)));
            }
        })?;
        draw(terminal.output())?;
        Ok(terminal.finish()?)
    }

    /// Writes text at once, without a pager.
    ///
    /// # Errors
    /// Those of standard output.
    pub(crate) fn print(&self, text: &[u8]) -> Result<()> {
        let mut terminal = self.terminal.borrow_mut();
        terminal.output().write_all(text)?;
        Ok(terminal.output().flush()?)
    }

    /// Waits for that long, or until the reader of standard output has gone; returns whether there
    /// still is a reader.
    ///
    /// # Errors
    /// Those of standard output.
    pub(crate) fn wait_while_open(&self, duration: Duration) -> Result<bool> {
        let duration = duration.try_into().context("the duration is short")?;
        Ok(self.terminal.borrow().wait_while_open(duration)?)
    }

    /// Writes a remark to standard error, unless `--quiet` is given.
    pub(crate) fn note(&self, message: &str) {
        self.terminal.borrow().note(message);
    }

    /// Writes a problem that does not end the program to standard error.
    pub(crate) fn warn(&self, message: &str) {
        self.terminal.borrow().warn(message);
    }

    /// Asks a person a question on the terminal, and returns whether they said yes. Nobody is asked, and
    /// the answer is no, where standard input or standard error is no terminal.
    ///
    /// # Errors
    /// Those of standard input.
    pub(crate) fn ask(&self, question: &str) -> Result<bool> {
        Ok(self.terminal.borrow().ask(question)?)
    }

    /// Starts a line on standard error that shows a person how far the work is.
    pub(super) fn start_progress(&self, name: &str, total: ProgressTotal) -> ProgressLine {
        self.terminal.borrow_mut().start_progress(name, total)
    }
}

/// Returns the environment of a child of a caller who has lent rights.
fn clean_environment(environment: &Environment) -> Vec<(&'static str, OsString)> {
    let kept = ["TERM", "LANG", "LC_ALL", "LC_CTYPE"];
    let kept = kept.into_iter().filter_map(|name| Some((name, environment.get(name)?.to_owned())));
    kept.chain([("PATH", "/usr/bin:/bin".into())]).collect()
}

/// The flags and environment variables that concern the terminal.
fn terminal_settings(settings: &Settings) -> TerminalSettings {
    let environment = &settings.environment;
    let forced = environment.get("CLICOLOR_FORCE").is_some_and(|forced| forced != "0");
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].map(|name| environment.text(name));
    TerminalSettings {
        colour: settings.colour,
        colour_forced: forced,
        no_colour: environment.get("NO_COLOR").is_some(),
        term: environment.text("TERM").map(str::to_owned),
        columns: environment
            .text("COLUMNS")
            .and_then(|columns| columns.parse().ok())
            .filter(|n| *n > 0),
        pager: settings.pager().map(str::to_owned),
        no_pager: settings.no_pager,
        quiet: settings.quiet,
        utf8: is_utf8_locale(locale[0], locale[1], locale[2]),
        rights: settings.rights.clone(),
    }
}
