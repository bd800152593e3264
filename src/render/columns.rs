//! The columns that a table can have: those of the two views by their names, and every field.

use crate::event::Event;
use crate::event::Severity;
use crate::event::field;
use crate::event::field::FIELDS;
use crate::event::field::Field;
use crate::event::field::FieldKind;
use crate::event::field::FieldValue;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::render::Labels;
use crate::render::Printer;
use crate::render::fit::Give;
use crate::render::styled::Styled;
use crate::render::table::Side;
use crate::render::theme::Style;
use crate::text;

/// A set of columns that has a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum View {
    #[default]
    Activity,
    Http,
}

/// What a column shows of an event.
#[derive(Clone, Copy)]
enum Content {
    When,
    Actor,
    Action,
    Target,
    Title,
    Method,
    Status,
    /// A field as it is.
    Field(&'static str),
}

/// A column that is known by a name of its own.
struct Named {
    name: &'static str,
    content: Content,
    /// The field that it sorts by.
    sorts: &'static str,
    side: Side,
    cut: bool,
}

const fn named(name: &'static str, content: Content, sorts: &'static str) -> Named {
    Named { name, content, sorts, side: Side::Left, cut: false }
}

const fn cut(name: &'static str, content: Content, sorts: &'static str) -> Named {
    Named { cut: true, ..named(name, content, sorts) }
}

const fn right(name: &'static str, content: Content, sorts: &'static str) -> Named {
    Named { side: Side::Right, ..named(name, content, sorts) }
}

const NAMED: [Named; 12] = [
    right("id", Content::Field("id"), "id"),
    named("when", Content::When, "occurred_at"),
    cut("actor", Content::Actor, "actor"),
    named("action", Content::Action, "action"),
    cut("target", Content::Target, "target"),
    named("source", Content::Field("source"), "source"),
    cut("title", Content::Title, "title"),
    cut("user", Content::Actor, "actor"),
    named("method", Content::Method, "method"),
    cut("endpoint", Content::Field("endpoint"), "endpoint"),
    right("status", Content::Status, "status_code"),
    named("module", Content::Field("module"), "module"),
];

/// The columns of each view, in order, with the rank in which they leave a page that is too narrow.
const ACTIVITY: [(&str, Option<u8>); 5] = [
    ("when", None),
    ("actor", Some(3)),
    ("action", None),
    ("target", Some(2)),
    ("source", Some(1)),
];
const HTTP: [(&str, Option<u8>); 8] = [
    ("when", None),
    ("title", Some(2)),
    ("action", None),
    ("user", Some(3)),
    ("method", None),
    ("endpoint", Some(4)),
    ("status", None),
    ("module", Some(1)),
];

/// One column of a table.
#[derive(Clone)]
pub(crate) struct Column {
    name: &'static str,
    content: Content,
    pub(super) side: Side,
    pub(super) give: Give,
}

/// The columns of a table, in order.
#[derive(Clone)]
pub(crate) struct Columns(pub(super) Vec<Column>);

impl Columns {
    pub(crate) fn of(view: View) -> Self {
        let names: &[(&str, Option<u8>)] = match view {
            View::Activity => &ACTIVITY,
            View::Http => &HTTP,
        };
        let column = |(name, leaves): &(&str, Option<u8>)| {
            let mut column = Column::named(name).expect("a view's columns have names");
            column.give.leaves = *leaves;
            column
        };
        Self(names.iter().map(column).collect())
    }

