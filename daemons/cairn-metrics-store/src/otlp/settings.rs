//! The keys of `otlp`, ready to use.

use super::names::{LabelNames, Strategy};

/// `otlp:` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpSettings {
    /// How names are made.
    pub strategy: Strategy,
    /// How labels are named.
    pub label_names: LabelNames,
    /// Attributes of resources that become labels.
    pub promoted: Vec<String>,
    /// All of them become labels,
    pub promotes_all: bool,
    /// but these.
    pub unpromoted: Vec<String>,
    /// Whether `target_info` also has what became `job` and `instance`.
    pub keeps_identifying: bool,
    /// Whether histograms with bounds become native ones with custom buckets.
    pub makes_native: bool,
    /// Whether name and version of the library become labels.
    pub has_scope: bool,
}

impl Default for OtlpSettings {
    /// Prometheus's defaults.
    fn default() -> Self {
        Self {
            strategy: Strategy { has_suffixes: true, is_escaping: true },
            label_names: LabelNames { has_key_prefix: true, keeps_underscores: true },
            promoted: Vec::new(),
            promotes_all: false,
            unpromoted: Vec::new(),
            keeps_identifying: false,
            makes_native: false,
            has_scope: false,
        }
    }
}
