//! The log engine: tenants → streams (label sets) → chunks.
//!
//! A push becomes one WAL record, is synced together with every other push that waits (group commit), is applied to
//! the in-memory heads and only then acknowledged. Heads are cut into immutable chunks, many of them packed into one
//! file; the catalogue in SQLite says which chunks exist. What is on disk, byte by byte, is in `FORMAT.md` beside this crate.
//!
//! Not here: HTTP, configuration files, async, a clock (callers pass `now`), query languages (`cairn-logql` asks
//! through [`cairn_logql::LogSource`], which [`View`] implements).
//!
//! Start with [`Store`]; then follow an entry through the modules in this order:
//!
//! | module | answers |
//! |---|---|
//! | [`store`] | what can be asked of the engine |
//! | [`options`] | which limits, sizes and periods there are |
//! | [`push`] | how a push is checked, logged, applied, refused |
//! | [`retention`] | how long is an entry kept |
//! | [`stats`] | what is counted |
//! | [`error`] | what can go wrong |

pub mod error;
pub mod options;
pub mod push;
pub mod retention;
pub mod stats;
pub mod store;
pub mod view;

pub use error::{MaintainError, OpenError};
pub use options::Options;
pub use push::{Entry, PushError, PushReport, RejectReason, RejectedStream, StreamBatch};
pub use retention::{Retention, RetentionRule, TenantRetention};
pub use stats::{Counters, MaintainReport, Progress, Stage, Stats, StreamVolume};
pub use store::Store;
pub use view::View;