    /// Reads `a,b`, which are all there is then, or `+a,b`, which come to those of the view: an id
    /// in front, others at the end. Case does not count. A column that was asked for never leaves.
    ///
    /// # Errors
    /// A [`Failure`] of usage for an unknown name, with the nearest one.
    pub(crate) fn parse(spec: &str, view: View) -> anyhow::Result<Self> {
        let Some(more) = spec.trim_start().strip_prefix('+') else {
            return Ok(Self(spec.split(',').map(Column::parse).collect::<anyhow::Result<_>>()?));
        };
        let Self(mut columns) = Self::of(view);
        let mut ids = 0;
        for name in more.split(',') {
            let name = name.trim_start();
            let column = Column::parse(name.strip_prefix('+').unwrap_or(name))?;
            columns.retain(|known| known.name != column.name);
            if column.name == "id" {
                columns.insert(ids, column);
                ids += 1;
            } else {
                columns.push(column);
            }
        }
        Ok(Self(columns))
    }
}

impl Column {
    fn parse(name: &str) -> anyhow::Result<Self> {
        let name = name.trim();
        Self::named(&name.to_ascii_lowercase())
            .ok_or_else(|| unknown("--columns", "column", name).into())
    }

    /// The column of that name, which is that of one of ours or of a field.
    fn named(name: &str) -> Option<Self> {
        if let Some(ours) = NAMED.iter().find(|ours| ours.name == name) {
            let give = Give { way: ours.cut, leaves: None };
            return Some(Self { name: ours.name, content: ours.content, side: ours.side, give });
        }
        let field = field::by_name(name)?;
        Some(Self {
            name: field.name,
            content: Content::Field(field.name),
            side: if field.kind == FieldKind::Status { Side::Right } else { Side::Left },
            give: Give { way: may_be_long(field), leaves: None },
        })
    }

    pub(super) fn header(&self) -> Styled {
        Styled::own(Style::Head, &self.name.to_ascii_uppercase())
    }

    /// What stands in the column for an event.
    pub(super) fn cell(&self, event: &Event, labels: &Labels, printer: &Printer<'_>) -> Styled {
        match self.content {
            Content::When => Styled::plain(&printer.when(event.occurred_at)),
            Content::Actor => printer.actor(event, labels),
            Content::Action => action(event, printer),
            Content::Target => printer.target(event),
            Content::Title => {
                Styled::foreign(Style::Title, event.title.as_deref().unwrap_or_default())
            }
            Content::Method => event.method.as_deref().map(method).unwrap_or_default(),
            Content::Status => event.status_code.map(status).unwrap_or_default(),
            Content::Field("severity") => {
                Styled::own(severity_style(event.severity), event.severity.name())
            }
            Content::Field(name) => field::by_name(name)
                .and_then(|field| (field.get)(event))
                .map(|value| printer.value(value))
                .unwrap_or_default(),
        }
    }
}

/// The field that `--sort` sorts by under that name: a field's own, or that of the column; `actor`
/// and `target` stand for the columns, which sort by label.
///
/// # Errors
/// A [`Failure`] of usage for an unknown name, with the nearest one.
pub(crate) fn sort_field(name: &str) -> anyhow::Result<&'static str> {
    let lower = name.to_ascii_lowercase();
    let column = NAMED.iter().find(|column| column.name == lower).map(|column| column.sorts);
    column
        .or_else(|| field::by_name(&lower).map(|field| field.name))
        .ok_or_else(|| unknown("--sort", "field", name).into())
}

fn unknown(flag: &str, what: &str, name: &str) -> Failure {
    let names = || {
        let ours = NAMED.iter().map(|column| column.name);
        ours.chain(FIELDS.iter().map(|field| field.name))
    };
    let failure =
        Failure::new(Exit::Usage, format!("{flag}: there is no {what} {:?}", text::escape(name)));
    match text::nearest(name, names()) {
        Some(nearest) => failure.hint(format!("did you mean {nearest}?")),
        None => {
            let mut known: Vec<&str> = Vec::new();
            for name in names() {
                if !known.contains(&name) {
                    known.push(name);
                }
            }
            failure.hint(format!("there are {}", known.join(", ")))
        }
    }
}

/// Whether values of the field may be as long as they like.
fn may_be_long(field: &Field) -> bool {
    match field.kind {
        FieldKind::Text | FieldKind::Id { .. } | FieldKind::Label | FieldKind::Object => true,
        FieldKind::Stamp => field.name == "recorded_by" || field.name == "hash",
        FieldKind::Time
        | FieldKind::Source
        | FieldKind::Severity
        | FieldKind::Slug
        | FieldKind::IpAddress
        | FieldKind::HttpMethod
        | FieldKind::Status => false,
    }
}

