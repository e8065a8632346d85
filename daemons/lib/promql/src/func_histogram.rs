//! `histogram_*`: quantiles and fractions, over classic buckets (series with `le`) and native histograms.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cairn_model::number::{general_float, parse_float};
use cairn_model::{FloatHistogram, Labels, TimeMs};

use crate::annotations::{Note, Notes, for_metric};
use crate::answer::EvalError;
use crate::ast::{Call, Expr, Span};
use crate::batches::{PerThread, map_each};
use crate::buckets::{self, Bucket, Forced};
use crate::evaluator::{Evaluator, Sink};
use crate::func_label::{is_label_name, text};
use crate::histogram_buckets;
use crate::parser_selector::METRIC_NAME;
use crate::series::{
    ABSENT, Histograms, Series, Steps, is_absent, is_identity_label, merge_equal, without_name,
};
use crate::watch::Watch;

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
    evaluator.hold(steps.n)?;
    let found = collect(evaluator, &args[1], steps)?;
    evaluator.release(steps.n);
    push_quantiles(evaluator, &q, &args[0], &found, None, &args[1], steps, sink)
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
    // Once for all quantiles: calls inside of calls would be evaluated nine times as often with each level.
    let found = collect(evaluator, &args[0], steps)?;
    for arg in &args[2..] {
        let q = evaluator.scalar(arg, steps)?;
        push_quantiles(evaluator, &q, arg, &found, Some(label), &args[0], steps, sink)?;
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
    evaluator.hold(steps.n)?;
    let upper = evaluator.scalar(&args[1], steps)?;
    evaluator.hold(steps.n)?;
    let found = collect(evaluator, &args[2], steps)?;
    evaluator.release(2 * steps.n);
    let watch = evaluator.watch;
    let watches = PerThread::new(|| watch);
    let mut all = map_each(&found.classic, found.n_counts(steps), |histogram| {
        watches.with(|watch| {
            histogram.at_each_step(steps, watch, |step, buckets| {
                buckets::fraction(lower[step], upper[step], buckets)
            })
        })
    })?;
    for native in &found.native {
        all.push(native.evaluate(evaluator, steps, args[2].span, |step, histogram, notes| {
            histogram_buckets::fraction(lower[step], upper[step], histogram, notes)
        })?);
    }
    for series in merge_equal(all)? {
        sink(evaluator, series)?;
    }
    Ok(())
}

/// `histogram_avg(v)`
pub(crate) fn avg(histogram: &FloatHistogram) -> f64 {
    histogram.sum / histogram.count
}

/// `histogram_count(v)`
pub(crate) fn count(histogram: &FloatHistogram) -> f64 {
    histogram.count
}

/// `histogram_sum(v)`
pub(crate) fn sum(histogram: &FloatHistogram) -> f64 {
    histogram.sum
}

/// `histogram_stdvar(v)`
pub(crate) fn stdvar(histogram: &FloatHistogram) -> f64 {
    histogram_buckets::variance(histogram)
}

/// `histogram_stddev(v)`
pub(crate) fn stddev(histogram: &FloatHistogram) -> f64 {
    histogram_buckets::variance(histogram).sqrt()
}

