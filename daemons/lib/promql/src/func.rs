//! Function calls: the families of functions, and how a call of each is evaluated.
//!
//! Which function belongs to which family, and which file computes it, is in the table of `functions.rs`.

use std::collections::HashSet;
use std::sync::Arc;

use cairn_model::FloatHistogram;

use crate::answer::EvalError;
use crate::ast::{Call, Expr, Span};
use crate::evaluator::{Evaluator, Sink};
use crate::facts;
use crate::func_range::{self, RangeFunction};
use crate::func_sort::{self, Order};
use crate::functions::{Function, Names};
use crate::series::{ABSENT, Histograms, Steps, is_absent, same_labelset, without_name};
use crate::{func_date, func_scalar};

/// Gives a scalar's value at one step: from the query, the step's time in milliseconds, and the scalar arguments.
pub(crate) type ScalarAtStep = fn(&Evaluator<'_>, i64, &[f64]) -> f64;

/// Pushes the series of a call into the sink.
pub(crate) type VectorCompute =
    for<'a> fn(&mut Evaluator<'a>, &'a Call, Steps, Sink<'_, 'a>) -> Result<(), EvalError>;

/// How a function is computed: its family, and what tells it from the others of the family.
#[derive(Debug)]
pub(crate) enum Compute {
    /// A formula of one value, element by element.
    Math(fn(f64) -> f64),
    /// The same with the scalar arguments that follow the vector.
    MathWith(fn(f64, &[f64]) -> f64),
    /// A number out of each native histogram.
    OfHistograms(fn(&FloatHistogram) -> f64),
    /// A part of the date that each value is; of the step's time without an argument.
    Date(fn(f64) -> f64),
    /// A scalar out of scalars.
    Scalar(ScalarAtStep),
    /// `scalar(v)`: the only scalar out of a vector.
    OnlyElement,
    /// An order of the result.
    Sort(Order),
    /// One number out of each window.
    Range(RangeFunction),
    /// Anything else that gives a vector.
    Vector(VectorCompute),
}

/// Evaluates a function that gives a scalar.
pub(crate) fn scalar_call<'a>(
    evaluator: &mut Evaluator<'a>,
    call: &'a Call,
    steps: Steps,
) -> Result<Vec<f64>, EvalError> {
    match &call.function.compute {
        Compute::Scalar(value) => {
            let params = Params::new(evaluator, &call.args, steps)?;
            let values =
                (0..steps.n).map(|index| value(evaluator, steps.time(index), params.at(index))).collect();
            params.release(evaluator);
            Ok(values)
        }
        Compute::OnlyElement => func_scalar::only_element(evaluator, &call.args[0], steps),
        Compute::Math(_)
        | Compute::MathWith(_)
        | Compute::OfHistograms(_)
        | Compute::Date(_)
        | Compute::Sort(_)
        | Compute::Range(_)
        | Compute::Vector(_) => Err(wrong_type(call.function)),
    }
}

/// Evaluates a function that gives an instant vector.
pub(crate) fn stream_call<'a>(
    evaluator: &mut Evaluator<'a>,
    call: &'a Call,
    span: Span,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    match call.function.names {
        Names::Dropped => {
            let unique = call.args.iter().all(facts::stays_unique_without_name);
            let is_over_range = matches!(call.function.compute, Compute::Range(_));
            if is_over_range && !unique && !evaluator.options.delayed_name_removal {
                return stream_refusing_equal(evaluator, call, span, steps, sink);
            }
            evaluator
                .dropping_names(unique, sink, |evaluator, sink| compute(evaluator, call, span, steps, sink))
        }
        Names::Kept | Names::Rewritten | Names::Distinct => compute(evaluator, call, span, steps, sink),
    }
}

/// Takes names off the series that a function over range vectors gives. Other functions may give equal series
/// as long as they have no step in common; from these, Prometheus refuses them at once.
fn stream_refusing_equal<'a>(
    evaluator: &mut Evaluator<'a>,
    call: &'a Call,
    span: Span,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    let mut seen = HashSet::new();
    compute(evaluator, call, span, steps, &mut |evaluator, mut series| {
        series.labels = without_name(&series.labels);
        if !seen.insert(Arc::clone(&series.labels)) {
            return Err(same_labelset());
        }
        sink(evaluator, series)
    })
}

