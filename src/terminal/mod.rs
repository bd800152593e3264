//! Standard output and standard error: the one place where bytes leave for them.
//!
//! Data goes to [`Terminal::output`], everything else to [`Terminal::note`] and [`Terminal::warn`].
//! The settings decide once whether a person reads the output, how wide the page is and whether it has
//! colour. A failed write to standard output is an error, because data is lost; a failed write to
//! standard error never changes how the program ends. The writers of data escape it themselves;
//! messages for standard error are escaped here.

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

use crate::lent_rights::FileRights;
use crate::settings::Colour;
use crate::terminal::pager::Pager;
use crate::text;

pub(crate) use crate::terminal::progress::ProgressLine;
pub(crate) use crate::terminal::progress::ProgressTotal;

/// The flags and environment variables that concern the terminal.
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
    /// `COLUMNS`, if it is a positive number.
    pub columns: Option<usize>,
    /// `ACTIVITY_PAGER`, else `PAGER`; empty for no pager.
    pub pager: Option<String>,
    /// `--no-pager`.
    pub no_pager: bool,
    /// `--quiet`.
    pub quiet: bool,
    /// Whether the locale is a UTF-8 one.
    pub utf8: bool,
    /// The rights of the pager, which is the caller's.
    pub rights: FileRights,
}

/// Standard output, with or without a pager, and standard error.
pub(crate) struct Terminal {
    settings: TerminalSettings,
    is_stdout_tty: bool,
    is_stderr_tty: bool,
    output: TerminalOutput,
    progress: Option<ProgressLine>,
}

/// The receiver of data.
enum TerminalOutput {
    Stdout(BufWriter<UnbufferedStdout>),
    Pager(BufWriter<Pager>),
}

/// The abilities of the output: colour, characters and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DisplayOptions {
    pub colour: bool,
    /// Whether the locale is a UTF-8 one.
    pub utf8: bool,
    /// The width in columns; absent if nothing may be cut.
    pub width: Option<usize>,
}

/// The pager if the user names none: it exits at once if the page fits the screen.
const DEFAULT_PAGER: &str = "less -FRX";
/// The width of a terminal that does not report one.
const DEFAULT_WIDTH: usize = 80;

impl Terminal {
    pub(crate) fn new(settings: TerminalSettings) -> Self {
        Self {
            is_stdout_tty: termios::isatty(io::stdout().as_fd()),
            is_stderr_tty: termios::isatty(io::stderr().as_fd()),
            output: TerminalOutput::Stdout(BufWriter::new(UnbufferedStdout)),
            progress: None,
            settings,
        }
    }

    /// Returns whether a person reads standard output, directly or through the pager.
    pub(crate) fn is_tty(&self) -> bool {
        self.is_stdout_tty
    }

    /// Returns the colours, characters and width that a page may use.
    pub(crate) fn display_options(&self) -> DisplayOptions {
        let reported = || termios::tcgetwinsize(io::stdout().as_fd()).map(|size| size.ws_col);
        let width = || match reported() {
            Ok(columns) if columns > 0 => usize::from(columns),
            Ok(_) | Err(_) => DEFAULT_WIDTH,
        };
        DisplayOptions {
            colour: has_colour(&self.settings, self.is_stdout_tty),
            utf8: self.settings.utf8,
            width: self.settings.columns.or_else(|| self.is_stdout_tty.then(width)),
        }
    }

    /// Sends the following data through the pager, if a person reads the output and wants a pager.
    /// `prepare` can change how the pager is run. If the pager cannot run, the page goes to the terminal.
    pub(crate) fn start_pager(&mut self, prepare: impl FnOnce(&mut Command)) -> io::Result<()> {
        let command = self.settings.pager.as_deref().unwrap_or(DEFAULT_PAGER).trim();
        let is_possible = self.is_stdout_tty && !is_dumb_terminal(&self.settings);
        let is_wanted = is_possible && !self.settings.no_pager && !matches!(command, "" | "cat");
        let TerminalOutput::Stdout(stdout) = &mut self.output else { return Ok(()) };
        if is_wanted {
            stdout.flush()?;
            if let Ok(pager) =
                Pager::start(command, &self.settings.rights, prepare, UnbufferedStdout)
            {
                self.output = TerminalOutput::Pager(BufWriter::new(pager));
            }
        }
        Ok(())
    }

    /// Returns the writer for data. Its errors say that standard output failed; the error of a closed
    /// pipe keeps its kind, so that [`report_result`] ends the program quietly.
    ///
    /// [`report_result`]: crate::failure::report_result
    pub(crate) fn output(&mut self) -> &mut dyn Write {
        match &mut self.output {
            TerminalOutput::Stdout(out) => out,
            TerminalOutput::Pager(out) => out,
        }
    }

