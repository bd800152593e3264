//! Generates a history that is the same in every run: actors, targets and actions by Zipf's law,
//! payloads and diffs, some 450 bytes of JSON per event.

use std::fmt::Write;

/// The fields of a generated event, in the order of the flat table.
pub(crate) const FIELDS: [&str; 24] = [
    "event_id",
    "occurred_at",
    "tenant",
    "source",
    "severity",
    "module",
    "action",
    "title",
    "description",
    "actor_id",
    "actor_label",
    "impersonator_id",
    "impersonator_label",
    "target_type",
    "target_id",
    "target_label",
    "diff",
    "payload",
    "ip",
    "user_agent",
    "session_id",
    "method",
    "endpoint",
    "status_code",
];

const ACTORS: usize = 5_000;
const TARGETS: usize = 100_000;
const AGENTS: usize = 300;

/// The nanoseconds from one event to the next, on average.
pub(crate) const MEAN_PAUSE: u64 = 30_000_000_000;

/// The family of actions that one event in a thousand has.
pub(crate) const RARE_FAMILY: &str = "licence";

/// Actions and the service that emits them, the most frequent first.
const ACTIONS: [(&str, &str, &str); 44] = [
    ("page.view", "web", "page"),
    ("lesson.view", "learning", "lesson"),
    ("auth.login", "auth", "user"),
    ("lesson.complete", "learning", "lesson"),
    ("quiz.start", "quiz", "quiz"),
    ("quiz.submit", "quiz", "quiz"),
    ("post.edit", "posts", "post"),
    ("user.edit", "users", "user"),
    ("comment.create", "posts", "post"),
    ("auth.logout", "auth", "user"),
    ("file.download", "media", "file"),
    ("file.upload", "media", "file"),
    ("enrol.create", "learning", "course"),
    ("auth.login_failed", "auth", "user"),
    ("order.create", "billing", "order"),
    ("order.paid", "billing", "order"),
    ("search.query", "web", "page"),
    ("message.send", "contact", "message"),
    ("booking.create", "bookings", "booking"),
    ("post.publish", "posts", "post"),
    ("cron.run", "ops", "job"),
    ("cache.purge", "ops", "cache"),
    ("user.signup", "users", "user"),
    ("newsletter.subscribe", "news", "user"),
    ("course.edit", "learning", "course"),
    ("quiz.grade", "quiz", "quiz"),
    ("booking.cancel", "bookings", "booking"),
    ("post.delete", "posts", "post"),
    ("comment.delete", "posts", "post"),
    ("invoice.send", "billing", "invoice"),
    ("order.refund", "billing", "order"),
    ("user.suspend", "users", "user"),
    ("role.grant", "users", "user"),
    ("role.revoke", "users", "user"),
    ("settings.write", "settings", "setting"),
    ("menu.edit", "web", "menu"),
    ("theme.switch", "web", "theme"),
    ("plugin.activate", "web", "plugin"),
    ("plugin.deactivate", "web", "plugin"),
    ("backup.created", "ops", "site"),
    ("mail.bounced", "contact", "message"),
    ("certificate.issue", "learning", "course"),
    ("webhook.deliver", "api", "hook"),
    ("webhook.fail", "api", "hook"),
];

const FIRST_NAMES: [&str; 40] = [
    "Jerome", "Maria", "James", "Ravi", "Thandi", "Sipho", "Anna", "Pieter", "Fatima", "Kwame",
    "Zoë", "Lindiwe", "Johan", "Aisha", "Peter", "Nomsa", "David", "Priya", "Carlos", "Elena",
    "Tariq", "Ingrid", "Mpho", "Grace", "Hassan", "Yuki", "Chen", "Olga", "Samuel", "Ruth",
    "Bongani", "Leila", "Tom", "Naledi", "Victor", "Amara", "Felix", "Dineo", "Karin", "Émile",
];

const LAST_NAME_STEMS: [&str; 12] =
    ["Van", "Du", "Mo", "Nkosi", "Reyes", "Compt", "Naid", "Pret", "Ster", "Ba", "Lang", "Oko"];
const LAST_NAME_ENDINGS: [&str; 12] =
    ["berg", "oo", "ton", "", "son", "ova", "ini", "ski", "well", "man", "ye", "ero"];

