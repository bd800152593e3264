use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::access::Reading;
use crate::args::filter::CountFilterArgs;
use crate::args::parse_count;
use crate::commands::Invocation;
use crate::commands::RunCommand;
use crate::commands::nothing_found;
use crate::context::Context;
use crate::context::LogReader;
use crate::event::field;
use crate::event::field::KeyMeaning;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::query::Query;
use crate::render;
use crate::render::CountScope;
use crate::render::CountTable;
use crate::render::CrossCounts;
use crate::render::CrossRow;
use crate::store::tally;
use crate::store::tally::CountedGroup;
use crate::store::tally::GroupValue;
use crate::store::tally::GroupedCounts;
use crate::store::tally::Grouping;
use crate::text;
use crate::time::CalendarUnit;
use crate::time::Timestamp;
use crate::time::Zone;

const EXAMPLES: &str = "\
Examples:
  Who failed at what in the last week:
  $ activity stats is:failed --by actor --days 7

  The week by day and severity:
  $ activity stats --days 7 --by day --by severity";

/// The number of groups that a table shows unless `--top` says it.
const DEFAULT_TOP: usize = 10;
/// The number of days, or else weeks, up to which the page without `--by` counts by them.
const MAX_PERIODS: usize = 31;
/// The number of periods up to which those without events are shown too.
const MAX_FILLED_PERIODS: usize = 1_000;
/// Names for fields that qualifiers and columns have.
const SHORT_FIELD_NAMES: [(&str, &str); 6] = [
    ("agent", "user_agent"),
    ("by", "recorded_by"),
    ("session", "session_id"),
    ("status", "status_code"),
    ("type", "target_type"),
    ("user", "actor"),
];

/// Count events by time, action, actor or any other field
///
/// Without --by it counts by day, by action and by actor; where the time is long, by week or month
/// instead of day. With one --by it shows a table with bars, with two a cross table: the first down, the
/// second across. An hour, day, week (from Monday) or month is that of --tz.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct StatsArgs {
    #[command(flatten)]
    filter: CountFilterArgs,
    /// Count by a field, by actor or target, or by hour, day, week or month; twice for a cross table
    #[arg(long, value_name = "WHAT", help_heading = "Counting")]
    by: Vec<String>,
    /// Show the N groups with most events, and the rest as one [default: 10]
    #[arg(
        long,
        value_name = "N",
        value_parser = parse_count::<NonZeroUsize>,
        allow_negative_numbers = true,
        help_heading = "Counting"
    )]
    top: Option<NonZeroUsize>,
    /// Print one JSON object
    #[arg(long, help_heading = "Output")]
    json: bool,
}

impl RunCommand for StatsArgs {
    fn run(self, call: Invocation) -> Result<Exit> {
        let context = &call.into_context()?;
        context.log().ensure_may_read(Reading::List)?;
        let zone = context.zone()?;
        let query = self.filter.query(&context.clock(&zone), &context.settings.config.queries)?;
        let groupings = self.by.iter().map(|name| grouping(name)).collect::<Result<Vec<_>>>()?;
        let top = self.top.map_or(DEFAULT_TOP, NonZeroUsize::get);
        let count = Count {
            reader: &context.log().open_reader(Reading::List)?,
            query: &query,
            zone: &zone,
            context,
        };
        match groupings[..] {
            [] => count.show_overview(top, self.json)?,
            [by] => count.show_one(by, top, self.json)?,
            [down, across] if down != across => count.show_cross(down, across, top, self.json)?,
            [_, _] => return Err(usage("the two --by are the same").into()),
            [..] => return Err(usage("at most two --by go together").into()),
        }
        Ok(Exit::Success)
    }
}

fn usage(message: &str) -> Failure {
    Failure::new(Exit::Usage, message).hint("activity stats --help")
}

