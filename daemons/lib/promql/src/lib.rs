//! PromQL: parser, typed syntax tree and evaluation over any source of samples.
//!
//! No I/O, no clock, no async: `&str` in, tree or positioned error out; series in, answers out.

pub mod source;

pub use source::{SampleSource, Selection, SeriesData, SourceError};
