//! Reads when a line of a crontab runs: five fields, or a name such as `@daily`.

use std::ops::RangeInclusive;

use crate::doctor::fault::Fault;

/// One of the five fields that say when a line runs.
struct TimeField {
    name: &'static str,
    range: RangeInclusive<u32>,
    /// Names that stand for numbers, the first for the lowest of the range.
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const TIME_FIELDS: [TimeField; 5] = [
    TimeField { name: "minute", range: 0..=59, names: &[] },
    TimeField { name: "hour", range: 0..=23, names: &[] },
    TimeField { name: "day of month", range: 1..=31, names: &[] },
    TimeField { name: "month", range: 1..=12, names: &MONTHS },
    // Sunday is 0 and 7.
    TimeField { name: "day of week", range: 0..=7, names: &WEEKDAYS },
];
const REBOOT: &str = "@reboot";
const NICKNAMES: [&str; 8] =
    [REBOOT, "@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
/// The characters that separate fields.
pub(super) const BLANKS: [char; 2] = [' ', '\t'];

/// Splits a line into the part that says when it runs and the rest.
pub(super) fn split_schedule(line: &str) -> (&str, &str) {
    let fields = if line.starts_with('@') { 1 } else { TIME_FIELDS.len() };
    let rest = (0..fields).fold(line, |rest, _| split_word(rest).1);
    (line.strip_suffix(rest).unwrap_or(line).trim_end_matches(BLANKS), rest)
}

/// Splits a text into its first word and the rest, without the blanks between them.
pub(super) fn split_word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_at(text.find(BLANKS).unwrap_or(text.len()));
    (word, rest.trim_start_matches(BLANKS))
}

/// Why cron cannot read when a line runs.
pub(super) fn error(schedule: &str) -> Option<String> {
    if schedule.starts_with('@') {
        return (!NICKNAMES.contains(&schedule)).then(|| format!("has an unknown time {schedule}"));
    }
    let mut words = schedule.split_ascii_whitespace();
    let is_bad = |field: &&TimeField| words.next().and_then(|word| field.values(word)).is_none();
    TIME_FIELDS.iter().find(is_bad).map(|field| format!("has a bad {}", field.name))
}

/// Why a line never runs as it is meant, although cron can read when.
pub(super) fn fault(schedule: &str) -> Option<Fault> {
    if schedule == REBOOT {
        let reason = "cron runs it only when the host starts";
        return Some(Fault::new(reason, "write @daily, or an hour"));
    }
    let mut fields = TIME_FIELDS.iter().zip(schedule.split_ascii_whitespace());
    let (field, word) = fields.find(|(field, word)| field.values(word) == Some(0))?;
    let reason = format!("cron never runs it: no {} is in {word}", field.name);
    Some(Fault::new(reason, "write the lower end of a range first"))
}

impl TimeField {
    /// The values that a field of a line stands for, as the bits of a number; absent where cron
    /// cannot read it. Like cron, it passes over what follows a list: `5.` is 5.
    fn values(&self, text: &str) -> Option<u64> {
        let (low, high) = (*self.range.start(), *self.range.end());
        let mut values = 0;
        let mut rest = text;
        loop {
            let (first, last) = match rest.strip_prefix('*') {
                Some(after) => {
                    rest = after;
                    (low, high)
                }
                None => {
                    let first = self.take_number(&mut rest)?;
                    match rest.strip_prefix('-') {
                        Some(after) => {
                            rest = after;
                            (first, self.take_number(&mut rest)?)
                        }
                        // A step needs a range.
                        None if rest.starts_with('/') => return None,
                        None => (first, first),
                    }
                }
            };
            let mut step = 1;
            if let Some(after) = rest.strip_prefix('/') {
                rest = after;
                step = take_word(&mut rest).parse().ok().filter(|step| *step > 0)?;
            }
            for value in (first..=last).step_by(step) {
                values |= 1 << Some(value).filter(|value| self.range.contains(value))?;
            }
            match rest.strip_prefix(',') {
                Some(after) => rest = after,
                None => return Some(values),
            }
        }
    }