/// Reads what to count by.
fn grouping(name: &str) -> Result<Grouping> {
    let lower = name.to_lowercase().replace('-', "_");
    let name_of_field = SHORT_FIELD_NAMES
        .iter()
        .find(|(short, _)| *short == lower)
        .map_or(lower.as_str(), |(_, field)| field);
    if let Some(unit) = CalendarUnit::parse(name_of_field) {
        return Ok(Grouping::Period(unit));
    }
    match name_of_field {
        "actor" => return Ok(Grouping::Actor),
        "target" => return Ok(Grouping::Target),
        _ => {}
    }
    let field = match field::meaning_of_key(name_of_field) {
        Some(KeyMeaning::Field(field)) => Some(field.name),
        Some(KeyMeaning::Party(_) | KeyMeaning::RecordState(_)) | None => None,
    };
    let groupable = tally::groupable_fields().find(|known| Some(*known) == field);
    if let Some(field) = groupable {
        return Ok(Grouping::Field(field));
    }
    let message = match field {
        Some(field) => format!("--by: nearly every event has a {field} of its own"),
        None => format!("--by: \"{}\" is neither a field nor a span of time", text::escape(name)),
    };
    let names = tally::groupable_fields().chain(["actor", "target"]);
    let names: Vec<_> = names.chain(CalendarUnit::ALL.map(CalendarUnit::name)).collect();
    let hint = match text::nearest(&lower, names.iter().copied()) {
        Some(near) if field.is_none() => format!("did you mean {near}?"),
        Some(_) | None => format!("it is one of {}", names.join(", ")),
    };
    Err(Failure::new(Exit::Usage, message).hint(hint).into())
}

/// What is counted, and where the counts go.
struct Count<'a> {
    reader: &'a LogReader,
    query: &'a Query,
    zone: &'a Zone,
    context: &'a Context,
}

