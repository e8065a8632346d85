//! Joining what blocks and head hold of one series: ascending by time, each time once, the value that was written first.

use std::sync::Arc;

use cairn_promql::source::{HistogramPoint, SeriesData};
use rayon::slice::ParallelSliceMut as _;

use crate::chunk::{self, Chunk};
use crate::codec::Malformed;

/// What one place holds of a series.
#[derive(Debug)]
pub(super) struct Part {
    data: SeriesData,
    /// First and last time; `None` when it is empty or does not ascend.
    span: Option<(i64, i64)>,
}

impl Part {
    /// Looks at its times: whoever decodes parts on all cores has this done there as well.
    pub(super) fn new(data: SeriesData) -> Self {
        let span = span(&data);
        Self { data, span }
    }

    /// The series, when there is no other part of it.
    pub(super) fn alone(self) -> SeriesData {
        if self.span.is_some() { self.data } else { interleave(&[self.data]) }
    }
}

/// Joins the parts of each series. Parts of one series come in the order in which they were written: of two values at
/// one time the earlier part's stays. The answer ascends by labels, each series once.
///
/// Parts that follow each other in time, as nearly all do, are only put behind each other.
pub(super) fn join(mut parts: Vec<Part>) -> Vec<SeriesData> {
    // Being stable it keeps the order of writing.
    parts.par_sort_by(|a, b| a.data.labels.cmp(&b.data.labels));
    let mut joined: Vec<SeriesData> = Vec::with_capacity(parts.len());
    let mut rest = parts.into_iter().peekable();
    while let Some(first) = rest.next() {
        if rest.peek().is_none_or(|next| next.data.labels != first.data.labels) {
            joined.push(first.alone());
            continue;
        }
        let mut group = vec![first];
        while let Some(next) = rest.next_if(|part| part.data.labels == group[0].data.labels) {
            group.push(next);
        }
        joined.push(join_parts(group));
    }
    joined
}

fn span(part: &SeriesData) -> Option<(i64, i64)> {
    let ascends =
        part.times.is_sorted_by(|a, b| a < b) && part.histograms.is_sorted_by(|a, b| a.time < b.time);
    let first = part
        .times
        .first()
        .copied()
        .into_iter()
        .chain(part.histograms.first().map(|point| point.time))
        .min()?;
    let last =
        part.times.last().copied().into_iter().chain(part.histograms.last().map(|point| point.time)).max()?;
    ascends.then_some((first, last))
}

/// Joins the parts of one series, of which there is at least one.
pub(super) fn join_group(group: Vec<SeriesData>) -> SeriesData {
    join_parts(group.into_iter().map(Part::new).collect())
}

/// As [`join_group`].
pub(super) fn join_parts(mut group: Vec<Part>) -> SeriesData {
    let mut spans: Vec<(usize, Option<(i64, i64)>)> =
        group.iter().map(|part| part.span).enumerate().collect();
    spans.sort_by_key(|(_, span)| *span);
    let ascends = spans.iter().all(|(_, span)| span.is_some());
    let follows = spans.windows(2).all(|pair| match (pair[0].1, pair[1].1) {
        (Some((_, last)), Some((first, _))) => last < first,
        _ => false,
    });
    if !ascends || !follows {
        let group: Vec<SeriesData> = group.into_iter().map(|part| part.data).collect();
        return interleave(&group);
    }
    let mut joined = std::mem::take(&mut group[spans[0].0].data);
    for &(at, _) in &spans[1..] {
        append(&mut joined, std::mem::take(&mut group[at].data));
    }
    joined
}

/// Encodes chunks of one series anew, ascending and apart: of two samples at one time that of the chunk that comes first.
///
/// # Errors
/// [`Malformed`] when one of them is no chunk.
pub(super) fn join_chunks(chunks: &[Chunk]) -> Result<Vec<Chunk>, Malformed> {
    let mut parts = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let mut part = SeriesData::default();
        chunk.decode_range(i64::MIN, i64::MAX, &mut part)?;
        parts.push(part);
    }
    Ok(chunk::encode(&join_group(parts)))
}

/// Puts `more` behind `series`.
fn append(series: &mut SeriesData, more: SeriesData) {
    if !series.starts.is_empty() || !more.starts.is_empty() {
        series.starts.resize(series.times.len(), 0);
        series.starts.extend_from_slice(&more.starts);
        series.starts.resize(series.times.len() + more.times.len(), 0);
    }
    series.has_no_markers &= more.has_no_markers || more.times.is_empty();
    series.times.extend(more.times);
    series.values.extend(more.values);
    series.histograms.extend(more.histograms);
}

#[derive(Clone, Copy)]
enum Place {
    Float { part: usize, at: usize },
    Histogram { part: usize, at: usize },
}

