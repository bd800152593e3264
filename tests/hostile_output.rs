//! What may reach a terminal: every code point of the planes that have characters goes through list, show
//! and errors, and nothing that moves a cursor, turns text round or hides comes out; no column is broken.

use std::fmt::Write;
use std::sync::LazyLock;

use serde_json::Value;
use serde_json::json;
use unicode_width::UnicodeWidthStr;

use crate::support::Sandbox;
use crate::support::join_lines;

/// Every code point of the planes with characters; of the others, which are all alike, some and their
/// ends. The unit tests of `text` look at each.
fn code_points() -> impl Iterator<Item = char> {
    let is_looked_at = |c: &char| match u32::from(*c) >> 16 {
        0..=3 | 14 => true,
        _ => u32::from(*c) % 61 == 0 || u32::from(*c) & 0xfffe == 0xfffe,
    };
    ('\0'..=char::MAX).filter(is_looked_at)
}

/// Whether a code point never reaches a terminal as it is; written from the rule, not from the code.
/// Joiners, marks and an emoji's selector are let through in some places, and are not among these.
fn is_forbidden(c: char) -> bool {
    let point = u32::from(c);
    let format = [
        0xad..=0xad,
        0x600..=0x605,
        0x61c..=0x61c,
        0x6dd..=0x6dd,
        0x70f..=0x70f,
        0x890..=0x891,
        0x8e2..=0x8e2,
        0x180e..=0x180e,
        0x200b..=0x200b,
        0x200e..=0x200f,
        0x202a..=0x202e,
        0x2060..=0x206f,
        0xfeff..=0xfeff,
        0xfff9..=0xfffb,
        0x110bd..=0x110bd,
        0x110cd..=0x110cd,
        0x13430..=0x1343f,
        0x1bca0..=0x1bca3,
        0x1d173..=0x1d17a,
        0xe0001..=0xe0001,
        0xe0020..=0xe007f,
    ];
    let control = point < 0x20 || (0x7f..0xa0).contains(&point);
    let separator = point == 0x2028 || point == 0x2029;
    let filler = [0x115f, 0x1160, 0x3164, 0xffa0, 0x34f].contains(&point);
    let selector = (0xfe00..=0xfe0e).contains(&point) || (0xe0100..=0xe01ef).contains(&point);
    let private = (0xe000..=0xf8ff).contains(&point)
        || (0xf_0000..=0xf_fffd).contains(&point)
        || (0x10_0000..=0x10_fffd).contains(&point);
    let noncharacter = (0xfdd0..=0xfdef).contains(&point) || point & 0xfffe == 0xfffe;
    control
        || separator
        || filler
        || selector
        || private
        || noncharacter
        || format.iter().any(|range| range.contains(&point))
}

/// Checks that an output has no forbidden code point but the ends of its lines.
#[track_caller]
fn assert_clean(out: &[u8], what: &str) {
    static FORBIDDEN: LazyLock<Vec<bool>> = LazyLock::new(|| {
        (0..=u32::from(char::MAX)).map(|n| char::from_u32(n).is_some_and(is_forbidden)).collect()
    });
    let text = std::str::from_utf8(out).unwrap_or_else(|why| panic!("{what}: {why}"));
    let found: Vec<String> = text
        .chars()
        .filter(|c| *c != '\n' && FORBIDDEN[*c as usize])
        .map(|c| format!("U+{:04X}", u32::from(c)))
        .take(10)
        .collect();
    assert!(found.is_empty(), "{what}: {found:?}");
}

/// These code points in pieces, each between two letters that keep it from joining with its neighbour.
fn code_point_chunks(size: usize) -> Vec<String> {
    let all: Vec<char> = code_points().collect();
    all.chunks(size)
        .map(|chunk| {
            chunk.iter().fold("x".to_owned(), |mut text, c| {
                text.extend([*c, 'x']);
                text
            })
        })
        .collect()
}

