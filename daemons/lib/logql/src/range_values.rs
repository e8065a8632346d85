//! Windows over unwrapped values: `sum_over_time`, `quantile_over_time`, `rate_counter` and the others.
//!
//! Samples are sorted by time and enter and leave the window once each. What can be combined piece by piece lives in
//! a queue of two stacks, so that no step looks at the whole window and no error piles up from taking values away.

use crate::ast::RangeOp;
use crate::steps::Steps;

/// A value and its time in nanoseconds.
pub(crate) type Sample = (i64, f64);

/// What is known of a run of samples.
#[derive(Clone, Copy, Debug)]
struct Summary {
    count: f64,
    sum: f64,
    mean: f64,
    /// Sum of squared distances from the mean.
    squares: f64,
    min: f64,
    max: f64,
    first: Sample,
    last: Sample,
    /// What resets of a counter took away.
    resets: f64,
}

impl Summary {
    fn of(sample: Sample) -> Self {
        let value = sample.1;
        Self {
            count: 1.0,
            sum: value,
            mean: value,
            squares: 0.0,
            min: value,
            max: value,
            first: sample,
            last: sample,
            resets: 0.0,
        }
    }

    /// Joins two runs, `self` before `next`. Spread: Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm
    /// for computing sample variances", 1979.
    fn then(&self, next: &Self) -> Self {
        let count = self.count + next.count;
        let distance = next.mean - self.mean;
        let reset = if next.first.1 < self.last.1 { self.last.1 } else { 0.0 };
        Self {
            count,
            sum: self.sum + next.sum,
            mean: self.mean + distance * next.count / count,
            squares: self.squares + next.squares + distance * distance * self.count * next.count / count,
            min: pick(self.min, next.min, |a, b| b < a),
            max: pick(self.max, next.max, |a, b| b > a),
            first: self.first,
            last: next.last,
            resets: self.resets + next.resets + reset,
        }
    }
}

/// The better of two values; a NaN gives way to any other.
fn pick(a: f64, b: f64, is_better: impl Fn(f64, f64) -> bool) -> f64 {
    if a.is_nan() || is_better(a, b) { b } else { a }
}

/// A queue of samples that knows the summary of its contents; adding and removing cost O(1) on average.
#[derive(Default)]
struct SummaryQueue {
    /// Old samples, the oldest last, each with the summary from itself to the newest of this stack.
    front: Vec<Summary>,
    /// New samples, the newest last.
    back: Vec<Summary>,
    back_summary: Option<Summary>,
}

impl SummaryQueue {
    fn push(&mut self, sample: Sample) {
        let one = Summary::of(sample);
        self.back_summary = Some(self.back_summary.map_or(one, |all| all.then(&one)));
        self.back.push(one);
    }

    fn pop(&mut self) {
        if self.front.is_empty() {
            while let Some(one) = self.back.pop() {
                let all = self.front.last().map_or(one, |later| one.then(later));
                self.front.push(all);
            }
            self.back_summary = None;
        }
        self.front.pop();
    }

    fn summary(&self) -> Option<Summary> {
        match (self.front.last(), &self.back_summary) {
            (Some(front), Some(back)) => Some(front.then(back)),
            (front, back) => front.copied().or(*back),
        }
    }
}

/// Values in order, NaN first.
fn compare(a: f64, b: f64) -> std::cmp::Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

/// The samples of a window, and what a function needs to know of them.
enum Window {
    Summary(SummaryQueue),
    Sorted(Vec<f64>),
}

impl Window {
    fn push(&mut self, sample: Sample) {
        match self {
            Self::Summary(queue) => queue.push(sample),
            Self::Sorted(values) => {
                let at = values.partition_point(|v| compare(*v, sample.1).is_lt());
                values.insert(at, sample.1);
            }
        }
    }

    fn pop(&mut self, sample: Sample) {
        match self {
            Self::Summary(queue) => queue.pop(),
            Self::Sorted(values) => {
                let at = values.partition_point(|v| compare(*v, sample.1).is_lt());
                if at < values.len() {
                    values.remove(at);
                }
            }
        }
    }
}

/// Evaluates one series: the value at every step whose window holds a sample.
pub(crate) fn evaluate(
    op: RangeOp,
    parameter: f64,
    mut samples: Vec<Sample>,
    steps: &Steps,
    range: i64,
    offset: i64,
) -> Vec<(u32, f64)> {
    samples.sort_by_key(|s| s.0);
    let mut window = match op {
        RangeOp::QuantileOverTime => Window::Sorted(Vec::new()),
        _ => Window::Summary(SummaryQueue::default()),
    };
    let (mut entered, mut left) = (0, 0);
    let mut points = Vec::new();
    for step in 0..steps.count {
        let end = steps.time(step).0.saturating_sub(offset);
        let start = end.saturating_sub(range);
        while entered < samples.len() && samples[entered].0 <= end {
            window.push(samples[entered]);
            entered += 1;
        }
        while left < entered && samples[left].0 <= start {
            window.pop(samples[left]);
            left += 1;
        }
        if left == entered {
            if entered == samples.len() {
                break;
            }
            continue;
        }
        let value = match &window {
            Window::Sorted(values) => quantile(parameter, values),
            Window::Summary(queue) => match queue.summary() {
                Some(summary) => of_summary(op, &summary, end, range),
                None => continue,
            },
        };
        points.push((step, value));
    }
    points
}

