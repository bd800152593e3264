//! The log that `list --follow` reads: it is opened anew where it was replaced.

use anyhow::Result;

use crate::access::Reading;
use crate::context::LogAccess;
use crate::context::LogReader;
use crate::context::Output;
use crate::event::Event;
use crate::event::EventId;
use crate::failure;
use crate::query::Query;
use crate::store::CentralHeads;

/// The number of new events that are read at a time.
const BATCH_SIZE: usize = 1_000;

/// A log and the place up to which its events were read.
pub(super) struct FollowedLog<'a> {
    access: LogAccess<'a>,
    output: &'a Output,
    reader: LogReader,
    last_id: EventId,
    /// How far the logs of a central store were read; absent for a log of this host.
    heads: Option<CentralHeads>,
    /// No log can be opened under the name, and this was said.
    is_waiting: bool,
}

impl<'a> FollowedLog<'a> {
    /// Opens the log. The events that it has count as read.
    pub(super) fn open(access: LogAccess<'a>, output: &'a Output) -> Result<Self> {
        let reader = access.open_reader(Reading::List)?;
        let heads = reader.arrived_heads()?;
        let last_id = match heads {
            Some(_) => EventId(i64::MAX),
            None => reader.head()?,
        };
        Ok(Self { access, output, reader, last_id, heads, is_waiting: false })
    }

    pub(super) fn reader(&self) -> &LogReader {
        &self.reader
    }

    /// Returns the newest id that was read.
    pub(super) fn last_id(&self) -> EventId {
        self.last_id
    }

    /// Returns the events that match among those that are new; `None` where there is nothing new.
    pub(super) fn next(&mut self, query: &Query) -> Result<Option<Vec<Event>>> {
        if let Some(heads) = &mut self.heads {
            return self.reader.arrived_since(query, heads, BATCH_SIZE);
        }
        if self.reader.is_stale() {
            self.reopen();
        }
        match self.read_new(query) {
            // It is looked at again when it has been opened anew.
            Err(_) if self.reader.is_stale() => Ok(None),
            read => read,
        }
    }

    fn read_new(&mut self, query: &Query) -> Result<Option<Vec<Event>>> {
        let head = self.reader.head()?;
        if head == self.last_id {
            return Ok(None);
        }
        let events = self.reader.recorded_after(query, self.last_id, BATCH_SIZE)?;
        // A full batch may have left some behind; otherwise all events up to that head are read.
        let last_read = events.last().map(|event| event.id);
        self.last_id =
            last_read.filter(|last| events.len() == BATCH_SIZE || *last > head).unwrap_or(head);
        Ok(Some(events))
    }

    /// Opens the log anew, and goes on behind the last event that both logs have. The log that was
    /// open before stays in use while no other can be opened.
    fn reopen(&mut self) {
        let opened = self.access.open_reader(Reading::List).and_then(|reader| {
            let head = reader.head()?;
            // Where the old log cannot be compared any more, only what is to come is new.
            let common = reader.last_common_id(&self.reader, self.last_id).unwrap_or(head);
            Ok((reader, common))
        });
        match opened {
            Ok((reader, common)) => {
                if self.is_waiting || self.reader.is_replaced() || common != self.last_id {
                    self.output.warn("the log was replaced: following the one that is there now");
                }
                self.is_waiting = false;
                (self.reader, self.last_id) = (reader, common);
            }
            Err(_) if self.is_waiting => {}
            Err(error) => {
                self.is_waiting = true;
                let reason = failure::describe(&error);
                let message = format!("the log was replaced or removed, waiting for one: {reason}");
                self.output.warn(&message);
            }
        }
    }
}
