//! How fast a tenant may push: a bucket of bytes that fills at a steady rate.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Tenants with a bucket of their own. The engine takes no more tenants than this, so the map cannot outgrow it by much.
const MAX_TENANTS: usize = 10_000;

/// One bucket per tenant.
#[derive(Debug, Default)]
pub struct RateLimiter {
    buckets: Mutex<HashMap<String, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    bytes: f64,
    filled: Instant,
}

impl RateLimiter {
    /// Takes `bytes` out of the tenant's bucket, if it holds so many. A push larger than the burst never passes.
    pub fn allow(&self, tenant: &str, bytes: u64, rate: f64, burst: f64, now: Instant) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "sizes of requests are far below 2^53")]
        let wanted = bytes as f64;
        // A poisoned lock only means that another push panicked between two plain assignments.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_TENANTS && !buckets.contains_key(tenant) {
            buckets.clear();
        }
        let bucket = buckets.entry(tenant.to_owned()).or_insert(Bucket { bytes: burst, filled: now });
        let elapsed = now.saturating_duration_since(bucket.filled).as_secs_f64();
        bucket.bytes = (bucket.bytes + elapsed * rate).min(burst);
        bucket.filled = now;
        let is_allowed = wanted <= bucket.bytes;
        if is_allowed {
            bucket.bytes -= wanted;
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_bucket_empties_and_fills() {
        let limiter = RateLimiter::default();
        let start = Instant::now();
        let allow = |tenant: &str, bytes, ms| {
            limiter.allow(tenant, bytes, 100.0, 150.0, start + Duration::from_millis(ms))
        };
        assert!(allow("a", 150, 0));
        assert!(!allow("a", 1, 0));
        assert!(allow("b", 150, 0), "tenants do not share");
        assert!(!allow("a", 60, 500));
        assert!(allow("a", 50, 500));
        assert!(!allow("a", 151, 1_000_000), "never more than the burst");
    }
}
