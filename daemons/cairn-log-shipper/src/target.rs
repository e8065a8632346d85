//! A target: one `__path__` with its labels and its pipeline.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use cairn_model::Labels;

use crate::glob::{Glob, GlobError};
use crate::pipeline::Pipeline;

/// Files to tail, and what their streams are called.
#[derive(Debug)]
pub struct Target {
    /// Name of the scrape job.
    pub job: Arc<str>,
    /// Which files.
    pub glob: Glob,
    /// Which of them not.
    exclude: Option<Glob>,
    /// Labels of every file of this target, without `filename`.
    labels: BTreeMap<String, String>,
    /// Steps on each line.
    pub pipeline: Arc<Pipeline>,
}

/// Why a target cannot be used.
#[derive(Debug)]
pub struct TargetError {
    /// The label that holds the bad value.
    pub key: &'static str,
    /// What is wrong with it.
    pub message: String,
}

impl Target {
    /// Compiles the globs.
    ///
    /// # Errors
    /// [`TargetError`] for a glob that cannot be used.
    pub fn new(
        job: &str,
        path: &str,
        exclude: Option<&str>,
        labels: BTreeMap<String, String>,
        pipeline: Arc<Pipeline>,
    ) -> Result<Self, TargetError> {
        let named = |key| move |error: GlobError| TargetError { key, message: error.to_string() };
        let glob = Glob::new(path).map_err(named("__path__"))?;
        let exclude = exclude.map(Glob::new).transpose().map_err(named("__path_exclude__"))?;
        Ok(Self { job: job.into(), glob, exclude, labels, pipeline })
    }

    /// Whether this target wants the file.
    pub fn matches(&self, path: &Path) -> bool {
        self.glob.matches(path) && !self.exclude.as_ref().is_some_and(|exclude| exclude.matches(path))
    }

    /// The labels of a file before the first stage: the target's and `filename`.
    pub fn labels(&self, filename: &str) -> Labels {
        let pairs = self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        pairs.chain([("filename", filename)]).collect()
    }

    /// The stream of a file: its labels, and what the pipeline makes of them whatever the lines say.
    pub fn stream(&self, filename: &str) -> Arc<Labels> {
        let mut labels = self.labels(filename).to_builder();
        self.pipeline.edit_labels(&mut labels);
        Arc::new(labels.build())
    }
}

/// Whether this is a label name: `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_label_name(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
}

/// Which of the targets that want a file: its position is for that one alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetKey {
    /// Name of the scrape job.
    pub job: Arc<str>,
    /// Number among the targets of that job that want the file.
    pub nth: u32,
}

/// Targets that want `path`, each with its key: a file that two jobs want is shipped twice, with a position for each,
/// which stays with its job when others come and go.
pub fn matching<'a>(
    targets: &'a [Arc<Target>],
    path: &'a Path,
) -> impl Iterator<Item = (TargetKey, &'a Arc<Target>)> {
    let mut counts: HashMap<&str, u32> = HashMap::new();
    targets.iter().filter(move |target| target.matches(path)).map(move |target| {
        let count = counts.entry(&*target.job).or_default();
        let key = TargetKey { job: Arc::clone(&target.job), nth: *count };
        *count += 1;
        (key, target)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_numbered_within_their_job() {
        let target = |job: &str, path: &str| {
            Arc::new(Target::new(job, path, None, BTreeMap::new(), Arc::default()).unwrap())
        };
        let targets = [target("a", "/x"), target("b", "/*"), target("a", "/y"), target("a", "/?")];
        let keys: Vec<(String, u32)> =
            matching(&targets, Path::new("/x")).map(|(key, _)| (key.job.to_string(), key.nth)).collect();
        assert_eq!(keys, [("a".to_owned(), 0), ("b".to_owned(), 0), ("a".to_owned(), 1)]);
    }
}
