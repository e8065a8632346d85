//! The files in `testdata/config`: good ones load, bad ones are refused with the words that their comments expect,
//! by the daemon itself and with exit code 78.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "modules of a test; its helpers may unwrap"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use cairn_log_store::config::Config;
use support::store::run_to_end;

fn files(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/config");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.to_string_lossy().contains(kind));
    files.sort();
    assert!(!files.is_empty());
    files
}

/// What the comments `# <word>: ...` of a file say.
fn comments(path: &Path, word: &str) -> Vec<String> {
    let start = format!("# {word}: ");
    fs::read_to_string(path)
        .unwrap()
        .lines()
        .filter_map(|l| l.strip_prefix(&start).map(str::to_owned))
        .collect()
}

#[test]
fn good_files_load_and_name_what_they_ignore() {
    for path in files(".good.") {
        let config = Config::load(Some(&path)).unwrap_or_else(|e| panic!("{e}"));
        let ignored: Vec<String> =
            if config.ignored_keys.is_empty() { vec![] } else { vec![config.ignored_keys.join(", ")] };
        assert_eq!(ignored, comments(&path, "ignores"), "{}", path.display());
    }
}

#[test]
fn bad_files_are_refused_with_place_and_expectation() {
    for path in files(".bad.") {
        let output = run_to_end(&["--check-config", "--config", path.to_str().unwrap()]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{}: {text}", path.display());
        let expected = comments(&path, "expect");
        assert!(!expected.is_empty());
        for want in expected.iter().chain([&path.display().to_string()]) {
            assert!(text.contains(want), "{}: {want:?} is not in\n{text}", path.display());
        }
    }
}

#[test]
fn a_missing_file_is_named() {
    let output = run_to_end(&["--config", "/nonexistent/log-store.toml"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{text}");
    assert!(text.contains("/nonexistent/log-store.toml: No such file"), "{text}");
}

#[test]
fn lokis_flags_are_understood() {
    let path = files("tutorial.good")[0].clone();
    let output = run_to_end(&["-verify-config", &format!("-config.file={}", path.display())]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.starts_with("configuration is good"), "{text}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("schema_config"), "{told}");
    let both = run_to_end(&["--config", "a.toml", "-config.file", "b.yaml"]);
    assert_eq!(both.status.code(), Some(64));
}
