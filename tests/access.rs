//! `[access]`: who may read what, by command. The caller of these tests is never root itself.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::Output;
use crate::support::Sandbox;
use crate::support::is_running_as_root;

/// 1 by 3, 2 by 17, 3 by 17 who is really 3, 4 of the system, 5 of cron, 6 by 9, 7 by 17 in tenant b.
const EVENTS: &str = r#"
{"event_id":"ev-1","occurred_at":"2025-03-05T10:01:00Z","action":"user.edit","title":"Profile update","actor_id":"3","actor_label":"Jerome Cruz","target_type":"user","target_id":"17"}
{"event_id":"ev-2","occurred_at":"2025-03-05T10:02:00Z","action":"page.edit","actor_id":"17","actor_label":"James Compton","target_type":"page","target_id":"home"}
{"event_id":"ev-3","occurred_at":"2025-03-05T10:03:00Z","action":"page.delete","actor_id":"17","actor_label":"James Compton","impersonator_id":"3","impersonator_label":"Jerome Cruz"}
{"event_id":"ev-4","occurred_at":"2025-03-05T10:04:00Z","source":"system","action":"cache.purge"}
{"event_id":"ev-5","occurred_at":"2025-03-05T10:05:00Z","source":"cron","action":"backup.created"}
{"event_id":"ev-6","occurred_at":"2025-03-05T10:06:00Z","action":"post.publish","actor_id":"9","actor_label":"Maria Reyes"}
{"event_id":"ev-7","occurred_at":"2025-03-05T10:07:00Z","tenant":"b","action":"page.edit","actor_id":"17","actor_label":"Jim"}
"#;

/// A user of no table, for whom root stands in by `sudo`.
const UID: &str = "64017";

/// A log with the events, a config with roles, and a caller who is not root itself.
pub(crate) struct Guarded {
    pub(crate) sandbox: Sandbox,
    user: String,
}

impl Guarded {
    /// `USER` in the config stands for the caller.
    fn new(config: &str) -> Self {
        Self::with_events(EVENTS, config)
    }

    pub(crate) fn with_events(events: &str, config: &str) -> Self {
        let sandbox = Sandbox::new();
        sandbox.ingest(events);
        let whoami = sandbox.run_with_env(&[("SUDO_UID", UID)], ["whoami", "--json"]);
        let user = whoami.ok().json()["user"].as_str().unwrap().to_owned();
        let guarded = Self { sandbox, user };
        guarded.configure(config);
        guarded
    }

    fn configure(&self, config: &str) {
        let config = config.replace("USER", &format!("\"{}\"", self.user));
        self.sandbox.write("config.toml", config);
    }

    /// A log whose caller has that role, as the user 17.
    fn with_role(role: &str) -> Self {
        Self::new(&format!("[access.users]\nUSER = {{ role = '{role}', actor_id = '17' }}\n"))
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.sandbox.run_with_env(&[("SUDO_UID", UID)], args)
    }

    /// The ids that a listing has as JSON, in its order.
    #[track_caller]
    fn ids(&self, args: &[&str]) -> Vec<i64> {
        let rows = self.run(&[args, &["--json"]].concat()).ok().no_stderr().json_lines();
        rows.iter().map(|row| row["id"].as_i64().unwrap()).collect()
    }

    /// Checks that a command is refused, and that the message has these texts.
    #[track_caller]
    fn refuses(&self, args: &[&str], texts: &[&str]) {
        let out = self.run(args).exits(77);
        assert!(out.out.is_empty(), "{out}");
        for text in texts {
            assert!(out.stderr().contains(text), "{text}: {out}");
        }
    }

    pub(crate) fn stored(&self) -> u64 {
        self.sandbox.log().event_count()
    }
}

