//! A daemon's life, the same for all of Cairn: arguments, configuration, logging, signals, systemd, ordered stop.
//!
//! A `main.rs` reads as a list of steps:
//!
//! 1. [`args::parse`] reads the command line (bad usage ends with exit code 64);
//! 2. [`exit::main_with`] starts logging and the async runtime, installs the signals and turns the outcome into an
//!    exit code: 0 stopped as asked, 1 failed while running, 78 bad configuration;
//! 3. inside, [`config::load_or_default`] reads TOML (or [`config::load_yaml`] a peer's YAML);
//! 4. [`dirs::ensure_data_dir`], the listeners ([`announce_listener`]), recovery with a [`progress::Progress`];
//! 5. [`notify::ready`], then [`Lifecycle::next`] in a loop: it feeds the watchdog, so a stuck loop is noticed;
//! 6. [`stop::StopPlan`] undoes the start in reverse order under one deadline.
//!
//! Nothing in here knows HTTP, a store, or a particular daemon.

pub mod args;
pub mod config;
pub mod dirs;
pub mod exit;
pub mod lifecycle;
pub mod logging;
pub mod memory;
pub mod notify;
pub mod progress;
pub mod stop;

mod announce;

pub use announce::{Announcement, announce_listener, parse_announcement};
pub use args::CommonArgs;
pub use config::{ByteSize, ConfigError, ConfigSource, HumanDuration, ListenAddr, OptionalListen, Secret};
pub use exit::Failure;
pub use lifecycle::{Lifecycle, Turn};
