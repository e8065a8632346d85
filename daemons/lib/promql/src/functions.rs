//! The functions of PromQL: one row says everything about one that is not its computation.
//!
//! A row names the function, its arguments, what its value varies with, what becomes of metric names, and the
//! computation in the `func_*.rs` of its family. Parser, evaluator and tests ask the row; no other file lists names.
//! Rows are made by one constructor per family (below the table), so that a row cannot leave a question open.

use cairn_model::FloatHistogram;

use crate::ast::ValueType::{self, InstantVector as V, RangeVector as R, Scalar as S, String as T};
use crate::func::{Compute, ScalarAtStep, VectorCompute};
use crate::func_range::RangeFunction;
use crate::func_sort::Order;
use crate::{
    func_absent, func_changes, func_date, func_histogram, func_info, func_label, func_math, func_over_time,
    func_rate, func_regression, func_scalar, func_smoothing, func_sort, func_timestamp,
};

use Names::{Distinct, Dropped, Kept, Rewritten};
use Varies::{ByQuery, ByStep, Never};

/// A function: signature, properties, computation.
#[derive(Debug)]
pub struct Function {
    /// As written.
    pub name: &'static str,
    /// Types of the arguments; the last one also stands for what [`variadic`](Self::variadic) allows.
    pub arg_types: &'static [ValueType],
    /// 0: exactly as many arguments as types. n > 0: the last type may occur 0 to n times. -1: any number of times.
    pub variadic: i8,
    /// Type of the result.
    pub returns: ValueType,
    /// Experimental in Prometheus 3.14: refused when
    /// [`ParseOptions::experimental_functions`](crate::ParseOptions::experimental_functions) is off.
    pub is_experimental: bool,
    /// What the value varies with when the arguments stay the same.
    pub varies: Varies,
    /// What becomes of the metric names of the series that go in.
    pub names: Names,
    /// Family and computation.
    pub(crate) compute: Compute,
}

/// What a function's value varies with when its arguments stay the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Varies {
    /// Nothing. With every selector fixed by `@` the function is evaluated once, not at every step.
    Never,
    /// The time of the step: `time()`, `hour()`, `predict_linear()`.
    ByStep,
    /// Bounds and step of the query, while all steps are alike: `start()`, `step()`.
    ByQuery,
}

