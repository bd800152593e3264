use proptest::prelude::*;
use unicode_width::UnicodeWidthChar;

use super::*;

/// The rule's list, written a second time and without the tables of the program.
fn forbidden(c: char) -> bool {
    let code = u32::from(c);
    code < 0x20
        || (0x7F..=0x9F).contains(&code)
        || matches!(code, 0xAD | 0x34F | 0x61C | 0x6DD | 0x70F | 0x8E2 | 0x115F | 0x1160 | 0x3164)
        || matches!(code, 0x600..=0x605 | 0x890 | 0x891 | 0x180B..=0x180F | 0x200B..=0x200F)
        || matches!(code, 0x2028..=0x202E | 0x2060..=0x206F | 0xE000..=0xF8FF | 0xFDD0..=0xFDEF)
        || matches!(code, 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0 | 0xFFF9..=0xFFFB | 0x110BD | 0x110CD)
        || matches!(code, 0x13430..=0x1343F | 0x1BCA0..=0x1BCA3 | 0x1D173..=0x1D17A)
        || matches!(code, 0xE0001..=0xE01EF | 0xF0000..)
        || code & 0xFFFE == 0xFFFE
}

/// Text that is thick with what the rule is about.
fn hostile() -> impl Strategy<Value = String> {
    let of_interest = prop::sample::select(
        "ab1#\\{} \n\u{1b}\u{7f}\u{9b}\u{ad}é\u{301}\u{20e3}\u{94d}\u{915}\u{937}\u{9b0}ب\u{200c}\
         \u{200d}\u{202e}\u{fe0e}\u{fe0f}\u{2764}👩👍🏽🇩🇪\u{e0067}\u{ffff}漢"
            .chars()
            .collect::<Vec<_>>(),
    );
    prop::collection::vec(prop_oneof![4 => of_interest, 1 => any::<char>()], 0..24)
        .prop_map(|chars| chars.into_iter().collect())
}

#[test]
fn every_code_point_is_shown_or_escaped_and_has_its_width() {
    for c in '\0'..=char::MAX {
        let value = format!("a{c}b");
        let shown = escape(&value);
        assert!(!shown.chars().any(forbidden), "U+{:04X} came through", u32::from(c));
        assert_eq!(
            shown != value,
            forbidden(c) || shown.contains("\\u{"),
            "U+{:04X}",
            u32::from(c)
        );
        if shown == value && c != '\\' {
            assert_eq!(width(&shown), 2 + c.width().unwrap_or(0), "U+{:04X}", u32::from(c));
        } else if shown != value {
            assert!(shown.is_ascii(), "{shown}");
        }
        if !forbidden(c) {
            let reserved = matches!(u32::from(c), 0xFFF0..=0xFFF8 | 0xE0000..=0xE0FFF);
            assert_eq!(shown == value, !reserved, "U+{:04X} needs no escape", u32::from(c));
        }
    }
    let everything: String = ('\0'..=char::MAX).collect();
    let mut json = String::new();
    json_string_into(&mut json, &everything);
    assert!(!json.chars().any(forbidden));
    assert!(serde_json::from_str::<String>(&json).unwrap() == everything);
}

#[test]
fn escapes_are_written_in_their_short_forms() {
    for (value, shown) in [
        ("plain \\ text", "plain \\ text"),
        ("a\nb\tc\rd\u{1b}[2Je\0f\u{7}\u{7f}", r"a\nb\tc\rd\e[2Je\0f\x07\x7f"),
        ("\u{9b}31m", r"\x9b31m"),
        ("\u{202e}\\n", r"\u{202e}\\n"),
        ("a\u{2028}b\u{10ffff}", r"a\u{2028}b\u{10ffff}"),
        ("adm\u{200b}in \u{3164}", r"adm\u{200b}in \u{3164}"),
    ] {
        assert_eq!(escape(value), shown);
    }
    assert!(matches!(escape("Zoë \\ 漢字"), Cow::Borrowed(_)));
}

