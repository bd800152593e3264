//! The page of `activity page` in Chromium, driven by the keyboard as a reader without a mouse would.
//!
//! The browser is spoken to by the DevTools protocol over two pipes: messages of JSON, each ended by a
//! zero byte.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::Child;
use std::process::ChildStdin;
use std::process::ChildStdout;
use std::process::Command;
use std::process::Stdio;

use serde_json::Value;
use serde_json::json;

use crate::support::Sandbox;
use crate::support::clock;
use crate::support::join_lines;
use crate::tools;

const EVENTS: usize = 10_000;
/// The most seconds of CPU that the page's own thread may take to open. The clock on the wall would
/// measure the host too.
const OPENING_SECONDS: f64 = 1.0;

struct Browser {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    session: Option<String>,
    last_id: u64,
}

impl Browser {
    fn open(sandbox: &Sandbox, page: &str) -> Self {
        let profile = sandbox.path("profile").display().to_string();
        let script = "exec chromium --headless=new --no-sandbox --disable-gpu \
             --remote-debugging-pipe --user-data-dir=\"$0\" about:blank 3<&0 4>&1 >/dev/null 2>&1";
        let mut process = Command::new("sh")
            .args(["-c", script, &profile])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let requests = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        let mut browser = Self { process, requests, answers, session: None, last_id: 0 };
        let target = browser.call("Target.createTarget", &json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", &attach);
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        browser.call("Page.enable", &json!({}));
        browser.call("Performance.enable", &json!({"timeDomain": "threadTicks"}));
        let url = format!("file://{}", sandbox.path(page).display());
        browser.call("Page.navigate", &json!({"url": url}));
        while browser.message()["method"] != "Page.loadEventFired" {}
        browser
    }

    fn message(&mut self) -> Value {
        let mut message = Vec::new();
        self.answers.read_until(0, &mut message).unwrap();
        assert_eq!(message.pop(), Some(0), "the browser has ended");
        serde_json::from_slice(&message).unwrap()
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.last_id += 1;
        let mut request = json!({"id": self.last_id, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            request["sessionId"] = session.as_str().into();
        }
        write!(self.requests, "{request}\0").unwrap();
        loop {
            let mut answer = self.message();
            if answer["id"] == self.last_id {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].take();
            }
        }
    }

    fn evaluate(&mut self, expression: &str) -> Value {
        let parameters =
            json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let mut answer = self.call("Runtime.evaluate", &parameters);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].take()
    }

    /// Presses a key, by its name and number; `text` is what it types.
    fn press(&mut self, key: &str, number: u32, text: &str) {
        let mut parameters = json!({"type": if text.is_empty() { "rawKeyDown" } else { "keyDown" },
            "key": key, "code": key, "windowsVirtualKeyCode": number});
        if !text.is_empty() {
            parameters["text"] = text.into();
        }
        self.call("Input.dispatchKeyEvent", &parameters);
        let released =
            json!({"type": "keyUp", "key": key, "code": key, "windowsVirtualKeyCode": number});
        self.call("Input.dispatchKeyEvent", &released);
    }

    fn rows(&mut self) -> u64 {
        self.evaluate("document.querySelectorAll('#rows button').length").as_u64().unwrap()
    }

    fn count(&mut self) -> String {
        let count = self.evaluate("document.getElementById('count').textContent");
        count.as_str().unwrap().to_owned()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser has children of its own.
        let group = format!("-{}", self.process.id());
        drop(Command::new("kill").args(["-KILL", "--", &group]).status());
        drop(self.process.wait());
    }
}

/// A page of so many events: each tenth is a failed sign-in of somebody with an ß in their name.
fn page() -> Sandbox {
    let sandbox = Sandbox::new();
    let events = (0..EVENTS as i64).map(|number| {
        let is_failure = number % 10 == 0;
        json!({
            "action": if is_failure { "auth.login_failed" } else { "user.edit" },
            "title": if is_failure { "Sign-in failed" } else { "Profile update" },
            "occurred_at": clock::seconds_ago(60 * (EVENTS as i64 - number)),
            "actor_id": if is_failure { "55" } else { "17" },
            "actor_label": if is_failure { "Antje Straßburger" } else { "James Compton" },
            "target_label": format!("Record {number}"),
            "before": {"phone": "1"}, "after": {"phone": "2"},
            "payload": {"number": number},
        })
        .to_string()
    });
    sandbox.ingest(join_lines(events));
    sandbox.run(["page", "-o", "page.html"]).ok().done();
    sandbox
}

#[test]
fn a_page_of_ten_thousand_opens_at_once_and_is_read_by_the_keyboard() {
    if !tools::require_programs(&["chromium"]) {
        return;
    }
    let sandbox = page();
    let mut browser = Browser::open(&sandbox, "page.html");
    let metrics = browser.call("Performance.getMetrics", &json!({}));
    let metrics = metrics["metrics"].as_array().unwrap();
    let busy = metrics.iter().find(|metric| metric["name"] == "TaskDuration").unwrap();
    let busy = busy["value"].as_f64().unwrap();
    assert!(busy < OPENING_SECONDS, "its thread was busy for {busy} s");
    assert_eq!(browser.count(), "10,000 events");
    let first = browser.rows();
    assert!((1..2_000).contains(&first), "{first} rows are drawn at first");
    let scroll = "new Promise((done) => { \
        const rows = document.getElementById('rows'); \
        new MutationObserver(() => done(0)).observe(rows, { childList: true }); \
        scrollTo(0, document.body.scrollHeight); })";
    browser.evaluate(scroll);
    assert!(browser.rows() > first, "more rows come when the end is near");

    browser.press("/", 191, "/");
    assert_eq!(browser.evaluate("document.activeElement.id"), "filter");
    browser.call("Input.insertText", &json!({"text": "STRASSBURGER failed"}));
    assert_eq!(browser.count(), "1,000 of 10,000 events");
    browser.press("Tab", 9, "");
    browser.press("Tab", 9, "");
    assert_eq!(browser.evaluate("document.activeElement.textContent"), "Sign-in failed");
    browser.press("ArrowDown", 40, "");
    let focused = browser.evaluate("document.activeElement.dataset.id");
    browser.press("Enter", 13, "\r");
    assert_eq!(browser.evaluate("document.getElementById('drawer').open"), true);
    let drawer = browser.evaluate("document.getElementById('drawer').textContent");
    for text in ["Sign-in failed", "Antje Straßburger", "Changes", "phone", "\"number\""] {
        assert!(drawer.as_str().unwrap().contains(text), "{text}: {drawer}");
    }
    browser.press("Escape", 27, "");
    assert_eq!(browser.evaluate("document.getElementById('drawer').open"), false);
    assert_eq!(browser.evaluate("document.activeElement.dataset.id"), focused, "focus is back");
}
