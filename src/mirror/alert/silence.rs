//! Alerts that will never speak: their action has never come, or comes no more. Such an alert is
//! often one that watches for the wrong thing, and nothing else would show it.

use std::sync::Arc;

use anyhow::Result;

use crate::access::PlatformWork;
use crate::access::Scope;
use crate::config::mirror::AlertConfig;
use crate::digest::quiet;
use crate::digest::quiet::ActionActivity;
use crate::event::Action;
use crate::event::Event;
use crate::mirror::feed::Selection;
use crate::query::Query;
use crate::store::Log;
use crate::text;
use crate::time::TimeFormat;
use crate::time::Timestamp;
use crate::time::Zone;

/// An enabled alert that has nothing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SilentAlert {
    pub name: String,
    pub reason: SilenceReason,
}

/// Why an alert is silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SilenceReason {
    /// No event has one of its actions; the action of the log that is most like it.
    NeverCame { nearest: Option<String> },
    /// All its actions used to come regularly and have stopped.
    Stopped { last: Timestamp },
}

impl SilenceReason {
    pub(crate) fn describe(&self, zone: &Zone) -> String {
        match self {
            Self::NeverCame { nearest: None } => "its action has never come".to_owned(),
            Self::NeverCame { nearest: Some(nearest) } => {
                format!("its action has never come; {} has", text::escape(nearest))
            }
            Self::Stopped { last } => {
                let last = zone.format(*last, TimeFormat::Date);
                format!("its action has stopped, and came last on {last}")
            }
        }
    }
}

/// Finds the enabled alerts whose actions have never come or have stopped. An alert without a term on
/// actions is judged by its whole query.
///
/// # Errors
/// The log cannot be read; a query of the config is wrong.
pub(crate) fn find(log: &Log, alerts: &[AlertConfig], now: Timestamp) -> Result<Vec<SilentAlert>> {
    let enabled: Vec<_> = alerts.iter().filter(|alert| alert.pace.enabled).collect();
    if enabled.is_empty() {
        return Ok(Vec::new());
    }
    let scope = Scope::of(PlatformWork::Mirror);
    let activity = quiet::activity_by_action(log, &scope, &Query::default(), &[], now)?;
    let mut silent = Vec::new();
    for alert in enabled {
        let query = Selection::of_alert(alert)?.query;
        let reason = match query.only_actions() {
            Some(actions) => judge(&actions, &activity),
            None if log.count(&scope, &query, 1)? == 0 => {
                Some(SilenceReason::NeverCame { nearest: None })
            }
            None => None,
        };
        silent.extend(reason.map(|reason| SilentAlert { name: alert.name.clone(), reason }));
    }
    Ok(silent)
}

fn judge(actions: &Query, activity: &[ActionActivity]) -> Option<SilenceReason> {
    let matches = |found: &&ActionActivity| {
        let action =
            Action { slug: found.usage.action.clone(), module: found.usage.module.clone() };
        actions.matches(&Event::minimal(Arc::new(action)))
    };
    let matching: Vec<_> = activity.iter().filter(matches).collect();
    if matching.is_empty() {
        let known = activity.iter().map(|found| found.usage.action.as_str());
        let nearest = actions.literal_action().and_then(|name| text::nearest(&name, known));
        return Some(SilenceReason::NeverCame { nearest: nearest.map(str::to_owned) });
    }
    if matching.iter().any(|found| found.quiet.is_none()) {
        return None;
    }
    let last = matching.iter().map(|found| found.usage.last).max()?;
    Some(SilenceReason::Stopped { last })
}