#[test]
fn joiners_and_emoji_styles_pass_where_writing_needs_them() {
    for clean in [
        "می\u{200c}خواهم",
        "क\u{94d}\u{200d}ष",
        "র\u{200d}\u{9cd}য",
        "👩\u{200d}💻",
        "\u{2764}\u{fe0f}\u{200d}🔥",
        "👩🏽\u{200d}🚀",
        "1\u{fe0f}\u{20e3}",
        "🇩🇪 ☎\u{fe0f}",
        "a\u{301}\u{302}\u{303}\u{304}",
    ] {
        assert_eq!(escape(clean), clean);
    }
    for (value, shown) in [
        ("ad\u{200d}min", r"ad\u{200d}min"),
        ("é\u{200c}", "é\\u{200c}"),
        ("\u{200d}é", "\\u{200d}é"),
        ("é\u{200d}\u{200d}é", "é\\u{200d}\\u{200d}é"),
        ("1\u{fe0f}", r"1\u{fe0f}"),
        ("é\u{fe0f}", "é\\u{fe0f}"),
        ("☎\u{fe0e}", "☎\\u{fe0e}"),
        ("☎\u{fe0f}\u{fe0f}", "☎\u{fe0f}\\u{fe0f}"),
        (
            "a\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}b",
            "a\u{301}\u{301}\u{301}\u{301}\\u{301}\\u{301}b",
        ),
    ] {
        assert_eq!(escape(value), shown);
    }
}

#[test]
fn bytes_that_are_no_utf8_are_told_apart() {
    assert_eq!(escape_bytes(b"caf\xe9\\.txt"), r"caf\xe9\\.txt");
    assert_eq!(escape_bytes("Zoë\\".as_bytes()), "Zoë\\");
    assert_eq!(escape_bytes(b"\xf0\x9f\x92a\x1b"), r"\xf0\x9f\x92a\e");
}

#[test]
fn json_keeps_what_is_clean() {
    let mut out = String::from("x");
    json_escape_into(
        &mut out,
        "{\"a\": \"\\u001b é 漢\",\n\"b\":\"\u{7f}\u{85}\u{202e}\u{10fffd}\"}",
    );
    assert_eq!(out, "x{\"a\": \"\\u001b é 漢\",\n\"b\":\"\\u007f\\u0085\\u202e\\udbff\\udffd\"}");
    out.clear();
    json_string_into(&mut out, "a\"\\\n\r\t\u{8}\u{c}\u{1}é");
    assert_eq!(out, "\"a\\\"\\\\\\n\\r\\t\\b\\f\\u0001é\"");
}

#[test]
fn columns_are_counted_by_what_a_reader_sees() {
    for (text, columns) in [
        ("", 0),
        ("abc", 3),
        ("Zoë", 3),
        ("漢字", 4),
        ("e\u{301}", 1),
        ("👩\u{200d}💻", 2),
        ("🇩🇪", 2),
    ] {
        assert_eq!(width(text), columns, "{text}");
    }
    for (text, columns, cut) in [
        ("abcdef", 6, "abcdef"),
        ("abcdef", 5, "abcd…"),
        ("abcdef", 1, "…"),
        ("abcdef", 0, ""),
        ("漢字漢字", 4, "漢…"),
        ("ae\u{301}bc", 3, "ae\u{301}…"),
        ("👩\u{200d}💻x👩\u{200d}💻", 4, "👩\u{200d}💻x…"),
        ("می\u{200c}خواهم", 3, "می…"),
    ] {
        assert_eq!(truncate(text, columns), cut);
    }
    assert_eq!(pad("漢", 4), "漢  ");
    assert_eq!(pad("abcd", 4), "abcd");
}

#[test]
fn numbers_read_as_english() {
    assert_eq!([plural(0, "event"), plural(1, "event")], ["0 events", "1 event"]);
    assert_eq!([plural(2, "query"), plural(2, "day")], ["2 queries", "2 days"]);
    let grouped = [0, 999, 1_000, 18_412, 1_234_567].map(format_thousands);
    assert_eq!(grouped, ["0", "999", "1,000", "18,412", "1,234,567"]);
}

