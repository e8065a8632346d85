//! Taking over the positions of a Promtail that ran here before.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::Deserialize;

/// Reads a Promtail positions file: `positions: {/path: "offset", cursor-job: "..."}`. Journal cursors are left out.
/// `None`: there is no such file.
///
/// # Errors
/// A message that names the file.
pub fn read_promtail(path: &Path) -> Result<Option<BTreeMap<String, u64>>, String> {
    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        positions: Option<BTreeMap<String, serde_json::Value>>,
    }
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("read {}: {error}", path.display())),
        Ok(_) => {}
    }
    let file: File = cairn_runtime::config::load_yaml(path).map_err(|error| error.to_string())?;
    let offset = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.parse().ok(),
        value => value.as_u64(),
    };
    let positions = file.positions.unwrap_or_default();
    Ok(Some(
        positions
            .iter()
            .filter(|(path, _)| path.starts_with('/'))
            .filter_map(|(path, value)| Some((path.clone(), offset(value)?)))
            .collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_promtail_writes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("positions.yaml");
        assert_eq!(read_promtail(&path), Ok(None));
        std::fs::write(&path, "positions:\n  /var/log/app.log: \"1234\"\n  cursor-journal: s=abc\n").unwrap();
        let want = BTreeMap::from([("/var/log/app.log".to_owned(), 1234)]);
        assert_eq!(read_promtail(&path), Ok(Some(want)));
        std::fs::write(&path, "positions: [").unwrap();
        assert!(read_promtail(&path).unwrap_err().contains("positions.yaml"));
    }
}
