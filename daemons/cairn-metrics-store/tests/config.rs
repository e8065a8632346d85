//! Configuration files that must be read, and files that must be refused with the right words.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use cairn_metrics_store::cli::Args;
use cairn_metrics_store::config::Source;
use cairn_metrics_store::daemon;
use clap::Parser;

fn files(kind: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/config");
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().contains(kind))
        .collect();
    files.sort();
    files
}

fn source(path: &Path) -> Source {
    Source::choose(Some(path), None)
}

#[test]
fn good_files_are_read() {
    let files = files(".good.");
    assert!(files.len() >= 3);
    for path in files {
        let config = source(&path).load("x:1").unwrap_or_else(|error| panic!("{error}"));
        assert!(!config.pools.is_empty(), "{}", path.display());
        assert!(config.yaml.contains("job_name"), "{}", path.display());
    }
}

#[test]
fn bad_files_are_refused_with_the_reason() {
    let files = files(".bad.");
    assert!(files.len() >= 15);
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let expected: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# expect: ")).collect();
        assert!(!expected.is_empty(), "{} expects nothing", path.display());
        let error = source(&path).load("x:1").expect_err(&path.display().to_string()).to_string();
        let name = path.file_name().unwrap().to_str().unwrap();
        for part in expected.into_iter().chain([name]) {
            assert!(error.contains(part), "{}: {part:?} is not in {error:?}", path.display());
        }
    }
}

#[test]
fn what_is_shown_reads_back_as_the_same_configuration() {
    for path in files(".good.yml") {
        let config = source(&path).load("x:1").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join("copy.yml");
        std::fs::write(&copy, &config.yaml).unwrap();
        let again = source(&copy).load("x:1").unwrap_or_else(|error| panic!("{error}\n{}", config.yaml));
        assert_eq!(again.yaml, config.yaml);
        // A secret is shown as `<secret>`, and read back as that word.
        let has_secrets = config.yaml.contains("<secret>");
        assert!(has_secrets || again.pools.iter().zip(&config.pools).all(|(a, b)| a.raw == b.raw));
        assert!(!config.yaml.contains("hunter2"), "{}", config.yaml);
    }
}

#[test]
fn checking_looks_at_the_files_that_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let check = |name: &str, text: &str, flags: &[&str]| -> Result<(), String> {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let file = path.display().to_string();
        let words = ["store", "--config", &file].into_iter().chain(flags.iter().copied());
        let args = Args::try_parse_from(words).unwrap();
        daemon::load(&args).and_then(|config| daemon::check_files(&config)).map_err(|error| {
            assert_eq!(error.code(), 78);
            error.to_string()
        })
    };
    std::fs::write(dir.path().join("good.json"), "[{\"targets\": [\"a:1\"]}]").unwrap();
    std::fs::write(dir.path().join("bad.json"), "[{\"targets\": [\"a/1\"]}]").unwrap();
    let good = "scrape_configs:\n- job_name: a\n  file_sd_configs: [{files: [good.json, later.json]}]\n";
    check("good.yml", good, &[]).unwrap();
    let error = check(
        "bad.yml",
        "scrape_configs:\n- job_name: a\n  basic_auth: {username: u, password_file: pw}\n  tls_config: {ca_file: ca.pem}\n\
         - job_name: b\n  bearer_token_file: /none/token\n\
         - job_name: c\n  file_sd_configs: [{files: ['*.json']}]\n  http_sd_configs: [{url: 'http://x', tls_config: {cert_file: c, key_file: k}}]\n",
        &[],
    )
    .unwrap_err();
    let wanted = [
        "job \"a\": read {}/pw: No such file",
        "job \"a\": read {}/ca.pem: No such file",
        "job \"b\": read /none/token: No such file",
        "job \"c\": file_sd_configs[0]: {}/bad.json: ",
        "job \"c\": http_sd_configs[0]: read {}/c: No such file",
    ];
    assert_eq!(error.lines().count(), wanted.len(), "{error}");
    for want in wanted {
        let want = want.replace("{}", &dir.path().display().to_string());
        assert!(error.contains(&want), "{want}: {error}");
    }
    let error = check("good.yml", good, &["--web.cors.origin=("]).unwrap_err();
    assert!(error.contains("--web.cors.origin"), "{error}");
    let error = check("listen.toml", "listen = \"nowhere\"\n", &[]).unwrap_err();
    assert!(error.contains("listen"), "{error}");
}

#[test]
fn a_missing_file_is_named() {
    let error = source(Path::new("/nowhere/prometheus.yml")).load("x:1").unwrap_err();
    assert!(error.to_string().contains("/nowhere/prometheus.yml"), "{error}");
}

#[test]
fn values_of_the_stock_file() {
    let path = files("debian.good.yml").remove(0);
    let config = source(&path).load("x:1").unwrap();
    assert_eq!(config.alertmanagers, ["http://localhost:9093/api/v2/alerts"]);
    assert_eq!(config.pools[0].interval.to_string(), "5s");
    assert_eq!(config.pools[1].interval.to_string(), "15s");
    assert_eq!(config.pools[1].timeout.to_string(), "10s");
    assert_eq!(config.external_labels.to_string(), r#"{monitor="example"}"#);
}
