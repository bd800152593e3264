//! The result of a run of the program: both streams and the exit.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use serde_json::Value;

/// Prints as one block of stdout, stderr and exit, so no snapshot forgets one of them.
#[must_use = "a run proves something only when its outcome is looked at"]
#[derive(Clone)]
pub(crate) struct Output {
    pub(crate) command: String,
    pub(crate) out: Vec<u8>,
    pub(crate) err: Vec<u8>,
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    /// The text that stands for the sandbox's own folder in messages.
    root: String,
}

impl Output {
    pub(crate) fn new(command: String, root: &Path, output: std::process::Output) -> Self {
        Self {
            command,
            code: output.status.code(),
            signal: output.status.signal(),
            out: output.stdout,
            err: output.stderr,
            root: root.display().to_string(),
        }
    }

    /// Checks the exit code, and prints the whole run when it is another one. No run may ever
    /// panic.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        let panicked = String::from_utf8_lossy(&self.err).contains("panicked at");
        assert!(!panicked, "panic in `{}`\n{self}", self.command);
        assert_eq!(self.code, Some(code), "`{}`\n{self}", self.command);
        self
    }

    /// Checks the exit code where several are right.
    #[track_caller]
    pub(crate) fn exits_with_one_of(self, codes: &[i32]) {
        let code = self.code.filter(|code| codes.contains(code));
        let code = code.unwrap_or_else(|| panic!("none of {codes:?}: `{}`\n{self}", self.command));
        self.exits(code).done();
    }

    /// Checks that the run succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.exits(0)
    }

    /// Ends a run whose exit code was all that mattered.
    pub(crate) fn done(self) {
        drop(self);
    }

    #[track_caller]
    pub(crate) fn stdout(&self) -> &str {
        std::str::from_utf8(&self.out).expect("standard output is UTF-8")
    }

    #[track_caller]
    pub(crate) fn stderr(&self) -> &str {
        std::str::from_utf8(&self.err).expect("standard error is UTF-8")
    }

    /// The lines of standard output as JSON.
    #[track_caller]
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|why| panic!("{why} in {line}\n{self}"))
        };
        self.stdout().lines().map(parse).collect()
    }

    /// Standard output as one JSON value.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let rows = self.json_lines();
        assert_eq!(rows.len(), 1, "one line of JSON\n{self}");
        rows.into_iter().next().unwrap()
    }

    /// The values of one field, down the lines of JSON; absent ones are null.
    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> Vec<Value> {
        self.json_lines().iter().map(|row| row.get(name).cloned().unwrap_or(Value::Null)).collect()
    }

    /// The ids, down the lines of JSON.
    #[track_caller]
    pub(crate) fn ids(&self) -> Vec<i64> {
        self.field("id").iter().map(|id| id.as_i64().expect("an id is a number")).collect()
    }

    /// Checks that standard output is one line, with that text in it.
    #[track_caller]
    pub(crate) fn stdout_is_line_with(self, text: &str) -> Self {
        let lines: Vec<&str> = self.stdout().lines().collect();
        assert!(lines.len() == 1 && lines[0].contains(text), "not one line with {text:?}\n{self}");
        self
    }

    /// Checks that standard error has that text.
    #[track_caller]
    pub(crate) fn stderr_has(self, text: &str) -> Self {
        let said = String::from_utf8_lossy(&self.err).replace(&self.root, "[sandbox]");
        assert!(said.contains(text), "no {text:?} in\n{self}");
        self
    }

    /// Checks the shape of an error: `activity: WHAT: WHY` on one line, at most a hint behind it.
    #[track_caller]
    pub(crate) fn stderr_is_one_error(self) -> Self {
        let said: Vec<&str> = self.stderr().lines().collect();
        let hints = said.iter().filter(|line| line.starts_with("hint: ")).count();
        let shaped = said.first().is_some_and(|line| line.starts_with("activity: "))
            && said.len() == 1 + hints
            && hints <= 1
            && !said[0].ends_with('.');
        assert!(shaped, "not one line of error\n{self}");
        self
    }

    /// Checks that nothing came on standard output.
    #[track_caller]
    pub(crate) fn no_stdout(self) -> Self {
        assert!(self.out.is_empty(), "unasked data on standard output\n{self}");
        self
    }

    /// Checks that nothing came on standard error.
    #[track_caller]
    pub(crate) fn no_stderr(self) -> Self {
        assert!(self.err.is_empty(), "unasked chatter on standard error\n{self}");
        self
    }

    /// The block with one text standing for another, for what differs from run to run.
    pub(crate) fn masked(&self, masks: &[(&str, &str)]) -> String {
        masks.iter().fold(self.to_string(), |text, (from, to)| text.replace(from, to))
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes| String::from_utf8_lossy(bytes).replace(&self.root, "[sandbox]");
        f.write_str(&text(&self.out))?;
        if !self.out.is_empty() && !self.out.ends_with(b"\n") {
            f.write_str("[no end of line]\n")?;
        }
        if !self.err.is_empty() {
            write!(f, "------- stderr -------\n{}", text(&self.err))?;
            if !self.err.ends_with(b"\n") {
                f.write_str("[no end of line]\n")?;
            }
        }
        match (self.code, self.signal) {
            (Some(code), _) => writeln!(f, "[exit status: {code}]"),
            (None, signal) => writeln!(f, "[signal: {}]", signal.unwrap_or_default()),
        }
    }
}
