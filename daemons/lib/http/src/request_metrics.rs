//! An [`Observer`] that keeps a daemon's `..._http_*` metrics.

use std::fmt;

use http::Method;
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::observe::{Observation, Observer};

/// Seconds; from a health probe to a query at its time-out.
const DURATION_BUCKETS: [f64; 10] = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// Requests by route, method and status, their durations and sizes, and how many run.
#[derive(Clone, Debug)]
pub struct RequestMetrics {
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram>,
    response_bytes: Family<RouteLabels, Counter>,
    in_flight: Gauge,
}

impl RequestMetrics {
    /// Registers the families in `registry`; with `registry.sub_registry_with_prefix("cairn_app")` they become
    /// `cairn_app_http_requests_total{route,method,status}`, `cairn_app_http_request_duration_seconds{route,method}`,
    /// `cairn_app_http_response_bytes_total{route,method}` and `cairn_app_http_requests_in_flight`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATION_BUCKETS)),
            response_bytes: Family::default(),
            in_flight: Gauge::default(),
        };
        registry.register("http_requests", "HTTP requests answered", metrics.requests.clone());
        registry.register(
            "http_request_duration_seconds",
            "Time from a request's headers to the answer's last byte",
            metrics.durations.clone(),
        );
        registry.register(
            "http_response_bytes",
            "Bytes of answers' bodies as sent",
            metrics.response_bytes.clone(),
        );
        registry.register(
            "http_requests_in_flight",
            "HTTP requests being answered",
            metrics.in_flight.clone(),
        );
        metrics
    }
}

impl Observer for RequestMetrics {
    fn started(&self) {
        self.in_flight.inc();
    }

    fn finished(&self, observation: &Observation<'_>) {
        self.in_flight.dec();
        let by_route =
            RouteLabels { route: observation.route.to_owned(), method: method_label(observation.method) };
        self.durations.get_or_create(&by_route).observe(observation.duration.as_secs_f64());
        self.response_bytes.get_or_create(&by_route).inc_by(observation.response_bytes);
        let labels = RequestLabels { route: by_route, status: observation.status.as_u16() };
        self.requests.get_or_create(&labels).inc();
    }
}

/// The method, or `other`: a client may invent any number of them.
pub fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct RouteLabels {
    route: String,
    method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct RequestLabels {
    route: RouteLabels,
    status: u16,
}

impl EncodeLabelSet for RouteLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder) -> Result<(), fmt::Error> {
        [("route", self.route.as_str()), ("method", self.method)].encode(encoder)
    }
}

impl EncodeLabelSet for RequestLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder) -> Result<(), fmt::Error> {
        self.route.encode(encoder)?;
        [("status", self.status)].encode(encoder)
    }
}
