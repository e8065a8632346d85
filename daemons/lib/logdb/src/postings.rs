//! Which streams have which label: label pair → set of streams, and selectors resolved through it.

use std::collections::BTreeMap;

use cairn_model::{Labels, MatchOp, Matcher};
use roaring::RoaringBitmap;

/// The label index of one tenant. Streams are numbered densely by their slot.
#[derive(Debug, Default)]
pub(crate) struct Postings {
    all: RoaringBitmap,
    /// name → value → streams.
    names: BTreeMap<Box<str>, BTreeMap<Box<str>, RoaringBitmap>>,
}

impl Postings {
    pub(crate) fn insert(&mut self, slot: u32, labels: &Labels) {
        self.all.insert(slot);
        for (name, value) in labels.iter() {
            if !self.names.contains_key(name) {
                self.names.insert(name.into(), BTreeMap::new());
            }
            let Some(values) = self.names.get_mut(name) else { continue };
            match values.get_mut(value) {
                Some(streams) => {
                    streams.insert(slot);
                }
                None => {
                    values.insert(value.into(), RoaringBitmap::from([slot]));
                }
            }
        }
    }

    pub(crate) fn remove(&mut self, slot: u32, labels: &Labels) {
        self.all.remove(slot);
        for (name, value) in labels.iter() {
            let Some(values) = self.names.get_mut(name) else { continue };
            if let Some(streams) = values.get_mut(value) {
                streams.remove(slot);
                if streams.is_empty() {
                    values.remove(value);
                }
            }
            if values.is_empty() {
                self.names.remove(name);
            }
        }
    }

    /// The streams that pass all matchers; all streams when there is none.
    pub(crate) fn resolve(&self, matchers: &[Matcher]) -> RoaringBitmap {
        let mut found: Option<RoaringBitmap> = None;
        // Positive matchers first: they name few streams. What a matcher that accepts the empty value rejects is
        // taken away afterwards, since streams without the label are in no posting list.
        for matcher in matchers.iter().filter(|matcher| !matcher.matches_empty()) {
            let streams = self.with_value(matcher, true);
            let joined = match found {
                None => streams,
                Some(found) => found & streams,
            };
            if joined.is_empty() {
                return joined;
            }
            found = Some(joined);
        }
        let mut found = found.unwrap_or_else(|| self.all.clone());
        for matcher in matchers.iter().filter(|matcher| matcher.matches_empty()) {
            found -= self.with_value(matcher, false);
        }
        found
    }

    /// Streams that have the label, with a value that the matcher passes (or does not pass).
    fn with_value(&self, matcher: &Matcher, passes: bool) -> RoaringBitmap {
        let Some(values) = self.names.get(matcher.name()) else { return RoaringBitmap::new() };
        let one_value = match matcher.op() {
            MatchOp::Equal => passes,
            MatchOp::NotEqual => !passes,
            MatchOp::Regex | MatchOp::NotRegex => false,
        };
        if one_value && !matcher.value().is_empty() {
            return values.get(matcher.value()).cloned().unwrap_or_default();
        }
        let mut union = RoaringBitmap::new();
        for (value, streams) in values {
            if matcher.matches(value) == passes {
                union |= streams;
            }
        }
        union
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels() -> impl Strategy<Value = Labels> {
        proptest::collection::vec(("[a-c]", "[xy]{0,2}"), 0..4).prop_map(Labels::from_pairs)
    }

    fn matcher() -> impl Strategy<Value = Matcher> {
        let op = prop_oneof![
            Just((MatchOp::Equal, false)),
            Just((MatchOp::NotEqual, false)),
            Just((MatchOp::Regex, true)),
            Just((MatchOp::NotRegex, true)),
        ];
        ("[a-d]", op, "[xy]{0,2}", proptest::sample::select(vec!["x", "y", "x?", ".+", ".*", "x.*", ""]))
            .prop_map(|(name, (op, is_regex), text, pattern)| {
                Matcher::new(name, op, if is_regex { pattern.to_owned() } else { text }).unwrap()
            })
    }

    proptest! {
        #[test]
        fn as_if_every_stream_were_tested(
            streams in proptest::collection::vec(labels(), 0..12),
            removed in proptest::collection::vec(any::<bool>(), 12),
            matchers in proptest::collection::vec(matcher(), 0..4),
        ) {
            let mut postings = Postings::default();
            for (slot, labels) in (0u32..).zip(&streams) {
                postings.insert(slot, labels);
            }
            for ((slot, labels), _) in (0u32..).zip(&streams).zip(&removed).filter(|(_, removed)| **removed) {
                postings.remove(slot, labels);
            }
            let want: Vec<u32> = (0u32..)
                .zip(&streams)
                .filter(|(slot, labels)| {
                    !removed[*slot as usize] && matchers.iter().all(|matcher| matcher.matches_labels(labels))
                })
                .map(|(slot, _)| slot)
                .collect();
            prop_assert_eq!(postings.resolve(&matchers).into_iter().collect::<Vec<u32>>(), want);
        }
    }
}
