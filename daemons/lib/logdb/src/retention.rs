//! How long entries are kept: per tenant, then per stream, then by default; no period means for ever.

use std::collections::BTreeMap;
use std::time::Duration;

use cairn_model::{Labels, Matcher};

/// The retention of a store.
#[derive(Clone, Debug, Default)]
pub struct Retention {
    /// For tenants that have none of their own.
    pub default: TenantRetention,
    /// By tenant name.
    pub tenants: BTreeMap<String, TenantRetention>,
}

/// The retention of one tenant.
#[derive(Clone, Debug, Default)]
pub struct TenantRetention {
    /// For streams that no rule matches; `None` keeps them for ever.
    pub period: Option<Duration>,
    /// Of the rules that match a stream, the highest priority decides; among equals, the shortest period.
    pub rules: Vec<RetentionRule>,
}

/// A period for the streams that match.
#[derive(Clone, Debug)]
pub struct RetentionRule {
    /// All of them must pass.
    pub matchers: Vec<Matcher>,
    /// Larger wins.
    pub priority: i64,
    /// `None` keeps the streams for ever.
    pub period: Option<Duration>,
}

impl Retention {
    /// The period for a stream of `tenant`; `None` means for ever.
    pub fn period_of(&self, tenant: &str, labels: &Labels) -> Option<Duration> {
        self.tenants.get(tenant).unwrap_or(&self.default).period_of(labels)
    }
}

impl TenantRetention {
    /// The period for a stream; `None` means for ever.
    pub fn period_of(&self, labels: &Labels) -> Option<Duration> {
        // "For ever" is the longest period there is, so it loses against any other of its priority.
        self.rules
            .iter()
            .filter(|rule| rule.matchers.iter().all(|matcher| matcher.matches_labels(labels)))
            .max_by_key(|rule| (rule.priority, std::cmp::Reverse(rule.period.unwrap_or(Duration::MAX))))
            .map_or(self.period, |rule| rule.period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn rule(value: &str, priority: i64, period: Option<Duration>) -> RetentionRule {
        RetentionRule { matchers: vec![Matcher::equal("env", value)], priority, period }
    }

    #[test]
    fn highest_priority_then_shortest_then_default() {
        let retention = TenantRetention {
            period: Some(10 * HOUR),
            rules: vec![
                rule("dev", 1, Some(HOUR)),
                rule("dev", 2, Some(5 * HOUR)),
                rule("dev", 2, Some(4 * HOUR)),
                rule("keep", 1, None),
                rule("both", 1, None),
                rule("both", 1, Some(HOUR)),
            ],
        };
        for (env, want) in
            [("dev", Some(4 * HOUR)), ("prod", Some(10 * HOUR)), ("keep", None), ("both", Some(HOUR))]
        {
            assert_eq!(retention.period_of(&Labels::from_pairs([("env", env)])), want, "{env}");
        }
        let of_tenant = Retention {
            default: retention,
            tenants: BTreeMap::from([("b".to_owned(), TenantRetention::default())]),
        };
        assert_eq!(of_tenant.period_of("b", &Labels::from_pairs([("env", "dev")])), None);
    }
}
