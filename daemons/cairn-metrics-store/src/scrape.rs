//! Scraping: asking every target for its page, on time, and storing what it says.
//!
//! | file | holds |
//! |---|---|
//! | [`manager`] | all jobs; applying a configuration; what the API shows |
//! | `pool.rs` | the targets of one job: which loops run |
//! | `threads.rs` | the threads that loops run on |
//! | `worker.rs` | the loop of one target; which pages are stored in place |
//! | [`schedule`] | when a target is due, which time its samples carry |
//! | `fetch.rs` | the request, and which answers are worth reading |
//! | `failure_log.rs` | failed scrapes, one a line |
//! | `negotiate.rs` | which format an answer is in |
//! | [`ingest`] | one page into the database: report series, staleness |
//! | `body.rs` | one page to a list of samples, known series found by their keys |
//! | `labels.rs` | labels and limits of a series that is not known |
//! | `convert.rs` | classic histograms in text to native ones |
//! | `created.rs` | when counting began, as OpenMetrics says it |
//! | `cache.rs` | from the key of a sample to its place in the database |
//! | `comments.rs` | comment lines that are the same in every page, which are not read again |
//! | `metadata.rs` | type, help and unit of a target's families |

mod body;
mod cache;
mod comments;
mod convert;
mod created;
mod failure_log;
mod fetch;
pub mod ingest;
mod labels;
pub mod manager;
pub(crate) mod metadata;
mod negotiate;
mod pool;
pub mod schedule;
#[cfg(test)]
mod tests_steady;
mod threads;
mod worker;

pub use manager::ScrapeManager;
