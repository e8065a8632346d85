//! A log store in memory, as plain as can be: the oracle of the engine's tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_logql::{
    Direction, EntryRef, LogSource, Selection, SourceError, StreamCursor, level, service_name,
};
use cairn_model::{Labels, TimeNs};

/// One stored entry.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored {
    pub(crate) time: TimeNs,
    pub(crate) line: Vec<u8>,
    pub(crate) metadata: Labels,
}

/// Streams in memory, each sorted by time, equal times in order of arrival.
#[derive(Default)]
pub(crate) struct MemorySource {
    streams: BTreeMap<Labels, (Arc<Labels>, Vec<Stored>)>,
}

impl MemorySource {
    /// Adds an entry as the store would: with `service_name`, with `detected_level`, exact repeats once.
    pub(crate) fn push(&mut self, labels: &Labels, time: i64, line: &str, metadata: &[(String, String)]) {
        let mut stream = labels.to_builder();
        if let Some(service) = service_name(labels) {
            stream.set("service_name", service);
        }
        let stream = stream.build();
        let pairs = metadata.iter().map(|(name, value)| (normalized(name), value.clone()));
        let metadata = Labels::from_pairs(pairs);
        let level = level::detect(labels, &metadata, line.as_bytes()).to_owned();
        let mut with_level = metadata.to_builder();
        with_level.set("detected_level", &level);
        let stored =
            Stored { time: TimeNs(time), line: line.as_bytes().to_vec(), metadata: with_level.build() };
        let (_, entries) =
            self.streams.entry(stream.clone()).or_insert_with(|| (Arc::new(stream), Vec::new()));
        let at = entries.partition_point(|e| e.time <= stored.time);
        let is_repeat =
            entries[..at].iter().rev().take_while(|e| e.time == stored.time).any(|e| *e == stored);
        if !is_repeat {
            entries.insert(at, stored);
        }
    }

    /// Every stream with its entries.
    #[allow(dead_code, reason = "not every test that shares this file looks")]
    pub(crate) fn streams(&self) -> impl Iterator<Item = (&Arc<Labels>, &[Stored])> {
        self.streams.values().map(|(labels, entries)| (labels, entries.as_slice()))
    }
}

/// Metadata names as Loki stores them: every run of other characters becomes one `_`.
fn normalized(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c);
        } else if !out.ends_with('_') || c == '_' {
            out.push('_');
        }
    }
    if out.starts_with(|c: char| c.is_ascii_digit()) { format!("key_{out}") } else { out }
}

struct Cursor<'a> {
    labels: &'a Arc<Labels>,
    /// Entries not yet read; the current one is `current`.
    rest: &'a [Stored],
    current: Option<&'a Stored>,
    direction: Direction,
}

impl StreamCursor for Cursor<'_> {
    fn labels(&self) -> &Arc<Labels> {
        self.labels
    }

    fn advance(&mut self) -> Result<bool, SourceError> {
        let next = match self.direction {
            Direction::Forward => self.rest.split_first(),
            Direction::Backward => self.rest.split_last(),
        };
        self.current = next.map(|(entry, rest)| {
            self.rest = rest;
            entry
        });
        Ok(self.current.is_some())
    }

    fn entry(&self) -> EntryRef<'_> {
        let entry = self.current.expect("advance() said there is one");
        EntryRef { time: entry.time, line: &entry.line, metadata: &entry.metadata }
    }
}

impl LogSource for MemorySource {
    fn select<'a>(
        &'a self,
        selection: &Selection<'_>,
    ) -> Result<Vec<Box<dyn StreamCursor + 'a>>, SourceError> {
        let matching = self
            .streams
            .values()
            .filter(|(labels, _)| selection.matchers.iter().all(|m| m.matches_labels(labels)));
        let cursors = matching.map(|(labels, entries)| {
            let from = entries.partition_point(|e| e.time < selection.start);
            let until = entries.partition_point(|e| e.time < selection.end).max(from);
            let rest = &entries[from..until];
            Box::new(Cursor { labels, rest, current: None, direction: selection.direction })
                as Box<dyn StreamCursor>
        });
        Ok(cursors.collect())
    }
}
