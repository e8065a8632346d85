//! `flask_app_*`: the families that users' dashboards and alerts ask for, under exactly their names.
//!
//! Their counters have no `_total`, which prometheus-client always appends; so they are kept and encoded here. All of
//! them are plain atomics at fixed places: a request costs four additions and no lock.

mod encode;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::routes::{ROUTES, Route};

/// Upper bounds of `flask_app_request_duration_seconds`, in seconds; `+Inf` follows.
pub const BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Values of the label `method`, as `cairn_http::request_metrics::method_label` gives them.
const METHODS: [&str; 8] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "other"];

/// Every status that is answered here. 499: the client went away before its answer.
const STATUSES: [u16; 8] = [200, 400, 404, 405, 413, 499, 500, 503];

const N_ROUTES: usize = ROUTES.len();

/// The application's metrics.
#[derive(Debug)]
pub struct FlaskMetrics {
    environment: String,
    active: AtomicI64,
    by_route: [RouteMetrics; N_ROUTES],
}

#[derive(Debug, Default)]
struct RouteMetrics {
    errors: AtomicU64,
    by_method: [MethodMetrics; METHODS.len()],
}

#[derive(Debug, Default)]
struct MethodMetrics {
    by_status: [AtomicU64; STATUSES.len()],
    /// Not cumulative; the last one is above every bound.
    buckets: [AtomicU64; BUCKETS.len() + 1],
    sum_ns: AtomicU64,
}

impl FlaskMetrics {
    /// All at zero. `environment` is a label of `flask_app_info`.
    pub fn new(environment: impl Into<String>) -> Self {
        Self {
            environment: environment.into(),
            active: AtomicI64::new(0),
            by_route: std::array::from_fn(|_| RouteMetrics::default()),
        }
    }

    /// A request has begun: `flask_app_active_requests` goes up.
    pub fn started(&self) {
        self.active.fetch_add(1, Ordering::Relaxed);
    }

    /// A request that had begun is over.
    pub fn finished(&self, route: Route, method: &str, status: u16, duration: Duration) {
        self.active.fetch_sub(1, Ordering::Relaxed);
        let metrics = &self.by_route[route.index()];
        if status >= 500 {
            metrics.errors.fetch_add(1, Ordering::Relaxed);
        }
        let metrics = &metrics.by_method[position(&METHODS, |known| *known == method)];
        metrics.by_status[position(&STATUSES, |known| *known == status)].fetch_add(1, Ordering::Relaxed);
        let seconds = duration.as_secs_f64();
        let bucket = BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKETS.len());
        metrics.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        metrics.sum_ns.fetch_add(nanos, Ordering::Relaxed);
    }
}

/// The place of the first match; what is not listed counts as the last.
fn position<T>(items: &[T], is_it: impl Fn(&T) -> bool) -> usize {
    items.iter().position(is_it).unwrap_or(items.len() - 1)
}
