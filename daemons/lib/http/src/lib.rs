//! HTTP for the daemons: serving within limits, health, `/metrics`, and a client.
//!
//! * [`Listener::bind`] takes a port early, so that a conflict fails fast; [`serve`] runs an axum router on it (or
//!   [`serve_handler`] a plain [`Handler`], for hot paths) until it is told to stop, then lets running requests finish.
//! * Every request passes the same steps, in the order of `pipeline.rs`: admission, body limit, time limit, panic guard,
//!   compression, observation. TLS will be one step in `accept.rs`, authentication one in `pipeline.rs`.
//! * [`health`], [`exposition`], [`summary`], [`process`] and [`request_metrics`] are what every daemon shows about itself.
//! * [`client`] asks others over HTTP and HTTPS, with a deadline and a cap on what comes back.
//!
//! No daemon's statuses or error bodies are decided here: a daemon hands in its words as [`RefusalText`].

pub mod body;
pub mod client;
pub mod exposition;
pub mod health;
pub mod observe;
pub mod process;
pub mod request_metrics;
pub mod router;
pub mod summary;

mod accept;
mod compress;
mod guarded_stream;
mod limits;
mod listener;
mod pipeline;
mod refusal;
mod serve;

pub use axum::body::Body;
pub use health::Health;
pub use limits::Limits;
pub use listener::{BindError, Listener};
pub use observe::{Observation, Observer, RouteSlot};
pub use pipeline::PeerAddr;
pub use refusal::{PlainText, Refusal, RefusalBody, RefusalText};
pub use serve::{Handler, ServeOptions, ServeReport, serve, serve_handler};
