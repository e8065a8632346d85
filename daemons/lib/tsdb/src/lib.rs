//! The metrics engine: series and samples, a write-ahead log, a head in memory, immutable blocks.
//!
//! It knows neither HTTP nor configuration files nor async, and no clock: the caller passes the time. [`Db`] is the
//! entry; `FORMAT.md` beside this crate describes every byte on disk.
//!
//! A sample's way: [`Db::append`] judges it, writes it to the log, then puts it into the open chunk of its series in
//! the head; [`Db::sync`] makes the log durable. [`Db::maintain`] writes a full head to blocks, drops the log before it,
//! merges blocks, and removes those that are too old. [`Db::view`] answers selections from blocks and head alike.
//!
//! | module | answers |
//! |---|---|
//! | [`options`] | what can be chosen |
//! | [`db`] | how is a database opened, what can it do |
//! | `db/unit` | how does a sample get in, and a request as a whole (the only place that appends) |
//! | `db/late`, `db/histograms` | and a late one, a native histogram |
//! | `db/write` | how does a series |
//! | `db/maintain`, `db/flush`, `db/compact`, `db/retain` | what happens in the background |
//! | `db/delete`, `db/snapshot`, `restore` | how are samples deleted, how is a copy made and put back |
//! | `db/view`, `db/join`, `db/catalogue` | how are samples and labels found again |
//! | `db/view/export`, `db/import` | how do samples leave for another store, and come from one |
//! | [`append`] | what became of a sample |
//! | [`series`], `head` | what is in memory |
//! | [`exemplars`], `db/exemplars` | what examples are kept of which series |
//! | [`chunk`] | how are samples compressed |
//! | [`wal_record`], [`checkpoint`], `db/replay` | how does the head survive a restart |
//! | [`block`] | how do samples lie on disk |
//! | `prefetch` | how is memory asked for before it is used |
//! | `postings` | which series pass these matchers |
//! | [`stats`] | figures for status pages and metrics |

pub mod append;
pub mod block;
pub mod checkpoint;
pub mod chunk;
pub mod codec;
mod damage;
pub mod db;
pub mod exemplars;
mod head;
pub mod options;
mod postings;
mod prefetch;
mod restore;
pub mod series;
pub mod stats;
pub mod wal_record;

pub use append::{AppendError, HistogramSample, Outcome, Sample, SampleOf, WholeOutcomes};
pub use block::{BlockId, BlockMeta};
pub use db::{BlockImport, Db, DeleteError, MaintainError, OpenError, OpenReport, Progress, View};
pub use exemplars::{ExemplarOutcome, ExemplarSample};
pub use options::Options;
pub use restore::{RestoreError, RestoreReport, restore};
pub use series::{SeriesLabels, SeriesRef};
pub use stats::{Counters, HeadStats};
