//! What the integration tests share: the built daemon as a process, and a small HTTP client.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test binary uses its own part; helpers of tests may unwrap"
)]

pub mod http;
pub mod store;

use std::path::PathBuf;

/// The folder with material that is not part of the repository; `None`, after one line that says so, when it is absent.
pub fn shared(folder: &str) -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
    let root = std::env::var_os("CAIRN_SHARED").map_or_else(|| PathBuf::from(default), PathBuf::from);
    let path = root.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: {} is not there (CAIRN_SHARED names the folder)", path.display());
    None
}
