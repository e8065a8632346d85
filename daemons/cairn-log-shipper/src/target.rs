//! A target: one `__path__` with its labels and its pipeline.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use cairn_model::Labels;

use crate::glob::{Glob, GlobError};
use crate::pipeline::Pipeline;

/// Files to tail, and what their streams are called.
#[derive(Debug)]
pub struct Target {
    /// Name of the scrape job.
    pub job: String,
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
        Ok(Self { job: job.to_owned(), glob, exclude, labels, pipeline })
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

/// Targets that want `path`, each with its number among them: a file that two jobs want is shipped twice, with a
/// position for each.
pub fn matching<'a>(
    targets: &'a [Arc<Target>],
    path: &'a Path,
) -> impl Iterator<Item = (u32, &'a Arc<Target>)> {
    (0u32..).zip(targets.iter().filter(move |target| target.matches(path)))
}