fn of_summary(op: RangeOp, summary: &Summary, end: i64, range: i64) -> f64 {
    match op {
        RangeOp::SumOverTime => summary.sum,
        RangeOp::Rate => summary.sum / seconds(range),
        RangeOp::AvgOverTime => summary.sum / summary.count,
        RangeOp::MinOverTime => summary.min,
        RangeOp::MaxOverTime => summary.max,
        RangeOp::StdvarOverTime => summary.squares / summary.count,
        RangeOp::StddevOverTime => (summary.squares / summary.count).sqrt(),
        RangeOp::FirstOverTime => summary.first.1,
        RangeOp::LastOverTime => summary.last.1,
        RangeOp::RateCounter => counter_rate(summary, end, range),
        RangeOp::CountOverTime
        | RangeOp::BytesOverTime
        | RangeOp::BytesRate
        | RangeOp::AbsentOverTime
        | RangeOp::QuantileOverTime => summary.count,
    }
}

/// Nanoseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "a range of days in nanoseconds is exact far enough")]
pub(crate) fn seconds(nanos: i64) -> f64 {
    nanos as f64 / 1e9
}

/// Linear interpolation between the two values around the rank.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank is small and not negative"
)]
fn quantile(q: f64, sorted: &[f64]) -> f64 {
    if sorted.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let rank = q * (sorted.len() - 1) as f64;
    let lower = rank.floor();
    let upper = (lower + 1.0).min((sorted.len() - 1) as f64);
    let weight = rank - lower;
    sorted[lower as usize] * (1.0 - weight) + sorted[upper as usize] * weight
}

/// Prometheus's extrapolated counter rate over the window `(end - range, end]`; 0 with fewer than two samples.
fn counter_rate(summary: &Summary, end: i64, range: i64) -> f64 {
    if summary.count < 2.0 {
        return 0.0;
    }
    let increase = summary.last.1 - summary.first.1 + summary.resets;
    let sampled = seconds(summary.last.0 - summary.first.0);
    let mean_distance = sampled / (summary.count - 1.0);
    let mut to_start = seconds(summary.first.0 - (end - range));
    let to_end = seconds(end - summary.last.0);
    if increase > 0.0 && summary.first.1 >= 0.0 {
        // A counter cannot have been below zero: it did not start earlier than where its line meets zero.
        to_start = to_start.min(sampled * (summary.first.1 / increase));
    }
    // Near the window's edges the line goes on to them, else half a distance further.
    let reach = |distance: f64| if distance < mean_distance * 1.1 { distance } else { mean_distance / 2.0 };
    let covered = sampled + reach(to_start) + reach(to_end);
    increase * (covered / sampled) / seconds(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        let values = [1.0, 2.0, 3.0, 4.0];
        for (q, want) in [(0.0, 1.0), (1.0, 4.0), (0.5, 2.5), (0.1, 1.3), (-1.0, f64::NEG_INFINITY)] {
            assert!((quantile(q, &values) - want).abs() < 1e-12 || quantile(q, &values) == want);
        }
    }

    proptest::proptest! {
        #[test]
        fn windows_agree_with_plain_recomputation(
            mut samples in proptest::collection::vec((0i64..200, -50i32..50), 0..60), range in 1i64..40, step in 1i64..30,
        ) {
            samples.sort_by_key(|s| s.0);
            let samples: Vec<Sample> = samples.into_iter().map(|(t, v)| (t, f64::from(v))).collect();
            let steps = Steps { start: 10, step, count: 8 };
            for op in [RangeOp::SumOverTime, RangeOp::MinOverTime, RangeOp::StdvarOverTime, RangeOp::QuantileOverTime, RangeOp::LastOverTime] {
                let got = evaluate(op, 0.5, samples.clone(), &steps, range, 0);
                let mut want = Vec::new();
                for index in 0..steps.count {
                    let end = steps.time(index).0;
                    let mut inside: Vec<f64> = samples.iter().filter(|s| s.0 > end - range && s.0 <= end).map(|s| s.1).collect();
                    if inside.is_empty() { continue; }
                    let n = f64::from(u32::try_from(inside.len()).unwrap());
                    let mean = inside.iter().sum::<f64>() / n;
                    want.push((index, match op {
                        RangeOp::SumOverTime => inside.iter().sum(),
                        RangeOp::MinOverTime => inside.iter().copied().fold(f64::INFINITY, f64::min),
                        RangeOp::StdvarOverTime => inside.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n,
                        RangeOp::LastOverTime => *inside.last().unwrap(),
                        _ => { inside.sort_by(f64::total_cmp); quantile(0.5, &inside) }
                    }));
                }
                proptest::prop_assert_eq!(got.len(), want.len());
                for (g, w) in got.iter().zip(&want) {
                    proptest::prop_assert!(g.0 == w.0 && (g.1 - w.1).abs() < 1e-9, "{:?}: {:?} {:?}", op, g, w);
                }
            }
        }
    }
}
