//! Names, argument types and results of PromQL's functions.

use crate::ast::ValueType::{self, InstantVector as V, RangeVector as R, Scalar as S, String as T};

/// Signature of a function.
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
    /// Experimental in Prometheus 3.14.
    pub is_experimental: bool,
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

const fn f(
    name: &'static str,
    arg_types: &'static [ValueType],
    variadic: i8,
    returns: ValueType,
) -> Function {
    Function { name, arg_types, variadic, returns, is_experimental: false }
}

const fn experimental(
    name: &'static str,
    arg_types: &'static [ValueType],
    variadic: i8,
    returns: ValueType,
) -> Function {
    Function { name, arg_types, variadic, returns, is_experimental: true }
}

/// All functions, sorted by name.
pub static FUNCTIONS: &[Function] = &[
    f("abs", &[V], 0, V),
    f("absent", &[V], 0, V),
    f("absent_over_time", &[R], 0, V),
    f("acos", &[V], 0, V),
    f("acosh", &[V], 0, V),
    f("asin", &[V], 0, V),
    f("asinh", &[V], 0, V),
    f("atan", &[V], 0, V),
    f("atanh", &[V], 0, V),
    f("avg_over_time", &[R], 0, V),
    f("ceil", &[V], 0, V),
    f("changes", &[R], 0, V),
    f("clamp", &[V, S, S], 0, V),
    f("clamp_max", &[V, S], 0, V),
    f("clamp_min", &[V, S], 0, V),
    f("cos", &[V], 0, V),
    f("cosh", &[V], 0, V),
    f("count_over_time", &[R], 0, V),
    f("day_of_month", &[V], 1, V),
    f("day_of_week", &[V], 1, V),
    f("day_of_year", &[V], 1, V),
    f("days_in_month", &[V], 1, V),
    f("deg", &[V], 0, V),
    f("delta", &[R], 0, V),
    f("deriv", &[R], 0, V),
    experimental("double_exponential_smoothing", &[R, S, S], 0, V),
    experimental("end", &[], 0, S),
    f("exp", &[V], 0, V),
    f("first_over_time", &[R], 0, V),
    f("floor", &[V], 0, V),
    f("histogram_avg", &[V], 0, V),
    f("histogram_count", &[V], 0, V),
    f("histogram_fraction", &[S, S, V], 0, V),
    f("histogram_quantile", &[S, V], 0, V),
    experimental("histogram_quantiles", &[V, T, S, S], 9, V),
    f("histogram_stddev", &[V], 0, V),
    f("histogram_stdvar", &[V], 0, V),
    f("histogram_sum", &[V], 0, V),
    f("hour", &[V], 1, V),
    f("idelta", &[R], 0, V),
    f("increase", &[R], 0, V),
    experimental("info", &[V, V], 1, V),
    f("irate", &[R], 0, V),
    f("label_join", &[V, T, T, T], -1, V),
    f("label_replace", &[V, T, T, T, T], 0, V),
    f("last_over_time", &[R], 0, V),
    f("ln", &[V], 0, V),
    f("log10", &[V], 0, V),
    f("log2", &[V], 0, V),
    experimental("mad_over_time", &[R], 0, V),
    experimental("max_of", &[S, S], 0, S),
    f("max_over_time", &[R], 0, V),
    experimental("min_of", &[S, S], 0, S),
    f("min_over_time", &[R], 0, V),
    f("minute", &[V], 1, V),
    f("month", &[V], 1, V),
    f("pi", &[], 0, S),
    f("predict_linear", &[R, S], 0, V),
    f("present_over_time", &[R], 0, V),
    f("quantile_over_time", &[S, R], 0, V),
    f("rad", &[V], 0, V),
    experimental("range", &[], 0, S),
    f("rate", &[R], 0, V),
    f("resets", &[R], 0, V),
    f("round", &[V, S], 1, V),
    f("scalar", &[V], 0, S),
    f("sgn", &[V], 0, V),
    f("sin", &[V], 0, V),
    f("sinh", &[V], 0, V),
    f("sort", &[V], 0, V),
    experimental("sort_by_label", &[V, T], -1, V),
    experimental("sort_by_label_desc", &[V, T], -1, V),
    f("sort_desc", &[V], 0, V),
    f("sqrt", &[V], 0, V),
    experimental("start", &[], 0, S),
    experimental("start_timestamp", &[V], 0, V),
    f("stddev_over_time", &[R], 0, V),
    f("stdvar_over_time", &[R], 0, V),
    experimental("step", &[], 0, S),
    f("sum_over_time", &[R], 0, V),
    f("tan", &[V], 0, V),
    f("tanh", &[V], 0, V),
    f("time", &[], 0, S),
    f("timestamp", &[V], 0, V),
    experimental("ts_of_first_over_time", &[R], 0, V),
    experimental("ts_of_last_over_time", &[R], 0, V),
    experimental("ts_of_max_over_time", &[R], 0, V),
    experimental("ts_of_min_over_time", &[R], 0, V),
    f("vector", &[S], 0, V),
    f("year", &[V], 1, V),
];

/// The function of that name. Function names are written in lower case only.
pub fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.binary_search_by(|function| function.name.cmp(name)).ok().map(|at| &FUNCTIONS[at])
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
