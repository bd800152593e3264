//! Standard output and standard error: the one place where bytes leave for them.
//!
//! Data goes to [`Terminal::output`], everything else to [`Terminal::note`] and [`Terminal::warn`].
//! Whether there is a person at the other end, how wide the page is and whether it has colour is
//! decided once, from what `settings` read. What standard error makes of it never changes how the
//! program ends; what standard output cannot take is an error, for data is lost. Nothing here
//! escapes data (its writers do), but what is told on standard error is.

mod pager;
mod progress;

use std::fmt;
use std::io;
use std::io::BufWriter;
use std::io::Write;
use std::os::fd::AsFd;
use std::process::Command;

use rustix::event;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::io::Errno;
use rustix::termios;

use crate::settings::Colour;
use crate::terminal::pager::Pager;
use crate::text;

pub(crate) use crate::terminal::progress::ProgressLine;
pub(crate) use crate::terminal::progress::ProgressTotal;

/// What the flags and the environment say of the terminal, as `settings` found it.
#[derive(Clone, Debug, Default)]
pub(crate) struct TerminalSettings {
    /// `--color`.
    pub colour: Colour,
    /// `CLICOLOR_FORCE`, set and not 0.
    pub colour_forced: bool,
    /// `NO_COLOR`, set and not empty.
    pub no_colour: bool,
    /// `TERM`.
    pub term: Option<String>,
    /// `COLUMNS`, if it is a number above 0.
    pub columns: Option<usize>,
    /// `ACTIVITY_PAGER`, else `PAGER`; empty for none.
    pub pager: Option<String>,
    /// `--no-pager`.
    pub no_pager: bool,
    /// `--quiet`.
    pub quiet: bool,
    /// Whether the locale's characters are UTF-8.
    pub utf8: bool,
}

/// Where the program reads its page.
pub(crate) struct Terminal {
    settings: TerminalSettings,
    is_stdout_tty: bool,
    is_stderr_tty: bool,
    output: TerminalOutput,
    progress: Option<ProgressLine>,
}

/// Where data goes.
enum TerminalOutput {
    Stdout(BufWriter<UnbufferedStdout>),
    Pager(BufWriter<Pager>),
}

/// What the page looks like that a person or a pipe gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DisplayOptions {
    pub colour: bool,
    /// Whether the locale's characters are UTF-8.
    pub utf8: bool,
    /// The columns to keep to; absent where nothing may be cut.
    pub width: Option<usize>,
}

/// The pager where the user named none: it leaves a page that fits the screen where it is.
const DEFAULT_PAGER: &str = "less -FRX";
/// The width of a terminal that does not tell its own.
const DEFAULT_WIDTH: usize = 80;

impl Terminal {
    pub(crate) fn new(setup: TerminalSettings) -> Self {
        Self {
            is_stdout_tty: termios::isatty(io::stdout().as_fd()),
            is_stderr_tty: termios::isatty(io::stderr().as_fd()),
            output: TerminalOutput::Stdout(BufWriter::new(UnbufferedStdout)),
            progress: None,
            settings: setup,
        }
    }

    /// Whether a person reads what goes to standard output, directly or through the pager.
    pub(crate) fn is_tty(&self) -> bool {
        self.is_stdout_tty
    }

    /// The page to draw on.
    pub(crate) fn display_options(&self) -> DisplayOptions {
        let asked = || termios::tcgetwinsize(io::stdout().as_fd()).map(|size| size.ws_col);
        let measured = || match asked() {
            Ok(columns) if columns > 0 => usize::from(columns),
            Ok(_) | Err(_) => DEFAULT_WIDTH,
        };
        DisplayOptions {
            colour: has_colour(&self.settings, self.is_stdout_tty),
            utf8: self.settings.utf8,
            width: self.settings.columns.or_else(|| self.is_stdout_tty.then(measured)),
        }
    }

    /// Sends what follows through the pager, where a person reads it and wants one. `prepare` is
    /// for whoever runs programs for somebody else. A pager that cannot run leaves the page to the
    /// terminal.
    pub(crate) fn start_pager(&mut self, prepare: impl FnOnce(&mut Command)) -> io::Result<()> {
        let command = self.settings.pager.as_deref().unwrap_or(DEFAULT_PAGER).trim();
        let able = self.is_stdout_tty && !is_dumb_terminal(&self.settings);
        let wanted = able && !self.settings.no_pager && !matches!(command, "" | "cat");
        let TerminalOutput::Stdout(stdout) = &mut self.output else { return Ok(()) };
        if wanted {
            stdout.flush()?;
            if let Ok(pager) = Pager::start(command, prepare, UnbufferedStdout) {
                self.output = TerminalOutput::Pager(BufWriter::new(pager));
            }
        }
        Ok(())
    }

    /// Where data goes. What cannot be written comes as an error that says so; a closed pipe keeps
    /// its kind, for [`finish`] to end quietly.
    ///
    /// [`finish`]: crate::failure::report_result
    pub(crate) fn output(&mut self) -> &mut dyn Write {
        match &mut self.output {
            TerminalOutput::Stdout(out) => out,
            TerminalOutput::Pager(out) => out,
        }
    }

