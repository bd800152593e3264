//! The saved queries of the config, and their names in the queries of its other sections.

use toml::Table;
use toml::Value;

use crate::query::saved::SavedQueries;

/// Reads `[queries]` of a config that was checked.
///
/// # Errors
/// One line that begins with the key: a name with other signs, a query that names another.
pub(super) fn read(config: &Table) -> Result<SavedQueries, String> {
    let queries = config.get("queries").and_then(Value::as_table).into_iter().flatten();
    let queries = queries.filter_map(|(name, query)| Some((name, query.as_str()?)));
    queries
        .map(|(name, query)| {
            if !SavedQueries::is_name(name) {
                return Err(format!("queries.{name:?}: a name has letters, digits, - and _"));
            }
            match SavedQueries::default().expand(query) {
                Ok(_) => Ok((name.clone(), query.to_owned())),
                Err(_) => Err(format!("queries.{name}: a saved query names no other")),
            }
        })
        .collect()
}

/// Puts the texts of saved queries in the place of their names, in every query of the config.
///
/// # Errors
/// One line that begins with the key: a name under which nothing is saved.
pub(super) fn expand(config: &mut Table, saved: &SavedQueries) -> Result<(), String> {
    expand_in(config, saved, "")
}

fn expand_in(table: &mut Table, saved: &SavedQueries, path: &str) -> Result<(), String> {
    for (name, value) in table.iter_mut() {
        let path_of_value = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match value {
            Value::String(query)
                if path == "digest.kinds" || matches!(name.as_str(), "query" | "only") =>
            {
                let expanded =
                    saved.expand(query).map_err(|why| format!("{path_of_value}: {why}"))?;
                *query = expanded.into_owned();
            }
            Value::Table(inner) => expand_in(inner, saved, &path_of_value)?,
            Value::Array(list) => {
                for (place, inner) in list.iter_mut().enumerate() {
                    if let Value::Table(inner) = inner {
                        expand_in(inner, saved, &format!("{path_of_value}[{}]", place + 1))?;
                    }
                }
            }
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_) => {}
        }
    }
    Ok(())
}
