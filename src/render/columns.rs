//! The columns of a table: the named ones of the two views, and every field.

use crate::event::Event;
use crate::event::Severity;
use crate::event::field;
use crate::event::field::FIELDS;
use crate::event::field::Field;
use crate::event::field::FieldKind;
use crate::event::field::FieldValue;
use crate::event::field::KeyMeaning;
use crate::failure::Exit;
use crate::failure::Failure;
use crate::render::Labels;
use crate::render::Printer;
use crate::render::column_widths::Flexibility;
use crate::render::column_widths::Shrinking;
use crate::render::styled::StyledText;
use crate::render::table::Alignment;
use crate::render::theme::TextStyle;
use crate::text;

/// A named set of columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TableView {
    #[default]
    Activity,
    Http,
}

/// The part of an event that a column shows.
#[derive(Clone, Copy)]
enum ColumnContent {
    When,
    Actor,
    Action,
    Target,
    Title,
    Method,
    Status,
    /// The name of the log.
    Host,
    /// A field by its name.
    Field(&'static str),
}

/// A column with a name of its own.
struct NamedColumn {
    name: &'static str,
    content: ColumnContent,
    /// The field that `--sort` sorts by under this name.
    sort_field: &'static str,
    alignment: Alignment,
    shrinking: Shrinking,
}

const fn fixed_column(
    name: &'static str,
    content: ColumnContent,
    sort_field: &'static str,
) -> NamedColumn {
    NamedColumn {
        name,
        content,
        sort_field,
        alignment: Alignment::Left,
        shrinking: Shrinking::Never,
    }
}

const fn truncated_column(
    name: &'static str,
    content: ColumnContent,
    sort_field: &'static str,
) -> NamedColumn {
    NamedColumn { shrinking: Shrinking::Free, ..fixed_column(name, content, sort_field) }
}

const fn right_aligned_column(
    name: &'static str,
    content: ColumnContent,
    sort_field: &'static str,
) -> NamedColumn {
    NamedColumn { alignment: Alignment::Right, ..fixed_column(name, content, sort_field) }
}

const NAMED_COLUMNS: [NamedColumn; 13] = [
    right_aligned_column("id", ColumnContent::Field("id"), "id"),
    fixed_column("when", ColumnContent::When, "occurred_at"),
    truncated_column("actor", ColumnContent::Actor, "actor"),
    NamedColumn {
        shrinking: Shrinking::Late,
        ..fixed_column("action", ColumnContent::Action, "action")
    },
    truncated_column("target", ColumnContent::Target, "target"),
    fixed_column("source", ColumnContent::Field("source"), "source"),
    truncated_column("title", ColumnContent::Title, "title"),
    truncated_column("user", ColumnContent::Actor, "actor"),
    fixed_column("method", ColumnContent::Method, "method"),
    truncated_column("endpoint", ColumnContent::Field("endpoint"), "endpoint"),
    right_aligned_column("status", ColumnContent::Status, "status_code"),
    fixed_column("module", ColumnContent::Field("module"), "module"),
    fixed_column("host", ColumnContent::Host, "host"),
];

/// The columns of each view, with the rank in which they are left out on a narrow page.
const ACTIVITY_COLUMNS: [(&str, Option<u8>); 6] = [
    ("when", None),
    ("actor", Some(3)),
    ("action", None),
    ("target", Some(2)),
    ("source", Some(1)),
    ("title", None),
];
const HTTP_COLUMNS: [(&str, Option<u8>); 8] = [
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
pub(crate) struct TableColumn {
    name: &'static str,
    content: ColumnContent,
    pub(super) alignment: Alignment,
    pub(super) flexibility: Flexibility,
}

/// The columns of a table, in order.
#[derive(Clone)]
pub(crate) struct TableColumns(pub(super) Vec<TableColumn>);

impl TableColumns {
    pub(crate) fn from_view(view: TableView) -> Self {
        let names: &[(&str, Option<u8>)] = match view {
            TableView::Activity => &ACTIVITY_COLUMNS,
            TableView::Http => &HTTP_COLUMNS,
        };
        let column = |(name, drop_rank): &(&str, Option<u8>)| {
            let mut column = TableColumn::find(name).expect("a view's columns have names");
            column.flexibility.drop_rank = *drop_rank;
            if view == TableView::Activity && *name == "title" {
                column.flexibility.shrinking = Shrinking::Remainder;
            }
            column
        };
        Self(names.iter().map(column).collect())
    }

    /// Returns the columns with that of the host in front.
    #[must_use]
    pub(crate) fn with_host(self) -> Self {
        let Self(mut columns) = self;
        if !columns.iter().any(|column| column.name == "host") {
            let place = columns.iter().take_while(|column| column.name == "id").count();
            let host = TableColumn::find("host").expect("the column has a name");
            columns.insert(place, host);
        }
        Self(columns)
    }

    /// Parses `a,b`, which replaces the columns of the view, or `+a,b`, which adds to them: an id in
    /// front, others at the end. Case does not count. A requested column is never left out.
    ///
    /// # Errors
    /// [`Exit::Usage`] for an unknown name, with the nearest one as a hint.
    pub(crate) fn parse(spec: &str, view: TableView) -> anyhow::Result<Self> {
        let Some(more) = spec.trim_start().strip_prefix('+') else {
            return Ok(Self(
                spec.split(',').map(TableColumn::parse).collect::<anyhow::Result<_>>()?,
            ));
        };
        let Self(mut columns) = Self::from_view(view);
        let mut ids = 0;
        for name in more.split(',') {
            let name = name.trim_start();
            let column = TableColumn::parse(name.strip_prefix('+').unwrap_or(name))?;
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

/// Returns the fields of the columns that were asked for, in their order, each once. Columns added to a
/// view leave all fields: formats other than tables have no view.
///
/// # Errors
/// As [`TableColumns::parse`].
pub(crate) fn selected_fields(spec: &str) -> anyhow::Result<Vec<&'static Field>> {
    let TableColumns(columns) = TableColumns::parse(spec, TableView::Activity)?;
    if spec.trim_start().starts_with('+') {
        return Ok(FIELDS.iter().collect());
    }
    let mut fields: Vec<&'static Field> = Vec::new();
    for field in columns.iter().flat_map(TableColumn::fields) {
        if !fields.iter().any(|known| known.name == field.name) {
            fields.push(field);
        }
    }
    Ok(fields)
}

impl TableColumn {
    fn parse(name: &str) -> anyhow::Result<Self> {
        let name = name.trim();
        Self::find(&name.to_ascii_lowercase())
            .ok_or_else(|| unknown_name("--columns", "column", name).into())
    }

    /// Returns the named column, or the field of that name or other name.
    fn find(name: &str) -> Option<Self> {
        if let Some(named) = NAMED_COLUMNS.iter().find(|named| named.name == name) {
            let flexibility = Flexibility { shrinking: named.shrinking, drop_rank: None };
            return Some(Self {
                name: named.name,
                content: named.content,
                alignment: named.alignment,
                flexibility,
            });
        }
        let KeyMeaning::Field(field) = field::meaning_of_key(name)? else { return None };
        Some(Self {
            name: field.name,
            content: ColumnContent::Field(field.name),
            alignment: if field.kind == FieldKind::Status {
                Alignment::Right
            } else {
                Alignment::Left
            },
            flexibility: Flexibility {
                shrinking: if may_be_long(field) { Shrinking::Free } else { Shrinking::Never },
                drop_rank: None,
            },
        })
    }

    /// Returns the fields that the column shows, for formats that know fields alone.
    fn fields(&self) -> Vec<&'static Field> {
        let names: &[&'static str] = match self.content {
            ColumnContent::When => &["occurred_at"],
            ColumnContent::Actor => {
                &["actor_id", "actor_label", "impersonator_id", "impersonator_label"]
            }
            ColumnContent::Action => &["action"],
            ColumnContent::Target => &["target_type", "target_id", "target_label"],
            ColumnContent::Title => &["title"],
            ColumnContent::Method => &["method"],
            ColumnContent::Status => &["status_code"],
            ColumnContent::Host => &[],
            ColumnContent::Field(name) => &[name],
        };
        names.iter().filter_map(|name| field::by_name(name)).collect()
    }

    /// Whether the title says no more than the other columns of a request, as `POST /v1/auth/login`.
    pub(super) fn repeats_request(&self, event: &Event) -> bool {
        let Some(title) = event.title.as_deref() else { return true };
        let endpoint = event.endpoint.as_deref().unwrap_or_default();
        let method = event.method.as_deref().unwrap_or_default();
        title == event.action.slug || title == endpoint || title == format!("{method} {endpoint}")
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Whether nobody asked for the column by its name.
    pub(super) fn is_optional(&self) -> bool {
        self.flexibility.drop_rank.is_some() || self.flexibility.shrinking == Shrinking::Remainder
    }

    pub(super) fn is_title(&self) -> bool {
        matches!(self.content, ColumnContent::Title)
    }

    pub(super) fn header(&self) -> StyledText {
        StyledText::own(TextStyle::Heading, &self.name.to_ascii_uppercase())
    }

    /// Returns the cell of an event.
    pub(super) fn cell(&self, event: &Event, labels: &Labels, printer: &Printer<'_>) -> StyledText {
        match self.content {
            ColumnContent::When => StyledText::plain(&printer.format_time(event.occurred_at)),
            ColumnContent::Actor => printer.styled_actor(event, labels),
            ColumnContent::Action => styled_action(event, printer),
            ColumnContent::Target => printer.styled_target(event),
            ColumnContent::Title => {
                StyledText::foreign(TextStyle::Title, event.title.as_deref().unwrap_or_default())
            }
            ColumnContent::Method => event.method.as_deref().map(styled_method).unwrap_or_default(),
            ColumnContent::Status => event.status_code.map(styled_status).unwrap_or_default(),
            ColumnContent::Host => {
                StyledText::foreign(TextStyle::Plain, event.log.as_deref().unwrap_or_default())
            }
            ColumnContent::Field("severity") => {
                StyledText::own(severity_style(event.severity), event.severity.name())
            }
            ColumnContent::Field(name) => field::by_name(name)
                .and_then(|field| (field.get)(event))
                .map(|value| printer.styled_value(value))
                .unwrap_or_default(),
        }
    }
}

/// Returns the field that `--sort` sorts by under that name, which is a field or a column. The columns
/// `actor` and `target` sort by label.
///
/// # Errors
/// [`Exit::Usage`] for an unknown name, with the nearest one as a hint.
pub(crate) fn sort_field(name: &str) -> anyhow::Result<&'static str> {
    let lower = name.to_ascii_lowercase();
    let column =
        NAMED_COLUMNS.iter().find(|column| column.name == lower).map(|column| column.sort_field);
    let field = || match field::meaning_of_key(&lower)? {
        KeyMeaning::Field(field) => Some(field.name),
        KeyMeaning::Party(_) | KeyMeaning::RecordState(_) => None,
    };
    column.or_else(field).ok_or_else(|| unknown_name("--sort", "field", name).into())
}

fn unknown_name(flag: &str, noun: &str, name: &str) -> Failure {
    let names = || {
        let columns = NAMED_COLUMNS.iter().map(|column| column.name);
        columns.chain(FIELDS.iter().map(|field| field.name))
    };
    let failure =
        Failure::new(Exit::Usage, format!("{flag}: there is no {noun} {:?}", text::escape(name)));
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

/// Returns whether values of the field may be long.
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

/// Returns the action in the colour of its severity, behind a mark if it failed.
pub(super) fn styled_action(event: &Event, printer: &Printer<'_>) -> StyledText {
    let mut action = StyledText::default();
    if event.is_failed() {
        action.push(TextStyle::Failed, printer.display.failure_mark());
        action.push(TextStyle::Plain, " ");
    }
    action.push_foreign(severity_style(event.severity), &event.action.slug);
    action
}

pub(super) fn severity_style(severity: Severity) -> TextStyle {
    match severity {
        Severity::Critical => TextStyle::Critical,
        Severity::High => TextStyle::High,
        Severity::Medium | Severity::Low | Severity::Info => TextStyle::Plain,
    }
}

pub(super) fn styled_method(method: &str) -> StyledText {
    let style = match method {
        "GET" => TextStyle::HttpRead,
        "POST" => TextStyle::HttpCreate,
        "PUT" | "PATCH" => TextStyle::HttpUpdate,
        "DELETE" => TextStyle::HttpDelete,
        _ => TextStyle::Plain,
    };
    StyledText::foreign(style, method)
}

pub(super) fn styled_status(status: u16) -> StyledText {
    let style = match status {
        200..=299 => TextStyle::Success,
        400..=499 => TextStyle::ClientError,
        500..=599 => TextStyle::ServerError,
        _ => TextStyle::Faint,
    };
    StyledText::own(style, &status.to_string())
}

impl Printer<'_> {
    /// Returns the value of a field on one line.
    pub(super) fn styled_value(&self, value: FieldValue<'_>) -> StyledText {
        match value {
            FieldValue::Integer(number) => StyledText::plain(&number.to_string()),
            FieldValue::Text(text) => StyledText::foreign(TextStyle::Plain, text),
            FieldValue::Time(at) => StyledText::plain(&self.format_time(at)),
            FieldValue::Json(json) => super::json::single_line(json.as_str()),
            FieldValue::Hash(hash) => StyledText::plain(&hash.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(spec: &str) -> Vec<&'static str> {
        TableColumns::parse(spec, TableView::Activity)
            .unwrap()
            .0
            .iter()
            .map(|column| column.name)
            .collect()
    }

    fn refusal(spec: &str) -> (Exit, String, String) {
        let error = TableColumns::parse(spec, TableView::Activity).err().unwrap();
        let failure: &Failure = error.downcast_ref().unwrap();
        (failure.exit, failure.message.clone(), failure.hint.clone().unwrap())
    }

    #[test]
    fn columns_are_named_in_any_case_and_kept_in_order() {
        assert_eq!(names("target,WHEN, Actor_Id"), ["target", "when", "actor_id"]);
    }

    #[test]
    fn a_plus_adds_to_the_view_and_an_id_comes_first() {
        assert_eq!(names("+id"), ["id", "when", "actor", "action", "target", "source", "title"]);
        assert_eq!(
            names("+tenant,+id"),
            ["id", "when", "actor", "action", "target", "source", "title", "tenant"]
        );
        assert_eq!(names("+when"), ["actor", "action", "target", "source", "title", "when"]);
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
    fn columns_stand_for_fields() {
        let fields = |spec: &str| -> Vec<&str> {
            selected_fields(spec).unwrap().iter().map(|field| field.name).collect()
        };
        assert_eq!(
            fields("when,target,target_id"),
            ["occurred_at", "target_type", "target_id", "target_label"]
        );
        assert_eq!(fields("status,client_ip"), ["status_code", "ip"]);
        assert_eq!(fields("+ip").len(), FIELDS.len());
        selected_fields("when,x").unwrap_err();
    }

    #[test]
    fn every_field_is_a_column_and_sorts() {
        for field in &FIELDS {
            assert!(TableColumn::find(field.name).is_some(), "{}", field.name);
            assert_eq!(sort_field(field.name).unwrap(), field.name);
        }
        assert_eq!(sort_field("WHEN").unwrap(), "occurred_at");
        assert_eq!(sort_field("status").unwrap(), "status_code");
        assert_eq!(sort_field("user").unwrap(), "actor");
        assert_eq!(sort_field("created_at").unwrap(), "occurred_at");
        assert!(sort_field("whence").is_err());
    }
}
