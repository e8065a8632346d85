//! An example that stands for many: one observation, with the labels (mostly a trace id) that lead to it.

use crate::Labels;

/// An exemplar of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// What leads to it; with the names at most [`MAX_EXEMPLAR_LABEL_CHARS`] characters.
    pub labels: Labels,
    /// What was observed.
    pub value: f64,
    /// When, in milliseconds; `None` when the source gave no time, so that the time of its scrape stands in.
    pub time_ms: Option<i64>,
}

/// Characters in names and values of an exemplar's labels, as OpenMetrics limits them.
pub const MAX_EXEMPLAR_LABEL_CHARS: usize = 128;