impl Count<'_> {
    fn by(&self, groupings: &[Grouping]) -> Result<GroupedCounts> {
        let counts = self.reader.count_by(self.query, &[groupings], self.zone)?;
        Ok(counts.into_iter().next().unwrap_or_default())
    }

    fn show_overview(&self, top: usize, as_json: bool) -> Result<()> {
        let groupings =
            [Grouping::Period(CalendarUnit::Day), Grouping::Field("action"), Grouping::Actor];
        let sets = groupings.each_ref().map(std::slice::from_ref);
        let mut counts = self.reader.count_by(self.query, &sets, self.zone)?.into_iter();
        let [days, actions, actors] = [(); 3].map(|()| counts.next().unwrap_or_default());
        let mut scope = self.scope(&days);
        let (unit, periods) = self.shortest_table(&days);
        let is_person =
            |group: &&CountedGroup| matches!(group.values[..], [GroupValue::Person { .. }]);
        scope.people = Some(actors.groups.iter().filter(is_person).count() as u64);
        let tables = [
            CountTable { groupings: vec![Grouping::Period(unit)], groups: periods, more: None },
            top_table(Grouping::Field("action"), actions.groups, top),
            top_table(Grouping::Actor, actors.groups, top),
        ];
        self.show(&scope, &tables, as_json, |printer, out| {
            printer.write_count_tables(&scope, &tables, out)
        })
    }

    /// Returns the days of the events; the weeks or months, where those are too many.
    fn shortest_table(&self, days: &GroupedCounts) -> (CalendarUnit, Vec<CountedGroup>) {
        for unit in [CalendarUnit::Day, CalendarUnit::Week] {
            let periods = self.fill(&self.sum_days(days, unit), unit);
            if periods.len() <= MAX_PERIODS {
                return (unit, periods);
            }
        }
        (
            CalendarUnit::Month,
            self.fill(&self.sum_days(days, CalendarUnit::Month), CalendarUnit::Month),
        )
    }

    /// Returns the counts of longer periods, each of which is a number of whole days.
    fn sum_days(&self, days: &GroupedCounts, unit: CalendarUnit) -> GroupedCounts {
        let mut sums = BTreeMap::new();
        for group in &days.groups {
            if let [GroupValue::Period(day)] = group.values[..] {
                *sums.entry(self.zone.calendar_unit(day, unit).start).or_insert(0) += group.count;
            }
        }
        let groups = sums
            .into_iter()
            .map(|(start, count)| CountedGroup { values: vec![GroupValue::Period(start)], count });
        GroupedCounts { groups: groups.collect(), ..days.clone() }
    }

    fn show_one(&self, by: Grouping, top: usize, as_json: bool) -> Result<()> {
        let counts = self.by(&[by])?;
        let scope = self.scope(&counts);
        let table = match by {
            Grouping::Period(unit) => {
                let groups = self.fill(&counts, unit);
                CountTable { groupings: vec![by], groups, more: None }
            }
            Grouping::Field(_) | Grouping::Actor | Grouping::Target => {
                top_table(by, counts.groups, top)
            }
        };
        let tables = std::slice::from_ref(&table);
        self.show(&scope, tables, as_json, |printer, out| {
            printer.write_count_table(&scope, &table, out)
        })
    }

    fn show_cross(
        &self,
        down: Grouping,
        across: Grouping,
        top: usize,
        as_json: bool,
    ) -> Result<()> {
        let counts = self.by(&[down, across])?;
        let scope = self.scope(&counts);
        let cross = self.cross(down, across, &counts, top);
        let table = CountTable { groupings: vec![down, across], groups: counts.groups, more: None };
        self.show(&scope, &[table], as_json, |printer, out| {
            printer.write_cross_table(&scope, &cross, out)
        })
    }

    fn show(
        &self,
        scope: &CountScope,
        tables: &[CountTable],
        as_json: bool,
        draw: impl FnOnce(&render::Printer<'_>, &mut dyn std::io::Write) -> std::io::Result<()>,
    ) -> Result<()> {
        let output = &self.context.output;
        if as_json {
            let mut line = String::new();
            text::json_escape_into(&mut line, &self.report(scope, tables).to_string());
            line.push('\n');
            return output.print(line.as_bytes());
        }
        if scope.events == 0 {
            let printer = self.context.printer(self.zone, None);
            let description = nothing_found::describe_query(self.query, self.zone);
            output.note(&printer.nothing_found(&description, &[]));
            return Ok(());
        }
        let printer = self.context.printer(self.zone, None);
        output.show(|out| draw(&printer, out))
    }

    /// The time that is counted: what the query says, else that of the events.
    fn scope(&self, counts: &GroupedCounts) -> CountScope {
        let bounds = self.query.bounds();
        let mut scope = CountScope::from_counts(counts);
        if let Some(from) = bounds.from {
            scope.from = Some(from);
            scope.to = Some(bounds.to.unwrap_or(self.context.now));
        }
        scope
    }

    /// Returns the periods in the order of time, with those that have no events between them, unless
    /// these are very many.
    fn fill(&self, counts: &GroupedCounts, unit: CalendarUnit) -> Vec<CountedGroup> {
        let mut groups = counts.groups.clone();
        groups.sort_by(|a, b| a.values.cmp(&b.values));
        let (Some(first), Some(last)) = (counts.first, counts.last) else { return groups };
        let bounds = self.query.bounds();
        let end = match (bounds.from, bounds.to) {
            (Some(_), Some(to)) => Timestamp::from_nanos(to.as_nanos().saturating_sub(1)),
            (Some(_), None) => self.context.now,
            (None, _) => last,
        };
        let last = last.max(end);
        let mut at = bounds.from.unwrap_or(first);
        let mut filled = Vec::with_capacity(groups.len());
        let mut known = groups.iter().peekable();
        while at <= last {
            let period = self.zone.calendar_unit(at, unit);
            let value = GroupValue::Period(period.start);
            let found = known.next_if(|group| group.values.first() == Some(&value));
            filled.push(found.cloned().unwrap_or(CountedGroup { values: vec![value], count: 0 }));
            if filled.len() > MAX_FILLED_PERIODS || period.end <= at {
                return groups;
            }
            at = period.end;
        }
        filled
    }

    fn cross(
        &self,
        down: Grouping,
        across: Grouping,
        counts: &GroupedCounts,
        top: usize,
    ) -> CrossCounts {
        let (mut rows, mut columns) = (totals(counts, 0), totals(counts, 1));
        let order = |totals: &mut Vec<(GroupValue, u64)>, by: Grouping| match by {
            Grouping::Period(_) => {
                totals.sort_by(|a, b| a.0.cmp(&b.0));
                None
            }
            Grouping::Field(_) | Grouping::Actor | Grouping::Target => {
                totals.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
                let rest = totals.split_off(totals.len().min(top));
                let events = rest.iter().map(|(_, count)| count).sum();
                (!rest.is_empty()).then_some((rest.len() as u64, events))
            }
        };
        let more = order(&mut rows, down);
        let hidden = order(&mut columns, across).map_or(0, |(groups, _)| groups);
        if let Grouping::Period(unit) = down {
            let groups =
                rows.into_iter().map(|(value, count)| CountedGroup { values: vec![value], count });
            let filled =
                self.fill(&GroupedCounts { groups: groups.collect(), ..counts.clone() }, unit);
            rows = filled
                .into_iter()
                .filter_map(|group| Some((group.values.first()?.clone(), group.count)))
                .collect();
        }
        let cells: std::collections::HashMap<(&GroupValue, &GroupValue), u64> = counts
            .groups
            .iter()
            .filter_map(|group| match &group.values[..] {
                [down, across] => Some(((down, across), group.count)),
                _ => None,
            })
            .collect();
        let rows = rows
            .iter()
            .map(|(value, events)| CrossRow {
                value: value.clone(),
                counts: columns
                    .iter()
                    .map(|(column, _)| cells.get(&(value, column)).copied().unwrap_or(0))
                    .collect(),
                events: *events,
            })
            .collect();
        let columns = columns.into_iter().map(|(value, _)| value).collect();
        let hidden_columns = usize::try_from(hidden).unwrap_or(usize::MAX);
        CrossCounts { down, across, columns, hidden_columns, rows, more }
    }

    /// Returns the same numbers as an object.
    fn report(&self, scope: &CountScope, tables: &[CountTable]) -> Value {
        let mut report = Map::new();
        report.insert("events".to_owned(), scope.events.into());
        if let Some(people) = scope.people {
            report.insert("people".to_owned(), people.into());
        }
        for (name, at) in [("from", scope.from), ("to", scope.to)] {
            if let Some(at) = at {
                report.insert(name.to_owned(), at.to_string().into());
            }
        }
        let tables = tables.iter().map(|table| {
            let names: Vec<_> = table.groupings.iter().map(|by| by.name()).collect();
            let groups = table.groups.iter().map(|group| self.group(table, group));
            let mut object = Map::new();
            object.insert("by".to_owned(), names.into());
            object.insert("groups".to_owned(), groups.collect());
            if let Some((groups, events)) = table.more {
                object.insert("more".to_owned(), json!({"groups": groups, "events": events}));
            }
            Value::Object(object)
        });
        report.insert("tables".to_owned(), tables.collect());
        Value::Object(report)
    }

    fn group(&self, table: &CountTable, group: &CountedGroup) -> Value {
        let mut object = Map::new();
        for (by, value) in table.groupings.iter().zip(&group.values) {
            add_value(&mut object, *by, value, self.zone);
        }
        object.insert("events".to_owned(), group.count.into());
        Value::Object(object)
    }
}

