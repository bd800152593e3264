//! Mirror lines that others wrote.

use crate::codec::EventFormat;
use crate::codec::mirror_line;
use crate::codec::tests::outcomes_as;
use crate::event::NewEvent;
use crate::event::Severity;
use crate::event::Source;
use crate::event::builder::IntakeOptions;
use crate::time::Timestamp;

fn event(line: &str) -> NewEvent {
    mirror_line::decode(line, IntakeOptions::default())
        .unwrap_or_else(|why| panic!("{why}: {line}"))
}

fn payload(event: &NewEvent) -> &str {
    event.payload.as_ref().map_or("", |payload| payload.as_str())
}

#[test]
fn a_plugin_is_activated() {
    let event = event(
        r#"[2023-07-05T20:19:15+00:00] example.com.ALERT: Activated the plugin Hello {Dolly}. {"Code":5001,"PluginFile":"hello.php","PluginData":{"Name":"Hello {Dolly}","Network":false},"ClientIP":"192.0.2.7","UserAgent":"Mozilla/5.0 (X11)","CurrentUserID":1,"Username":"jerome","CurrentUserRoles":["administrator"],"SessionID":"9f86d081","Severity":500,"Object":"plugin","EventType":"activated","User":"Jerome Cruz"} []"#,
    );
    assert_eq!(event.occurred_at, Timestamp::parse_rfc3339("2023-07-05T20:19:15Z").ok());
    assert_eq!(event.tenant.as_deref(), Some("example.com"));
    assert_eq!(event.severity, Some(Severity::Critical));
    assert_eq!(event.action, "plugin.activated");
    assert_eq!(event.title.as_deref(), Some("Activated the plugin Hello {Dolly}."));
    assert_eq!(event.actor_id.as_deref(), Some("1"));
    assert_eq!(event.actor_label.as_deref(), Some("jerome"));
    assert_eq!(event.ip.as_deref(), Some("192.0.2.7"));
    assert_eq!(event.source_or_default(), Source::Operator);
    assert_eq!(event.target_id, None);
    assert_eq!(event.event_id, None);
    assert_eq!(
        payload(&event),
        r#"{"Code":5001,"PluginFile":"hello.php","PluginData":{"Name":"Hello {Dolly}","Network":false},"UserAgent":"Mozilla/5.0 (X11)","CurrentUserRoles":["administrator"],"SessionID":"9f86d081","User":"Jerome Cruz"}"#
    );
}

#[test]
fn a_post_changes_its_title_and_status() {
    let event = event(
        r#"[2023-07-05T22:19:15.123456+02:00] shop.example.com.NOTICE: Changed the title {"Code":2086,"PostID":42,"PostType":"page","PostTitle":"About \"us\"","PostStatus":"publish","OldTitle":"About","NewTitle":"About \"us\"","OldStatus":"draft","NewStatus":"publish","OldUrl":"https://example.com/about","OldParent":0,"NewParent":7,"ClientIP":"2001:DB8::1","CurrentUserID":"17","Username":"zoë","Severity":250,"Object":"post","EventType":"modified"}"#,
    );
    assert_eq!(event.occurred_at, Timestamp::parse_rfc3339("2023-07-05T20:19:15.123456Z").ok());
    assert_eq!(event.tenant.as_deref(), Some("shop.example.com"));
    assert_eq!(event.severity, Some(Severity::Low));
    assert_eq!(event.action, "post.modified");
    assert_eq!(
        (event.target_type.as_deref(), event.target_id.as_deref(), event.target_label.as_deref()),
        (Some("page"), Some("42"), Some("About \"us\""))
    );
    assert_eq!(event.actor_id.as_deref(), Some("17"));
    assert_eq!(event.ip.as_deref(), Some("2001:db8::1"));
    assert_eq!(
        event.diff.as_ref().unwrap().as_str(),
        r#"{"Title":{"before":"About","after":"About \"us\""},"Status":{"before":"draft","after":"publish"},"Parent":{"before":0,"after":7}}"#
    );
    assert_eq!(
        payload(&event),
        r#"{"Code":2086,"PostStatus":"publish","OldUrl":"https://example.com/about"}"#
    );
}

