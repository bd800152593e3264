//! The splitting of input into records, and the errors of input that is none.

use proptest::prelude::*;

use crate::codec::DecodeOptions;
use crate::codec::DecodeOutcome;
use crate::codec::EventFormat;
use crate::codec::InputPosition;
use crate::codec::frame::Frame;
use crate::codec::frame::Framer;
use crate::codec::frame::MAX_RECORD_BYTES;
use crate::codec::frame::Splitter;
use crate::codec::tests::OwnedStep;
use crate::codec::tests::decode_all;
use crate::codec::tests::describe_steps;
use crate::codec::tests::events;
use crate::codec::tests::outcomes;
use crate::codec::tests::outcomes_as;

fn owned(steps: &[(u64, &str)]) -> Vec<(u64, String)> {
    steps.iter().map(|(line, what)| (*line, (*what).to_owned())).collect()
}

#[test]
fn lines_are_counted_and_blank_ones_passed_over() {
    let input = b"\xEF\xBB\xBF\r\n{\"action\":\"a\"}\r\n\n  \n{\"action\":\"b\"}\n";
    assert_eq!(outcomes(input, DecodeOptions::default()), owned(&[(2, "a"), (5, "b")]));
    let ends: Vec<u64> = decode_all(input, DecodeOptions::default(), 5)
        .into_iter()
        .map(|seen| match seen {
            OwnedStep::Record { end, .. } => end,
            OwnedStep::Excess(_) => 0,
        })
        .collect();
    assert_eq!(ends, [21, 40]);
}

#[test]
fn blank_lines_before_the_first_are_counted_and_not_kept() {
    let blanks = "\n \r\n".repeat(1 << 17);
    for rest in ["{\"action\":\"a\"}\n", "[{\"action\":\"a\"}]", "action\na"] {
        let steps = describe_steps(decode_all(
            (blanks.clone() + rest).as_bytes(),
            DecodeOptions::default(),
            1 << 16,
        ));
        let line = (1 << 18) + 1 + u64::from(rest.starts_with("action"));
        assert_eq!(steps, owned(&[(line, "a")]));
    }
    let mut framer = Framer::new(blanks.as_bytes());
    framer.fill().unwrap();
    framer.skip(6);
    assert_eq!(framer.position(), InputPosition { offset: 6, lines: 3 });
}

#[test]
fn formats_are_told_apart_by_the_first_line() {
    for (input, format) in [
        ("{\"action\":\"a\"}\n", EventFormat::JsonLines),
        ("[{\"action\":\"a\"}]", EventFormat::Json),
        ("\n\n [\n{\"action\":\"a\"}]", EventFormat::Json),
        ("action\na\n", EventFormat::Csv),
        ("\u{feff}title,\"action\"\r\n,a\r\n", EventFormat::Csv),
        (
            "[2026-11-20T04:00:00Z] x.INFO: m {\"action\":\"a\",\"event_id\":\"b\"}\n",
            EventFormat::Mirror,
        ),
        ("[2026-11-20 04:00:00] x.INFO: m {\"Code\":1000}\n", EventFormat::Mirror),
    ] {
        let sniffed = decode_all(input.as_bytes(), DecodeOptions::default(), 3);
        let named = DecodeOptions { format: Some(format), ..DecodeOptions::default() };
        assert_eq!(sniffed, decode_all(input.as_bytes(), named, 3), "{input}");
        assert_eq!(sniffed.len(), 1, "{input}");
    }
    assert_eq!(
        outcomes(b"title,user\nx,y\n", DecodeOptions::default()),
        owned(&[
            (
                1,
                "rejected: is no JSON; --format csv reads a table, --map anything else: activity help formats"
            ),
            (
                2,
                "rejected: is no JSON; --format csv reads a table, --map anything else: activity help formats"
            )
        ])
    );
}

#[test]
fn bad_lines_are_told_with_their_place() {
    let input = b"{\"action\":\"a\"}\n{\"action\":01}\n[1]\n{\"action\":\"b\"} x\n\
        {\"action\":\"\xC3\x28\"}\n{\"action\":\"\\ud800\"}\n{\"title\":NaN}\n{\"action\":\"c\"}\n";
    assert_eq!(
        outcomes_as(input, EventFormat::JsonLines),
        owned(&[
            (1, "a"),
            (2, "rejected: invalid number at column 12"),
            (3, "rejected: must be an object, not an array"),
            (
                4,
                "rejected: more text behind the JSON at column 16; --format json reads JSON that \
                 spans lines"
            ),
            (5, "rejected: invalid UTF-8 at column 12"),
            (6, "rejected: \"action\": half of a \\u pair at column 8"),
            (7, "rejected: no JSON value at column 10"),
            (8, "c"),
        ])
    );
}

