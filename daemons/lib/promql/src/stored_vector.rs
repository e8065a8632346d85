//! Vectors of which each series comes of one stored series and nothing else: a selector, or a function over a range of one.
//! Whoever takes their series one by one has the evaluator [stream](Evaluator::stream) them. Whoever knows which core needs
//! which of them, as groups do, has each core make its own, in memory that stays with it.

use std::sync::Arc;

use crate::annotations::{Annotations, Notes};
use crate::answer::EvalError;
use crate::ast::{Call, Expr, ExprKind, Span, VectorSelector};
use crate::eval_range_vector::{self, Buffers};
use crate::eval_selector;
use crate::evaluator::Evaluator;
use crate::facts;
use crate::func::Compute;
use crate::func_range::{self, RangeCall, RangeFunction};
use crate::functions::Names;
use crate::loaded::Loaded;
use crate::parser_selector::METRIC_NAME;
use crate::series::{ABSENT, Histograms, Series, Steps, is_absent};
use crate::watch::Watch;
use crate::windows::Placement;

/// What becomes of the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    Kept,
    /// Off at once.
    Dropped,
    /// Off at the end of the query.
    Delayed,
}

/// A vector of stored series, of which nothing is evaluated so far.
pub(crate) struct StoredVector<'a> {
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) naming: Naming,
    selector: &'a VectorSelector,
    span: Span,
    /// The function over ranges, if it is not the selector itself.
    call: Option<(&'a Call, &'a RangeFunction)>,
    steps: Steps,
}

impl<'a> StoredVector<'a> {
    /// `None` when `expr` is anything else, when its names cannot go without a look at all series, or when each step's samples
    /// are to be counted.
    pub(crate) fn of(evaluator: &Evaluator<'a>, expr: &'a Expr, steps: Steps) -> Option<Self> {
        let expr = expr.unwrap_parens();
        if evaluator.counts.has_steps() || (steps.n > 1 && facts::is_step_invariant(expr)) {
            return None;
        }
        let (selector, call, naming, span) = match &expr.kind {
            ExprKind::Vector(selector) => (selector, None, Naming::Kept, expr.span),
            ExprKind::Call(call) => {
                let Compute::Range(function) = &call.function.compute else { return None };
                let range_arg = call.args.iter().find_map(|arg| match &arg.unwrap_parens().kind {
                    ExprKind::Matrix(matrix) => Some((matrix, arg.span)),
                    _ => None,
                });
                let (matrix, span) = range_arg?;
                let is_unique = || call.args.iter().all(facts::stays_unique_without_name);
                let naming = match call.function.names {
                    Names::Kept => Naming::Kept,
                    Names::Dropped if evaluator.options.delayed_name_removal => Naming::Delayed,
                    Names::Dropped if is_unique() => Naming::Dropped,
                    Names::Dropped | Names::Rewritten | Names::Distinct => return None,
                };
                (&matrix.selector, Some((call, function)), naming, span)
            }
            _ => return None,
        };
        let loaded = evaluator.loaded_series(selector);
        Some(Self { loaded, naming, selector, span, call, steps })
    }

    /// Values that making a series handles, or that the series has, whichever is more.
    pub(crate) fn weight(&self, at: usize) -> usize {
        match self.call {
            Some(_) => eval_range_vector::weight(self.loaded.at(at), self.steps.n),
            None => self.steps.n,
        }
    }

    /// Evaluates what all series have in common. To be [finished](Prepared::finish).
    pub(crate) fn prepare(self, evaluator: &mut Evaluator<'a>) -> Result<Prepared<'a>, EvalError> {
        evaluator.tick(self.steps.n)?;
        let (range, how) = match self.call {
            None => (evaluator.options.lookback_ms, How::Newest),
            Some((call, function)) => {
                let (arg, range_call) = func_range::prepare(evaluator, call, function, self.steps)?;
                (range_call.range_ms, How::Range { function, arg, call: range_call })
            }
        };
        let placement = evaluator.placement(self.selector, range, self.steps)?;
        if self.call.is_some() {
            evaluator.count_ranges(self.selector, &placement, &self.loaded)?;
        }
        Ok(Prepared { vector: self, placement, how })
    }
}

/// A vector whose series can be made.
pub(crate) struct Prepared<'a> {
    pub(crate) vector: StoredVector<'a>,
    placement: Placement,
    how: How<'a>,
}

