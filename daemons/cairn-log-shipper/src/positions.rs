//! Positions: how far each file is acknowledged, kept over restarts.
//!
//! Keyed by the file's identity; the path is an attribute of it. Two checked files are written in turn, so that the one
//! being written is never the newest good one: whatever a crash does to it, the other is at most one write older.
//! `FORMAT.md` beside this crate describes the content.

mod file;
pub mod import;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cairn_disk::{CheckedError, Fs};
use cairn_model::TimeNs;

use crate::receipt::{Ledger, Mark, Moved};
use crate::tail::identity::{FileId, Head};
use crate::target::TargetKey;
use file::Content;

/// Most files remembered; beyond, those not seen for longest are forgotten first.
pub const MAX_ENTRIES: usize = 100_000;

/// The memory of all files.
#[derive(Debug)]
pub struct Positions {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    ttl: Mutex<Duration>,
    moved: Moved,
    state: Mutex<State>,
    has_seen_all: AtomicBool,
    /// Held while writing, so that two writes cannot overtake each other.
    writing: Mutex<u64>,
}

#[derive(Debug, Default)]
struct State {
    entries: Vec<Arc<Entry>>,
    /// The same by inode, which an entry keeps for its life: every look at a file asks for it.
    by_inode: HashMap<u64, Vec<Arc<Entry>>>,
    /// Promtail positions files that were taken over already.
    imported: Vec<PathBuf>,
    /// Offsets taken over for paths that were not seen yet.
    imports: BTreeMap<String, u64>,
}

/// What is remembered about one file of one target.
#[derive(Debug)]
pub struct Entry {
    /// Receipts, and the acknowledged place.
    pub ledger: Arc<Ledger>,
    /// Lines read so far in this run.
    pub lines: AtomicU64,
    about: Mutex<About>,
}

/// Whose position an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// That of a target.
    Target(TargetKey),
    /// Written by a build that numbered the targets that want a file through all jobs; see [`Positions::assign`].
    Numbered(u32),
}

/// The changing part of an [`Entry`].
#[derive(Clone, Debug)]
pub struct About {
    /// Whose position it is.
    pub owner: Owner,
    /// The name under which the lines are shipped.
    pub path: String,
    /// The file.
    pub file: FileId,
    /// Its beginning, as far as it was read.
    pub head: Head,
    /// Unix time in seconds when it was last seen.
    pub seen_s: u64,
    /// How it is being read now, if it is.
    pub open: Option<OpenState>,
    /// Where reading stands; ahead of the acknowledged place.
    pub read: Mark,
}

/// A file that is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenState {
    /// Bytes in the file when it was last looked at.
    pub size: u64,
    /// Whether it has lost its name: what is left in it is read, and late writers are waited for.
    pub is_rotated: bool,
}

impl Entry {
    fn new(about: About, moved: &Moved) -> Arc<Self> {
        let ledger = Ledger::new(about.read, moved.clone());
        Arc::new(Self { ledger, lines: AtomicU64::new(0), about: Mutex::new(about) })
    }

    /// A copy of what is known.
    pub fn about(&self) -> About {
        self.lock().clone()
    }

    /// Changes what is known.
    pub fn update(&self, change: impl FnOnce(&mut About)) {
        change(&mut self.lock());
    }

