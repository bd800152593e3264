//! The layout of `event` and of the tables that it refers to: the one list of columns, and the one
//! list of dimensions. Statements, parameters and positions in rows follow from the two lists.
//!
//! A new column whose values stand in the row as they are is one line under `values` here, and
//! otherwise touches the schema, the event with its table of fields, and the chain.
//!
//! All SQL is put together at compile time, so no value can be spliced into it.

use rusqlite::Row;
use rusqlite::ToSql;

use crate::chain::StoredValues;
use crate::event::NewEvent;
use crate::event::json::JsonObject;

/// A column in an outline of an event: `outline` columns are read, `full` ones are NULL.
macro_rules! outline_column {
    (outline $name:ident) => {
        concat!("event.", stringify!($name))
    };
    (full $name:ident) => {
        "NULL"
    };
}

macro_rules! comma_list {
    ($first:ident $($rest:ident)*) => {
        concat!(stringify!($first), $(", ", stringify!($rest),)*)
    };
}

macro_rules! placeholder {
    ($name:ident) => {
        "?"
    };
}

/// The type of a value in the row of an event that was read.
macro_rules! owned_type {
    (text) => { Option<String> };
    (json) => { Option<JsonObject> };
    (status) => { Option<u16> };
}

/// The bytes of such a value.
macro_rules! owned_size {
    (text $value:expr) => {
        $value.as_ref().map_or(0, String::len)
    };
    (json $value:expr) => {
        $value.as_ref().map_or(0, |json| json.as_str().len())
    };
    (status $value:expr) => {
        size_of_val(&$value)
    };
}

/// A value of a new event, as the row and the chain have it.
macro_rules! borrowed_value {
    (text $value:expr) => {
        $value.as_deref()
    };
    (json $value:expr) => {
        $value.as_ref().map(JsonObject::as_str)
    };
    (status $value:expr) => {
        $value
    };
}

macro_rules! event_layout {
    (
        $d:tt
        own_form { id, $($form:ident,)* }
        keys { $($key:ident: $key_type:ty => $dimension:ident, $noun:literal, $key_depth:ident;)* }
        values { $($column:ident => $field:ident: $kind:ident, $depth:ident;)* }
        verify { $salt:ident }
    ) => {
        /// A column of `event`. Its number is its place in rows that [`columns`],
        /// [`outline_columns`] or [`verify_columns`] select.
        #[derive(Clone, Copy)]
        #[expect(non_camel_case_types, reason = "each variant has the name of its column")]
        pub(super) enum Column { id, $($form,)* $($key,)* $($column,)* $salt }

        impl Column {
            pub(super) const COUNT: usize = Self::$salt as usize + 1;

            pub(super) const fn position(self) -> usize {
                self as usize
            }
        }

        /// The columns of a whole event.
        macro_rules! columns {
            () => {
                concat!(
                    "event.id",
                    $(", event.", stringify!($form),)*
                    $(", event.", stringify!($key),)*
                    $(", event.", stringify!($column),)*
                )
            };
        }

        /// The columns of an event, NULL in place of most values that few events share.
        macro_rules! outline_columns {
            () => {
                concat!(
                    "event.id",
                    $(", event.", stringify!($form),)*
                    $(", ", $crate::store::sqlite::layout::outline_column!($key_depth $key),)*
                    $(", ", $crate::store::sqlite::layout::outline_column!($depth $column),)*
                )
            };
        }

        /// The columns of a whole event with the salt of its body.
        macro_rules! verify_columns {
            () => {
                concat!($crate::store::sqlite::layout::columns!(), ", event.", stringify!($salt))
            };
        }

        /// Runs a macro over the columns whose values stand in the row as they are. It gets, for
        /// each, the column, the event's field and the kind of value: `text`, `json` or `status`.
        macro_rules! for_values {
            ($d callback:ident) => {
                $d callback! { $($column $field $kind,)* }
            };
        }

        /// Inserts an event under an id that the statement names.
        pub(super) const INSERT_WITH_ID: &str = concat!(
            "INSERT OR ROLLBACK INTO event (id",
            $(", ", stringify!($form),)* $(", ", stringify!($key),)* $(", ", stringify!($column),)*
            ", ", stringify!($salt), ") VALUES (?",
            $(", ", placeholder!($form),)* $(", ", placeholder!($key),)*
            $(", ", placeholder!($column),)* ", ?)"
        );

        /// Inserts an event under the next id, which SQLite chooses.
        pub(super) const INSERT_NEXT: &str = concat!(
            "INSERT OR ROLLBACK INTO event (", stringify!($salt),
            $(", ", stringify!($form),)* $(", ", stringify!($key),)* $(", ", stringify!($column),)*
            ") VALUES (?",
            $(", ", placeholder!($form),)* $(", ", placeholder!($key),)*
            $(", ", placeholder!($column),)* ")"
        );

        /// The columns that refer to rows of dimensions, for `RETURNING`.
        macro_rules! key_columns {
            () => { $crate::store::sqlite::layout::comma_list!($($key)*) };
        }

        pub(super) use columns;
        pub(super) use for_values;
        pub(super) use key_columns;
        pub(super) use outline_columns;
        pub(super) use verify_columns;

        /// The dimension that each of [`key_columns`] refers to.
        pub(super) const KEY_DIMENSIONS: &[Dimension] = &[$(Dimension::$dimension),*];

        /// The keys of the rows that an event refers to.
        #[derive(Clone, Copy)]
        pub(super) struct ReferencedKeys { $(pub $key: $key_type,)* }

        impl ReferencedKeys {
            /// Reads the keys of an event; `refuse` turns the name of what has no valid key into
            /// an error.
            pub(super) fn read<E>(
                row: &Row<'_>,
                refuse: impl Fn(&'static str, rusqlite::Error) -> E,
            ) -> Result<Self, E> {
                Ok(Self {
                    $($key: row
                        .get(Column::$key.position())
                        .map_err(|error| refuse($noun, error))?,)*
                })
            }
        }

        /// The values of a row that was read, as they stand in it.
        pub(super) struct ReadValues { $(pub $field: owned_type!($kind),)* }

        impl ReadValues {
            /// The bytes of the values.
            pub(super) fn size(&self) -> usize {
                0 $(+ owned_size!($kind self.$field))*
            }
        }

        /// The values of a new event that stand in its row as they are.
        pub(super) fn stored_values(event: &NewEvent) -> StoredValues<'_> {
            StoredValues { $($field: borrowed_value!($kind event.$field),)* }
        }

        /// The row of an event that is appended.
        pub(super) struct InsertedRow<'a> {
            pub id: &'a dyn ToSql,
            $(pub $form: &'a dyn ToSql,)*
            pub keys: &'a ReferencedKeys,
            pub values: &'a StoredValues<'a>,
            pub $salt: &'a dyn ToSql,
        }

        impl InsertedRow<'_> {
            /// The parameters of [`INSERT_WITH_ID`].
            pub(super) fn with_id(&self) -> [&dyn ToSql; Column::COUNT] {
                [
                    self.id, $(self.$form,)* $(&self.keys.$key,)* $(&self.values.$field,)* self.$salt
                ]
            }

            /// The parameters of [`INSERT_NEXT`].
            pub(super) fn without_id(&self) -> [&dyn ToSql; Column::COUNT - 1] {
                [self.$salt, $(self.$form,)* $(&self.keys.$key,)* $(&self.values.$field,)*]
            }
        }
    };
}

