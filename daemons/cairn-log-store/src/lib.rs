//! Cairn's log store: Loki's HTTP API on top of the log engine.
//!
//! What it does: takes pushes (checked and on disk before the answer), answers LogQL, labels, series and volumes in
//! Loki's words and forms. What it does not: parse LogQL (`cairn-logql`), keep entries (`cairn-logdb`), decode the wire
//! formats (`cairn-wire`), manage sockets and limits of HTTP (`cairn-http`).
//!
//! In reading order:
//!
//! | module | answers |
//! |---|---|
//! | [`cli`], [`config`] | what was asked for on the command line and in the file |
//! | [`daemon`] | what happens from start to stop |
//! | [`app`] | what do all requests share |
//! | [`api`] | what is there to ask, and how does it look |
//! | [`ingest`] | which pushed entries are stored, and in which shape |
//! | [`work`] | how many queries run, and for how long |
//! | [`tenant`] | whose logs are they |
//! | [`json`] | how is JSON written |
//! | [`metrics`] | what does the daemon say about itself |

pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod ingest;
pub mod json;
pub mod metrics;
pub mod tenant;
pub mod work;
