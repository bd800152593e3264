//! Properties that hold for any text in any field.

use std::sync::Arc;

use proptest::prelude::*;

use crate::event::Event;
use crate::event::EventId;
use crate::event::Party;
use crate::event::json::JsonObject;
use crate::render::TableColumns;
use crate::render::TableView;
use crate::render::sample;
use crate::render::sample::bare;
use crate::render::sample::edit;
use crate::render::sample::json;
use crate::render::sample::party;
use crate::render::sample::target;
use crate::render::tests::list;
use crate::render::tests::show;
use crate::text;

/// Returns whether a terminal obeys or hides the character or reorders text by it.
fn is_forbidden(c: char) -> bool {
    matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e000}'..='\u{f8ff}' | '\u{e0001}'..='\u{e007f}' | '\u{f0000}'..='\u{10ffff}')
}

/// An event with that text in every text field.
fn hostile(text: &str) -> Event {
    let quoted = serde_json::Value::from(text).to_string();
    let some = || Some(text.to_owned());
    let party = || Some(Arc::new(Party { id: some(), label: some() }));
    let object = format!(r#"{{{quoted}:{{"before":{quoted},"after":[{quoted}]}}}}"#);
    Event {
        id: EventId(1),
        event_id: text.to_owned(),
        recorded_by: text.into(),
        tenant: Some(text.into()),
        title: Some(text.into()),
        description: some(),
        actor: party(),
        impersonator: party(),
        target: target(text, text, text),
        diff: Some(JsonObject::from_trusted(object.clone())),
        payload: Some(JsonObject::from_trusted(object)),
        ip: some(),
        user_agent: Some(text.into()),
        session_id: some(),
        method: some(),
        endpoint: some(),
        ..edit()
    }
}

/// The position at which the last column of each row begins.
fn last_columns(page: &str) -> Vec<usize> {
    page.lines().map(|line| text::width(&line[..line.rfind("  ").unwrap() + 2])).collect()
}

fn holds_for(event: &Event, width: Option<usize>) -> Result<(), String> {
    let columns = TableColumns::parse(
        "when,actor,target,title,user_agent,payload,diff,source",
        TableView::Http,
    );
    let columns = columns.map_err(|error| error.to_string())?;
    let table = list(&[event.clone(), edit()], &columns, width);
    let places = last_columns(&table);
    if places.len() != 3 || places.iter().any(|place| *place != places[0]) {
        return Err(format!("columns at {places:?} :\n{table}"));
    }
    let page = table + &show(event, width);
    match page.chars().find(|c| *c != '\n' && is_forbidden(*c)) {
        Some(c) => Err(format!("{c:?} in:\n{page}")),
        None => Ok(()),
    }
}

#[test]
fn no_code_point_reaches_a_terminal_raw_or_moves_a_column() {
    // Only samples are taken from the planes without assigned characters.
    let looked_at = |c: &char| match u32::from(*c) >> 16 {
        0..=3 | 14 => true,
        _ => u32::from(*c) % 97 == 0,
    };
    let all: Vec<char> = ('\0'..=char::MAX).filter(looked_at).collect();
    for some in all.chunks(256) {
        let text: String = some.iter().flat_map(|c| [*c, 'a']).collect();
        let event = Event { actor: party(&text, &text), ..bare("a", sample::NOW) };
        holds_for(&event, None).unwrap();
    }
    for c in ('\0'..='\u{3000}').chain('\u{d7f0}'..='\u{fffd}').step_by(23) {
        holds_for(&hostile(&String::from(c)), Some(100)).unwrap();
    }
}

#[test]
fn the_largest_event_is_drawn_in_linear_time() {
    let mut event = hostile("x");
    event.description = Some("a\u{1b}".repeat(1 << 17));
    event.payload = json(&format!(r#"{{"k":["{}"]}}"#, "b ".repeat(1 << 17)));
    // With a time quadratic in runs or lines this would take minutes.
    assert!(show(&event, Some(80)).len() > 1 << 19);
    let columns = TableColumns::parse("+payload,description", TableView::Activity).unwrap();
    assert!(list(&[event], &columns, None).len() > 1 << 19);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_text_reaches_a_terminal_raw_or_moves_a_column(text in any::<String>(), width in 70usize..130) {
        prop_assert_eq!(holds_for(&hostile(&text), Some(width)), Ok(()));
    }

    #[test]
    fn a_listing_keeps_to_its_page(texts in prop::collection::vec("\\PC{1,60}", 1..5), width in 60usize..140) {
        let events: Vec<Event> = texts.iter().map(|text| hostile(text)).collect();
        let page = list(&events, &TableColumns::from_view(TableView::Activity), Some(width));
        for line in page.lines() {
            prop_assert!(text::width(line) <= width, "{} > {width}: {line}", text::width(line));
            prop_assert!(!line.ends_with(' '));
        }
    }

    #[test]
    fn a_detail_keeps_to_its_page(text in "[a-zé日 \\u{1b}]{0,300}", width in 60usize..140) {
        for line in show(&hostile(&text), Some(width)).lines() {
            prop_assert!(text::width(line) <= width, "{} > {width}: {line}", text::width(line));
            prop_assert!(!line.ends_with(' '));
        }
    }
}
