//! The log engine: tenants → streams (label sets) → chunks.
//!
//! A push becomes one WAL record, is synced together with every other push that waits (group commit), is applied to
//! the in-memory heads and only then acknowledged. Heads are cut into immutable chunks, many of them packed into one
//! file; the catalogue in SQLite says which chunks exist. What is on disk, byte by byte, is in `FORMAT.md` beside this crate.
//!
//! Not here: HTTP, configuration files, async, a clock (callers pass `now`), query languages (`cairn-logql` asks
//! through [`cairn_logql::LogSource`], which [`View`] implements).
//!
//! Start with [`Store`]; then follow an entry through the modules:
//!
//! | module | answers |
//! |---|---|
//! | [`store`] | what can be asked of the engine |
//! | [`options`], [`retention`] | which limits, sizes, ages and periods there are |
//! | `engine` | which parts an open store has, and in which order locks are taken |
//! | [`push`] | how a push is checked, logged, applied, refused |
//! | [`wal_record`] | what a push looks like in the log |
//! | `head` | where recent entries are, how late ones and repeats are handled |
//! | `stream`, `tenant`, `postings` | what belongs to a stream, how matchers find streams |
//! | `maintain`, `expire` | when heads become chunks, when the log and old chunks go |
//! | [`chunk_format`], [`filter`], `chunk_writer`, [`chunk_file`] | what chunks look like, how they are written |
//! | `chunk_reader`, `block`, [`codec`] | how they are read and distrusted |
//! | [`catalogue`] | what SQLite keeps |
//! | `recover` | what happens at a start, after a crash, with damage |
//! | [`view`], `cursor`, `run` | how a query reads: lazily, merged, each entry once |
//! | `inventory` | label names, values, series, sizes |
//! | [`stats`], `counters`, `damage`, [`error`] | what is counted, reported, refused |

mod block;
pub mod catalogue;
pub mod chunk_file;
pub mod chunk_format;
mod chunk_reader;
mod chunk_writer;
pub mod codec;
mod counters;
mod cursor;
mod damage;
pub mod engine;
pub mod error;
mod expire;
pub mod filter;
mod head;
mod inventory;
mod maintain;
pub mod options;
mod postings;
pub mod push;
mod recover;
pub mod retention;
mod run;
pub mod stats;
pub mod store;
mod stream;
mod tenant;
pub mod view;
pub mod wal_record;

pub use error::{MaintainError, OpenError};
pub use options::Options;
pub use push::{Entry, PushError, PushReport, RejectReason, RejectedStream, StreamBatch};
pub use retention::{Retention, RetentionRule, TenantRetention};
pub use stats::{Counters, MaintainReport, Progress, RecoveryReport, Stage, Stats, StreamVolume};
pub use store::Store;
pub use view::View;