fn compute<'a>(
    evaluator: &mut Evaluator<'a>,
    call: &'a Call,
    span: Span,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    let args = &call.args;
    match &call.function.compute {
        Compute::Math(formula) => map_elements(evaluator, &args[0], steps, sink, |_, value| formula(value)),
        Compute::MathWith(formula) => {
            let params = Params::new(evaluator, &args[1..], steps)?;
            map_elements(evaluator, &args[0], steps, sink, |index, value| formula(value, params.at(index)))?;
            params.release(evaluator);
            Ok(())
        }
        Compute::OfHistograms(value) => map_histograms(evaluator, &args[0], steps, sink, *value),
        Compute::Date(part) => match args.first() {
            Some(arg) => map_elements(evaluator, arg, steps, sink, |_, value| part(value)),
            None => sink(evaluator, func_date::of_steps(*part, steps)),
        },
        Compute::Sort(order) => func_sort::stream(evaluator, call, *order, span, steps, sink),
        Compute::Range(function) => func_range::stream(evaluator, call, function, steps, sink),
        Compute::Vector(stream) => stream(evaluator, call, steps, sink),
        Compute::Scalar(_) | Compute::OnlyElement => Err(wrong_type(call.function)),
    }
}

/// For trees made by hand that ask a vector of a function that gives a scalar, or the other way round.
fn wrong_type(function: &Function) -> EvalError {
    EvalError::Execution(format!("function {}() gives no such value", function.name))
}

/// Scalar arguments, the values of one step side by side; held.
struct Params {
    n: usize,
    values: Vec<f64>,
}

impl Params {
    fn new<'a>(evaluator: &mut Evaluator<'a>, args: &'a [Expr], steps: Steps) -> Result<Self, EvalError> {
        let n = args.len();
        evaluator.hold(steps.n * n)?;
        let mut values = vec![0.0; steps.n * n];
        for (at, arg) in args.iter().enumerate() {
            for (index, value) in evaluator.scalar(arg, steps)?.into_iter().enumerate() {
                values[index * n + at] = value;
            }
        }
        Ok(Self { n, values })
    }

    /// Counts them as let go.
    fn release(self, evaluator: &mut Evaluator<'_>) {
        evaluator.release(self.values.len());
    }

    fn at(&self, index: usize) -> &[f64] {
        &self.values[index * self.n..(index + 1) * self.n]
    }
}

/// Replaces each value by what `f` makes of it and of its step's index. [`ABSENT`] takes it
/// away.
fn map_elements<'a>(
    evaluator: &mut Evaluator<'a>,
    arg: &'a Expr,
    steps: Steps,
    sink: Sink<'_, 'a>,
    f: impl Fn(usize, f64) -> f64,
) -> Result<(), EvalError> {
    evaluator.stream(arg, steps, &mut |evaluator, mut series| {
        for (index, value) in series.values.iter_mut().enumerate() {
            if !is_absent(*value) {
                *value = f(index, *value);
            }
        }
        // Formulas of numbers pass native histograms over.
        series.histograms = Histograms::default();
        if series.is_empty() {
            return Ok(());
        }
        evaluator.tick(steps.n)?;
        sink(evaluator, series)
    })
}

/// Replaces each native histogram by a number, and takes the numbers that were there away.
fn map_histograms<'a>(
    evaluator: &mut Evaluator<'a>,
    arg: &'a Expr,
    steps: Steps,
    sink: Sink<'_, 'a>,
    value: fn(&FloatHistogram) -> f64,
) -> Result<(), EvalError> {
    evaluator.stream(arg, steps, &mut |evaluator, mut series| {
        let histograms = std::mem::take(&mut series.histograms);
        if histograms.is_empty() {
            return Ok(());
        }
        series.values.fill(ABSENT);
        for (step, histogram) in histograms.iter() {
            series.values[step] = value(histogram);
        }
        evaluator.tick(steps.n)?;
        sink(evaluator, series)
    })
}