#[test]
fn case_folds_the_same_wherever_a_character_stands() {
    for (text, folded) in [
        ("Jerome", "jerome"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("ẞ", "ss"),
        ("ﬃ", "ffi"),
        ("ΟΔΟΣ", "οδοσ"),
        ("οδος", "οδοσ"),
        ("ᾳ", "αι"),
        ("İ", "i\u{307}"),
        ("ı", "ı"),
        ("\u{212a}", "k"),
        ("Ａ", "ａ"),
        ("Ꭰ", "ꭰ"),
    ] {
        assert_eq!(fold(text), folded);
    }
    assert!(matches!(fold("já"), Cow::Borrowed(_)));
    for c in '\0'..=char::MAX {
        let once = fold(c.encode_utf8(&mut [0; 4])).into_owned();
        assert_eq!(fold(&once), once);
    }
}

#[test]
fn the_nearest_word_is_near() {
    let known = ["actor", "action", "target", "since", "status", "ip"];
    for (word, found) in [
        ("acter", Some("actor")),
        ("STATUS", Some("status")),
        ("stauts", Some("status")),
        ("sinc", Some("since")),
        ("ib", Some("ip")),
        ("severity", None),
        ("x", None),
        ("", None),
    ] {
        assert_eq!(nearest(word, known), found, "{word}");
    }
    assert_eq!(nearest(&"a".repeat(1 << 20), known), None);
}

proptest! {
    #[test]
    fn escaped_text_is_safe_and_stays_as_it_is(value in hostile()) {
        let shown = escape(&value);
        let joiners: String = shown.chars().filter(|c| !matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe0f}')).collect();
        prop_assert!(!joiners.chars().any(forbidden));
        prop_assert_eq!(escape_lines(&shown), shown.as_ref());
        let lines = escape_lines(&value);
        prop_assert_eq!(escape_lines(&lines), lines);
        prop_assert_eq!(escape_bytes(value.as_bytes()), shown.as_ref());
        let parts = escape_parts(&value);
        prop_assert!(parts.windows(2).all(|pair| pair[0].0 != pair[1].0));
        let joined: String = parts.iter().map(|(_, part)| part.as_ref()).collect();
        prop_assert_eq!(joined, shown.as_ref());
    }

    #[test]
    fn broken_bytes_never_reach_the_terminal(bytes in prop::collection::vec(any::<u8>(), 0..32)) {
        let shown = escape_bytes(&bytes);
        let kept: String = shown.chars().filter(|c| !matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe0f}')).collect();
        prop_assert!(!kept.chars().any(forbidden));
    }

    #[test]
    fn json_means_the_same_after_escaping(value in hostile(), key in hostile()) {
        let json = serde_json::json!({ key: [value.clone(), 1.50] });
        let mut out = String::new();
        json_escape_into(&mut out, &json.to_string());
        prop_assert!(!out.chars().any(forbidden));
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&out).unwrap(), json);
        out.clear();
        json_string_into(&mut out, &value);
        prop_assert!(!out.chars().any(forbidden));
        prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), value);
    }

    #[test]
    fn a_cut_fits_and_is_safe(value in hostile(), columns in 0_usize..24) {
        let shown = escape(&value);
        let cut = truncate(&shown, columns);
        prop_assert!(width(&cut) <= columns);
        prop_assert!(cut == shown || columns == 0 || cut.ends_with('…'));
        prop_assert_eq!(escape_lines(&cut), cut.as_ref());
        prop_assert!(width(&pad(&cut, columns)) == columns);
    }

    #[test]
    fn folding_pieces_is_folding_the_whole(a in hostile(), b in hostile()) {
        let whole = format!("{a}{b}");
        prop_assert_eq!(fold(&whole), format!("{}{}", fold(&a), fold(&b)));
    }
}
