//! Scraping: asking every target for its page, on time, and storing what it says.
//!
//! | file | holds |
//! |---|---|
//! | [`manager`] | all jobs; applying a configuration; what the API shows |
//! | `pool.rs` | the targets of one job: which loops run |
//! | `worker.rs` | the loop of one target |
//! | [`schedule`] | when a target is due, which time its samples carry |
//! | `fetch.rs` | the request, and which answers are worth reading |
//! | `failure_log.rs` | failed scrapes, one a line |
//! | [`ingest`] | one body into the database: labels, limits, report series, staleness |
//! | `cache.rs` | from the text of a series to its place in the database |

mod cache;
mod failure_log;
mod fetch;
pub mod ingest;
pub mod manager;
mod pool;
pub mod schedule;
mod worker;

pub use manager::ScrapeManager;