    /// Takes a number or a name from the front of a text.
    fn take_number(&self, text: &mut &str) -> Option<u32> {
        let word = take_word(text);
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(word));
        match named.and_then(|index| u32::try_from(index).ok()) {
            Some(index) => Some(index + self.range.start()),
            None => word.parse().ok(),
        }
    }
}

/// Takes the letters and digits from the front of a text.
fn take_word<'a>(text: &mut &'a str) -> &'a str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    *text = rest;
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line was given to Debian's cron 3.0pl1-162.
    #[test]
    fn times_that_cron_accepts_are_accepted() {
        for time in [
            "0 4 * * *",
            "007 04 * * *",
            "59 23 31 12 7",
            "0 0 1 1 0",
            "*/5 0 * * *",
            "*/90 0 * * *",
            "1-9/2,20 0 * * *",
            "0 0 * jan *",
            "0 0 * JAN-mar *",
            "0 0 * * mon,tue",
            "0 0 * * sun-tue",
            "0 0 * * 5-7",
            "0 0 1-7 * fri",
            "5. 0 * * *",
            "*5 0 * * *",
            "1;2 0 * * *",
            "@yearly",
            "@annually",
            "@monthly",
            "@weekly",
            "@daily",
            "@midnight",
            "@hourly",
        ] {
            assert_eq!(error(time), None, "{time}");
        }
    }

    /// Each line was given to Debian's cron 3.0pl1-162.
    #[test]
    fn times_that_cron_refuses_are_refused() {
        for (time, part) in [
            ("60 4 * * *", "minute"),
            ("0 24 * * *", "hour"),
            ("0 0 0 * *", "day of month"),
            ("0 0 32 * *", "day of month"),
            ("0 0 31 0 *", "month"),
            ("0 0 1 13 *", "month"),
            ("0 0 * mon *", "month"),
            ("0 0 * january *", "month"),
            ("0 0 * * 8", "day of week"),
            ("0 0 * * monday", "day of week"),
            ("*/0 0 * * *", "minute"),
            ("*/x 0 * * *", "minute"),
            ("*/-1 0 * * *", "minute"),
            ("1/5 0 * * *", "minute"),
            ("1-9/ 0 * * *", "minute"),
            ("1-9x 0 * * *", "minute"),
            ("1-70 0 * * *", "minute"),
            ("1- 0 * * *", "minute"),
            ("-1 0 * * *", "minute"),
            ("5x 0 * * *", "minute"),
            ("1,,2 0 * * *", "minute"),
            ("1, 0 * * *", "minute"),
            (",1 0 * * *", "minute"),
            ("~ 0 * * *", "minute"),
            ("99999999999 0 * * *", "minute"),
            ("mon 0 * * *", "minute"),
            ("hello", "minute"),
            ("MAILTO='a' b", "minute"),
            ("A B=c", "minute"),
            ("\r", "minute"),
            ("@Daily", "@Daily"),
            ("@every", "@every"),
        ] {
            let reason = error(time).unwrap_or_else(|| panic!("{time}"));
            assert!(reason.starts_with("has "), "{reason}");
            assert!(reason.contains(part), "{reason}");
        }
        assert_eq!(error("0 4 * *").unwrap(), "has a bad day of week");
    }

    #[test]
    fn a_time_may_never_come() {
        for (time, part) in [
            ("0 5-3 * * *", "no hour is in 5-3"),
            ("0 0 * * fri-mon", "no day of week is in fri-mon"),
            (REBOOT, "when the host starts"),
        ] {
            assert_eq!(error(time), None);
            let reason = fault(time).unwrap_or_else(|| panic!("{time}")).reason;
            assert!(reason.contains(part), "{reason}");
        }
        assert_eq!(fault("0 0 * * fri-mon,tue"), None, "Tuesday remains");
    }

    #[test]
    fn a_line_is_split_after_its_time() {
        assert_eq!(split_schedule("0\t4 * *  * root x"), ("0\t4 * *  *", "root x"));
        assert_eq!(split_schedule("@daily root x "), ("@daily", "root x "));
        assert_eq!(split_schedule("0 4"), ("0 4", ""));
    }
}
