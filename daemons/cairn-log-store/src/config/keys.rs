//! Every key that a configuration file may hold, with its type: one table for Cairn's TOML and for Loki's YAML.
//!
//! In Cairn's TOML an unknown key is an error (it points at the key); in a Loki file it is one that Loki knows and
//! Cairn does not, and becomes a warning. So each section exists twice: `strict` refuses, the other passes over.

use serde::Deserialize;

use super::units::{Bytes, Span};

/// One rule of `retention_stream`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionStream {
    /// Matchers in braces, as in a query.
    pub selector: String,
    /// Of the rules that match, the highest decides.
    #[serde(default)]
    pub priority: i64,
    /// How long the streams are kept; zero means for ever.
    pub period: Span,
}

macro_rules! keys {
    ($( $(#[$doc:meta])* $field:ident: $section:ident { $( $key:ident: $type:ty, )* } )*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Default, Deserialize)]
            #[serde(default)]
            #[allow(missing_docs, reason = "the README's table says what each key means")]
            pub struct $section { $( pub $key: Option<$type>, )* }
        )*

        /// A configuration file as written.
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(default)]
        #[allow(missing_docs, reason = "the README's table says what each key means")]
        pub struct File { pub auth_enabled: Option<bool>, $( pub $field: $section, )* }

        /// The sections and their keys.
        pub(super) const KNOWN: &[(&str, &[&str])] = &[
            $( (stringify!($field), &[ $( stringify!($key) ),* ]), )*
        ];

        /// The same sections, which refuse what they do not know.
        pub(super) mod strict {
            use super::*;

            $(
                #[derive(Default, Deserialize)]
                #[serde(default, deny_unknown_fields)]
                struct $section { $( $key: Option<$type>, )* }

                impl From<$section> for super::$section {
                    fn from(section: $section) -> Self {
                        let $section { $( $key ),* } = section;
                        Self { $( $key ),* }
                    }
                }
            )*

            #[derive(Default, Deserialize)]
            #[serde(default, deny_unknown_fields)]
            pub(in crate::config) struct File { auth_enabled: Option<bool>, $( $field: $section, )* }

            impl From<File> for super::File {
                fn from(file: File) -> Self {
                    let File { auth_enabled, $( $field ),* } = file;
                    Self { auth_enabled, $( $field: $field.into() ),* }
                }
            }
        }
    };
}

keys! {
    /// Where to listen and what to log.
    server: Server {
        http_listen_address: String,
        http_listen_port: u16,
        log_level: String,
        log_format: String,
    }
    /// Where the data lies.
    common: Common {
        path_prefix: std::path::PathBuf,
    }
    /// What a tenant may push and ask.
    limits_config: LimitsConfig {
        ingestion_rate_mb: f64,
        ingestion_burst_size_mb: f64,
        max_label_name_length: usize,
        max_label_value_length: usize,
        max_label_names_per_series: usize,
        reject_old_samples: bool,
        reject_old_samples_max_age: Span,
        creation_grace_period: Span,
        max_line_size: Bytes,
        max_line_size_truncate: bool,
        allow_structured_metadata: bool,
        max_structured_metadata_size: Bytes,
        max_structured_metadata_entries_count: usize,
        discover_service_name: Vec<String>,
        discover_log_levels: bool,
        max_query_series: usize,
        max_query_length: Span,
        max_query_lookback: Span,
        max_query_range: Span,
        max_entries_limit_per_query: usize,
        max_streams_matchers_per_query: usize,
        query_timeout: Span,
        volume_enabled: bool,
        volume_max_series: usize,
        retention_period: Span,
        retention_stream: Vec<RetentionStream>,
        max_global_streams_per_user: usize,
    }
    /// When what is in memory becomes a chunk on disk.
    ingester: Ingester {
        chunk_idle_period: Span,
        max_chunk_age: Span,
        chunk_target_size: Bytes,
    }
    /// Maintenance of what is stored.
    compactor: Compactor {
        retention_enabled: bool,
    }
    /// How many queries run at once.
    querier: Querier {
        max_concurrent: usize,
    }
    /// How many queries may wait.
    frontend: Frontend {
        max_outstanding_per_tenant: usize,
    }
}
