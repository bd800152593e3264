//! Every command by every role, as a table, as JSON and as CSV: which events come out.
//!
//! A command without a line in [`TABLE`] fails a test. Each of the seven events has an action of its own,
//! so that an event shows wherever its action does, on either stream.

use crate::access::Guarded;
use crate::help::help_of;
use crate::help::subcommands;
use crate::support::Sandbox;

/// 1 by 3, 2 by 17, 3 by 17 who is really 3, 4 of the system, 5 of cron, 6 by 9, 7 by 17 in tenant b.
const EVENTS: &str = r#"
{"event_id":"ev-1","occurred_at":"2025-03-05T10:01:00Z","action":"profile.edit","actor_id":"3","actor_label":"Jerome Cruz","target_type":"user","target_id":"17"}
{"event_id":"ev-2","occurred_at":"2025-03-05T10:02:00Z","action":"page.edit","actor_id":"17","actor_label":"James Compton"}
{"event_id":"ev-3","occurred_at":"2025-03-05T10:03:00Z","action":"page.delete","actor_id":"17","impersonator_id":"3"}
{"event_id":"ev-4","occurred_at":"2025-03-05T10:04:00Z","source":"system","action":"cache.purge"}
{"event_id":"ev-5","occurred_at":"2025-03-05T10:05:00Z","source":"cron","action":"copy.create"}
{"event_id":"ev-6","occurred_at":"2025-03-05T10:06:00Z","action":"post.publish","actor_id":"9","actor_label":"Maria Reyes"}
{"event_id":"ev-7","occurred_at":"2025-03-05T10:07:00Z","tenant":"b","action":"page.move","actor_id":"17"}
"#;

/// The actions of the events, each at the place of its id less one.
const ACTIONS: [&str; 7] = [
    "profile.edit",
    "page.edit",
    "page.delete",
    "cache.purge",
    "copy.create",
    "post.publish",
    "page.move",
];

/// For the commands that need one.
const CONFIG: &str = "[[mirror]]\nname = 'archive'\ntype = 'file'\npath = 'archive.log'\n\
    [[alert]]\nname = 'edits'\nquery = 'action:*.edit'\ncommand = ['/bin/cat']\n";