#[test]
fn every_code_point_through_the_table() {
    let sandbox = Sandbox::in_memory();
    let labels = code_point_chunks(256);
    let held = labels.iter().map(|label| label.chars().count() / 2).sum::<usize>();
    assert_eq!(held, code_points().count());
    sandbox.ingest(join_lines(labels.iter().enumerate().map(|(n, label)| {
        json!({"action":"a","occurred_at":n,"actor_label":label,"title":label}).to_string()
    })));
    let count = labels.len();
    let limit = count.to_string();
    let args = ["list", "--limit", &limit, "--sort", "when:asc"];

    // Nothing is cut: the last column begins at one place in every row.
    let mut command = sandbox.command(args);
    command.env_remove("COLUMNS");
    let out = sandbox.run_command(command).ok();
    assert_clean(&out.out, "list");
    let rows: Vec<&str> = out.stdout().lines().skip(1).take(count).collect();
    assert_eq!(rows.len(), count, "one line an event");
    let place = |row: &str| UnicodeWidthStr::width(&row[..row.rfind("operator").unwrap()]);
    let first = place(rows[0]);
    let off: Vec<_> = (0..count).filter(|n| place(rows[*n]) != first).take(5).collect();
    assert!(off.is_empty(), "rows {off:?} are wider or narrower");

    // Everything is cut, here and in the other view.
    for (width, view) in [("80", "activity"), ("120", "http")] {
        let args = [&args[..], &["--view", view]].concat();
        let out = sandbox.run_with_env(&[("COLUMNS", width)], args).ok();
        assert_clean(&out.out, view);
        assert_eq!(out.stdout().lines().count(), count + 1, "{view}: one line an event");
        let width = width.parse::<usize>().unwrap();
        let wide = out.stdout().lines().find(|line| UnicodeWidthStr::width(*line) > width);
        assert!(wide.is_none(), "{view}: wider than {width}: {wide:?}");
    }

    // Data has them escaped as JSON, and they come back.
    let out = sandbox.run([&args[..], &["--json"]].concat()).ok();
    assert_clean(&out.out, "list --json");
    let back: Vec<Value> = out.field("actor_label");
    assert!(
        back.iter().zip(&labels).all(|(back, label)| back == label),
        "the same text comes back"
    );
}

#[test]
fn every_code_point_through_show() {
    let sandbox = Sandbox::in_memory();
    let texts = code_point_chunks(1 << 16);
    sandbox.ingest(join_lines(texts.iter().map(|text| {
        let short: String = text.chars().take(600).collect();
        json!({"action":"a","title":short,"description":text,"user_agent":short,"actor_label":short,
            "target_label":short,"payload":{"k":text,&short:1},"diff":{"d":{"before":short,"after":short}}})
        .to_string()
    })));
    for id in 1..=texts.len() {
        let id = id.to_string();
        let out = sandbox.run(["show", &id]).ok();
        assert_clean(&out.out, &format!("show {id}"));
        let out = sandbox.run(["show", "--json", &id]).ok();
        assert_clean(&out.out, &format!("show --json {id}"));
        let text = &texts[id.parse::<usize>().unwrap() - 1];
        assert_eq!(out.json()["description"], *text);
        assert_eq!(out.json()["payload"]["k"], *text);
    }
}

#[test]
fn every_code_point_through_summaries_and_actions() {
    let sandbox = Sandbox::in_memory();
    let labels = code_point_chunks(1024);
    sandbox.ingest(join_lines(labels.iter().map(|label| {
        let label: String = label.chars().take(1000).collect();
        json!({"action":"a","actor_id":"1","actor_label":label,"target_type":label,"target_id":"1",
            "target_label":label,"module":label})
        .to_string()
    })));
    for args in [&["search-actor", "1"] as &[_], &["search-target", "1"], &["actions"]] {
        let out = sandbox.run(args).ok();
        assert_clean(&out.out, &args.join(" "));
    }
}

#[test]
fn every_code_point_through_errors() {
    let sandbox = Sandbox::in_memory();
    for (n, text) in code_point_chunks(4096).iter().enumerate() {
        // Two files, for two ways of quoting: a bad value, and a bad key of a diff.
        let mut bad = json!({"action":"a","severity":text}).to_string();
        writeln!(bad, "\n{}", json!({"action":"a","diff":{text:7}})).unwrap();
        sandbox.write("bad.jsonl", bad);
        let out = sandbox.run(["ingest", "bad.jsonl", "--again"]).exits(65);
        assert_clean(&out.err, &format!("ingest, piece {n}"));
        assert!(out.stderr().lines().filter(|line| line.starts_with("bad.jsonl:")).count() == 2);
    }
    // Written out, a character takes up to eleven bytes, and an argument may have 128 KiB.
    for (n, text) in code_point_chunks(8_192).iter().enumerate() {
        let text: String = text.chars().filter(|c| *c != '\0').collect();
        for args in [
            vec!["list".to_owned(), format!("status:\"{}\"", text.replace(['"', '\\'], ""))],
            vec!["list".to_owned(), "--severity".to_owned(), text.clone()],
            vec!["show".to_owned(), text.clone()],
            vec!["list".to_owned(), format!("action:none \"{}\"", text.replace(['"', '\\'], ""))],
            vec!["list".to_owned(), "--db".to_owned(), text.chars().take(60).collect()],
            vec![text.chars().take(60).collect()],
        ] {
            let out = sandbox.run(&args);
            assert!([0, 1, 2, 66].contains(&out.code.unwrap_or(-1)), "{out}");
            assert_clean(&out.err, &format!("{} {n}", args[0].escape_debug()));
            assert_clean(&out.out, &format!("{} {n}", args[0].escape_debug()));
        }
    }
}

