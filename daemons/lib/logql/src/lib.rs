//! LogQL: parser, typed syntax tree, pipeline and evaluation over any source of entries.
//!
//! No I/O, no clock, no async: `&str` in, tree or positioned error out; entries in, answers out.

mod answer;
pub mod ast;
mod json_scan;
pub mod level;
mod parse;
pub mod source;
mod stage_logfmt;

pub use answer::{
    AnswerStream, DEFAULT_MAX_SERIES, EntryLabels, EvalError, LogAnswer, LogEntry, LogQuery, MetricAnswer, MetricValue,
    Options, Sample, Series, Stats,
};
pub use ast::{Expr, LogExpr, MetricExpr};
pub use level::service_name;
pub use parse::{ParseError, parse, parse_selector};
pub use source::{Direction, EntryRef, LogSource, Selection, SourceError, StreamCursor};

use cairn_model::TimeNs;

/// Runs a log query.
///
/// # Errors
/// See [`EvalError`].
pub fn query_logs(
    source: &dyn LogSource,
    expr: &LogExpr,
    query: &LogQuery,
    options: &Options<'_>,
) -> Result<LogAnswer, EvalError> {
    let _ = (source, expr, query, options);
    Err(EvalError::Query("log queries are not built yet".to_owned()))
}

/// Runs a metric query at one instant.
///
/// # Errors
/// See [`EvalError`].
pub fn query_instant(
    source: &dyn LogSource,
    expr: &MetricExpr,
    time: TimeNs,
    options: &Options<'_>,
) -> Result<MetricAnswer, EvalError> {
    let _ = (source, expr, time, options);
    Err(EvalError::Query("metric queries are not built yet".to_owned()))
}

/// Runs a metric query at every step of a range. `start` is rounded down and `end` up to a multiple of `step`
/// (nanoseconds since the epoch), as Loki does.
///
/// # Errors
/// See [`EvalError`].
pub fn query_range(
    source: &dyn LogSource,
    expr: &MetricExpr,
    start: TimeNs,
    end: TimeNs,
    step: i64,
    options: &Options<'_>,
) -> Result<MetricAnswer, EvalError> {
    let _ = (source, expr, start, end, step, options);
    Err(EvalError::Query("metric queries are not built yet".to_owned()))
}
