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
use super::identity::FileId;
use super::open::OpenFile;
use super::readers::{is_known, is_read_up};
use crate::positions::Owner;
use crate::target::{self, TargetKey};
use crate::time::{now_ns, unix_seconds};

/// When the globs are walked again while files wait for others to stand still.
const CROWDED_RESCAN: Duration = Duration::from_millis(500);
/// How often a file is looked for again that changes its name while it is being opened.
const MAX_CHASES: usize = 16;

/// What became of a file that was to be taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attached {
    /// It is open, or there is nothing to read in it.
    Done,
    /// As many files are open as may be, and none of them stands still: it waits.
    NoPlace,
}

impl Loop {
    pub(super) fn is_tailed(&self, path: &Path) -> bool {
        self.config.targets.iter().any(|target| target.matches(path))
    }

    /// Opens the files that were born under a tailed name, by the names that they have now. Those that find no place
    /// stay born, and go first when there is one: nothing else knows them once they are rotated.
    pub(super) fn open_born(&mut self) {
        for _ in 0..MAX_CHASES {
            let born = self.names.born();
            if born.is_empty() {
                return;
            }
            let mut is_crowded = false;
            for one in born {
                if is_crowded && one.is_waiting {
                    continue;
                }
                let opened = open_regular(&one.now);
                // The name may have passed to another file before it was opened: then its events are here by now.
                self.take_events();
                if !self.names.is_still(&one) {
                    continue;
                }
                match opened {
                    Ok(Some((file, metadata))) if is_crowded => {
                        self.wait_for_place(&one.origin, &one.now, &file, &metadata);
                    }
                    Ok(Some((file, metadata))) => match self.attach(&one.origin, &one.now, file, &metadata) {
                        Attached::Done => self.names.forget(&one),
                        Attached::NoPlace => is_crowded = true,
                    },
                    Ok(None) => self.names.forget(&one),
                    Err(error) => {
                        self.names.forget(&one);
                        if error.kind() != io::ErrorKind::NotFound {
                            self.report_failing(&one.now, &error);
                        }
                    }
                }
            }
            if is_crowded {
                return;
            }
        }
    }

