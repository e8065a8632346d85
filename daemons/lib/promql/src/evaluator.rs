//! The evaluator: its state, and which file evaluates which node.
//!
//! Vectors are streamed: each node pushes its series, one at a time and for all steps at once, into the node above.
//! So `sum(rate(x[5m]))` holds the input of one series and the groups, never the rates of all series. Nodes that
//! need all series of a step together (matching, ordering, quantiles) collect them first.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::annotations::Annotations;
use crate::answer::{EvalError, Options};
use crate::ast::{At, Expr, ExprKind, ValueType};
use crate::eval_counts::Counts;
use crate::eval_duration::QueryLengths;
use crate::eval_load::Reader;
use crate::facts;
use crate::loaded::Loaded;
use crate::series::{Histograms, Series, Steps, merge_equal, seconds, without_name};
use crate::source::SampleSource;
use crate::watch::Watch;
use crate::{agg, binop, func};

/// Takes the series of a vector, one by one.
pub(crate) type Sink<'s, 'a> = &'s mut dyn FnMut(&mut Evaluator<'a>, Series) -> Result<(), EvalError>;

/// State of one query's evaluation.
pub(crate) struct Evaluator<'a> {
    pub(crate) source: &'a dyn SampleSource,
    pub(crate) options: &'a Options<'a>,
    /// First and last instant of the query itself, milliseconds: `start()` and `end()`.
    pub(crate) query_start: i64,
    pub(crate) query_end: i64,
    /// Whether the query is for a range: some functions warn there.
    pub(crate) is_range_query: bool,
    /// `step()` and `range()`.
    pub(crate) lengths: QueryLengths,
    /// The series of every selector of the query, and the info series of every call of `info()`.
    pub(crate) loaded: HashMap<Reader, Arc<Loaded>>,
    pub(crate) annotations: Annotations,
    /// Samples held now, and the most ever held.
    held: u64,
    pub(crate) peak: u64,
    pub(crate) samples_read: u64,
    /// How long sorting took.
    pub(crate) sorting: Option<Duration>,
    pub(crate) watch: Watch<'a>,
    /// Samples that were looked at.
    pub(crate) counts: Counts,
}

impl<'a> Evaluator<'a> {
    /// For an instant query: it has neither step nor range.
    pub(crate) fn for_instant(source: &'a dyn SampleSource, options: &'a Options<'a>, time: i64) -> Self {
        Self {
            source,
            options,
            query_start: time,
            query_end: time,
            is_range_query: false,
            lengths: QueryLengths { step: 0.0, range: 0.0 },
            loaded: HashMap::new(),
            annotations: Annotations::default(),
            held: 0,
            peak: 0,
            samples_read: 0,
            sorting: None,
            watch: Watch::new(options.stop),
            counts: Counts::wanted(options, Steps::once(time)),
        }
    }

    /// For a range query. `end` need not be a step.
    pub(crate) fn for_range(
        source: &'a dyn SampleSource,
        options: &'a Options<'a>,
        steps: Steps,
        end: i64,
    ) -> Self {
        let range = end.saturating_sub(steps.start);
        Self {
            query_end: end,
            is_range_query: true,
            counts: Counts::wanted(options, steps),
            lengths: QueryLengths { step: seconds(steps.step), range: seconds(range) },
            ..Self::for_instant(source, options, steps.start)
        }
    }

    /// The fixed time that `@` stands for.
    pub(crate) fn fixed_time(&self, at: Option<At>) -> Option<i64> {
        at.map(|at| match at {
            At::Time(ms) => ms,
            At::Start => self.query_start,
            At::End => self.query_end,
        })
    }

    /// Counts samples as held; refuses more than the limit.
    pub(crate) fn hold(&mut self, n: usize) -> Result<(), EvalError> {
        self.held += n as u64;
        self.peak = self.peak.max(self.held);
        if self.held > self.options.max_samples {
            return Err(EvalError::TooManySamples);
        }
        Ok(())
    }

    /// Samples that may still be held.
    pub(crate) fn room(&self) -> u64 {
        self.options.max_samples.saturating_sub(self.held)
    }

    /// Counts samples as let go.
    pub(crate) fn release(&mut self, n: usize) {
        self.held = self.held.saturating_sub(n as u64);
    }

    /// Runs what sorts a result, with a look at the clock.
    pub(crate) fn sorting<T>(&mut self, sort: impl FnOnce() -> T) -> T {
        let began = self.options.clock.map(|clock| clock());
        let sorted = sort();
        if let (Some(clock), Some(began)) = (self.options.clock, began) {
            *self.sorting.get_or_insert_default() += clock().saturating_sub(began);
        }
        sorted
    }

    /// Counts work, and now and then asks whether to stop.
    pub(crate) fn tick(&mut self, n: usize) -> Result<(), EvalError> {
        self.watch.tick(n)
    }