const WORDS: [&str; 24] = [
    "spring", "launch", "safety", "first", "aid", "annual", "report", "pricing", "course",
    "module", "review", "harbour", "garden", "winter", "policy", "update", "guide", "member",
    "notes", "project", "water", "night", "school", "engine",
];

/// The random numbers of SplitMix64, which are the same on every machine.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `limit`.
    fn below(&mut self, limit: usize) -> usize {
        let scaled = (u128::from(self.next()) * limit as u128) >> 64;
        usize::try_from(scaled).expect("it is below a usize")
    }

    /// Returns true with a probability of so many in a thousand.
    fn happens_per_thousand(&mut self, many: usize) -> bool {
        self.below(1000) < many
    }
}

/// Ranks by Zipf's law: the first rank is twice as frequent as the second, three times as the third.
struct Zipf(Vec<u64>);

impl Zipf {
    fn new(ranks: usize) -> Self {
        let mut sum = 0;
        let weights = (1..=ranks as u64).map(|rank| {
            sum += (1 << 40) / rank;
            sum
        });
        Self(weights.collect())
    }

    fn sample(&self, random: &mut SplitMix64) -> usize {
        let total = *self.0.last().expect("there are ranks");
        let at = (u128::from(random.next()) * u128::from(total)) >> 64;
        self.0.partition_point(|sum| u128::from(*sum) <= at)
    }
}

/// Makes the events of the history, one after the other.
pub(crate) struct Generator {
    random: SplitMix64,
    actors: Zipf,
    targets: Zipf,
    actions: Zipf,
    agents: Zipf,
    /// Nanoseconds since 1970.
    now: u64,
    number: u64,
}

/// One event: a text for each of [`FIELDS`], empty where the field is absent.
pub(crate) type GeneratedEvent = [String; FIELDS.len()];

impl Generator {
    pub(crate) fn new() -> Self {
        Self {
            random: SplitMix64(2026),
            actors: Zipf::new(ACTORS),
            targets: Zipf::new(TARGETS),
            actions: Zipf::new(ACTIONS.len()),
            agents: Zipf::new(AGENTS),
            now: 1_735_689_600_000_000_000,
            number: 0,
        }
    }

    /// Returns a generator whose history begins at a time in nanoseconds since 1970.
    pub(crate) fn starting_at(now: u64) -> Self {
        Self { now, ..Self::new() }
    }

    pub(crate) fn next(&mut self) -> GeneratedEvent {
        let random = &mut self.random;
        self.number += 1;
        self.now += 1 + random.next() % (2 * MEAN_PAUSE);
        let (action, module, family) = if random.happens_per_thousand(1) {
            ("licence.renew", "billing", "licence")
        } else {
            ACTIONS[self.actions.sample(random)]
        };
        let system = module == "ops";
        let api = !system && random.happens_per_thousand(450);
        let actor = self.actors.sample(random);
        let target = self.targets.sample(random);

        let mut row = GeneratedEvent::default();
        let mut set = |name: &str, value: String| {
            let place = FIELDS.iter().position(|field| *field == name).expect("a field");
            row[place] = value;
        };
        set("event_id", uuid(self.now / 1_000_000, random));
        set("occurred_at", format_time(self.now));
        set("tenant", ["s2l.online", "s2l.online", "school.example"][random.below(3)].to_owned());
        set(
            "source",
            if system {
                "cron"
            } else if api {
                "api"
            } else {
                "operator"
            }
            .to_owned(),
        );
        let severity = match random.below(100) {
            0 => "high",
            1..=4 => "medium",
            5..=14 => "low",
            _ => "info",
        };
        set("severity", severity.to_owned());
        set("module", module.to_owned());
        set("action", action.to_owned());
        if random.happens_per_thousand(400) {
            set("title", title(action, target));
        }
        if random.happens_per_thousand(20) {
            set("description", random_words(random, 12));
        }
        if !system {
            set("actor_id", actor_id(actor));
            set("actor_label", actor_label(actor));
        }
        if !system && random.happens_per_thousand(5) {
            let admin = random.below(20);
            set("impersonator_id", actor_id(admin));
            set("impersonator_label", actor_label(admin));
        }
        set("target_type", family.to_owned());
        set("target_id", target_id(target));
        if random.happens_per_thousand(450) {
            set("target_label", target_label(target));
        }
        if action.ends_with(".edit") || random.happens_per_thousand(60) {
            set("diff", diff(random));
        }
        if random.happens_per_thousand(330) {
            set("payload", payload(random));
        }
        if !system {
            set("ip", ip_address(actor, random));
        }
        if api {
            set("user_agent", user_agent(self.agents.sample(random)));
            set("session_id", format!("s{:012x}", random.next() >> 20));
            set("method", ["GET", "POST", "PUT", "DELETE"][random.below(4)].to_owned());
            set("endpoint", format!("/v1/{family}s/{}", target_id(target)));
            let status = match random.below(50) {
                0 => 500,
                1..=2 => 404,
                3 => 401,
                4..=15 => 201,
                _ => 200,
            };
            set("status_code", status.to_string());
        }
        row
    }
}

