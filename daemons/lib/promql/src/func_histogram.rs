//! `histogram_*`: quantiles and fractions over classic buckets (series with `le`).

use std::collections::HashMap;
use std::sync::Arc;

use cairn_model::number::{general_float, parse_float};
use cairn_model::{Labels, TimeMs};

use crate::answer::EvalError;
use crate::ast::{Call, Expr};
use crate::buckets::{self, Bucket, Forced};
use crate::evaluator::{Evaluator, Sink};
use crate::func_label::{is_label_name, text};
use crate::parser_selector::METRIC_NAME;
use crate::series::{ABSENT, Series, Steps, is_absent, is_identity_label, merge_equal};

/// The label that holds a bucket's upper bound.
const BOUND: &str = "le";

/// Buckets of one histogram, ascending by bound.
struct Histogram {
    labels: Arc<Labels>,
    name: String,
    drops_name: bool,
    /// Upper bound and cumulative counts per step.
    buckets: Vec<(f64, Vec<f64>)>,
}

/// `histogram_quantile(q, v)`: one series per histogram.
pub(crate) fn quantile<'a>(
    evaluator: &mut Evaluator<'a>,
    call: &'a Call,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    let args = &call.args;
    let q = evaluator.scalar(&args[0], steps)?;
    let histograms = collect(evaluator, &args[1], steps)?;
    push_quantiles(evaluator, &q, &args[0], histograms, None, &args[1], steps, sink)
}

/// `histogram_quantiles(v, label, q...)`: one series per histogram and quantile; the label tells the quantile.
pub(crate) fn quantiles<'a>(
    evaluator: &mut Evaluator<'a>,
    call: &'a Call,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    let args = &call.args;
    let label = text(&args[1]);
    if !is_label_name(label) {
        return Err(EvalError::Execution(format!("invalid label name in histogram_quantiles(): {label}")));
    }
    for arg in &args[2..] {
        let q = evaluator.scalar(arg, steps)?;
        let histograms = collect(evaluator, &args[0], steps)?;
        push_quantiles(evaluator, &q, arg, histograms, Some(label), &args[0], steps, sink)?;
    }
    Ok(())
}

/// `histogram_fraction(lower, upper, v)`: one series per histogram.
pub(crate) fn fraction<'a>(
    evaluator: &mut Evaluator<'a>,
    call: &'a Call,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    let args = &call.args;
    let lower = evaluator.scalar(&args[0], steps)?;
    let upper = evaluator.scalar(&args[1], steps)?;
    let histograms = collect(evaluator, &args[2], steps)?;
    let mut all = Vec::new();
    for histogram in histograms {
        let values = (0..steps.n)
            .map(|index| match at_step(&histogram, index) {
                buckets if buckets.is_empty() => ABSENT,
                buckets => buckets::fraction(lower[index], upper[index], buckets),
            })
            .collect();
        evaluator.tick(steps.n * histogram.buckets.len())?;
        all.push(Series { labels: histogram.labels, drops_name: histogram.drops_name, values });
    }
    for series in merge_equal(all)? {
        sink(evaluator, series)?;
    }
    Ok(())
}

/// `histogram_avg(v)` and its kin look at native histograms only and pass floats over; no source has native
/// histograms yet.
pub(crate) fn of_native<'a>(
    evaluator: &mut Evaluator<'a>,
    call: &'a Call,
    steps: Steps,
    _: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    evaluator.stream(&call.args[0], steps, &mut |_, _| Ok(()))
}

#[expect(clippy::too_many_arguments, reason = "two callers beside, and each argument is a different thing")]
fn push_quantiles<'a>(
    evaluator: &mut Evaluator<'a>,
    q: &[f64],
    q_arg: &Expr,
    histograms: Vec<Histogram>,
    label: Option<&str>,
    vector_arg: &Expr,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    for warning in q.iter().filter_map(|q| crate::quantile::out_of_range(*q)).take(1) {
        evaluator.annotations.warn(&warning, q_arg.span);
    }
    let mut all = Vec::new();
    for histogram in histograms {
        let mut repairs = Repairs::default();
        let values = (0..steps.n)
            .map(|index| {
                let found = at_step(&histogram, index);
                if found.is_empty() {
                    return ABSENT;
                }
                let (value, forced) = buckets::quantile(q[index], found);
                if let Some(forced) = forced {
                    repairs.add(forced, steps.time(index));
                }
                value
            })
            .collect();
        evaluator.tick(steps.n * histogram.buckets.len())?;
        if let Some(message) = repairs.message(&histogram.name) {
            evaluator.annotations.info(&message, vector_arg.span);
        }
        let mut labels = histogram.labels;
        if let Some(label) = label {
            let mut builder = labels.to_builder();
            builder.set(label, &openmetrics_float(q.first().copied().unwrap_or(f64::NAN)));
            labels = Arc::new(builder.build());
        }
        all.push(Series { labels, drops_name: histogram.drops_name, values });
    }
    for series in merge_equal(all)? {
        sink(evaluator, series)?;
    }
    Ok(())
}

