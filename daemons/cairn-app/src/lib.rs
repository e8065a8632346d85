//! The sample application: a small web service with metrics and a log file, for the rest of Cairn to look at.
//!
//! * [`routes`] says which paths exist, [`handler`] takes a request to its answer in [`answers`];
//! * [`flask_metrics`] keeps the `flask_app_*` families that users' dashboards ask for, under exactly their names;
//!   [`own_metrics`] keeps `cairn_app_*`;
//! * [`log_file`] writes `app.log`, [`log_line`] knows its format;
//! * [`self_traffic`] makes the application call itself;
//! * [`config`] is `app.toml`, and [`daemon`] starts, reloads and stops all of it.

pub mod answers;
pub mod args;
pub mod config;
pub mod daemon;
pub mod flask_metrics;
pub mod handler;
pub mod log_file;
pub mod log_line;
pub mod own_metrics;
pub mod routes;
pub mod self_traffic;

pub use args::Args;
pub use daemon::run;
