//! PromQL: parser, typed syntax tree and evaluation over any source of samples.
//!
//! No I/O, no clock, no async: `&str` in, tree or positioned error out; series in, answers out. Entry points are
//! [`parse`], [`eval_instant`] and [`eval_range`]; a store implements [`SampleSource`].
//!
//! | question | files |
//! |---|---|
//! | how is text cut and parsed, what does an error say | `lexer*.rs`, `parser*.rs`, `error.rs` |
//! | what is in the tree, how is it printed | `ast*.rs`, `printer*.rs` |
//! | which functions are there: arguments, properties, computation | `functions.rs` |
//! | how does evaluation go, who holds what in memory | `evaluator.rs`, `series.rs` |
//! | what if a tree is very tall | `tall.rs` |
//! | when and how are samples read | `eval_load.rs`, `loaded.rs`, `source.rs` |
//! | how many samples did each step look at | `eval_counts.rs` |
//! | how do windows move over samples, which look alike | `windows.rs`, `window_runs.rs` |
//! | what is done on several cores | `batches.rs`; `stored_vector.rs` for whoever knows which core needs which series |
//! | which families of functions are there, how is a call of each evaluated | `func.rs`, `func_range.rs` |
//! | what does a function, an aggregation, an operator compute | `func_*.rs`, `agg*.rs`, `binop*.rs` |
//! | the same for native histograms | `histogram_*.rs`; arithmetic itself in `cairn_model::float_histogram` |
//! | what must come out | `testdata/*.test`, run by `tests/promqltest/` |
//!
//! A new function is a row in `functions.rs` and its computation in the `func_*.rs` of its family; its statements go
//! to `testdata/<family>.test`. The row's constructor asks for everything else; `tests/functions.rs` checks what the
//! row claims, and that every function has statements.

pub mod answer;
pub mod ast;
pub mod error;
pub mod functions;
pub mod source;

mod ast_operators;
mod lexer;
mod lexer_number;
mod parser;
mod parser_check;
mod parser_duration;
mod parser_expr;
mod parser_postfix;
mod parser_selector;
mod printer;
mod printer_pretty;
mod times;
mod token;

mod annotations;
mod batches;
mod eval;
mod eval_counts;
mod eval_duration;
mod eval_load;
mod eval_range_vector;
mod eval_selector;
mod eval_subquery;
mod evaluator;
mod facts;
mod histogram_buckets;
mod histogram_column;
mod histogram_extended;
mod histogram_hints;
mod histogram_rate;
mod histogram_sum;
mod histogram_trim;
mod kahan;
mod loaded;
mod non_finite;
mod quantile;
mod selector_smoothed;
mod series;
mod start_times;
mod stored_vector;
mod tall;
mod watch;
mod window_runs;
mod windows;

mod agg;
mod agg_fold;
mod agg_select;
mod agg_stored;
mod agg_values;
mod binop;
mod binop_arithmetic;
mod binop_element;
mod binop_match;
mod binop_set;

mod buckets;
mod func;
mod func_absent;
mod func_changes;
mod func_date;
mod func_extended;
mod func_histogram;
mod func_info;
mod func_label;
mod func_math;
mod func_over_time;
mod func_range;
mod func_rate;
mod func_rate_fill;
mod func_regression;
mod func_scalar;
mod func_smoothing;
mod func_sort;
mod func_timestamp;

pub use answer::{
    Answer, Clock, EvalError, HistogramSample, MatrixSeries, Options, Point, Sample, SampleCounts, Stats,
    Stop, StopCheck, Value, VectorSample,
};
pub use ast::Expr;
pub use error::ParseError;
pub use eval::{eval_instant, eval_range};
pub use parser::{ParseOptions, parse, parse_selector, parse_with};
pub use source::{SampleSource, Selection, SeriesData, SourceError};
