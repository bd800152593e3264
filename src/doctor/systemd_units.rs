//! Reads the settings of systemd's units.

/// The values of a key in a section of a unit, in their order; continued lines are joined.
///
/// An empty value removes the values before it, as systemd does for lists.
pub(super) fn values(text: &str, section: &str, key: &str) -> Vec<String> {
    let joined = text.replace("\\\r\n", " ").replace("\\\n", " ");
    let mut within = false;
    let mut values = Vec::new();
    for line in joined.lines().map(str::trim) {
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            within = name.strip_suffix(']') == Some(section);
        } else if within
            && let Some((name, value)) = line.split_once('=')
            && name.trim_end() == key
        {
            match value.trim_start() {
                "" => values.clear(),
                value => values.push(value.to_owned()),
            }
        }
    }
    values
}

/// The command of an `ExecStart`, without the special characters before it.
pub(super) fn strip_exec_prefix(exec: &str) -> &str {
    exec.trim_start_matches(['@', '-', ':', '+', '!', '|'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_their_section() {
        let unit = "# ExecStart=no\n[Unit]\nExecStart=no\n[Service]\nExecStart = -/bin/a \\\n  b\n\
                    ;ExecStart=no\nExecStart=c\n[Install]\nExecStart=no\n";
        assert_eq!(values(unit, "Service", "ExecStart"), ["-/bin/a    b", "c"]);
        assert_eq!(strip_exec_prefix("-/bin/a b"), "/bin/a b");
        let cleared = "[Timer]\nOnCalendar=daily\nOnCalendar=\nOnCalendar=hourly\n";
        assert_eq!(values(cleared, "Timer", "OnCalendar"), ["hourly"]);
        assert_eq!(values(cleared, "Timer", "Unit"), [""; 0]);
    }
}
