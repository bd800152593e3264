//! The query language, through `list`: what each term finds, and what is said of those that do not
//! parse.

use crate::support::Output;
use crate::support::Sandbox;
use crate::support::clock;
use crate::support::join_lines;

/// The ids that a query finds among the events of the fixture, in order of arrival.
#[track_caller]
fn matching_ids(sandbox: &Sandbox, args: &[&str]) -> Vec<i64> {
    let args = [&["list", "--json", "--sort", "id:asc"], args].concat();
    sandbox.run(args).ok().ids()
}

#[track_caller]
fn assert_matching_ids(sandbox: &Sandbox, table: &[(&str, &[i64])]) {
    for (query, ids) in table {
        assert_eq!(matching_ids(sandbox, &[query]), *ids, "{query}");
    }
}

#[test]
fn every_qualifier_finds_what_it_names() {
    let sandbox = Sandbox::with_events();
    assert_matching_ids(
        &sandbox,
        &[
            ("", &[1, 2, 3, 4, 5, 6, 7, 8]),
            ("actor:3", &[1, 4]),
            ("actor:\"jerome CRUZ\"", &[1, 4]),
            ("actor:jerome", &[]),
            ("actor:jerome*", &[1, 4]),
            ("actor:*compton", &[5, 6]),
            ("actor:*", &[1, 3, 4, 5, 6, 7]),
            ("target:17", &[1, 6]),
            ("target:user/17", &[1, 6]),
            ("target:user/*", &[1, 6]),
            ("target:page/17", &[]),
            ("target:spring-launch", &[3]),
            ("target:\"SPRING launch\"", &[3]),
            ("target:general*", &[4]),
            ("target:Spring-Launch", &[]),
            ("action:user.edit", &[1]),
            ("action:user.*", &[1]),
            ("action:*.write", &[4]),
            ("action:user.*,settings.write", &[1, 4]),
            ("action:*login*", &[6]),
            ("action:user", &[]),
            ("id:3", &[3]),
            ("id:3-5", &[3, 4, 5]),
            ("id:1,7-8", &[1, 7, 8]),
            ("source:API", &[6, 7]),
            ("source:system,cron", &[2, 8]),
            ("method:post", &[6, 7]),
            ("module:auth", &[6]),
            ("module:AUTH", &[]),
            ("tenant:s2l.online", &[1, 2, 3, 4, 5]),
            ("tenant:*.example", &[6, 7]),
            ("session:s-1", &[1]),
            ("endpoint:/v1/quizzes/*", &[7]),
            ("severity:info", &[1, 2, 3, 4, 5, 6, 7, 8]),
            ("severity:low", &[1, 4, 8]),
            ("severity:medium", &[4, 8]),
            ("severity:error", &[4, 8]),
            ("severity:critical", &[8]),
            ("status:401", &[6]),
            ("status:4xx", &[6]),
            ("status:200-299", &[7]),
            ("status:>=400", &[6]),
            ("status:2xx,401", &[6, 7]),
            ("ip:102.65.14.9", &[1]),
            ("ip:102.65.14.0/24", &[1, 6]),
            ("ip:102.65.14.128/25", &[6]),
            ("ip:2001:db8::/32", &[3]),
            ("ip:2001:DB8:0::7", &[3]),
            ("ip:0.0.0.0/0", &[1, 6]),
            ("impersonator:3", &[5]),
            ("impersonator:\"jerome cruz\"", &[5]),
            ("payload.token:abc", &[6]),
            ("payload.tries:3", &[6]),
            ("payload.via:adm*", &[1]),
            ("payload.nothing:x", &[]),
            ("title:\"PROFILE update\"", &[1]),
            ("title:*quiz*", &[7]),
            ("agent:mozilla*", &[1]),
            ("event:e3,e4", &[3, 4]),
            ("type:user", &[1, 6]),
            ("has:diff", &[1, 4]),
            ("has:impersonator", &[5]),
            ("has:user_agent", &[1]),
            ("-has:target", &[]),
            ("changed:phone", &[1]),
            ("changed:site_*", &[4]),
            ("on:2025-03-04", &[5, 6]),
            ("on:2025-03-04,2025-02-28", &[5, 6, 8]),
            ("-on:2025-03", &[8]),
            ("on:2025", &[1, 2, 3, 4, 5, 6, 7, 8]),
            ("occurred_at:>=2025-03-05T14:00:00Z", &[1, 2]),
            ("actor_id:17", &[5, 6]),
            ("actor_label:\"jim COMPTON\"", &[6]),
            ("user:17", &[5, 6]),
            ("target_id:17", &[1, 6]),
            ("status_code:401", &[6]),
            ("resource_type:page", &[5]),
            ("recorded_at:2020", &[]),
            ("is:impersonated", &[5]),
            ("is:failed", &[6]),
            ("is:system", &[2, 8]),
            ("is:edit", &[1, 4]),
            ("since:2025-03-05", &[1, 2, 3, 4]),
            ("since:2025-03-05T13:30:00Z", &[1, 2, 3]),
            ("until:2025-03-04", &[7, 8]),
            ("until:2025-03-05T13:30:00Z", &[4, 5, 6, 7, 8]),
            ("since:2025-03-03 until:2025-03-04", &[7]),
            ("since:2025-03-04 until:2025-03-05", &[5, 6]),
            ("since:\"2025-03-05 14:20\"", &[1]),
            ("since:@1741183200", &[1, 2]),
            ("launch", &[3]),
            ("SPRING", &[3]),
            ("compton", &[1, 5, 6]),
            ("jerome", &[1, 4]),
            ("profile", &[1]),
            ("\"spring launch\"", &[3]),
            ("\"launch spring\"", &[]),
            ("spring goes", &[3]),
            ("spring nothing", &[]),
            ("site", &[2]),
        ],
    );
}

