//! Cairn's log shipper: takes the place of Promtail.
//!
//! ```text
//! files ──▶ tail ──▶ pipeline ──▶ queue ──▶ deliver ──▶ POST /loki/api/v1/push
//!            ▲                                  │
//!            └── positions ◀── receipts ◀───────┘ acknowledged, or given up and counted
//! ```
//!
//! | module | answers |
//! |---|---|
//! | [`args`], [`daemon`] | how does the process start, reload and stop |
//! | [`config`] | which keys are there, what do they mean when left out, which are refused |
//! | [`shipper`] | which parts are there, and who starts and stops them |
//! | [`target`], [`glob`] | which files are wanted, and how are their streams called |
//! | [`tail`] | how is a file followed through rotation, truncation and restarts |
//! | [`pipeline`] | what happens to a line on its way; **a new stage goes there** |
//! | [`chunk`], [`queue`] | what is under way, and what bounds it |
//! | [`deliver`] | how are batches made and sent, and what does an answer mean |
//! | [`receipt`], [`positions`] | when does a position move, and how is it kept |
//! | [`metrics`], [`api`] | what does the shipper tell about itself |
//!
//! What is deliberately not there: a position never moves because something was read or sent, only because every
//! destination has acknowledged it or has given it up and counted it. Nothing that was shipped appears in the
//! shipper's own log.

pub mod api;
pub mod args;
pub mod chunk;
pub mod config;
pub mod daemon;
pub mod deliver;
pub mod glob;
pub mod metrics;
pub mod pipeline;
pub mod positions;
pub mod queue;
pub mod receipt;
pub mod shipper;
pub mod tail;
pub mod target;

mod time;