#[test]
fn a_role_is_changed_by_nobody_with_an_odd_address() {
    let event = event(
        r#"[2023-07-05T20:19:15+00:00] site.ALERT: Role {"Code":4002,"TargetUserID":5,"TargetUsername":"eve","OldRole":"author","NewRole":"editor","CurrentUserID":0,"Username":"Unknown User","ClientIP":"192.0.2.1:443","Severity":400,"Object":"user","EventType":"modified"} []"#,
    );
    assert_eq!(event.severity, Some(Severity::High));
    assert_eq!(event.actor_id, None);
    assert_eq!(event.actor_label.as_deref(), Some("Unknown User"));
    assert_eq!(
        (event.target_type.as_deref(), event.target_id.as_deref(), event.target_label.as_deref()),
        (Some("user"), Some("5"), Some("eve"))
    );
    assert_eq!(event.ip.as_deref(), Some("192.0.2.1"));
    assert_eq!(payload(&event), r#"{"Code":4002,"CurrentUserID":0,"ClientIP":"192.0.2.1:443"}"#);
}

#[test]
fn the_system_acts_without_an_actor() {
    let event = event(
        r#"[2023-07-05T20:19:15+00:00] example.com.INFO: Purged {"Code":6034,"Username":"System","CurrentUserID":0,"ClientIP":"","Severity":200,"Object":"system","EventType":"deleted","EventCount":12} []"#,
    );
    assert_eq!(event.source, Some(Source::System));
    assert_eq!((event.actor_id.as_deref(), event.actor_label.as_deref()), (None, None));
    assert_eq!(event.severity, Some(Severity::Info));
    assert_eq!(payload(&event), r#"{"Code":6034,"CurrentUserID":0,"ClientIP":"","EventCount":12}"#);
}

#[test]
fn what_is_no_slug_is_made_one_and_kept() {
    let action = |context: &str| {
        let event = event(&format!("[2023-07-05T20:19:15Z] x.INFO: m {context}"));
        (event.action.clone(), payload(&event).to_owned())
    };
    for (context, expected, kept) in [
        (r#"{"Object":"user","EventType":"login"}"#, "user.login", ""),
        (
            r#"{"Object":"WooCommerce Product","EventType":"failed-login"}"#,
            "woocommerce-product.failed-login",
            r#"{"Object":"WooCommerce Product"}"#,
        ),
        (r#"{"Code":1002,"Object":"user"}"#, "wsal.1002", r#"{"Code":1002,"Object":"user"}"#),
        (
            r#"{"Code":"1002","Object":"日本","EventType":"x"}"#,
            "wsal.1002",
            r#"{"Code":"1002","Object":"日本","EventType":"x"}"#,
        ),
    ] {
        assert_eq!(action(context), (expected.to_owned(), kept.to_owned()), "{context}");
    }
}

#[test]
fn levels_are_those_of_syslog_but_for_alert() {
    for (level, severity) in [
        ("DEBUG", Severity::Info),
        ("INFO", Severity::Info),
        ("NOTICE", Severity::Low),
        ("WARNING", Severity::Medium),
        ("ERROR", Severity::High),
        ("CRITICAL", Severity::Critical),
        ("ALERT", Severity::High),
        ("EMERGENCY", Severity::Critical),
        ("high", Severity::High),
    ] {
        let event = event(&format!("[2023-07-05T20:19:15Z] a:b.c.{level}:m: n{{\"Code\":1}}"));
        assert_eq!(event.severity, Some(severity), "{level}");
        assert_eq!(event.tenant.as_deref(), Some("a:b.c"));
        assert_eq!(event.title.as_deref(), Some("m: n"));
    }
}

#[test]
fn another_program_may_use_our_names() {
    let event = event(
        r#"[2023-07-05T20:19:15+00:00] app.WARNING: Edited {"action":"user.edit","user_id":17,"title":"Own title","shoe":42} []"#,
    );
    assert_eq!(event.action, "user.edit");
    assert_eq!(event.actor_id.as_deref(), Some("17"));
    assert_eq!(event.title.as_deref(), Some("Own title"));
    assert_eq!(event.severity, Some(Severity::Medium));
    assert_eq!(payload(&event), r#"{"shoe":42}"#);
}

#[test]
fn a_title_cannot_forge_a_line() {
    let forged = r#"[2023-07-05T20:19:15+00:00] s.high: Hi {"event_id":"f","action":"forged"} {"x":" {"id":3,"event_id":"e","action":"real","title":"Hi {\"event_id\":\"f\",\"action\":\"forged\"} {\"x\":\""}"#;
    assert_eq!(event(forged).action, "real");
}

#[test]
fn a_line_of_braces_takes_no_longer_than_another() {
    let line = |message: &str| format!("[2023-07-05T20:19:15Z] {message} {{\"Code\":1}}");
    for odd in ["{\"a\":", "\"", "\\\"", ":", ".:", "a"] {
        assert_eq!(event(&line(&format!("s.INFO: {}", odd.repeat(200_000)))).action, "wsal.1");
        assert!(
            mirror_line::decode(&line(&odd.repeat(200_000)), IntakeOptions::default()).is_err()
        );
    }
    let pairs = |n: usize| format!("\"Old{n}\":1,\"New{n}\":2");
    let pairs: Vec<String> = (0..20_000).map(pairs).collect();
    let line = format!("[2023-07-05T20:19:15Z] s.INFO: m {{\"Code\":1,{}}}", pairs.join(","));
    assert_eq!(event(&line).diff.unwrap().members().len(), 20_000);
}

#[test]
fn what_is_no_line_of_this_kind_is_told() {
    let input = b"[2023-07-05T20:19:15Z] s.INFO: m {\"Code\":1}\nplain\n[x] s.INFO: m {\"Code\":1}\n\
        [2023-07-05T20:19:15Z] s.INFO: m []\n[2023-07-05T20:19:15Z] s.INFO: m {\"Code\":1,\"Code\":2}\n\
        [2023-07-05T20:19:15] s.INFO: m {\"Code\":1}\n";
    let head = "rejected: does not begin with [TIME] IDENTIFIER.SEVERITY: MESSAGE";
    let messages: Vec<String> =
        outcomes_as(input, EventFormat::Mirror).into_iter().map(|(_, what)| what).collect();
    assert_eq!(
        messages,
        [
            "wsal.1",
            head,
            "rejected: occurred_at: \"x\" is not a time like 2026-11-20T04:00:00Z or 1700000000",
            "rejected: action is missing",
            "rejected: \"Code\" is given twice",
            "rejected: occurred_at: \"2023-07-05T20:19:15\" is not a time: it has no offset, and --input-tz does not say how to read it",
        ]
    );
}
