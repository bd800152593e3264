//! Splits JSON documents into records: the elements of a list within an object, however deep, or the
//! objects themselves where they have no such list. Objects may follow each other, as pages of one
//! answer do.
//!
//! ## Cost
//! What stands before the list within an object is kept until the list begins, so it has the limit of a
//! record.

use crate::codec::frame::ElementSplitter;
use crate::codec::frame::ScanResult;

/// The reason why text between documents is refused.
const NO_DOCUMENT: &str = "a JSON document begins with {";

#[derive(Debug)]
pub(super) struct DocumentSplitter {
    /// The keys that may lead to the list, equally many in each case.
    records: Vec<Vec<String>>,
    state: DocumentState,
}

#[derive(Debug)]
enum DocumentState {
    /// Before a document. Where reading continues behind a record, its list may go on too.
    Between { may_go_on: bool },
    /// Within an object, before its list.
    Seeking(ObjectScan),
    /// Within the list.
    Elements(ElementSplitter),
    /// Behind the list, within its object.
    Rest(ObjectScan),
}

/// How far an object has been scanned.
#[derive(Debug, Default)]
struct ObjectScan {
    /// The depth of nesting; 1 is within the object itself.
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// The keys that lead to the innermost object, as they are written. Where they are fewer than the
    /// depth, it lies in a list, or too deep to matter.
    keys: Vec<Vec<u8>>,
    /// The last string of the innermost object that matters, as it is written.
    last_string: Vec<u8>,
    /// Whether a colon follows that string, so that it is the key of what comes next.
    is_key: bool,
}

impl DocumentSplitter {
    pub(super) fn new(records: Vec<Vec<String>>) -> Self {
        Self { records, state: DocumentState::Between { may_go_on: false } }
    }

    /// For an input that continues behind a record.
    pub(super) fn after_one(records: Vec<Vec<String>>) -> Self {
        Self { records, state: DocumentState::Between { may_go_on: true } }
    }

    /// Whether a document has no end yet.
    pub(super) fn is_open(&self) -> bool {
        match &self.state {
            DocumentState::Between { .. } => false,
            DocumentState::Seeking(_) | DocumentState::Elements(_) | DocumentState::Rest(_) => true,
        }
    }

    pub(super) fn scan(&mut self, bytes: &[u8]) -> ScanResult {
        match &mut self.state {
            DocumentState::Between { may_go_on } => {
                let Some(at) = bytes.iter().position(|byte| !byte.is_ascii_whitespace()) else {
                    return if bytes.is_empty() {
                        ScanResult::More
                    } else {
                        ScanResult::Skip(bytes.len())
                    };
                };
                self.state = match bytes.get(at) {
                    Some(b'{') => DocumentState::Seeking(ObjectScan::default()),
                    Some(b',' | b']') if *may_go_on => {
                        DocumentState::Elements(ElementSplitter::AfterElement)
                    }
                    _ => return ScanResult::Broken { at, reason: NO_DOCUMENT },
                };
                if at > 0 { ScanResult::Skip(at) } else { self.scan(bytes) }
            }
            DocumentState::Seeking(object) => match object.seek(bytes, &self.records) {
                ObjectPlace::Within => ScanResult::More,
                ObjectPlace::List(end) => {
                    self.state = DocumentState::Elements(ElementSplitter::BeforeFirst);
                    ScanResult::Skip(end)
                }
                ObjectPlace::End(end) => {
                    self.state = DocumentState::Between { may_go_on: false };
                    ScanResult::Record(end)
                }
            },
            DocumentState::Elements(elements) => {
                let scanned = elements.scan(bytes);
                let is_behind = *elements == ElementSplitter::AfterArray;
                match scanned {
                    ScanResult::Broken { at, .. } if is_behind => {
                        let depth = self.records.first().map_or(1, Vec::len);
                        self.state =
                            DocumentState::Rest(ObjectScan { depth, ..ObjectScan::default() });
                        if at > 0 { ScanResult::Skip(at) } else { self.scan(bytes) }
                    }
                    scanned => scanned,
                }
            }
            DocumentState::Rest(object) => match object.seek(bytes, &[]) {
                ObjectPlace::End(end) => {
                    self.state = DocumentState::Between { may_go_on: false };
                    ScanResult::Skip(end)
                }
                ObjectPlace::Within | ObjectPlace::List(_) if bytes.is_empty() => ScanResult::More,
                ObjectPlace::Within | ObjectPlace::List(_) => ScanResult::Skip(bytes.len()),
            },
        }
    }
}

/// Where a scan of an object came to.
enum ObjectPlace {
    Within,
    /// The list that was looked for begins before this place.
    List(usize),
    /// The object ends before this place.
    End(usize),
}

impl ObjectScan {
    /// Scans on, up to the list that one of the keys leads to or the end of the object.
    fn seek(&mut self, bytes: &[u8], lists: &[Vec<String>]) -> ObjectPlace {
        let deepest = lists.first().map_or(0, Vec::len);
        for (at, &byte) in bytes.iter().enumerate() {
            if self.in_string {
                self.step_in_string(byte);
                continue;
            }
            let matters = self.depth <= deepest && self.keys.len() + 1 == self.depth;
            match byte {
                b'"' => {
                    self.in_string = true;
                    if matters {
                        self.last_string.clear();
                        self.is_key = false;
                    }
                }
                b':' if matters => self.is_key = true,
                b',' if matters => self.is_key = false,
                b'[' if matters && self.is_key && self.leads_to_any(lists) => {
                    return ObjectPlace::List(at + 1);
                }
                b'{' | b'[' => {
                    if byte == b'{' && matters && self.is_key && self.depth < deepest {
                        self.keys.push(std::mem::take(&mut self.last_string));
                    }
                    self.is_key = false;
                    self.depth += 1;
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return ObjectPlace::End(at + 1);
                    }
                    self.keys.truncate(self.depth - 1);
                    self.is_key = false;
                }
                _ => {}
            }
        }
        ObjectPlace::Within
    }

    /// Whether the keys down to the last string are those of a list.
    fn leads_to_any(&self, lists: &[Vec<String>]) -> bool {
        let way = || self.keys.iter().chain([&self.last_string]);
        lists.iter().any(|list| {
            list.len() == self.depth
                && way().zip(list).all(|(key, wanted)| key == wanted.as_bytes())
        })
    }

    fn step_in_string(&mut self, byte: u8) {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => {
                self.in_string = false;
                return;
            }
            _ => {}
        }
        // A longer string is not the key that is looked for.
        if self.keys.len() + 1 == self.depth && self.last_string.len() < 256 {
            self.last_string.push(byte);
        }
    }
}
