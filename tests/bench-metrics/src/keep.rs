//! Folders for a store's data: passing ones, and those that are kept from one run to the next, since loading takes
//! longer than asking.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::server::{Kind, Program};

/// Says what is in a folder, once it is in there whole.
const MARK: &str = "loaded.json";

/// A folder for one store.
#[derive(Debug)]
pub enum Dir {
    /// Goes with this value.
    Passing(TempDir),
    /// Stays.
    Kept(PathBuf),
}

/// What `ingest` has left in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Time of the end of the data in milliseconds.
    pub end_ms: i64,
    /// Samples that were asked for.
    pub samples: u64,
}

impl Dir {
    /// A folder below `scratch`, or below the system's for temporary files.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn passing(scratch: Option<&Path>) -> Result<Self> {
        let dir = match scratch {
            Some(scratch) => tempfile::tempdir_in(scratch),
            None => tempfile::tempdir(),
        };
        Ok(Self::Passing(dir.context("folder for the data")?))
    }

    /// The store's folder in `keep`, whatever is in it; or a passing one.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn for_query(keep: Option<&Path>, scratch: Option<&Path>, program: &Program) -> Result<Self> {
        let Some(keep) = keep else { return Self::passing(scratch) };
        let dir = keep.join(match program.kind {
            // Names that no folder of a real store has: these are emptied.
            Kind::Cairn => "bench-metrics-cairn",
            Kind::Prometheus => "bench-metrics-prometheus",
            Kind::Victoria => "bench-metrics-victoria",
        });
        std::fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        Ok(Self::Kept(std::path::absolute(dir)?))
    }

    /// The store's folder in `keep`, emptied; or a passing one.
    ///
    /// # Errors
    /// It cannot be made or emptied.
    pub fn for_ingest(keep: Option<&Path>, scratch: Option<&Path>, program: &Program) -> Result<Self> {
        let dir = Self::for_query(keep, scratch, program)?;
        dir.clear()?;
        Ok(dir)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        match self {
            Self::Passing(dir) => dir.path(),
            Self::Kept(dir) => dir,
        }
    }

    /// Removes what is in it.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub fn clear(&self) -> Result<()> {
        let dir = self.path();
        let clear = || {
            std::fs::remove_dir_all(dir)?;
            std::fs::create_dir_all(dir)
        };
        clear().with_context(|| format!("empty {}", dir.display()))
    }
}

/// Notes that a folder has its data whole.
///
/// # Errors
/// The folder cannot be written.
pub fn set_loaded(dir: &Path, loaded: Loaded) -> Result<()> {
    let Loaded { end_ms, samples } = loaded;
    let text = serde_json::json!({ "end_ms": end_ms, "samples": samples }).to_string();
    std::fs::write(dir.join(MARK), text).with_context(|| format!("write {MARK} in {}", dir.display()))
}

/// What is in a folder; `None` when nothing is, or not all of it.
pub fn loaded(dir: &Path) -> Option<Loaded> {
    let text = std::fs::read_to_string(dir.join(MARK)).ok()?;
    let json: serde_json::Value = serde_json::from_str(&text).ok()?;
    Some(Loaded { end_ms: json["end_ms"].as_i64()?, samples: json["samples"].as_u64()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_loaded_is_known_until_the_folder_is_cleared() {
        let keep = tempfile::tempdir().unwrap();
        let program = Program { kind: Kind::Cairn, path: PathBuf::from("cairn-metrics-store") };
        let dir = Dir::for_ingest(Some(keep.path()), None, &program).unwrap();
        assert_eq!(loaded(dir.path()), None);
        let written = Loaded { end_ms: 1_700_000_000_000, samples: 135 };
        set_loaded(dir.path(), written).unwrap();
        let found = Dir::for_query(Some(keep.path()), None, &program).unwrap();
        assert_eq!(loaded(found.path()), Some(written));
        found.clear().unwrap();
        assert_eq!(loaded(found.path()), None);
    }
}
