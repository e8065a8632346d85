//! What this build calls itself.

/// Version that the API reports. Clients read a Prometheus version from it to know what they may ask for, so it is the
/// version of the Prometheus whose behaviour is served.
pub const PROMETHEUS_VERSION: &str = "3.14.0";

/// Cairn's own version.
pub const CAIRN_VERSION: &str = env!("CARGO_PKG_VERSION");

/// How scrapes introduce themselves.
pub const USER_AGENT: &str = "Prometheus/3.14.0";
