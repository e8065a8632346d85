use super::*;

fn toml(text: &str) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log-store.toml");
    std::fs::write(&path, text).unwrap();
    Config::load_toml(&path).map_err(|error| error.to_string())
}

fn loki(text: &str) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("loki.yaml");
    std::fs::write(&path, text).unwrap();
    Config::load(Some(&path)).map_err(|error| error.to_string())
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn cairns_defaults() {
    let config = toml("").unwrap();
    assert_eq!(config.listen.as_str(), "127.0.0.1:3100");
    assert_eq!(config.data_dir, Path::new("/var/lib/cairn-log-store"));
    assert!(!config.auth_enabled && !config.limits.reject_old_samples);
    assert_eq!(config.retention.default.period, Some(168 * HOUR));
    assert_eq!(config.limits.max_label_names_per_series, 15);
}

#[test]
fn a_loki_file_keeps_lokis_meanings() {
    let config =
        loki("auth_enabled: false\nserver:\n  http_listen_port: 3101\ncommon:\n  path_prefix: /loki\n")
            .unwrap();
    assert_eq!(config.listen.as_str(), "0.0.0.0:3101");
    assert_eq!(config.data_dir, Path::new("/loki/cairn-log-store"));
    assert!(config.limits.reject_old_samples);
    assert_eq!(config.retention.default.period, None, "nothing is deleted without retention_enabled");
    assert!(loki("").unwrap().auth_enabled, "Loki's default");

    let with_period = "limits_config:\n  retention_period: 720h\n";
    assert_eq!(loki(with_period).unwrap().retention.default.period, None);
    let enabled = format!("{with_period}compactor:\n  retention_enabled: true\n");
    assert_eq!(loki(&enabled).unwrap().retention.default.period, Some(720 * HOUR));
}

#[test]
fn keys_of_loki_that_mean_nothing_are_named() {
    let config = loki(
        "schema_config:\n  configs: []\nserver:\n  grpc_listen_port: 9096\n  log_level: warn\n\
         compactor:\n  compaction_interval: 10m\n",
    )
    .unwrap();
    assert_eq!(
        config.ignored_keys,
        ["compactor.compaction_interval", "schema_config", "server.grpc_listen_port"]
    );
    assert_eq!(config.log_level, Some(LogLevel::Warn));
}

#[test]
fn retention_by_stream() {
    let config = toml(
        "[limits_config]\nretention_period = \"0s\"\n\
         retention_stream = [{ selector = '{env=\"dev\"}', priority = 1, period = \"24h\" }]\n",
    )
    .unwrap();
    let retention = &config.retention.default;
    assert_eq!(retention.period, None);
    assert_eq!(retention.rules[0].period, Some(24 * HOUR));
}

#[test]
fn the_printed_configuration_reads_back() {
    let config = toml("[limits_config]\nmax_line_size = \"1MB\"\nquery_timeout = \"90s\"\n").unwrap();
    let again = loki(&print::to_yaml(&config)).unwrap();
    assert_eq!(again.limits, config.limits);
    assert_eq!(again.ignored_keys, [] as [String; 0]);
    assert_eq!(again.retention.default.period, config.retention.default.period);
}

#[test]
fn the_packaged_file_shows_every_key_with_its_default() {
    let packaged = include_str!("../../../../packaging/cairn-log-store/log-store.toml");
    let shown = cairn_runtime::config::uncommented(packaged);
    for (section, keys) in keys::KNOWN {
        for key in *keys {
            assert!(shown.contains(&format!("\n{key} = ")), "{section}.{key}");
        }
    }
    assert!(shown.contains("\nauth_enabled = "));

    let all = toml(&shown).unwrap();
    // What nobody sets is the engine's and the command line's to decide: what the file shows must be their defaults.
    let engine = cairn_logdb::Options::new("/x");
    assert_eq!(all.chunk_target_size.map(Bytes::as_usize), Some(engine.chunk_target_bytes));
    assert_eq!((all.log_level, all.log_format), (Some(LogLevel::Info), Some(LogFormat::Logfmt)));
    let unset = Config { chunk_target_size: None, log_level: None, log_format: None, file: None, ..all };
    let defaults = Config { file: None, ..toml("").unwrap() };
    assert_eq!(format!("{unset:?}"), format!("{defaults:?}"));
    let as_packaged = Config { file: None, ..toml(packaged).unwrap() };
    assert_eq!(format!("{as_packaged:?}"), format!("{defaults:?}"));
}