#[expect(clippy::too_many_arguments, reason = "two callers beside, and each argument is a different thing")]
fn push_quantiles<'a>(
    evaluator: &mut Evaluator<'a>,
    q: &[f64],
    q_arg: &Expr,
    found: &Found,
    label: Option<&str>,
    vector_arg: &Expr,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    for warning in crate::quantile::out_of_range_warnings(q) {
        evaluator.annotations.warn(&warning, q_arg.span);
    }
    let mut all = Vec::new();
    let watch = evaluator.watch;
    let watches = PerThread::new(|| watch);
    let classic = map_each(&found.classic, found.n_counts(steps), |histogram| {
        let mut repairs = Repairs::default();
        let quantile = |step, buckets: &mut Vec<Bucket>| {
            let (value, forced) = buckets::quantile(q[step], buckets);
            if let Some(forced) = forced {
                repairs.add(forced, steps.time(step));
            }
            value
        };
        let series = watches.with(|watch| histogram.at_each_step(steps, watch, quantile))?;
        Ok((series, repairs.message(&histogram.name)))
    })?;
    for (series, message) in classic {
        evaluator.tick(steps.n)?;
        if let Some(message) = message {
            evaluator.annotations.info(&message, vector_arg.span);
        }
        all.push(series);
    }
    for native in &found.native {
        all.push(native.evaluate(evaluator, steps, vector_arg.span, |step, histogram, notes| {
            histogram_buckets::quantile(q[step], histogram, notes)
        })?);
    }
    let mut n_held = 0;
    if let Some(label) = label {
        let values = distinct(q);
        n_held = all.len().saturating_mul(values.len()).saturating_mul(steps.n);
        evaluator.hold(n_held)?;
        all = all
            .iter()
            .flat_map(|series| values.iter().map(|value| of_quantile(series, label, q, *value)))
            .collect();
    }
    for series in merge_equal(all)? {
        sink(evaluator, series)?;
    }
    evaluator.release(n_held);
    Ok(())
}

/// The different values, in order of their first steps; nearly always there is one.
fn distinct(q: &[f64]) -> Vec<f64> {
    let mut seen = HashSet::new();
    q.iter().copied().filter(|value| seen.insert(value.to_bits())).collect()
}

/// The part of a series at whose steps the quantile was `value`, which a label tells.
fn of_quantile(series: &Series, label: &str, q: &[f64], value: f64) -> Series {
    let mut builder = series.labels.to_builder();
    builder.set(label, &openmetrics_float(value));
    let mut part = Series::floats(Arc::new(builder.build()), series.drops_name, series.values.clone());
    for (of_step, q) in part.values.iter_mut().zip(q) {
        if q.to_bits() != value.to_bits() {
            *of_step = ABSENT;
        }
    }
    part
}

/// `0.5`, `1.0`: a float that always shows that it is one.
fn openmetrics_float(value: f64) -> String {
    let text = general_float(value);
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'-') { format!("{text}.0") } else { text }
}

/// A series with native histograms.
struct Native {
    /// All labels, with the name.
    key: Arc<Labels>,
    /// Those of the result.
    labels: Arc<Labels>,
    name: String,
    drops_name: bool,
    histograms: Histograms,
}

impl Native {
    /// One number out of each histogram.
    fn evaluate(
        &self,
        evaluator: &mut Evaluator<'_>,
        steps: Steps,
        span: Span,
        value: impl Fn(usize, &FloatHistogram, &mut Notes) -> f64,
    ) -> Result<Series, EvalError> {
        let mut notes = Notes::default();
        let mut values = vec![ABSENT; steps.n];
        for (step, histogram) in self.histograms.iter() {
            evaluator.tick(histogram.positive.len())?;
            values[step] = value(step, histogram, &mut notes);
        }
        for note in notes.drain() {
            evaluator.annotations.note(note, &self.name, span);
        }
        Ok(Series::floats(Arc::clone(&self.labels), self.drops_name, values))
    }
}

/// What a vector has of histograms.
struct Found {
    classic: Vec<Histogram>,
    native: Vec<Native>,
}

