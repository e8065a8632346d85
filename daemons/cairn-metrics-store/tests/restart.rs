//! Stopping, starting again, and starting where something is in the way.

#![allow(clippy::unwrap_used)]

mod support;

use cairn_metrics_store::cli::Args;
use cairn_metrics_store::daemon;
use cairn_runtime::Lifecycle;
use clap::Parser;
use support::{Page, Store, Target, one_job};

#[tokio::test(flavor = "multi_thread")]
async fn samples_outlive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let target = Target::serve(Page::text("a{x=\"1\"} 1\n")).await;
    let yaml = one_job(&target, "");
    let store = Store::start(dir.path(), &yaml).await;
    store.until("samples", async || (store.samples("a").await.len() >= 3).then_some(())).await;
    let before = store.samples("a").await;
    store.stop().await;

    let store = Store::start(dir.path(), "scrape_configs: []").await;
    let after = store.samples("a").await;
    assert!(after.starts_with(&before), "{before:?} {after:?}");
    store.stop().await;

    // And goes on where it was: same series, later samples.
    let store = Store::start(dir.path(), &yaml).await;
    store.until("more samples", async || (store.samples("a").await.len() > after.len()).then_some(())).await;
    assert_eq!(store.query("a").await.len(), 1);
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_stays_in_sight_until_somebody_removes_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("exemplars"), "neither magic nor version").unwrap();
    // The start that finds it, and one after it.
    for n_found in [1, 0] {
        let store = Store::start(dir.path(), "{}").await;
        let (status, front) = (store.get("/status").await.body, store.get("/").await.body);
        assert!(status.contains("exemplars.damaged</code>"), "{status}");
        assert_eq!(status.contains("The start found these parts"), n_found > 0, "{status}");
        assert_eq!(front.contains("damaged parts"), n_found > 0, "{front}");
        let metrics = store.get("/metrics").await.body;
        for wanted in [
            format!("\ncairn_metrics_store_damage_at_start {n_found}\n"),
            "\ncairn_metrics_store_damage_set_aside 1\n".to_owned(),
        ] {
            assert!(metrics.contains(&wanted), "{wanted}: {metrics}");
        }
        let info = store.get("/api/v1/status/runtimeinfo").await.json();
        assert_eq!(info["data"]["corruptionCount"], n_found);
        store.stop().await;
    }
    std::fs::remove_file(data.join("exemplars.damaged")).unwrap();
    let store = Store::start(dir.path(), "{}").await;
    assert!(!store.get("/status").await.body.contains(".damaged"));
    store.stop().await;
}

async fn failure(dir: &std::path::Path, listen: &str) -> String {
    let data = dir.display().to_string();
    let args = Args::try_parse_from(["store", "--data-dir", &data, "--listen", listen]).unwrap();
    let config = daemon::load(&args).unwrap();
    let error = daemon::run(Lifecycle::detached(), args, config).await.unwrap_err();
    assert_eq!(error.code(), 1);
    error.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_way_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::start(dir.path(), "{}").await;
    let data = dir.path().join("data");
    let locked = failure(&data, "127.0.0.1:0").await;
    assert!(locked.contains(&data.display().to_string()), "{locked}");
    assert!(locked.contains(&std::process::id().to_string()), "{locked}");

    let taken = store.address.to_string();
    let in_use = failure(&dir.path().join("other"), &taken).await;
    assert!(in_use.contains(&taken) && in_use.contains("in use"), "{in_use}");

    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let no_folder = failure(&file.join("data"), "127.0.0.1:0").await;
    assert!(no_folder.contains(&file.display().to_string()), "{no_folder}");
    assert_eq!(store.get("/-/ready").await.status, 200);
    store.stop().await;
}
