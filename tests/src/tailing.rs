//! A log file that is written and rotated while the shipper follows it.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// How a log file is rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// Renamed to `name.1` (a `.1` that is there already becomes `.2`); a new file takes the name.
    Rename,
    /// Emptied in place, as `copytruncate` does. Whatever was not read yet is gone: only after the shipper caught up.
    Truncate,
}

/// Writes lines to a file, as a program that logs does.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: File,
    written: usize,
}

impl Writer {
    /// Creates `path`.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(path: &Path) -> Result<Self> {
        let file = append(path)?;
        Ok(Self { path: path.to_owned(), file, written: 0 })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many lines were written in all.
    pub fn written(&self) -> usize {
        self.written
    }

    /// Appends lines, each with a newline.
    ///
    /// # Errors
    /// When writing fails.
    pub fn write<L: AsRef<[u8]>>(&mut self, lines: &[L]) -> Result<()> {
        let mut bytes = Vec::new();
        for line in lines {
            bytes.extend_from_slice(line.as_ref());
            bytes.push(b'\n');
        }
        self.file.write_all(&bytes).with_context(|| format!("write {}", self.path.display()))?;
        self.written += lines.len();
        Ok(())
    }

    /// Rotates the file.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn rotate(&mut self, rotation: Rotation) -> Result<()> {
        match rotation {
            Rotation::Truncate => {
                self.file.set_len(0).with_context(|| format!("truncate {}", self.path.display()))
            }
            Rotation::Rename => {
                let numbered = |n: u32| PathBuf::from(format!("{}.{n}", self.path.display()));
                if numbered(1).exists() {
                    fs::rename(numbered(1), numbered(2)).context("rename the older file")?;
                }
                fs::rename(&self.path, numbered(1)).context("rename the file")?;
                self.file = append(&self.path)?;
                Ok(())
            }
        }
    }
}

fn append(path: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("open {}", path.display()))
}