#[test]
fn a_caller_whom_nothing_names_is_refused_by_name() {
    let guarded = Guarded::new("[access.users]\nsomebody = 'administrator'\n");
    for command in [&["list"][..], &["export", "--csv"], &["ingest", "--action", "a"]] {
        guarded.refuses(command, &[&guarded.user, "config.toml"]);
    }
    let out = guarded.run(&["whoami"]).ok();
    assert!(out.stdout().contains("nothing"), "{out}");
    assert_eq!(guarded.stored(), 7);
    guarded.configure("[access]\ndefault_role = 'viewer'\n");
    guarded.run(&["list"]).ok().done();
    guarded.configure("[access.users]\nsomebody = 'administrator'\nUSER = 'viewer'\n");
    guarded.run(&["list"]).ok().done();
}

#[test]
fn an_administrator_has_the_nine_capabilities_and_the_checks() {
    let guarded = Guarded::with_role("administrator");
    assert_eq!(guarded.ids(&["list"]), [7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(guarded.ids(&["list", "is:system"]), [5, 4]);
    guarded.run(&["show", "1"]).ok().done();
    assert_eq!(guarded.ids(&["search-actor", "9"]), [6]);
    assert_eq!(guarded.ids(&["search-target", "user/17"]), [1]);
    guarded.run(&["verify"]).ok().done();
    guarded.run(&["doctor"]).exits_with_one_of(&[0, 1]);
    guarded.run(&["export", "--jsonl"]).ok().done();
    assert_eq!(guarded.stored(), 8);
    // What keeps the log going is root's, or a role's that has it.
    for command in [&["sweep", "--keep", "365d", "--dry-run"][..], &["digest", "--dry-run"]] {
        guarded.refuses(command, &[command[0]]);
    }
    guarded.refuses(&["ingest", "--action", "a"], &["ingest"]);
}

#[test]
fn an_editor_and_a_viewer_see_their_own_events_alone() {
    for role in ["editor", "viewer"] {
        let guarded = Guarded::with_role(role);
        assert_eq!(guarded.ids(&["list"]), [7, 3, 2], "{role}");
        let table = guarded.run(&["list"]).ok();
        for foreign in ["Maria", "cache.purge", "backup.created", "post.publish", "user.edit"] {
            assert!(!table.stdout().contains(foreign), "{table}");
            assert!(!table.stderr().contains(foreign), "{table}");
        }
        let footer = guarded.run(&["list", "--limit", "2"]).ok();
        assert!(footer.stderr().contains("2 of 3"), "{footer}");
        assert_eq!(guarded.ids(&["list", "--limit", "1", "--page", "2"]), [3]);
        assert_eq!(guarded.ids(&["list", "--after", "2025-03-05T10:06:00Z,6"]), [3, 2]);
        assert_eq!(guarded.ids(&["list", "--around", "3"]), [2, 3, 7]);
        assert_eq!(guarded.ids(&["list", "--sort", "actor"]).len(), 3);
        guarded.run(&["list", "--around", "6"]).exits(1).done();
        let actions = guarded.run(&["actions", "--json"]).ok().json_lines();
        let counts: Vec<_> = actions.iter().map(|row| (&row["action"], &row["count"])).collect();
        assert_eq!(format!("{counts:?}").matches("page.").count(), 2, "{counts:?}");
        assert_eq!(counts.len(), 2, "{counts:?}");
        assert_eq!(guarded.run(&["list", "--count"]).ok().stdout(), "3\n", "{role}");
        for by in
            [&[][..], &["--by", "action"], &["--by", "target"], &["--by", "day", "--by", "actor"]]
        {
            let stats = guarded.run(&[&["stats"][..], by].concat()).ok();
            for foreign in ["Maria", "cache.purge", "backup.created", "post.publish", "user.edit"] {
                assert!(!stats.stdout().contains(foreign), "{stats}");
            }
            let stats = guarded.run(&[&["stats", "--json"][..], by].concat()).ok().json();
            assert_eq!(stats["events"], 3, "{by:?}");
        }
        let offered = guarded.run(&["complete", "--", "activity", "list", "action:"]).ok();
        assert_eq!(offered.stdout(), "action:page.delete\t\naction:page.edit\t\n", "{role}");
        let follow = "SUDO_UID=64017 activity list --follow --json | head -n 3";
        assert_eq!(guarded.sandbox.run_shell(follow).json_lines().len(), 3);
    }
}

#[test]
fn what_is_beyond_the_scope_is_not_there() {
    let guarded = Guarded::with_role("viewer");
    for command in [
        &["list", "actor:3"][..],
        &["list", "actor:Maria Reyes"],
        &["search-actor", "3"],
        &["search-actor", "Jerome Cruz"],
        &["search-actor", "Maria Reye"],
        &["list", "is:system"],
        &["list", "action:post.publish"],
    ] {
        let out = guarded.run(command).ok();
        assert!(out.out.is_empty(), "{out}");
        for name in ["Maria Reyes", "(9", "141", "post.publish finds"] {
            assert!(!out.stderr().contains(name), "{out}");
        }
    }
    let missing = guarded.run(&["show", "99999"]).exits(1);
    for foreign in ["1", "4", "ev-1", "ev-6", "no-such-event"] {
        let out = guarded.run(&["show", foreign]).exits(1);
        assert_eq!(out.out, missing.out);
        assert_eq!(out.stderr().replace(foreign, "99999"), missing.stderr());
    }
    // The only visible event of several that begin so.
    let own = guarded.run(&["show", "ev-", "--json"]).exits(2);
    assert!(own.stderr().contains("2, 3, 7"), "{own}");
}

#[test]
fn a_missing_capability_is_named_with_the_file_and_leaves_no_event() {
    let guarded = Guarded::with_role("viewer");
    guarded.refuses(&["search-target", "user/17"], &["search-target", "config.toml"]);
    guarded.refuses(&["export", "--csv"], &["export", "config.toml"]);
    guarded.refuses(&["export", "--csv", "-o", "out.csv"], &["export"]);
    guarded.refuses(&["list", "--output", "csv"], &["export"]);
    guarded.refuses(&["page", "-o", "out.csv"], &["export", "config.toml"]);
    guarded.refuses(&["page", "-o", "-"], &["export"]);
    guarded.refuses(&["search-actor", "17", "--output", "csv"], &["export"]);
    guarded.refuses(&["list", "--limit", "10001"], &["export"]);
    guarded.run(&["list", "--limit", "10000"]).ok().done();
    assert!(!guarded.sandbox.exists("out.csv"));
    for command in [&["verify"][..], &["doctor"], &["whoami", "--as", "root"]] {
        guarded.refuses(command, &["administrator"]);
    }
    guarded.refuses(&["backup", "copy.db"], &["backup"]);
    assert_eq!(guarded.stored(), 7);
}

#[test]
fn somebody_may_look_at_what_they_did() {
    let guarded = Guarded::with_role("viewer");
    assert_eq!(guarded.ids(&["search-actor", "17"]), [7, 3, 2]);
    guarded.run(&["show", "2"]).ok().done();
    guarded.configure(
        "[access.users]\nUSER = { role = 'viewer', actor_id = '17' }\n[queries]\nall = 'actor:*'\n",
    );
    assert_eq!(guarded.ids(&["list", "@all"]), [7, 3, 2], "a saved query widens nothing");
    let table = guarded.run(&["search-actor", "17"]).ok();
    assert!(table.stdout().contains("(by Jerom"), "{table}");
    guarded.configure("[access.users]\nUSER = { role = 'viewer', actor_id = '3' }\n");
    assert_eq!(guarded.ids(&["list"]), [3, 1]);
    assert_eq!(guarded.ids(&["search-actor", "3"]), [3, 1]);
    assert_eq!(guarded.stored(), 7);
}

#[test]
fn a_role_of_the_config_has_what_it_lists() {
    let config = "[access.users]\nUSER = 'auditor'\n[access.roles]\n\
        auditor = ['list-all', 'show-any', 'search-target', 'export']\n";
    let guarded = Guarded::new(config);
    assert_eq!(guarded.ids(&["list"]), [7, 6, 3, 2, 1]);
    assert_eq!(guarded.ids(&["list", "is:system"]), [0; 0]);
    guarded.run(&["show", "4"]).exits(1).done();
    guarded.refuses(&["search-actor", "3"], &["search-actor-own"]);
    let rows = guarded.run(&["export", "--jsonl", "page.*", "-action:page.delete"]);
    assert_eq!(rows.ok().json_lines().len(), 0);
    let rows = guarded.run(&["export", "--jsonl", "action:page.*"]).ok().json_lines();
    assert_eq!(rows.len(), 3);
    let log = guarded.sandbox.stored_events();
    let export = log.last().unwrap();
    assert_eq!(export["action"], "log.export");
    assert_eq!(export["actor_id"], guarded.user.as_str());
    assert_eq!(export["payload"]["rows"], 3);
    assert_eq!(export["payload"]["query"], "action:page.*");
}

#[test]
fn the_config_replaces_a_built_in_role() {
    let config = "[access.users]\nUSER = 'editor'\n[access.roles]\neditor = ['list-all']\n";
    let guarded = Guarded::new(config);
    assert_eq!(guarded.ids(&["list"]), [7, 6, 3, 2, 1]);
    guarded.refuses(&["show", "2"], &["show-own"]);
    let config = "[access.users]\nUSER = 'keeper'\n[access.roles]\nkeeper = ['sweep', 'ingest']\n";
    guarded.configure(config);
    guarded.run(&["sweep", "--keep", "36500d", "--dry-run"]).ok().done();
    guarded.refuses(&["list"], &["list-own"]);
}

#[test]
fn only_narrows_everything_that_is_read() {
    let user = "USER = { role = 'administrator', only = 'tenant:b' }\n";
    let guarded = Guarded::new(&format!("[access.users]\n{user}"));
    assert_eq!(guarded.ids(&["list"]), [7]);
    assert_eq!(guarded.ids(&["search-actor", "17"]), [7]);
    guarded.run(&["show", "1"]).exits(1).done();
    guarded.run(&["show", "7"]).ok().done();
    assert_eq!(guarded.run(&["export", "--jsonl"]).ok().json_lines().len(), 1);
    let page = guarded.run(&["page", "-o", "-"]).ok();
    assert!(page.stdout().contains("Jim") && !page.stdout().contains("Maria"), "{page}");
    let role = "[access.users]\nUSER = 'local'\n[access.roles]\n\
        local = { capabilities = ['list-all'], only = 'tenant:b' }\n";
    guarded.configure(role);
    assert_eq!(guarded.ids(&["list"]), [7]);
}

#[test]
fn labels_are_filled_in_from_what_the_caller_may_see() {
    let guarded = Guarded::with_role("viewer");
    let event = r#"{"action":"act.as","actor_id":"9","impersonator_id":"17"}"#;
    guarded.sandbox.ingest(event);
    assert!(guarded.sandbox.run(["list"]).ok().stdout().contains("Maria"));
    let out = guarded.run(&["list"]).ok();
    assert!(!out.stdout().contains("Maria"), "{out}");
}

#[test]
fn who_only_records_may_not_speak_for_others() {
    let config = "[access.users]\nUSER = { role = 'emitter', actor_id = '17' }\n[access.roles]\n\
        emitter = ['ingest']\n";
    let guarded = Guarded::new(config);
    let record = |more: &[&str]| guarded.run(&[&["ingest", "--action", "a.b"], more].concat());
    record(&[]).ok().done();
    record(&["--actor-id", "17"]).ok().done();
    record(&["--actor-id", "3"]).exits(77).done();
    record(&["--actor", "Jerome Cruz"]).exits(77).done();
    record(&["--actor-id", "17", "--impersonator-id", "3"]).exits(77).done();
    let reserved = guarded.run(&["ingest", "--action", "log.export"]);
    reserved.exits(77).done();
    let lines = "{\"action\":\"x\",\"actor_id\":\"3\"}\n{\"action\":\"y\"}\n";
    let command = |input: &str| {
        let mut command = guarded.sandbox.command(["ingest"]);
        command.env("SUDO_UID", UID);
        guarded.sandbox.run_command_with_input(command, input)
    };
    let mixed = command(lines).exits(77);
    assert!(mixed.stderr().contains("ingested 1, duplicates 0, rejected 1"), "{mixed}");
    // A conflict tells nothing about an event that they may not see.
    let conflict = command("{\"event_id\":\"ev-6\",\"action\":\"other\"}\n").exits(65);
    assert!(!conflict.stderr().contains("event 6"), "{conflict}");
    assert!(!conflict.stderr().contains("action"), "{conflict}");
    let one = guarded.run(&["ingest", "--action", "b", "--event-id", "ev-6"]).exits(65);
    assert!(!one.stderr().contains('6') && !one.stderr().contains("show"), "{one}");
    guarded.refuses(&["list"], &["list-own"]);
    guarded.configure(&format!("{config}[access.ingest]\nas_others = true\n"));
    record(&["--actor-id", "3"]).ok().done();
}

#[test]
fn root_itself_does_what_cron_runs() {
    let guarded = Guarded::new("[access.users]\nsomebody = 'viewer'\n");
    if is_running_as_root() {
        guarded.sandbox.run(["sweep", "--keep", "36500d"]).ok().done();
        guarded.sandbox.run(["digest", "--dry-run"]).ok().done();
        let other = ["ingest", "--action", "a", "--actor-id", "3"];
        guarded.sandbox.run(other).ok().done();
        guarded.sandbox.run(["list"]).ok().done();
    }
}

#[test]
fn a_config_that_others_can_write_is_refused() {
    let guarded = Guarded::with_role("viewer");
    let path = guarded.sandbox.path("config.toml");
    for mode in [0o666, 0o620, 0o602] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let out = guarded.run(&["list"]).exits(78);
        assert!(out.stderr().contains("config.toml"), "{out}");
        guarded.run(&["whoami"]).exits(78).done();
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    guarded.run(&["list"]).ok().done();
    let folder = guarded.sandbox.work_folder();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    guarded.run(&["list"]).exits(78).done();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    for (config, named) in [
        ("[access.roles]\na = ['lst']\n", "\"lst\""),
        ("[access.users]\nUSER = 'auditor'\n", "\"auditor\""),
        ("[access.users]\nUSER = { role = 'viewer', rol = 'x' }\n", "rol"),
        ("[access]\ndefault = 'viewer'\n", "access.default"),
    ] {
        guarded.configure(config);
        let out = guarded.run(&["list"]).exits(78);
        assert!(out.stderr().contains(named), "{out}");
    }
}

#[test]
fn whoami_says_what_one_may_do_and_what_says_so() {
    let guarded = Guarded::with_role("viewer");
    let facts = guarded.run(&["whoami", "--json"]).ok().json();
    assert_eq!(facts["role"], "viewer");
    assert_eq!(facts["actor_id"], "17");
    assert_eq!(facts["access"], "config.toml");
    assert_eq!(facts["access_line"], 2);
    assert_eq!(facts["capabilities"].as_array().unwrap().len(), 3);
    assert_eq!(facts["scope"], "person:17");
    let text = guarded.run(&["whoami"]).ok();
    assert!(text.stdout().contains("config.toml:2"), "{text}");
    guarded.configure("[access.users]\nUSER = 'administrator'\nbob = 'editor'\n");
    let other = guarded.run(&["whoami", "--as", "bob", "--json"]).ok().json();
    assert_eq!((&other["role"], &other["actor_id"]), (&"editor".into(), &"bob".into()));
    let unknown = guarded.run(&["whoami", "--as", "mallory"]).ok();
    assert!(unknown.stdout().contains("nothing"), "{unknown}");
}

#[test]
fn without_roles_everything_is_as_it_was() {
    let guarded = Guarded::new("tz = 'UTC'\n");
    assert_eq!(guarded.ids(&["list"]).len(), 7);
    guarded.run(&["search-target", "user/17"]).ok().done();
    guarded.run(&["verify"]).ok().done();
    let facts = guarded.run(&["whoami", "--json"]).ok().json();
    assert_eq!(facts["may"], "everything that the file allows");
    assert!(facts.get("role").is_none());
}

#[test]
fn a_file_that_the_caller_names_is_opened_with_their_rights() {
    if !is_running_as_root() {
        return;
    }
    let config = "[access.users]\nUSER = 'porter'\n[access.roles]\n\
        porter = ['list-all', 'export', 'ingest', 'backup']\n";
    let guarded = Guarded::new(config);
    let secret = guarded.sandbox.write("secret.jsonl", "{\"action\":\"a\"}\n");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let secret = secret.to_str().unwrap();
    guarded.run(&["ingest", secret]).exits(77).done();
    guarded.run(&["export", "--csv", "-o", "out.csv"]).exits(73).done();
    guarded.run(&["backup", "copy.db"]).exits(73).done();
    guarded.run(&["ingest", "-", "--rejects", "bad.jsonl"]).exits(73).done();
    assert!(!["out.csv", "copy.db", "bad.jsonl"].iter().any(|name| guarded.sandbox.exists(name)));
    assert_eq!(guarded.stored(), 7, "nothing is recorded for a file that cannot be made");
    fs::set_permissions(guarded.sandbox.root(), fs::Permissions::from_mode(0o755)).unwrap();
    let own = guarded.sandbox.path("own");
    fs::create_dir(&own).unwrap();
    std::os::unix::fs::chown(&own, Some(64017), Some(64017)).unwrap();
    guarded.run(&["export", "--csv", "-o", "own/out.csv"]).ok().done();
    guarded.run(&["backup", "own/copy.db"]).ok().done();
    for name in ["own/out.csv", "own/copy.db"] {
        let metadata = guarded.sandbox.path(name).metadata().unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::uid(&metadata), 64017, "{name}");
    }
    assert_eq!(guarded.run(&["export", "--csv", "-o", "log.db"]).code, Some(2));
}

#[test]
fn the_gate_runs_reading_commands_alone() {
    let guarded = Guarded::new("");
    let gate = |line: Option<&str>| {
        let mut command = guarded.sandbox.command(["gate", "--as", "viewer:17"]);
        if let Some(line) = line {
            command.env("SSH_ORIGINAL_COMMAND", line);
        }
        guarded.sandbox.run_command(command)
    };
    gate(None).ok().done();
    let out = gate(Some("activity list 'action:page.*' --limit 1")).ok();
    assert!(out.stdout().contains("Jim"), "{out}");
    assert!(out.stderr().contains("1 of 3"), "{out}");
    gate(Some("show 1")).exits(1).done();
    gate(Some("show 2")).ok().done();
    for hostile in HOSTILE_LINES {
        let out = gate(Some(hostile));
        assert!(matches!(out.code, Some(2 | 77)), "{hostile}: {out}");
        assert!(out.out.is_empty(), "{hostile}: {out}");
    }
    for harmless in ["list $(id)", "list ';' rm -rf /", "list `touch x` > y", "show '../../x'"] {
        let out = gate(Some(harmless));
        assert!(out.out.is_empty(), "{harmless}: {out}");
    }
    assert!(!guarded.sandbox.exists("x") && !guarded.sandbox.exists("y"));
    assert_eq!(guarded.stored(), 7);
    guarded.sandbox.run(["gate", "--as", "vewer"]).exits(2).done();
    guarded.configure("[access.users]\nsomebody = 'administrator'\n");
    let mut unknown = guarded.sandbox.command(["gate", "--as", "administrator"]);
    unknown.env("SUDO_UID", UID);
    guarded.sandbox.run_command(unknown).exits(77).done();
}

/// What a client may try; each is refused.
pub(crate) const HOSTILE_LINES: [&str; 24] = [
    "ingest --action x",
    "export --csv",
    "export --csv -o /tmp/x",
    "sweep --keep 1s",
    "backup /tmp/x",
    "digest --dry-run",
    "verify",
    "doctor --mail a@b.c",
    "gate --as administrator",
    "completions bash",
    "man",
    "list; cat /etc/passwd",
    "sh -c id",
    "/bin/sh",
    "--db /etc/passwd list",
    "list --db=/etc/passwd",
    "list --config /etc/shadow",
    "--config=/etc/shadow show 1",
    "list --output csv",
    "list --json",
    "search-target user/17",
    "whoami --as root",
    "list 'unclosed",
    "list --limit 10001",
];
