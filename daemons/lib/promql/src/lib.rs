//! PromQL: parser, typed syntax tree and evaluation over any source of samples.
//!
//! No I/O, no clock, no async: `&str` in, tree or positioned error out; series in, answers out.

pub mod answer;
pub mod ast;
pub mod error;
pub mod functions;
pub mod source;

mod agg;
mod agg_fold;
mod agg_select;
mod agg_values;
mod annotations;
mod binop;
mod binop_arithmetic;
mod binop_match;
mod binop_set;
mod buckets;
mod eval;
mod eval_duration;
mod eval_load;
mod eval_range_vector;
mod eval_selector;
mod eval_subquery;
mod evaluator;
mod facts;
mod func;
mod func_absent;
mod func_changes;
mod func_date;
mod func_extended;
mod func_histogram;
mod func_label;
mod func_math;
mod func_over_time;
mod func_range;
mod func_rate;
mod func_regression;
mod func_smoothing;
mod func_sort;
mod kahan;
mod lexer;
mod parser;
mod parser_check;
mod parser_duration;
mod parser_expr;
mod parser_selector;
mod printer;
mod quantile;
mod series;
mod token;
mod windows;

pub use answer::{
    Answer, EvalError, MatrixSeries, Options, Point, Stats, Stop, StopCheck, Value, VectorSample,
};
pub use ast::Expr;
pub use error::ParseError;
pub use eval::{eval_instant, eval_range};
pub use parser::{parse, parse_selector};
pub use source::{SampleSource, Selection, SeriesData, SourceError};