fn interleave(group: &[SeriesData]) -> SeriesData {
    let mut places: Vec<(i64, Place)> = Vec::new();
    for (part, data) in group.iter().enumerate() {
        places.extend(data.times.iter().enumerate().map(|(at, &time)| (time, Place::Float { part, at })));
        let histograms = data.histograms.iter().enumerate();
        places.extend(histograms.map(|(at, point)| (point.time, Place::Histogram { part, at })));
    }
    // Stable: at one time the part that was written first is first.
    places.sort_by_key(|(time, _)| *time);
    places.dedup_by_key(|(time, _)| *time);
    let has_starts = group.iter().any(|part| !part.starts.is_empty());
    let mut joined = SeriesData { labels: Arc::clone(&group[0].labels), ..SeriesData::default() };
    for (time, place) in places {
        match place {
            Place::Float { part, at } => {
                joined.times.push(time);
                joined.values.push(group[part].values[at]);
                if has_starts {
                    joined.starts.push(group[part].starts.get(at).copied().unwrap_or(0));
                }
            }
            Place::Histogram { part, at } => {
                let HistogramPoint { time, start, histogram } = &group[part].histograms[at];
                let histogram = Arc::clone(histogram);
                joined.histograms.push(HistogramPoint { time: *time, start: *start, histogram });
            }
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use cairn_model::Labels;
    use cairn_model::histogram::{Buckets, Counts, Histogram, ResetHint};
    use proptest::prelude::*;

    use super::*;

    /// What a part holds at a time: a float with its start, or a histogram with its start.
    type Model = BTreeMap<i64, (Option<f64>, i64)>;

    fn no_observations() -> Histogram {
        Histogram {
            reset_hint: ResetHint::Unknown,
            schema: 0,
            zero_threshold: 0.0,
            sum: 0.0,
            positive_spans: Vec::new(),
            negative_spans: Vec::new(),
            custom_bounds: Arc::from([]),
            counts: Counts::Int(Buckets::default()),
        }
    }

    fn part(labels: &Arc<Labels>, samples: &Model, has_starts: bool) -> SeriesData {
        let mut part = SeriesData { labels: Arc::clone(labels), ..SeriesData::default() };
        for (&time, &(value, start)) in samples {
            match value {
                Some(value) => {
                    part.times.push(time);
                    part.values.push(value);
                    if has_starts {
                        part.starts.push(start);
                    }
                }
                None => {
                    let histogram = Arc::new(no_observations());
                    part.histograms.push(HistogramPoint { time, start, histogram });
                }
            }
        }
        part
    }

    fn model(part: &SeriesData) -> Model {
        assert!(part.starts.is_empty() || part.starts.len() == part.times.len());
        assert!(part.times.is_sorted_by(|a, b| a < b));
        let floats = part.times.iter().zip(&part.values).enumerate();
        let floats = floats
            .map(|(at, (&time, &value))| (time, (Some(value), part.starts.get(at).copied().unwrap_or(0))));
        let histograms = part.histograms.iter().map(|point| (point.time, (None, point.start)));
        let model: Model = floats.chain(histograms).collect();
        assert_eq!(model.len(), part.times.len() + part.histograms.len(), "each time once");
        model
    }

    fn samples() -> impl Strategy<Value = Model> {
        let sample = (prop::option::weighted(0.8, -5i8..5), 0i64..3);
        (-50i64..50, prop::collection::btree_map(0i64..30, sample, 1..12)).prop_map(|(offset, samples)| {
            let shifted = samples.into_iter();
            shifted.map(|(time, (value, start))| (time + offset, (value.map(f64::from), start))).collect()
        })
    }

    proptest! {
        #[test]
        fn as_putting_into_a_map_where_nothing_replaces(
            parts in prop::collection::vec((0usize..3, samples(), any::<bool>()), 0..8),
        ) {
            let names: Vec<Arc<Labels>> =
                ["a", "b", "c"].map(|name| Arc::new(Labels::from_pairs([("n", name)]))).into();
            let mut want: BTreeMap<Arc<Labels>, Model> = BTreeMap::new();
            for (name, samples, has_starts) in &parts {
                let series = want.entry(Arc::clone(&names[*name])).or_default();
                for (&time, &(value, start)) in samples {
                    let start = if *has_starts || value.is_none() { start } else { 0 };
                    series.entry(time).or_insert((value, start));
                }
            }
            let parts = parts.iter().map(|(name, samples, has_starts)| part(&names[*name], samples, *has_starts));
            let joined = join(parts.map(Part::new).collect());
            prop_assert!(joined.is_sorted_by(|a, b| a.labels < b.labels));
            let found: BTreeMap<_, _> =
                joined.iter().map(|series| (Arc::clone(&series.labels), model(series))).collect();
            prop_assert_eq!(found, want);
        }
    }
}