    /// Walks every glob: the safety net under the events, and the first look.
    pub(super) fn rescan(&mut self) {
        self.rescan_at = Instant::now() + self.config.settings.rescan;
        self.n_waiting = 0;
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
                Ok(Some((file, metadata))) => {
                    self.attach(&path, &path, file, &metadata);
                }
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
            if !self.is_crowded {
                tracing::warn!(
                    open = self.files.len(),
                    waiting = self.n_waiting,
                    "too many files: those that stand still make room"
                );
            }
            self.rescan_at = self.rescan_at.min(Instant::now() + CROWDED_RESCAN);
        }
        self.is_crowded = self.n_waiting > 0;
        self.check_names();
        self.dirty.extend(self.by_path.keys().cloned());
        let now = now_ns();
        // That of a stream that is being read stays: the clock of the machine may be set back before its next line.
        let read: HashSet<Arc<Labels>> =
            self.files.values().flat_map(|file| &file.readers).map(Reader::clock_key).collect();
        self.clocks.retain(|stream, last| *last > now || read.contains(stream));
    }

    /// Compares every tailed name with the file that we have open under it, without the kernel's help.
    pub(super) fn check_names(&mut self) {
        self.replace_lost(|file| !has_name(file).unwrap_or(false));
    }

    /// The same for symbolic links only. One that leads nowhere is between two files: it keeps the old one, so that it is
    /// looked at again and again until the new one is there. Should there never be one, the walk of the globs gives it up.
    pub(super) fn check_links(&mut self) {
        self.replace_lost(|file| {
            file.is_link && !has_name(file).unwrap_or_else(|error| error.kind() == io::ErrorKind::NotFound)
        });
    }

    fn replace_lost(&mut self, is_lost: impl Fn(&OpenFile) -> bool) {
        let lost = self.files.iter().filter(|(_, file)| !file.is_rotated && is_lost(file));
        let changed: Vec<_> = lost.map(|(id, file)| (*id, file.origin.clone())).collect();
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
            let is_owned = target::matching(&self.config.targets, &origin)
                .any(|(key, _)| about.owner == Owner::Target(key));
            if about.open.is_some() || !is_owned {
                continue;
            }
            let Some(folder) = origin.parent() else { continue };
            let names = folders.entry(folder.to_owned()).or_insert_with(|| inodes(folder));
            let Some(path) = names.get(&about.file.ino).filter(|path| **path != origin) else { continue };
            let Ok(Some((file, metadata))) = open_regular(path) else { continue };
            let id = FileId::of(&metadata);
            if !is_known(&about, &file, &id).unwrap_or(false) {
                continue;
            }
            let changed = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let is_recent = changed.elapsed().is_ok_and(|age| age < self.config.settings.rotate_wait);
            if is_recent || !is_read_up(&about, &file, metadata.len()).unwrap_or(false) {
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
    pub(super) fn attach(&mut self, origin: &Path, now: &Path, file: File, metadata: &Metadata) -> Attached {
        let inode = (metadata.dev(), metadata.ino());
        if let Some(id) = self.by_inode.get(&inode) {
            self.names.opened(now, *id);
            return Attached::Done;
        }
        let file_id = FileId::of(metadata);
        self.positions.seen(&file_id, unix_seconds());
        let known = self.positions.of_file(&file_id).into_iter().map(|entry| entry.about());
        let old = known
            .filter(|about| is_known(about, &file, &file_id).unwrap_or(false))
            .map(|about| PathBuf::from(about.path))
            .find(|old| self.is_tailed(old));
        let mut origin = origin.to_owned();
        if let Some(old) = old.filter(|old| *old != origin) {
            // Nothing in it that was not shipped under its old name: it need not even be open.
            if now != old && self.is_read_up_by_all(&old, &file, &file_id, metadata.len()) {
                return Attached::Done;
            }
            origin = old;
        }
        if self.files.len() >= self.max_open {
            if self.is_read_up_by_all(&origin, &file, &file_id, metadata.len()) {
                return Attached::Done;
            }
            if !self.close_idle() {
                self.n_waiting += 1;
                self.rescan_at = self.rescan_at.min(Instant::now() + CROWDED_RESCAN);
                self.wait_for_place(&origin, now, &file, metadata);
                return Attached::NoPlace;
            }
        }
        let id = self.next_id;
        self.next_id += 1;
        let is_rotated = now != origin;
        let is_link = now.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
        let file = Arc::new(file);
        let mut open =
            OpenFile { file, origin: origin.clone(), inode, is_rotated, is_link, readers: Vec::new() };
        self.make_readers(&mut open, &file_id, metadata.len());
        if open.readers.is_empty() {
            return Attached::Done;
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
        Attached::Done
    }

    /// Has a file wait that found no place among the open ones, with a position by which the next run knows it too.
    fn wait_for_place(&mut self, origin: &Path, now: &Path, file: &File, metadata: &Metadata) {
        self.names.wait(origin, now);
        let file_id = FileId::of(metadata);
        let keys: Vec<TargetKey> =
            target::matching(&self.config.targets, origin).map(|(key, _)| key).collect();
        for key in keys {
            let is_new = self.positions.find(&file_id, &key).is_none();
            if is_new
                && let Some(path) = origin.to_str()
                && self.entry(path, &key, file, &file_id, metadata.len()).is_ok()
            {
                self.has_new_files = true;
            }
        }
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
}

/// Whether the name that a file is tailed under is still its own.
fn has_name(file: &OpenFile) -> io::Result<bool> {
    std::fs::metadata(&file.origin).map(|metadata| (metadata.dev(), metadata.ino()) == file.inode)
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
