//! The properties of every format: a decoded event equals the encoded one, however the input arrives.

mod frames;
mod lines;

use std::io;
use std::io::Read;
use std::sync::Arc;

use proptest::prelude::*;

use crate::codec::DecodeOptions;
use crate::codec::DecodeOutcome;
use crate::codec::DecodeStep;
use crate::codec::Decoder;
use crate::codec::EventFormat;
use crate::codec::csv;
use crate::codec::jsonl;
use crate::codec::mirror_line;
use crate::event::Action;
use crate::event::Event;
use crate::event::EventId;
use crate::event::Hash;
use crate::event::NewEvent;
use crate::event::Party;
use crate::event::Severity;
use crate::event::Source;
use crate::event::Target;
use crate::event::field::FIELDS;
use crate::event::field::FieldKind;
use crate::event::json::JsonObject;
use crate::time::Timestamp;

/// A source that gives so many bytes at a time.
struct ChunkedReader<'a> {
    bytes: &'a [u8],
    chunk_size: usize,
}

impl Read for ChunkedReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let step = self.chunk_size.min(into.len());
        (&mut self.bytes).take(step as u64).read(into)
    }
}

/// A record, or a run of excess bytes, as a test compares it.
#[derive(Debug, PartialEq)]
enum OwnedStep {
    Record { line: u64, end: u64, bytes: Vec<u8>, outcome: DecodeOutcome },
    Excess(Vec<u8>),
}

fn decode_all(input: &[u8], reading: DecodeOptions, step: usize) -> Vec<OwnedStep> {
    let mut decoder = Decoder::new(ChunkedReader { bytes: input, chunk_size: step }, reading);
    let mut seen = Vec::new();
    loop {
        match decoder.next() {
            DecodeStep::NeedsInput => decoder.fill().unwrap(),
            DecodeStep::End => return seen,
            DecodeStep::Excess(bytes) => match seen.last_mut() {
                Some(OwnedStep::Excess(run)) => run.extend_from_slice(bytes),
                _ => seen.push(OwnedStep::Excess(bytes.to_vec())),
            },
            DecodeStep::Record(record) => seen.push(OwnedStep::Record {
                line: record.line,
                end: record.end.offset,
                bytes: record.bytes.to_vec(),
                outcome: record.outcome,
            }),
        }
    }
}

/// The events of an input that is all good.
fn events(input: &[u8], reading: DecodeOptions) -> Vec<NewEvent> {
    decode_all(input, reading, 1 << 20)
        .into_iter()
        .map(|seen| match seen {
            OwnedStep::Record { outcome: DecodeOutcome::Event(event), .. } => *event,
            other => panic!("not an event: {other:?}"),
        })
        .collect()
}

/// Returns the line of each outcome of an input, with the action or the reason.
fn outcomes(input: &[u8], reading: DecodeOptions) -> Vec<(u64, String)> {
    let steps = decode_all(input, reading, 1 << 20);
    for step in [1, 7] {
        if input.len() < 1 << 16 {
            assert_eq!(decode_all(input, reading, step), steps, "{step} bytes at a time");
        }
    }
    describe_steps(steps)
}

fn describe_steps(seen: Vec<OwnedStep>) -> Vec<(u64, String)> {
    seen.into_iter()
        .filter_map(|seen| match seen {
            OwnedStep::Record { line, outcome, .. } => Some((
                line,
                match outcome {
                    DecodeOutcome::Event(event) => event.action,
                    DecodeOutcome::Rejected(why) => format!("rejected: {why}"),
                    DecodeOutcome::Truncated(why) => format!("torn: {why}"),
                    DecodeOutcome::Unreadable(why) => format!("unreadable: {why}"),
                },
            )),
            OwnedStep::Excess(_) => None,
        })
        .collect()
}

fn outcomes_as(input: &[u8], format: EventFormat) -> Vec<(u64, String)> {
    outcomes(input, DecodeOptions { format: Some(format), ..DecodeOptions::default() })
}