/// Gathers the buckets of each classic histogram, and the native ones.
fn collect<'a>(evaluator: &mut Evaluator<'a>, arg: &'a Expr, steps: Steps) -> Result<Found, EvalError> {
    let mut index_of: HashMap<Labels, usize> = HashMap::new();
    let mut classic: Vec<Histogram> = Vec::new();
    let mut native: Vec<Native> = Vec::new();
    let is_delayed = evaluator.options.delayed_name_removal;
    // Without delayed removal the name is gone before anything is said about it.
    let name_of = |labels: &Labels| {
        if is_delayed { labels.value(METRIC_NAME).to_owned() } else { String::new() }
    };
    let mut n_held = 0;
    evaluator.stream(arg, steps, &mut |evaluator, mut series| {
        let n_samples = series.n_samples();
        n_held += n_samples;
        evaluator.hold(n_samples)?;
        let name = name_of(&series.labels);
        if !series.histograms.is_empty() {
            let labels = if is_delayed { Arc::clone(&series.labels) } else { without_name(&series.labels) };
            let histograms = std::mem::take(&mut series.histograms);
            let key = Arc::clone(&series.labels);
            native.push(Native { key, labels, name: name.clone(), drops_name: is_delayed, histograms });
            if series.is_empty() {
                return Ok(());
            }
        }
        let bound_text = series.labels.value(BOUND);
        let Some(bound) = parse_float(bound_text) else {
            let message = format!(
                "bucket label \"le\" is missing or has a malformed value of {}",
                cairn_model::gotext::quote(bound_text)
            );
            evaluator.annotations.warn(&for_metric(&message, &name), arg.span);
            return Ok(());
        };
        // Histograms of two metrics are two, even when only their names differ.
        let key: Labels = series.labels.iter().filter(|(name, _)| *name != BOUND).collect();
        let at = *index_of.entry(key.clone()).or_insert_with(|| {
            let keep = |name: &str| is_delayed || !is_identity_label(name);
            let labels = Arc::new(key.iter().filter(|(name, _)| keep(name)).collect());
            classic.push(Histogram { labels, name, drops_name: is_delayed, buckets: Vec::new() });
            classic.len() - 1
        });
        classic[at].buckets.push((bound, series.values));
        Ok(())
    })?;
    evaluator.release(n_held);
    for histogram in &mut classic {
        histogram.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    for one in &mut native {
        let same_labels = index_of.get(&*one.key).map(|at| &mut classic[*at]);
        if same_labels.is_some_and(|classic| take_common_steps(classic, one, steps)) {
            evaluator.annotations.note(Note::ClassicAndNative, &one.name, arg.span);
        }
    }
    Ok(Found { classic, native })
}

/// Where a classic and a native histogram have the same labels, nobody knows which one counts: neither does.
fn take_common_steps(classic: &mut Histogram, native: &mut Native, steps: Steps) -> bool {
    let mut has_common = false;
    for step in 0..steps.n {
        let has_buckets = classic.buckets.iter().any(|(_, counts)| !is_absent(counts[step]));
        if has_buckets && native.histograms.take(step).is_some() {
            has_common = true;
            classic.buckets.iter_mut().for_each(|(_, counts)| counts[step] = ABSENT);
        }
    }
    has_common
}

impl Histogram {
    /// What `f` makes of the buckets that exist at each step.
    fn at_each_step(
        &self,
        steps: Steps,
        watch: &mut Watch<'_>,
        mut f: impl FnMut(usize, &mut Vec<Bucket>) -> f64,
    ) -> Result<Series, EvalError> {
        let mut found = Vec::with_capacity(self.buckets.len());
        let mut values = vec![ABSENT; steps.n];
        for (step, value) in values.iter_mut().enumerate() {
            watch.tick(self.buckets.len())?;
            let present = self.buckets.iter().filter(|(_, counts)| !is_absent(counts[step]));
            found.clear();
            found.extend(present.map(|(bound, counts)| Bucket { bound: *bound, count: counts[step] }));
            if !found.is_empty() {
                *value = f(step, &mut found);
            }
        }
        Ok(Series::floats(Arc::clone(&self.labels), self.drops_name, values))
    }
}

impl Found {
    /// Counts of all classic histograms.
    fn n_counts(&self, steps: Steps) -> usize {
        self.classic.iter().map(|one| one.buckets.len()).sum::<usize>().saturating_mul(steps.n)
    }
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
        message = for_metric(&message, name);
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