/// `0.5`, `1.0`: a float that always shows that it is one.
fn openmetrics_float(value: f64) -> String {
    let text = general_float(value);
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'-') { format!("{text}.0") } else { text }
}

/// Gathers the buckets of each histogram.
fn collect<'a>(
    evaluator: &mut Evaluator<'a>,
    arg: &'a Expr,
    steps: Steps,
) -> Result<Vec<Histogram>, EvalError> {
    let mut index_of: HashMap<Labels, usize> = HashMap::new();
    let mut histograms: Vec<Histogram> = Vec::new();
    let is_delayed = evaluator.options.delayed_name_removal;
    let mut n_held = 0;
    evaluator.stream(arg, steps, &mut |evaluator, series| {
        let bound_text = series.labels.value(BOUND);
        let Some(bound) = parse_float(bound_text) else {
            let name = series.labels.value(METRIC_NAME);
            let mut message = format!(
                "bucket label \"le\" is missing or has a malformed value of {}",
                cairn_model::gotext::quote(bound_text)
            );
            if !name.is_empty() {
                message = format!("{message} for metric name {}", cairn_model::gotext::quote(name));
            }
            evaluator.annotations.warn(&message, arg.span);
            return Ok(());
        };
        n_held += series.values.len();
        evaluator.hold(series.values.len())?;
        let keep = |name: &str| name != BOUND && (is_delayed || !is_identity_label(name));
        let labels: Labels = series.labels.iter().filter(|(name, _)| keep(name)).collect();
        let at = *index_of.entry(labels.clone()).or_insert_with(|| {
            histograms.push(Histogram {
                labels: Arc::new(labels),
                name: series.labels.value(METRIC_NAME).to_owned(),
                drops_name: is_delayed,
                buckets: Vec::new(),
            });
            histograms.len() - 1
        });
        histograms[at].buckets.push((bound, series.values));
        Ok(())
    })?;
    evaluator.release(n_held);
    for histogram in &mut histograms {
        histogram.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    Ok(histograms)
}

/// The buckets that exist at one step.
fn at_step(histogram: &Histogram, index: usize) -> Vec<Bucket> {
    histogram
        .buckets
        .iter()
        .filter(|(_, counts)| !is_absent(counts[index]))
        .map(|(bound, counts)| Bucket { bound: *bound, count: counts[index] })
        .collect()
}

/// Buckets that had to be made monotonic, over all steps of one histogram.
#[derive(Default)]
struct Repairs {
    all: Option<Forced>,
    n: usize,
    first: i64,
    last: i64,
}

impl Repairs {
    fn add(&mut self, forced: Forced, time: i64) {
        if self.n == 0 {
            self.first = time;
        }
        self.last = time;
        self.n += 1;
        self.all = Some(match self.all {
            None => forced,
            Some(so_far) => so_far.widened(forced),
        });
    }

    fn message(&self, name: &str) -> Option<String> {
        let forced = self.all?;
        let mut message = "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)".to_owned();
        if !name.is_empty() {
            message = format!("{message} for metric name {}", cairn_model::gotext::quote(name));
        }
        Some(format!(
            "{message}, from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
            general_float(forced.lowest),
            general_float(forced.highest),
            two_digits(forced.largest_drop),
            self.n,
            TimeMs(self.first),
            TimeMs(self.last)
        ))
    }
}

/// Go's `%.2g`.
fn two_digits(value: f64) -> String {
    let rounded: f64 = format!("{value:.1e}").parse().unwrap_or(value);
    if rounded != 0.0 && !(1e-4..100.0).contains(&rounded.abs()) {
        let text = format!("{rounded:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    general_float(rounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_significant_digits_as_go_prints_them() {
        for (value, want) in [(1.0, "1"), (0.126, "0.13"), (123.0, "1.2e+02"), (20.0, "20"), (1e-5, "1e-05")]
        {
            assert_eq!(two_digits(value), want);
        }
        assert_eq!(openmetrics_float(1.0), "1.0");
        assert_eq!(openmetrics_float(0.5), "0.5");
    }
}
