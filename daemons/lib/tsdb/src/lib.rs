//! skeleton
#![allow(clippy::all, missing_docs, clippy::unimplemented)]
pub mod append;
pub mod db;
pub mod options;
pub mod series;
pub mod stats;
pub use append::{AppendError, Outcome, Sample};
pub use db::{Db, MaintainError, OpenError, OpenReport, Progress, View};
pub use options::Options;
pub use series::SeriesRef;
pub use stats::{Counters, HeadStats};
