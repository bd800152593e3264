//! Reads when the newest events were recorded.
//!
//! ## Cost
//! It walks back over the events of the log's last day.

use anyhow::Result;

use crate::store::RecentClock;
use crate::store::sqlite::engine::Sqlite;
use crate::store::sqlite::swept::not_swept;
use crate::time::Span;
use crate::time::Timestamp;

impl Sqlite {
    pub(in crate::store) fn recent_clock(
        &self,
        longest_pause: Span,
        probation: Span,
    ) -> Result<Option<RecentClock>> {
        const NEWEST_FIRST: &str =
            concat!("SELECT recorded_at FROM event WHERE ", not_swept!(), " ORDER BY id DESC");
        self.read_in_snapshot(|connection| {
            let mut statement = connection.prepare(NEWEST_FIRST)?;
            let mut times = statement.query_map([], |row| row.get(0).map(Timestamp::from_nanos))?;
            let Some(newest) = times.next().transpose()? else { return Ok(None) };
            let probation_start = newest.saturating_sub(probation);
            let mut later = newest;
            for earlier in times {
                let earlier = earlier?;
                // Recorded under a clock that was put back since, which says nothing of this one.
                if earlier > newest {
                    continue;
                }
                if later > earlier.saturating_add(longest_pause) {
                    return Ok(Some(RecentClock { newest, jump: Some((earlier, later)) }));
                }
                if earlier <= probation_start {
                    break;
                }
                later = earlier;
            }
            Ok(Some(RecentClock { newest, jump: None }))
        })
    }
}
