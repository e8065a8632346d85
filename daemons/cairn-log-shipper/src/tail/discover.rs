//! Finding files: walking the globs, opening what was born, recognising what was known under another name.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use cairn_model::Labels;

use super::Loop;
use super::file::Reader;
use super::identity::{FileId, Head, TailCheck};
use super::names::OpenId;
use super::open::OpenFile;
use crate::positions::{About, Entry};
use crate::receipt::Mark;
use crate::target;
use crate::time::{now_ns, unix_seconds};

/// When the globs are walked again while files wait for others to stand still.
const CROWDED_RESCAN: Duration = Duration::from_millis(500);
/// How often a file is looked for again that changes its name while it is being opened.
const MAX_CHASES: usize = 16;

impl Loop {
    pub(super) fn is_tailed(&self, path: &Path) -> bool {
        self.config.targets.iter().any(|target| target.matches(path))
    }

    /// Opens the files that were born under a tailed name, by the names that they have now.
    pub(super) fn open_born(&mut self) {
        for _ in 0..MAX_CHASES {
            let born = self.names.born();
            if born.is_empty() {
                return;
            }
            for one in born {
                let opened = open_regular(&one.now);
                // The name may have passed to another file before it was opened: then its events are here by now.
                self.take_events();
                if !self.names.is_still(&one) {
                    continue;
                }
                self.names.forget(&one);
                match opened {
                    Ok(Some((file, metadata))) => self.attach(&one.origin, &one.now, file, &metadata),
                    Ok(None) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => self.report_failing(&one.now, &error),
                }
            }
        }
    }

