//! The configuration in use, for `/config`: YAML with Loki's key names, as operators of Loki know it.

use std::fmt::Write;

use super::Config;

/// Prints the resolved configuration. It holds no secret.
pub fn to_yaml(config: &Config) -> String {
    let mut out = String::new();
    // A String takes whatever is written, so the results of write! say nothing.
    let limits = &config.limits;
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let (host, port) = config.listen.as_str().rsplit_once(':').unwrap_or((config.listen.as_str(), "0"));
    let _ = writeln!(out, "auth_enabled: {}", config.auth_enabled);
    let _ = writeln!(out, "server:\n  http_listen_address: {}\n  http_listen_port: {port}", quoted(host));
    let _ = writeln!(out, "common:\n  path_prefix: {}", quoted(&config.data_dir.to_string_lossy()));
    let _ = writeln!(out, "limits_config:");
    macro_rules! limit {
        ($( $key:ident ),* $(,)?) => { $( let _ = writeln!(out, "  {}: {}", stringify!($key), limits.$key); )* };
    }
    limit!(
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
        discover_log_levels,
        max_global_streams_per_user,
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
    );
    let names: Vec<String> = limits.discover_service_name.iter().map(|name| quoted(name)).collect();
    let _ = writeln!(out, "  discover_service_name: [{}]", names.join(", "));
    let _ =
        writeln!(out, "  retention_stream:{}", if limits.retention_stream.is_empty() { " []" } else { "" });
    for rule in &limits.retention_stream {
        let _ = writeln!(
            out,
            "    - selector: {}\n      priority: {}\n      period: {}",
            quoted(&rule.selector),
            rule.priority,
            rule.period
        );
    }
    let keeps_for_ever =
        config.retention.default.period.is_none() && config.retention.default.rules.is_empty();
    let _ = writeln!(out, "compactor:\n  retention_enabled: {}", !keeps_for_ever);
    let _ = writeln!(
        out,
        "ingester:\n  chunk_idle_period: {}s\n  max_chunk_age: {}s",
        config.chunk_idle_period.as_secs(),
        config.max_chunk_age.as_secs()
    );
    if let Some(size) = config.chunk_target_size {
        let _ = writeln!(out, "  chunk_target_size: {size}");
    }
    let _ = writeln!(out, "querier:\n  max_concurrent: {}", config.max_concurrent_queries);
    let _ = writeln!(out, "frontend:\n  max_outstanding_per_tenant: {}", config.max_waiting_queries);
    out
}
