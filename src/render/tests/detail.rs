//! One event in full.

use insta::assert_snapshot;

use crate::event::diff;
use crate::event::field::FIELDS;
use crate::event::field::FieldValue;
use crate::render::Labels;
use crate::render::Printer;
use crate::render::TimeDisplay;
use crate::render::sample;
use crate::render::sample::edit;
use crate::render::tests::coloured;
use crate::render::tests::full;
use crate::render::tests::show;
use crate::time::Zone;

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
            .write_detail(&full(), &Labels::default(), "activity list --around 48213", &mut out)
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
    let page = coloured(|printer, out| {
        printer.write_detail(&full(), &Labels::default(), "", out).unwrap();
    });
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
            printer.write_detail(&event, &Labels::default(), "", &mut out).unwrap();
        });
        let page = String::from_utf8(out).unwrap();
        for field in &FIELDS {
            let expected: Vec<String> = match (field.get)(&event).expect(field.name) {
                FieldValue::Integer(number) => vec![number.to_string()],
                FieldValue::Text(text) => text.lines().map(str::to_owned).collect(),
                FieldValue::Time(at) => vec![at.to_sortable()],
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