/// What becomes of metric names, and so whether results may become equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Every series that goes in gives at most one, without its name. The evaluator takes the names off and joins
    /// what becomes equal; the computation leaves the labels alone.
    Dropped,
    /// Every series that goes in gives at most one, labels and name as they are.
    Kept,
    /// The computation makes new labels, which may have a name or become equal to others.
    Rewritten,
    /// The computation makes new labels, without name and each once. Also for scalars, which have none.
    Distinct,
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// All functions, sorted by name.
pub static FUNCTIONS: &[Function] = &[
    math("abs", f64::abs),
    vector("absent", &[V], 0, Never, Distinct, func_absent::absent),
    vector("absent_over_time", &[R], 0, Never, Distinct, func_absent::absent_over_time),
    math("acos", f64::acos),
    math("acosh", func_math::acosh),
    math("asin", f64::asin),
    math("asinh", func_math::asinh),
    math("atan", f64::atan),
    math("atanh", f64::atanh),
    over_range("avg_over_time", &[R], Never, Dropped, func_over_time::AVG),
    math("ceil", f64::ceil),
    over_range("changes", &[R], Never, Dropped, func_changes::CHANGES),
    math_with("clamp", &[V, S, S], 0, func_math::clamp),
    math_with("clamp_max", &[V, S], 0, func_math::clamp_max),
    math_with("clamp_min", &[V, S], 0, func_math::clamp_min),
    math("cos", f64::cos),
    math("cosh", f64::cosh),
    over_range("count_over_time", &[R], Never, Dropped, func_over_time::COUNT),
    date("day_of_month", func_date::day_of_month),
    date("day_of_week", func_date::day_of_week),
    date("day_of_year", func_date::day_of_year),
    date("days_in_month", func_date::days_in_month),
    math("deg", func_math::deg),
    over_range("delta", &[R], Never, Dropped, func_rate::DELTA),
    over_range("deriv", &[R], Never, Dropped, func_regression::DERIV),
    over_range(
        "double_exponential_smoothing",
        &[R, S, S],
        Never,
        Dropped,
        func_smoothing::DOUBLE_EXPONENTIAL,
    )
    .experimental(),
    scalar("end", &[], ByQuery, func_scalar::end).experimental(),
    math("exp", f64::exp),
    over_range("first_over_time", &[R], Never, Kept, func_over_time::FIRST),
    math("floor", f64::floor),
    of_histograms("histogram_avg", func_histogram::avg),
    of_histograms("histogram_count", func_histogram::count),
    vector("histogram_fraction", &[S, S, V], 0, Never, Rewritten, func_histogram::fraction),
    vector("histogram_quantile", &[S, V], 0, Never, Rewritten, func_histogram::quantile),
    vector("histogram_quantiles", &[V, T, S, S], 9, Never, Rewritten, func_histogram::quantiles)
        .experimental(),
    of_histograms("histogram_stddev", func_histogram::stddev),
    of_histograms("histogram_stdvar", func_histogram::stdvar),
    of_histograms("histogram_sum", func_histogram::sum),
    date("hour", func_date::hour),
    over_range("idelta", &[R], Never, Dropped, func_rate::IDELTA),
    over_range("increase", &[R], Never, Dropped, func_rate::INCREASE),
    vector("info", &[V, V], 1, Never, Rewritten, func_info::info).experimental(),
    over_range("irate", &[R], Never, Dropped, func_rate::IRATE),
    vector("label_join", &[V, T, T, T], -1, Never, Rewritten, func_label::label_join),
    vector("label_replace", &[V, T, T, T, T], 0, Never, Rewritten, func_label::label_replace),
    over_range("last_over_time", &[R], Never, Kept, func_over_time::LAST),
    math("ln", f64::ln),
    math("log10", f64::log10),
    math("log2", f64::log2),
    over_range("mad_over_time", &[R], Never, Dropped, func_over_time::MAD).experimental(),
    scalar("max_of", &[S, S], Never, func_scalar::max_of).experimental(),
    over_range("max_over_time", &[R], Never, Dropped, func_over_time::MAX),
    scalar("min_of", &[S, S], Never, func_scalar::min_of).experimental(),
    over_range("min_over_time", &[R], Never, Dropped, func_over_time::MIN),
    date("minute", func_date::minute),
    date("month", func_date::month),
    scalar("pi", &[], Never, func_scalar::pi),
    over_range("predict_linear", &[R, S], ByStep, Dropped, func_regression::PREDICT_LINEAR),
    over_range("present_over_time", &[R], Never, Dropped, func_over_time::PRESENT),
    over_range("quantile_over_time", &[S, R], Never, Dropped, func_over_time::QUANTILE),
    math("rad", func_math::rad),
    scalar("range", &[], ByQuery, func_scalar::range).experimental(),
    over_range("rate", &[R], Never, Dropped, func_rate::RATE),
    over_range("resets", &[R], Never, Dropped, func_changes::RESETS),
    math_with("round", &[V, S], 1, func_math::round),
    row("scalar", &[V], 0, S, Never, Distinct, Compute::OnlyElement),
    math("sgn", func_math::sgn),
    math("sin", f64::sin),
    math("sinh", f64::sinh),
    sort("sort", &[V], 0, func_sort::ascending),
    sort("sort_by_label", &[V, T], -1, func_sort::by_labels).experimental(),
    sort("sort_by_label_desc", &[V, T], -1, func_sort::by_labels_descending).experimental(),
    sort("sort_desc", &[V], 0, func_sort::descending),
    math("sqrt", f64::sqrt),
    scalar("start", &[], ByQuery, func_scalar::start).experimental(),
    vector("start_timestamp", &[V], 0, Never, Dropped, func_timestamp::start_timestamp).experimental(),
    over_range("stddev_over_time", &[R], Never, Dropped, func_over_time::STDDEV),
    over_range("stdvar_over_time", &[R], Never, Dropped, func_over_time::STDVAR),
    scalar("step", &[], ByQuery, func_scalar::step).experimental(),
    over_range("sum_over_time", &[R], Never, Dropped, func_over_time::SUM),
    math("tan", f64::tan),
    math("tanh", f64::tanh),
    scalar("time", &[], ByStep, func_scalar::time),
    vector("timestamp", &[V], 0, ByStep, Dropped, func_timestamp::timestamp),
    over_range("ts_of_first_over_time", &[R], Never, Dropped, func_over_time::TS_OF_FIRST).experimental(),
    over_range("ts_of_last_over_time", &[R], Never, Dropped, func_over_time::TS_OF_LAST).experimental(),
    over_range("ts_of_max_over_time", &[R], Never, Dropped, func_over_time::TS_OF_MAX).experimental(),
    over_range("ts_of_min_over_time", &[R], Never, Dropped, func_over_time::TS_OF_MIN).experimental(),
    vector("vector", &[S], 0, Never, Distinct, func_scalar::vector),
    date("year", func_date::year),
];

