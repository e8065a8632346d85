use super::*;

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/config").join(name)
}

fn load(name: &str) -> Config {
    Config::load(Some(&testdata(name))).unwrap()
}

#[test]
fn a_promtail_file_keeps_promtails_meaning() {
    let config = load("promtail.good.yml");
    assert_eq!(config.dialect, Dialect::Promtail);
    assert_eq!(config.listen.as_str(), "[::]:9080");
    assert_eq!(config.import_positions, Some(PathBuf::from("/tmp/positions.yaml")));
    let client = &config.clients[0];
    assert_eq!(client.name, "10.0.2.10:3100");
    assert_eq!(client.backoff.max_retries, 10);
    assert_eq!(client.batch_bytes, 1024 * 1024);
    let target = &config.targets[0];
    assert!(target.matches(Path::new("/var/log/cairn-app/app.log")));
    assert!(target.matches(Path::new("/var/log/cairn-app/error-1.log")));
    assert!(!target.matches(Path::new("/var/log/cairn-app/app.log.1")));
    let stream = target.stream("/var/log/cairn-app/app.log").to_string();
    assert_eq!(stream, r#"{env="dev", filename="/var/log/cairn-app/app.log", job="flask-app", team="shop"}"#);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn cairns_own_file_has_cairns_defaults() {
    let config = load("twin.good.toml");
    assert_eq!(config.listen.as_str(), "127.0.0.1:0");
    assert_eq!(config.clients[0].backoff.max_retries, 0);
    assert_eq!(config.clients[0].backoff.max, Duration::from_secs(30));
    assert_eq!(config.tail.partial_flush, Some(Duration::from_secs(2)));
    let stream = config.targets[0].stream("/x.log");
    assert_eq!(stream.value("job"), "flask-app");
    assert!(!stream.value("host").is_empty());
    assert_eq!(stream.value("filename"), "/x.log");
}

#[test]
fn built_in_defaults_stay_on_loopback() {
    let config = resolve::resolve(raw::RawConfig::built_in(), ConfigSource::BuiltIn, Dialect::Cairn).unwrap();
    assert_eq!(config.listen.as_str(), "127.0.0.1:12345");
    assert_eq!(config.clients[0].url.to_string(), "http://127.0.0.1:3100/loki/api/v1/push");
    assert_eq!(config.targets.len(), 1);
}

#[test]
fn bad_files_are_refused_by_name_and_key() {
    for (name, words) in [
        ("no-client.bad.yml", &["clients", "at least one client"][..]),
        ("docker.bad.yml", &["docker_sd_configs", "does not serve it yet"]),
        ("kubernetes.bad.yml", &["kubernetes_sd_configs", "does not serve such sources"]),
        ("stage.bad.yml", &["scrape_configs[0].pipeline_stages[0].eventlogmessage", "Windows"]),
        ("misspelt.bad.yml", &["batchwiat"]),
        ("type.bad.yml", &["timeout", "duration", ":3:"]),
        ("https.bad.toml", &["clients[0].url", "https"]),
        ("twice.bad.toml", &["clients[1].name", "another name"]),
        ("no-path.bad.toml", &["__path__", "needed"]),
        ("relative.bad.toml", &["__path__", "absolute"]),
        ("queue.bad.toml", &["queue.bytes", "1MiB"]),
        ("missing.bad.toml", &["No such file"]),
    ] {
        let error = Config::load(Some(&testdata(name))).unwrap_err().to_string();
        for word in words.iter().chain([&name]) {
            assert!(error.contains(word), "{name}: {word:?} is not in: {error}");
        }
    }
}

#[test]
fn every_bad_file_is_in_the_table() {
    let bad = std::fs::read_dir(testdata("")).unwrap().flatten();
    let n = bad.filter(|entry| entry.file_name().to_string_lossy().contains(".bad.")).count();
    assert_eq!(n, 11);
}

#[test]
fn the_packaged_file_shows_the_defaults_and_follows_the_app() {
    let packaged = include_str!("../../../../packaging/cairn-log-shipper/log-shipper.toml");
    let built_in =
        resolve::resolve(raw::RawConfig::built_in(), ConfigSource::BuiltIn, Dialect::Cairn).unwrap();
    for text in [packaged, &config::uncommented(packaged)] {
        let raw: raw::RawConfig = config::parse_toml(text, Path::new("log-shipper.toml")).unwrap();
        let config = resolve::resolve(raw, ConfigSource::BuiltIn, Dialect::Cairn).unwrap();
        let Config {
            source: _,
            dialect: _,
            listen,
            clients,
            targets,
            import_positions,
            tail,
            queue_bytes,
            warnings,
        } = config;
        assert_eq!(listen.as_str(), built_in.listen.as_str());
        assert_eq!(clients, built_in.clients);
        assert_eq!(tail, built_in.tail);
        assert_eq!(queue_bytes, built_in.queue_bytes);
        assert_eq!((import_positions, warnings), (None, Vec::new()));
        let stream = targets[0].stream("/var/log/cairn-app/app.log");
        assert_eq!((stream.value("job"), stream.value("env")), ("flask-app", "dev"));
        assert!(targets[0].matches(Path::new("/var/log/cairn-app/app.log")));
    }
    let shown = config::uncommented(packaged);
    for key in [
        "http_listen_address",
        "http_listen_port",
        "name",
        "tenant_id",
        "batchsize",
        "timeout",
        "drop_rate_limited_batches",
        "external_labels",
        "headers",
        "backoff_config",
        "sync_period",
        "max_line_size",
        "max_line_size_truncate",
        "rotate_wait",
        "partial_flush",
        "positions_ttl",
        "bytes",
    ] {
        assert!(shown.contains(&format!("\n{key} = ")), "{key}");
    }
}
