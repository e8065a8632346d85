//! Compares what came out with what a script expects.

use std::collections::BTreeMap;

use cairn_model::Labels;
use cairn_promql::{MatrixSeries, VectorSample};

use crate::notation::{self, Slot};

/// Equal within a millionth; NaN equals NaN.
fn is_close(a: f64, b: f64) -> bool {
    const EPSILON: f64 = 1e-6;
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

pub(crate) fn vector(lines: &[String], ordered: bool, got: &[VectorSample]) -> Result<(), String> {
    let mut wanted: Vec<(Labels, Slot)> = Vec::new();
    for line in lines {
        let (labels, slots) = notation::series(line).ok_or("start timestamps")?;
        let [slot] = slots[..] else { return Err(format!("not one value: {line}")) };
        wanted.push((labels, slot));
    }
    let show =
        || got.iter().map(|s| format!("{} {}", s.labels, s.point.value)).collect::<Vec<_>>().join("; ");
    if got.len() != wanted.len() {
        return Err(format!("got {} elements, want {}: {}", got.len(), wanted.len(), show()));
    }
    for (index, sample) in got.iter().enumerate() {
        let found = if ordered {
            wanted.get(index).filter(|(labels, _)| *labels == *sample.labels)
        } else {
            wanted.iter().find(|(labels, _)| *labels == *sample.labels)
        };
        match found {
            Some((_, Slot::Value(want))) if is_close(sample.point.value, *want) => {}
            Some((_, want)) => {
                return Err(format!("{}: got {}, want {want:?}", sample.labels, sample.point.value));
            }
            None => return Err(format!("unexpected {}: {}", sample.labels, show())),
        }
    }
    Ok(())
}

/// Points at `start`, `start + step` and so on.
pub(crate) fn matrix(lines: &[String], start: i64, step: i64, got: &[MatrixSeries]) -> Result<(), String> {
    if !got.windows(2).all(|pair| pair[0].labels < pair[1].labels) {
        return Err("not sorted by labels".to_owned());
    }
    let mut wanted: BTreeMap<Labels, Vec<(i64, f64)>> = BTreeMap::new();
    for line in lines {
        let (labels, slots) = notation::series(line).ok_or("start timestamps")?;
        let mut points = Vec::new();
        for (index, slot) in slots.iter().enumerate() {
            match slot {
                Slot::Empty => {}
                Slot::Value(value) => points.push((start + step * i64::try_from(index).unwrap(), *value)),
                Slot::Histogram => return Err(format!("want a histogram: {line}")),
            }
        }
        if !points.is_empty() {
            wanted.insert(labels, points);
        }
    }
    for series in got {
        let want = wanted.remove(&series.labels).ok_or_else(|| format!("unexpected {}", series.labels))?;
        let points: Vec<(i64, f64)> = series.points.iter().map(|p| (p.time.0, p.value)).collect();
        let is_equal = points.len() == want.len()
            && points.iter().zip(&want).all(|(got, want)| got.0 == want.0 && is_close(got.1, want.1));
        if !is_equal {
            return Err(format!("{}: got {points:?}, want {want:?}", series.labels));
        }
    }
    match wanted.keys().next() {
        Some(labels) => Err(format!("missing {labels}")),
        None => Ok(()),
    }
}