/// Returns the id of the actor of a rank.
pub(crate) fn actor_id(rank: usize) -> String {
    (1000 + rank * 7).to_string()
}

pub(crate) fn actor_label(rank: usize) -> String {
    let (first, last) =
        (FIRST_NAMES[rank % FIRST_NAMES.len()], LAST_NAME_STEMS[rank / 40 % LAST_NAME_STEMS.len()]);
    let ending = LAST_NAME_ENDINGS[rank / 480 % LAST_NAME_ENDINGS.len()];
    format!("{first} {last}{ending}")
}

/// Returns the id of the target of a rank.
pub(crate) fn target_id(rank: usize) -> String {
    format!("{}-{}-{rank}", WORDS[rank % WORDS.len()], WORDS[rank / 24 % WORDS.len()])
}

pub(crate) fn target_label(rank: usize) -> String {
    let (one, two) = (WORDS[rank % WORDS.len()], WORDS[rank / 24 % WORDS.len()]);
    format!("The {one} {two} of {}", actor_label(rank * 31 % ACTORS))
}

fn title(action: &str, target: usize) -> String {
    let title = action.replace(['.', '_'], " ");
    if target.is_multiple_of(3) { format!("{title}: {}", target_id(target % 5000)) } else { title }
}

fn random_words(random: &mut SplitMix64, count: usize) -> String {
    let words: Vec<&str> = (0..count).map(|_| WORDS[random.below(WORDS.len())]).collect();
    words.join(" ")
}

