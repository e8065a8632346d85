//! Reading a Loki configuration: what Cairn knows is used, the rest is named.

use std::path::Path;

use cairn_runtime::ConfigError;
use serde_json::Value;

use super::keys::{File, KNOWN};

/// Whether a file's name says that it is YAML, and so Loki's.
pub fn is_loki_file(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("yaml") || e.eq_ignore_ascii_case("yml"))
}

/// Reads a Loki file. The second part names every key that Cairn does not know, dotted and sorted.
pub(super) fn read(path: &Path) -> Result<(File, Vec<String>), ConfigError> {
    // Twice: a typed reading places its errors, an untyped one sees the keys that the types pass over.
    let file: Option<File> = cairn_runtime::config::load_yaml(path)?;
    let tree: Value = cairn_runtime::config::load_yaml(path)?;
    Ok((file.unwrap_or_default(), unknown_keys(&tree)))
}

fn unknown_keys(tree: &Value) -> Vec<String> {
    let mut unknown = Vec::new();
    for (section, content) in tree.as_object().into_iter().flatten() {
        if section == "auth_enabled" {
            continue;
        }
        let Some((_, keys)) = KNOWN.iter().find(|(name, _)| name == section) else {
            unknown.push(section.clone());
            continue;
        };
        for key in content.as_object().into_iter().flat_map(|map| map.keys()) {
            if !keys.contains(&key.as_str()) {
                unknown.push(format!("{section}.{key}"));
            }
        }
    }
    unknown.sort();
    unknown
}