/// The event that a log keeps of what was given.
pub(super) fn stored(new: &NewEvent) -> Event {
    let text = |text: &Option<String>| text.as_deref().map(Arc::from);
    let party = |id: &Option<String>, label: &Option<String>| {
        (id.is_some() || label.is_some())
            .then(|| Arc::new(Party { id: id.clone(), label: label.clone() }))
    };
    let target = Target {
        kind: new.target_type.clone(),
        id: new.target_id.clone(),
        label: new.target_label.clone(),
    };
    Event {
        id: EventId(17),
        log: None,
        event_id: new.event_id.clone().unwrap_or_else(|| "made".to_owned()),
        occurred_at: new.occurred_at.unwrap_or(Timestamp::from_nanos(1)),
        recorded_at: Timestamp::from_nanos(2),
        recorded_by: "root".into(),
        tenant: text(&new.tenant),
        source: new.source_or_default(),
        severity: new.severity_or_default(),
        title: text(&new.title),
        description: new.description.clone(),
        actor: party(&new.actor_id, &new.actor_label),
        impersonator: party(&new.impersonator_id, &new.impersonator_label),
        target: (target != Target::default()).then(|| Arc::new(target)),
        diff: new.diff.clone(),
        payload: new.payload.clone(),
        ip: new.ip.clone(),
        user_agent: text(&new.user_agent),
        session_id: new.session_id.clone(),
        method: new.method.clone(),
        endpoint: new.endpoint.clone(),
        status_code: new.status_code,
        hash: Hash([0xA5; 32]),
        ..Event::minimal(Arc::new(Action { slug: new.action.clone(), module: new.module.clone() }))
    }
}

/// Events, written down in each way.
fn encode_all(events: &[Event]) -> [(DecodeOptions, Vec<u8>); 5] {
    let reading = |format| DecodeOptions { format: Some(format), ..DecodeOptions::default() };
    let mut lines = String::new();
    let mut mirror = String::new();
    for event in events {
        jsonl::encode(event, &mut lines);
        lines.push('\n');
        mirror_line::encode(event, "site", &mut mirror);
        mirror.push('\n');
    }
    let array = format!("[{}]", lines.trim_end().replace('\n', ",\n "));
    let all_fields: Vec<_> = FIELDS.iter().collect();
    let table = |raw| {
        let mut table = Vec::new();
        let mut scratch = String::new();
        csv::encode_header(&all_fields, &mut table);
        for event in events {
            csv::encode(event, &all_fields, raw, &mut scratch, &mut table);
        }
        table
    };
    [
        (reading(EventFormat::JsonLines), lines.into_bytes()),
        (reading(EventFormat::Json), array.into_bytes()),
        (reading(EventFormat::Mirror), mirror.into_bytes()),
        (reading(EventFormat::Csv), table(false)),
        (DecodeOptions { raw_cells: true, ..reading(EventFormat::Csv) }, table(true)),
    ]
}

/// Writes events down in every way and holds what comes back against them.
fn assert_comes_back(given: &[NewEvent]) {
    let kept: Vec<Event> = given.iter().map(stored).collect();
    for (reading, written) in encode_all(&kept) {
        let format = reading.format;
        let sniffed = DecodeOptions { format: None, ..reading };
        let readings = if written.len() < 1 << 16 { vec![reading, sniffed] } else { vec![reading] };
        for reading in readings {
            let back = events(&written, reading);
            assert_eq!(back.len(), kept.len(), "{format:?}");
            for (back, kept) in back.iter().zip(&kept) {
                for field in FIELDS.iter().filter(|field| field.kind != FieldKind::Stamp) {
                    assert_eq!(
                        (field.given)(back),
                        (field.get)(kept),
                        "{} in {format:?}, {reading:?}",
                        field.name
                    );
                }
            }
        }
    }
}

#[test]
fn every_code_point_comes_back() {
    let all: Vec<char> = ('\0'..=char::MAX).collect();
    let given: Vec<NewEvent> = all
        .chunks(1 << 12)
        .map(|chars| {
            let all: String = chars.iter().collect();
            let json = serde_json::Value::from(all.as_str()).to_string();
            NewEvent {
                action: "a".to_owned(),
                title: Some(all),
                payload: Some(JsonObject::from_trusted(format!("{{{json}:1}}"))),
                ..NewEvent::default()
            }
        })
        .collect();
    assert_comes_back(&given);
}

/// Text with what some format takes for its own.
fn any_text() -> impl Strategy<Value = String> {
    const ODD: [&str; 30] = [
        "=",
        "+",
        "-",
        "@",
        "\t",
        "\r",
        "\n",
        "'",
        "\"",
        ",",
        "\\",
        "{",
        "}",
        "[",
        "]",
        " ",
        "\r\n",
        "\u{feff}",
        "\0",
        "\u{85}",
        "\u{2028}",
        "\u{202e}",
        "[]",
        "{\"event_id\":\"x\",\"action\":\"y\"}",
        "] a.ALERT: b {",
        "\\u0041",
        "\u{1f600}",
        "é",
        ": ",
        "null",
    ];
    let piece = prop_oneof![
        4 => proptest::sample::select(ODD.as_slice()).prop_map(str::to_owned),
        1 => proptest::collection::vec(any::<char>(), 0..4).prop_map(String::from_iter),
        1 => "[a-z0-9 ]{0,8}",
    ];
    proptest::collection::vec(piece, 1..6)
        .prop_map(|pieces| pieces.concat())
        .prop_filter("absent", |text| !text.is_empty())
}

