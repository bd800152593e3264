//! Reads crontabs, and finds in them and in scripts what runs the digest and the sweep.
//!
//! Only as much of a shell is understood as is needed to see which program a line calls with which
//! words. What is written in another way is not found, and the doctor says that there is none.

/// What a schedule runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScheduledJob {
    Digest,
    Sweep,
}

/// A call of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProgramCall {
    pub job: ScheduledJob,
    /// As it is written: a path, or a name that is looked for.
    pub program: String,
}

/// A line of a crontab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CrontabLine {
    /// From 1 up.
    pub number: usize,
    /// `0 4 * * *`, or `@daily`.
    pub schedule: String,
    pub command: String,
    /// The folders in which cron looks for programs, as the lines before set them.
    pub search_path: Option<String>,
}

/// Whose crontab it is: one of the system names a user in each line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CrontabKind {
    User,
    System,
}

/// The fields that say when.
const TIME_FIELDS: usize = 5;
const PROGRAM_NAME: &str = "activity";
/// The flags of every command that are followed by a value.
const FLAGS_WITH_VALUE: [&str; 4] = ["--db", "--config", "--tz", "--color"];
const FLAGS_WITHOUT_VALUE: [&str; 2] = ["--quiet", "--no-pager"];

/// The lines that run something, again and again.
pub(super) fn parse_lines(text: &str, form: CrontabKind) -> Vec<CrontabLine> {
    let mut lines = Vec::new();
    let mut path = None;
    for (place, line) in text.lines().enumerate() {
        let line = line.trim();
        let Some(first) = line.chars().next().filter(|first| *first != '#') else { continue };
        if first.is_ascii_alphabetic() || first == '_' || first == '"' || first == '\'' {
            let quotes = |c: char| c == '"' || c == '\'' || c.is_whitespace();
            if let Some((name, value)) = line.split_once('=')
                && name.trim_matches(quotes) == "PATH"
            {
                path = Some(value.trim_matches(quotes).to_owned());
            }
            continue;
        }
        let mut rest = line;
        let mut word = || {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            rest = after.trim_start();
            word
        };
        let when = match first {
            '@' => word().to_owned(),
            _ => (0..TIME_FIELDS).map(|_| word()).collect::<Vec<_>>().join(" "),
        };
        if form == CrontabKind::System {
            word();
        }
        if when != "@reboot" && !rest.is_empty() {
            let command = shell_command(rest);
            lines.push(CrontabLine {
                number: place + 1,
                schedule: when,
                command,
                search_path: path.clone(),
            });
        }
    }
    lines
}

/// What cron gives to the shell: it ends at a percent sign that has no backslash before it.
fn shell_command(command: &str) -> String {
    let mut plain = String::with_capacity(command.len());
    let mut chars = command.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '%' => break,
            '\\' if chars.peek() == Some(&'%') => plain.extend(chars.next()),
            c => plain.push(c),
        }
    }
    plain
}

/// The calls in a command of the shell, those within quotes too.
pub(super) fn find_calls(command: &str) -> Vec<ProgramCall> {
    let mut calls = Vec::new();
    for simple in simple_commands(command) {
        calls.extend((0..simple.len()).filter_map(|place| parse_call(&simple[place..])));
        let quoted = simple.iter().filter(|word| word.contains(char::is_whitespace));
        // It is shorter than the whole, so this ends.
        calls.extend(
            quoted.filter(|word| word.len() < command.len()).flat_map(|word| find_calls(word)),
        );
    }
    calls
}

/// Every word of a command, as a shell would have it: for scripts that it calls.
pub(super) fn shell_words(command: &str) -> Vec<String> {
    simple_commands(command).into_iter().flatten().collect()
}

fn parse_call(words: &[String]) -> Option<ProgramCall> {
    let (program, mut rest) = words.split_first()?;
    if program.rsplit('/').next() != Some(PROGRAM_NAME) {
        return None;
    }
    let mut job = None;
    while let Some((word, after)) = rest.split_first() {
        rest = after;
        match (word.as_str(), job) {
            (word, _) if FLAGS_WITH_VALUE.contains(&word) => {
                rest = after.get(1..).unwrap_or_default();
            }
            (word, _) if FLAGS_WITHOUT_VALUE.contains(&word) => {}
            (word, _) if FLAGS_WITH_VALUE.iter().any(|flag| is_flag_with_value(word, flag)) => {}
            ("digest", None) => job = Some(ScheduledJob::Digest),
            ("sweep", None) => job = Some(ScheduledJob::Sweep),
            // One that only shows something, or a digest of a part, stands for no daily run.
            (_, Some(ScheduledJob::Digest)) | ("--dry-run", _) | (_, None) => return None,
            (_, Some(ScheduledJob::Sweep)) => {}
        }
    }
    Some(ProgramCall { job: job?, program: program.clone() })
}

/// Whether a word is `--flag=value`.
fn is_flag_with_value(word: &str, flag: &str) -> bool {
    word.strip_prefix(flag).is_some_and(|rest| rest.starts_with('='))
}