    /// Writes the buffered rest, and waits until the reader has closed the pager. Must be called before
    /// the program exits with success: only then is it known whether everything was written.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.output().flush()?;
        match &mut self.output {
            TerminalOutput::Stdout(_) => Ok(()),
            TerminalOutput::Pager(out) => out.get_mut().finish(),
        }
    }

    /// Waits for that long, or until the reader of standard output has gone; returns whether there still
    /// is a reader.
    ///
    /// # Errors
    /// Those of the system call.
    pub(crate) fn wait_while_open(&self, duration: Timespec) -> io::Result<bool> {
        let stdout = io::stdout();
        let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
        match event::poll(&mut fds, Some(&duration)) {
            // `poll` always reports an error or a hang-up, even if no event was asked for.
            Ok(ready) => Ok(ready == 0),
            Err(Errno::INTR) => Ok(true),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Writes a remark to standard error, unless `--quiet` is given.
    pub(crate) fn note(&self, message: &str) {
        if !self.settings.quiet {
            let colour = has_colour(&self.settings, self.is_stderr_tty);
            self.write_message(message, if colour { ("\x1b[2m", "\x1b[0m") } else { ("", "") });
        }
    }

    /// Writes a problem that does not end the program to standard error.
    pub(crate) fn warn(&self, message: &str) {
        self.write_message(message, ("", ""));
    }

    /// Asks a question that is answered with yes or no, and returns whether the answer is yes. A signal
    /// answers no. Nobody is asked, and the answer is no, where standard input or standard error is no
    /// terminal.
    ///
    /// # Errors
    /// Those of standard input.
    pub(crate) fn ask(&self, question: &str) -> io::Result<bool> {
        let stdin = io::stdin();
        if !self.is_stderr_tty || !termios::isatty(stdin.as_fd()) {
            return Ok(false);
        }
        let question = format!("{} [y/N] ", text::escape_lines(question));
        io::stderr().write_all(question.as_bytes())?;
        // `read` would go on after a signal, `poll` does not. A terminal gives whole lines.
        let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
        match event::poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        }
        let mut answer = [0; 16];
        let length = rustix::io::read(stdin.as_fd(), &mut answer)?;
        let answer = answer[..length].trim_ascii().to_ascii_lowercase();
        Ok(matches!(answer.as_slice(), b"y" | b"yes"))
    }

    /// Starts a line on standard error that shows how far the work is; hidden unless a person reads it.
    pub(crate) fn start_progress(&mut self, name: &str, total: ProgressTotal) -> ProgressLine {
        let is_shown =
            self.is_stderr_tty && !self.settings.quiet && !is_dumb_terminal(&self.settings);
        let progress = if is_shown {
            ProgressLine::new(name, total, self.settings.utf8)
        } else {
            ProgressLine::hidden()
        };
        self.progress = Some(progress.clone());
        progress
    }

    fn write_message(&self, message: &str, (before, after): (&str, &str)) {
        let line = format!("{before}{}{after}\n", text::escape_lines(message));
        // Standard error may be full or closed; there is no other place for the message.
        let write = || drop(io::stderr().write_all(line.as_bytes()));
        match &self.progress {
            Some(progress) => progress.suspend(write),
            None => write(),
        }
    }
}

/// Returns whether to use colour: the flag decides, then `CLICOLOR_FORCE`, `NO_COLOR`, and whether a
/// person reads the output.
fn has_colour(settings: &TerminalSettings, is_tty: bool) -> bool {
    match settings.colour {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto if settings.colour_forced => true,
        Colour::Auto if settings.no_colour => false,
        Colour::Auto => is_tty && !is_dumb_terminal(settings),
    }
}

fn is_dumb_terminal(settings: &TerminalSettings) -> bool {
    settings.term.as_deref() == Some("dumb")
}

/// Returns whether these variables name a UTF-8 locale: the first one that is not empty decides.
pub(crate) fn is_utf8_locale(
    lc_all: Option<&str>,
    lc_ctype: Option<&str>,
    lang: Option<&str>,
) -> bool {
    let locale = [lc_all, lc_ctype, lang].into_iter().flatten().find(|locale| !locale.is_empty());
    let locale = locale.unwrap_or("C").to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// Standard output without a buffer; its errors say that standard output failed.
pub(crate) struct UnbufferedStdout;

impl Write for UnbufferedStdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        rustix::io::write(io::stdout().as_fd(), bytes).map_err(|errno| stdout_error(errno.into()))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the error with a message that names standard output; its kind stays.
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
        let message = self.0.to_string();
        // `No space left on device (os error 28)`
        let reason = message.split(" (os error").next().unwrap_or(&message);
        let mut letters = reason.chars();
        let first = letters.next().map(|c| c.to_ascii_lowercase());
        f.write_str("cannot write standard output: ")?;
        first.into_iter().chain(letters).try_for_each(|c| fmt::Write::write_char(f, c))
    }
}

impl std::error::Error for StdoutError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn colour(settings: &TerminalSettings, is_tty: bool) -> bool {
        has_colour(settings, is_tty)
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
