//! The waits between attempts to reach a service. Pure: the time and the noise are arguments.
//!
//! Waits double, and noise spreads them, so that hosts that failed together do not return together. The
//! wait that a service asks for takes precedence. No wait is longer than [`MAX_WAIT`]. The callers
//! decide how often to try, and which failures to try again.

use std::time::Duration;
use std::time::UNIX_EPOCH;

/// The longest wait.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(60);

/// Returns the wait after a number of failures in a row. `first` is the wait after the first one.
///
/// `noise` is any number. It adds up to a quarter.
pub(crate) fn backoff(first: Duration, failures: u32, noise: u64) -> Duration {
    let doublings = failures.saturating_sub(1).min(31);
    let wait = first.saturating_mul(1 << doublings).min(MAX_WAIT);
    let share = u32::try_from(noise % 256).expect("less than 256");
    (wait + wait / 4 * share / 256).min(MAX_WAIT)
}

/// Returns the wait that a header `Retry-After` asks for: seconds, or an HTTP date, which is compared
/// with `now` in seconds since 1970.
pub(crate) fn parse_retry_after(value: &str, now: i64) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(value.parse().map_or(MAX_WAIT, Duration::from_secs).min(MAX_WAIT));
    }
    let then = parse_http_date(value)?;
    Some(capped_seconds(then.saturating_sub(now)))
}

/// Returns the wait until the time in a header `X-RateLimit-Reset`, in seconds since 1970, or `None`
/// where that time is past.
pub(crate) fn parse_rate_limit_reset(value: &str, now: i64) -> Option<Duration> {
    let then: i64 = value.trim().parse().ok()?;
    (then > now).then(|| capped_seconds(then.saturating_sub(now)))
}

/// Parses an HTTP date to seconds since 1970.
pub(crate) fn parse_http_date(value: &str) -> Option<i64> {
    let date = httpdate::parse_http_date(value.trim()).ok()?;
    i64::try_from(date.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

fn capped_seconds(count: i64) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or_default()).min(MAX_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_763_611_200;

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits: Vec<u64> = (1..=8).map(|n| backoff(secs(2), n, 0).as_secs()).collect();
        assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(backoff(secs(2), 0, 0), secs(2));
        assert_eq!(backoff(secs(2), u32::MAX, u64::MAX), MAX_WAIT);
        assert_eq!(backoff(Duration::MAX, 1, u64::MAX), MAX_WAIT);
        assert_eq!(backoff(Duration::ZERO, 9, u64::MAX), Duration::ZERO);
    }

    #[test]
    fn noise_adds_less_than_a_quarter() {
        for noise in 0..1000 {
            let wait = backoff(secs(2), 2, noise);
            assert!(wait >= secs(4) && wait < secs(5), "{noise}: {wait:?}");
        }
        assert_ne!(backoff(secs(2), 1, 1), backoff(secs(2), 1, 2));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(parse_retry_after("7", NOW), Some(secs(7)));
        assert_eq!(parse_retry_after(" 0 ", NOW), Some(Duration::ZERO));
        assert_eq!(parse_retry_after("99999999999999999999999", NOW), Some(MAX_WAIT));
        assert_eq!(parse_retry_after("Thu, 20 Nov 2025 04:00:09 GMT", NOW), Some(secs(9)));
        assert_eq!(parse_retry_after("Thu, 20 Nov 2025 03:00:00 GMT", NOW), Some(Duration::ZERO));
        assert_eq!(parse_retry_after("Thu, 20 Nov 2098 04:00:09 GMT", NOW), Some(MAX_WAIT));
        for odd in ["", "-1", "1.5", "soon", "Thu, 99 Nov 2025 04:00:09 GMT"] {
            assert_eq!(parse_retry_after(odd, NOW), None, "{odd:?}");
        }
    }

    #[test]
    fn a_reset_in_the_past_asks_for_nothing() {
        assert_eq!(parse_rate_limit_reset("1763611205", NOW), Some(secs(5)));
        assert_eq!(parse_rate_limit_reset("1763619999", NOW), Some(MAX_WAIT));
        for odd in ["1763611200", "0", "-9223372036854775808", "x", ""] {
            assert_eq!(parse_rate_limit_reset(odd, NOW), None, "{odd:?}");
        }
    }
}
