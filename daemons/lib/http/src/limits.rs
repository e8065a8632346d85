//! The limits of a listener, each with its default and the reason for it.

use std::time::Duration;

use http::StatusCode;

/// What one listener allows. The defaults suit a store's API on a small machine.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Largest request body in bytes as it comes over the wire; more is answered with 413. Routes may allow less.
    pub body_bytes: usize,
    /// Largest request line and headers together, in bytes; more is answered with 431.
    pub header_bytes: usize,
    /// Most header lines; more are answered with 431.
    pub headers: usize,
    /// Time for a request's headers to arrive, and for a kept connection to stay idle; then it is closed.
    pub header_time: Duration,
    /// Time from the headers to the start of the answer, the body's arrival included; then `timeout_status`.
    pub request_time: Duration,
    /// Status of a request that took too long: 503 as Prometheus answers, or 504.
    pub timeout_status: StatusCode,
    /// Requests that may run at once; one more is answered with 503 and `Retry-After`.
    pub concurrent_requests: usize,
    /// Paths that are let in above `concurrent_requests`, since they tell what is wrong and cost nothing.
    pub always_admitted: Vec<String>,
    /// Connections that may be open at once; one more is answered with 503 and closed.
    pub connections: usize,
    /// Time that a client may take none of the bytes that wait for it; then the connection is closed.
    pub write_stall: Duration,
    /// Time for running requests to finish once the listener is told to stop.
    pub drain: Duration,
}

/// Paths of [`Limits::always_admitted`].
const ALWAYS_ADMITTED: [&str; 5] = ["/-/healthy", "/-/ready", "/ready", "/health", "/metrics"];

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A push of Promtail or remote write is about 1 MiB; ten times that still fits in memory many times over.
            body_bytes: 16 * 1024 * 1024,
            // Grafana sends long queries by POST, but the `match[]` of a variable by GET.
            header_bytes: 64 * 1024,
            headers: 100,
            header_time: Duration::from_secs(30),
            // Prometheus's and Loki's query timeouts are two minutes and one; the daemons set their own below this.
            request_time: Duration::from_secs(130),
            timeout_status: StatusCode::SERVICE_UNAVAILABLE,
            // 50 dashboard users with a handful of panels each.
            concurrent_requests: 512,
            always_admitted: ALWAYS_ADMITTED.map(str::to_owned).to_vec(),
            // Grafana and the shippers keep their connections; each costs some 20 KiB here.
            connections: 2048,
            write_stall: Duration::from_secs(60),
            // Below the daemons' total stop deadline, which is below TimeoutStopSec.
            drain: Duration::from_secs(10),
        }
    }
}