/// The words of each command in a line, without quotes and redirections.
fn simple_commands(command: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut is_target = false;
    let end = |word: &mut Option<String>, commands: &mut Vec<Vec<String>>, target: &mut bool| {
        if let Some(word) = word.take()
            && !std::mem::take(target)
        {
            commands.last_mut().expect("there is one").push(word);
        }
    };
    let mut chars = command.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                let text: String = chars.by_ref().take_while(|c| *c != '\'').collect();
                word.get_or_insert_default().push_str(&text);
            }
            '"' => {
                let word = word.get_or_insert_default();
                while let Some(c) = chars.next().filter(|c| *c != '"') {
                    word.extend(if c == '\\' { chars.next() } else { Some(c) });
                }
            }
            '\\' => word.get_or_insert_default().extend(chars.next()),
            '<' | '>' => {
                // `2>` names a stream.
                if word.as_ref().is_some_and(|word| word.bytes().all(|b| b.is_ascii_digit())) {
                    word = None;
                }
                end(&mut word, &mut commands, &mut is_target);
                while chars.next_if(|c| matches!(c, '<' | '>' | '&' | '|')).is_some() {}
                is_target = true;
            }
            ';' | '&' | '|' | '(' | ')' | '\n' => {
                end(&mut word, &mut commands, &mut is_target);
                is_target = false;
                commands.push(Vec::new());
            }
            '#' if word.is_none() => break,
            c if c.is_whitespace() => end(&mut word, &mut commands, &mut is_target),
            c => word.get_or_insert_default().push(c),
        }
    }
    end(&mut word, &mut commands, &mut is_target);
    commands
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn jobs(command: &str) -> Vec<(ScheduledJob, String)> {
        find_calls(command).into_iter().map(|call| (call.job, call.program)).collect()
    }

    #[test]
    fn calls_are_found_however_they_are_written() {
        for command in [
            "activity digest",
            "activity digest >> /var/log/activity.log 2>&1",
            "activity --db /srv/log.db --tz=UTC digest --quiet",
            "ACTIVITY_DB=/srv/log.db activity digest",
            "sudo -u activity activity digest",
            "flock -n /run/lock/x activity digest || logger failed",
            "cd / && activity digest",
            "sh -c 'cd /; activity digest'",
            "sh -c \"exec activity digest 2>/dev/null\"",
            "(activity digest)",
            "activity digest # every night",
        ] {
            assert_eq!(jobs(command), [(ScheduledJob::Digest, "activity".to_owned())], "{command}");
        }
        assert_eq!(
            jobs("/usr/local/bin/activity digest; /opt/activity sweep --json"),
            [
                (ScheduledJob::Digest, "/usr/local/bin/activity".to_owned()),
                (ScheduledJob::Sweep, "/opt/activity".to_owned())
            ]
        );
    }

    #[test]
    fn what_only_looks_like_it_is_none() {
        for command in [
            "",
            "activity",
            "activity list digest",
            "activity --db digest",
            "activity digest --dry-run",
            "activity digest --to ops@example.org",
            "activity digest action:auth.*",
            "activity sweep --dry-run",
            "echo activity; digest",
            "activityd digest",
            "# activity digest",
            "activity > digest",
        ] {
            assert_eq!(jobs(command), [], "{command}");
        }
    }

    #[test]
    fn lines_are_read_as_cron_reads_them() {
        let text = "# 0 1 * * * activity digest\n\nPATH = \"/opt/bin:/bin\"\nMAILTO=root\n\
                    0 4 * * * activity digest\n  @daily\tactivity sweep %x\n@reboot activity digest\n\
                    5 3 * * 1-5 date +\\%F > x; activity sweep\n0 4 * * *\nnonsense\n";
        let lines = parse_lines(text, CrontabKind::User);
        let told: Vec<_> = lines
            .iter()
            .map(|line| (line.number, line.schedule.as_str(), line.command.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                (5, "0 4 * * *", "activity digest"),
                (6, "@daily", "activity sweep "),
                (8, "5 3 * * 1-5", "date +%F > x; activity sweep"),
            ]
        );
        assert!(lines.iter().all(|line| line.search_path.as_deref() == Some("/opt/bin:/bin")));
        let system =
            parse_lines("0 4 * * * root activity digest\n@daily root x\n", CrontabKind::System);
        assert_eq!(system[0].command, "activity digest");
        assert_eq!(system[1].command, "x");
        assert_eq!(system[0].search_path, None);
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "[-a-z '\"\\\\<>&|;()#%=@*0-9\n]{0,60}|\\PC{0,40}") {
            find_calls(&text);
            parse_lines(&text, CrontabKind::System);
        }

        #[test]
        fn a_call_is_found_behind_any_plain_command(before in "[a-z./ ]{0,20}") {
            let command = format!("{before}; activity digest");
            prop_assert!(find_calls(&command).iter().any(|call| call.job == ScheduledJob::Digest));
        }
    }
}
