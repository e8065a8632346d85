//! Aggregations over the series of each instant: `sum by (a) (...)`, `topk`, `sort` and the others.

use std::collections::BTreeMap;

use cairn_model::Labels;

use crate::ast::{Grouping, VectorAgg, VectorOp};
use crate::engine_metric::EvalSeries;

/// The labels of the group that a series belongs to.
fn group_labels(labels: &Labels, grouping: Option<&Grouping>) -> Labels {
    match grouping {
        None => Labels::empty(),
        Some(Grouping { without: false, labels: names }) => {
            Labels::from_pairs(names.iter().map(|name| (name.as_str(), labels.value(name))))
        }
        Some(Grouping { without: true, labels: names }) => {
            Labels::from_pairs(labels.iter().filter(|(name, _)| !names.iter().any(|n| n == name)))
        }
    }
}

/// Running result of one group at one step.
#[derive(Clone, Copy)]
struct Running {
    count: f64,
    sum: f64,
    mean: f64,
    squares: f64,
    min: f64,
    max: f64,
}

impl Running {
    const NONE: Self = Self { count: 0.0, sum: 0.0, mean: 0.0, squares: 0.0, min: f64::NAN, max: f64::NAN };

    fn add(&mut self, value: f64) {
        self.count += 1.0;
        self.sum += value;
        // Welford, "Note on a method for calculating corrected sums of squares and products", 1962.
        let distance = value - self.mean;
        self.mean += distance / self.count;
        self.squares += distance * (value - self.mean);
        if self.min.is_nan() || value < self.min {
            self.min = value;
        }
        if self.max.is_nan() || value > self.max {
            self.max = value;
        }
    }

    fn result(&self, op: VectorOp) -> f64 {
        match op {
            VectorOp::Avg => self.sum / self.count,
            VectorOp::Min => self.min,
            VectorOp::Max => self.max,
            VectorOp::Count => self.count,
            VectorOp::Stdvar => self.squares / self.count,
            VectorOp::Stddev => (self.squares / self.count).sqrt(),
            VectorOp::Sum
            | VectorOp::Topk
            | VectorOp::Bottomk
            | VectorOp::ApproxTopk
            | VectorOp::Sort
            | VectorOp::SortDesc => self.sum,
        }
    }
}

/// Aggregates `series`, whose points lie on `steps` steps.
pub(crate) fn evaluate(agg: &VectorAgg, series: Vec<EvalSeries>, steps: u32) -> Vec<EvalSeries> {
    if matches!(agg.op, VectorOp::Sort | VectorOp::SortDesc) {
        return sort(agg.op, series);
    }
    let mut groups: BTreeMap<Labels, Vec<EvalSeries>> = BTreeMap::new();
    for one in series {
        groups.entry(group_labels(&one.labels, agg.grouping.as_ref())).or_default().push(one);
    }
    if agg.op.takes_count() {
        return groups.into_values().flat_map(|group| top(agg, group)).collect();
    }
    let mut running = vec![Running::NONE; steps as usize];
    let aggregate = |(labels, group): (Labels, Vec<EvalSeries>)| {
        running.fill(Running::NONE);
        for (step, value) in group.iter().flat_map(|s| &s.points) {
            running[*step as usize].add(*value);
        }
        let present = running.iter().zip(0u32..).filter(|(r, _)| r.count > 0.0);
        EvalSeries { labels, points: present.map(|(r, step)| (step, r.result(agg.op))).collect() }
    };
    groups.into_iter().map(aggregate).collect()
}

/// Smaller first, NaN last.
fn compare(a: f64, b: f64) -> std::cmp::Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Larger first, NaN last.
fn compare_descending(a: f64, b: f64) -> std::cmp::Ordering {
    b.partial_cmp(&a).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// `sort` orders an instant's series by value; over a range there is nothing to order by.
fn sort(op: VectorOp, mut series: Vec<EvalSeries>) -> Vec<EvalSeries> {
    let value = |s: &EvalSeries| s.points.first().map_or(f64::NAN, |p| p.1);
    series.sort_by(|a, b| {
        let (left, right) = (value(a), value(b));
        let by_value =
            if op == VectorOp::Sort { compare(left, right) } else { compare_descending(left, right) };
        by_value.then_with(|| a.labels.cmp(&b.labels))
    });
    series
}

/// The k best series of each step, with their own labels.
fn top(agg: &VectorAgg, group: Vec<EvalSeries>) -> Vec<EvalSeries> {
    let mut points: Vec<(u32, f64, usize)> = Vec::new();
    for (number, series) in group.iter().enumerate() {
        points.extend(series.points.iter().map(|(step, value)| (*step, *value, number)));
    }
    points.sort_by(|a, b| {
        let by_value =
            if agg.op == VectorOp::Bottomk { compare(a.1, b.1) } else { compare_descending(a.1, b.1) };
        a.0.cmp(&b.0).then(by_value).then_with(|| group[a.2].labels.cmp(&group[b.2].labels))
    });
    let mut kept: Vec<Vec<(u32, f64)>> = vec![Vec::new(); group.len()];
    for step in points.chunk_by(|a, b| a.0 == b.0) {
        for (step, value, number) in step.iter().take(agg.count) {
            kept[*number].push((*step, *value));
        }
    }
    let with_labels =
        group.into_iter().zip(kept).map(|(series, points)| EvalSeries { labels: series.labels, points });
    with_labels.filter(|series| !series.points.is_empty()).collect()
}
