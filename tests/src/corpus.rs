//! Log files to ship: real ones where they are at hand, else a small corpus written here.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::root::root;

/// The folder with recorded answers and real logs: `CAIRN_SHARED`, else `shared` beside the checkout. `None` when it is
/// not there, as in a user's clone.
pub fn shared_folder() -> Option<PathBuf> {
    let folder = std::env::var_os("CAIRN_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    folder.is_dir().then_some(folder)
}

/// One log file: its name and its lines, without line ends.
#[derive(Clone, Debug)]
pub struct LogFile {
    /// File name, without folder.
    pub name: String,
    /// Lines without their line ends. Not always UTF-8.
    pub lines: Vec<Vec<u8>>,
}

/// The real log files of `loghub/` in the shared folder (line ends made LF), or a corpus of our own.
///
/// # Errors
/// When a file cannot be read.
pub fn log_files() -> Result<Vec<LogFile>> {
    match shared_folder().map(|folder| folder.join("loghub")).filter(|folder| folder.is_dir()) {
        Some(folder) => real_files(&folder),
        None => Ok(own_files()),
    }
}

fn real_files(folder: &Path) -> Result<Vec<LogFile>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry.context("list the corpus")?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
            let name = path.file_name().context("file name")?.to_string_lossy().into_owned();
            files.push(LogFile { name, lines: lines_of(&bytes) });
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

/// Lines of a file with LF or CRLF ends; what follows the last line end counts as a line if there is anything.
fn lines_of(bytes: &[u8]) -> Vec<Vec<u8>> {
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    body.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec()).collect()
}

/// Four files of a few hundred lines with what real files hold: JSON, logfmt, tracebacks, other scripts, equal lines, long lines.
fn own_files() -> Vec<LogFile> {
    let json = (0..500)
        .map(|i| format!(r#"{{"level":"{}","request_id":"r{i}","status":{}}}"#, level(i), 200 + i % 4 * 100));
    let logfmt = (0..500).map(|i| {
        format!("ts={i} level={} msg=\"request done\" path=/api/{} dur={}ms", level(i), i % 7, i % 90)
    });
    let python = (0..300).map(|i| match i % 5 {
        0 => format!(
            "2026-01-01 00:{:02}:{:02} - flask_app - ERROR - request failed: id {i}",
            i / 60 % 60,
            i % 60
        ),
        1 => "Traceback (most recent call last):".to_owned(),
        2 => "  File \"app.py\", line 12, in handler".to_owned(),
        3 => "ValueError: ungültiger Wert «東京» 😀".to_owned(),
        _ => String::from("same line again"),
    });
    let long = (0..40).map(|i| format!("{i} {}", "x".repeat(i * 997)));
    let file = |name: &str, lines: Vec<String>| LogFile {
        name: name.to_owned(),
        lines: lines.into_iter().map(String::into_bytes).collect(),
    };
    vec![
        file("json.log", json.collect()),
        file("logfmt.log", logfmt.collect()),
        file("python.log", python.collect()),
        file("long.log", long.collect()),
    ]
}

fn level(i: usize) -> &'static str {
    ["info", "info", "warn", "error"][i % 4]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_lf_or_crlf() {
        assert_eq!(lines_of(b"a\r\nb\n\nc"), [b"a".to_vec(), b"b".to_vec(), b"".to_vec(), b"c".to_vec()]);
    }
}
