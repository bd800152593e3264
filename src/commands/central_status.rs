//! How far the log of each host is in the central store.

use anyhow::Result;
use serde_json::json;

use crate::config::StoreAddress;
use crate::context::Context;
use crate::failure::Exit;
use crate::render;
use crate::store::central;
use crate::store::central::MirroredLog;
use crate::text;
use crate::time::Span;
use crate::time::Timestamp;
use crate::verify::fleet::SILENT_AFTER;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Prints a row for each log: what has arrived, what waits by its last heartbeat, and how old that is.
pub(super) fn show(
    context: &Context,
    address: &StoreAddress,
    max_lag: Option<Span>,
    json: bool,
) -> Result<Exit> {
    let logs = context.log().mirrored_logs(address)?;
    let now = context.now;
    if json {
        let mut lines = String::new();
        for (name, log) in &logs {
            text::json_escape_into(&mut lines, &to_json(name, log, now).to_string());
            lines.push('\n');
        }
        context.output.print(lines.as_bytes())?;
    } else if logs.is_empty() {
        context.output.note("no host has written to this store yet");
    } else {
        let zone = context.zone()?;
        let printer = context.printer(&zone, None);
        let rows: Vec<_> = logs.iter().map(|(name, log)| to_row(name, log, now)).collect();
        context.output.show(|out| printer.write_mirror_status(&rows, out))?;
    }
    let lags = |max| logs.iter().any(|(_, log)| log.seen_at.saturating_add(max) < now);
    Ok(if max_lag.is_some_and(lags) { Exit::Negative } else { Exit::Success })
}

fn waiting(log: &MirroredLog) -> u64 {
    u64::try_from(log.head.0.saturating_sub(log.delivered.0)).unwrap_or_default()
}

fn is_silent(log: &MirroredLog, now: Timestamp) -> bool {
    log.seen_at.saturating_add(SILENT_AFTER) < now
}

fn to_row(name: &str, log: &MirroredLog, now: Timestamp) -> render::MirrorStatusRow {
    let nanos = now.as_nanos().saturating_sub(log.seen_at.as_nanos());
    let age = Span::from_seconds(u64::try_from(nanos / NANOS_PER_SECOND).unwrap_or_default());
    let remark = if is_silent(log, now) {
        Some(format!("has said nothing since {}", log.seen_at))
    } else {
        (waiting(log) > 0).then(|| "behind".to_owned())
    };
    render::MirrorStatusRow {
        name: name.to_owned(),
        delivered: u64::try_from(log.delivered.0).unwrap_or_default(),
        waiting: waiting(log),
        lag: age.to_string(),
        dead: 0,
        remark,
    }
}

fn to_json(name: &str, log: &MirroredLog, now: Timestamp) -> serde_json::Value {
    json!({
        "log": name,
        "uuid": central::uuid_text(&log.uuid),
        "head": {"id": log.head.0, "hash": log.head_hash.to_string()},
        "delivered": log.delivered.0,
        "waiting": waiting(log),
        "seen_at": log.seen_at.to_sortable(),
        "silent": is_silent(log, now),
    })
}
