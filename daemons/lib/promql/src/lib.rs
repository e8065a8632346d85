//! PromQL: parser, typed syntax tree and evaluation over any source of samples.
//!
//! No I/O, no clock, no async: `&str` in, tree or positioned error out; series in, answers out.

pub mod answer;
pub mod ast;
pub mod error;
pub mod functions;
pub mod source;

mod eval;
mod lexer;
mod parser;
mod parser_check;
mod parser_duration;
mod parser_expr;
mod parser_selector;
mod printer;
mod token;

pub use answer::{
    Answer, EvalError, MatrixSeries, Options, Point, Stats, Stop, StopCheck, Value, VectorSample,
};
pub use ast::Expr;
pub use error::ParseError;
pub use eval::{eval_instant, eval_range};
pub use parser::{parse, parse_selector};
pub use source::{SampleSource, Selection, SeriesData, SourceError};