/// The action in the colour of its severity, behind a mark when it failed.
pub(super) fn action(event: &Event, printer: &Printer<'_>) -> Styled {
    let mut action = Styled::default();
    if event.is_failed() {
        action.push(Style::Failed, printer.look.cross());
        action.push(Style::Plain, " ");
    }
    action.push_foreign(severity_style(event.severity), &event.action.slug);
    action
}

pub(super) fn severity_style(severity: Severity) -> Style {
    match severity {
        Severity::Critical => Style::Critical,
        Severity::High => Style::High,
        Severity::Medium | Severity::Low | Severity::Info => Style::Plain,
    }
}

pub(super) fn method(method: &str) -> Styled {
    let style = match method {
        "GET" => Style::Reads,
        "POST" => Style::Makes,
        "PUT" | "PATCH" => Style::Changes,
        "DELETE" => Style::Deletes,
        _ => Style::Plain,
    };
    Styled::foreign(style, method)
}

pub(super) fn status(status: u16) -> Styled {
    let style = match status {
        200..=299 => Style::Success,
        400..=499 => Style::ClientError,
        500..=599 => Style::ServerError,
        _ => Style::Faint,
    };
    Styled::own(style, &status.to_string())
}

impl Printer<'_> {
    /// A field's value on one line.
    pub(super) fn value(&self, value: FieldValue<'_>) -> Styled {
        match value {
            FieldValue::Integer(number) => Styled::plain(&number.to_string()),
            FieldValue::Text(text) => Styled::foreign(Style::Plain, text),
            FieldValue::Time(at) => Styled::plain(&self.when(at)),
            FieldValue::Json(json) => super::json::line(json.as_str()),
            FieldValue::Hash(hash) => Styled::plain(&hash.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(spec: &str) -> Vec<&'static str> {
        Columns::parse(spec, View::Activity).unwrap().0.iter().map(|column| column.name).collect()
    }

    fn refusal(spec: &str) -> (Exit, String, String) {
        let error = Columns::parse(spec, View::Activity).err().unwrap();
        let failure: &Failure = error.downcast_ref().unwrap();
        (failure.exit, failure.message.clone(), failure.hint.clone().unwrap())
    }

    #[test]
    fn columns_are_named_in_any_case_and_kept_in_order() {
        assert_eq!(names("target,WHEN, Actor_Id"), ["target", "when", "actor_id"]);
    }

    #[test]
    fn a_plus_adds_to_the_view_and_an_id_comes_first() {
        assert_eq!(names("+id"), ["id", "when", "actor", "action", "target", "source"]);
        assert_eq!(
            names("+tenant,+id"),
            ["id", "when", "actor", "action", "target", "source", "tenant"]
        );
        assert_eq!(names("+when"), ["actor", "action", "target", "source", "when"]);
    }

    #[test]
    fn an_unknown_column_is_refused_with_the_nearest() {
        assert_eq!(
            refusal("when,targt"),
            (
                Exit::Usage,
                "--columns: there is no column \"targt\"".to_owned(),
                "did you mean target?".to_owned()
            )
        );
        assert!(refusal("zzz").2.starts_with("there are id, when, actor, action, "));
        assert_eq!(refusal("when,").1, "--columns: there is no column \"\"");
    }

    #[test]
    fn every_field_is_a_column_and_sorts() {
        for field in &FIELDS {
            assert!(Column::named(field.name).is_some(), "{}", field.name);
            assert_eq!(sort_field(field.name).unwrap(), field.name);
        }
        assert_eq!(sort_field("WHEN").unwrap(), "occurred_at");
        assert_eq!(sort_field("status").unwrap(), "status_code");
        assert_eq!(sort_field("user").unwrap(), "actor");
        assert!(sort_field("whence").is_err());
    }
}
