//! `activity page`: the log as one HTML file.

use serde_json::Value;

use crate::support::Sandbox;

/// The events in a page, as its own program reads them.
fn events(page: &str) -> Vec<Value> {
    let start = "<script id=\"events\" type=\"application/x-ndjson\">";
    let inner = page.split_once(start).unwrap().1.split_once("</script>").unwrap().0;
    inner
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_page_has_the_events_and_is_recorded_as_an_export() {
    let sandbox = Sandbox::with_events();
    sandbox.write("config.toml", "site = 's2l.online'\n");
    sandbox.run(["page", "-o", "a.html", "tenant:s2l.online"]).ok().no_stdout().done();
    let page = String::from_utf8(sandbox.read("a.html")).unwrap();
    let ids: Vec<_> = events(&page).iter().map(|event| event["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, [5, 4, 3, 2, 1], "oldest first");
    assert!(page.contains("\"site\":\"s2l.online\"") && page.trim_end().ends_with("</html>"));
    let export = sandbox.stored_events().pop().unwrap();
    assert_eq!(export["action"], "log.export");
    assert_eq!(export["payload"]["format"], "html");
    assert_eq!(export["payload"]["rows"], 5);
    sandbox.run(["page"]).exits(2).done();
    let shown = sandbox.run(["page", "-o", "-", "id:1"]).ok();
    assert_eq!(events(shown.stdout()).len(), 1);
}

#[test]
fn a_page_loads_nothing_and_no_text_ends_its_elements() {
    let sandbox = Sandbox::new();
    sandbox.ingest(
        r#"{"action":"a","actor_label":"</script><script>alert(1)</script>","title":"<!--<script>","payload":{"x":"@@EVENTS@@</SCRIPT >"}}"#,
    );
    let shown = sandbox.run(["page", "-o", "-"]).ok();
    let page = shown.stdout();
    let found = events(page);
    assert_eq!(found[0]["actor_label"], "</script><script>alert(1)</script>");
    assert_eq!(page.matches("<script").count(), 3, "ours alone");
    assert_eq!(page.to_lowercase().matches("</script").count(), 3);
    for outside in ["http://", "https://", "src=", "@import", "url(", "<link", "innerHTML"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("default-src 'none'"));
}
