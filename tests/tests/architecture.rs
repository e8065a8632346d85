//! ARCHITECTURE.md and README.md name only what exists, and the dependency rules that they state hold.
#![allow(clippy::unwrap_used, reason = "helpers of tests; clippy knows only the test functions themselves")]

use std::fs;
use std::path::PathBuf;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Words of a text that are paths into the repository.
fn paths_in(text: &str) -> Vec<&str> {
    text.split(|c: char| c.is_whitespace() || "`,()[]".contains(c))
        .map(|word| word.trim_end_matches(['.', ';', ':']))
        .filter(|word| {
            ["daemons/", "tests/", "scripts/", "terraform/"].iter().any(|top| word.starts_with(top))
        })
        .filter(|word| !word.contains(['*', '<']))
        .collect()
}

#[test]
fn every_path_that_the_documents_name_exists() {
    for document in ["ARCHITECTURE.md", "README.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        let paths = paths_in(&text);
        assert!(
            document != "ARCHITECTURE.md" || paths.len() > 50,
            "{document}: only {} paths found",
            paths.len()
        );
        let missing: Vec<&&str> = paths.iter().filter(|path| !root().join(path).exists()).collect();
        assert!(missing.is_empty(), "{document} names what does not exist: {missing:?}");
    }
}

/// Names of files in backquotes without the folder they lie in, such as `db/write.rs`.
fn bare_files_in(text: &str) -> Vec<&str> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| [".rs", ".test", ".hex"].iter().any(|end| word.ends_with(end)))
        .filter(|word| !word.contains(['*', '<', ' ']))
        .collect()
}

fn files_below(folder: &std::path::Path, files: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, files);
        } else {
            files.push(path.to_string_lossy().into_owned());
        }
    }
}

#[test]
fn every_file_that_is_named_without_its_folder_exists_somewhere() {
    let mut files = Vec::new();
    files_below(&root().join("daemons"), &mut files);
    files_below(&root().join("tests"), &mut files);
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let names = bare_files_in(&text);
    assert!(names.len() > 50, "only {} names found", names.len());
    let is_there = |name: &str| files.iter().any(|file| file.ends_with(&format!("/{name}")));
    let missing: Vec<&&str> = names.iter().filter(|name| !is_there(name)).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md names what does not exist: {missing:?}");
}

/// The crates of the workspace that a crate names in `[dependencies]`.
fn dependencies(manifest: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(manifest)).unwrap();
    let section = text.split("\n[dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
    section.lines().filter_map(|line| line.split(['.', ' ', '=']).next()).map(str::to_owned).collect()
}

#[test]
fn dependencies_point_one_way() {
    let forbidden: [(&str, &[&str]); 6] = [
        ("daemons/lib/model/Cargo.toml", &["cairn-", "tokio", "axum"]),
        (
            "daemons/lib/logql/Cargo.toml",
            &[
                "cairn-disk",
                "cairn-wire",
                "cairn-logdb",
                "cairn-tsdb",
                "cairn-http",
                "cairn-runtime",
                "tokio",
                "axum",
            ],
        ),
        (
            "daemons/lib/promql/Cargo.toml",
            &[
                "cairn-disk",
                "cairn-wire",
                "cairn-logdb",
                "cairn-tsdb",
                "cairn-http",
                "cairn-runtime",
                "tokio",
                "axum",
            ],
        ),
        (
            "daemons/lib/logdb/Cargo.toml",
            &["cairn-http", "cairn-runtime", "cairn-wire", "tokio", "axum", "toml", "serde"],
        ),
        (
            "daemons/lib/tsdb/Cargo.toml",
            &["cairn-http", "cairn-runtime", "cairn-wire", "tokio", "axum", "toml", "serde"],
        ),
        ("daemons/lib/disk/Cargo.toml", &["cairn-", "tokio", "axum"]),
    ];
    for (manifest, absent) in forbidden {
        let has = dependencies(manifest);
        assert!(!has.is_empty(), "{manifest}: no dependencies found");
        for name in &has {
            assert!(!absent.iter().any(|no| name.starts_with(no)), "{manifest} depends on {name}");
        }
    }
    for daemon in ["cairn-app", "cairn-log-shipper", "cairn-log-store", "cairn-metrics-store"] {
        for name in dependencies(&format!("daemons/{daemon}/Cargo.toml")) {
            let is_daemon = ["cairn-app", "cairn-log-shipper", "cairn-log-store", "cairn-metrics-store"]
                .contains(&name.as_str());
            assert!(!is_daemon, "{daemon} depends on {name}");
        }
    }
}
