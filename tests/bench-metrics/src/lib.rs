//! The program behind `scripts/bench-metrics`: feeds metrics stores with the data of a fleet of machines, one store
//! after the other, and prints a table in Markdown.
//!
//! | module | answers |
//! |---|---|
//! | `template`, `fleet`, `noise` | which series are there, which values do they have |
//! | `encode`, `send` | how do they get to a store over remote write |
//! | `pages` | how are they scraped |
//! | `server`, `process`, `http` | how is a store started, asked, measured, ended |
//! | `modes`, `queries` | what is measured |
//! | `keep` | how is data kept from one run to the next |
#![expect(clippy::cast_precision_loss, reason = "figures are printed with three digits")]

pub mod encode;
pub mod fleet;
pub mod http;
pub mod keep;
pub mod modes;
pub mod noise;
pub mod pages;
pub mod process;
pub mod queries;
pub mod send;
pub mod server;
pub mod template;
