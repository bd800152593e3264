//! What is told of a sweep: its event's payload, the line for a log file, the object for scripts.

use std::fmt::Write;
use std::time::Duration;

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::retention::Decider;
use crate::retention::RetentionPolicy;
use crate::retention::RetentionRule;
use crate::store::sweep::PendingSweep;
use crate::sweep::Plan;
use crate::text;
use crate::time::TimeFormat;
use crate::time::Timestamp;
use crate::time::Zone;

/// So many actions are named in the event, those with the most events; others share a count, so
/// that the event stays far below the size that one may have.
const NAMED: usize = 1_000;
/// No action has a name with brackets.
const OTHERS: &str = "(others)";

/// What a sweep removes, or would.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Swept {
    pub count: u64,
    now: Timestamp,
    /// How many events there were.
    events: u64,
    by_action: Vec<(String, u64)>,
    cutoff: Option<Timestamp>,
    /// The general `keep` as it is written, and the rules in short: `365d`, `cron.* 30d`.
    horizon: Option<String>,
    short_rules: Vec<String>,
    rules: Vec<Value>,
    late: u64,
    pub held: u64,
    vouched: Option<PendingSweep>,
    given_back: Option<u64>,
    took: Option<Duration>,
}

impl Swept {
    /// What is about to be vouched for.
    pub(super) fn new(
        plan: &Plan,
        retention: &RetentionPolicy,
        planned: &PendingSweep,
        now: Timestamp,
    ) -> Self {
        Self { vouched: Some(planned.clone()), ..Self::of(plan, retention, now) }
    }

    /// What would be removed.
    pub(crate) fn of(plan: &Plan, retention: &RetentionPolicy, now: Timestamp) -> Self {
        let mut actions: Vec<(String, u64)> = Vec::new();
        // An action that several rules decide on comes several times in a row.
        for ((action, _), count) in &plan.counts {
            match actions.last_mut().filter(|(last, _)| last == action) {
                Some((_, sum)) => *sum += count,
                None => actions.push((action.clone(), *count)),
            }
        }
        // Those of one count stay in the order of their names.
        actions.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let rules = retention.rules().iter().enumerate();
        Self {
            count: plan.ids.len(),
            now,
            events: plan.events,
            by_action: actions,
            cutoff: retention.keep().map(|keep| now.saturating_sub(keep)),
            horizon: retention.keep().map(|keep| keep.to_string()),
            short_rules: retention.rules().iter().map(in_short).collect(),
            rules: rules
                .map(|(place, rule)| {
                    json!({
                        "query": rule.text,
                        "keep": rule.keep.to_string(),
                        "cutoff": now.saturating_sub(rule.keep).to_string(),
                        "count": plan.decided_by(Decider::Rule(place)),
                    })
                })
                .collect(),
            late: plan.late,
            held: plan.held,
            vouched: None,
            given_back: None,
            took: None,
        }
    }

    pub(super) fn finished(self, given_back: u64, took: Duration) -> Self {
        Self { given_back: Some(given_back), took: Some(took), ..self }
    }

    /// The payload of the event that vouches.
    pub(super) fn payload(&self) -> Value {
        let (named, others) = self.by_action.split_at(NAMED.min(self.by_action.len()));
        let mut by_action = actions(named);
        if !others.is_empty() {
            let sum: u64 = others.iter().map(|(_, count)| count).sum();
            by_action.insert(OTHERS.to_owned(), sum.into());
        }
        Value::Object(self.fields(by_action))
    }

    /// One object that tells it all.
    pub(crate) fn json(&self) -> Value {
        let mut fields = self.fields(actions(&self.by_action));
        if let Some(given_back) = self.given_back {
            fields.insert("given_back".to_owned(), given_back.into());
        }
        if let Some(took) = self.took {
            let tenths = took.as_millis() / 100;
            let seconds = format!("{}.{}", tenths / 10, tenths % 10).parse::<serde_json::Number>();
            fields.insert("seconds".to_owned(), seconds.map_or(Value::Null, Value::Number));
        }
        Value::Object(fields)
    }

    fn fields(&self, by_action: Map<String, Value>) -> Map<String, Value> {
        let mut fields = Map::new();
        let mut add = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
        if let Some(vouched) = &self.vouched {
            add("sweep", vouched.number.into());
        }
        add("count", self.count.into());
        add("by_action", Value::Object(by_action));
        if let Some(cutoff) = self.cutoff {
            add("cutoff", cutoff.to_string().into());
        }
        add("rules", self.rules.clone().into());
        add("late", self.late.into());
        add("held", self.held.into());
        if let Some(vouched) = &self.vouched {
            add("gaps", vouched.gap_count.into());
            let hex = vouched.gaps_sha256.iter().fold(String::new(), |mut hex, byte| {
                write!(hex, "{byte:02x}").expect("a String takes all");
                hex
            });
            add("gaps_sha256", hex.into());
        }
        fields
    }

    /// One line for the program's own log file.
    pub(crate) fn line(&self) -> String {
        let at = Zone::utc().format(self.now.truncate_to_second(), TimeFormat::Rfc3339);
        let mut line = format!("{at} sweep removed {} of {} events", self.count, self.events);
        if let Some(horizon) = &self.horizon {
            write!(line, " older than {horizon}").expect("a String takes all");
        }
        if !self.short_rules.is_empty() {
            let rules = self.short_rules.join(", ");
            write!(line, " ({})", text::escape(&rules)).expect("a String takes all");
        }
        if self.held > 0 {
            write!(line, ", kept {} for mirrors", self.held).expect("a String takes all");
        }
        if let (Some(given_back), Some(took)) = (self.given_back, self.took) {
            let tenths = took.as_millis() / 100;
            let (given_back, seconds) = (text::format_bytes(given_back), tenths / 10);
            write!(line, ", {given_back} given back, {seconds}.{} s", tenths % 10)
                .expect("a String takes all");
        }
        line
    }
}

fn actions(of: &[(String, u64)]) -> Map<String, Value> {
    of.iter().map(|(action, count)| (action.clone(), (*count).into())).collect()
}

/// What decides on events, in short: `cron.* 30d`, `keep 365d`.
pub(crate) fn decided_by(retention: &RetentionPolicy, decider: Decider) -> String {
    match decider {
        Decider::Rule(place) => retention.rules().get(place).map(in_short).unwrap_or_default(),
        Decider::Keep => retention.keep().map(|keep| format!("keep {keep}")).unwrap_or_default(),
    }
}

fn in_short(rule: &RetentionRule) -> String {
    format!("{} {}", short(&rule.text), rule.keep)
}

/// A query as the line has it: an action says for itself what it is.
fn short(query: &str) -> &str {
    let action = query.strip_prefix("action:").filter(|rest| !rest.contains([' ', ':', '"']));
    action.unwrap_or(query)
}