/// The function of that name. Function names are written in lower case only.
pub fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.binary_search_by(|function| function.name.cmp(name)).ok().map(|at| &FUNCTIONS[at])
}

/// A formula of each value of a vector.
const fn math(name: &'static str, formula: fn(f64) -> f64) -> Function {
    row(name, &[V], 0, V, Never, Dropped, Compute::Math(formula))
}

/// A formula of each value of a vector and of scalars, which come in the order of the arguments.
const fn math_with(
    name: &'static str,
    arg_types: &'static [ValueType],
    variadic: i8,
    formula: fn(f64, &[f64]) -> f64,
) -> Function {
    row(name, arg_types, variadic, V, Never, Dropped, Compute::MathWith(formula))
}

/// A number out of each native histogram of a vector; its numbers are passed over.
const fn of_histograms(name: &'static str, value: fn(&FloatHistogram) -> f64) -> Function {
    row(name, &[V], 0, V, Never, Dropped, Compute::OfHistograms(value))
}

/// A part of the date that each value of a vector is, in seconds since the epoch; without a vector, of the step.
const fn date(name: &'static str, part: fn(f64) -> f64) -> Function {
    row(name, &[V], 1, V, ByStep, Dropped, Compute::Date(part))
}

/// A number for each step, from scalars.
const fn scalar(
    name: &'static str,
    arg_types: &'static [ValueType],
    varies: Varies,
    value: ScalarAtStep,
) -> Function {
    row(name, arg_types, 0, S, varies, Distinct, Compute::Scalar(value))
}

/// An order of the vector in the first argument, by its values or by the labels that the others name.
const fn sort(name: &'static str, arg_types: &'static [ValueType], variadic: i8, order: Order) -> Function {
    row(name, arg_types, variadic, V, Never, Kept, Compute::Sort(order))
}

/// A number out of each window of a range vector.
const fn over_range(
    name: &'static str,
    arg_types: &'static [ValueType],
    varies: Varies,
    names: Names,
    function: RangeFunction,
) -> Function {
    row(name, arg_types, 0, V, varies, names, Compute::Range(function))
}

/// Any other function that gives a vector.
const fn vector(
    name: &'static str,
    arg_types: &'static [ValueType],
    variadic: i8,
    varies: Varies,
    names: Names,
    compute: VectorCompute,
) -> Function {
    row(name, arg_types, variadic, V, varies, names, Compute::Vector(compute))
}

const fn row(
    name: &'static str,
    arg_types: &'static [ValueType],
    variadic: i8,
    returns: ValueType,
    varies: Varies,
    names: Names,
    compute: Compute,
) -> Function {
    Function { name, arg_types, variadic, returns, is_experimental: false, varies, names, compute }
}

impl Function {
    /// The same function, experimental.
    const fn experimental(self) -> Self {
        Self { is_experimental: true, ..self }
    }

    /// Whether the order of its result is part of an instant query's answer.
    pub(crate) fn orders_result(&self) -> bool {
        matches!(self.compute, Compute::Sort(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_sorted_so_that_every_function_is_found() {
        for function in FUNCTIONS {
            assert_eq!(find(function.name), Some(function), "{}", function.name);
        }
        assert_eq!(find("foo"), None);
    }
}