    /// Writes what is left, and waits until the reader has closed the pager. To be called before
    /// the program ends well: only then is it known whether all was written.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.output().flush()?;
        match &mut self.output {
            TerminalOutput::Stdout(_) => Ok(()),
            TerminalOutput::Pager(out) => out.get_mut().finish(),
        }
    }

    /// Waits so long, and tells whether there is still somebody who reads standard output.
    ///
    /// # Errors
    /// As the system.
    pub(crate) fn wait_while_open(&self, pause: Timespec) -> io::Result<bool> {
        let stdout = io::stdout();
        let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
        match event::poll(&mut fds, Some(&pause)) {
            // What was not asked for is told all the same: that the other end is gone.
            Ok(told) => Ok(told == 0),
            Err(Errno::INTR) => Ok(true),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Tells on standard error what is good to know; not when `--quiet`.
    pub(crate) fn note(&self, message: &str) {
        if !self.settings.quiet {
            let colour = has_colour(&self.settings, self.is_stderr_tty);
            self.write_message(message, if colour { ("\x1b[2m", "\x1b[0m") } else { ("", "") });
        }
    }

    /// Tells on standard error what is wrong, but no reason to end here.
    pub(crate) fn warn(&self, message: &str) {
        self.write_message(message, ("", ""));
    }

    /// A line on standard error that says how far the work is, for a person alone.
    pub(crate) fn start_progress(&mut self, name: &str, work: ProgressTotal) -> ProgressLine {
        let shown = self.is_stderr_tty && !self.settings.quiet && !is_dumb_terminal(&self.settings);
        let progress = if shown {
            ProgressLine::new(name, work, self.settings.utf8)
        } else {
            ProgressLine::hidden()
        };
        self.progress = Some(progress.clone());
        progress
    }

    fn write_message(&self, message: &str, (before, after): (&str, &str)) {
        let line = format!("{before}{}{after}\n", text::escape_lines(message));
        // Standard error may be full or closed; there is nobody left to tell.
        let write = || drop(io::stderr().write_all(line.as_bytes()));
        match &self.progress {
            Some(progress) => progress.suspend(write),
            None => write(),
        }
    }
}

/// Whether to colour: the flag decides, then `CLICOLOR_FORCE`, `NO_COLOR`, and who reads.
fn has_colour(setup: &TerminalSettings, is_tty: bool) -> bool {
    match setup.colour {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto if setup.colour_forced => true,
        Colour::Auto if setup.no_colour => false,
        Colour::Auto => is_tty && !is_dumb_terminal(setup),
    }
}

fn is_dumb_terminal(setup: &TerminalSettings) -> bool {
    setup.term.as_deref() == Some("dumb")
}

/// Whether the locale that these variables name has UTF-8: the first that is set and not empty
/// decides.
pub(crate) fn is_utf8_locale(
    lc_all: Option<&str>,
    lc_ctype: Option<&str>,
    lang: Option<&str>,
) -> bool {
    let locale = [lc_all, lc_ctype, lang].into_iter().flatten().find(|locale| !locale.is_empty());
    let locale = locale.unwrap_or("C").to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// Standard output without a buffer; its errors say what could not be written.
pub(crate) struct UnbufferedStdout;

impl Write for UnbufferedStdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        rustix::io::write(io::stdout().as_fd(), bytes).map_err(|errno| stdout_error(errno.into()))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An error of standard output, of the kind that it was, in our words.
fn stdout_error(error: io::Error) -> io::Error {
    let kind = error.kind();
    if kind == io::ErrorKind::Interrupted {
        error
    } else {
        io::Error::new(kind, StdoutError(error))
    }
}

#[derive(Debug)]
struct StdoutError(io::Error);

impl fmt::Display for StdoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = self.0.to_string();
        // `No space left on device (os error 28)`
        let why = told.split(" (os error").next().unwrap_or(&told);
        let mut letters = why.chars();
        let first = letters.next().map(|c| c.to_ascii_lowercase());
        f.write_str("cannot write standard output: ")?;
        first.into_iter().chain(letters).try_for_each(|c| fmt::Write::write_char(f, c))
    }
}

impl std::error::Error for StdoutError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn colour(setup: &TerminalSettings, is_tty: bool) -> bool {
        has_colour(setup, is_tty)
    }

    #[test]
    fn the_flag_decides_on_colour_then_the_environment_then_the_reader() {
        let auto = TerminalSettings::default;
        assert!(colour(&auto(), true));
        assert!(!colour(&auto(), false));
        let no = || TerminalSettings { no_colour: true, ..auto() };
        assert!(!colour(&no(), true));
        let forced = || TerminalSettings { colour_forced: true, ..no() };
        assert!(colour(&forced(), false), "CLICOLOR_FORCE comes before NO_COLOR");
        assert!(!colour(&TerminalSettings { colour: Colour::Never, ..forced() }, true));
        assert!(colour(&TerminalSettings { colour: Colour::Always, ..no() }, false));
        let dumb = || TerminalSettings { term: Some("dumb".to_owned()), ..auto() };
        assert!(!colour(&dumb(), true));
        assert!(colour(&TerminalSettings { colour: Colour::Always, ..dumb() }, true));
    }

    #[test]
    fn the_locale_tells_whether_characters_are_utf8() {
        assert!(is_utf8_locale(None, None, Some("en_ZA.UTF-8")));
        assert!(is_utf8_locale(Some(""), Some("C.utf8"), Some("C")));
        assert!(!is_utf8_locale(Some("C"), Some("C.UTF-8"), Some("en_ZA.UTF-8")));
        assert!(!is_utf8_locale(None, None, None));
    }

    #[test]
    fn an_error_of_standard_output_says_so_and_keeps_its_kind() {
        let full = stdout_error(io::Error::from_raw_os_error(28));
        assert_eq!(full.to_string(), "cannot write standard output: no space left on device");
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        let closed = stdout_error(io::Error::from_raw_os_error(32));
        assert_eq!(closed.kind(), io::ErrorKind::BrokenPipe);
    }
}