    /// Walks every glob: the safety net under the events, and the first look.
    pub(super) fn rescan(&mut self) {
        self.rescan_at = Instant::now() + self.config.settings.rescan;
        let n_waited = std::mem::take(&mut self.n_waiting);
        let mut paths = BTreeSet::new();
        let mut folders = BTreeSet::new();
        // Twice when a folder is new: what was created in it before its watch is found by the second walk.
        for _ in 0..2 {
            let known_folders = folders.len();
            for target in &self.config.targets {
                let walk = target.glob.walk();
                paths.extend(walk.paths);
                folders.extend(walk.folders);
            }
            if folders.len() == known_folders {
                break;
            }
            self.watcher.watch(folders.iter().cloned());
        }
        self.take_events();
        self.open_born();
        let mut still_failing = BTreeSet::new();
        for path in paths {
            if !self.is_tailed(&path) {
                continue;
            }
            match open_regular(&path) {
                Ok(Some((file, metadata))) => self.attach(&path, &path, file, &metadata),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    still_failing.insert(path.clone());
                    self.report_failing(&path, &error);
                }
            }
        }
        self.failing.retain(|path| still_failing.contains(path));
        self.metrics.set_failing(self.failing.len());
        if self.n_waiting > 0 {
            if n_waited == 0 {
                tracing::warn!(
                    open = self.files.len(),
                    waiting = self.n_waiting,
                    "too many files: those that stand still make room"
                );
            }
            self.rescan_at = self.rescan_at.min(Instant::now() + CROWDED_RESCAN);
        }
        self.check_names(|_| true);
        self.dirty.extend(self.by_path.keys().cloned());
        let now = now_ns();
        // That of a stream that is being read stays: the clock of the machine may be set back before its next line.
        let read: HashSet<Arc<Labels>> =
            self.files.values().flat_map(|file| &file.readers).map(Reader::clock_key).collect();
        self.clocks.retain(|stream, last| *last > now || read.contains(stream));
    }

    /// Compares every tailed name with the file that we have open under it, without the kernel's help.
    pub(super) fn check_names(&mut self, is_wanted: impl Fn(&OpenFile) -> bool) {
        let mut changed = Vec::new();
        for (id, file) in &self.files {
            if !file.is_rotated && is_wanted(file) {
                let is_same = std::fs::metadata(&file.origin).is_ok_and(|m| (m.dev(), m.ino()) == file.inode);
                if !is_same {
                    changed.push((*id, file.origin.clone()));
                }
            }
        }
        for (id, origin) in changed {
            self.lost_name(Some(id));
            if let Ok(Some((file, metadata))) = open_regular(&origin) {
                self.attach(&origin, &origin, file, &metadata);
            }
        }
    }

    /// Files that were rotated while nobody looked: found by their inode in the folder that they were in, and read to
    /// their end, under their old name, before the file that has the name now.
    pub(super) fn resume_rotated(&mut self) {
        let mut folders: HashMap<PathBuf, HashMap<u64, PathBuf>> = HashMap::new();
        let mut found: Vec<(SystemTime, PathBuf, PathBuf, File, Metadata)> = Vec::new();
        for entry in self.positions.entries() {
            let about = entry.about();
            let origin = PathBuf::from(&about.path);
            if about.open.is_some() || !self.is_tailed(&origin) {
                continue;
            }
            let Some(folder) = origin.parent() else { continue };
            let names = folders.entry(folder.to_owned()).or_insert_with(|| inodes(folder));
            let Some(path) = names.get(&about.file.ino).filter(|path| **path != origin) else { continue };
            let Ok(Some((file, metadata))) = open_regular(path) else { continue };
            let is_it = about.file.may_be(&FileId::of(&metadata)) && about.head.fits(&file).unwrap_or(false);
            let changed = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let is_recent = changed.elapsed().is_ok_and(|age| age < self.config.settings.rotate_wait);
            if is_it && (metadata.len() > about.read.offset || is_recent) {
                found.push((changed, origin, path.clone(), file, metadata));
            }
        }
        found.sort_by_key(|(changed, ..)| *changed);
        for (_, origin, path, file, metadata) in found {
            self.attach(&origin, &path, file, &metadata);
        }
    }

    /// Takes an open file in: `origin` is the name that is shipped, `now` the one that it was opened by. A file that is
    /// open already only learns its name; one that was known under another tailed name goes on under that one.
    pub(super) fn attach(&mut self, origin: &Path, now: &Path, file: File, metadata: &Metadata) {
        let inode = (metadata.dev(), metadata.ino());
        if let Some(id) = self.by_inode.get(&inode) {
            self.names.opened(now, *id);
            return;
        }
        let file_id = FileId::of(metadata);
        let known =
            self.positions.find(&file_id, 0).filter(|entry| entry.about().head.fits(&file).unwrap_or(false));
        let mut origin = origin.to_owned();
        if let Some(about) = known.map(|entry| entry.about()) {
            let old = PathBuf::from(&about.path);
            if old != origin && self.is_tailed(&old) {
                // Nothing in it that was not shipped under its old name: it need not even be open.
                if about.read.offset == metadata.len() && now != old {
                    return;
                }
                origin = old;
            }
        }
        if self.files.len() >= self.max_open {
            if self.is_read_up(&origin, &file, &file_id, metadata.len()) {
                return;
            }
            if !self.close_idle() {
                self.n_waiting += 1;
                self.rescan_at = self.rescan_at.min(Instant::now() + CROWDED_RESCAN);
                return;
            }
        }
        let id = self.next_id;
        self.next_id += 1;
        let is_rotated = now != origin;
        let is_link = now.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
        let mut open = OpenFile { origin: origin.clone(), inode, is_rotated, is_link, readers: Vec::new() };
        self.make_readers(&mut open, &Arc::new(file), &file_id, metadata.len());
        if open.readers.is_empty() {
            return;
        }
        let generations = self.by_path.entry(origin.clone()).or_default();
        if is_rotated {
            let first_live =
                generations.iter().position(|id| self.files.get(id).is_some_and(|file| !file.is_rotated));
            generations.insert(first_live.unwrap_or(generations.len()), id);
        } else {
            for older in generations.iter() {
                if let Some(file) = self.files.get_mut(older) {
                    file.is_rotated = true;
                }
            }
            generations.push(id);
        }
        tracing::info!(path = %origin.display(), rotated = is_rotated, "tailing file");
        self.files.insert(id, open);
        self.by_inode.insert(inode, id);
        self.names.opened(now, id);
        self.dirty.insert(origin);
        self.has_new_files = true;
        self.metrics.files_active.set(i64::try_from(self.files.len()).unwrap_or(i64::MAX));
    }

    /// Whether every target that wants the file has read it to its end.
    fn is_read_up(&self, origin: &Path, file: &File, file_id: &FileId, size: u64) -> bool {
        target::matching(&self.config.targets, origin).all(|(nth, _)| {
            self.positions.find(file_id, nth).is_some_and(|entry| {
                let about = entry.about();
                about.read.offset == size
                    && about.head.fits(file).unwrap_or(false)
                    && TailCheck::read(file, size).is_ok_and(|tail| tail == about.read.tail)
            })
        })
    }

    /// Closes the file that has stood still for longest, if one has its name, is read to its end and acknowledged. What
    /// is written to it later opens it again.
    fn close_idle(&mut self) -> bool {
        let now = Instant::now();
        let idle = self.files.iter().filter(|(_, file)| {
            !file.must_be_polled()
                && !self.dirty.contains(&file.origin)
                && file.readers.iter().all(Reader::is_done)
        });
        let quiet = |file: &OpenFile| file.readers.iter().map(|reader| reader.quiet_for(now)).min();
        let Some(id) = idle.max_by_key(|(_, file)| quiet(file)).map(|(id, _)| *id) else { return false };
        self.close(id);
        true
    }

    /// After a new configuration: the same file, read for the targets that want it now.
    pub(super) fn renew_readers(&mut self, id: OpenId) {
        let Some(mut open) = self.files.remove(&id) else { return };
        let mut old = std::mem::take(&mut open.readers);
        let now = Instant::now();
        let origin = open.origin.clone();
        for (nth, target) in target::matching(&self.config.targets, &origin) {
            if let Some(reader) = old.iter().find(|reader| reader.entry.nth == nth) {
                let path = reader.entry.about().path;
                open.readers.push(reader.renewed(Arc::clone(target), &path, now));
            }
        }
        let wanted = target::matching(&self.config.targets, &origin).count();
        let is_complete = !open.readers.is_empty() && open.readers.len() == wanted;
        for reader in &mut old {
            self.give_back_held(reader);
            if !open.readers.iter().any(|one| Arc::ptr_eq(&one.entry, &reader.entry)) {
                reader.close();
            }
        }
        self.files.insert(id, open);
        if !is_complete {
            // No target wants it any more, or one more does: the rescan opens it anew for those that do.
            self.close(id);
        }
    }

    fn make_readers(&mut self, open: &mut OpenFile, file: &Arc<File>, file_id: &FileId, size: u64) {
        let Some(path) = open.origin.to_str() else { return };
        let now = Instant::now();
        for (nth, target) in target::matching(&self.config.targets, &open.origin) {
            let entry = match self.entry(path, nth, file, file_id, size) {
                Ok(entry) => entry,
                Err(error) => {
                    tracing::warn!(path, %error, "cannot read the beginning of the file");
                    continue;
                }
            };
            let reader = Reader::new(Arc::clone(file), Arc::clone(target), path, entry, now);
            // Times go on after the newest that any generation of this path was given, also before a restart.
            if let Some(newest) = self.positions.newest_time(path) {
                let clock = self.clocks.entry(reader.clock_key()).or_default();
                *clock = newest.max(*clock);
            }
            open.readers.push(reader);
        }
    }

    /// The position of a file: the one that is remembered if it still is that file, one taken over from Promtail, or a
    /// new one at the beginning.
    fn entry(
        &self,
        path: &str,
        nth: u32,
        file: &File,
        file_id: &FileId,
        size: u64,
    ) -> io::Result<Arc<Entry>> {
        if let Some(entry) = self.positions.find(file_id, nth) {
            let about = entry.about();
            if about.head.fits(file)? {
                let read = about.read;
                let stands = read.offset <= size && TailCheck::read(file, read.offset)? == read.tail;
                let (mark, head) = if stands {
                    (read, about.head)
                } else {
                    // Emptied and written anew while nobody looked.
                    (Mark { last_time: read.last_time, ..Mark::default() }, Head::default())
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
            // The inode was used again, or the file was written anew: nothing of it was shipped.
            self.positions.forget(&entry);
        }
        let imported = self.positions.take_import(path).filter(|offset| *offset <= size);
        let read = match imported {
            Some(offset) => Mark { offset, tail: TailCheck::read(file, offset)?, ..Mark::default() },
            None => Mark::default(),
        };
        let head = Head::read(file, read.offset)?;
        let about =
            About { path: path.to_owned(), file: *file_id, head, seen_s: unix_seconds(), open: None, read };
        Ok(self.positions.add(nth, about))
    }
}

/// Opens a file for reading; `None` for what is no regular file.
fn open_regular(path: &Path) -> io::Result<Option<(File, Metadata)>> {
    // Not to be stuck on a pipe that nobody writes to, should one take the name between the two calls.
    let non_blocking = nix::fcntl::OFlag::O_NONBLOCK.bits();
    if !std::fs::metadata(path)?.is_file() {
        return Ok(None);
    }
    let file = OpenOptions::new().read(true).custom_flags(non_blocking).open(path)?;
    let metadata = file.metadata()?;
    Ok(metadata.is_file().then_some((file, metadata)))
}

fn inodes(folder: &Path) -> HashMap<u64, PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return HashMap::new() };
    let inode = |entry: std::fs::DirEntry| Some((entry.metadata().ok()?.ino(), entry.path()));
    entries.flatten().filter_map(inode).collect()
}
