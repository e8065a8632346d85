//! End-to-end tests: real binaries on loopback, spoken to over HTTP.
//!
//! | module | what it is |
//! |---|---|
//! | [`child`] | child processes that end with the program that started them |
//! | [`daemon`] | one daemon as a child process: start, addresses, log, stop, kill |
//! | [`http`] | asking a daemon something, with JSON answers |
//! | [`root`] | where the checkout is |
//! | [`stack`] | the four daemons, wired together in one state directory |
//! | [`corpus`] | real log files where there are some, else a small corpus of its own |
//! | [`target`] | something to scrape, served from inside a test |
//! | [`tailing`] | a log file that is written and rotated while the shipper follows it |
//! | [`grafana`] | stock Grafana beside the stack, where it is installed |
//! | [`dashboard`] | the package's dashboards: their queries, put to the stores |
//! | [`chain`] | the assertions of `scripts/up --check`: from a request to an answer |
//!
//! `src/bin/cairn-stack.rs` is the program behind `scripts/up`.

pub mod chain;
pub mod child;
pub mod corpus;
pub mod daemon;
pub mod dashboard;
pub mod grafana;
pub mod http;
pub mod root;
pub mod stack;
pub mod tailing;
pub mod target;
