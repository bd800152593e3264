use std::os::unix::fs::symlink;

use chrono_tz::TZ_VARIANTS;
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

fn zone(name: &str) -> Zone {
    Zone::parse(name).unwrap()
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        any::<i64>(),
        // Where the zones change most, to the second, so that transitions are hit.
        (0_i64..4_000_000_000).prop_map(|seconds| seconds * 1_000_000_000),
    ]
    .prop_map(Timestamp::from_nanos)
}

/// Zones with summer time in the notation of POSIX: in the north, in the south, ending in another
/// year, by days of the year, all the year, and with a winter time instead.
const POSIX_ZONES: [&str; 7] = [
    "CET-1CEST,M3.5.0,M10.5.0/3",
    "AEST-10AEDT,M10.1.0,M4.1.0/3",
    "<-03>3<-02>,M3.5.0/-2,M10.5.0/-1",
    "EST5EDT4:30,J60/0,J300/0",
    "XXX3YYY,59/1:30:15,364/24",
    "EST5EDT,0/0,J365/25",
    "IST-1GMT0,M10.5.0,M3.5.0/1",
];

fn any_zone() -> impl Strategy<Value = Zone> {
    prop_oneof![
        8 => prop::sample::select(&TZ_VARIANTS[..]).prop_map(|tz| zone(tz.name())),
        1 => (-1439_i64..1440).prop_map(|minutes| {
            let sign = if minutes < 0 { '-' } else { '+' };
            zone(&format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60))
        }),
        1 => prop::sample::select(&POSIX_ZONES[..]).prop_map(zone),
        1 => Just(Zone::utc()),
    ]
}

#[test]
fn rfc_3339_is_read_to_the_nanosecond() {
    for (text, nanos) in [
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("2026-11-20T14:28:09.551+02:00", 1_795_177_689_551_000_000),
        ("2026-11-20t12:28:09.551z", 1_795_177_689_551_000_000),
        ("2026-11-20 12:28:09.551-00:00", 1_795_177_689_551_000_000),
        ("2024-02-29T23:30:00-01:30", 1_709_254_800_000_000_000),
        ("2016-12-31T23:59:60.5Z", 1_483_228_800_500_000_000),
        ("2017-01-01T01:59:60+02:00", 1_483_228_800_000_000_000),
        ("1677-09-21T00:12:43.145224192Z", i64::MIN),
        ("2262-04-11T23:47:16.854775807Z", i64::MAX),
    ] {
        assert_eq!(Timestamp::parse_rfc3339(text), Ok(Timestamp::from_nanos(nanos)), "{text}");
    }
}