event_layout! {
    $
    // Each is read, checked and hashed in a way of its own.
    own_form { id, event_id, occurred_at, recorded_at, source, severity, own, hash, }
    keys {
        recorder: i64 => Recorder, "recorder", outline;
        tenant: i64 => Tenant, "tenant", outline;
        action: i64 => Action, "action", outline;
        actor: Option<i64> => Actor, "actor", outline;
        impersonator: Option<i64> => Actor, "impersonator", outline;
        target: Option<i64> => Target, "target", outline;
        title: Option<i64> => Title, "title", full;
        agent: Option<i64> => Agent, "user agent", full;
    }
    // The column, the event's field, the kind of value.
    values {
        status => status_code: status, outline;
        method => method: text, full;
        endpoint => endpoint: text, full;
        ip => ip: text, full;
        session_id => session_id: text, full;
        description => description: text, full;
        diff => diff: json, full;
        payload => payload: json, full;
    }
    verify { salt }
}
pub(super) use comma_list;
pub(super) use outline_column;

/// The statements on one dimension.
pub(super) struct DimensionStatements {
    pub table: &'static str,
    /// The key (and the digest, where rows are committed) of the row with these texts.
    pub find: &'static str,
    /// Adds a row: its texts, then the folded text, then salt and digest, where it has them.
    pub insert: &'static str,
    /// The keys and texts of the rows whose keys are in a JSON array.
    pub select_by_keys: &'static str,
    /// All of a row but its key.
    pub select_row: &'static str,
    /// The keys behind a key, in order, up to a limit.
    pub select_keys: &'static str,
    /// Deletes the row with a key.
    pub delete: &'static str,
    pub usage: UsageCheck,
}

/// The way to find out whether an event refers to a row.
pub(super) enum UsageCheck {
    /// An index leads from the row to its events: these statements ask it themselves.
    Index {
        /// The keys in a JSON array to which no event refers.
        select_unused: &'static str,
        /// Deletes the row with this key unless an event refers to it.
        delete_unused: &'static str,
    },
    /// No index does, so events are read.
    Scan,
}

