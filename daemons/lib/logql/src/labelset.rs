//! The labels of one entry while it passes the pipeline.
//!
//! Stream labels and structured metadata are borrowed and only marked as gone; what stages add lies in one text
//! buffer that is reused from line to line. A line that no parser touches costs no allocation.

use std::collections::HashMap;

use cairn_model::Labels;

use crate::answer::EntryLabels;

/// Name of the label that holds the kind of a pipeline error.
pub(crate) const ERROR: &str = "__error__";
/// Name of the label that explains it.
pub(crate) const ERROR_DETAILS: &str = "__error_details__";

/// From this many parsed labels on they are found by hash.
const INDEX_FROM: usize = 48;

#[derive(Clone, Copy)]
struct Slot {
    name: (usize, usize),
    value: (usize, usize),
    is_gone: bool,
}

/// The reusable part.
#[derive(Default)]
pub(crate) struct Scratch {
    text: String,
    parsed: Vec<Slot>,
    index: HashMap<String, usize>,
    stream_gone: Vec<usize>,
    metadata_gone: Vec<usize>,
    error: Option<&'static str>,
    details: String,
}

impl Scratch {
    fn clear(&mut self) {
        self.text.clear();
        self.parsed.clear();
        if !self.index.is_empty() {
            self.index.clear();
        }
        self.stream_gone.clear();
        self.metadata_gone.clear();
        self.error = None;
        self.details.clear();
    }
}

/// Metadata as queries see it: a name that the stream has too gets the suffix `_extracted`.
pub(crate) fn visible_metadata(stream: &Labels, metadata: &Labels) -> Option<Labels> {
    if !metadata.iter().any(|(name, _)| stream.get(name).is_some()) {
        return None;
    }
    let renamed = metadata.iter().map(|(name, value)| {
        let name = if stream.get(name).is_some() { format!("{name}_extracted") } else { name.to_owned() };
        (name, value)
    });
    Some(Labels::from_pairs(renamed))
}

/// See the module.
pub(crate) struct LabelSet<'a> {
    stream: &'a Labels,
    metadata: &'a Labels,
    scratch: &'a mut Scratch,
}

impl<'a> LabelSet<'a> {
    /// The labels of an entry before the first stage.
    pub(crate) fn new(stream: &'a Labels, metadata: &'a Labels, scratch: &'a mut Scratch) -> Self {
        scratch.clear();
        Self { stream, metadata, scratch }
    }

    fn slot(&self, name: &str) -> Option<usize> {
        let scratch = &self.scratch;
        if scratch.parsed.len() > INDEX_FROM {
            return scratch.index.get(name).copied();
        }
        scratch.parsed.iter().position(|s| &scratch.text[s.name.0..s.name.1] == name)
    }