/// Adds a value under the names of its fields; what is absent is left out.
fn add_value(object: &mut Map<String, Value>, by: Grouping, value: &GroupValue, zone: &Zone) {
    let mut add = |name: &str, value: &Option<String>| {
        if let Some(value) = value {
            object.insert(name.to_owned(), value.as_str().into());
        }
    };
    match value {
        GroupValue::Period(start) => add(by.name(), &Some(period(*start, by, zone))),
        GroupValue::Text(text) => add(by.name(), &Some(text.clone())),
        GroupValue::Person { tenant, id, label } => {
            add("tenant", tenant);
            add("actor_id", id);
            add("actor_label", label);
        }
        GroupValue::Record { tenant, kind, id, label } => {
            add("tenant", tenant);
            add("target_type", kind);
            add("target_id", id);
            add("target_label", label);
        }
        GroupValue::System => add("actor", &Some("(system)".to_owned())),
        GroupValue::Anonymous => add("actor", &Some("(anonymous)".to_owned())),
        GroupValue::Absent => {}
    }
}

fn period(start: Timestamp, by: Grouping, zone: &Zone) -> String {
    match by {
        Grouping::Period(unit) => render::iso_period(start, unit, zone),
        Grouping::Field(_) | Grouping::Actor | Grouping::Target => start.to_string(),
    }
}

/// Returns the first groups as a table, and the others as a sum.
fn top_table(by: Grouping, mut groups: Vec<CountedGroup>, top: usize) -> CountTable {
    let rest = groups.split_off(groups.len().min(top));
    let events = rest.iter().map(|group| group.count).sum();
    let more = (!rest.is_empty()).then_some((rest.len() as u64, events));
    CountTable { groupings: vec![by], groups, more }
}

/// Returns each value of one grouping with its events.
fn totals(counts: &GroupedCounts, place: usize) -> Vec<(GroupValue, u64)> {
    let mut totals = BTreeMap::new();
    for group in &counts.groups {
        if let Some(value) = group.values.get(place) {
            *totals.entry(value.clone()).or_insert(0) += group.count;
        }
    }
    totals.into_iter().collect()
}