/// What comes of a call.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// These events, and exit 0.
    Shows(&'static [usize]),
    /// One line, and exit 0.
    Prints(&'static str),
    /// As if it was not there: nothing, and exit 1.
    Missing,
    /// No permission, before anything is read.
    Refused,
    /// No event, and one of these exits.
    Ends(&'static [i32]),
}

use Outcome::{Ends, Missing, Prints, Refused, Shows};

const ALL: Outcome = Shows(&[1, 2, 3, 4, 5, 6, 7]);
const OWN: Outcome = Shows(&[2, 3, 7]);
const NONE: Outcome = Shows(&[]);

/// A call, and what becomes of it for an administrator, an editor and a viewer.
type Row = (&'static str, Outcome, Outcome, Outcome);

/// A call, what an administrator gets, what an editor and a viewer get who are 17, and what somebody gets
/// whom the config does not name.
const TABLE: [Row; 81] = [
    ("list --count", Prints("7"), Prints("3"), Refused),
    ("list", ALL, OWN, Refused),
    ("list --json", ALL, OWN, Refused),
    ("list --view http --columns +action", ALL, OWN, Refused),
    ("list --sort actor --json", ALL, OWN, Refused),
    ("list --limit 1 --page 3 --json", Shows(&[5]), Shows(&[2]), Refused),
    ("list --after 2025-03-05T10:06:00Z,6", Shows(&[1, 2, 3, 4, 5]), Shows(&[2, 3]), Refused),
    ("list --around 3 --json", ALL, OWN, Refused),
    ("list --around 6", ALL, Missing, Refused),
    ("list is:system", Shows(&[4, 5]), NONE, Refused),
    ("list is:system --json", Shows(&[4, 5]), NONE, Refused),
    ("list actor:9", Shows(&[6]), NONE, Refused),
    ("list actor:9 --json", Shows(&[6]), NONE, Refused),
    ("list --limit 10001", ALL, Refused, Refused),
    ("list --output csv", ALL, Refused, Refused),
    ("show 2", Shows(&[2]), Shows(&[2]), Refused),
    ("show 2 --json", Shows(&[2]), Shows(&[2]), Refused),
    ("show 1", Shows(&[1]), Missing, Refused),
    ("show 1 --json", Shows(&[1]), Missing, Refused),
    ("show 4", Shows(&[4]), Missing, Refused),
    ("show ev-6", Shows(&[6]), Missing, Refused),
    ("search-actor 17", OWN, OWN, Refused),
    ("search-actor 17 --json", OWN, OWN, Refused),
    ("search-actor 17 --output csv", OWN, Refused, Refused),
    ("search-actor 3", Shows(&[1, 3]), NONE, Refused),
    ("search-actor 3 --json", Shows(&[1, 3]), NONE, Refused),
    ("search-target user/17", Shows(&[1]), Refused, Refused),
    ("search-target user/17 --json", Shows(&[1]), Refused, Refused),
    ("search-target user/17 --output csv", Shows(&[1]), Refused, Refused),
    ("export --csv", ALL, Refused, Refused),
    ("export --jsonl", ALL, Refused, Refused),
    ("export --jsonl actor:17", OWN, Refused, Refused),
    ("export --csv -o nowhere/out.csv", Ends(&[73]), Refused, Refused),
    ("actions", ALL, OWN, Refused),
    ("actions --json", ALL, OWN, Refused),
    ("stats", ALL, OWN, Refused),
    ("stats --json", ALL, OWN, Refused),
    ("stats --by action --json", ALL, OWN, Refused),
    ("page -o -", ALL, Refused, Refused),
    ("actions --stale", Ends(&[0, 1]), Ends(&[0, 1]), Refused),
    ("verify", NONE, Refused, Refused),
    ("verify --json", NONE, Refused, Refused),
    ("verify --anchors nothing.txt", Ends(&[66]), Refused, Refused),
    ("doctor", Ends(&[0, 1]), Refused, Refused),
    ("doctor --json", Ends(&[0, 1]), Refused, Refused),
    ("config", NONE, Refused, Refused),
    ("config --json", NONE, Refused, Refused),
    ("mirror status", NONE, Refused, Refused),
    ("mirror status --json", NONE, Refused, Refused),
    ("whoami", NONE, NONE, NONE),
    ("whoami --json", NONE, NONE, NONE),
    ("whoami --as root", NONE, Refused, Refused),
    // Somebody who comes by SSH gets less than the account, never more.
    ("gate --as viewer:17", NONE, NONE, Refused),
    ("gate --as administrator", NONE, NONE, Refused),
    // What keeps the log going is root's, or a role's that the config gives it to.
    ("ingest --action a", Refused, Refused, Refused),
    ("ingest --action a --dry-run", Refused, Refused, Refused),
    ("ingest more.jsonl", Refused, Refused, Refused),
    ("ingest more.jsonl --rejects bad.jsonl", Refused, Refused, Refused),
    ("ingest more.jsonl --map nothing.toml", Refused, Refused, Refused),
    ("digest", Refused, Refused, Refused),
    ("digest --dry-run", Refused, Refused, Refused),
    ("digest --dry-run --since 2025-01-01", Refused, Refused, Refused),
    ("digest --history", Refused, Refused, Refused),
    ("digest --history --json", Refused, Refused, Refused),
    ("mirror", Refused, Refused, Refused),
    ("mirror test archive", Refused, Refused, Refused),
    ("mirror retry archive", Refused, Refused, Refused),
    ("mirror replay archive --since 2025-01-01", Refused, Refused, Refused),
    ("alert test edits", Refused, Refused, Refused),
    ("alert replay edits --since 2025-01-01", Refused, Refused, Refused),
    ("sweep", Refused, Refused, Refused),
    ("sweep --keep 365d", Refused, Refused, Refused),
    ("sweep --keep 365d --dry-run", Refused, Refused, Refused),
    ("sweep --keep 365d --dry-run --json", Refused, Refused, Refused),
    ("backup copy.db", Refused, Refused, Refused),
    ("complete -- activity list action:", ALL, OWN, NONE),
    // No central store is named here, so nothing is done.
    ("central sweep --keep 400d", Ends(&[2, 66, 77, 78]), Ends(&[2, 66, 77, 78]), Refused),
    // These do not know the log.
    ("completions bash", NONE, NONE, NONE),
    ("completions fish", NONE, NONE, NONE),
    ("man", NONE, NONE, NONE),
    ("help", NONE, NONE, NONE),
];

#[test]
fn every_command_has_a_line() {
    for command in subcommands(&help_of(&Sandbox::new(), None)) {
        let has_line = TABLE.iter().any(|(call, ..)| call.split(' ').next() == Some(&command));
        assert!(has_line, "no line of the table has {command}");
    }
}

#[test]
fn an_administrator_gets_what_the_table_says() {
    check("administrator", |(call, expected, ..)| (call, expected));
}

#[test]
fn an_editor_gets_what_the_table_says() {
    check("editor", |(call, _, expected, _)| (call, expected));
}

#[test]
fn a_viewer_gets_what_the_table_says() {
    check("viewer", |(call, _, expected, _)| (call, expected));
}

#[test]
fn a_caller_whom_nothing_names_gets_what_the_table_says() {
    check("", |(call, _, _, expected)| (call, expected));
}

/// Checks a column of the table for a role; the empty one is that of somebody who is not named.
#[track_caller]
fn check(role: &str, column: fn(Row) -> (&'static str, Outcome)) {
    let user = match role {
        "" => "somebody = 'administrator'\n".to_owned(),
        role => format!("USER = {{ role = '{role}', actor_id = '17' }}\n"),
    };
    let guarded = Guarded::with_events(EVENTS, &format!("{CONFIG}[access.users]\n{user}"));
    guarded.sandbox.write("more.jsonl", "{\"action\":\"a\"}\n");
    for line in TABLE {
        let (call, expected) = column(line);
        let before = guarded.stored();
        let out = guarded.run(&call.split(' ').collect::<Vec<_>>());
        let text = format!("{}{}", out.stdout(), out.stderr());
        let shown: Vec<usize> = (1..=7).filter(|id| text.contains(ACTIONS[id - 1])).collect();
        let (exits, events): (&[i32], &[usize]) = match expected {
            Shows(events) => (&[0], events),
            Prints(_) => (&[0], &[]),
            Missing => (&[1], &[]),
            Refused => (&[77], &[]),
            Ends(exits) => (exits, &[]),
        };
        assert!(out.code.is_some_and(|code| exits.contains(&code)), "{role}: {call}\n{out}");
        assert_eq!(shown, events, "{role}: {call}\n{out}");
        match expected {
            Prints(line) => assert_eq!(out.stdout().trim_end(), line, "{role}: {call}"),
            Missing => assert!(out.out.is_empty(), "{role}: {call}\n{out}"),
            Refused => {
                assert!(out.out.is_empty(), "{role}: {call}\n{out}");
                assert!(out.stderr().contains("config.toml"), "{role}: {call}\n{out}");
                assert_eq!(guarded.stored(), before, "{role}: {call} leaves an event");
            }
            Shows(_) | Ends(_) => {}
        }
        // Only what leaves the log is recorded.
        let leaves = ["export", "page"].iter().any(|command| call.starts_with(command))
            || call.ends_with("csv");
        let recorded = u64::from(leaves && matches!(expected, Shows(_)));
        assert_eq!(guarded.stored() - before, recorded, "{role}: {call}\n{out}");
    }
    for name in ["copy.db", "archive.log", "bad.jsonl"] {
        assert!(!guarded.sandbox.exists(name), "{role}: {name} was made");
    }
}