    /// The value of a label; errors included.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        if let Some(at) = self.slot(name) {
            let slot = self.scratch.parsed[at];
            if !slot.is_gone {
                return Some(&self.scratch.text[slot.value.0..slot.value.1]);
            }
        }
        let find = |labels: &'a Labels, gone: &[usize]| {
            let (at, (_, value)) = labels.iter().enumerate().find(|(_, (n, _))| *n == name)?;
            (!gone.contains(&at)).then_some(value)
        };
        find(self.metadata, &self.scratch.metadata_gone)
            .or_else(|| find(self.stream, &self.scratch.stream_gone))
            .or_else(|| match name {
                ERROR => self.scratch.error,
                ERROR_DETAILS if !self.scratch.details.is_empty() => Some(&self.scratch.details),
                _ => None,
            })
    }

    /// The name under which a parser stores `name`: a name of the stream or its metadata stays theirs.
    pub(crate) fn parsed_name<'n>(&self, name: std::borrow::Cow<'n, str>) -> std::borrow::Cow<'n, str> {
        if self.clashes(&name) { std::borrow::Cow::Owned(format!("{name}_extracted")) } else { name }
    }

    /// Whether `name` belongs to the stream (even if it was dropped), to the metadata or to the engine.
    pub(crate) fn clashes(&self, name: &str) -> bool {
        let in_metadata = || {
            let at = self.metadata.iter().position(|(n, _)| n == name);
            at.is_some_and(|at| !self.scratch.metadata_gone.contains(&at))
        };
        self.stream.get(name).is_some() || in_metadata() || name == ERROR || name == ERROR_DETAILS
    }

    /// Whether an earlier stage made a label of this name.
    pub(crate) fn has_parsed(&self, name: &str) -> bool {
        self.slot(name).is_some_and(|at| !self.scratch.parsed[at].is_gone)
    }

    /// Makes or replaces a parsed label, which then stands in for any other label of the name.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        if let Some(at) = self.stream.iter().position(|(n, _)| n == name) {
            mark(&mut self.scratch.stream_gone, at);
        }
        if let Some(at) = self.metadata.iter().position(|(n, _)| n == name) {
            mark(&mut self.scratch.metadata_gone, at);
        }
        let slot = self.slot(name);
        let scratch = &mut *self.scratch;
        let push = |text: &mut String, part: &str| {
            let start = text.len();
            text.push_str(part);
            (start, text.len())
        };
        let value = push(&mut scratch.text, value);
        if let Some(at) = slot {
            scratch.parsed[at].value = value;
            scratch.parsed[at].is_gone = false;
            return;
        }
        let name = push(&mut scratch.text, name);
        scratch.parsed.push(Slot { name, value, is_gone: false });
        let count = scratch.parsed.len();
        if count > INDEX_FROM {
            let from = if count == INDEX_FROM + 1 { 0 } else { count - 1 };
            for (at, slot) in scratch.parsed.iter().enumerate().skip(from) {
                scratch.index.insert(scratch.text[slot.name.0..slot.name.1].to_owned(), at);
            }
        }
    }

    /// Removes a label, wherever it comes from; `__error__` and its details too.
    pub(crate) fn remove(&mut self, name: &str) {
        match name {
            ERROR => self.scratch.error = None,
            ERROR_DETAILS => self.scratch.details.clear(),
            _ => {}
        }
        if let Some(at) = self.slot(name) {
            self.scratch.parsed[at].is_gone = true;
        }
        if let Some(at) = self.stream.iter().position(|(n, _)| n == name) {
            mark(&mut self.scratch.stream_gone, at);
        }
        if let Some(at) = self.metadata.iter().position(|(n, _)| n == name) {
            mark(&mut self.scratch.metadata_gone, at);
        }
    }

    /// Removes every label but the errors that `keep` refuses.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) {
        let scratch = &mut *self.scratch;
        for slot in &mut scratch.parsed {
            let of = |part: (usize, usize)| &scratch.text[part.0..part.1];
            slot.is_gone |= !keep(of(slot.name), of(slot.value));
        }
        for (labels, gone) in
            [(self.stream, &mut scratch.stream_gone), (self.metadata, &mut scratch.metadata_gone)]
        {
            for (at, (name, value)) in labels.iter().enumerate() {
                if !keep(name, value) {
                    mark(gone, at);
                }
            }
        }
    }

    /// The kind of the pipeline error, if one happened.
    pub(crate) fn error(&self) -> Option<&'static str> {
        self.scratch.error
    }

    /// Notes a pipeline error.
    pub(crate) fn set_error(&mut self, kind: &'static str, details: &str) {
        self.scratch.error = Some(kind);
        self.scratch.details.clear();
        self.scratch.details.push_str(details);
    }

    fn left<'l>(labels: &'l Labels, gone: &'l [usize]) -> impl Iterator<Item = (&'l str, &'l str)> {
        labels.iter().enumerate().filter(|(at, _)| !gone.contains(at)).map(|(_, pair)| pair)
    }

    /// What is left of the stream's labels.
    pub(crate) fn stream(&self) -> impl Iterator<Item = (&str, &str)> {
        Self::left(self.stream, &self.scratch.stream_gone)
    }

    /// What is left of the metadata.
    pub(crate) fn metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        Self::left(self.metadata, &self.scratch.metadata_gone)
    }

    /// What stages made, with the error labels; in no order.
    pub(crate) fn parsed(&self) -> impl Iterator<Item = (&str, &str)> {
        let scratch = &*self.scratch;
        let details = (!scratch.details.is_empty()).then_some((ERROR_DETAILS, scratch.details.as_str()));
        scratch
            .parsed
            .iter()
            .filter(|s| !s.is_gone)
            .map(|s| (&scratch.text[s.name.0..s.name.1], &scratch.text[s.value.0..s.value.1]))
            .chain(scratch.error.map(|e| (ERROR, e)))
            .chain(details)
    }

    /// Every label; in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.stream().chain(self.metadata()).chain(self.parsed())
    }

    /// A frozen copy.
    pub(crate) fn to_entry_labels(&self) -> EntryLabels {
        let mut parsed: Vec<(String, String)> =
            self.parsed().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        parsed.sort_unstable();
        EntryLabels {
            stream: Labels::from_pairs(self.stream()),
            metadata: Labels::from_pairs(self.metadata()),
            parsed,
        }
    }
}

fn mark(gone: &mut Vec<usize>, at: usize) {
    if !gone.contains(&at) {
        gone.push(at);
    }
}

/// A hash of a set of labels that does not depend on their order.
pub(crate) fn hash_labels<'l>(labels: impl Iterator<Item = (&'l str, &'l str)>) -> u64 {
    labels.fold(0, |hash, (name, value)| hash.wrapping_add(hash_label(name, value)))
}

fn hash_label(name: &str, value: &str) -> u64 {
    use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};
    xxh3_64_with_seed(value.as_bytes(), xxh3_64(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shadowing_and_removal() {
        let stream = Labels::from_pairs([("app", "a"), ("env", "dev")]);
        let metadata = Labels::from_pairs([("env", "x"), ("trace", "t")]);
        let visible = visible_metadata(&stream, &metadata).unwrap();
        assert_eq!(visible.to_string(), r#"{env_extracted="x", trace="t"}"#);
        let mut scratch = Scratch::default();
        let mut set = LabelSet::new(&stream, &visible, &mut scratch);
        assert_eq!(set.parsed_name("trace".into()), "trace_extracted");
        set.remove("trace");
        assert_eq!(set.parsed_name("trace".into()), "trace");
        set.remove("app");
        assert_eq!(set.parsed_name("app".into()), "app_extracted");
        set.set("env", "");
        assert_eq!(set.get("env"), Some(""));
        let labels = set.to_entry_labels();
        assert_eq!(labels.stream.to_string(), "{}");
        assert_eq!(labels.parsed, [("env".to_owned(), String::new())]);
    }

    #[test]
    fn many_labels_are_found() {
        let (stream, metadata) = (Labels::empty(), Labels::empty());
        let mut scratch = Scratch::default();
        let mut set = LabelSet::new(&stream, &metadata, &mut scratch);
        for round in 0..2 {
            for n in 0..200 {
                set.set(&format!("l{n}"), &format!("{round}.{n}"));
            }
        }
        assert_eq!(set.get("l0"), Some("1.0"));
        assert_eq!(set.get("l199"), Some("1.199"));
        assert_eq!(set.parsed().count(), 200);
    }
}