    /// The values of a scalar expression, one for each step. Whoever evaluates something else before they are let go
    /// [holds](Self::hold) them: there can be as many as a series inside a subquery has.
    pub(crate) fn scalar(&mut self, expr: &'a Expr, steps: Steps) -> Result<Vec<f64>, EvalError> {
        self.tick(steps.n)?;
        match &expr.kind {
            ExprKind::Number(literal) => Ok(vec![literal.value; steps.n]),
            ExprKind::Paren(inner) => self.scalar(inner, steps),
            ExprKind::Unary(unary) => {
                let mut values = self.scalar(&unary.expr, steps)?;
                if unary.is_negative {
                    values.iter_mut().for_each(|value| *value = -*value);
                }
                Ok(values)
            }
            ExprKind::Binary(binary) => {
                let left = self.scalar(&binary.lhs, steps)?;
                self.hold(steps.n)?;
                let right = self.scalar(&binary.rhs, steps)?;
                self.release(steps.n);
                Ok(crate::binop_arithmetic::scalars(binary.op, left, &right))
            }
            ExprKind::Call(call) => func::scalar_call(self, call, steps),
            _ => Err(EvalError::Execution(format!(
                "expected a scalar at {}:{}, found {}",
                expr.span.line,
                expr.span.column,
                expr.value_type().documented()
            ))),
        }
    }

    /// Pushes the series of an instant vector into `sink`. Series without a value at any step are left out.
    pub(crate) fn stream(
        &mut self,
        expr: &'a Expr,
        steps: Steps,
        sink: Sink<'_, 'a>,
    ) -> Result<(), EvalError> {
        // Whatever a node does, it is something, also where there are no series.
        self.tick(steps.n)?;
        if steps.n > 1 && facts::is_step_invariant(expr) {
            let once = self.stream_inside(expr, Steps { n: 1, ..steps }, &mut |evaluator, mut series| {
                let value = series.values[0];
                series.values.resize(steps.n, value);
                if let Some(histogram) = series.histograms.take(0) {
                    series.histograms = Histograms::default();
                    for step in 0..steps.n {
                        series.histograms.set(step, steps.n, Arc::clone(&histogram));
                    }
                }
                sink(evaluator, series)
            })?;
            self.counts.absorb_invariant(&once);
            return Ok(());
        }
        match &expr.kind {
            ExprKind::Paren(inner) => self.stream(inner, steps, sink),
            ExprKind::Vector(selector) => self.stream_selector(selector, expr.span, steps, sink),
            ExprKind::Call(call) => func::stream_call(self, call, expr.span, steps, sink),
            ExprKind::Aggregate(aggregate) => agg::stream(self, aggregate, steps, sink),
            ExprKind::Binary(binary) => binop::stream(self, binary, expr, steps, sink),
            ExprKind::Unary(unary) if unary.is_negative => {
                let unique = facts::stays_unique_without_name(&unary.expr);
                self.dropping_names(unique, sink, |evaluator, sink| {
                    evaluator.stream(&unary.expr, steps, &mut |evaluator, mut series| {
                        series.map(|value| -value);
                        series.histograms.map(|histogram| histogram.scaled(-1.0).compacted());
                        sink(evaluator, series)
                    })
                })
            }
            ExprKind::Unary(unary) => self.stream(&unary.expr, steps, sink),
            ExprKind::Number(_) | ExprKind::String(_) | ExprKind::Matrix(_) | ExprKind::Subquery(_) => {
                Err(EvalError::Execution(format!(
                    "expected an instant vector at {}:{}, found {}",
                    expr.span.line,
                    expr.span.column,
                    expr.value_type().documented()
                )))
            }
        }
    }

    /// All series of an instant vector. The caller [releases](Self::release_series) them.
    pub(crate) fn collect(&mut self, expr: &'a Expr, steps: Steps) -> Result<Vec<Series>, EvalError> {
        debug_assert_eq!(expr.value_type(), ValueType::InstantVector);
        let mut all = Vec::new();
        self.stream(expr, steps, &mut |evaluator, series| {
            evaluator.hold(series.n_samples())?;
            all.push(series);
            Ok(())
        })?;
        Ok(all)
    }

    /// Counts collected series as let go.
    pub(crate) fn release_series(&mut self, series: &[Series]) {
        self.release(series.iter().map(Series::n_samples).sum());
    }

    /// Takes the names off the series that `produce` pushes: now, or at the end of the query when removal is delayed.
    /// Unless `unique` is known, series that become equal are joined, and refused where they meet at one step.
    pub(crate) fn dropping_names(
        &mut self,
        unique: bool,
        sink: Sink<'_, 'a>,
        produce: impl FnOnce(&mut Self, Sink<'_, 'a>) -> Result<(), EvalError>,
    ) -> Result<(), EvalError> {
        if self.options.delayed_name_removal {
            return produce(self, &mut |evaluator, mut series| {
                series.drops_name = true;
                sink(evaluator, series)
            });
        }
        if unique {
            return produce(self, &mut |evaluator, mut series| {
                series.labels = without_name(&series.labels);
                sink(evaluator, series)
            });
        }
        let mut all = Vec::new();
        produce(self, &mut |evaluator, mut series| {
            evaluator.hold(series.n_samples())?;
            series.labels = without_name(&series.labels);
            all.push(series);
            Ok(())
        })?;
        self.release_series(&all);
        for series in merge_equal(all)? {
            sink(self, series)?;
        }
        Ok(())
    }
}
