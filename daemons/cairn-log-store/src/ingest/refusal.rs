//! What was left out of a push: texts for the client, numbers for the counters.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Different texts kept for one answer; the rest is counted only.
const MAX_TEXTS: usize = 100;

/// Why an entry was refused. The names are those of Loki's metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// No label and none discovered.
    MissingLabels,
    /// Too many labels.
    MaxLabelNamesPerSeries,
    /// A label's name is too long.
    LabelNameTooLong,
    /// A label's value is too long.
    LabelValueTooLong,
    /// A label stands twice.
    DuplicateLabelNames,
    /// The entry is too old.
    GreaterThanMaxSampleAge,
    /// The entry lies ahead of the clock.
    TooFarInFuture,
    /// The line is too long.
    LineTooLong,
    /// Metadata while it is switched off.
    DisallowedStructuredMetadata,
    /// Too many bytes of metadata.
    StructuredMetadataTooLarge,
    /// Too many metadata pairs.
    StructuredMetadataTooMany,
    /// A metadata name of which nothing can be made.
    InvalidStructuredMetadata,
    /// The tenant pushes too fast.
    RateLimited,
    /// The tenant has too many streams.
    StreamLimit,
}

impl Reason {
    /// The value of the metric's label `reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingLabels => "missing_labels",
            Self::MaxLabelNamesPerSeries => "max_label_names_per_series",
            Self::LabelNameTooLong => "label_name_too_long",
            Self::LabelValueTooLong => "label_value_too_long",
            Self::DuplicateLabelNames => "duplicate_label_names",
            Self::GreaterThanMaxSampleAge => "greater_than_max_sample_age",
            Self::TooFarInFuture => "too_far_in_future",
            Self::LineTooLong => "line_too_long",
            Self::DisallowedStructuredMetadata => "disallowed_structured_metadata",
            Self::StructuredMetadataTooLarge => "structured_metadata_too_large",
            Self::StructuredMetadataTooMany => "structured_metadata_too_many",
            Self::InvalidStructuredMetadata => "invalid_structured_metadata",
            Self::RateLimited => "rate_limited",
            Self::StreamLimit => "stream_limit",
        }
    }

    /// Whether waiting helps, so that agents should send the entries again.
    pub fn is_temporary(self) -> bool {
        matches!(self, Self::RateLimited | Self::StreamLimit)
    }
}

/// Entries and bytes refused for one reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Discarded {
    /// Entries.
    pub entries: u64,
    /// Bytes of their lines.
    pub bytes: u64,
}

/// Everything that one push was refused.
#[derive(Clone, Debug, Default)]
pub struct Refusals {
    texts: Vec<(String, u64)>,
    untold: u64,
    by_reason: BTreeMap<Reason, Discarded>,
}

impl Refusals {
    /// Adds one refusal that concerns `entries` entries.
    pub fn add(&mut self, reason: Reason, text: String, entries: usize, bytes: usize) {
        let count = self.by_reason.entry(reason).or_default();
        count.entries += entries as u64;
        count.bytes += bytes as u64;
        if let Some((_, n)) = self.texts.iter_mut().find(|(known, _)| *known == text) {
            *n += 1;
        } else if self.texts.len() < MAX_TEXTS {
            self.texts.push((text, 1));
        } else {
            self.untold += 1;
        }
    }

    /// Whether nothing was refused.
    pub fn is_empty(&self) -> bool {
        self.by_reason.is_empty()
    }

    /// Whether every refusal is one that waiting heals.
    pub fn is_temporary(&self) -> bool {
        self.by_reason.keys().all(|reason| reason.is_temporary())
    }

    /// How much was refused, by reason.
    pub fn by_reason(&self) -> impl Iterator<Item = (Reason, Discarded)> {
        self.by_reason.iter().map(|(reason, count)| (*reason, *count))
    }

    /// The text for the client: the one refusal as it is, several as `1 errors like: A; 30 errors like: B`.
    pub fn text(&self) -> String {
        if let [(text, 1)] = self.texts.as_slice()
            && self.untold == 0
        {
            return text.clone();
        }
        let mut out = String::new();
        for (index, (text, n)) in self.texts.iter().enumerate() {
            let separator = if index > 0 { "; " } else { "" };
            let _ = write!(out, "{separator}{n} errors like: {text}");
        }
        if self.untold > 0 {
            let _ = write!(out, "; {} further errors", self.untold);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_refusal_is_plain_and_equal_ones_are_counted() {
        let mut refusals = Refusals::default();
        refusals.add(Reason::LineTooLong, "A".into(), 1, 10);
        assert_eq!(refusals.text(), "A");
        refusals.add(Reason::TooFarInFuture, "B".into(), 1, 1);
        refusals.add(Reason::TooFarInFuture, "B".into(), 1, 1);
        assert_eq!(refusals.text(), "1 errors like: A; 2 errors like: B");
        assert!(!refusals.is_temporary());
        let discarded: Vec<_> = refusals.by_reason().map(|(r, d)| (r.as_str(), d.entries, d.bytes)).collect();
        assert_eq!(discarded, [("too_far_in_future", 2, 2), ("line_too_long", 1, 10)]);
    }

    #[test]
    fn the_text_is_bounded() {
        let mut refusals = Refusals::default();
        for n in 0..1000 {
            refusals.add(Reason::LineTooLong, n.to_string(), 1, 1);
        }
        assert!(refusals.text().ends_with("; 900 further errors"));
    }
}
