//! Classic histograms as native ones with custom buckets: what `load_with_nhcb` adds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cairn_model::float_histogram::IndexedCount;
use cairn_model::histogram::{CUSTOM_BUCKETS_SCHEMA, ResetHint};
use cairn_model::number::parse_float;
use cairn_model::{FloatHistogram, Labels};

use crate::memory::{Samples, Stored, StoredValue};

/// The parts of one classic histogram.
#[derive(Default)]
struct Parts<'s> {
    /// By upper bound.
    buckets: Vec<(f64, &'s Samples)>,
    count: Option<&'s Samples>,
    sum: Option<&'s Samples>,
}

/// The native histograms for the classic ones in a batch of series.
pub(crate) fn convert(batch: &BTreeMap<Labels, Samples>) -> Vec<(Labels, Samples)> {
    let mut all: BTreeMap<Labels, Parts<'_>> = BTreeMap::new();
    for (labels, samples) in batch {
        let name = labels.value("__name__");
        let renamed = |name: &str| {
            let mut builder = labels.to_builder();
            builder.set("__name__", name);
            builder.set("le", "");
            builder.build()
        };
        let bound = parse_float(labels.value("le"));
        if let (Some(name), Some(bound)) = (name.strip_suffix("_bucket"), bound) {
            all.entry(renamed(name)).or_default().buckets.push((bound, samples));
        } else if let Some(name) = name.strip_suffix("_count") {
            all.entry(renamed(name)).or_default().count = Some(samples);
        } else if let Some(name) = name.strip_suffix("_sum") {
            all.entry(renamed(name)).or_default().sum = Some(samples);
        }
    }
    all.into_iter()
        .filter(|(_, parts)| !parts.buckets.is_empty())
        .map(|(labels, mut parts)| {
            parts.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            let times: BTreeSet<i64> = parts
                .buckets
                .iter()
                .map(|(_, samples)| *samples)
                .chain(parts.count)
                .chain(parts.sum)
                .flat_map(|samples| samples.keys().copied())
                .collect();
            let samples = times.into_iter().filter_map(|time| {
                let histogram = Arc::new(at(&parts, time)?);
                Some((time, Stored::without_start(StoredValue::Histogram(histogram))))
            });
            (labels, samples.collect())
        })
        .collect()
}

fn at(parts: &Parts<'_>, time: i64) -> Option<FloatHistogram> {
    let value = |samples: &Samples| match samples.get(&time)?.value {
        StoredValue::Float(value) => Some(value),
        StoredValue::Histogram(_) => None,
    };
    let mut cumulative: Vec<(f64, f64)> =
        parts.buckets.iter().filter_map(|(bound, samples)| Some((*bound, value(samples)?))).collect();
    // One bound may be written in several ways: the first one counts.
    cumulative.dedup_by_key(|(bound, _)| *bound);
    let in_all = cumulative.last().map(|(_, count)| *count);
    let count = parts.count.and_then(value).or(in_all)?;
    let finite: Vec<(f64, f64)> = cumulative.into_iter().filter(|(bound, _)| bound.is_finite()).collect();
    let mut below = 0.0;
    let mut positive = Vec::new();
    let counts = finite.iter().map(|(_, count)| *count).chain([count]);
    for (index, until) in (0..).zip(counts) {
        if until < below {
            return None;
        }
        positive.push(IndexedCount { index, count: until - below });
        below = until;
    }
    Some(
        FloatHistogram {
            reset_hint: ResetHint::Unknown,
            schema: CUSTOM_BUCKETS_SCHEMA,
            zero_threshold: 0.0,
            zero_count: 0.0,
            count,
            sum: parts.sum.and_then(value).unwrap_or(0.0),
            positive,
            negative: Vec::new(),
            custom_bounds: finite.iter().map(|(bound, _)| *bound).collect(),
        }
        .compacted(),
    )
}