fn diff(random: &mut SplitMix64) -> String {
    let mut text = String::from("{");
    for field in 0..=random.below(3) {
        let (before, after) = (random_words(random, 2), random_words(random, 2));
        let comma = if field == 0 { "" } else { "," };
        let name = ["name", "summary", "owner"][field];
        write!(text, r#"{comma}"{name}":{{"before":"{before}","after":"{after}"}}"#)
            .expect("a String takes it");
    }
    text + "}"
}

fn payload(random: &mut SplitMix64) -> String {
    let request = random.next();
    let (took, size) = (random.below(900), random.below(90_000));
    format!(r#"{{"request_id":"{request:016x}","took_ms":{took},"bytes":{size},"via":"web"}}"#)
}

fn ip_address(actor: usize, random: &mut SplitMix64) -> String {
    let last = random.below(4);
    format!("102.{}.{}.{}", 60 + actor % 8, actor / 8 % 250, 1 + last + actor % 200)
}

fn user_agent(rank: usize) -> String {
    let (major, build) = (100 + rank % 45, rank * 37 % 1000);
    format!("Mozilla/5.0 (X11; Linux x86_64; rv:{major}.0) Gecko/20100101 Firefox/{major}.{build}")
}

/// Returns a UUID v7 of a millisecond.
fn uuid(millis: u64, random: &mut SplitMix64) -> String {
    let (one, two) = (random.next(), random.next());
    format!(
        "{:08x}-{:04x}-7{:03x}-{:04x}-{:012x}",
        millis >> 16,
        millis & 0xffff,
        one & 0xfff,
        0x8000 | (one >> 16) & 0x3fff,
        two >> 16,
    )
}

/// Formats a time as RFC 3339 in UTC, with milliseconds.
fn format_time(nanos: u64) -> String {
    let at = i64::try_from(nanos / 1_000_000).expect("a time of our days");
    let time = chrono::DateTime::from_timestamp_millis(at).expect("a time of our days");
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// Writes the event as a line of JSON.
pub(crate) fn write_json(row: &GeneratedEvent, line: &mut String) {
    line.push('{');
    for (name, value) in FIELDS.iter().zip(row).filter(|(_, value)| !value.is_empty()) {
        if line.len() > 1 {
            line.push(',');
        }
        let bare = matches!(*name, "diff" | "payload" | "status_code");
        let value =
            if bare { value.clone() } else { serde_json::Value::from(value.as_str()).to_string() };
        write!(line, r#""{name}":{value}"#).expect("a String takes it");
    }
    line.push_str("}\n");
}

/// Writes the event as a row of CSV, with every cell quoted.
pub(crate) fn write_csv(row: &GeneratedEvent, line: &mut String) {
    for (place, value) in row.iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        write!(line, "{comma}\"{}\"", value.replace('"', "\"\"")).expect("a String takes it");
    }
    line.push('\n');
}

/// The keys of another system for the fields, in the order of [`FIELDS`]; those of one object stand side
/// by side.
const FOREIGN_KEYS: [&str; FIELDS.len()] = [
    "uid",
    "time",
    "site",
    "origin",
    "level",
    "service",
    "event",
    "message",
    "detail",
    "user.id",
    "user.name",
    "as.id",
    "as.name",
    "object.kind",
    "object.id",
    "object.name",
    "changes",
    "data",
    "client.ip",
    "client.agent",
    "session",
    "http.method",
    "http.path",
    "http.status",
];

/// The map of the lines that [`write_foreign_json`] writes.
pub(crate) fn foreign_map() -> String {
    let mut map = "format = \"jsonl\"\n[fields]\n".to_owned();
    for (field, key) in FIELDS.iter().zip(FOREIGN_KEYS).filter(|(field, _)| **field != "payload") {
        writeln!(map, "{field} = \"{key}\"").expect("a String takes it");
    }
    map
}

/// Writes the event as another system would: other keys, and parties as objects.
pub(crate) fn write_foreign_json(row: &GeneratedEvent, line: &mut String) {
    line.push('{');
    let mut open = "";
    for ((name, key), value) in FIELDS.iter().zip(FOREIGN_KEYS).zip(row) {
        if value.is_empty() {
            continue;
        }
        let (object, key) = key.split_once('.').unwrap_or(("", key));
        if object != open && !open.is_empty() {
            line.push('}');
        }
        if line.len() > 1 && (object != open || !line.ends_with('{')) {
            line.push(',');
        }
        if object != open && !object.is_empty() {
            write!(line, r#""{object}":{{"#).expect("a String takes it");
        }
        open = object;
        let bare = matches!(*name, "diff" | "payload" | "status_code");
        let value =
            if bare { value.clone() } else { serde_json::Value::from(value.as_str()).to_string() };
        write!(line, r#""{key}":{value}"#).expect("a String takes it");
    }
    line.push_str(if open.is_empty() { "}\n" } else { "}}\n" });
}

/// The fields of a plain line.
const LINE_FIELDS: [&str; 8] =
    ["occurred_at", "ip", "session_id", "actor_id", "action", "target_type", "target_id", "title"];

/// The map of the lines that [`write_plain`] writes.
pub(crate) fn line_map() -> String {
    let groups = LINE_FIELDS.map(|field| match field {
        "title" => "\"(?P<title>[^\"]*)\"".to_owned(),
        field => format!("(?:-|(?P<{field}>\\S+))"),
    });
    let mut map = format!("pattern = '^{}$'\n[fields]\n", groups.join(" "));
    for field in LINE_FIELDS {
        writeln!(map, "{field} = \"{field}\"").expect("a String takes it");
    }
    map
}

/// Writes some fields of the event as a line of a pattern, and as a line of our own JSON.
pub(crate) fn write_plain(row: &GeneratedEvent, plain: &mut String, json: &mut String) {
    let mut few = GeneratedEvent::default();
    let place_of = |field| FIELDS.iter().position(|name| *name == field).expect("a field");
    for field in LINE_FIELDS {
        let place = place_of(field);
        let value = match field {
            "title" => row[place].replace('"', "'"),
            _ => row[place].replace(' ', "_"),
        };
        match (field, value.is_empty()) {
            ("title", _) => writeln!(plain, "\"{value}\"").expect("a String takes it"),
            (_, true) => plain.push_str("- "),
            (_, false) => write!(plain, "{value} ").expect("a String takes it"),
        }
        few[place] = value;
    }
    write_json(&few, json);
}
