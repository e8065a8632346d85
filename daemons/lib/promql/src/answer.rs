//! What evaluation gives: values, annotations, errors, and the options it takes.

use std::sync::Arc;
use std::time::Duration;

use cairn_model::{FloatHistogram, Labels, TimeMs};

use crate::source::SourceError;

/// Why a running query must stop. Asked for now and then while evaluating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Its time is over.
    TimedOut,
    /// Nobody waits for the answer any more.
    Canceled,
}

/// Tells whether the query must stop. The engine has no clock: the caller compares with its deadline.
pub type StopCheck<'a> = &'a (dyn Fn() -> Option<Stop> + Sync);

/// Tells the time: the engine has no clock of its own.
pub type Clock<'a> = &'a (dyn Fn() -> Duration + Sync);

/// Settings of an evaluation.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// How far an instant selector looks back, in milliseconds.
    pub lookback_ms: i64,
    /// Most samples held in memory at once: decoded input plus results.
    pub max_samples: u64,
    /// Step of a subquery that names none, in milliseconds (`evaluation_interval`).
    pub default_subquery_step_ms: i64,
    /// Drop metric names at the end of the query instead of at each function
    /// (Prometheus's `promql-delayed-name-removal`; off as shipped).
    pub delayed_name_removal: bool,
    /// Let `rate` and its kin see resets by the start timestamps of samples, and `start_timestamp` give them
    /// (Prometheus's `use-start-timestamps`; off as shipped).
    pub start_timestamps: bool,
    /// Count the samples that each step looks at, for [`Answer::counts`].
    pub count_samples: bool,
    /// Polled every few thousand samples.
    pub stop: Option<StopCheck<'a>>,
    /// Time since any fixed moment, for [`Stats::sorting`].
    pub clock: Option<Clock<'a>>,
}

impl Default for Options<'_> {
    /// Prometheus's defaults: 5 minutes of lookback, 50 million samples, subqueries every minute.
    fn default() -> Self {
        Self {
            lookback_ms: 300_000,
            max_samples: 50_000_000,
            default_subquery_step_ms: 60_000,
            delayed_name_removal: false,
            start_timestamps: false,
            count_samples: false,
            stop: None,
            clock: None,
        }
    }
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("lookback_ms", &self.lookback_ms)
            .field("max_samples", &self.max_samples)
            .field("default_subquery_step_ms", &self.default_subquery_step_ms)
            .field("delayed_name_removal", &self.delayed_name_removal)
            .field("start_timestamps", &self.start_timestamps)
            .field("count_samples", &self.count_samples)
            .field("stop", &self.stop.is_some())
            .field("clock", &self.clock.is_some())
            .finish()
    }
}

/// The value of a sample.
#[derive(Clone, Debug, PartialEq)]
pub enum Sample {
    /// A number.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<FloatHistogram>),
}

/// One number at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// When.
    pub time: TimeMs,
    /// What.
    pub value: f64,
}

/// One element of an instant vector.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSample {
    /// The series.
    pub labels: Arc<Labels>,
    /// When: the time of the evaluation.
    pub time: TimeMs,
    /// What.
    pub value: Sample,
}

/// One native histogram at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramSample {
    /// When.
    pub time: TimeMs,
    /// What.
    pub histogram: Arc<FloatHistogram>,
}

/// One series of a matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSeries {
    /// The series.
    pub labels: Arc<Labels>,
    /// Its numbers, ascending by time.
    pub points: Vec<Point>,
    /// Its native histograms, ascending by time; at no time is there one beside a number, and never are both empty.
    pub histograms: Vec<HistogramSample>,
}

/// The result of a query.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number.
    Scalar(Point),
    /// A string.
    String(TimeMs, String),
    /// Sorted by labels, except where the query asks for another order (`sort`, `topk`).
    Vector(Vec<VectorSample>),
    /// Sorted by labels.
    Matrix(Vec<MatrixSeries>),
}

/// What the evaluation cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// How long sorting the result took; `None` where nothing was sorted, or without [`Options::clock`].
    pub sorting: Option<Duration>,
    /// What all steps would look at together, each for itself: Prometheus's total of queryable samples.
    pub samples_queryable: u64,
    /// Samples decoded from the source.
    pub samples_read: u64,
    /// Most samples held at once.
    pub peak_samples: u64,
}

/// Samples that a query looked at, one number for each step. A native histogram counts as several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SampleCounts {
    /// What the step would look at if it were a query of its own: a sample counts in every window that it lies in.
    pub queryable: Vec<u64>,
    /// Of windows only what the step before did not have.
    pub read: Vec<u64>,
}

/// A query's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The result.
    pub value: Value,
    /// `PromQL warning: ... (1:5)`, each once.
    pub warnings: Vec<String>,
    /// `PromQL info: ... (1:5)`, each once.
    pub infos: Vec<String>,
    /// What it cost.
    pub stats: Stats,
    /// What each step looked at, where [`Options::count_samples`] asked.
    pub counts: Option<SampleCounts>,
}

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// The request is wrong: `bad_data`, 400.
    #[error("{0}")]
    BadData(String),
    /// The query cannot be computed: `execution`, 422.
    #[error("{0}")]
    Execution(String),
    /// More samples than [`Options::max_samples`]: `execution`, 422.
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples,
    /// [`Stop::TimedOut`]: `timeout`, 503.
    #[error("query timed out in expression evaluation")]
    TimedOut,
    /// [`Stop::Canceled`]: `canceled`, 499.
    #[error("query was canceled in expression evaluation")]
    Canceled,
    /// The store failed: `internal`, 500.
    #[error("{0}")]
    Source(SourceError),
}
