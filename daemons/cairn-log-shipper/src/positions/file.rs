//! The positions on disk: two checked files, written in turn. See `FORMAT.md`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_disk::header::HeaderError;
use cairn_disk::{CheckedError, Format, Fs, read_checked, write_atomically};
use cairn_model::TimeNs;
use serde::{Deserialize, Serialize};

use super::{About, Entry, Owner};
use crate::receipt::{Mark, Moved};
use crate::tail::identity::{FileId, Head, TailCheck};
use crate::target::TargetKey;

/// What the files are.
pub(super) const FORMAT: Format = Format::new(*b"CAIRNPOS", 1);
/// The file for even sequence numbers, then the one for odd ones.
pub(super) const NAMES: [&str; 2] = ["positions-0", "positions-1"];

/// The body of a positions file, as JSON.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Content {
    /// Counts writes; the higher of the two files is the newer one.
    pub(super) sequence: u64,
    /// Promtail positions files that were taken over.
    #[serde(default)]
    pub(super) imported: Vec<PathBuf>,
    /// Offsets from there that no file has claimed yet.
    #[serde(default)]
    pub(super) imports: BTreeMap<String, u64>,
    /// One per file and target.
    pub(super) files: Vec<Record>,
}

/// One file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    path: String,
    /// Not there in what builds before 0.1.0 wrote: `nth` then counts through the targets of all jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    job: Option<Arc<str>>,
    nth: u32,
    dev: u64,
    ino: u64,
    born_ns: Option<u64>,
    head_bytes: u16,
    /// XXH3-128 in hexadecimal: JSON numbers are too short for it.
    head_hash: String,
    offset: u64,
    tail_bytes: u8,
    tail_hash: u64,
    in_long_line: bool,
    last_time_ns: i64,
    seen_s: u64,
}

impl Record {
    pub(super) fn of(entry: &Entry) -> Self {
        let About { owner, path, file, head, seen_s, open: _, read: _ } = entry.about();
        let (job, nth) = match owner {
            Owner::Target(TargetKey { job, nth }) => (Some(job), nth),
            Owner::Numbered(number) => (None, number),
        };
        let Mark { offset, tail, is_in_long_line, last_time } = entry.ledger.committed();
        Self {
            path,
            job,
            nth,
            dev: file.dev,
            ino: file.ino,
            born_ns: file.born,
            head_bytes: head.len,
            head_hash: format!("{:032x}", head.hash),
            offset,
            tail_bytes: tail.len,
            tail_hash: tail.hash,
            in_long_line: is_in_long_line,
            last_time_ns: last_time.0,
            seen_s,
        }
    }

    pub(super) fn into_entry(self, moved: &Moved) -> Arc<Entry> {
        let read = Mark {
            offset: self.offset,
            tail: TailCheck { len: self.tail_bytes, hash: self.tail_hash },
            is_in_long_line: self.in_long_line,
            last_time: TimeNs(self.last_time_ns),
        };
        // A hash that cannot be read fits no file: the file is then read from its beginning, which loses nothing.
        let hash = u128::from_str_radix(&self.head_hash, 16).unwrap_or_default();
        let owner = match self.job {
            Some(job) => Owner::Target(TargetKey { job, nth: self.nth }),
            None => Owner::Numbered(self.nth),
        };
        let about = About {
            owner,
            path: self.path,
            file: FileId { dev: self.dev, ino: self.ino, born: self.born_ns },
            head: Head { len: self.head_bytes, hash },
            seen_s: self.seen_s,
            open: None,
            read,
        };
        Entry::new(about, moved)
    }
}

/// The newer of the good files, and what there is to say about damaged ones.
///
/// # Errors
/// A message when one of them was written by a newer build: it would be misread, or overwritten.
pub(super) fn load(fs: &dyn Fs, dir: &Path) -> Result<(Content, Vec<String>), CheckedError> {
    let mut newest: Option<Content> = None;
    let mut warnings = Vec::new();
    for name in NAMES {
        let path = dir.join(name);
        match read(fs, &path) {
            Ok(content) => {
                if newest.as_ref().is_none_or(|best| best.sequence < content.sequence) {
                    newest = Some(content);
                }
            }
            Err(ReadError::Missing) => {}
            Err(ReadError::Newer(error)) => return Err(error),
            Err(ReadError::Bad(message)) => warnings.push(message),
        }
    }
    if !warnings.is_empty() {
        let rest = if newest.is_some() {
            "the other generation is used, lines of the last moment may be sent again"
        } else {
            "no good generation is left, all files are read from the beginning"
        };
        warnings.push(rest.to_owned());
    }
    Ok((newest.unwrap_or_default(), warnings))
}

enum ReadError {
    Missing,
    Newer(CheckedError),
    Bad(String),
}

fn read(fs: &dyn Fs, path: &Path) -> Result<Content, ReadError> {
    let body = read_checked(fs, path, FORMAT).map_err(|error| match error {
        CheckedError::Io { ref source, .. } if source.kind() == io::ErrorKind::NotFound => ReadError::Missing,
        CheckedError::Io { ref source, .. } => ReadError::Bad(format!("{error}: {source}")),
        CheckedError::Header(HeaderError::Version { .. }) => ReadError::Newer(error),
        _ => ReadError::Bad(error.to_string()),
    })?;
    serde_json::from_slice(&body).map_err(|error| ReadError::Bad(format!("{}: {error}", path.display())))
}

/// Writes over the older of the two files, whole or not at all.
pub(super) fn store(fs: &dyn Fs, dir: &Path, content: &Content) -> io::Result<()> {
    let name = NAMES[usize::from(content.sequence % 2 == 1)];
    let body = serde_json::to_vec(content)?;
    write_atomically(fs, &dir.join(name), FORMAT, &body)
}
