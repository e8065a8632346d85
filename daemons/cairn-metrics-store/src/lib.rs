//! The metrics store: scrapes targets, stores their samples, answers Prometheus's API.
//!
//! Not in here: how samples lie on disk (`cairn-tsdb`), what a query means (`cairn-promql`), how exposition text is read
//! (`cairn-wire`), how HTTP is served within limits (`cairn-http`).
//!
//! Read in this order: [`daemon`] puts everything together, [`scrape`] and [`remote_write`] fill the database, [`api`] answers from it.

pub mod cli;
mod cli_not_taken;
pub mod cli_query;
pub mod config;

pub mod daemon;
pub mod restore;

pub mod relabel;
pub mod target;

pub mod discovery;
pub mod scrape;

pub mod active_queries;
pub mod engine;
pub mod exchange;
pub mod foreign;
pub mod otlp;
pub mod remote_write;
pub mod storage;

pub mod api;
pub mod app;
mod host;
pub mod metrics;
mod pages;
mod query_log;
pub mod version;
pub mod web_address;
