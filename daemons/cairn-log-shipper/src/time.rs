//! The wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use cairn_model::TimeNs;

/// Now, in nanoseconds since the Unix epoch. A clock that is set before it counts as the epoch.
pub(crate) fn now_ns() -> TimeNs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimeNs(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// Now, in whole seconds since the Unix epoch.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