macro_rules! unreferenced_sql {
    ($first:ident $($rest:ident)*) => {
        concat!(
            "NOT EXISTS (SELECT 1 FROM event WHERE event.", stringify!($first), " = d.key",
            $(" OR event.", stringify!($rest), " = d.key",)* ")"
        )
    };
}

macro_rules! usage_check {
    (index $table:ident $($column:ident)*) => {
        UsageCheck::Index {
            select_unused: concat!(
                "SELECT d.key FROM json_each(?1) AS k CROSS JOIN ", stringify!($table),
                " AS d ON d.key = k.value WHERE ", unreferenced_sql!($($column)*)
            ),
            // A refusal by the trigger would end the transaction, so the statement asks before.
            delete_unused: concat!(
                "DELETE FROM ", stringify!($table), " AS d WHERE d.key = ?1 AND ",
                unreferenced_sql!($($column)*)
            ),
        }
    };
    (scan $table:ident $($column:ident)*) => {
        UsageCheck::Scan
    };
}

macro_rules! dimensions {
    ($(
        $(#[$doc:meta])*
        $variant:ident {
            table: $table:ident,
            texts: [$first:ident $(, $text:ident)*],
            computed: [$($computed:ident),*],
            commitment: [$($digest:ident)?],
            usage: $check:ident [$($column:ident),*],
        }
    )*) => {
        /// A table of rows that many events share.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Dimension { $($(#[$doc])* $variant,)* }

        impl Dimension {
            pub(super) const ALL: &[Self] = &[$(Self::$variant),*];
            pub(super) const COUNT: usize = Self::ALL.len();

            pub(super) fn statements(self) -> &'static DimensionStatements {
                match self { $(Self::$variant => const { &DimensionStatements {
                    table: stringify!($table),
                    find: concat!(
                        "SELECT key", $(", ", stringify!($digest),)? " FROM ", stringify!($table),
                        " WHERE ", stringify!($first), " = ?",
                        $(" AND ", stringify!($text), " = ?",)*
                    ),
                    insert: concat!(
                        "INSERT OR ROLLBACK INTO ", stringify!($table), " (", stringify!($first),
                        $(", ", stringify!($text),)* $(", ", stringify!($computed),)*
                        $(", ", stringify!($digest),)? ") VALUES (?",
                        $(", ", placeholder!($text),)* $(", ", placeholder!($computed),)*
                        $(", ", placeholder!($digest),)? ")"
                    ),
                    select_by_keys: concat!(
                        "SELECT d.key, d.", stringify!($first), $(", d.", stringify!($text),)*
                        " FROM json_each(?1) AS k CROSS JOIN ", stringify!($table),
                        " AS d ON d.key = k.value"
                    ),
                    select_row: concat!(
                        "SELECT ", stringify!($first), $(", ", stringify!($text),)*
                        $(", ", stringify!($computed),)* $(", ", stringify!($digest),)? " FROM ",
                        stringify!($table), " WHERE key = ?1"
                    ),
                    select_keys: concat!(
                        "SELECT key FROM ", stringify!($table),
                        " WHERE key > ?1 ORDER BY key LIMIT ?2"
                    ),
                    delete: concat!("DELETE FROM ", stringify!($table), " WHERE key = ?1"),
                    usage: usage_check!($check $table $($column)*),
                } },)* }
            }
        }
    };
}

dimensions! {
    /// The users who ran the program.
    Recorder {
        table: recorder,
        texts: [text],
        computed: [],
        commitment: [],
        usage: scan [recorder],
    }
    /// The sites or tenants; key 0 is no tenant.
    Tenant {
        table: tenant,
        texts: [text],
        computed: [],
        commitment: [],
        usage: index [tenant],
    }
    /// Slugs with the module that emits them.
    Action {
        table: action,
        texts: [slug, module],
        computed: [],
        commitment: [],
        usage: index [action],
    }
    /// The persons and services that acted, under their own name or another's.
    Actor {
        table: actor,
        texts: [id, label],
        computed: [folded, salt],
        commitment: [digest],
        usage: index [actor, impersonator],
    }
    /// The records that were acted on.
    Target {
        table: target,
        texts: [type, id, label],
        computed: [folded, salt],
        commitment: [digest],
        usage: index [target],
    }
    /// The headlines.
    Title {
        table: title,
        texts: [text],
        computed: [folded],
        commitment: [],
        usage: index [title],
    }
    /// The user agents.
    Agent {
        table: agent,
        texts: [text],
        computed: [salt],
        commitment: [digest],
        usage: scan [agent],
    }
}
