//! What a tenant may push and ask: `limits_config`, resolved.

use cairn_logql::level::SERVICE_NAME_SOURCES;

use super::keys::{LimitsConfig, RetentionStream};
use super::units::{Bytes, Span};

/// Limits with every value present. Names and meanings are Loki's.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the README's table says what each key means")]
pub struct Limits {
    pub ingestion_rate_mb: f64,
    pub ingestion_burst_size_mb: f64,
    pub max_label_name_length: usize,
    pub max_label_value_length: usize,
    pub max_label_names_per_series: usize,
    pub reject_old_samples: bool,
    pub reject_old_samples_max_age: Span,
    pub creation_grace_period: Span,
    pub max_line_size: Bytes,
    pub max_line_size_truncate: bool,
    pub allow_structured_metadata: bool,
    pub max_structured_metadata_size: Bytes,
    pub max_structured_metadata_entries_count: usize,
    pub discover_service_name: Vec<String>,
    pub discover_log_levels: bool,
    pub max_query_series: usize,
    pub max_query_length: Span,
    pub max_query_lookback: Span,
    pub max_query_range: Span,
    pub max_entries_limit_per_query: usize,
    pub max_streams_matchers_per_query: usize,
    pub query_timeout: Span,
    pub volume_enabled: bool,
    pub volume_max_series: usize,
    pub retention_period: Span,
    pub retention_stream: Vec<RetentionStream>,
    pub max_global_streams_per_user: usize,
}

impl Limits {
    /// What Loki does when a key is left out.
    pub fn loki() -> Self {
        Self {
            ingestion_rate_mb: 4.0,
            ingestion_burst_size_mb: 6.0,
            max_label_name_length: 1024,
            max_label_value_length: 2048,
            max_label_names_per_series: 15,
            reject_old_samples: true,
            reject_old_samples_max_age: Span::hours(7 * 24),
            creation_grace_period: Span::seconds(600),
            max_line_size: Bytes(256 << 10),
            max_line_size_truncate: false,
            allow_structured_metadata: true,
            max_structured_metadata_size: Bytes(64 << 10),
            max_structured_metadata_entries_count: 128,
            discover_service_name: SERVICE_NAME_SOURCES.iter().map(|s| (*s).to_owned()).collect(),
            discover_log_levels: true,
            max_query_series: 500,
            max_query_length: Span::hours(30 * 24 + 1),
            max_query_lookback: Span(0),
            max_query_range: Span(0),
            max_entries_limit_per_query: 5000,
            max_streams_matchers_per_query: 1000,
            query_timeout: Span::seconds(60),
            volume_enabled: true,
            volume_max_series: 1000,
            retention_period: Span(0),
            retention_stream: Vec::new(),
            max_global_streams_per_user: 5000,
        }
    }

    /// What Cairn does when a key is left out.
    pub fn cairn() -> Self {
        Self {
            // Ten times the 1 to 10 MB/s that users run, so that only a runaway client meets it.
            ingestion_rate_mb: 100.0,
            ingestion_burst_size_mb: 200.0,
            // Back-filling old lines is a thing that users do, and nothing in the engine minds.
            reject_old_samples: false,
            // A week, as users configure Loki.
            retention_period: Span::hours(168),
            ..Self::loki()
        }
    }

    /// These limits, with what the file says in place of the defaults.
    pub(super) fn with(self, file: LimitsConfig) -> Self {
        macro_rules! take {
            ($( $key:ident ),* $(,)?) => {{
                let LimitsConfig { $( $key ),* } = file;
                Self { $( $key: $key.unwrap_or(self.$key) ),* }
            }};
        }
        take!(
            ingestion_rate_mb,
            ingestion_burst_size_mb,
            max_label_name_length,
            max_label_value_length,
            max_label_names_per_series,
            reject_old_samples,
            reject_old_samples_max_age,
            creation_grace_period,
            max_line_size,
            max_line_size_truncate,
            allow_structured_metadata,
            max_structured_metadata_size,
            max_structured_metadata_entries_count,
            discover_service_name,
            discover_log_levels,
            max_query_series,
            max_query_length,
            max_query_lookback,
            max_query_range,
            max_entries_limit_per_query,
            max_streams_matchers_per_query,
            query_timeout,
            volume_enabled,
            volume_max_series,
            retention_period,
            retention_stream,
            max_global_streams_per_user,
        )
    }
}
