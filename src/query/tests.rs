//! The language, by example and by property.

use std::sync::Arc;

use proptest::prelude::*;

use crate::event::Event;
use crate::event::EventId;
use crate::event::Party;
use crate::event::Target;
use crate::event::field::FIELDS;
use crate::query::Clock;
use crate::query::QUALIFIERS;
use crate::query::Query;
use crate::query::TimeBounds;
use crate::query::other_readings;
use crate::query::samples::HOUR;
use crate::query::samples::NOW;
use crate::query::samples::any_event;
use crate::query::samples::any_query;
use crate::query::samples::full_event;
use crate::query::samples::minimal_event;
use crate::query::samples::some_text;
use crate::query::samples::try_parse;
use crate::time::Span;
use crate::time::Timestamp;
use crate::time::Zone;

fn parse(text: &str) -> Query {
    try_parse(text).unwrap_or_else(|error| panic!("{error}"))
}

fn parse_flags(flags: &[(&str, &str)]) -> Query {
    let mut query = Query::default();
    for (flag, value) in flags {
        query.add_flag(flag, value, &Clock { now: NOW, zone: &Zone::utc() }).unwrap();
    }
    query
}

#[test]
fn a_term_matches_what_it_says() {
    for query in [
        "",
        "actor:17 actor:nobody",
        "actor:\"jerome cruz\"",
        "actor:jer*",
        "actor:*",
        "impersonator:3,4",
        "person:3",
        "person:17",
        "target:a/b",
        "target:user/a/b",
        "target:user/*",
        "target:us*/a*b",
        "target:\"JAMES compton\"",
        "action:user.edit",
        "action:User.*",
        "action:*.edit,x",
        "id:17",
        "id:10-20",
        "id:>16 source:API",
        "source:a*",
        "method:patch,get",
        "module:users tenant:s2l session:s1 endpoint:/v1/*",
        "by:\"www-data sudo:alice\"",
        "by:*sudo:alice",
        "severity:high",
        "severity:low",
        "severity:medium-high",
        "severity:>=warning",
        "severity:<critical",
        "status:422",
        "status:4xx",
        "status:42X",
        "status:4*",
        "status:400-499",
        "status:>=400",
        "status:>421",
        "status:<=422 status:500",
        "status:*",
        "ip:192.0.2.7",
        "ip:192.0.2.0/24",
        "ip:192.0.2.200/24",
        "ip:0.0.0.0/0",
        "ip:::ffff:192.0.2.7",
        "ip:192.0.2.1-192.0.2.9",
        "ip:192.0.*",
        "payload.token:abc",
        "payload.n:1.20",
        "payload.yes:true",
        r#"payload.o:"{""#,
        r#"payload."a b":"é,*""#,
        "is:failed",
        "is:impersonated is:system",
        "is:edit",
        "since:2026-11-20T12:00:00Z until:2026-11-20T12:00:01Z",
        "since:today",
        "since:\"3 days ago\"",
        "days:1",
        "launch",
        "\"spring launch, part 2: \" CRUZ compton",
        "spr*roses",
        "-nothing -\"part 3\" -actor:a,b",
        "-until:today -since:2026-11-21",
    ] {
        let query = query.replace(r#""{""#, r#""{\"a\":[1]}""#);
        assert!(parse(&query).matches(&full_event()), "{query}");
    }
    for query in [
        "actor:1*8",
        "actor:Jerome",
        "actor:JEROME\\ CRUZ",
        "impersonator:17",
        "target:b",
        "target:USER/a/b",
        "target:a/c",
        "action:user",
        "action:edit",
        "id:18,19 actor:17",
        "module:Users",
        "severity:critical",
        "severity:low-medium",
        "status:4*3",
        "ip:::/0",
        "payload.n:1.2",
        "payload.n:1.10",
        "payload.no:null",
        "payload.no:*",
        "payload.token:ABC",
        "is:system",
        "until:2026-11-20T12:00:00Z",
        "days:1 until:today",
        "compton nowhere",
        "-actor:17",
        "-actor:nobody,17",
        "-days:1",
        "-since:today",
        "-launch",
        "\"roses spring\"",
        "\"spr*roses\"",
    ] {
        assert!(!parse(query).matches(&full_event()), "{query}");
    }
}

#[test]
fn an_absent_field_never_matches_and_is_always_excluded() {
    for qualifier in &QUALIFIERS {
        let always = [
            "action",
            "by",
            "days",
            "event",
            "hash",
            "id",
            "on",
            "recorded_at",
            "severity",
            "since",
            "source",
            "until",
        ];
        if always.contains(&qualifier.name) {
            continue;
        }
        let value = match qualifier.name {
            "is" => "impersonated,failed,edit",
            "has" => "actor,impersonator,target,title,ip,user_agent,diff,status_code",
            "ip" => "::/0,0.0.0.0/0,*",
            _ => "*",
        };
        let term = format!("{}:{value}", qualifier.name);
        assert!(!parse(&term).matches(&minimal_event()), "{term}");
        assert!(parse(&format!("-{term}")).matches(&minimal_event()), "-{term}");
    }
    assert!(!parse("*").matches(&minimal_event()));
    assert!(parse("*").matches(&full_event()));
}

#[test]
fn a_type_with_any_id_is_every_record_of_it() {
    let only_type = |kind: &str| Event {
        target: Some(Arc::new(Target {
            kind: Some(kind.to_owned()),
            id: None,
            label: Some("x".to_owned()),
        })),
        ..full_event()
    };
    assert!(parse("target:settings/*").matches(&only_type("settings")));
    assert!(!parse("target:settings/*").matches(&only_type("user")));
    assert!(!parse("target:settings/a*").matches(&only_type("settings")));
}

#[test]
fn a_v4_address_in_v6_form_is_the_host_that_it_is() {
    let mapped = Event { ip: Some("::ffff:192.0.2.7".to_owned()), ..full_event() };
    for query in
        ["ip:192.0.2.7", "ip:192.0.2.0/24", "ip:::ffff:192.0.2.7", "ip:::/0", "ip:::ffff:*"]
    {
        assert!(parse(query).matches(&mapped), "{query}");
    }
    assert!(!parse("ip:2001:db8::/32").matches(&mapped));
}

#[test]
fn case_is_folded_by_unicode() {
    let named = |label: &str| Event {
        actor: Some(Arc::new(Party { id: None, label: Some(label.to_owned()) })),
        ..minimal_event()
    };
    assert!(parse("actor:σίσυφοσ").matches(&named("ΣΊΣΥΦΟΣ")));
    assert!(parse("ΣΊΣΥ").matches(&named("σίσυφος")));
    assert!(parse("actor:i\u{307}stanbul").matches(&named("İstanbul")));
    assert!(parse("STRASSE").matches(&named("Straße")));
    assert!(parse("actor:straße").matches(&named("STRASSE")));
    assert!(!parse("actor:istanbul").matches(&named("ıstanbul")));
}

#[test]
fn the_same_again_widens_and_others_narrow() {
    for (text, understood) in [
        ("actor:a action:x actor:b,a", "actor:a,b action:x"),
        ("-action:a -action:b", "-action:a,b"),
        ("a b a -c", "a b -c"),
        ("payload.a:1 payload.b:2 payload.a:3", "payload.a:1,3 payload.b:2"),
        ("status:404 status:5xx", "status:404,500-599"),
        ("since:2026-01-02 since:2026-01-01", "since:2026-01-01T00:00:00Z"),
        ("until:2026-01-02 until:2026-01-01", "until:2026-01-02T00:00:00Z"),
        ("days:1 days:2", "since:2026-11-18T12:00:00Z"),
        ("days:2 since:today", "since:2026-11-20T00:00:00Z"),
        ("days:2 since:2026-01-01", "since:2026-11-18T12:00:00Z"),
        ("-since:today", "until:2026-11-20T00:00:00Z"),
        ("-until:today", "since:2026-11-20T00:00:00Z"),
        ("-since:today,yesterday", "until:2026-11-19T00:00:00Z"),
        ("is:failed,edit is:SYSTEM", "is:failed,edit,system"),
        ("severity:warn", "severity:medium"),
        ("severity:>low severity:info-low", "severity:medium,info-low"),
        ("id:<3 id:>=9", "id:1-2,>=9"),
        (
            "ip:10.1.2.3/8,10.0.0.1-10.0.0.3,::ffff:0:0/96",
            "ip:10.0.0.0/8,10.0.0.1-10.0.0.3,0.0.0.0/0",
        ),
        (
            r#"actor:"a*b"*,"x,y" "w: 1" "-v" target:a:b"#,
            r#"actor:"a*b"*,"x,y" "w: 1" "-v" target:a:b"#,
        ),
        (r#"actor:"a \"b\" c"\"#, r#"actor:"a \"b\" c\\""#),
        ("Word a**b", "word a*b"),
    ] {
        assert_eq!(parse(text).to_string(), understood);
    }
}

#[test]
fn flags_mean_what_qualifiers_mean() {
    let same = |flags: &[(&str, &str)], query: &str| {
        assert_eq!(parse_flags(flags), parse(query), "{query}");
    };
    same(&[("actor", "Jerome Cruz, 17")], r#"actor:"Jerome Cruz",17"#);
    same(&[("action", "!a,b"), ("action", "c")], "-action:a,b action:c");
    same(&[("action", "\"!a\"")], "action:!a");
    same(&[("actor", "\"a, b*\",c*")], r#"actor:"a, b*",c*"#);
    same(&[("since", "3 days ago"), ("days", "!1")], r#"since:"3 days ago" -days:1"#);
    same(&[("is", "failed"), ("is", "edit")], "is:failed,edit");
    same(&[("target", " \" x\" ")], "target:\" x\"");
    let mut searched = Query::default();
    searched.add_phrase("a \"b\" -c*");
    searched.add_phrase("");
    assert_eq!(searched, parse(r#""a \"b\" -c*""#));
    let flags: Vec<_> = QUALIFIERS.iter().filter_map(|qualifier| qualifier.flag).collect();
    assert_eq!(flags.len(), 21);
    assert!(flags.iter().all(|flag| {
        Query::default().add_flag(flag, "", &Clock { now: NOW, zone: &Zone::utc() }).is_err()
    }));
}

#[test]
fn joined_queries_must_both_hold() {
    let scope = parse("tenant:s2l,other");
    let both = parse("tenant:s2l since:today").and(scope.clone());
    assert!(both.matches(&full_event()));
    assert_eq!(both.to_string(), "(tenant:s2l) (tenant:s2l,other) since:2026-11-20T00:00:00Z");
    assert!(!parse("tenant:other").and(parse("tenant:s2l")).matches(&full_event()));
    assert_eq!(parse("-a x").and(parse("-a y")).to_string(), "-a x y");
    assert_eq!(
        Query::for_person("a*, b").and(scope).to_string(),
        r#"person:a*", b" tenant:s2l,other"#
    );
    assert!(Query::for_target("user/a/b").matches(&full_event()));
    let mut today = parse("since:2026-01-01");
    today.narrow_to_today(&Clock { now: NOW, zone: &Zone::utc() });
    assert_eq!(today.to_string(), "since:2026-11-20T00:00:00Z until:2026-11-21T00:00:00Z");
    assert!(today.has_time_terms() && !parse("a").has_time_terms());
    assert_eq!(
        parse("a since:today").describe(|at| at.as_nanos().to_string()),
        "a since 1795132800000000000"
    );
}

#[test]
fn queries_of_values_equal_those_of_text() {
    let (since, until) = (NOW.saturating_sub(Span::from_seconds(60)), NOW);
    for (query, text) in [
        (Query::between(since, until), format!("since:{since} until:{until}")),
        (Query::for_action("User.Edit"), "action:\"User.Edit\"".to_owned()),
        (Query::for_action("a*b"), "action:\"a*b\"".to_owned()),
        (Query::up_to(EventId(17)), "id:1-17".to_owned()),
    ] {
        assert_eq!(query, parse(&text), "{text}");
    }
    assert_eq!(
        parse("actor:17 days:3").with_time_range(since, until),
        parse("actor:17").and(Query::between(since, until))
    );
}

#[test]
fn what_does_not_parse_is_told_with_its_place() {
    for (text, message) in [
        (
            "action:user.* status:>=abc",
            "status: \"abc\" is not a status, like 404, 4xx, 500-599 or >=400
  action:user.* status:>=abc
                         ^^^",
        ),
        ("acion:x", "\"acion\" is not a qualifier; did you mean action: ?\n  acion:x\n  ^^^^^"),
        ("see http://x", "\"http\" is not a qualifier\n  see http://x\n      ^^^^"),
        (":x", "\"\" is not a qualifier\n  :x\n  ^"),
        (
            "a (action:b)",
            "there are no parentheses: different qualifiers narrow, a comma widens\n  a (action:b)\n    ^^^^^^^",
        ),
        ("actor:", "actor: a value is missing\n  actor:\n        ^"),
        ("actor:a,,b", "actor: a value is missing\n  actor:a,,b\n          ^"),
        ("actor:\"\"", "actor: a value is missing\n  actor:\"\"\n        ^^"),
        ("a \"b c", "this quote is not closed\n  a \"b c\n    ^"),
        ("a -", "a minus excludes what follows it, and nothing does\n  a -\n    ^"),
        ("a -\"\"", "an empty phrase says nothing\n  a -\"\"\n    ^^^"),
        ("payload:x", "payload needs a key: payload.KEY:VALUE\n  payload:x\n  ^^^^^^^"),
        (
            "status:600",
            "status: \"600\" is not a status, like 404, 4xx, 500-599 or >=400\n  status:600\n         ^^^",
        ),
        ("status:>599", "status: nothing is above 599\n  status:>599\n         ^^^^"),
        (
            "status:500-400",
            "status: \"500-400\" runs backwards\n  status:500-400\n         ^^^^^^^",
        ),
        (
            "id:10-x",
            "id: \"x\" is not the number of an event, like 17, 10-20 or >=10\n  id:10-x\n        ^",
        ),
        ("id:<1", "id: nothing is below 1\n  id:<1\n     ^^"),
        (
            "ip:10.0.0.300",
            "ip: \"10.0.0.300\" is not an address or network, like 192.0.2.7 or 2001:db8::/32\n  ip:10.0.0.300\n     ^^^^^^^^^^",
        ),
        (
            "ip:10.0.0.0/33",
            "ip: \"10.0.0.0/33\" is not an address or network, like 192.0.2.7 or 2001:db8::/32\n  ip:10.0.0.0/33\n     ^^^^^^^^^^^",
        ),
        (
            "source:apo",
            "source: \"apo\" is none of operator, system, api and cron\n  source:apo\n         ^^^",
        ),
        (
            "severity:hi",
            "severity: \"hi\" is not a severity: critical, high, medium, low or info\n  severity:hi\n           ^^",
        ),
        (
            "is:faild",
            "is: \"faild\" is none of impersonated, failed, system and edit; did you mean failed?\n  is:faild\n     ^^^^^",
        ),
        ("days:0.5", "days: \"0.5\" is not a number of days, like 1 or 30\n  days:0.5\n       ^^^"),
        ("days:+1", "days: \"+1\" is not a number of days, like 1 or 30\n  days:+1\n       ^^"),
        (
            "é\u{1b} since:x\u{202e}",
            "since: \"x\\u{202e}\" is not a time like 2026-11-20, \"2026-11-20 14:30\", 2026-11, \"3 Nov\", monday, today, yesterday, 14:30, now, 2h, \"3 days ago\", \"last week\" or @1700000000\n  é\\e since:x\\u{202e}\n            ^^^^^^^^^",
        ),
    ] {
        assert_eq!(try_parse(text), Err(format!("cannot read the query: {message}")));
    }
    let error =
        Query::default().add_flag("status", "404, 4z", &Clock { now: NOW, zone: &Zone::utc() });
    assert_eq!(
        error.unwrap_err().to_string(),
        "cannot read --status: \"4z\" is not a status, like 404, 4xx, 500-599 or >=400
  --status 404, 4z
                ^^"
    );
}

#[test]
fn what_other_languages_have_is_told_with_the_right_spelling() {
    for (text, place, hint) in [
        ("action:a OR action:b,c", "OR", "action:a,b,c"),
        ("action:a or action:b", "or", "action:a,b"),
        ("x action:a | action:b", "|", "action:a,b"),
        ("action:a || actor:b", "||", "one query after the other finds either"),
        ("user.edit OR user.delete", "OR", "action:user.edit,user.delete"),
        ("a OR b", "OR", "one query after the other finds either"),
        ("action:a AND actor:b", "AND", "action:a actor:b"),
        ("action:a && actor:b", "&&", "action:a actor:b"),
        ("NOT actor:b", "NOT", "-actor:b"),
        ("action:a ! actor:b", "!", "-actor:b"),
        ("actor=17", "actor=17", "actor:17"),
        ("actor!=17", "actor!=17", "-actor:17"),
        ("status_code>=500", "status_code>=500", "status:>=500"),
        ("status >= 500", ">=", "status:>=500"),
        ("since>yesterday", "since>yesterday", "since:yesterday"),
        ("payload.token=abc", "payload.token=abc", "payload.token:abc"),
        ("action:a|b", "a|b", "action:a,b"),
        ("actor:a|actor:b", "a|actor:b", "actor:a,b"),
        ("actor:a| Actor:b", "a|", "actor:a,b"),
        ("actor:x,a||action:b", "a||action:b", "one query after the other finds either"),
        ("actor:a|-actor:b", "a|-actor:b", "one query after the other finds either"),
        ("actor:a&&action:b", "a&&action:b", "actor:a action:b"),
    ] {
        let error = Query::parse(text, &Clock { now: NOW, zone: &Zone::utc() }).unwrap_err();
        assert_eq!(error.hint.as_deref(), Some(hint), "{text}");
        let carets = error.to_string().lines().last().unwrap().trim().len();
        assert_eq!(carets, place.len(), "{text}: {error}");
    }
    for text in [
        "this or that",
        "OR",
        "R&D",
        "a=b",
        "\"OR\" x",
        "tom AND",
        "x \"actor=1\"",
        "<3 you",
        "actor:a|b",
        "actor:\"a|actor:b\"",
        "actor:R&D",
        "title:a|http://b",
    ] {
        parse(text);
    }
}

#[test]
fn every_field_is_a_qualifier_under_each_of_its_names() {
    for field in &FIELDS {
        for name in std::iter::once(&field.name).chain(field.aliases) {
            match field.name {
                "payload" => parse(&format!("{name}.a.b:c")),
                "diff" => parse(&format!("{name}:phone")),
                "occurred_at" | "recorded_at" => parse(&format!("{name}:2026-11-20")),
                "id" | "status_code" => parse(&format!("{name}:>=200")),
                "source" => parse(&format!("{name}:api")),
                "severity" => parse(&format!("{name}:high")),
                "ip" => parse(&format!("{name}:::1")),
                _ => parse(&format!("{name}:x")),
            };
        }
    }
    assert_eq!(parse("Status-Code:404 userName:x"), parse("status:404 actor:x"));
}

#[test]
fn an_unknown_qualifier_names_the_nearest_and_all() {
    let error = Query::parse("actr:x", &Clock { now: NOW, zone: &Zone::utc() }).unwrap_err();
    assert!(error.to_string().contains("did you mean actor: ?"), "{error}");
    let hint = error.hint.unwrap();
    for qualifier in &QUALIFIERS {
        assert!(hint.contains(qualifier.name), "{hint}");
    }
}

#[test]
fn a_query_has_other_readings() {
    let readings = |text: &str| -> Vec<String> {
        other_readings(text).into_iter().map(|reading| reading.query).collect()
    };
    assert!(
        readings("user.edit since:yesterday")
            .contains(&"action:user.edit since:yesterday".to_owned())
    );
    assert!(readings("192.0.2.7").contains(&"ip:192.0.2.7".to_owned()));
    assert!(readings("10.0.0.0/8").contains(&"ip:10.0.0.0/8".to_owned()));
    assert_eq!(readings("actor:Sipho Müller status:404")[0], "actor:\"Sipho Müller\" status:404");
    assert_eq!(readings("actor:(system)"), ["is:system"]);
    assert!(readings("x -failed").contains(&"x -is:failed".to_owned()));
    assert_eq!(readings("actor:17"), [""; 0]);
    assert_eq!(readings("\"user.edit\""), [""; 0]);
}

#[test]
fn days_are_24_hours_and_bounds_are_half_open() {
    let at = |hours: i64| Timestamp::from_nanos(NOW.as_nanos() + hours * HOUR);
    assert_eq!(parse("days:1").bounds(), TimeBounds { from: Some(at(-24)), to: None });
    let beyond = parse("days:999999999");
    assert_eq!(beyond.bounds().from, Some(Timestamp::from_nanos(i64::MIN)));
    assert_eq!(parse("-days:1").bounds(), TimeBounds { from: None, to: Some(at(-24)) });
    let now = parse("since:now");
    assert!(now.matches(&full_event()));
    assert!(!parse("until:now").matches(&full_event()));
}

proptest! {
    // Each case has two texts, and tries each flag with them.
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_text_makes_the_parser_panic(text in "[-!a-z0-9:.,*\"\\\\ /<>=\u{e9}\u{130}\u{202e}\u{1b}]{0,40}", any in any::<String>()) {
        for text in [text, any] {
            if let Ok(query) = try_parse(&text) {
                prop_assert_eq!(try_parse(&query.to_string()), Ok(query), "{}", text);
            }
            let clock = Clock { now: NOW, zone: &Zone::utc() };
            for qualifier in QUALIFIERS.iter().filter_map(|qualifier| qualifier.flag) {
                let mut query = Query::default();
                if query.add_flag(qualifier, &text, &clock).is_ok() {
                    prop_assert_eq!(try_parse(&query.to_string()), Ok(query), "{}", text);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_query_reads_back_as_it_was_understood(text in any_query(), event in any_event()) {
        let query = parse(&text);
        let again = parse(&query.to_string());
        prop_assert_eq!(&again, &query, "{} as {}", text, query);
        prop_assert_eq!(again.matches(&event), query.matches(&event));
    }

    #[test]
    fn a_phrase_is_found_as_it_stands(phrase in ".{1,12}", around in ".{0,6}") {
        let mut query = Query::default();
        query.add_phrase(&phrase);
        let event = Event { title: some_text(&format!("{around}{phrase}{around}")), ..minimal_event() };
        prop_assert!(query.matches(&event));
        prop_assert_eq!(try_parse(&query.to_string()), Ok(query));
    }

    #[test]
    fn joining_is_and(a in any_query(), b in any_query(), event in any_event()) {
        let (a, b) = (parse(&a), parse(&b));
        let both = a.clone().and(b.clone());
        prop_assert_eq!(both.matches(&event), a.matches(&event) && b.matches(&event));
        if let Ok(again) = try_parse(&both.to_string()) {
            prop_assert_eq!(again.matches(&event), both.matches(&event), "{}", both);
        }
    }
}

#[test]
fn a_query_at_any_time_says_all_else() {
    let mut query = parse("action:user.* since:yesterday days:3 -until:2h x");
    query.narrow_to_today(&Clock { now: NOW, zone: &Zone::utc() });
    assert_eq!(
        query.and(parse("until:now actor:17")).without_times(),
        parse("action:user.* x").and(parse("actor:17"))
    );
}
