//! How an input is read.

use std::cell::RefCell;

use crate::codec::EventFormat;
use crate::codec::jsonl::NestedKey;
use crate::event::builder::IntakeOptions;
use crate::event::intake::IntakeNotes;
use crate::event::intake::KeyMap;
use crate::event::intake::Undated;
use crate::event::leniency::Leniency;
use crate::map::FieldOrigin;
use crate::map::RecordMap;
use crate::time::Timestamp;
use crate::time::Zone;

/// The options for reading an input.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DecodeOptions {
    /// Absent where the first line decides.
    pub format: Option<EventFormat>,
    /// Whether the cells of CSV were written without a guard.
    pub raw_cells: bool,
    /// The zone of times without an offset. Without a zone such times are refused.
    pub zone: Option<Zone>,
    /// Whether values that do not fit their field are repaired.
    pub lenient: bool,
    /// The keys that the user has mapped to fields.
    pub key_map: Option<&'static KeyMap>,
    /// Those of them that are paths to values within objects.
    pub nested_keys: &'static [NestedKey],
    /// What becomes of an event without a time that seems to have one under another key.
    pub undated: Undated,
    /// How the records of another system become events.
    pub map: Option<&'static RecordMap>,
    /// The time of the input, which gives times their year that have none.
    pub latest: Option<Timestamp>,
}

/// What the decoding of one input works with.
#[derive(Clone, Copy)]
pub(super) struct DecodeContext<'a> {
    pub options: &'a DecodeOptions,
    /// Where it is noted which keys go into the payload.
    pub notes: &'a RefCell<IntakeNotes>,
    /// Where it is noted what each field of a mapped record was taken from.
    pub origins: Option<&'a RefCell<Vec<FieldOrigin>>>,
}

impl<'a> DecodeContext<'a> {
    pub(super) fn intake(self, leniency: Leniency) -> IntakeOptions<'a> {
        let DecodeOptions { zone, key_map, undated, .. } = self.options;
        IntakeOptions {
            zone: zone.as_ref(),
            leniency,
            key_map: *key_map,
            undated: *undated,
            notes: Some(self.notes),
        }
    }
}
