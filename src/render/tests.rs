//! Whole pages for fixed events, and properties of the pages of any events.

use std::sync::Arc;

use insta::assert_snapshot;
use proptest::prelude::*;

use crate::event::Event;
use crate::event::EventId;
use crate::event::Party;
use crate::event::Severity;
use crate::event::Source;
use crate::event::diff;
use crate::event::field::FIELDS;
use crate::event::field::FieldValue;
use crate::event::json::JsonObject;
use crate::render::ActionRow;
use crate::render::EventTable;
use crate::render::Labels;
use crate::render::Printer;
use crate::render::SearchSubject;
use crate::render::SearchSummary;
use crate::render::TableColumns;
use crate::render::TableView;
use crate::render::TimeDisplay;
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
use crate::text;
use crate::time::Zone;

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

#[test]
fn a_listing_is_as_wide_as_its_cells() {
    assert_snapshot!(list(&activity(), &TableColumns::from_view(TableView::Activity), Some(96)), @"
    WHEN        ACTOR                           ACTION               TARGET               SOURCE
    2 min ago   Jerome Cruz                     user.edit            James Compton        operator
    14 min ago  (system)                        backup.created       site-snapshot        cron
    1 hr ago    Maria Reyes                     post.publish         Spring launch        operator
    3 hr ago    Jerome Cruz                     settings.write       general → site_name  operator
    yesterday   James Compton (by Jerome Cruz)  page.delete          Old pricing          operator
    yesterday   (system)                        cache.purge          all surfaces         system
    12 Nov      (anonymous)                     ✗ auth.login_failed                       api
    ");
}

#[test]
fn a_narrow_listing_cuts_names_and_leaves_the_source_out() {
    assert_snapshot!(list(&activity(), &TableColumns::from_view(TableView::Activity), Some(72)), @"
    WHEN        ACTOR                ACTION               TARGET
    2 min ago   Jerome Cruz          user.edit            James Compton
    14 min ago  (system)             backup.created       site-snapshot
    1 hr ago    Maria Reyes          post.publish         Spring launch
    3 hr ago    Jerome Cruz          settings.write       general → site_na…
    yesterday   James Compton (by…   page.delete          Old pricing
    yesterday   (system)             cache.purge          all surfaces
    12 Nov      (anonymous)          ✗ auth.login_failed
    ");
    assert_snapshot!(list(&activity(), &TableColumns::from_view(TableView::Activity), Some(60)), @"
    WHEN        ACTOR          ACTION               TARGET
    2 min ago   Jerome Cruz    user.edit            James Compt…
    14 min ago  (system)       backup.created       site-snapsh…
    1 hr ago    Maria Reyes    post.publish         Spring laun…
    3 hr ago    Jerome Cruz    settings.write       general → s…
    yesterday   James Compto…  page.delete          Old pricing
    yesterday   (system)       cache.purge          all surfaces
    12 Nov      (anonymous)    ✗ auth.login_failed
    ");
    assert_snapshot!(list(&activity(), &TableColumns::from_view(TableView::Activity), Some(40)), @"
    WHEN        ACTION
    2 min ago   user.edit
    14 min ago  backup.created
    1 hr ago    post.publish
    3 hr ago    settings.write
    yesterday   page.delete
    yesterday   cache.purge
    12 Nov      ✗ auth.login_failed
    ");
}

#[test]
fn requests_have_a_view_of_their_own() {
    assert_snapshot!(list(&requests(), &TableColumns::from_view(TableView::Http), Some(120)), @"
    WHEN       TITLE           ACTION       USER                         METHOD  ENDPOINT                     STATUS  MODULE
    3 min ago  User logged in  login        Maria Reyes                  POST    /v1/auth/login                  200  auth
    5 min ago  Submitted quiz  submit_quiz  Ravi Naidoo (by Jerome Cru…  PUT     /v1/quizzes/71f0a3b2/submi…     302  quiz
    9 min ago  Profile update  ✗ edit       4c1d8e2a…                    DELETE  /v1/users/4c1d8e2a-77b1-4c…     422  web
    ");
    assert_snapshot!(list(&requests(), &TableColumns::from_view(TableView::Http), Some(80)), @"
    WHEN       TITLE         ACTION       USER          METHOD  ENDPOINT      STATUS
    3 min ago  User logged…  login        Maria Reyes   POST    /v1/auth/lo…     200
    5 min ago  Submitted q…  submit_quiz  Ravi Naidoo…  PUT     /v1/quizzes…     302
    9 min ago  Profile upd…  ✗ edit       4c1d8e2a…     DELETE  /v1/users/4…     422
    ");
    assert_snapshot!(list(&requests(), &TableColumns::from_view(TableView::Http), Some(60)), @"
    WHEN       ACTION       USER       METHOD  ENDPOINT   STATUS
    3 min ago  login        Maria Re…  POST    /v1/auth…     200
    5 min ago  submit_quiz  Ravi Nai…  PUT     /v1/quiz…     302
    9 min ago  ✗ edit       4c1d8e2a…  DELETE  /v1/user…     422
    ");
}

#[test]
fn off_a_terminal_nothing_is_cut() {
    assert_snapshot!(list(&requests(), &TableColumns::from_view(TableView::Http), None), @"
    WHEN       TITLE           ACTION       USER                                  METHOD  ENDPOINT                                        STATUS  MODULE
    3 min ago  User logged in  login        Maria Reyes                           POST    /v1/auth/login                                     200  auth
    5 min ago  Submitted quiz  submit_quiz  Ravi Naidoo (by Jerome Cruz)          PUT     /v1/quizzes/71f0a3b2/submissions                   302  quiz
    9 min ago  Profile update  ✗ edit       4c1d8e2a-77b1-4c0e-9a55-0d2b6f3c7e11  DELETE  /v1/users/4c1d8e2a-77b1-4c0e-9a55-0d2b6f3c7e11     422  web
    ");
}

#[test]
fn colour_follows_meaning() {
    let listed = |events: &[Event], view| {
        coloured(|printer, out| {
            let columns = TableColumns::from_view(view);
            EventTable::new(&columns).write(printer, events, &Labels::default(), out).unwrap();
        })
    };
    assert_snapshot!(listed(&activity(), TableView::Activity), @"
    {1mWHEN}        {1mACTOR}                           {1mACTION}               {1mTARGET}               {1mSOURCE}
    2 min ago   Jerome Cruz                     user.edit            James Compton        operator
    14 min ago  {2m(system)}                        backup.created       site-snapshot        cron
    1 hr ago    Maria Reyes                     {31mpost.publish}         Spring launch        operator
    3 hr ago    Jerome Cruz                     settings.write       general → site_name  operator
    yesterday   James Compton (by Jerome Cruz)  {1;31mpage.delete}          Old pricing          operator
    yesterday   {2m(system)}                        cache.purge          all surfaces         system
    12 Nov      {2m(anonymous)}                     {31m✗} auth.login_failed                       api
    ");
    assert_snapshot!(listed(&requests(), TableView::Http), @"
    {1mWHEN}       {1mTITLE}           {1mACTION}       {1mUSER}                         {1mMETHOD}  {1mENDPOINT}                     {1mSTATUS}  {1mMODULE}
    3 min ago  {1mUser logged in}  login        Maria Reyes                  {32mPOST}    /v1/auth/login                  {32m200}  auth
    5 min ago  {1mSubmitted quiz}  submit_quiz  Ravi Naidoo (by Jerome Cru…  {33mPUT}     /v1/quizzes/71f0a3b2/submi…     {2m302}  quiz
    9 min ago  {1mProfile update}  {31m✗} edit       4c1d8e2a…                    {31mDELETE}  /v1/users/4c1d8e2a-77b1-4c…     {33m422}  web
    ");
}

#[test]
fn any_field_can_be_a_column() {
    let columns =
        TableColumns::parse("id,occurred_at,status,diff,payload", TableView::Activity).unwrap();
    assert_snapshot!(list(&[edit(), requests().remove(0)], &columns, None), @r#"
       ID  OCCURRED_AT  STATUS  DIFF                                                                                                                                               PAYLOAD
    48213  2 min ago            {"phone":{"before":"+27 82 555 0100","after":"+27 82 555 0199"},"locale":{"before":"en","after":"en"},"newsletter":{"before":true,"after":false}}  {"request_id":"0d9e","via":"admin"}
    48213  3 min ago       200
    "#);
}

#[test]
fn a_missing_label_is_filled_in_and_marked() {
    let mut labels = Labels::default();
    labels.insert(None, "4c1d8e2a-77b1-4c0e-9a55-0d2b6f3c7e11", "Thandi Mokoena");
    let columns = TableColumns::parse("user", TableView::Http).unwrap();
    let page = drawn(Some(80), |printer, out| {
        EventTable::new(&columns).write(printer, &requests()[2..], &labels, out)
    });
    assert_eq!(page, "USER\n~Thandi Mokoena\n");
}

#[test]
fn long_ids_are_cut_to_a_telling_beginning() {
    let columns = TableColumns::parse("user", TableView::Activity).unwrap();
    let shown = |id: &str, width| {
        let actor = Some(Arc::new(Party { id: Some(id.into()), label: None }));
        let page = list(&[Event { actor, ..edit() }], &columns, width);
        page.lines().nth(1).unwrap().to_owned()
    };
    assert_eq!(shown("u_f8042ef86457", Some(80)), "u_f8042ef86457");
    assert_eq!(shown("jerome@example.org", Some(80)), "jerome@example.org");
    assert_eq!(shown("arn:aws:iam::123456789012:user/bert", Some(80)), "arn:aws:iam::1234567890…");
    assert_eq!(shown("f8042ef86457f8042ef86457", Some(80)), "f8042ef8…");
    assert_eq!(shown("f8042ef86457f8042ef86457", None), "f8042ef86457f8042ef86457");
}

#[test]
fn a_continued_listing_keeps_its_columns() {
    let columns = TableColumns::from_view(TableView::Activity);
    let events = activity();
    let page = drawn(Some(96), |printer, out| {
        let mut listing = EventTable::new(&columns);
        listing.write(printer, &events[4..5], &Labels::default(), out)?;
        listing.write(printer, &events[..1], &Labels::default(), out)
    });
    assert_snapshot!(page, @"
    WHEN       ACTOR                           ACTION       TARGET       SOURCE
    yesterday  James Compton (by Jerome Cruz)  page.delete  Old pricing  operator
    2 min ago  Jerome Cruz                     user.edit    James Compton  operator
    ");
}

#[test]
fn times_are_written_in_the_requested_form() {
    let zone = Zone::parse("Africa/Johannesburg").unwrap();
    let shown = |times| {
        sample::with_printer(Some(80), |printer| {
            Printer { time_display: times, zone: &zone, ..*printer }.format_time(edit().occurred_at)
        })
    };
    assert_eq!(shown(TimeDisplay::Relative), "2 min ago");
    assert_eq!(shown(TimeDisplay::Local), "2026-11-20 14:28:09 SAST");
    assert_eq!(shown(TimeDisplay::Rfc3339), "2026-11-20T14:28:09.551+02:00");
    assert_eq!(shown(TimeDisplay::Utc), "2026-11-20T12:28:09.551Z");
}

fn show(event: &Event, width: Option<usize>) -> String {
    drawn(width, |printer, out| {
        printer.write_detail(event, &format!("activity list --around {}", event.id), out)
    })
}

#[test]
fn a_detail_has_everything() {
    assert_snapshot!(show(&edit(), Some(80)), @r#"
    user.edit  Jerome Cruz edited James Compton                          event 48213
      2026-11-20 14:28:09.551 SAST · 2 min ago · recorded 3 ms later by www-data

      actor         Jerome Cruz (3)
      target        user/17 James Compton
      source        operator          severity  low          module  users
      from          102.65.14.9
      user agent    Mozilla/5.0 (Windows NT 10.0; Win64; x64) Firefox/145.0
      tenant        s2l.online

      phone         +27 82 555 0100  →  +27 82 555 0199
      newsletter    true             →  false
      2 fields changed

      payload
        {
          "request_id": "0d9e",
          "via": "admin"
        }
      event_id      0198f2c4-5b7e-7c3a-9d21-6f0a4be0c1d7
      hash          9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f
      nearby: activity list --around 48213
    "#);
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
fn a_detail_wraps_within_its_columns() {
    assert_snapshot!(show(&full(), Some(60)), @r#"
    ✗ user.edit  A title                             event 48213
      really: Thandi Mokoena (8), as Jerome Cruz (3)
      2026-11-20 14:28:09.551 SAST · 2 min ago · recorded 1
        min later, 2026-11-20 14:29:39.551 SAST, by www-data ·
        written by the log itself

      actor         Jerome Cruz (3)
      target        user/17 James Compton
      source        operator
      severity      critical
      module        users
      description   First line
                    second line
      request       PATCH  /v1/users/17  503
      from          102.65.14.9
      user agent    Mozilla/5.0 (Windows NT 10.0; Win64; x64)
                    Firefox/145.0
      session       session-99
      tenant        s2l.online

      phone  +27 82 555 0100  →  +27 82 555 0199 or, when nobody
                                 answers, the office
      age    (none)           →  "42"
      was    null             →  (none)
      empty  ""               →  42
      tags
        - ["a", "b"]
        + [
        +   "a",
        +   "c",
        +   {
        +     "deep": [1.50, "long enough to need lines of its
          own"]
        +   }
        + ]
      bio
          … 2 lines the same
          three
          four
        - five
        + 5
          six
      6 fields changed

      payload
        {
          "request_id": "0d9e",
          "via": "admin"
        }
      event_id      0198f2c4-5b7e-7c3a-9d21-6f0a4be0c1d7
      hash          9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f
                    9f9f9f9f9f9f9f9f9f9f
      nearby: activity list --around 48213
    "#);
    assert_snapshot!(show(&full(), Some(80)), @r#"
    ✗ user.edit  A title                                                 event 48213
      really: Thandi Mokoena (8), as Jerome Cruz (3)
      2026-11-20 14:28:09.551 SAST · 2 min ago · recorded 1 min later, 2026-11-20
        14:29:39.551 SAST, by www-data · written by the log itself

      actor         Jerome Cruz (3)
      target        user/17 James Compton
      source        operator          severity  critical     module  users
      description   First line
                    second line
      request       PATCH  /v1/users/17  503
      from          102.65.14.9
      user agent    Mozilla/5.0 (Windows NT 10.0; Win64; x64) Firefox/145.0
      session       session-99
      tenant        s2l.online

      phone         +27 82 555 0100  →  +27 82 555 0199 or, when nobody answers, the
                                        office
      age           (none)           →  "42"
      was           null             →  (none)
      empty         ""               →  42
      tags
        - ["a", "b"]
        + [
        +   "a",
        +   "c",
        +   {
        +     "deep": [1.50, "long enough to need lines of its own"]
        +   }
        + ]
      bio
          … 2 lines the same
          three
          four
        - five
        + 5
          six
      6 fields changed

      payload
        {
          "request_id": "0d9e",
          "via": "admin"
        }
      event_id      0198f2c4-5b7e-7c3a-9d21-6f0a4be0c1d7
      hash          9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f
      nearby: activity list --around 48213
    "#);
}

#[test]
fn off_a_terminal_a_detail_is_exact() {
    let zone = Zone::utc();
    let mut out = Vec::new();
    sample::with_printer(None, |printer| {
        Printer { time_display: TimeDisplay::Rfc3339, zone: &zone, ..*printer }
            .write_detail(&full(), "activity list --around 48213", &mut out)
            .unwrap();
    });
    assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
    ✗ user.edit  A title                                                 event 48213
      really: Thandi Mokoena (8), as Jerome Cruz (3)
      2026-11-20T12:28:09.551Z · recorded 2026-11-20T12:29:39.551Z by www-data · written by the log itself

      actor         Jerome Cruz (3)
      target        user/17 James Compton
      source        operator          severity  critical     module  users
      description   First line
                    second line
      request       PATCH  /v1/users/17  503
      from          102.65.14.9
      user agent    Mozilla/5.0 (Windows NT 10.0; Win64; x64) Firefox/145.0
      session       session-99
      tenant        s2l.online

      phone         +27 82 555 0100  →  +27 82 555 0199 or, when nobody answers, the office
      age           (none)           →  "42"
      was           null             →  (none)
      empty         ""               →  42
      tags          ["a","b"]        →  ["a","c",{"deep":[1.50,"long enough to need lines of its own"]}]
      bio
          … 2 lines the same
          three
          four
        - five
        + 5
          six
      6 fields changed

      payload
        {
          "request_id": "0d9e",
          "via": "admin"
        }
      event_id      0198f2c4-5b7e-7c3a-9d21-6f0a4be0c1d7
      hash          9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f
      nearby: activity list --around 48213
    "#);
}

#[test]
fn before_is_red_and_after_green() {
    let page = coloured(|printer, out| printer.write_detail(&full(), "", out).unwrap());
    let changes: Vec<&str> = page.lines().skip_while(|line| !line.contains("phone")).collect();
    assert_snapshot!(changes[..16].join("\n"), @r#"
    phone         {31m+27 82 555 0100}  →  {32m+27 82 555 0199 or, when nobody answers, the office}
    age           {2m(none)}           →  {32m"42"}
    was           {31mnull}             →  {2m(none)}
    empty         {31m""}               →  {32m42}
    tags          {31m["a","b"]}        →  {32m["a","c",{"deep":[1.50,"long enough to need lines of its own"]}]}
    bio
      {2m  … 2 lines the same}
        three
        four
      {31m- five}
      {32m+ 5}
        six
    {2m6 fields changed}

    payload
      {
    "#);
    assert_snapshot!(page.lines().next().unwrap(), @"{31m✗} {1muser.edit}  A title                                                                                         event 48213");
}

#[test]
fn no_field_is_left_out_of_a_detail() {
    let squeezed = |text: &str| text.replace([' ', '\n'], "");
    let event = full();
    for width in [None, Some(60), Some(80), Some(120), Some(200)] {
        let zone = Zone::utc();
        let mut out = Vec::new();
        sample::with_printer(width, |printer| {
            let printer = Printer { time_display: TimeDisplay::Utc, zone: &zone, ..*printer };
            printer.write_detail(&event, "", &mut out).unwrap();
        });
        let page = String::from_utf8(out).unwrap();
        for field in &FIELDS {
            let expected: Vec<String> = match (field.get)(&event).expect(field.name) {
                FieldValue::Integer(number) => vec![number.to_string()],
                FieldValue::Text(text) => text.lines().map(str::to_owned).collect(),
                FieldValue::Time(at) => vec![at.to_string()],
                FieldValue::Hash(hash) => vec![hash.to_string()],
                FieldValue::Json(json) if field.name == "diff" => {
                    diff::changes(json).iter().map(|change| change.field.to_string()).collect()
                }
                FieldValue::Json(json) => vec![json.as_str().to_owned()],
            };
            for text in expected {
                assert!(squeezed(&page).contains(&squeezed(&text)), "{}: {page}", field.name);
            }
        }
    }
}

#[test]
fn a_summary_describes_a_record() {
    let summary = SearchSummary {
        subject: SearchSubject::Target,
        search_term: "user/17".into(),
        events: 214,
        first: at("2025-11-02T10:00:00Z"),
        last: at("2026-11-20T12:28:09Z"),
        labels: vec![
            ("James Compton".into(), at("2026-03-02T10:00:00Z")),
            ("Jim Compton".into(), at("2025-11-02T10:00:00Z")),
        ],
        ids: vec!["user/17".into()],
        types: vec![("user".into(), 214)],
        actions: [
            ("user.edit", 1200),
            ("auth.login_failed", 41),
            ("user.suspend", 2),
            ("a", 1),
            ("b", 1),
        ]
        .map(|(kind, count)| (kind.to_owned(), count))
        .to_vec(),
        others: vec![
            (Some("Jerome Cruz".into()), 141),
            (None, 38),
            (Some("Maria Reyes".into()), 20),
            (Some("Ravi Naidoo".into()), 2),
        ],
        others_total: 9,
        monthly: vec![1, 1, 4, 1, 1, 6, 1, 0, 1, 3, 9, 14],
    };
    let head = |summary: &SearchSummary, width| {
        drawn(Some(width), |printer, out| printer.write_summary(summary, out))
    };
    assert_snapshot!(head(&summary, 120), @"
    user/17  James Compton
      labels     James Compton since 2 Mar 2026, before that Jim Compton
      events     214 from 2 Nov 2025 to 2 min ago by 9 people: Jerome Cruz 141, (system) 38, Maria Reyes 20, 6 more
      kinds      user.edit 1,200 · auth.login_failed 41 · user.suspend 2 · 2 more
      activity   ▂▂▃▂▂▄▂▁▂▃▆█ by month
    ");
    assert_snapshot!(head(&summary, 60), @"
    user/17  James Compton
      labels     James Compton since 2 Mar 2026, before that Jim
                 Compton
      events     214 from 2 Nov 2025 to 2 min ago by 9 people:
                 Jerome Cruz 141, (system) 38, Maria Reyes 20, 6
                 more
      kinds      user.edit 1,200 · auth.login_failed 41 ·
                 user.suspend 2 · 2 more
      activity   ▂▂▃▂▂▄▂▁▂▃▆█ by month
    ");
    let actor = SearchSummary {
        subject: SearchSubject::Actor,
        search_term: "3".into(),
        events: 1,
        labels: vec![("Jerome Cruz".into(), at("2026-03-02T10:00:00Z"))],
        ids: vec!["3".into(), "u_3".into()],
        types: vec![("user".into(), 140), ("post".into(), 1)],
        actions: vec![("user.edit".into(), 1)],
        others: vec![(Some("James Compton".into()), 1)],
        others_total: 1,
        monthly: vec![1; 100],
        ..summary
    };
    assert_snapshot!(head(&actor, 80), @"
    3  Jerome Cruz
      labels     Jerome Cruz
      ids        3, u_3
      events     1, 2 Nov 2025 on 1 record: James Compton 1
      types      user 140 · post 1
      kinds      user.edit 1
      activity   ▄█████████████████████████████████ by 3 months
    ");
}

#[test]
fn actions_have_a_rhythm() {
    let vocable = |action: &str, count, last, daily: [u64; 14], remark: Option<&str>| ActionRow {
        action: action.into(),
        count,
        last: at(last),
        daily: daily.to_vec(),
        remark: remark.map(str::to_owned),
    };
    let vocables = [
        vocable(
            "auth.login",
            41_220,
            "2026-11-20T12:28:00Z",
            [30, 40, 31, 41, 50, 9, 8, 40, 41, 50, 40, 41, 5, 6],
            None,
        ),
        vocable(
            "signin.email_sent",
            902,
            "2026-11-11T12:00:00Z",
            [14, 15, 14, 14, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            Some("gone quiet, normally 14 a day"),
        ),
    ];
    assert_snapshot!(drawn(Some(80), |printer, out| printer.write_actions(&vocables, out)), @"
    ACTION             EVENTS  LAST SEEN  RHYTHM
    auth.login         41,220  2 min ago  █▃▃▇▇█▇▇▂▂
    signin.email_sent     902  11 Nov     █▁▁▁▁▁▁▁▁▁   gone quiet, normally 14 a day
    ");
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
        printer.write_detail(&full(), "", &mut out).unwrap();
        printer.write_detail(&events[6], "", &mut out).unwrap();
    });
    let page = String::from_utf8(out).unwrap();
    assert!(page.is_ascii(), "{page}");
}

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
    for c in ('\0'..='\u{3000}').chain('\u{d7f0}'..='\u{fffd}').step_by(7) {
        holds_for(&hostile(&String::from(c)), Some(100)).unwrap();
    }
}

#[test]
fn the_largest_event_is_drawn_in_linear_time() {
    let mut event = hostile("x");
    event.description = Some("a\u{1b}".repeat(1 << 19));
    event.payload = json(&format!(r#"{{"k":["{}"]}}"#, "b ".repeat(1 << 19)));
    // With a time quadratic in runs or lines this would take minutes.
    assert!(show(&event, Some(80)).len() > 2 << 20);
    let columns = TableColumns::parse("+payload,description", TableView::Activity).unwrap();
    assert!(list(&[event], &columns, None).len() > 2 << 20);
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