#[test]
fn terms_narrow_commas_and_repeats_widen() {
    let sandbox = Sandbox::with_events();
    assert_matching_ids(
        &sandbox,
        &[
            ("actor:3 action:user.*", &[1]),
            ("actor:3 actor:9", &[1, 3, 4]),
            ("actor:3,9", &[1, 3, 4]),
            ("actor:3,9 tenant:s2l.online is:edit", &[1, 4]),
            ("actor:3 actor:9 launch", &[3]),
            ("is:failed is:system", &[2, 6, 8]),
            ("since:2025-03-04 action:post.*,page.*", &[3, 5]),
        ],
    );
}

#[test]
fn a_minus_excludes_all_that_its_term_names() {
    let sandbox = Sandbox::with_events();
    assert_matching_ids(
        &sandbox,
        &[
            ("-actor:3", &[2, 3, 5, 6, 7, 8]),
            ("-action:user.edit,backup.created", &[3, 4, 5, 6, 7, 8]),
            ("-action:user.edit -action:backup.created", &[3, 4, 5, 6, 7, 8]),
            ("-is:system", &[1, 3, 4, 5, 6, 7]),
            // An event without the field always matches a negated term.
            ("-status:401", &[1, 2, 3, 4, 5, 7, 8]),
            ("-ip:102.65.14.0/24", &[2, 3, 4, 5, 7, 8]),
            ("-payload.token:abc", &[1, 2, 3, 4, 5, 7, 8]),
            ("-severity:medium", &[1, 2, 3, 5, 6, 7]),
            ("-impersonator:3", &[1, 2, 3, 4, 6, 7, 8]),
            ("-target:*", &[]),
            ("-module:*", &[8]),
            ("-id:2-7", &[1, 8]),
            ("actor:* -compton", &[3, 4, 7]),
            ("-\"spring launch\"", &[1, 2, 4, 5, 6, 7, 8]),
            ("tenant:s2l.online -actor:3 -is:system", &[3, 5]),
        ],
    );
    let both = |args: &[&str]| matching_ids(&sandbox, args);
    assert_eq!(both(&["--action", "!user.edit,backup.created"]), [3, 4, 5, 6, 7, 8]);
    assert_eq!(both(&["--", "-compton"]), [2, 3, 4, 7, 8]);
    assert_eq!(both(&["actor:*", "--", "-compton"]), [3, 4, 7]);
}

#[test]
fn an_argument_that_begins_with_a_negated_qualifier_is_part_of_the_query() {
    let sandbox = Sandbox::with_events();
    let out =
        sandbox.run(["list", "-action:user.*", "--json", "-actor:9", "--sort", "id:asc"]).ok();
    assert_eq!(out.ids(), [2, 4, 5, 6, 7, 8]);
    let out = sandbox.run(["list", "-\"spring launch\"", "--json", "--sort", "id:asc"]).ok();
    assert_eq!(out.ids(), [1, 2, 4, 5, 6, 7, 8]);
    let out =
        sandbox.run(["list", "--json", "--sort", "id:asc", "actor:3", "-payload.via:admin"]).ok();
    assert_eq!(out.ids(), [4]);
    sandbox.run(["list", "-compton"]).exits(2).done();
}

#[test]
fn flags_mean_the_same_as_qualifiers_and_combine() {
    let sandbox = Sandbox::with_events();
    for (flags, query) in [
        (&["--actor", "3"] as &[&str], "actor:3"),
        (&["--actor", "Jerome Cruz"], "actor:\"jerome cruz\""),
        (&["--target", "user/17"], "target:user/17"),
        (&["--action", "user.*,settings.write"], "action:user.*,settings.write"),
        (&["--action", "user.*", "--action", "settings.write"], "action:user.*,settings.write"),
        (&["--id", "3-5"], "id:3-5"),
        (&["--source", "api"], "source:api"),
        (&["--method", "post"], "method:post"),
        (&["--module", "auth"], "module:auth"),
        (&["--tenant", "s2l.online"], "tenant:s2l.online"),
        (&["--session", "s-1"], "session:s-1"),
        (&["--endpoint", "/v1/*"], "endpoint:/v1/*"),
        (&["--severity", "medium"], "severity:medium"),
        (&["--status", ">=400"], "status:>=400"),
        (&["--ip", "102.65.14.0/24"], "ip:102.65.14.0/24"),
        (&["--impersonator", "3"], "impersonator:3"),
        (&["--is", "edit"], "is:edit"),
        (&["--impersonated"], "is:impersonated"),
        (&["--failed"], "is:failed"),
        (&["--since", "2025-03-05"], "since:2025-03-05"),
        (&["--until", "2025-03-05"], "until:2025-03-05"),
        (&["--since", "2025-03-04", "--until", "2025-03-05"], "since:2025-03-04 until:2025-03-05"),
        (&["--search", "spring launch"], "\"spring launch\""),
        (&["--search", "launch goes out"], "\"launch goes out\""),
        (&["--actor", "3", "is:edit", "--severity", "high"], "actor:3 is:edit severity:high"),
        (&["--target", "\"spring launch\""], "target:\"spring launch\""),
        (&["--actor", "!3"], "-actor:3"),
    ] {
        let with_flags = matching_ids(&sandbox, flags);
        assert_eq!(with_flags, matching_ids(&sandbox, &[query]), "{flags:?} and {query}");
        assert!(!with_flags.is_empty() && with_flags.len() < 8, "{flags:?} tells something");
    }
    // Arguments are one query, joined by blanks.
    assert_eq!(
        matching_ids(&sandbox, &["actor:3", "is:edit"]),
        matching_ids(&sandbox, &["actor:3 is:edit"])
    );
    assert_eq!(matching_ids(&sandbox, &["--actor", "3", "actor:9"]), [1, 3, 4]);
}