#[test]
fn an_unterminated_line_is_taken_when_whole() {
    for (input, last) in [
        (&b"{\"action\":\"a\"}\n{\"action\":\"b\"}"[..], "b"),
        (b"{\"action\":\"a\"}\n{\"ip\":1}", "rejected: ip: must be text, not a number"),
        (b"{\"action\":\"a\"}\n{\"action\":\"b", "torn: it ends within a string at column 12"),
        (b"{\"action\":\"a\"}\n{\"action\":\"\xC3", "torn: invalid UTF-8 at column 12"),
        (b"{\"action\":\"a\"}\n{\"action\":\"\xC3\"}", "rejected: invalid UTF-8 at column 12"),
        (
            b"{\"action\":\"a\"}\nx}",
            "rejected: is no JSON; --format csv reads a table, --map anything else: activity help formats",
        ),
        (b"action,title\na,\n\"b\",c", "b"),
        (b"action,title\na,\n\"b\",\"c", "torn: a quote does not end"),
        (b"action,title\na,\nb", "torn: has 1 cells, and the header has 2"),
        (b"[{\"action\":\"a\"},\n{\"action\":\"b\"}]", "b"),
        (b"[{\"action\":\"a\"},\n{\"action\":\"b\"", "torn: the array does not end"),
        (b"[{\"action\":\"a\"}\n", "torn: the array does not end"),
        (
            b"[2026-11-20T04:00:00Z] x.INFO: m {\"Code\":1}\n[2026-11-20T04:00:00Z] x.INFO: m {",
            "torn: action is missing",
        ),
    ] {
        let steps = outcomes(input, DecodeOptions::default());
        assert_eq!(steps.len(), 2, "{steps:?}");
        assert_eq!(steps[1], (2 + u64::from(input.starts_with(b"action")), last.to_owned()));
    }
}

#[test]
fn utf_16_is_refused_as_a_whole() {
    for input in [&b"\xFF\xFE{\0\"\0\n\0"[..], b"\xFE\xFF\0{\0\"", b"{\0\"\0a\0", b"\0{\0\"\0a"] {
        assert_eq!(
            outcomes(input, DecodeOptions::default()),
            owned(&[(1, "unreadable: UTF-16; convert to UTF-8")])
        );
    }
}

#[test]
fn a_header_must_name_actions_and_nothing_twice() {
    for (input, reason) in [
        (
            &b"title,user\nx,y\n"[..],
            "no column of the header is action; --map action=COLUMN takes it from one of title, user",
        ),
        (b"action,title,action\nx,y,z\n", "column \"action\" stands in the header twice"),
        (b"action,\"title", "a quote begins here and does not end"),
    ] {
        let steps = outcomes_as(input, EventFormat::Csv);
        assert_eq!(steps, owned(&[(1, &format!("unreadable: {reason}"))]));
        // Nothing is lost: a file of rejects has the whole record.
        let bytes: Vec<u8> = decode_all(
            input,
            DecodeOptions { format: Some(EventFormat::Csv), ..DecodeOptions::default() },
            4,
        )
        .into_iter()
        .flat_map(|seen| match seen {
            OwnedStep::Record { bytes, .. } | OwnedStep::Excess(bytes) => bytes,
        })
        .collect();
        assert_eq!(bytes, input);
    }
}

#[test]
fn rows_are_told_by_the_line_where_they_begin() {
    let input = b"action,title\na,\"two\nlines\"\nb\nc,d\n";
    assert_eq!(
        outcomes(input, DecodeOptions::default()),
        owned(&[(2, "a"), (4, "rejected: has 1 cells, and the header has 2"), (5, "c")])
    );
    let input = b"action,title\na,\"two\nlines\"\nb,\"oops\nc,d\n";
    assert_eq!(
        outcomes(input, DecodeOptions::default()),
        owned(&[(2, "a"), (4, "unreadable: a quote begins here and does not end")])
    );
}

