//! LogQL: parser, typed syntax tree, pipeline and evaluation over any source of entries.
//!
//! No I/O, no clock, no async: `&str` in, tree or positioned error out; entries in, answers out.

pub mod source;

pub use source::{Direction, EntryRef, LogSource, Selection, SourceError, StreamCursor};
