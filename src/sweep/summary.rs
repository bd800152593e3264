//! The description of a sweep: the payload of its event, the line for a log file, the object for
//! scripts.

use std::fmt::Write;
use std::time::Duration;

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::retention::Decider;
use crate::retention::RetentionPolicy;
use crate::retention::RetentionRule;
use crate::store::sweep::PlannedSweep;
use crate::sweep::SweepPlan;
use crate::text;
use crate::time::TimeFormat;
use crate::time::Timestamp;
use crate::time::Zone;

/// The event names this many actions, those with the most events. The others share one count, so
/// that the event stays far below the largest size of an event.
const MAX_NAMED_ACTIONS: usize = 1_000;
/// No action has a name with brackets.
const OTHERS_KEY: &str = "(others)";

/// The events that a sweep removes, or would remove.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SweepSummary {
    pub count: u64,
    now: Timestamp,
    /// How many events the log had.
    event_count: u64,
    by_action: Vec<(String, u64)>,
    cutoff: Option<Timestamp>,
    /// The general `keep` as it is written, and short forms of the rules: `365d`, `cron.* 30d`.
    keep: Option<String>,
    short_rules: Vec<String>,
    rules: Vec<Value>,
    late: u64,
    pub held: u64,
    pending: Option<PlannedSweep>,
    reclaimed_bytes: Option<u64>,
    duration: Option<Duration>,
}

impl SweepSummary {
    /// Describes a sweep that is about to be vouched for.
    pub(super) fn from_pending(
        plan: &SweepPlan,
        retention: &RetentionPolicy,
        planned: &PlannedSweep,
        now: Timestamp,
    ) -> Self {
        Self { pending: Some(planned.clone()), ..Self::from_plan(plan, retention, now) }
    }

    /// Describes what a sweep would remove.
    pub(crate) fn from_plan(plan: &SweepPlan, retention: &RetentionPolicy, now: Timestamp) -> Self {
        let mut actions: Vec<(String, u64)> = Vec::new();
        // An action that several rules decide on comes several times in a row.
        for ((action, _), count) in &plan.counts {
            match actions.last_mut().filter(|(last, _)| last == action) {
                Some((_, sum)) => *sum += count,
                None => actions.push((action.clone(), *count)),
            }
        }
        // Actions with the same count stay in the order of their names.
        actions.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let rules = retention.rules().iter().enumerate();
        Self {
            count: plan.ids.len(),
            now,
            event_count: plan.event_count,
            by_action: actions,
            cutoff: retention.keep().map(|keep| now.saturating_sub(keep)),
            keep: retention.keep().map(|keep| keep.to_string()),
            short_rules: retention.rules().iter().map(rule_label).collect(),
            rules: rules
                .map(|(place, rule)| {
                    json!({
                        "query": rule.text,
                        "keep": rule.keep.to_string(),
                        "cutoff": now.saturating_sub(rule.keep).to_string(),
                        "count": plan.count_by_decider(Decider::Rule(place)),
                    })
                })
                .collect(),
            late: plan.late,
            held: plan.held,
            pending: None,
            reclaimed_bytes: None,
            duration: None,
        }
    }

    pub(super) fn with_results(self, given_back: u64, took: Duration) -> Self {
        Self { reclaimed_bytes: Some(given_back), duration: Some(took), ..self }
    }

    /// Returns the payload of the event that vouches.
    pub(super) fn to_payload(&self) -> Value {
        let (named, others) = self.by_action.split_at(MAX_NAMED_ACTIONS.min(self.by_action.len()));
        let mut by_action = action_counts(named);
        if !others.is_empty() {
            let sum: u64 = others.iter().map(|(_, count)| count).sum();
            by_action.insert(OTHERS_KEY.to_owned(), sum.into());
        }
        Value::Object(self.json_fields(by_action))
    }

    /// Returns everything as one object.
    pub(crate) fn to_json(&self) -> Value {
        let mut fields = self.json_fields(action_counts(&self.by_action));
        if let Some(given_back) = self.reclaimed_bytes {
            fields.insert("given_back".to_owned(), given_back.into());
        }
        if let Some(took) = self.duration {
            let tenths = took.as_millis() / 100;
            let seconds = format!("{}.{}", tenths / 10, tenths % 10).parse::<serde_json::Number>();
            fields.insert("seconds".to_owned(), seconds.map_or(Value::Null, Value::Number));
        }
        Value::Object(fields)
    }

    fn json_fields(&self, by_action: Map<String, Value>) -> Map<String, Value> {
        let mut fields = Map::new();
        let mut add = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
        if let Some(vouched) = &self.pending {
            add("sweep", vouched.number.into());
        }
        add("count", self.count.into());
        add("by_action", Value::Object(by_action));
        if let Some(cutoff) = self.cutoff {
            add("cutoff", cutoff.to_string().into());
        }
        if let Some(keep) = &self.keep {
            add("keep", keep.clone().into());
        }
        add("rules", self.rules.clone().into());
        add("late", self.late.into());
        add("held", self.held.into());
        if let Some(vouched) = &self.pending {
            add("total", vouched.swept_total.into());
            add("gaps", vouched.gap_count.into());
            let hex = vouched.gaps_sha256.iter().fold(String::new(), |mut hex, byte| {
                write!(hex, "{byte:02x}").expect("a String takes all");
                hex
            });
            add("gaps_sha256", hex.into());
        }
        fields
    }

    /// Returns one line for the program's own log file.
    pub(crate) fn to_line(&self) -> String {
        let at = Zone::utc().format(self.now.truncate_to_second(), TimeFormat::Rfc3339);
        let mut line = format!("{at} sweep removed {} of {} events", self.count, self.event_count);
        if let Some(horizon) = &self.keep {
            write!(line, " older than {horizon}").expect("a String takes all");
        }
        if !self.short_rules.is_empty() {
            let rules = self.short_rules.join(", ");
            write!(line, " ({})", text::escape(&rules)).expect("a String takes all");
        }
        if self.held > 0 {
            write!(line, ", kept {} for mirrors", self.held).expect("a String takes all");
        }
        if let (Some(given_back), Some(took)) = (self.reclaimed_bytes, self.duration) {
            let tenths = took.as_millis() / 100;
            let (given_back, seconds) = (text::format_bytes(given_back), tenths / 10);
            write!(line, ", {given_back} given back, {seconds}.{} s", tenths % 10)
                .expect("a String takes all");
        }
        line
    }
}

fn action_counts(actions: &[(String, u64)]) -> Map<String, Value> {
    actions.iter().map(|(action, count)| (action.clone(), (*count).into())).collect()
}

/// Returns a short form of what decides on events: `cron.* 30d`, `keep 365d`.
pub(crate) fn decider_label(retention: &RetentionPolicy, decider: Decider) -> String {
    match decider {
        Decider::Rule(place) => retention.rules().get(place).map(rule_label).unwrap_or_default(),
        Decider::Keep => retention.keep().map(|keep| format!("keep {keep}")).unwrap_or_default(),
    }
}

fn rule_label(rule: &RetentionRule) -> String {
    format!("{} {}", query_label(&rule.text), rule.keep)
}

/// Returns a short form of a query: an action needs no qualifier.
fn query_label(query: &str) -> &str {
    let action = query.strip_prefix("action:").filter(|rest| !rest.contains([' ', ':', '"']));
    action.unwrap_or(query)
}
