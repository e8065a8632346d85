//! Targets listed in files that may change (`file_sd_configs`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use cairn_runtime::config::{ConfigError, load_yaml};

use crate::config::file::StaticConfig;
use crate::config::resolve::check_group;
use crate::metrics::Metrics;

/// How often the files' sizes and times are looked at. They are read again when those change, and after each
/// `refresh_interval` in any case.
pub(super) const POLL: Duration = Duration::from_secs(2);

/// Files read for one pattern; a folder that fills up must not become a list without end.
const MAX_FILES: usize = 1000;

/// What tells that a file has changed.
type Fingerprint = Vec<(PathBuf, Option<(SystemTime, u64)>)>;

/// Files that list targets.
#[derive(Clone, Debug)]
pub struct FileSd {
    /// Absolute paths, or relative to where the daemon was started; the last part may hold `*`.
    pub patterns: Vec<PathBuf>,
    /// Time between two readings.
    pub refresh: Duration,
}

/// The files with what was good in them.
pub(super) struct FileProvider {
    files: FileSd,
    metrics: Arc<Metrics>,
    known: BTreeMap<PathBuf, Vec<StaticConfig>>,
    seen: Option<(Fingerprint, Instant)>,
}

impl FileProvider {
    pub(super) fn new(files: FileSd, metrics: Arc<Metrics>) -> Self {
        Self { files, metrics, known: BTreeMap::new(), seen: None }
    }

    /// The groups of all files, when they were read again. A file that is bad now keeps its last good groups.
    pub(super) async fn refresh(&mut self) -> Option<Vec<StaticConfig>> {
        let patterns = self.files.patterns.clone();
        let now = tokio::task::spawn_blocking(move || fingerprint(&patterns)).await.unwrap_or_default();
        let is_due = self
            .seen
            .as_ref()
            .is_none_or(|(before, read)| *before != now || read.elapsed() >= self.files.refresh);
        if !is_due {
            return None;
        }
        let paths: Vec<PathBuf> = now.iter().map(|(path, _)| path.clone()).collect();
        let read = tokio::task::spawn_blocking(move || paths.into_iter().map(read_file).collect::<Vec<_>>());
        let mut groups = BTreeMap::new();
        for (path, outcome) in read.await.unwrap_or_default() {
            match outcome {
                Ok(found) => drop(groups.insert(path, found)),
                Err(error) => {
                    self.metrics.discovery.file_read_errors.inc();
                    tracing::warn!(path = %path.display(), error, "target file not read, its last good content stays");
                    if let Some(last) = self.known.remove(&path) {
                        groups.insert(path, last);
                    }
                }
            }
        }
        self.known = groups;
        self.seen = Some((now, Instant::now()));
        let all = self.known.iter().flat_map(|(path, groups)| {
            groups.iter().cloned().map(|mut group| {
                group.labels.insert("__meta_filepath".to_owned(), path.display().to_string());
                group
            })
        });
        Some(all.collect())
    }
}

/// What is wrong with the files that are there, one line each. That there is none yet is no mistake.
pub(crate) fn check(sd: &FileSd) -> Vec<String> {
    let paths = sd.patterns.iter().flat_map(|pattern| matching(pattern));
    paths.filter_map(|path| read_file(path).1.err()).collect()
}

fn read_file(path: PathBuf) -> (PathBuf, Result<Vec<StaticConfig>, String>) {
    // JSON is YAML, so one reader does for both.
    let groups =
        load_yaml::<Vec<StaticConfig>>(&path).map_err(|error| error.to_string()).and_then(|groups| {
            for (index, group) in groups.iter().enumerate() {
                check_group(group, &format!("[{index}]"))
                    .map_err(|error| ConfigError::rule(&path, &error.place, error.message).to_string())?;
            }
            Ok(groups)
        });
    (path, groups)
}

fn fingerprint(patterns: &[PathBuf]) -> Fingerprint {
    let mut all: Fingerprint = Vec::new();
    for pattern in patterns {
        for path in matching(pattern) {
            let meta = std::fs::metadata(&path).ok();
            let stamp = meta.and_then(|meta| meta.modified().ok().map(|time| (time, meta.len())));
            all.push((path, stamp));
        }
    }
    all.sort();
    all.dedup();
    all
}

/// The files that a path with at most one `*` in its last part names, sorted.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let name = pattern.file_name().and_then(|name| name.to_str()).unwrap_or("");
    let Some((before, after)) = name.split_once('*') else {
        return if pattern.exists() { vec![pattern.to_owned()] } else { Vec::new() };
    };
    let folder = pattern.parent().unwrap_or(Path::new("."));
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| {
            entry.file_name().to_str().is_some_and(|name| {
                name.len() >= before.len() + after.len() && name.starts_with(before) && name.ends_with(after)
            })
        })
        .map(|entry| entry.path())
        .take(MAX_FILES)
        .collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_and_contents() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("a.json", r#"[{"targets": ["h:1", "h:2"], "labels": {"env": "dev"}}]"#);
        write("b.yml", "- targets: ['h:3']\n");
        write("c.json", "[{\"targets\": [\"a/b\"]}]");
        write("d.txt", "");
        let json = matching(&dir.path().join("*.json"));
        assert_eq!(json.len(), 2);
        assert_eq!(read_file(json[0].clone()).1.unwrap()[0].targets, ["h:1", "h:2"]);
        assert!(read_file(json[1].clone()).1.unwrap_err().contains("not a valid hostname"));
        assert_eq!(matching(&dir.path().join("b.yml")).len(), 1);
        assert_eq!(matching(&dir.path().join("no.yml")).len(), 0);
        let before = fingerprint(&[dir.path().join("*.yml")]);
        write("b.yml", "- targets: ['h:3', 'h:4']\n");
        assert_ne!(fingerprint(&[dir.path().join("*.yml")]), before);
    }
}
