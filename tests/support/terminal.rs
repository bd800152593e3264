//! A pseudo-terminal to run the program on, for what it does only there.

use std::fs::File;
use std::fs::OpenOptions;
use std::io::Read;
use std::process::Command;
use std::process::Stdio;

use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use crate::support::Output;
use crate::support::Sandbox;
use crate::support::wait;

pub(crate) struct PseudoTerminal {
    pub(crate) master: File,
    slave: File,
}

impl PseudoTerminal {
    pub(crate) fn new(columns: u16) -> Self {
        let master = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        rustix::pty::grantpt(&master).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        let name = rustix::pty::ptsname(&master, Vec::new()).unwrap();
        let slave = OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let size = Winsize { ws_row: 1000, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&master, size).unwrap();
        Self { master: File::from(master), slave }
    }

    /// The terminal as a stream for a child.
    pub(crate) fn child_stdio(&self) -> Stdio {
        self.slave.try_clone().unwrap().into()
    }

    /// Closes our own hold on the child's side and reads until the last child is gone.
    pub(crate) fn read_to_end(self) -> String {
        let Self { mut master, slave } = self;
        drop(slave);
        let mut all = Vec::new();
        let mut buffer = [0; 1 << 14];
        loop {
            assert!(wait::is_readable_within(&master, wait::DEADLINE), "the terminal went quiet");
            // A terminal whose other side is closed gives an error, not an end.
            match master.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(count) => all.extend_from_slice(&buffer[..count]),
            }
        }
        String::from_utf8(all).unwrap().replace("\r\n", "\n")
    }
}

impl Sandbox {
    /// Runs a command with standard output on a terminal that wide; the rest is collected. The
    /// terminal says how wide it is, so `COLUMNS` is not set.
    pub(crate) fn run_on_terminal(&self, columns: u16, command: Command) -> Output {
        self.run_on_terminal_with_env(columns, command, &[("ACTIVITY_PAGER", "cat")])
    }

    /// As [`Sandbox::run_on_terminal`], with a pager of the test's choice.
    pub(crate) fn run_on_terminal_with_env(
        &self,
        columns: u16,
        mut command: Command,
        variables: &[(&str, &str)],
    ) -> Output {
        let terminal = PseudoTerminal::new(columns);
        command
            .env_remove("COLUMNS")
            .env("TERM", "xterm-256color")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(terminal.child_stdio())
            .stderr(Stdio::piped());
        let text = format!("{command:?}");
        let child = command.spawn().unwrap();
        // The command holds the terminal too, and would keep it open.
        drop(command);
        let (shown, mut output) = std::thread::scope(|scope| {
            let shown = scope.spawn(|| terminal.read_to_end());
            let output = child.wait_with_output().unwrap();
            (shown.join().unwrap(), output)
        });
        output.stdout = shown.into_bytes();
        Output::new(text, self.root(), output)
    }
}
