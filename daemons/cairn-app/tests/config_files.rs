//! Every good file is taken, every bad one is refused with the message in its `.bad.txt`, by the built binary.
//!
//! `CAIRN_UPDATE_GOLDEN=1` rewrites the messages; look at the diff.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/config")
}

fn check_config(path: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cairn-app"))
        .arg("--check-config")
        .arg("--config")
        .arg(path)
        .output()
        .unwrap()
}

fn files(ending: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(testdata())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().ends_with(ending))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no {ending} in testdata");
    files
}

#[test]
fn good_files_are_taken() {
    for path in files(".good.toml") {
        let output = check_config(&path);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}: {}",
            path.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said, format!("configuration is good: {}\n", path.display()));
    }
}

#[test]
fn bad_files_are_refused_with_their_message_and_exit_code_78() {
    for path in files(".bad.toml") {
        let output = check_config(&path);
        assert_eq!(output.status.code(), Some(78), "{}", path.display());
        let message = String::from_utf8(output.stderr).unwrap();
        let start = format!("cairn-app: configuration: {}", path.display());
        let Some(rest) = message.strip_prefix(&start) else {
            panic!("{message:?} does not start with {start:?}")
        };
        let golden = path.with_extension("txt");
        if std::env::var_os("CAIRN_UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, rest).unwrap();
        }
        assert_eq!(rest, std::fs::read_to_string(&golden).unwrap(), "{}", path.display());
    }
}

#[test]
fn a_missing_file_and_bad_usage_have_their_own_codes() {
    let missing = check_config(Path::new("/nonexistent/app.toml"));
    assert_eq!(missing.status.code(), Some(78));
    let message = String::from_utf8(missing.stderr).unwrap();
    assert!(
        message.ends_with("/nonexistent/app.toml: No such file or directory (os error 2)\n"),
        "{message}"
    );
    let usage = Command::new(env!("CARGO_BIN_EXE_cairn-app")).arg("--no-such-flag").output().unwrap();
    assert_eq!(usage.status.code(), Some(64));
    let version = Command::new(env!("CARGO_BIN_EXE_cairn-app")).arg("--version").output().unwrap();
    assert_eq!(version.status.code(), Some(0));
    assert_eq!(version.stdout, format!("cairn-app {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
}
