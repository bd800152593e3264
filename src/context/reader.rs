//! The log as the caller may read it: their scope is joined to every query.

use anyhow::{Context as _, Result};

use crate::access::PlatformWork;
use crate::access::Scope;
use crate::digest::quiet;
use crate::digest::quiet::ActionActivity;
use crate::event::Event;
use crate::event::EventId;
use crate::event::EventPlace;
use crate::query::Query;
use crate::render::Labels;
use crate::render::SweepPreviewRow;
use crate::retention::RetentionPolicy;
use crate::store::CentralHeads;
use crate::store::EventIdMatch;
use crate::store::EventSummary;
use crate::store::Log;
use crate::store::PageRequest;
use crate::store::Suggestion;
use crate::store::SuggestionKind;
use crate::store::names::NameKind;
use crate::store::tally::GroupedCounts;
use crate::store::tally::Grouping;
use crate::sweep;
use crate::time::Timestamp;
use crate::time::Zone;

/// The events that a sweep would remove.
pub(crate) struct SweepPreview {
    pub summary: sweep::SweepSummary,
    /// By action and rule, the most events first.
    pub rows: Vec<SweepPreviewRow>,
    /// The number of events in the log.
    pub events: u64,
    /// Why somebody has to confirm the removal, if that is so.
    pub size_doubt: Option<String>,
}

/// The log as the caller may read it.
pub(crate) struct LogReader {
    pub(super) log: Log,
    /// The events that the caller may see.
    pub(super) scope: Scope,
}

impl LogReader {
    pub(crate) fn page(&self, query: &Query, page: &PageRequest<'_>) -> Result<Vec<Event>> {
        self.log.page(&self.scope, query, page)
    }

    pub(crate) fn recorded_after(
        &self,
        query: &Query,
        after: EventId,
        limit: usize,
    ) -> Result<Vec<Event>> {
        self.log.recorded_after(&self.scope, query, after, limit)
    }

    /// Returns how far the logs of a central store go; `None` for a log of this host.
    pub(crate) fn arrived_heads(&self) -> Result<Option<CentralHeads>> {
        self.log.arrived_heads()
    }

    /// Returns the matching events that have arrived in a central store behind these heads.
    pub(crate) fn arrived_since(
        &self,
        query: &Query,
        heads: &mut CentralHeads,
        limit: usize,
    ) -> Result<Option<Vec<Event>>> {
        self.log.arrived_since(&self.scope, query, heads, limit)
    }

    /// Returns the matching events around an event, oldest first.
    pub(crate) fn around(&self, query: &Query, center: &Event, each: usize) -> Result<Vec<Event>> {
        self.log.around(&self.scope, query, center, each)
    }

    /// Returns the number of matching events if it is at most `limit`.
    pub(crate) fn count(&self, query: &Query, limit: u64) -> Result<Option<u64>> {
        let count = self.log.count(&self.scope, query, limit.saturating_add(1))?;
        Ok(Some(count).filter(|count| *count <= limit))
    }

    /// Counts the matching events by each set of groupings, those of a set together; periods are those
    /// of `zone`.
    pub(crate) fn count_by(
        &self,
        query: &Query,
        sets: &[&[Grouping]],
        zone: &Zone,
    ) -> Result<Vec<GroupedCounts>> {
        self.log.count_by(&self.scope, query, sets, zone)
    }

    pub(crate) fn summary(&self, query: &Query, edges: &[Timestamp]) -> Result<EventSummary> {
        self.log.summary(&self.scope, query, edges)
    }

    /// Returns the actions of the matching events, and which of them have gone quiet.
    pub(crate) fn activity_by_action(
        &self,
        query: &Query,
        days: &[Timestamp],
        now: Timestamp,
    ) -> Result<Vec<ActionActivity>> {
        quiet::activity_by_action(&self.log, &self.scope, query, days, now)
    }

