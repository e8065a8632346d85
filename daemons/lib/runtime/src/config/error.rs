//! The error of a configuration: what, in which file, at which line and key, with the line itself.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::position::{LineColumn, is_secret_key, line_column};

/// Why a configuration cannot be used.
///
/// Displays as `file:line:column: key: message`, followed by the line and a caret where the position is known.
#[derive(Debug)]
pub struct ConfigError(Box<Details>);

/// Boxed, so that a result with it stays small.
#[derive(Debug)]
struct Details {
    path: PathBuf,
    position: Option<LineColumn>,
    key: String,
    message: String,
    snippet: Option<String>,
    source: Option<io::Error>,
}

impl ConfigError {
    /// A rule that the file breaks although it is well-formed, such as two keys that contradict each other.
    ///
    /// `key` is the full name (`limits.max_line_size`), empty where it is not about one key. `path` may be any text that
    /// names the source, such as `built-in defaults`.
    pub fn rule(path: impl AsRef<Path>, key: &str, message: impl Into<String>) -> Self {
        Self(Box::new(Details {
            path: path.as_ref().to_owned(),
            position: None,
            key: key.to_owned(),
            message: message.into(),
            snippet: None,
            source: None,
        }))
    }

    pub(super) fn unreadable(path: &Path, source: io::Error) -> Self {
        let mut error = Self::rule(path, "", "");
        error.0.source = Some(source);
        error
    }

    /// An error about the bytes `span` of `text`.
    pub(super) fn at(path: &Path, text: &str, span: Range<usize>, key: String, message: String) -> Self {
        let position = line_column(text, span.start);
        let snippet = (!is_secret_key(&key)).then(|| render_snippet(text, span, position)).flatten();
        let mut error = Self::rule(path, &key, message);
        error.0.position = Some(position);
        error.0.snippet = snippet;
        error
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Line and column, both from 1, where they are known. The column counts characters.
    pub fn position(&self) -> Option<(usize, usize)> {
        self.0.position.map(|position| (position.line, position.column))
    }

    /// The key with the tables around it, as `limits.max_line_size`; empty where it is not known.
    pub fn key(&self) -> &str {
        &self.0.key
    }

    /// `file:line:column: key`, as far as they are known: for whoever may not see what the file says, since a value may be a
    /// password whatever its key is called.
    pub fn place(&self) -> String {
        let mut place = self.0.path.display().to_string();
        if let Some(LineColumn { line, column }) = self.0.position {
            place += &format!(":{line}:{column}");
        }
        if !self.0.key.is_empty() {
            place += &format!(": {}", self.0.key);
        }
        place
    }

    /// What is wrong and what was expected, without file, position and key.
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.place())?;
        match &self.0.source {
            // Shown here and not as a source: the file's name alone would say nothing.
            Some(error) => write!(f, ": {error}")?,
            None => write!(f, ": {}", self.0.message)?,
        }
        match &self.0.snippet {
            Some(snippet) => write!(f, "\n{snippet}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Around the name of a key in the message of a serde error; see [`about_key`]. Readers of YAML escape what cannot be printed.
const ABOUT: [char; 2] = ['⟦', '⟧'];

/// A message for a serde error that is about a key as a whole and not about the part of its value that is being read: a
/// reader of this module points at the nearest such key above that part.
pub fn about_key(key: &str, message: impl fmt::Display) -> String {
    let [begin, end] = ABOUT;
    format!("{begin}{key}{end}{message}")
}

/// The key that a message is about, where [`about_key`] made it, and the message alone.
pub(super) fn split_about(message: &str) -> (Option<&str>, &str) {
    let [begin, end] = ABOUT;
    let split = message.strip_prefix(begin).and_then(|rest| rest.split_once(end));
    split.map_or((None, message), |(key, message)| (Some(key), message))
}

/// Longest line that is shown with a caret; longer ones are data, not configuration.
const MAX_SNIPPET_CHARS: usize = 200;

fn render_snippet(text: &str, span: Range<usize>, position: LineColumn) -> Option<String> {
    let line = text.lines().nth(position.line - 1)?;
    if line.chars().count() > MAX_SNIPPET_CHARS {
        return None;
    }
    let n_marked = text.get(span).map_or(1, |marked| marked.lines().next().unwrap_or("").chars().count());
    let n_left = (line.chars().count() + 1).saturating_sub(position.column);
    let carets = "^".repeat(n_marked.min(n_left).max(1));
    let number = position.line.to_string();
    let gutter = " ".repeat(number.len());
    // Tabs are kept so that the caret stands under the word however wide they are drawn.
    let indent: String =
        line.chars().take(position.column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    Some(format!("{gutter} |\n{number} | {line}\n{gutter} | {indent}{carets}"))
}