#[test]
fn what_is_no_rfc_3339_is_refused_by_name() {
    for (text, why) in [
        ("", r#""" is not a time like 2026-11-20T04:00:00Z"#),
        ("2026-11-20", r#""2026-11-20" is not a time like 2026-11-20T04:00:00Z"#),
        ("2026-11-20T04:00Z", r#""2026-11-20T04:00Z" is not a time like 2026-11-20T04:00:00Z"#),
        ("a\u{1b}[2J", r#""a\e[2J" is not a time like 2026-11-20T04:00:00Z"#),
        ("2026-13-01T00:00:00Z", r#""2026-13-01T00:00:00Z" is not a time: there is no month 13"#),
        ("2026-02-29T00:00:00Z", r#""2026-02-29T00:00:00Z" is not a time: there is no 2026-02-29"#),
        ("2026-02-00T00:00:00Z", r#""2026-02-00T00:00:00Z" is not a time: there is no 2026-02-00"#),
        ("2026-02-01T24:00:00Z", r#""2026-02-01T24:00:00Z" is not a time: there is no hour 24"#),
        ("2026-02-01T00:60:00Z", r#""2026-02-01T00:60:00Z" is not a time: there is no minute 60"#),
        ("2026-02-01T00:00:61Z", r#""2026-02-01T00:00:61Z" is not a time: there is no second 61"#),
        (
            "2026-02-01T00:00:60Z",
            r#""2026-02-01T00:00:60Z" is not a time: a second 60 is only at 23:59 UTC"#,
        ),
        (
            "2026-02-01T00:00:00.0000000000Z",
            r#""2026-02-01T00:00:00.0000000000Z" is not a time: its fraction is finer than a nanosecond (9 digits)"#,
        ),
        (
            "2026-02-01T00:00:00+24:00",
            r#""2026-02-01T00:00:00+24:00" is not a time: there is no offset of 24:00"#,
        ),
        (
            "2262-04-11T23:47:16.854775808Z",
            r#""2262-04-11T23:47:16.854775808Z" is not a time: it is outside 1677-09-21 to 2262-04-11"#,
        ),
    ] {
        assert_eq!(Timestamp::parse_rfc3339(text), Err(why.to_owned()));
    }
    for form in [
        "2026-11-20T04:00:00.Z",
        "2026-11-20T04:00:00",
        "2026-11-20T04:00:00+020",
        "2026-11-20T04:00:00 SAST",
        "2026-11-20T04:00:00ZZ",
        "2026-11-20T04:00:00+02:00Z",
        "+026-11-20T04:00:00Z",
        "２０２６-11-20T04:00:00Z",
        "2026-11-20  04:00:00Z",
        " 2026-11-20T04:00:00Z",
    ] {
        let error = Timestamp::parse_rfc3339(form).unwrap_err();
        assert!(error.ends_with("is not a time like 2026-11-20T04:00:00Z"), "{error}");
    }
}

#[test]
fn emitters_may_write_unix_time_exactly() {
    for (text, nanos) in [
        ("0", 0),
        ("-0.0e5", 0),
        ("0e999999999999999999999", 0),
        ("1700000000", 1_700_000_000_000_000_000),
        ("1700000000.123456789", 1_700_000_000_123_456_789),
        ("1700000000.1234567890000", 1_700_000_000_123_456_789),
        ("-1.5", -1_500_000_000),
        ("1.7e9", 1_700_000_000_000_000_000),
        ("17E+8", 1_700_000_000_000_000_000),
        ("1700000000000e-3", 1_700_000_000_000_000_000),
        ("0.000000001", 1),
        ("1700000000123", 1_700_000_000_123_000_000),
        ("1700000000123456", 1_700_000_000_123_456_000),
        ("1700000000123456.789", 1_700_000_000_123_456_789),
        ("1700000000123456789", 1_700_000_000_123_456_789),
        ("100000000000000", 100_000_000_000_000_000),
        ("100000000000000000", 100_000_000_000_000_000),
        ("1700000000123.456789", 1_700_000_000_123_456_789),
        ("100000000000", 100_000_000_000_000_000),
        ("-100000000000", -100_000_000_000_000_000),
        ("9223372036.854775807", i64::MAX),
        ("-9223372036.854775808", i64::MIN),
    ] {
        assert_eq!(parse_emitted(text, None), Ok(Timestamp::from_nanos(nanos)), "{text}");
    }
    let fine = "its fraction is finer than a nanosecond";
    let range = "it is outside 1677-09-21 to 2262-04-11";
    for (text, why) in [
        ("1700000000.1234567891", fine),
        ("1e-10", fine),
        ("1e-99999999999999999999", fine),
        ("1700000000123.4567891", fine),
        ("99999999999", range),
        ("9223372036.854775808", range),
        ("9223372036855", range),
        ("1e99999999999999999999", range),
    ] {
        assert_eq!(parse_emitted(text, None), Err(format!("\"{text}\" is not a time: {why}")));
    }
    for text in ["", "-", "1.", ".5", "+1", "1e", "0x10", "1_000", "NaN", "17000 00000"] {
        assert!(parse_emitted(text, None).unwrap_err().contains("is not a time like"), "{text}");
    }
}

#[test]
fn emitters_local_time_needs_a_zone() {
    let berlin = zone("Europe/Berlin");
    for (text, utc) in [
        ("2026-11-20 14:30:05", "2026-11-20T13:30:05Z"),
        ("2026-11-20T14:30", "2026-11-20T13:30:00Z"),
        ("2026-11-20T14:30:05.25", "2026-11-20T13:30:05.25Z"),
        ("2026-11-20", "2026-11-19T23:00:00Z"),
        ("2026-10-25 02:30", "2026-10-25T00:30:00Z"),
        ("2026-03-29 02:30", "2026-03-29T01:00:00Z"),
        ("2026-11-20T14:30:05-05:00", "2026-11-20T19:30:05Z"),
        ("2026-11-20T14:30:05-0500", "2026-11-20T19:30:05Z"),
        ("2026-11-20T14:30:05+02", "2026-11-20T12:30:05Z"),
        ("2026-11-20 14:30:05 +0200", "2026-11-20T12:30:05Z"),
        ("2026-11-20 14:30:05 UTC", "2026-11-20T14:30:05Z"),
        ("2026-11-20 14:30:05,25Z", "2026-11-20T14:30:05.25Z"),
    ] {
        assert_eq!(parse_emitted(text, Some(&berlin)), Ok(at(utc)), "{text}");
    }
    assert_eq!(
        parse_emitted("2026-11-20 14:30", None),
        Err("\"2026-11-20 14:30\" is not a time: it has no offset, and --input-tz does not say how \
             to read it"
            .to_owned())
    );
}

#[test]
fn people_may_write_times_in_these_ways() {
    let now = at("2026-11-20T12:30:00.5Z");
    let berlin = zone("Europe/Berlin");
    for (text, utc) in [
        ("now", "2026-11-20T12:30:00.5Z"),
        ("Today", "2026-11-19T23:00:00Z"),
        ("yesterday", "2026-11-18T23:00:00Z"),
        ("2026-11-20", "2026-11-19T23:00:00Z"),
        ("2026-11-20 14:30", "2026-11-20T13:30:00Z"),
        ("2026-11-20T14:30", "2026-11-20T13:30:00Z"),
        ("2026-11-20 14:30:05", "2026-11-20T13:30:05Z"),
        (" 2026-11-20T14:30:05.5Z ", "2026-11-20T14:30:05.5Z"),
        ("2026-11-19T04:00Z", "2026-11-19T04:00:00Z"),
        ("2h", "2026-11-20T10:30:00.5Z"),
        ("-2h", "2026-11-20T10:30:00.5Z"),
        ("1w", "2026-11-13T12:30:00.5Z"),
        ("3 days ago", "2026-11-17T12:30:00.5Z"),
        ("1  Hour  AGO", "2026-11-20T11:30:00.5Z"),
        ("90 minutes ago", "2026-11-20T11:00:00.5Z"),
        ("2 min ago", "2026-11-20T12:28:00.5Z"),
        ("1 year ago", "2025-11-20T12:30:00.5Z"),
        ("@1700000000", "2023-11-14T22:13:20Z"),
        ("@1700000000.25", "2023-11-14T22:13:20.25Z"),
        ("@-1", "1969-12-31T23:59:59Z"),
        ("2h ago", "2026-11-20T10:30:00.5Z"),
        ("1h30m", "2026-11-20T11:00:00.5Z"),
        ("90min", "2026-11-20T11:00:00.5Z"),
        ("8 hours", "2026-11-20T04:30:00.5Z"),
        ("1 day 2 hours ago", "2026-11-19T10:30:00.5Z"),
        ("tomorrow", "2026-11-20T23:00:00Z"),
        ("14:30", "2026-11-20T13:30:00Z"),
        ("today 09:00", "2026-11-20T08:00:00Z"),
        ("yesterday 14:30:05", "2026-11-19T13:30:05Z"),
        // The day is a Friday.
        ("Monday", "2026-11-15T23:00:00Z"),
        ("thu", "2026-11-18T23:00:00Z"),
        ("friday", "2026-11-12T23:00:00Z"),
        ("mon 08:15", "2026-11-16T07:15:00Z"),
        ("Nov 3", "2026-11-02T23:00:00Z"),
        ("20 november", "2026-11-19T23:00:00Z"),
        ("21 Nov", "2025-11-20T23:00:00Z"),
        ("feb 29", "2024-02-28T23:00:00Z"),
        ("3 Nov 2025", "2025-11-02T23:00:00Z"),
        ("Nov 3, 2025 10:00", "2025-11-03T09:00:00Z"),
        ("2026-11", "2026-10-31T23:00:00Z"),
        ("nov 2025", "2025-10-31T23:00:00Z"),
        ("2026", "2025-12-31T23:00:00Z"),
        ("last week", "2026-11-08T23:00:00Z"),
        ("this week", "2026-11-15T23:00:00Z"),
        ("last month", "2026-09-30T22:00:00Z"),
        ("this Month", "2026-10-31T23:00:00Z"),
        ("last year", "2024-12-31T23:00:00Z"),
        ("this year", "2025-12-31T23:00:00Z"),
        ("2026-11-20 14:30 UTC", "2026-11-20T14:30:00Z"),
        ("2026-11-20 14:30 CET", "2026-11-20T13:30:00Z"),
        ("2026-11-20 Africa/Johannesburg", "2026-11-19T22:00:00Z"),
        ("14:30 utc", "2026-11-20T14:30:00Z"),
        ("2026-11-20 14:30 +0500", "2026-11-20T09:30:00Z"),
    ] {
        for side in [WindowEdge::Since, WindowEdge::Until] {
            assert_eq!(parse_human(text, now, &berlin, side), Ok(at(utc)), "{text}");
        }
    }
    for text in [
        "",
        "@",
        "last monday",
        "last week 14:30",
        "an hour ago",
        "3 months ago",
        "h",
        "-",
        "2x",
        "2h30",
        "--2h",
        "+2h",
        "3 days ago ago",
        "-3 days ago",
        "20.11.2026",
        "11/20/2026",
        "14",
        "nov",
        "nov 3 26",
        "2026-11-20 14:30 there",
        "2H",
    ] {
        let expected = format!(
            "\"{text}\" is not a time like 2026-11-20, \"2026-11-20 14:30\", 2026-11, \"3 Nov\", \
             monday, today, yesterday, 14:30, now, 2h, \"3 days ago\", \"last week\" or @1700000000"
        );
        assert_eq!(parse_human(text, now, &berlin, WindowEdge::Since), Err(expected));
    }
    for text in [
        "400y",
        "99999999999999999999d",
        "99999999999999999999 days ago",
        "1000 years ago",
        "1000y",
        "0001",
        "@99999999999",
        "0001-01-01",
        "9999-12-31 23:59",
    ] {
        let expected = format!("\"{text}\" is not a time: it is outside 1677-09-21 to 2262-04-11");
        assert_eq!(parse_human(text, now, &berlin, WindowEdge::Until), Err(expected));
    }
}

#[test]
fn a_day_a_month_and_a_year_have_a_beginning_and_an_end() {
    let now = at("2026-11-20T12:30:00Z");
    let berlin = zone("Europe/Berlin");
    for (text, first, after) in [
        ("yesterday", "2026-11-18T23:00:00Z", "2026-11-19T23:00:00Z"),
        ("2026-03-29", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
        ("2026-02", "2026-01-31T23:00:00Z", "2026-02-28T23:00:00Z"),
        ("2025", "2024-12-31T23:00:00Z", "2025-12-31T23:00:00Z"),
        ("last week", "2026-11-08T23:00:00Z", "2026-11-15T23:00:00Z"),
        ("2026-11-20 UTC", "2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z"),
    ] {
        assert_eq!(parse_human_span(text, now, &berlin), Ok((at(first), at(after))), "{text}");
    }
    for text in ["now", "14:30", "2h", "@5", "2026-13", "2026-02-30"] {
        parse_human_span(text, now, &berlin).unwrap_err();
    }
}

#[test]
fn clocks_that_change_lose_no_time_and_find_every_day() {
    use WindowEdge::{Since, Until};
    let now = at("2026-11-20T12:30:00Z");
    for (name, text, side, utc) in [
        ("Africa/Cairo", "2024-04-26", Since, "2024-04-25T22:00:00Z"),
        ("Africa/Cairo", "2024-04-26", Until, "2024-04-25T22:00:00Z"),
        ("Africa/Cairo", "2024-04-26 00:30", Until, "2024-04-25T22:00:00Z"),
        ("Asia/Beirut", "2024-03-31", Since, "2024-03-30T22:00:00Z"),
        ("America/Asuncion", "2023-10-01", Since, "2023-10-01T04:00:00Z"),
        ("America/Sao_Paulo", "2018-11-04", Since, "2018-11-04T03:00:00Z"),
        ("Europe/Berlin", "2026-03-29 01:59:59", Since, "2026-03-29T00:59:59Z"),
        ("Europe/Berlin", "2026-03-29 02:30:00", Since, "2026-03-29T01:00:00Z"),
        ("Europe/Berlin", "2026-03-29 03:00", Since, "2026-03-29T01:00:00Z"),
        ("Europe/Berlin", "2026-10-25", Until, "2026-10-24T22:00:00Z"),
        ("Europe/Berlin", "2026-10-25 02:30", Since, "2026-10-25T00:30:00Z"),
        ("Europe/Berlin", "2026-10-25 02:30", Until, "2026-10-25T01:30:00Z"),
        ("Europe/Berlin", "2026-10-25 03:00", Since, "2026-10-25T02:00:00Z"),
        ("Europe/London", "2026-10-25 01:00", Since, "2026-10-25T00:00:00Z"),
        ("Europe/London", "2026-10-25 01:00", Until, "2026-10-25T01:00:00Z"),
        ("America/New_York", "2026-11-01 01:30", Since, "2026-11-01T05:30:00Z"),
        ("America/New_York", "2026-11-01 01:30", Until, "2026-11-01T06:30:00Z"),
        ("America/New_York", "2026-03-08 02:00", Until, "2026-03-08T07:00:00Z"),
        // A midnight that comes twice begins its day once; the minute itself has two instants.
        ("America/Havana", "2026-11-01", Until, "2026-11-01T04:00:00Z"),
        ("America/Havana", "2026-11-01 00:00", Until, "2026-11-01T05:00:00Z"),
        ("America/St_Johns", "2006-10-29", Since, "2006-10-29T02:30:00Z"),
        // Half an hour, and a whole day that never was.
        ("Australia/Lord_Howe", "2026-04-05 01:45", Since, "2026-04-04T14:45:00Z"),
        ("Australia/Lord_Howe", "2026-04-05 01:45", Until, "2026-04-04T15:15:00Z"),
        ("Australia/Lord_Howe", "2026-10-04 02:15", Since, "2026-10-03T15:30:00Z"),
        ("Pacific/Apia", "2011-12-30", Since, "2011-12-30T10:00:00Z"),
        ("Pacific/Apia", "2011-12-30 15:00", Until, "2011-12-30T10:00:00Z"),
        // Winter time is the one with the offset here.
        ("Europe/Dublin", "2026-10-25 01:30", Until, "2026-10-25T01:30:00Z"),
        ("Asia/Kolkata", "2026-11-20 14:30", Since, "2026-11-20T09:00:00Z"),
    ] {
        assert_eq!(
            parse_human(text, now, &zone(name), side),
            Ok(at(utc)),
            "{name} {text} {side:?}"
        );
    }
    let cairo = zone("Africa/Cairo");
    let noon = at("2024-04-26T09:00:00Z");
    assert_eq!(cairo.start_of_day(noon), at("2024-04-25T22:00:00Z"));
    assert_eq!(cairo.start_of_day_from(noon, 1), at("2024-04-26T21:00:00Z"));
    assert_eq!(cairo.start_of_day_from(noon, -1), at("2024-04-24T22:00:00Z"));
    assert_eq!(cairo.start_of_day_from(noon, i32::MAX).as_nanos(), i64::MAX);
    assert_eq!(cairo.start_of_day_from(noon, i32::MIN).as_nanos(), i64::MIN);
}

#[test]
fn times_are_written_for_people_and_programs() {
    let time = at("2026-11-19T04:00:09.551Z");
    let formats = |zone: Zone| {
        [
            TimeFormat::Rfc3339,
            TimeFormat::Rfc3339Minute,
            TimeFormat::DateTimeExact,
            TimeFormat::DateTimeMinute,
            TimeFormat::Date,
            TimeFormat::DayMonthClock,
            TimeFormat::DayMonthYear,
            TimeFormat::TimeOfDay,
            TimeFormat::WeekdayClock,
            TimeFormat::WeekdayTime,
            TimeFormat::Rfc3339Millis,
        ]
        .map(|style| zone.format(time, style))
    };
    assert_eq!(
        formats(zone("Africa/Johannesburg")),
        [
            "2026-11-19T06:00:09.551+02:00",
            "2026-11-19T06:00+02:00",
            "2026-11-19 06:00:09.551 SAST",
            "2026-11-19 06:00 SAST",
            "2026-11-19",
            "19 Nov 06:00",
            "19 Nov 2026",
            "06:00",
            "Thu 06:00",
            "Thu 19 Nov 06:00",
            "2026-11-19T06:00:09.551+02:00",
        ]
    );
    assert_eq!(
        formats(Zone::utc())[..4],
        [
            "2026-11-19T04:00:09.551Z",
            "2026-11-19T04:00Z",
            "2026-11-19 04:00:09.551 UTC",
            "2026-11-19 04:00 UTC",
        ]
    );
    assert_eq!(formats(zone("-03:30"))[3], "2026-11-19 00:30 -03:30");
    assert_eq!(formats(zone("America/Sao_Paulo"))[3], "2026-11-19 01:00 -03:00");
    assert_eq!(time.to_string(), "2026-11-19T04:00:09.551Z");
    assert_eq!(at("2026-11-20T04:00:00.000Z").to_string(), "2026-11-20T04:00:00Z");
    assert_eq!(time.to_sortable(), "2026-11-19T04:00:09.551000000Z");
    let whole = zone("+02:00").format(at("2026-11-20T04:00:00Z"), TimeFormat::Rfc3339Millis);
    assert_eq!(whole, "2026-11-20T06:00:00.000+02:00");
}

#[test]
fn how_long_ago_is_told_in_one_unit() {
    let berlin = zone("Europe/Berlin");
    // 10:00 on a Friday in Berlin.
    let now = at("2026-11-20T09:00:00Z");
    for (text, expected) in [
        ("2026-11-20T08:59:01Z", "just now"),
        ("2026-11-20T09:00:59.9Z", "just now"),
        ("2026-11-20T08:58:00Z", "2 min ago"),
        ("2026-11-20T08:00:01Z", "59 min ago"),
        ("2026-11-20T08:00:00Z", "1 hr ago"),
        ("2026-11-19T23:00:00Z", "10 hr ago"),
        ("2026-11-19T22:59:59Z", "Thu 23:59"),
        ("2026-11-18T23:00:00Z", "Thu 00:00"),
        ("2026-11-18T22:59:59Z", "Wed 23:59"),
        ("2026-11-14T12:00:00Z", "Sat 13:00"),
        ("2026-11-13T12:00:00Z", "13 Nov 13:00"),
        ("2026-01-01T00:00:00Z", "1 Jan 01:00"),
        ("2025-12-31T22:59:59Z", "31 Dec 2025"),
        ("2026-11-20T09:05:00Z", "in 5 min"),
        ("2026-11-20T12:05:00Z", "in 3 hr"),
        ("2026-11-21T12:05:00Z", "21 Nov 13:05"),
        ("2026-11-23T12:05:00Z", "23 Nov 13:05"),
        ("2026-12-24T12:05:00Z", "24 Dec 13:05"),
        ("2027-01-01T12:05:00Z", "1 Jan 2027"),
    ] {
        assert_eq!(format_relative(at(text), now, &berlin), expected, "{text}");
    }
    assert_eq!(format_ago(at("2026-11-11T12:00:00Z"), now, &berlin), "9 days ago");
    let after_midnight = at("2026-11-19T23:10:00Z");
    assert_eq!(format_relative(at("2026-11-19T21:00:00Z"), after_midnight, &berlin), "2 hr ago");
    let ends = [i64::MIN, i64::MAX].map(Timestamp::from_nanos);
    assert_eq!(format_ago(ends[0], ends[1], &berlin), "213504 days ago");
    assert_eq!(format_relative(ends[1], ends[0], &berlin), "12 Apr 2262");
}

#[test]
fn spans_have_one_number_and_one_unit() {
    for (text, seconds, expected) in [
        ("90d", 7_776_000, "90d"),
        ("12h", 43_200, "12h"),
        ("48h", 172_800, "2d"),
        ("30m", 1_800, "30m"),
        ("5s", 5, "5s"),
        ("90s", 90, "90s"),
        ("1w", 604_800, "7d"),
        ("2y", 63_072_000, "730d"),
        ("0d", 0, "0s"),
    ] {
        let span = Span::parse(text).unwrap();
        assert_eq!((span.as_seconds(), span.to_string().as_str()), (seconds, expected));
    }
    for text in ["", "d", "90", "-1d", "1.5h", "1 d", "1D", "1d2h", "１d", "1mo"] {
        let expected = format!("\"{text}\" is not a duration like 90d, 12h or 30m (s m h d w y)");
        assert_eq!(Span::parse(text), Err(expected));
    }
    let long = Span::parse("99999999999999999999y");
    assert_eq!(long, Err("\"99999999999999999999y\" is too long a duration".to_owned()));
    let ever = Span::parse("1000y").unwrap();
    assert_eq!(at("2026-11-20T09:00:00Z").saturating_sub(ever).as_nanos(), i64::MIN);
    assert_eq!(at("2026-11-20T09:00:00Z").saturating_add(ever).as_nanos(), i64::MAX);
}

#[test]
fn zones_go_by_name_or_offset() {
    for (text, name) in [
        ("Europe/Berlin", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        ("utc", "UTC"),
        ("Etc/UTC", "UTC"),
        ("+02:00", "+02:00"),
        ("-0530", "-05:30"),
        ("+09", "+09:00"),
        ("+00:00", "UTC"),
        (":Europe/Berlin", "Europe/Berlin"),
        ("posix/Europe/Berlin", "Europe/Berlin"),
        ("right/Europe/Berlin", "Europe/Berlin"),
        ("/usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin"),
        ("EST5EDT", "EST5EDT"),
        ("EST5", "-05:00"),
        ("<+0330>-3:30", "+03:30"),
        (":CET-1CEST,M3.5.0,M10.5.0/3", "CET-1CEST,M3.5.0,M10.5.0/3"),
    ] {
        assert_eq!(zone(text).name(), name);
    }
    for (text, expected) in [
        ("Europe/Berlim", r#""Europe/Berlim" is not a time zone, did you mean Europe/Berlin?"#),
        ("berlin", r#""berlin" is not a time zone, did you mean Europe/Berlin?"#),
        ("New York", r#""New York" is not a time zone, did you mean America/New_York?"#),
        ("+25:00", r#""+25:00" is not a time zone like Europe/Berlin, UTC or +02:00"#),
        ("+1é", r#""+1é" is not a time zone like Europe/Berlin, UTC or +02:00"#),
        (
            "CET-1CEST",
            "\"CET-1CEST\" does not say when summer time begins and ends, as \
             CET-1CEST,M3.5.0,M10.5.0/3 does",
        ),
        (
            "CET-1CEST,M3.6.0,M10.5.0/3",
            r#""CET-1CEST,M3.6.0,M10.5.0/3" is not a time zone like Europe/Berlin, UTC or +02:00"#,
        ),
        ("", r#""" is not a time zone like Europe/Berlin, UTC or +02:00"#),
    ] {
        assert_eq!(Zone::parse(text), Err(expected.to_owned()));
    }
}

#[test]
fn the_hosts_zone_is_asked_of_tz_then_of_its_files() {
    let etc = tempfile::tempdir().unwrap();
    let host = |tz| Zone::host_at(tz, etc.path()).unwrap().name();
    assert_eq!(host(None), "UTC");
    std::fs::write(etc.path().join("timezone"), "Africa/Johannesburg\n").unwrap();
    assert_eq!(host(None), "Africa/Johannesburg");
    symlink("../usr/share/zoneinfo/Asia/Tokyo", etc.path().join("localtime")).unwrap();
    assert_eq!(host(None), "Asia/Tokyo");
    let link = format!(":{}/localtime", etc.path().display());
    for (tz, name) in [
        ("Europe/Berlin", "Europe/Berlin"),
        (":Europe/Berlin", "Europe/Berlin"),
        (":/usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin"),
        ("/usr/share/zoneinfo/posix/Europe/Berlin", "Europe/Berlin"),
        (link.as_str(), "Asia/Tokyo"),
        ("UTC0", "UTC"),
        ("EST5", "-05:00"),
        ("<+0330>-3:30", "+03:30"),
        ("", "UTC"),
    ] {
        assert_eq!(host(Some(tz)), name, "{tz}");
    }
    for tz in ["nonsense", "/no/such/file"] {
        let error = Zone::host_at(Some(tz), etc.path()).unwrap_err();
        assert!(error.contains(tz), "{error}");
    }
}

#[test]
fn rules_change_the_clocks_when_the_zone_does() {
    for (rules, name) in [
        ("CET-1CEST,M3.5.0,M10.5.0/3", "Europe/Berlin"),
        ("AEST-10AEDT,M10.1.0,M4.1.0/3", "Australia/Sydney"),
        ("EST5EDT,M3.2.0,M11.1.0", "America/New_York"),
        ("<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "America/Nuuk"),
        ("IST-1GMT0,M10.5.0,M3.5.0/1", "Europe/Dublin"),
        ("<+03>-3", "Europe/Istanbul"),
    ] {
        let (rules, named) = (zone(rules), zone(name));
        let first = at("2026-01-01T00:00:00Z");
        for hour in 0..4 * 365 * 24_u64 {
            let time = first.saturating_add(Span::from_seconds(hour * 3_600));
            let format = |zone: &Zone| zone.format(time, TimeFormat::Rfc3339);
            assert_eq!(format(&rules), format(&named), "{name}");
        }
    }
    let berlin = zone("CET-1CEST,M3.5.0,M10.5.0/3");
    assert_eq!(berlin.abbreviation(at("2026-07-01T00:00:00Z")), "CEST");
    assert_eq!(berlin.abbreviation(at("2026-01-01T00:00:00Z")), "CET");
    assert_eq!(
        zone("<-03>3<-02>,M3.5.0,M10.5.0").abbreviation(at("2026-01-01T00:00:00Z")),
        "-03:00"
    );
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(time in any_time(), zone in any_zone()) {
        let utc = time.to_string();
        prop_assert_eq!(Timestamp::parse_rfc3339(&utc), Ok(time));
        prop_assert_eq!(Zone::utc().format(time, TimeFormat::Rfc3339), utc.as_str());
        let local = zone.format(time, TimeFormat::Rfc3339);
        prop_assert_eq!(Timestamp::parse_rfc3339(&local), Ok(time), "{}", local);
        prop_assert_eq!(parse_emitted(&local, None), Ok(time));
        prop_assert_eq!(parse_human(&local, time, &zone, WindowEdge::Since), Ok(time));
        let theirs = chrono::DateTime::parse_from_rfc3339(&utc).unwrap();
        prop_assert_eq!(theirs.timestamp_nanos_opt(), Some(time.as_nanos()));
    }

    #[test]
    fn a_local_time_has_the_instants_that_show_it(time in any_time(), zone in any_zone()) {
        let long = zone.format(time, TimeFormat::DateTimeExact);
        let (local, _) = long.rsplit_once(' ').unwrap();
        let read = |side| parse_human(local, time, &zone, side);
        if let (Ok(since), Ok(until)) = (read(WindowEdge::Since), read(WindowEdge::Until)) {
            prop_assert!(since <= until);
            prop_assert!(time == since || time == until, "{} {} {}", local, since, until);
        }
        prop_assert_eq!(parse_emitted(local, Some(&zone)), read(WindowEdge::Since));
    }

    #[test]
    fn a_day_begins_once(time in any_time(), zone in any_zone()) {
        let day = zone.day_number(time);
        if let Ok(first) = zone.first_instant(day) {
            prop_assert!(zone.day_number(first) >= day);
            prop_assert!(first.as_nanos() == i64::MIN || zone.day_number(Timestamp::from_nanos(first.as_nanos() - 1)) < day);
            prop_assert_eq!(zone.start_of_day(time), first);
            prop_assert_eq!(parse_human("today", time, &zone, WindowEdge::Until), Ok(first));
        }
    }

    #[test]
    fn unix_time_is_exact(nanos in any::<i64>()) {
        let sign = if nanos < 0 { "-" } else { "" };
        let (whole, fraction) = (nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
        let plain = format!("{sign}{whole}.{fraction:09}");
        prop_assert_eq!(parse_emitted(&plain, None), Ok(Timestamp::from_nanos(nanos)));
        prop_assert_eq!(parse_human(&format!("@{plain}"), Timestamp::from_nanos(0), &Zone::utc(), WindowEdge::Since), Ok(Timestamp::from_nanos(nanos)));
        if whole < 100_000_000_000 {
            let scientific = format!("{nanos}e-9");
            prop_assert_eq!(parse_emitted(&scientific, None), Ok(Timestamp::from_nanos(nanos)));
        }
    }

    #[test]
    fn nothing_typed_panics(text in "[-+@0-9Tt:. Zzhdwyago]{0,30}|\\PC{0,20}", nanos in any::<i64>(), zone in any_zone()) {
        let now = Timestamp::from_nanos(nanos);
        drop((parse_human(&text, now, &zone, WindowEdge::Since), parse_emitted(&text, Some(&zone))));
        drop((Zone::parse(&text), Span::parse(&text), Zone::host(Some(&text))));
        for style in [TimeFormat::Rfc3339, TimeFormat::Rfc3339Minute, TimeFormat::DateTimeExact, TimeFormat::Date] {
            drop(zone.format(now, style));
        }
        drop((format_relative(now, Timestamp::from_nanos(0), &zone), format_ago(Timestamp::from_nanos(0), now, &zone)));
    }
}

#[test]
fn months_begin_where_the_calendar_has_them() {
    let zone = Zone::parse("Africa/Johannesburg").unwrap();
    let at = |text| Timestamp::parse_rfc3339(text).unwrap();
    let months = zone.month_starts(at("2025-11-30T23:00:00Z"), at("2026-02-28T21:59:59Z"));
    let expected: Vec<_> = months.iter().map(Timestamp::to_string).collect();
    assert_eq!(
        expected,
        [
            "2025-11-30T22:00:00Z",
            "2025-12-31T22:00:00Z",
            "2026-01-31T22:00:00Z",
            "2026-02-28T22:00:00Z"
        ]
    );
    let farthest = Timestamp::from_nanos(i64::MAX);
    assert!(zone.month_starts(farthest, farthest).len() <= 2);
}
