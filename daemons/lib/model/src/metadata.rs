//! What a metric family is: type, help and unit.

use std::fmt;

/// Type of a metric family, as Prometheus names them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MetricType {
    /// Nothing was said, or `untyped`.
    #[default]
    Unknown,
    /// Only grows, but for resets.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by bucket.
    Histogram,
    /// Counts by bucket that go down, too.
    GaugeHistogram,
    /// Quantiles computed at the source.
    Summary,
    /// A constant 1 whose labels matter.
    Info,
    /// A set of booleans.
    StateSet,
}

impl MetricType {
    /// The name in exposition formats and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
        }
    }
}

impl fmt::Display for MetricType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Metadata of a metric family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Its type.
    pub metric_type: MetricType,
    /// What it means.
    pub help: String,
    /// Its unit, such as `seconds`; often empty.
    pub unit: String,
}