    /// Counts lines as read.
    pub fn count_lines(&self, n: usize) {
        self.lines.fetch_add(n as u64, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, About> {
        self.about.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Positions {
    /// Reads the newest good file in `dir`, which must exist. Damage is answered as warnings, never as a refusal to
    /// start: the older file is used, or none.
    ///
    /// # Errors
    /// When a file was written by a newer build.
    pub fn open(fs: Arc<dyn Fs>, dir: &Path, ttl: Duration) -> Result<(Self, Vec<String>), CheckedError> {
        let moved = Moved::default();
        let (content, warnings) = file::load(fs.as_ref(), dir)?;
        let Content { sequence, imported, imports, files } = content;
        let entries: Vec<_> = files.into_iter().map(|record| record.into_entry(&moved)).collect();
        let by_inode = index(&entries);
        let state = State { entries, by_inode, imported, imports };
        let positions = Self {
            fs,
            dir: dir.to_owned(),
            ttl: Mutex::new(ttl),
            moved,
            state: Mutex::new(state),
            has_seen_all: AtomicBool::new(false),
            writing: Mutex::new(sequence),
        };
        Ok((positions, warnings))
    }

    /// Changes how long files that are gone are remembered, on reload.
    pub fn set_ttl(&self, ttl: Duration) {
        *self.ttl.lock().unwrap_or_else(PoisonError::into_inner) = ttl;
    }

    /// Every file that is remembered.
    pub fn entries(&self) -> Vec<Arc<Entry>> {
        self.lock().entries.clone()
    }

    /// Whatever targets have on the file with this identity, as far as numbers can tell.
    pub fn of_file(&self, file: &FileId) -> Vec<Arc<Entry>> {
        let state = self.lock();
        let same_inode = state.by_inode.get(&file.ino).into_iter().flatten();
        same_inode.filter(|entry| entry.lock().file.may_be(file)).cloned().collect()
    }

    /// What one target has on the file with this identity, as far as numbers can tell; its content is for the caller to compare.
    pub fn find(&self, file: &FileId, key: &TargetKey) -> Option<Arc<Entry>> {
        let state = self.lock();
        let same_inode = state.by_inode.get(&file.ino)?;
        let candidates = same_inode.iter().filter(|entry| {
            let about = entry.lock();
            about.file.may_be(file) && matches!(&about.owner, Owner::Target(owner) if owner == key)
        });
        // The exact device wins over one that was numbered anew.
        candidates.min_by_key(|entry| entry.lock().file.dev != file.dev).cloned()
    }

    /// Says that a file was seen, which keeps its positions although it is not open.
    pub fn seen(&self, file: &FileId, now_s: u64) {
        for entry in self.of_file(file) {
            entry.update(|about| about.seen_s = now_s);
        }
    }

    /// Says that every file that is there was looked at once. Before, none is taken for gone: all of them were last seen
    /// by the run before this one, which may have ended long ago.
    pub fn all_seen(&self) {
        self.has_seen_all.store(true, Ordering::Release);
    }

    /// Gives positions that an older build has numbered to the targets that have those numbers now. `targets` answers
    /// which targets want a path, in the order of the configuration.
    pub fn assign(&self, targets: impl Fn(&Path) -> Vec<TargetKey>) {
        for entry in &self.lock().entries {
            entry.update(|about| {
                if let Owner::Numbered(number) = about.owner
                    && let Some(key) = targets(Path::new(&about.path)).into_iter().nth(number as usize)
                {
                    about.owner = Owner::Target(key);
                }
            });
        }
    }

    /// The newest timestamp that was given to a line of any file of this name.
    pub fn newest_time(&self, path: &str) -> Option<TimeNs> {
        let state = self.lock();
        let times = state.entries.iter().filter_map(|entry| {
            let about = entry.lock();
            (about.path == path).then_some(about.read.last_time)
        });
        times.max()
    }

    /// Remembers a new file, read and acknowledged up to `about.read`.
    pub fn add(&self, about: About) -> Arc<Entry> {
        let entry = Entry::new(about, &self.moved);
        let mut state = self.lock();
        let ino = entry.lock().file.ino;
        state.by_inode.entry(ino).or_default().push(Arc::clone(&entry));
        state.entries.push(Arc::clone(&entry));
        drop(state);
        self.moved.set();
        entry
    }

    /// Forgets a file.
    pub fn forget(&self, entry: &Arc<Entry>) {
        let mut state = self.lock();
        state.entries.retain(|one| !Arc::ptr_eq(one, entry));
        state.by_inode = index(&state.entries);
        drop(state);
        self.moved.set();
    }

    /// Says that something besides a position has changed (a name, a beginning).
    pub fn touch(&self) {
        self.moved.set();
    }

    /// Takes over a Promtail positions file, unless that was done before. Answers how many positions it held.
    ///
    /// # Errors
    /// A message for the log when the file cannot be read; it is tried again at the next start.
    pub fn import(&self, path: &Path) -> Result<usize, String> {
        if self.lock().imported.iter().any(|done| done == path) {
            return Ok(0);
        }
        let Some(offsets) = import::read_promtail(path)? else { return Ok(0) };
        let mut state = self.lock();
        let n = offsets.len();
        state.imports.extend(offsets);
        state.imported.push(path.to_owned());
        self.moved.set();
        Ok(n)
    }

    /// The offset that was taken over for a path, once.
    pub fn take_import(&self, path: &str) -> Option<u64> {
        self.lock().imports.remove(path)
    }

    /// Writes, if anything has moved since the last time. Answers whether it wrote.
    ///
    /// # Errors
    /// What the system says; the next call tries again.
    pub fn save(&self, now_s: u64) -> io::Result<bool> {
        let mut sequence = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.moved.take() {
            return Ok(false);
        }
        let content = self.content(*sequence + 1, now_s);
        if let Err(error) = file::store(self.fs.as_ref(), &self.dir, &content) {
            self.moved.set();
            return Err(error);
        }
        *sequence += 1;
        Ok(true)
    }

    fn content(&self, sequence: u64, now_s: u64) -> Content {
        let ttl_s = self.ttl.lock().unwrap_or_else(PoisonError::into_inner).as_secs();
        let mut state = self.lock();
        for entry in &state.entries {
            entry.update(|about| {
                if about.open.is_some() {
                    about.seen_s = now_s;
                }
            });
        }
        let n_before = state.entries.len();
        let may_forget = self.has_seen_all.load(Ordering::Acquire);
        state.entries.retain(|entry| {
            let about = entry.about();
            !may_forget
                || about.open.is_some()
                || !entry.ledger.is_settled()
                || about.seen_s.saturating_add(ttl_s) >= now_s
        });
        if state.entries.len() > MAX_ENTRIES {
            state.entries.sort_by_key(|entry| std::cmp::Reverse(entry.about().seen_s));
            state.entries.truncate(MAX_ENTRIES);
        }
        if state.entries.len() < n_before {
            state.by_inode = index(&state.entries);
        }
        Content {
            sequence,
            imported: state.imported.clone(),
            imports: state.imports.clone(),
            files: state.entries.iter().map(|entry| file::Record::of(entry)).collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn index(entries: &[Arc<Entry>]) -> HashMap<u64, Vec<Arc<Entry>>> {
    let mut index: HashMap<u64, Vec<Arc<Entry>>> = HashMap::with_capacity(entries.len());
    for entry in entries {
        let ino = entry.lock().file.ino;
        index.entry(ino).or_default().push(Arc::clone(entry));
    }
    index
}

#[cfg(test)]
mod tests;
