//! The pager: a program chosen by the user that shows them the page.

use std::io;
use std::io::Write;
use std::process::Child;
use std::process::ChildStdin;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;

use crate::lent_rights::FileRights;
use crate::terminal::stdout_error;

/// The most bytes that are kept to write again if the pager never ran: more than the default capacity
/// of a pipe on Linux and our own buffer, which is all that such a pager can have taken.
const REPLAY_LIMIT: usize = 256 << 10;

/// A running pager, and the way out if it turns out that it could not run.
pub(super) struct Pager {
    child: Child,
    /// Absent once everything is written.
    input: Option<ChildStdin>,
    /// The bytes written so far; absent once there are more than [`REPLAY_LIMIT`].
    replay: Option<Vec<u8>>,
    /// The receiver of the page if there is no pager.
    fallback: Box<dyn Write>,
    /// Whether the page goes to `fallback`.
    is_fallen_back: bool,
}

impl Pager {
    /// Starts the command with these rights, through a shell if it contains more than plain words.
    ///
    /// # Errors
    /// Those of the system, if a command without a shell cannot be run.
    pub(super) fn start(
        command: &str,
        rights: &FileRights,
        prepare: impl FnOnce(&mut Command),
        fallback: impl Write + 'static,
    ) -> io::Result<Self> {
        let mut pager = if command.contains(|c: char| "|&;<>()$`\\\"'*?[#~=%!{}\n".contains(c)) {
            let mut shell = Command::new("sh");
            shell.args(["-c", command]);
            shell
        } else {
            let mut words = command.split_whitespace();
            let mut plain = Command::new(words.next().unwrap_or_default());
            plain.args(words);
            plain
        };
        prepare(&mut pager);
        let mut child = rights.spawn(pager.stdin(Stdio::piped()))?;
        let input = child.stdin.take();
        Ok(Self {
            child,
            input,
            replay: Some(Vec::new()),
            fallback: Box::new(fallback),
            is_fallen_back: false,
        })
    }

    /// Waits until the pager is closed; if it never ran, writes the page to the terminal.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        if self.is_fallen_back {
            return self.fallback.flush();
        }
        self.input = None;
        let status = self.child.wait()?;
        if never_ran(status) && self.fall_back()? { self.fallback.flush() } else { Ok(()) }
    }

    /// Writes to the terminal what the pager has taken; returns false if that is no longer kept.
    fn fall_back(&mut self) -> io::Result<bool> {
        let Some(written) = self.replay.take() else { return Ok(false) };
        self.is_fallen_back = true;
        self.fallback.write_all(&written)?;
        Ok(true)
    }
}

/// Returns whether this is the status of a shell that did not find the command or could not run it.
fn never_ran(status: ExitStatus) -> bool {
    matches!(status.code(), Some(126 | 127))
}

impl Write for Pager {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_fallen_back {
            return self.fallback.write(bytes);
        }
        let Some(input) = &mut self.input else { return Err(io::ErrorKind::BrokenPipe.into()) };
        match input.write(bytes) {
            Ok(taken) => {
                self.replay = self.replay.take().filter(|all| all.len() + taken <= REPLAY_LIMIT);
                if let Some(written) = &mut self.replay {
                    written.extend_from_slice(&bytes[..taken]);
                }
                Ok(taken)
            }
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.input = None;
                if never_ran(self.child.wait()?) && self.fall_back()? {
                    return self.fallback.write(bytes);
                }
                Err(error)
            }
            Err(error) => Err(stdout_error(error)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.is_fallen_back { self.fallback.flush() } else { Ok(()) }
    }
}

impl Drop for Pager {
    /// Waits for the pager, which owns the terminal until the reader closes it.
    fn drop(&mut self) {
        self.input = None;
        drop(self.child.wait());
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::fs;
    use std::rc::Rc;

    use super::*;

    #[derive(Clone, Default)]
    struct Screen(Rc<RefCell<Vec<u8>>>);

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Screen {
        fn page(&self) -> String {
            String::from_utf8(self.0.borrow().clone()).unwrap()
        }
    }

    #[test]
    fn a_page_goes_through_the_pager() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a page");
        let command = format!("tr a-z A-Z > '{}'", file.display());
        let screen = Screen::default();
        let mut pager =
            Pager::start(&command, &FileRights::Program, |_| {}, screen.clone()).unwrap();
        pager.write_all(b"one\n").unwrap();
        pager.finish().unwrap();
        assert_eq!(fs::read_to_string(file).unwrap(), "ONE\n", "it is waited for");
        assert_eq!(screen.page(), "");
    }

    #[test]
    fn a_pager_that_cannot_run_leaves_the_page_to_the_terminal() {
        assert!(
            Pager::start("no-such-pager-here -R", &FileRights::Program, |_| {}, io::sink())
                .is_err()
        );
        // A shell is there and takes the page, or the beginning of it; the pager is not.
        for command in ["no-such-pager-here 2>&-", "exec 0<&-; no-such-pager-here 2>&-"] {
            let screen = Screen::default();
            let mut pager =
                Pager::start(command, &FileRights::Program, |_| {}, screen.clone()).unwrap();
            let page = "a line\n".repeat(30_000);
            for line in page.lines() {
                pager.write_all(line.as_bytes()).unwrap();
                pager.write_all(b"\n").unwrap();
            }
            pager.finish().unwrap();
            assert!(screen.page() == page, "{command}: {} bytes", screen.page().len());
        }
    }

    #[test]
    fn a_reader_who_closes_the_pager_early_ends_the_page() {
        let screen = Screen::default();
        let mut pager =
            Pager::start("head -n 1 > /dev/null", &FileRights::Program, |_| {}, screen.clone())
                .unwrap();
        let page = "a line\n".repeat(1_000_000);
        let error = pager.write_all(page.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(screen.page(), "");
    }

    #[test]
    fn the_command_can_be_prepared() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("page");
        let prepare = |command: &mut Command| {
            command.env("INTO", &file);
        };
        let mut pager =
            Pager::start("cat > \"$INTO\"", &FileRights::Program, prepare, io::sink()).unwrap();
        pager.write_all(b"one\n").unwrap();
        pager.finish().unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"one\n");
    }
}
