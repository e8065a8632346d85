//! Where the checkout is.

use std::path::{Path, PathBuf};

/// The root of the repository: what `scripts/up` and `scripts/test` say in `CAIRN_ROOT`, else where this was compiled.
///
/// Two checkouts may share a target folder, as `.ci/run` does; cargo then takes what was compiled in one of them for the
/// other's too, with the first one's path in it.
pub fn root() -> PathBuf {
    std::env::var_os("CAIRN_ROOT")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), PathBuf::from)
}
