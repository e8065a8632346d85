//! Targets listed in files that may change (`file_sd_configs`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::time::{Duration, Instant, SystemTime};

use cairn_runtime::config::load_yaml;
use tokio_util::sync::CancellationToken;

use crate::config::file::StaticConfig;
use crate::config::resolve::{FileSd, check_group};
use crate::scrape::ScrapeManager;

/// How often the files' sizes and times are looked at. They are read again when those change, and after each
/// `refresh_interval` in any case.
const POLL: Duration = Duration::from_secs(2);

/// Files read for one pattern; a folder that fills up must not become a list without end.
const MAX_FILES: usize = 1000;

/// What tells that a file has changed.
type Fingerprint = Vec<(PathBuf, Option<(SystemTime, u64)>)>;

/// Reads the files now and whenever they change, until `stop`, and hands the groups to the manager as `source` of `job`.
pub(crate) async fn watch_files(
    manager: Weak<ScrapeManager>,
    job: String,
    source: String,
    files: FileSd,
    stop: CancellationToken,
) {
    let mut known: BTreeMap<PathBuf, Vec<StaticConfig>> = BTreeMap::new();
    let mut seen: Option<(Fingerprint, Instant)> = None;
    loop {
        let patterns = files.patterns.clone();
        let now = tokio::task::spawn_blocking(move || fingerprint(&patterns)).await.unwrap_or_default();
        let is_due = seen
            .as_ref()
            .is_none_or(|(before, read)| *before != now || read.elapsed() >= files.refresh.std());
        if is_due {
            let paths: Vec<PathBuf> = now.iter().map(|(path, _)| path.clone()).collect();
            let read =
                tokio::task::spawn_blocking(move || paths.into_iter().map(read_file).collect::<Vec<_>>());
            let mut groups = BTreeMap::new();
            for (path, outcome) in read.await.unwrap_or_default() {
                match outcome {
                    Ok(found) => drop(groups.insert(path, found)),
                    Err(error) => {
                        tracing::warn!(job, path = %path.display(), error, "target file not read, its last good content stays");
                        if let Some(last) = known.remove(&path) {
                            groups.insert(path, last);
                        }
                    }
                }
            }
            if groups != known || seen.is_none() {
                known = groups;
                let Some(manager) = manager.upgrade() else { return };
                let all = known
                    .iter()
                    .flat_map(|(path, groups)| groups.iter().map(move |group| (path, group)))
                    .map(|(path, group)| {
                        (group.clone(), vec![("__meta_filepath", path.display().to_string())])
                    })
                    .collect();
                manager.set_groups(&job, source.clone(), all).await;
            }
            seen = Some((now, Instant::now()));
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

fn read_file(path: PathBuf) -> (PathBuf, Result<Vec<StaticConfig>, String>) {
    // JSON is YAML, so one reader does for both.
    let groups =
        load_yaml::<Vec<StaticConfig>>(&path).map_err(|error| error.to_string()).and_then(|groups| {
            for (index, group) in groups.iter().enumerate() {
                check_group(group, &format!("[{index}]")).map_err(|error| error.to_string())?;
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
