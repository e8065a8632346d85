//! Data directories of Prometheus: their history is not read in place, and to start on one would seem to have lost it.

use std::path::Path;

use anyhow::{Result, bail};

/// Refuses a directory with Prometheus's data in which there is no database of this store yet.
///
/// # Errors
/// It is one; the text says what to do. What cannot be looked at is left to whoever opens the database.
pub fn refuse_prometheus(dir: &Path) -> Result<()> {
    if dir.join("blocks").is_dir() {
        return Ok(());
    }
    let Some(found) = find(dir) else { return Ok(()) };
    bail!(
        "{} has data of Prometheus ({found}), which this store does not read in place; name another directory, and bring \
         the history along with: cairn-metrics-store import --from {} --data-dir DIRECTORY",
        dir.display(),
        dir.display()
    )
}

/// The name of something that Prometheus has made.
fn find(dir: &Path) -> Option<String> {
    let names = |dir: &Path| {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    let is_segment = |name: &String| name.len() == 8 && name.bytes().all(|byte| byte.is_ascii_digit());
    let is_block = |name: &String| name.len() == 26 && dir.join(name).join("meta.json").is_file();
    let all = names(dir);
    if all.iter().any(|name| name == "chunks_head") {
        return Some("chunks_head".to_owned());
    }
    let segment = || Some(format!("wal/{}", names(&dir.join("wal")).into_iter().find(is_segment)?));
    all.into_iter().find(is_block).or_else(segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_of_prometheus_are_refused_unless_there_is_a_database_already() {
        for made in ["chunks_head/000001", "wal/00000000", "01JABCDEFGHJKMNPQRSTVWXYZ0/meta.json"] {
            let dir = tempfile::tempdir().unwrap();
            refuse_prometheus(dir.path()).unwrap();
            let file = dir.path().join(made);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, "x").unwrap();
            let error = refuse_prometheus(dir.path()).unwrap_err().to_string();
            assert!(
                error.contains(" import --from ") && error.contains(made.split('/').next().unwrap()),
                "{error}"
            );
            std::fs::create_dir(dir.path().join("blocks")).unwrap();
            refuse_prometheus(dir.path()).unwrap();
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("wal")).unwrap();
        std::fs::write(dir.path().join("wal/0000000001.wal"), "x").unwrap();
        refuse_prometheus(dir.path()).unwrap();
        refuse_prometheus(&dir.path().join("nothing")).unwrap();
    }
}