enum How<'a> {
    /// The newest sample of each lookback window.
    Newest,
    Range {
        function: &'a RangeFunction,
        arg: &'a Expr,
        call: RangeCall,
    },
}

/// What a thread makes series with.
pub(crate) struct Maker<'v, 'a> {
    /// What was made last. It has the labels of the stored series.
    pub(crate) series: Series,
    pub(crate) annotations: Annotations,
    pub(crate) watch: Watch<'a>,
    /// What all steps of the series so far look at.
    n_samples: u64,
    buffers: Buffers<'v>,
    notes: Notes,
    /// The last series, by its number, whose metric may be no counter.
    non_counter: Option<(usize, String)>,
}

impl<'a> Prepared<'a> {
    /// For one thread.
    pub(crate) fn maker<'v>(&'v self, watch: Watch<'a>) -> Maker<'v, 'a> {
        Maker {
            series: Series::floats(Arc::default(), false, vec![ABSENT; self.vector.steps.n]),
            annotations: Annotations::default(),
            watch,
            n_samples: 0,
            buffers: Buffers::default(),
            notes: Notes::default(),
            non_counter: None,
        }
    }

    /// Makes a series. False when it has nothing at any step.
    pub(crate) fn make<'v>(&'v self, at: usize, maker: &mut Maker<'v, 'a>) -> Result<bool, EvalError> {
        let Maker { series, annotations, watch, n_samples, buffers, notes, non_counter } = maker;
        let from = self.vector.loaded.at(at);
        series.labels = Arc::clone(&from.labels);
        series.drops_name = self.vector.naming == Naming::Delayed;
        series.values.fill(ABSENT);
        series.histograms = Histograms::default();
        match &self.how {
            How::Newest => {
                watch.tick(self.vector.steps.n)?;
                eval_selector::pick_values(
                    self.vector.selector.extension,
                    from,
                    &self.placement,
                    series,
                    notes,
                );
                *n_samples += series.n_picked();
            }
            How::Range { function, call, .. } => {
                let (floats, histograms) = (from.floats.column(), from.histograms.column());
                watch.tick(floats.times.len() + histograms.times.len() + self.vector.steps.n)?;
                let placed = buffers.place(&from.labels, false, floats, histograms, &self.placement);
                *n_samples += placed.n_in_windows();
                func_range::fill(watch, call, function, &placed, series, notes)?;
            }
        }
        let name = from.labels.value(METRIC_NAME);
        for note in notes.drain() {
            annotations.note(note, name, self.vector.span);
        }
        let has_numbers = !series.values.iter().all(|value| is_absent(*value));
        if let How::Range { function, .. } = &self.how
            && has_numbers
            && function.doubts(name)
            && non_counter.as_ref().is_none_or(|(last, _)| *last < at)
        {
            *non_counter = Some((at, name.to_owned()));
        }
        Ok(has_numbers || !series.histograms.is_empty())
    }

    /// Says what the makers have to say, and lets go of what was held.
    pub(crate) fn finish<'v>(
        &'v self,
        evaluator: &mut Evaluator<'a>,
        makers: impl Iterator<Item = Maker<'v, 'a>>,
    ) {
        let mut non_counter: Option<(usize, String)> = None;
        let mut n_samples = 0;
        for maker in makers {
            n_samples += maker.n_samples;
            evaluator.annotations.absorb(maker.annotations);
            non_counter = non_counter.max(maker.non_counter);
        }
        match &self.how {
            How::Newest => evaluator.count_picked_total(n_samples),
            How::Range { .. } => evaluator.count_range_total(self.vector.selector, n_samples),
        }
        if let How::Range { arg, call, .. } = &self.how {
            func_range::finish(evaluator, arg, call, non_counter.as_ref().map(|(_, name)| name.as_str()));
        }
    }
}
