//! Which targets read an open file, and from where on: the position that is remembered, one taken over from Promtail, or
//! the beginning.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::Loop;
use super::file::Reader;
use super::identity::{FileId, Head, TailCheck};
use super::names::OpenId;
use super::open::OpenFile;
use crate::positions::{About, Entry, Owner};
use crate::receipt::Mark;
use crate::target::{self, Target, TargetKey};
use crate::time::unix_seconds;

impl Loop {
    /// Gives a file that was just opened a reader for each target that wants it.
    pub(super) fn make_readers(&mut self, open: &mut OpenFile, file_id: &FileId, size: u64) {
        for (key, target) in self.targets_of(&open.origin) {
            let reader = self.reader(open, file_id, size, (&key, &target));
            open.readers.extend(reader);
        }
    }

    /// After a new configuration: the same file, read for the targets that want it now.
    pub(super) fn renew_readers(&mut self, id: OpenId) {
        let Some(mut open) = self.files.remove(&id) else { return };
        let mut old = std::mem::take(&mut open.readers);
        let now = Instant::now();
        for (key, target) in self.targets_of(&open.origin) {
            let owner = Owner::Target(key.clone());
            if let Some(reader) = old.iter().find(|reader| reader.entry.about().owner == owner) {
                let path = reader.entry.about().path;
                open.readers.push(reader.renewed(target, &path, now));
            } else if !open.is_rotated {
                // One that has lost its name is read to its end for those who have begun it, and for nobody else.
                let reader = match open.file.metadata() {
                    Ok(metadata) => {
                        self.reader(&open, &FileId::of(&metadata), metadata.len(), (&key, &target))
                    }
                    Err(error) => {
                        self.report_failing(&open.origin, &error);
                        None
                    }
                };
                open.readers.extend(reader);
            }
        }
        for reader in &mut old {
            self.give_back_held(reader);
            if !open.readers.iter().any(|one| Arc::ptr_eq(&one.entry, &reader.entry)) {
                reader.close();
            }
        }
        let is_wanted = !open.readers.is_empty();
        self.dirty.insert(open.origin.clone());
        self.has_new_files = true;
        self.files.insert(id, open);
        if !is_wanted {
            self.close(id);
        }
    }

    fn targets_of(&self, origin: &Path) -> Vec<(TargetKey, Arc<Target>)> {
        let matching = target::matching(&self.config.targets, origin);
        matching.map(|(key, target)| (key, Arc::clone(target))).collect()
    }

    fn reader(
        &mut self,
        open: &OpenFile,
        file_id: &FileId,
        size: u64,
        (key, target): (&TargetKey, &Arc<Target>),
    ) -> Option<Reader> {
        let path = open.origin.to_str()?;
        let entry = match self.entry(path, key, &open.file, file_id, size) {
            Ok(entry) => entry,
            Err(error) => {
                tracing::warn!(path, %error, "cannot read the beginning of the file");
                return None;
            }
        };
        let reader = Reader::new(Arc::clone(&open.file), Arc::clone(target), path, entry, Instant::now());
        // Times go on after the newest that any generation of this path was given, also before a restart.
        if let Some(newest) = self.positions.newest_time(path) {
            let clock = self.clocks.entry(reader.clock_key()).or_default();
            *clock = newest.max(*clock);
        }
        Some(reader)
    }

    /// The position of a file: the one that is remembered if it still is that file, one taken over from Promtail, or a
    /// new one at the beginning.
    pub(super) fn entry(
        &self,
        path: &str,
        key: &TargetKey,
        file: &File,
        file_id: &FileId,
        size: u64,
    ) -> io::Result<Arc<Entry>> {
        if let Some(entry) = self.positions.find(file_id, key) {
            let about = entry.about();
            if is_known(&about, file, file_id)? {
                let stands = stands(&about, file, size)?;
                let (mark, head) = if stands {
                    (about.read, about.head)
                } else {
                    // Emptied and written anew while nobody looked.
                    (Mark { last_time: about.read.last_time, ..Mark::default() }, Head::default())
                };
                entry.update(|about| {
                    about.path = path.to_owned();
                    about.file = *file_id;
                    about.head = head;
                    about.read = mark;
                });
                if !stands {
                    entry.ledger.issue(mark, 0);
                }
                self.positions.touch();
                return Ok(entry);
            }
            // The inode was used again: nothing of it was shipped.
            self.positions.forget(&entry);
        }
        let imported = self.positions.take_import(path).filter(|offset| *offset <= size);
        let read = match imported {
            Some(offset) => Mark { offset, tail: TailCheck::read(file, offset)?, ..Mark::default() },
            None => Mark::default(),
        };
        let head = Head::read(file, read.offset)?;
        let owner = Owner::Target(key.clone());
        let path = path.to_owned();
        let about = About { owner, path, file: *file_id, head, seen_s: unix_seconds(), open: None, read };
        Ok(self.positions.add(about))
    }

    /// Whether every target that wants the file has read it to its end.
    pub(super) fn is_read_up_by_all(&self, origin: &Path, file: &File, file_id: &FileId, size: u64) -> bool {
        target::matching(&self.config.targets, origin).all(|(key, _)| {
            self.positions.find(file_id, &key).is_some_and(|entry| {
                let about = entry.about();
                is_known(&about, file, file_id).unwrap_or(false)
                    && is_read_up(&about, file, size).unwrap_or(false)
            })
        })
    }
}

/// Whether this is the file that the position is for, though it may have been emptied and written anew since.
pub(super) fn is_known(about: &About, file: &File, file_id: &FileId) -> io::Result<bool> {
    // Without a birth time the content tells, if there was any.
    Ok(about.file.is_surely(file_id)
        || (about.file.may_be(file_id) && about.head.len > 0 && about.head.fits(file)?))
}

/// Whether the file, which has `size` bytes, was read to its end.
pub(super) fn is_read_up(about: &About, file: &File, size: u64) -> io::Result<bool> {
    Ok(about.read.offset == size && stands(about, file, size)?)
}

/// Whether what was read still stands in the file, which has `size` bytes.
fn stands(about: &About, file: &File, size: u64) -> io::Result<bool> {
    let read = about.read;
    Ok(read.offset <= size && about.head.fits(file)? && TailCheck::read(file, read.offset)? == read.tail)
}