#[test]
fn cells_mean_what_the_columns_say() {
    let input = b"time, user_id ,user,action,metadata,shoe,,before,after\n\
        2026-11-20T04:00:00Z,'=1,,User.Edit,\"{\"\"k\"\": 1.10}\",'-42,x,draft,\n";
    let event = events(input, DecodeOptions::default()).remove(0);
    assert_eq!(event.action, "user.edit");
    assert_eq!(event.actor_id.as_deref(), Some("=1"));
    assert_eq!(event.actor_label, None);
    assert_eq!(
        event.payload.unwrap().as_str(),
        r#"{"k":1.10,"shoe":"-42","column_7":"x","before":"draft"}"#
    );
    let raw = DecodeOptions { raw_cells: true, ..DecodeOptions::default() };
    assert_eq!(events(input, raw).remove(0).actor_id.as_deref(), Some("'=1"));
}

#[test]
fn an_array_must_be_one() {
    for (input, expected) in [
        (&b"[]"[..], vec![]),
        (b" [ ] \n", vec![]),
        (b"", vec![]),
        (b"[{\"action\":\"a\"},\n\n{\"action\":\n\"b\"}\n]\n", vec![(1, "a"), (3, "b")]),
        (b"x", vec![(1, "unreadable: JSON begins with [ or {")]),
        (b"{}", vec![(1, "rejected: action is missing")]),
        (b"\n{\n\"action\":\"a\"\n}\n{\"action\":\n\"b\"}\n", vec![(2, "a"), (5, "b")]),
        (b"[\n,{}]", vec![(2, "unreadable: an element is missing beside a comma")]),
        (
            b"[{\"action\":\"a\"},]",
            vec![(1, "a"), (1, "unreadable: an element is missing beside a comma")],
        ),
        (
            b"[{\"action\":\"a\"}\n{\"action\":\"b\"}]",
            vec![(1, "a"), (2, "unreadable: a comma or ] is missing behind an element")],
        ),
        (b"[{\"action\":\"a\"}]\n{}", vec![(1, "a"), (2, "unreadable: text follows the array")]),
        (
            b"[1, \"]\\\"\", [2], {\"a\":\"}\"}, {\"action\":\"a\"]\n,nul]",
            vec![
                (1, "rejected: must be an object, not a number"),
                (1, "rejected: must be an object, not text"),
                (1, "rejected: must be an object, not an array"),
                (1, "rejected: action is missing"),
                (1, "rejected: expected `,` or `}` at column 14"),
                (
                    2,
                    "rejected: is no JSON; --format csv reads a table, --map anything else: activity help formats",
                ),
            ],
        ),
    ] {
        assert_eq!(
            outcomes_as(input, EventFormat::Json),
            owned(&expected),
            "{}",
            input.escape_ascii()
        );
    }
}

#[test]
fn a_record_that_is_too_long_is_passed_over() {
    let long = vec![b'x'; MAX_RECORD_BYTES + MAX_RECORD_BYTES / 8];
    let line = |long: &[u8]| [b"{\"action\":\"", long, b"\"}\n"].concat();
    let good = &b"{\"action\":\"a\"}\n"[..];
    let lines = [good, &line(&long), good].concat();
    let array = [&b"["[..], good, b",", &line(&long), b",", good, b"]"].concat();
    let rows = [b"action\na\n\"", &long[..], b"\"\na\n"].concat();
    for (input, lines) in [(&lines, [1, 2, 3]), (&array, [1, 2, 3]), (&rows, [2, 3, 4])] {
        let seen = decode_all(input, DecodeOptions::default(), 1 << 20);
        let bytes: usize = seen
            .iter()
            .map(|seen| match seen {
                OwnedStep::Record { bytes, .. } | OwnedStep::Excess(bytes) => bytes.len(),
            })
            .sum();
        assert!(bytes + 20 > input.len(), "bytes of a record are missing");
        assert_eq!(
            describe_steps(seen),
            owned(&[(lines[0], "a"), (lines[1], "rejected: longer than 1 MiB"), (lines[2], "a")])
        );
    }
    let open = [good, &line(&long)[..MAX_RECORD_BYTES + 9]].concat();
    assert_eq!(
        outcomes(&open, DecodeOptions::default())[1],
        (2, "torn: longer than 1 MiB".to_owned())
    );
}