    /// Returns the events that a sweep would remove now.
    pub(crate) fn sweep_preview(
        &self,
        retention: &RetentionPolicy,
        now: Timestamp,
    ) -> Result<SweepPreview> {
        let plan = sweep::SweepPlan::read(&self.log, retention, now, &mut || true)?;
        let plan = plan.context("nothing interrupts the reading")?;
        let mut rows: Vec<_> = plan
            .counts
            .iter()
            .map(|((action, decider), count)| {
                let rule = sweep::decider_label(retention, *decider);
                SweepPreviewRow { action: action.clone(), count: *count, rule }
            })
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.count));
        let summary = sweep::SweepSummary::from_plan(&plan, retention, now);
        let size_doubt = sweep::size_doubt(&self.log, &plan, retention)?;
        Ok(SweepPreview { summary, rows, events: plan.event_count, size_doubt })
    }

    /// Returns why a sweep would be refused, if the clock may be wrong.
    pub(crate) fn clock_doubt(&self, now: Timestamp) -> Result<Option<String>> {
        sweep::clock_doubt(&self.log, now)
    }

    /// Returns some names that begin with a text.
    pub(crate) fn names(
        &self,
        kind: NameKind,
        beginning: &str,
        limit: usize,
    ) -> Result<Vec<String>> {
        self.log.names(&self.scope, kind, beginning, limit)
    }

    pub(crate) fn suggestions(&self, kind: SuggestionKind, word: &str) -> Result<Vec<Suggestion>> {
        self.log.suggestions(&self.scope, kind, word)
    }

    /// Whether another file has the log's name now, or none has.
    pub(crate) fn is_replaced(&self) -> bool {
        self.log.is_replaced()
    }

    /// Whether the log has to be opened anew to see all of it.
    pub(crate) fn is_stale(&self) -> bool {
        self.log.is_stale()
    }

    /// Returns the newest id up to which this log has the same events as the one that was open
    /// before; at most `up_to`. Two logs that agree on an event agree on all before it, because its
    /// hash stands for them.
    pub(crate) fn last_common_id(&self, before: &Self, up_to: EventId) -> Result<EventId> {
        let scope = Scope::of(PlatformWork::Comparison);
        let next = |log: &Log, after: i64| -> Result<_> {
            let event = log.recorded_after(&scope, &Query::default(), EventId(after), 1)?.pop();
            Ok(event.map(|event| (event.id.0, event.hash)))
        };
        let (mut common, mut end) = (0, up_to.0);
        // Mostly the logs agree up to the end.
        let mut probe = end.saturating_sub(1);
        while common < end {
            match next(&self.log, probe)? {
                Some((id, hash))
                    if id <= up_to.0 && next(&before.log, probe)? == Some((id, hash)) =>
                {
                    common = id;
                }
                Some(_) | None => end = probe,
            }
            probe = common + (end - common) / 2;
        }
        Ok(EventId(common))
    }

    /// Returns the newest id, whoever may see its event: later events have greater ids.
    pub(crate) fn head(&self) -> Result<EventId> {
        Ok(self.log.head()?.0)
    }

    /// Finds an event by its place.
    pub(crate) fn find_place(&self, place: &EventPlace) -> Result<EventIdMatch> {
        self.log.find_place(&self.scope, place)
    }

    /// Whether it has the logs of many hosts.
    pub(crate) fn is_central(&self) -> bool {
        self.log.is_central()
    }

    pub(crate) fn find_by_event_id(&self, event_id: &str) -> Result<EventIdMatch> {
        self.log.find_by_event_id(&self.scope, event_id)
    }

    /// Returns labels for the actors for whom these events give only an id.
    pub(crate) fn actor_labels(&self, events: &[Event]) -> Result<Labels> {
        let mut labels = Labels::default();
        let missing = labels.missing(events);
        if missing.is_empty() {
            return Ok(labels);
        }
        let actors: Vec<_> =
            missing.iter().map(|(tenant, id)| (tenant.as_deref(), id.as_str())).collect();
        let found = self.log.actor_labels(&self.scope, &actors)?;
        for ((tenant, id), label) in actors.into_iter().zip(found) {
            if let Some(label) = label {
                labels.insert(tenant, id, &label);
            }
        }
        Ok(labels)
    }
}
