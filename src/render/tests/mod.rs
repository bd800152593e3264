//! Whole pages for fixed events, and properties of the pages of any events.

mod detail;
mod listing;
mod properties;
mod summary;

use std::sync::Arc;

use crate::event::Event;
use crate::event::Party;
use crate::event::Severity;
use crate::event::Source;
use crate::render::EventTable;
use crate::render::Labels;
use crate::render::Printer;
use crate::render::TableColumns;
use crate::render::TableView;
use crate::render::sample;
use crate::render::sample::action;
use crate::render::sample::at;
use crate::render::sample::bare;
use crate::render::sample::drawn;
use crate::render::sample::edit;
use crate::render::sample::json;
use crate::render::sample::party;
use crate::render::sample::target;
use crate::terminal::DisplayOptions;

/// Six events like those of a busy site.
fn activity() -> Vec<Event> {
    let operator = |event: Event, id: &str, label: &str| Event { actor: party(id, label), ..event };
    let system = |event: Event, source| Event { source, ..event };
    vec![
        edit(),
        Event {
            target: target("snapshot", "9", "site-snapshot"),
            ..system(bare("backup.created", "2026-11-20T12:16:00Z"), Source::Cron)
        },
        Event {
            target: target("post", "41", "Spring launch"),
            severity: Severity::High,
            ..operator(bare("post.publish", "2026-11-20T11:20:00Z"), "4", "Maria Reyes")
        },
        Event {
            target: target("settings", "general", "general"),
            diff: json(r#"{"site_name":{"before":"a","after":"b"},"url":{"before":1,"after":1}}"#),
            ..operator(bare("settings.write", "2026-11-20T09:20:00Z"), "3", "Jerome Cruz")
        },
        Event {
            target: target("page", "8", "Old pricing"),
            severity: Severity::Critical,
            impersonator: party("3", "Jerome Cruz"),
            ..operator(bare("page.delete", "2026-11-19T09:20:00Z"), "17", "James Compton")
        },
        Event {
            target: target("cache", "all", "all surfaces"),
            ..system(bare("cache.purge", "2026-11-19T09:00:00Z"), Source::System)
        },
        Event { source: Source::Api, ..bare("auth.login_failed", "2026-11-12T09:00:00Z") },
    ]
}

fn requests() -> Vec<Event> {
    let request = |event: Event, title: &str, method: &str, endpoint: &str, status| Event {
        title: Some(title.into()),
        method: Some(method.into()),
        endpoint: Some(endpoint.into()),
        status_code: Some(status),
        source: Source::Api,
        ..event
    };
    vec![
        Event {
            actor: party("4", "Maria Reyes"),
            action: action("login", "auth"),
            ..request(
                bare("login", "2026-11-20T12:27:00Z"),
                "User logged in",
                "POST",
                "/v1/auth/login",
                200,
            )
        },
        Event {
            actor: party("5", "Ravi Naidoo"),
            impersonator: party("3", "Jerome Cruz"),
            action: action("submit_quiz", "quiz"),
            ..request(
                bare("", "2026-11-20T12:25:00Z"),
                "Submitted quiz",
                "PUT",
                "/v1/quizzes/71f0a3b2/submissions",
                302,
            )
        },
        Event {
            actor: Some(Arc::new(Party {
                id: Some("4c1d8e2a-77b1-4c0e-9a55-0d2b6f3c7e11".into()),
                label: None,
            })),
            action: action("edit", "web"),
            ..request(
                bare("", "2026-11-20T12:21:00Z"),
                "Profile update",
                "DELETE",
                "/v1/users/4c1d8e2a-77b1-4c0e-9a55-0d2b6f3c7e11",
                422,
            )
        },
    ]
}

fn list(events: &[Event], columns: &TableColumns, width: Option<usize>) -> String {
    drawn(width, |printer, out| {
        EventTable::new(columns).write(printer, events, &Labels::default(), out)
    })
}

/// A page with its escape codes made visible.
fn coloured(draw: impl FnOnce(&Printer<'_>, &mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    sample::with_printer(Some(120), |printer| {
        let look = DisplayOptions { colour: true, ..printer.display };
        draw(&Printer { display: look, ..*printer }, &mut out);
    });
    String::from_utf8(out).unwrap().replace("\x1b[0m", "}").replace("\x1b[", "{")
}

fn show(event: &Event, width: Option<usize>) -> String {
    drawn(width, |printer, out| {
        printer.write_detail(
            event,
            &Labels::default(),
            &format!("activity list --around {}", event.id),
            out,
        )
    })
}

/// An event with a value in every field, no two alike.
fn full() -> Event {
    Event {
        title: Some("A title".into()),
        description: Some("First line\nsecond line".into()),
        impersonator: party("8", "Thandi Mokoena"),
        session_id: Some("session-99".into()),
        method: Some("PATCH".into()),
        endpoint: Some("/v1/users/17".into()),
        status_code: Some(503),
        severity: Severity::Critical,
        own: true,
        recorded_at: at("2026-11-20T12:29:39.551Z"),
        diff: json(
            r#"{"phone":{"before":"+27 82 555 0100","after":"+27 82 555 0199 or, when nobody answers, the office"},
                "age":{"after":"42"},"was":{"before":null},"empty":{"before":"","after":42},
                "tags":{"before":["a","b"],"after":["a","c",{"deep":[1.50,"long enough to need lines of its own"]}]},
                "bio":{"before":"one\ntwo\nthree\nfour\nfive\nsix","after":"one\ntwo\nthree\nfour\n5\nsix"}}"#,
        ),
        ..edit()
    }
}

#[test]
fn without_utf8_our_own_glyphs_are_ascii() {
    let mut out = Vec::new();
    sample::with_printer(Some(60), |printer| {
        let look = DisplayOptions { utf8: false, ..printer.display };
        let printer = Printer { display: look, ..*printer };
        let columns = TableColumns::from_view(TableView::Activity);
        let mut events = activity();
        events[6].recorded_at = at("2026-11-12T09:00:00.000001Z");
        EventTable::new(&columns).write(&printer, &events, &Labels::default(), &mut out).unwrap();
        printer.write_detail(&full(), &Labels::default(), "", &mut out).unwrap();
        printer.write_detail(&events[6], &Labels::default(), "", &mut out).unwrap();
    });
    let page = String::from_utf8(out).unwrap();
    assert!(page.is_ascii(), "{page}");
}