#[test]
fn reading_goes_on_where_it_was_left() {
    for input in [
        &b"{\"action\":\"a\"}\n{\"action\":\"b\"}\n{\"action\":\"c\"}\n"[..],
        b"[{\"action\":\"a\"},\n{\"action\":\"b\"}\n, {\"action\":\"c\"}]\n",
        b"title,action\n\"x\ny\",a\n,b\n,c\n",
    ] {
        let whole = decode_all(input, DecodeOptions::default(), 5);
        for (done, seen) in whole.iter().enumerate() {
            let OwnedStep::Record { end, .. } = seen else {
                panic!("not a record: {seen:?}");
            };
            let offset = usize::try_from(*end).unwrap();
            let feeds = input[..offset].iter().filter(|byte| **byte == b'\n').count();
            let place = InputPosition { offset: *end, lines: feeds as u64 };
            let mut decoder = crate::codec::Decoder::new(input, DecodeOptions::default());
            decoder
                .continue_with(place, |start| Ok(&input[usize::try_from(start).unwrap()..]))
                .unwrap();
            let mut rest = Vec::new();
            loop {
                match decoder.next() {
                    crate::codec::DecodeStep::NeedsInput => decoder.fill().unwrap(),
                    crate::codec::DecodeStep::End => break,
                    crate::codec::DecodeStep::Excess(bytes) => {
                        rest.push(OwnedStep::Excess(bytes.to_vec()));
                    }
                    crate::codec::DecodeStep::Record(record) => rest.push(OwnedStep::Record {
                        line: record.line,
                        end: record.end.offset,
                        bytes: record.bytes.to_vec(),
                        outcome: record.outcome,
                    }),
                }
            }
            assert_eq!(rest, whole[done + 1..], "behind {seen:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// The `csv` crate reads the same rows from the whole input as from one record after another.
    #[test]
    fn rows_are_those_of_the_csv_crate(input in "[ab,\"\r\n ]{0,40}", step in 1_usize..5) {
        let mut rows = Vec::new();
        let mut framer = Framer::new(super::ChunkedReader { bytes: input.as_bytes(), chunk_size: step });
        framer.set_splitter(Splitter::for_csv_rows());
        loop {
            match framer.next() {
                Frame::NeedsInput => framer.fill().unwrap(),
                Frame::Broken { .. } => {}
                Frame::Record(super::super::InputSlice { bytes, .. })
                | Frame::Tail { last: super::super::InputSlice { bytes, .. }, .. }
                | Frame::Excess(bytes) => {
                    let text = std::str::from_utf8(bytes).unwrap().to_owned();
                    let mut reader = csv::ReaderBuilder::new()
                        .has_headers(false)
                        .flexible(true)
                        .from_reader(text.as_bytes());
                    rows.extend(reader.records().map(Result::unwrap));
                }
                Frame::End => break,
                other => panic!("{other:?}"),
            }
        }
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(input.as_bytes());
        let whole: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        let cells = |rows: &[csv::StringRecord]| -> Vec<Vec<String>> {
            rows.iter()
                .map(|row| row.iter().map(str::to_owned).collect::<Vec<_>>())
                // The framer skips a line of blanks.
                .filter(|row| row.len() > 1 || !row[0].trim_ascii().is_empty())
                .collect()
        };
        prop_assert_eq!(cells(&rows), cells(&whole));
    }

    #[test]
    fn no_input_is_too_odd(input in proptest::collection::vec(any::<u8>(), 0..200), step in 1_usize..9) {
        for format in [None, Some(EventFormat::Json), Some(EventFormat::Csv), Some(EventFormat::Mirror)] {
            let reading = DecodeOptions { format, ..DecodeOptions::default() };
            let seen = decode_all(&input, reading, step);
            prop_assert_eq!(&seen, &decode_all(&input, reading, 1 << 20));
        }
    }

    #[test]
    fn no_array_is_too_odd(input in "[\\[\\]{},:\"\\\\a1 \n]{0,60}", step in 1_usize..9) {
        let reading = DecodeOptions { format: Some(EventFormat::Json), ..DecodeOptions::default() };
        let seen = decode_all(input.as_bytes(), reading, step);
        prop_assert_eq!(&seen, &decode_all(input.as_bytes(), reading, 1 << 20));
        if serde_json::from_str::<Vec<serde_json::Value>>(&input).is_ok() {
            for seen in &seen {
                let broken = matches!(
                    seen,
                    OwnedStep::Record { outcome: DecodeOutcome::Unreadable(_) | DecodeOutcome::Truncated(_), .. }
                );
                prop_assert!(!broken, "{:?}", seen);
            }
        }
    }
}