#[test]
fn escapes_are_readable_and_cannot_be_forged() {
    let sandbox = Sandbox::new();
    sandbox.ingest(join_lines([
        json!({"action":"a","actor_label":"red \u{1b}[31m"}).to_string(),
        json!({"action":"b","actor_label":"csi \u{9b}31m"}).to_string(),
        json!({"action":"c","actor_label":"rtl \u{202e}gpj.exe"}).to_string(),
        json!({"action":"d","actor_label":"plain \\e[31m"}).to_string(),
        json!({"action":"e","actor_label":"both \\e \u{1b}"}).to_string(),
        json!({"action":"f","actor_label":"line\nend\ttab\r"}).to_string(),
        json!({"action":"g","actor_label":"👩‍👩‍👧 ❤\u{fe0f} नमस्ते\u{200d} é"}).to_string(),
        json!({"action":"h","actor_label":"a\u{200d}b a\u{fe0f}b"}).to_string(),
        json!({"action":"i","actor_label":format!("zalgo a{}", "\u{301}".repeat(9))}).to_string(),
        json!({"action":"j","actor_label":"  padded  "}).to_string(),
    ]));
    let mut command = sandbox.command(["list", "--columns", "action,actor", "--sort", "id:asc"]);
    command.env_remove("COLUMNS");
    insta::assert_snapshot!(sandbox.run_command(command), @r"
    ACTION  ACTOR
    a       red \e[31m
    b       csi \x9b31m
    c       rtl \u{202e}gpj.exe
    d       plain \e[31m
    e       both \\e \e
    f       line\nend\ttab\r
    g       👩‍👩‍👧 ❤️ नमस्ते\u{200d} é
    h       a\u{200d}b a\u{fe0f}b
    i       zalgo á́́́\u{301}\u{301}\u{301}\u{301}\u{301}
    j         padded
    ------- stderr -------
    10 events · activity show 10 for the newest in full · --help for filters
    [exit status: 0]
    ");
}

#[test]
fn json_has_them_as_escapes_of_json() {
    let sandbox = Sandbox::new();
    sandbox.ingest(json!({"action":"a","title":"\u{1b}\u{9b}\u{7f}\u{202e}\u{e0041}","payload":{"k\u{1b}":"\u{202e}"}}).to_string());
    let out = sandbox.run(["list", "--json"]).ok();
    assert!(out.stdout().contains(r#""title":"\u001b\u009b\u007f\u202e\udb40\udc41""#), "{out}");
    assert!(out.stdout().contains(r#""payload":{"k\u001b":"\u202e"}"#), "{out}");
}

#[test]
fn csv_alone_has_the_bytes() {
    let sandbox = Sandbox::new();
    let title = "\u{1b}[31m\u{202e}x\u{0}";
    sandbox.ingest(json!({"action":"a","title":title}).to_string());
    let out = sandbox.run(["export", "--csv"]).ok();
    assert!(out.stdout().contains(title), "{out}");
}

#[test]
fn colours_wrap_no_text_of_events() {
    // With colour on, the only escapes are ours: SGR, and each row ends as it began.
    let sandbox = Sandbox::new();
    sandbox.ingest(
        json!({"action":"a","severity":"critical","status_code":500,"method":"DELETE",
        "actor_label":"\u{1b}]0;title\u{7}\u{1b}[2J","title":"\u{1b}[8m"})
        .to_string(),
    );
    for args in [&["list"] as &[_], &["list", "--view", "http"], &["show", "1"]] {
        let out = sandbox.run([args, &["--color", "always"]].concat()).ok();
        let mut rest = out.stdout();
        while let Some((_, behind)) = rest.split_once('\u{1b}') {
            let end = behind.find(|c: char| c.is_ascii_alphabetic()).unwrap();
            let ours = behind.starts_with('[')
                && behind.as_bytes()[end] == b'm'
                && behind[1..end].chars().all(|c| c.is_ascii_digit() || c == ';');
            assert!(ours, "a foreign escape\n{out}");
            rest = &behind[end..];
        }
        assert!(!out.stderr().contains(r"\e["), "our own are not taken for foreign ones\n{out}");
        assert!(!out.stdout().contains('\u{7}'), "{out}");
    }
}
