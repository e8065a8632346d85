//! What file and flags say about queries. What a flag does not say, the file says, else the default.

use super::file::Query;
use super::resolve::{BadValue, bad};
use super::units::PromDuration;
use crate::engine::EngineOptions;

/// Most queries at once that a file may ask for: each takes a blocking thread.
const MAX_CONCURRENCY: usize = 400;

/// What a file or the flags say about queries; `None` is "not said".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuerySettings {
    /// How far an instant selector looks back.
    pub lookback_delta: Option<PromDuration>,
    /// Longest query, its waiting included.
    pub timeout: Option<PromDuration>,
    /// Queries that run at once.
    pub max_concurrency: Option<usize>,
    /// Most samples that one query holds.
    pub max_samples: Option<u64>,
    /// Whether experimental functions and aggregations are taken.
    pub experimental_functions: Option<bool>,
    /// Whether names are dropped at the end of a query only.
    pub delayed_name_removal: Option<bool>,
    /// Whether `rate` and its kin use start timestamps.
    pub start_timestamps: Option<bool>,
}

impl QuerySettings {
    /// The numbers of `[query]`, checked: a store that runs no query, or ends each at once, is a mistake.
    ///
    /// # Errors
    /// [`BadValue`]
    pub(super) fn from_file(query: &Query) -> Result<Self, BadValue> {
        let Query {
            lookback_delta,
            timeout,
            max_concurrency,
            max_samples,
            experimental_functions,
            delayed_name_removal,
            start_timestamps,
        } = *query;
        if timeout.is_some_and(|timeout| timeout.ms() == 0) {
            return bad("query.timeout", "must be above 0");
        }
        let max_concurrency = match max_concurrency.map(usize::try_from) {
            None => None,
            Some(Ok(n @ 1..=MAX_CONCURRENCY)) => Some(n),
            Some(_) => return bad("query.max_concurrency", format!("must be 1 to {MAX_CONCURRENCY}")),
        };
        if max_samples == Some(0) {
            return bad("query.max_samples", "must be above 0");
        }
        Ok(Self {
            lookback_delta,
            timeout,
            max_concurrency,
            max_samples,
            experimental_functions,
            delayed_name_removal,
            start_timestamps,
        })
    }

    /// This, and where it says nothing, `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            lookback_delta: self.lookback_delta.or(other.lookback_delta),
            timeout: self.timeout.or(other.timeout),
            max_concurrency: self.max_concurrency.or(other.max_concurrency),
            max_samples: self.max_samples.or(other.max_samples),
            experimental_functions: self.experimental_functions.or(other.experimental_functions),
            delayed_name_removal: self.delayed_name_removal.or(other.delayed_name_removal),
            start_timestamps: self.start_timestamps.or(other.start_timestamps),
        }
    }

    /// With the defaults for what is not said.
    pub fn engine_options(self) -> EngineOptions {
        let default = EngineOptions::default();
        EngineOptions {
            max_concurrency: self.max_concurrency.unwrap_or(default.max_concurrency),
            timeout: self.timeout.map_or(default.timeout, PromDuration::std),
            max_samples: self.max_samples.unwrap_or(default.max_samples),
            // As with Prometheus, none is the default.
            lookback_ms: self
                .lookback_delta
                .map(PromDuration::ms)
                .filter(|ms| *ms > 0)
                .unwrap_or(default.lookback_ms),
            has_experimental_functions: self
                .experimental_functions
                .unwrap_or(default.has_experimental_functions),
            has_delayed_name_removal: self.delayed_name_removal.unwrap_or(default.has_delayed_name_removal),
            has_start_timestamps: self.start_timestamps.unwrap_or(default.has_start_timestamps),
        }
    }
}
