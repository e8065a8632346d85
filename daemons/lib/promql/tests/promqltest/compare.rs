//! Compares what came out with what a script expects.

use std::collections::BTreeMap;

use cairn_model::float_histogram::IndexedCount;
use cairn_model::{FloatHistogram, Labels};
use cairn_promql::source::is_stale;
use cairn_promql::{MatrixSeries, Sample, VectorSample};

use crate::histogram_notation::{self, Written};
use crate::notation::{self, Slot};

/// Equal within a millionth; NaN equals NaN.
fn is_close(a: f64, b: f64) -> bool {
    const EPSILON: f64 = 1e-6;
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    if a.is_nan() || b.is_nan() {
        return false;
    }
    let sum = a.abs() + b.abs();
    let difference = (a - b).abs();
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < EPSILON * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < EPSILON
}

pub(crate) fn scalar(lines: &[String], got: f64) -> Result<(), String> {
    let [line] = lines else { return Err(format!("got the scalar {got}")) };
    let hex = line.strip_prefix("0x").and_then(|digits| i32::from_str_radix(digits, 16).ok()).map(f64::from);
    let want = hex
        .or_else(|| cairn_model::number::parse_float(line))
        .ok_or(format!("got the scalar {got}, want {line}"))?;
    if is_close(got, want) { Ok(()) } else { Err(format!("got {got}, want {want}")) }
}

/// Why a sample is not the one that a script expects.
fn difference(got: &Sample, want: &Slot) -> Option<String> {
    match (got, want) {
        (Sample::Float(got), Slot::Value(want)) if is_close(*got, *want) => None,
        (Sample::Histogram(got), Slot::Histogram(want)) if is_close_histogram(got, want) => None,
        _ => Some(format!("got {}, want {}", print(got), print_slot(want))),
    }
}

fn is_close_histogram(got: &FloatHistogram, written: &Written) -> bool {
    let (got, want) = (got.clone().compacted(), FloatHistogram::clone(&written.histogram).compacted());
    let is_close_side = |got: &[IndexedCount], want: &[IndexedCount]| {
        got.len() == want.len()
            && got.iter().zip(want).all(|(a, b)| a.index == b.index && is_close(a.count, b.count))
    };
    got.schema == want.schema
        && got.zero_threshold == want.zero_threshold
        && got.custom_bounds == want.custom_bounds
        && is_close(got.count, want.count)
        && is_close(got.sum, want.sum)
        && is_close(got.zero_count, want.zero_count)
        && is_close_side(&got.positive, &want.positive)
        && is_close_side(&got.negative, &want.negative)
        && (!written.has_hint || got.reset_hint == want.reset_hint)
}

fn print(sample: &Sample) -> String {
    match sample {
        Sample::Float(value) => value.to_string(),
        Sample::Histogram(histogram) => histogram_notation::print(histogram),
    }
}

fn print_slot(slot: &Slot) -> String {
    match slot {
        Slot::Empty => "_".to_owned(),
        Slot::Value(value) => value.to_string(),
        Slot::Histogram(written) => histogram_notation::print(&written.histogram),
    }
}

pub(crate) fn vector(lines: &[String], ordered: bool, got: &[VectorSample]) -> Result<(), String> {
    let mut wanted: Vec<(Labels, Slot)> = Vec::new();
    for line in lines {
        let (labels, slots) = notation::series(line);
        let Ok([slot]) = <[Slot; 1]>::try_from(slots) else { return Err(format!("not one value: {line}")) };
        wanted.push((labels, slot));
    }
    let show =
        || got.iter().map(|s| format!("{} {}", s.labels, print(&s.value))).collect::<Vec<_>>().join("; ");
    if got.len() != wanted.len() {
        return Err(format!("got {} elements, want {}: {}", got.len(), wanted.len(), show()));
    }
    for (index, sample) in got.iter().enumerate() {
        let found = if ordered {
            wanted.get(index).filter(|(labels, _)| *labels == *sample.labels)
        } else {
            wanted.iter().find(|(labels, _)| *labels == *sample.labels)
        };
        let Some((_, want)) = found else { return Err(format!("unexpected {}: {}", sample.labels, show())) };
        if let Some(difference) = difference(&sample.value, want) {
            return Err(format!("{}: {difference}", sample.labels));
        }
    }
    Ok(())
}

/// The samples of a series by time.
pub(crate) fn samples(series: &MatrixSeries) -> BTreeMap<i64, Sample> {
    let floats = series.points.iter().map(|point| (point.time.0, Sample::Float(point.value)));
    let histograms =
        series.histograms.iter().map(|one| (one.time.0, Sample::Histogram(one.histogram.clone())));
    floats.chain(histograms).collect()
}

/// Points at `start`, `start + step` and so on.
pub(crate) fn matrix(lines: &[String], start: i64, step: i64, got: &[MatrixSeries]) -> Result<(), String> {
    if !got.windows(2).all(|pair| pair[0].labels < pair[1].labels) {
        return Err("not sorted by labels".to_owned());
    }
    let mut wanted: BTreeMap<Labels, BTreeMap<i64, Slot>> = BTreeMap::new();
    for line in lines {
        let (labels, slots) = notation::series(line);
        let time = |index: usize| start + step * i64::try_from(index).unwrap();
        let slots = slots.into_iter().enumerate().filter(|(_, slot)| !matches!(slot, Slot::Empty));
        let points: BTreeMap<i64, Slot> = slots.map(|(index, slot)| (time(index), slot)).collect();
        if !points.is_empty() {
            wanted.insert(labels, points);
        }
    }
    for series in got {
        let want = wanted.remove(&series.labels).ok_or_else(|| format!("unexpected {}", series.labels))?;
        let got = samples(series);
        let (times, wanted_times): (Vec<_>, Vec<_>) = (got.keys().collect(), want.keys().collect());
        if times != wanted_times {
            return Err(format!("{}: got {got:?}, want {want:?}", series.labels));
        }
        for (time, sample) in &got {
            if let Some(difference) = difference(sample, &want[time]) {
                return Err(format!("{} at {time} ms: {difference}", series.labels));
            }
        }
    }
    match wanted.keys().next() {
        Some(labels) => Err(format!("missing {labels}")),
        None => Ok(()),
    }
}