#[test]
fn recorded_by_is_asked_for_with_by() {
    let sandbox = Sandbox::with_events();
    let recorder = sandbox.stored_events()[0]["recorded_by"].as_str().unwrap().to_owned();
    assert_eq!(matching_ids(&sandbox, &["--by", &format!("\"{recorder}\"")]).len(), 8);
    assert_eq!(matching_ids(&sandbox, &[&format!("by:\"{recorder}\"")]).len(), 8);
    assert_eq!(matching_ids(&sandbox, &["by:nobody-at-all"]), [0_i64; 0]);
}

#[test]
fn days_and_today_are_counted_from_now() {
    let sandbox = Sandbox::new();
    sandbox
        .ingest(join_lines([30, 23 * 3600, 25 * 3600, 49 * 3600].map(|ago| {
            format!(r#"{{"action":"a","occurred_at":"{}"}}"#, clock::seconds_ago(ago))
        })));
    assert_matching_ids(
        &sandbox,
        &[
            ("days:1", &[1, 2]),
            ("days:2", &[1, 2, 3]),
            ("since:-24h", &[1, 2]),
            ("since:24h", &[1, 2]),
            ("since:\"2 days ago\"", &[1, 2, 3]),
            ("until:-1h", &[2, 3, 4]),
            ("until:now", &[1, 2, 3, 4]),
            ("since:now", &[]),
            ("since:-1m", &[1]),
            ("since:1w", &[1, 2, 3, 4]),
            ("since:1y", &[1, 2, 3, 4]),
        ],
    );
    assert_eq!(matching_ids(&sandbox, &["--days", "1"]), [1, 2]);
    let (today, since) =
        (matching_ids(&sandbox, &["--today"]), matching_ids(&sandbox, &["since:today"]));
    assert_eq!(today, since);
    let before_today = matching_ids(&sandbox, &["until:today"]);
    assert_eq!(today.len() + before_today.len(), 4);
    assert!(before_today.contains(&3) && before_today.contains(&4));
    assert!(matching_ids(&sandbox, &["since:yesterday"]).len() >= today.len());
}

#[test]
fn a_day_begins_in_the_zone() {
    let sandbox = Sandbox::new();
    sandbox.ingest(join_lines(
        [
            "2025-03-04T21:59:59Z",
            "2025-03-04T22:00:00Z",
            "2025-03-05T21:59:59Z",
            "2025-03-05T22:00:00Z",
        ]
        .map(|time| format!(r#"{{"action":"a","occurred_at":"{time}"}}"#)),
    ));
    let zone = ["--tz", "Africa/Johannesburg", "since:2025-03-05", "until:2025-03-06"];
    assert_eq!(matching_ids(&sandbox, &zone), [2, 3]);
    assert_eq!(matching_ids(&sandbox, &["since:2025-03-05", "until:2025-03-06"]), [3, 4]);
}

#[test]
fn clocks_that_change_have_their_rules() {
    // A midnight that does not exist: a day begins at its first instant.
    for (zone, day, first) in [
        ("Africa/Cairo", "2024-04-26", "2024-04-25T22:00:00Z"),
        ("Asia/Beirut", "2024-03-31", "2024-03-30T22:00:00Z"),
        ("America/Asuncion", "2023-10-01", "2023-10-01T04:00:00Z"),
    ] {
        let first = chrono::DateTime::parse_from_rfc3339(first).unwrap().timestamp();
        let sandbox = Sandbox::new();
        sandbox.ingest(join_lines(
            [first - 1, first].map(|time| format!(r#"{{"action":"a","occurred_at":{time}}}"#)),
        ));
        let found = |query: String| matching_ids(&sandbox, &["--tz", zone, &query]);
        assert_eq!(found(format!("since:{day}")), [2], "{zone}");
        assert_eq!(found(format!("until:{day}")), [1], "{zone}");
    }
    // An hour that comes twice: the earlier one begins a window, the later one ends it.
    let sandbox = Sandbox::new();
    let times = [
        "2025-11-02T05:29:59Z",
        "2025-11-02T05:30:00Z",
        "2025-11-02T06:29:59Z",
        "2025-11-02T06:30:00Z",
    ];
    sandbox.ingest(join_lines(
        times.map(|time| format!(r#"{{"action":"a","occurred_at":"{time}"}}"#)),
    ));
    let zone = ["--tz", "America/New_York"];
    assert_eq!(
        matching_ids(&sandbox, &[zone[0], zone[1], "since:\"2025-11-02 01:30\""]),
        [2, 3, 4]
    );
    assert_eq!(
        matching_ids(&sandbox, &[zone[0], zone[1], "until:\"2025-11-02 01:30\""]),
        [1, 2, 3]
    );
}

#[test]
fn any_case_is_by_unicode() {
    let sandbox = Sandbox::new();
    sandbox.ingest(join_lines([
        r#"{"action":"a","actor_label":"ÉMILE Zola","target_label":"Straße","title":"ΑΘΗΝΑ"}"#,
        r#"{"action":"a","actor_label":"emile zola"}"#,
    ]));
    assert_matching_ids(
        &sandbox,
        &[
            ("actor:\"émile zola\"", &[1]),
            ("ÉMILE", &[1]),
            ("émile", &[1]),
            ("emile", &[2]),
            ("zola", &[1, 2]),
            ("target:straße", &[1]),
            ("target:STRASSE", &[1]),
            ("target:straẞe", &[1]),
            ("STRASSE", &[1]),
            ("target:stras*", &[1]),
            ("αθηνας", &[]),
            ("αθηνα", &[1]),
            ("actor:éMILE*", &[1]),
        ],
    );
}

#[test]
fn quotes_protect_and_globs_have_no_other_letters() {
    let sandbox = Sandbox::new();
    sandbox.ingest(join_lines([
        r#"{"action":"a","actor_label":"a,b:c d"}"#,
        r#"{"action":"a","actor_label":"50% off_now"}"#,
        r#"{"action":"a","actor_label":"star*"}"#,
        r#"{"action":"a","actor_label":"starry"}"#,
        r#"{"action":"a","actor_label":"q?[x]"}"#,
        r#"{"action":"a","actor_label":"say \"hi\""}"#,
        r#"{"action":"a","actor_label":"back\\slash"}"#,
        r#"{"action":"a","actor_label":"-minus"}"#,
    ]));
    assert_matching_ids(
        &sandbox,
        &[
            (r#"actor:"a,b:c d""#, &[1]),
            (r#""a,b:c d""#, &[1]),
            ("actor:50%*", &[2]),
            ("actor:5*_now", &[2]),
            ("5_%", &[]),
            ("0%", &[2]),
            ("off_now", &[2]),
            ("offxnow", &[]),
            ("actor:star*", &[3, 4]),
            (r#"actor:"star*""#, &[3]),
            ("actor:q?[x]", &[5]),
            ("actor:q?*", &[5]),
            ("actor:s?ar*", &[]),
            ("actor:q[?]*", &[]),
            (r#"actor:"say \"hi\"""#, &[6]),
            (r#""\"hi\"""#, &[6]),
            (r"actor:back\slash", &[7]),
            (r#"actor:"-minus""#, &[8]),
            ("actor:-minus", &[8]),
            ("actor:*", &[1, 2, 3, 4, 5, 6, 7, 8]),
        ],
    );
    assert_eq!(matching_ids(&sandbox, &["--search", "a,b:c d"]), [1]);
    assert_eq!(matching_ids(&sandbox, &["--search", "\"hi\""]), [6]);
    assert_eq!(matching_ids(&sandbox, &["--search=-minus"]), [8]);
    assert_eq!(matching_ids(&sandbox, &["--actor", "\"star*\""]), [3]);
}

#[test]
fn targets_split_at_the_first_slash_and_are_tried_whole() {
    let sandbox = Sandbox::new();
    sandbox.ingest(join_lines([
        r#"{"action":"a","target_type":"pod","target_id":"default/web"}"#,
        r#"{"action":"a","target_id":"pod/default/web"}"#,
        r#"{"action":"a","target_label":"POD/default/web"}"#,
        r#"{"action":"a","target_type":"pod","target_id":"web"}"#,
        r#"{"action":"a","target_id":"/etc/passwd"}"#,
        r#"{"action":"a","target_type":"pod","target_label":"default/web"}"#,
    ]));
    assert_matching_ids(
        &sandbox,
        &[
            ("target:pod/default/web", &[1, 2, 3]),
            ("target:default/web", &[1, 6]),
            ("target:pod/web", &[4]),
            ("target:/etc/passwd", &[5]),
            ("target:/etc/*", &[5]),
        ],
    );
}

#[test]
fn failure_is_a_status_or_a_word_of_the_last_part() {
    let sandbox = Sandbox::new();
    let events = [
        (r#""status_code":400"#, "a"),
        (r#""status_code":399"#, "a"),
        (r#""status_code":599"#, "a"),
        (r#""title":"x""#, "login_failed"),
        (r#""title":"x""#, "auth.denied"),
        (r#""title":"x""#, "auth.denied.report"),
        (r#""title":"x""#, "auth.undenied"),
        (r#""title":"x""#, "auth.failed-twice"),
        (r#""title":"x""#, "failed.login"),
    ];
    sandbox.ingest(join_lines(
        events.map(|(field, action)| format!(r#"{{"action":"{action}",{field}}}"#)),
    ));
    assert_matching_ids(
        &sandbox,
        &[("is:failed", &[1, 3, 4, 5, 8]), ("-is:failed", &[2, 6, 7, 9])],
    );
}

// What does not parse.

#[track_caller]
fn query_error(args: &[&str]) -> Output {
    let sandbox = Sandbox::with_events();
    sandbox.run([&["list"], args].concat()).exits(2).no_stdout()
}

#[test]
fn a_query_that_does_not_parse_is_shown_with_a_caret() {
    insta::assert_snapshot!(query_error(&["action:user.* status:>=abc"]), @r#"
    ------- stderr -------
    activity: cannot read the query: status: "abc" is not a status, like 404, 4xx, 500-599 or >=400
      action:user.* status:>=abc
                             ^^^
    [exit status: 2]
    "#);
    insta::assert_snapshot!(query_error(&["acton:user.*"]), @r#"
    ------- stderr -------
    activity: cannot read the query: "acton" is not a qualifier; did you mean actor: ?
      acton:user.*
      ^^^^^
    hint: text with a colon in it needs quotes; the qualifiers are actor target action id host source method module tenant session endpoint by severity status ip impersonator person payload.KEY title agent event type has changed is on since until days actor_id actor_label impersonator_id impersonator_label target_id target_label description recorded_at hash
    [exit status: 2]
    "#);
    insta::assert_snapshot!(query_error(&["actor:"]), @"
    ------- stderr -------
    activity: cannot read the query: actor: a value is missing
      actor:
            ^
    [exit status: 2]
    ");
    insta::assert_snapshot!(query_error(&["one \"two"]), @r#"
    ------- stderr -------
    activity: cannot read the query: this quote is not closed
      one "two
          ^
    [exit status: 2]
    "#);
    insta::assert_snapshot!(query_error(&["is:imporsonated"]), @r#"
    ------- stderr -------
    activity: cannot read the query: is: "imporsonated" is none of impersonated, failed, system and edit; did you mean impersonated?
      is:imporsonated
         ^^^^^^^^^^^^
    [exit status: 2]
    "#);
    insta::assert_snapshot!(query_error(&["--ip", "10.0.0.300"]), @r#"
    ------- stderr -------
    activity: cannot read --ip: "10.0.0.300" is not an address or network, like 192.0.2.7 or 2001:db8::/32
      --ip 10.0.0.300
           ^^^^^^^^^^
    [exit status: 2]
    "#);
    insta::assert_snapshot!(query_error(&["--since", "last monday"]), @r#"
    ------- stderr -------
    activity: cannot read --since: "last monday" is not a time like 2026-11-20, "2026-11-20 14:30", 2026-11, "3 Nov", monday, today, yesterday, 14:30, now, 2h, "3 days ago", "last week" or @1700000000
      --since last monday
              ^^^^^^^^^^^
    [exit status: 2]
    "#);
}

#[test]
fn everything_malformed_is_exit_2_with_a_caret_under_the_place() {
    for (query, place) in [
        ("status:99", "99"),
        ("status:600", "600"),
        ("status:499-400", "499-400"),
        ("status:4yy", "4yy"),
        ("status:>=", ">="),
        ("id:x", "x"),
        ("id:5-3", "5-3"),
        ("ip:10.0.0.0/33", "10.0.0.0/33"),
        ("ip:host", "host"),
        ("severity:loud", "loud"),
        ("source:robot", "robot"),
        ("is:nothing", "nothing"),
        ("since:someday", "someday"),
        ("since:2025-02-30", "2025-02-30"),
        ("days:x", "x"),
        ("days:-1", "-1"),
        ("colour:red", "colour"),
        ("payload.:x", "payload."),
        ("actor:a,,b", ",b"),
        ("action:\"open", "\"open"),
    ] {
        let text = format!("first {query}");
        let out = query_error(&[&text]);
        let said: Vec<&str> = out.stderr().lines().collect();
        assert!(said[0].starts_with("activity: "), "{query}\n{out}");
        assert_eq!(said[1].trim_start(), text, "{query}\n{out}");
        let caret = said[2].find('^').unwrap_or_else(|| panic!("no caret for {query}\n{out}"));
        let (from, to) =
            (said[1].find(query).unwrap(), said[1].rfind(place).unwrap() + place.len());
        assert!((from..to).contains(&caret), "the caret is elsewhere\n{out}");
    }
}

#[test]
fn the_nearest_name_is_told() {
    for (query, name) in [
        ("acter:3", "actor"),
        ("sevrity:low", "severity"),
        ("is:faild", "failed"),
        ("targt:x", "target"),
    ] {
        query_error(&[query]).stderr_has(name).done();
    }
}

#[test]
fn a_query_with_escapes_is_told_escaped() {
    let out = query_error(&["status:\u{1b}[31m\u{202e}x"]);
    assert!(out.stderr().contains(r"\e[31m\u{202e}x"), "{out}");
}

#[test]
fn words_with_colons_that_are_no_qualifiers_need_quotes() {
    let sandbox = Sandbox::with_events();
    sandbox.run(["list", "http://example.org"]).exits(2).done();
    sandbox.run(["list", "\"http://example.org\""]).ok().done();
}

/// `QUALIFIER:` with 2,000 values, each made of a number.
fn with_many_values(qualifier: &str, value: impl Fn(usize) -> String) -> String {
    let values: Vec<String> = (0..2_000).map(value).collect();
    format!("{qualifier}:{}", values.join(","))
}

#[test]
fn thousands_of_values_and_terms_are_searched_like_a_few() {
    let sandbox = Sandbox::with_events();
    let odd_ids = |qualifier| with_many_values(qualifier, |number| (2 * number + 1).to_string());
    let ranges = |qualifier| {
        with_many_values(qualifier, |number| format!("{}-{}", 3 * number + 2, 3 * number + 3))
    };
    let statuses = |qualifier| {
        let value = |number: usize| format!("{0}-{1}", 400 + number % 90 * 2, 400 + number / 90);
        with_many_values(qualifier, |number| {
            if number % 90 * 2 <= number / 90 { value(number) } else { "401".to_owned() }
        })
    };
    let none = |qualifier| with_many_values(qualifier, |number| format!("nothing{number}"));
    let addresses =
        with_many_values("-ip", |number| format!("10.1.{}.{}", number / 250, number % 250));
    let terms = |term: &str| {
        let terms = (0..1_999).map(|number| term.replace('N', &number.to_string()));
        format!("id:1-3 {}", terms.collect::<Vec<_>>().join(" "))
    };
    let all: &[i64] = &[1, 2, 3, 4, 5, 6, 7, 8];
    let failed = matching_ids(&sandbox, &["status:>=400"]);
    assert_eq!(matching_ids(&sandbox, &[&statuses("status")]), failed);
    let others: Vec<i64> = all.iter().copied().filter(|id| !failed.contains(id)).collect();
    assert_eq!(matching_ids(&sandbox, &["--", &statuses("-status")]), others);
    for (query, ids) in [
        (odd_ids("id"), &[1, 3, 5, 7][..]),
        (odd_ids("-id"), &[2, 4, 6, 8]),
        (ranges("id"), &[2, 3, 5, 6, 8]),
        (ranges("-id"), &[1, 4, 7]),
        (addresses, all),
        (none("-actor"), all),
        (none("-session"), all),
        (none("-payload.x"), all),
        (terms("-payload.keyN:1"), &[1, 2, 3]),
        (terms("-\"phrase N\""), &[1, 2, 3]),
        (terms("payload.keyN:1"), &[]),
    ] {
        let found = matching_ids(&sandbox, &["--", &query]);
        assert_eq!(found, ids, "{}", query.chars().take(40).collect::<String>());
    }
}

/// The qualifiers of the help that take a list, with a value of each for a number. The first value is one of
/// the events' own; a few qualifiers know a few values alone, which are repeated.
fn listed_values(qualifier: &str) -> Box<dyn Fn(usize) -> String> {
    let own = |own: &'static str| -> Box<dyn Fn(usize) -> String> {
        Box::new(move |number| match number {
            0 => own.to_owned(),
            _ => format!("nothing{number}"),
        })
    };
    let repeated = |values: &'static [&str]| -> Box<dyn Fn(usize) -> String> {
        Box::new(move |number| values[number % values.len()].to_owned())
    };
    match qualifier {
        "id" => Box::new(|number| (7 * number + 1).to_string()),
        "status" => Box::new(|number| format!("{}-{}", 400 + number % 90, 490 + number % 60)),
        "ip" => Box::new(|number| match number {
            0 => "102.65.14.9".to_owned(),
            _ => format!("10.1.{}.{}", number / 250, number % 250),
        }),
        "on" | "recorded_at" => Box::new(|number| match number {
            0 => "2025-03-05".to_owned(),
            _ => format!(
                "{}-{:02}-{:02}",
                1700 + number / 336,
                1 + number / 28 % 12,
                1 + number % 28
            ),
        }),
        "source" => repeated(&["operator", "cron"]),
        "severity" => repeated(&["high", "critical"]),
        "has" => repeated(&["ip", "diff"]),
        "is" => repeated(&["impersonated", "failed"]),
        "actor" | "person" => own("jerome cruz"),
        "impersonator" | "impersonator_id" => own("3"),
        "target" => own("user/17"),
        "action" => own("user.edit"),
        "method" => own("post"),
        "module" => own("auth"),
        "tenant" => own("other.example"),
        "session" => own("s-1"),
        "endpoint" => own("/v1/auth/login"),
        "payload.KEY" => own("admin"),
        "title" => own("profile update"),
        "agent" => own("mozilla/5.0 (x11; linux x86_64)"),
        "event" => own("e1"),
        "type" => own("user"),
        "changed" => own("phone"),
        "actor_id" => own("3"),
        "actor_label" | "impersonator_label" => own("jerome cruz"),
        "target_id" => own("17"),
        "target_label" => own("james compton"),
        "by" | "description" | "hash" | "host" => own("nothing"),
        other => panic!("{other} is new: what are its values?"),
    }
}

/// Each qualifier with 5,000 values, in every command that takes a query: found as with a few, and excluded.
#[test]
fn five_thousand_values_of_each_qualifier_are_found_and_excluded() {
    const VALUES: usize = 5_000;
    let sandbox = Sandbox::with_events();
    let help = sandbox.run(["help", "query"]).ok();
    let table = help.stdout().split("QUALIFIERS\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let named = table.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<&str> = named.map(|line| line.trim().split(':').next().unwrap()).collect();
    assert!(names.len() > 30, "{names:?}");
    let alone = ["since", "until", "days"];
    let all: &[i64] = &[1, 2, 3, 4, 5, 6, 7, 8];
    let mut found_some = 0;
    for name in names.into_iter().filter(|name| !alone.contains(name)) {
        let value = listed_values(name);
        let quoted = |number| format!("\"{}\"", value(number));
        let few = format!("{}:{}", name.replace("KEY", "via"), quoted(0));
        let many: Vec<String> = (0..VALUES).map(quoted).collect();
        let many = format!("{}:{}", name.replace("KEY", "via"), many.join(","));
        let found = matching_ids(&sandbox, &[&many]);
        let of_few = matching_ids(&sandbox, &[&few]);
        assert!(of_few.iter().all(|id| found.contains(id)), "{name}: {found:?}, of few {of_few:?}");
        found_some += usize::from(!found.is_empty());
        let others: Vec<i64> = all.iter().copied().filter(|id| !found.contains(id)).collect();
        let negated = format!("-{many}");
        assert_eq!(matching_ids(&sandbox, &[&negated]), others, "{name}");
        assert_eq!(
            sandbox.run(["list", "--count", &many]).ok().stdout().trim(),
            found.len().to_string()
        );
    }
    assert!(found_some > 25, "{found_some} qualifiers found something");
}

/// Lists of 5,000 values, each with how many of the eight events it finds.
fn long_queries() -> Vec<(String, usize)> {
    let many = |qualifier: &str, own: &str| {
        let values: Vec<String> = (0..5_000).map(|number| format!("nothing{number}")).collect();
        format!("{qualifier}:{},{own}", values.join(","))
    };
    // Of the events 4 alone.
    let ids: Vec<String> = (0..5_000).map(|number| (4 + 8 * number).to_string()).collect();
    let ids = format!("id:{}", ids.join(","));
    vec![
        (many("actor", "3"), 2),
        (many("action", "user.edit"), 1),
        (many("session", "s-1"), 1),
        (ids.clone(), 1),
        (format!("-{}", many("actor", "3")), 6),
        (format!("-{ids}"), 7),
    ]
}

#[test]
fn five_thousand_values_work_in_every_command_that_takes_a_query() {
    for (query, found) in long_queries() {
        let sandbox = Sandbox::with_events();
        let run = |args: &[&str]| sandbox.run([args, &[&query]].concat()).ok();
        let count = found.to_string();
        assert_eq!(run(&["list", "--count"]).stdout().trim(), count);
        assert_eq!(run(&["stats", "--json"]).json()["events"], found);
        for args in [
            &["search-actor", "--json", "Jerome Cruz"][..],
            &["search-target", "--json", "17"],
            &["stats", "--by", "actor", "--json"],
            &["list", "--sort", "title"],
        ] {
            run(args).done();
        }
        assert_eq!(run(&["export", "--jsonl"]).stdout().lines().count(), found);
    }
}

#[test]
fn five_thousand_values_work_wherever_the_config_has_a_query() {
    for (query, found) in long_queries() {
        let sandbox = Sandbox::with_events();
        sandbox.write(
            "config.toml",
            format!(
                "[queries]\nmine = '{query}'\n\
                 [digest]\nfrom = 'a@example.org'\nto = ['b@example.org']\n\
                 [digest.kinds]\n'My kind' = '{query}'\n\
                 [retention]\n[[retention.rule]]\nquery = '{query}'\nkeep = '1d'\n\
                 [[mirror]]\nname = 'm'\ntype = 'file'\npath = 'm.log'\nquery = '{query}'\n\
                 [[alert]]\nname = 'a'\nquery = '{query}'\ncommand = ['sh', '-c', 'cat >> {}']\n",
                sandbox.path("told").display()
            ),
        );
        let listed = sandbox.run(["list", "--count", "@mine"]).ok();
        assert_eq!(listed.stdout().trim(), found.to_string());
        let digest = ["digest", "--dry-run", "--since", "2025-01-01", "--until", "2026-01-01"];
        let told = sandbox.run(digest).ok();
        assert!(told.stdout().contains("My kind"), "{told}");
        sandbox.run(["mirror"]).ok().done();
        assert_eq!(String::from_utf8(sandbox.read("m.log")).unwrap().lines().count(), found);
        assert_eq!(String::from_utf8(sandbox.read("told")).unwrap().lines().count(), found);
        let swept = sandbox.run(["sweep", "--json"]).ok();
        assert_eq!(swept.json()["count"], found);
    }
}

#[test]
fn a_query_of_too_many_terms_is_refused() {
    let sandbox = Sandbox::with_events();
    let terms: Vec<String> = (0..2_001).map(|number| format!("w{number}")).collect();
    let out = sandbox.run(["list", &terms.join(" ")]).exits(2).no_stdout();
    out.stderr_has("a query has at most 2,000 terms").done();
}

#[test]
fn a_zone_is_read_in_the_same_ways_everywhere() {
    let rules = "CET-1CEST,M3.5.0,M10.5.0/3";
    let time = "2026-07-01 12:00";
    for tz in [rules, ":Europe/Berlin", "posix/Europe/Berlin", "Europe/Berlin"] {
        let sandbox = Sandbox::new();
        let line = format!("{{\"action\":\"a.b\",\"occurred_at\":\"{time}\"}}\n");
        sandbox.run_with_input(["ingest", "--input-tz", tz], &line).ok().done();
        let show = |out: Output| out.ok().stdout().to_owned();
        let by_flag = show(sandbox.run(["list", "--tz", tz]));
        assert!(by_flag.contains("2026-07-01T12:00:00.000+02:00"), "{tz}: {by_flag}");
        let args = || ["list"];
        assert_eq!(show(sandbox.run_with_env(&[("ACTIVITY_TZ", tz)], args())), by_flag, "{tz}");
        assert_eq!(show(sandbox.run_with_env(&[("TZ", tz)], args())), by_flag, "{tz}");
        sandbox.write("config.toml", format!("tz = '{tz}'\n"));
        assert_eq!(show(sandbox.run(args())), by_flag, "{tz}");
    }
    let sandbox = Sandbox::with_events();
    for tz in ["CET-1CEST", "Nowhere/Atall", "CET-1CEST,M3.5.0"] {
        sandbox.run_with_env(&[("TZ", tz)], ["list"]).exits(2).stderr_has("TZ: \"").done();
        sandbox.run(["list", "--tz", tz]).exits(2).stderr_has("--tz: \"").done();
        sandbox.run(["ingest", "--input-tz", tz]).exits(2).stderr_has("--input-tz: \"").done();
        // A hook needs no zone, so none keeps its event from the log.
        let hook = ["ingest", "--action", "a.b"];
        sandbox.run_with_env(&[("TZ", tz)], hook).ok().done();
    }
    sandbox.write("config.toml", "tz = 'CET-1CEST'\n");
    sandbox.run(["list"]).exits(78).stderr_has("tz: \"CET-1CEST\"").done();
}

#[test]
fn other_languages_are_told_the_right_spelling() {
    insta::assert_snapshot!(query_error(&["action:user.edit OR action:user.delete"]), @"
    ------- stderr -------
    activity: cannot read the query: OR is not needed: a comma or the same qualifier again means or
      action:user.edit OR action:user.delete
                       ^^
    hint: action:user.edit,user.delete
    [exit status: 2]
    ");
    insta::assert_snapshot!(query_error(&["status>=500"]), @r#"
    ------- stderr -------
    activity: cannot read the query: "status>=" is not a term: a colon follows a qualifier
      status>=500
      ^^^^^^^^^^^
    hint: status:>=500
    [exit status: 2]
    "#);
    let out = query_error(&["colour:red"]);
    assert!(out.stderr().contains("the qualifiers are actor target action id "), "{out}");
}

#[test]
fn an_option_that_is_not_known_is_told_with_the_nearest() {
    let sandbox = Sandbox::with_events();
    for (option, hint) in [
        ("--actr=x", "did you mean --actor?"),
        ("--status_code=404", "did you mean --status?"),
        ("--title=x", "it is a qualifier of the query: title:TEXT"),
    ] {
        let out = sandbox.run(["list", option]).exits(2).no_stdout();
        assert!(out.stderr().contains(hint), "{out}");
        assert!(!out.stderr().contains("-- "), "{out}");
    }
}

#[test]
fn what_finds_nothing_could_have_been_meant_otherwise() {
    let sandbox = Sandbox::with_events();
    let said = |args: &[&str]| {
        let out = sandbox.run([&["list"], args].concat()).ok().no_stdout();
        out.stderr().trim_end().to_owned()
    };
    assert_eq!(
        said(&["user.edit"]),
        "no events have \"user.edit\" in a name or title · action:user.edit finds 1"
    );
    for (args, hint) in [
        (&["actor:Jerome Cruz"][..], "actor:\"Jerome Cruz\" finds 2"),
        (&["102.65.14.9"], "ip:102.65.14.9 finds 1"),
        (&["actor:(system)"], "is:system finds 2"),
        (&["actor:jerome"], "did you mean Jerome Cruz (3, 2 events)?"),
        (&["action:user.edti"], "did you mean user.edit (1 event)?"),
        (&["target:old-pricin"], "did you mean Old pricing"),
        (&["user.edit", "--actor", "3"], "action:user.edit finds 1"),
    ] {
        let found = said(args);
        assert!(found.contains(hint), "{args:?}: {found}");
    }
    // A name that is there is no question.
    assert!(!said(&["actor:3", "status:599"]).contains("did you mean"));
}

#[test]
fn a_saved_query_stands_for_its_text_in_every_place() {
    let sandbox = Sandbox::with_events();
    sandbox.write(
        "config.toml",
        "[queries]\nnight = 'action:auth.* is:failed'\njerome = 'actor:3'\n\
         [retention]\nkeep = '9y'\n[[retention.rule]]\nquery = '@night'\nkeep = '1d'\n",
    );
    let ids = |args: &[&str]| sandbox.run(args).ok().ids();
    assert_eq!(ids(&["list", "@night", "--json"]), [6]);
    assert_eq!(ids(&["list", "@jerome", "since:2025-03-05T12:00Z", "--json"]), [1]);
    assert_eq!(sandbox.run(["list", "--count", "@night"]).ok().stdout(), "1\n");
    sandbox.run(["search-actor", "17", "@night", "--json"]).ok().done();
    let help = sandbox.run(["help", "query"]).ok();
    assert!(help.stdout().contains("@night  action:auth.* is:failed"), "{help}");
    let preview = sandbox.run(["sweep", "--dry-run", "--json"]).ok();
    assert!(preview.stdout().contains("auth.login_failed"), "{preview}");

    sandbox.run(["list", "@nigt"]).exits(2).stderr_has("did you mean @night?").done();
    sandbox.run(["list", "-@night"]).exits(2).done();
    assert_eq!(ids(&["list", "\"@night\"", "--json"]), [0_i64; 0]);
    for (config, why) in [
        ("[queries]\n'a b' = 'x'\n", "queries.\"a b\": a name has"),
        ("[queries]\na = 'since:2h'\n", "queries"),
        ("[queries]\na = 'x'\nb = '@a'\n", "queries.b: a saved query names no other"),
        (
            "[[retention.rule]]\nquery = '@none'\nkeep = '1d'\n",
            "retention.rule[1].query: no query is saved as @none",
        ),
    ] {
        sandbox.write("config.toml", config);
        sandbox.run(["list"]).exits(78).stderr_has(why).done();
    }
}