fn any_json() -> impl Strategy<Value = String> {
    let quoted = any_text().prop_map(|text| serde_json::Value::from(text).to_string());
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        quoted,
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(","))),
            any_object_of(inner),
        ]
    })
}

fn any_object_of(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    proptest::collection::vec((any_text(), value), 0..4).prop_map(|members| {
        let members: Vec<String> = members
            .iter()
            .map(|(key, value)| format!("{}:{value}", serde_json::Value::from(key.as_str())))
            .collect();
        format!("{{{}}}", members.join(","))
    })
}

fn any_payload() -> impl Strategy<Value = JsonObject> {
    any_object_of(any_json()).prop_map(JsonObject::from_trusted)
}

fn any_diff() -> impl Strategy<Value = JsonObject> {
    let entry = prop_oneof![
        any_json().prop_map(|before| format!("{{\"before\":{before}}}")),
        any_json().prop_map(|after| format!("{{\"after\":{after}}}")),
        (any_json(), any_json())
            .prop_map(|(before, after)| format!("{{\"before\":{before},\"after\":{after}}}")),
    ];
    any_object_of(entry).prop_map(JsonObject::from_trusted)
}

prop_compose! {
    fn any_event()(
        texts in proptest::collection::vec(proptest::option::of(any_text()), 16),
        action in "[a-z0-9_.:/-]{1,20}",
        occurred_at in proptest::option::of(any::<i64>()),
        source in proptest::option::of(proptest::sample::select(Source::ALL.as_slice())),
        severity in proptest::option::of(proptest::sample::select(Severity::ALL.as_slice())),
        diff in proptest::option::of(any_diff()),
        payload in proptest::option::of(any_payload()),
        ip in proptest::option::of(any::<std::net::IpAddr>()),
        method in proptest::option::of("[A-Z!#$%&'*+.^_`|~-]{1,10}"),
        status_code in proptest::option::of(100_u16..600),
    ) -> NewEvent {
        let mut texts = texts.into_iter();
        let mut text = move || texts.next().unwrap();
        NewEvent {
            event_id: text(),
            occurred_at: occurred_at.map(Timestamp::from_nanos),
            tenant: text(),
            source,
            severity,
            module: text(),
            action,
            title: text(),
            description: text(),
            actor_id: text(),
            actor_label: text(),
            impersonator_id: text(),
            impersonator_label: text(),
            target_type: text(),
            target_id: text(),
            target_label: text(),
            diff,
            payload,
            ip: ip.map(|ip| ip.to_string()),
            user_agent: text(),
            session_id: text(),
            method,
            endpoint: text(),
            status_code,
            ..NewEvent::default()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_encoded_comes_back(given in proptest::collection::vec(any_event(), 1..3)) {
        assert_comes_back(&given);
    }

    #[test]
    fn a_written_event_stands_on_one_line_and_hides_nothing(given in any_event()) {
        let kept = stored(&given);
        let mut lines = [String::new(), String::new()];
        jsonl::encode(&kept, &mut lines[0]);
        mirror_line::encode(&kept, "activity", &mut lines[1]);
        for line in lines {
            prop_assert_eq!(&crate::text::escape_lines(&line), &line);
            prop_assert!(!line.contains('\n'));
        }
    }

    #[test]
    fn how_an_input_arrives_makes_no_difference(
        given in proptest::collection::vec(any_event(), 1..3),
        cut in any::<proptest::sample::Index>(),
        step in 1_usize..9,
    ) {
        let kept: Vec<Event> = given.iter().map(stored).collect();
        for (reading, written) in encode_all(&kept) {
            let written = &written[..cut.index(written.len() + 1)];
            let seen = decode_all(written, reading, 1 << 20);
            prop_assert_eq!(&decode_all(written, reading, step), &seen);
            // A record that was cut in the middle is never taken for a complete one.
            for seen in &seen {
                let is_refused = matches!(
                    seen,
                    OwnedStep::Record { outcome: DecodeOutcome::Rejected(_), .. }
                );
                prop_assert!(!is_refused, "{:?}", seen);
            }
        }
    }
}
