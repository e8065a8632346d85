//! The test twin: a file system in memory that loses power when told to, and forgets whatever was not synced.
//!
//! It is as forgetful as POSIX allows and no more: [`TwinFs::crash`] keeps synced bytes and synced names only, and
//! [`TwinFs::crash_torn`] also keeps a random part of the rest, as a real disk does: some of the unsynced writes of
//! a file, the last of them cut or followed by zeros, and some of the unsynced renames of a directory, in order.
//! Single operations fail when a test asks for it ([`TwinFs::fail`]).

mod failures;
mod node;

use std::collections::BTreeSet;
use std::io;
use std::path::{Component, Path};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::fs::{DirEntry, Fs, FsFile};
use failures::Failures;
use node::{Dir, DirOp, File, Node, NodeId};

pub use failures::TwinOp;

const ROOT: NodeId = 0;

/// Errno "no space left on device".
const ENOSPC: i32 = 28;
/// Errno "input/output error".
const EIO: i32 = 5;

/// An in-memory file system; clones share it. Paths are absolute or relative to its root, which is the same.
#[derive(Clone, Debug, Default)]
pub struct TwinFs {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Debug)]
struct Disk {
    nodes: Vec<Node>,
    /// Counts crashes: a file opened before one is dead after it.
    epoch: u64,
    capacity: Option<u64>,
    /// Changes (writes, truncations, syncs, renames, creations, removals) so far.
    changes: u64,
    /// Power goes at this change and stays off until a crash is called.
    power_off_at: Option<u64>,
    failures: Failures,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            nodes: vec![Node::Dir(Dir::default())],
            epoch: 0,
            capacity: None,
            changes: 0,
            power_off_at: None,
            failures: Failures::default(),
        }
    }
}

impl TwinFs {
    /// An empty file system.
    pub fn new() -> Self {
        Self::default()
    }

    /// Power goes and comes back: everything that was not synced is forgotten, open files are dead.
    pub fn crash(&self) {
        self.lock().crash(None);
    }

    /// As [`crash`](Self::crash), but some of what was not synced survives, chosen by `seed`.
    pub fn crash_torn(&self, seed: u64) {
        self.lock().crash(Some(&mut Lottery(seed)));
    }

    /// From the `nth` change on (counted from now, the first is 1) every change fails, until a crash is called.
    /// With [`changes`](Self::changes) of an undisturbed run, a test can put the crash at every place there is.
    pub fn power_off_at(&self, nth: u64) {
        let mut disk = self.lock();
        // Power that is off, or goes off earlier, does not come back by asking for a later place.
        let at = disk.changes + nth;
        disk.power_off_at = Some(disk.power_off_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Changes so far: each write, truncation, sync, creation, rename and removal is one.
    pub fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// Limits the bytes in all files together; a write past it fails with "no space left on device" after writing
    /// what still fits, as a real one does. `None` lifts the limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// The `nth` write from now (the first is 1) writes half of its bytes and fails.
    pub fn fail_nth_write(&self, nth: u64) {
        self.fail(TwinOp::Write, nth, 1);
    }

    /// The `nth` `sync_data` from now (the first is 1) fails. What it should have made durable never will be, even
    /// if later syncs succeed, although it can still be read until the crash.
    pub fn fail_nth_sync(&self, nth: u64) {
        self.fail(TwinOp::SyncData, nth, 1);
    }

    /// The `nth` operation of a kind from now (the first is 1) and those after it fail with an input or output error, `n`
    /// in all; the others go on. Until a crash, or [`heal`](Self::heal).
    pub fn fail(&self, op: TwinOp, nth: u64, n: u64) {
        self.lock().failures.plan(op, nth, n);
    }

    /// No operation fails any more that [`fail`](Self::fail) or its kin asked for. Power stays off, a full disk full.
    pub fn heal(&self) {
        self.lock().failures.lift();
    }

    /// Operations of a kind so far, failed ones included. With the count of an undisturbed run, a test can let each of
    /// them fail in turn.
    pub fn n_ops(&self, op: TwinOp) -> u64 {
        self.lock().failures.seen(op)
    }

    /// Successful and failed `sync_data` calls so far.
    pub fn syncs(&self) -> u64 {
        self.n_ops(TwinOp::SyncData)
    }

    /// Bytes in all files together.
    pub fn used_bytes(&self) -> u64 {
        self.lock().used_bytes()
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        // A test that panicked while holding it has failed already; others may go on.
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, path: &Path, writable: bool) -> io::Result<Box<dyn FsFile>> {
        let mut disk = self.lock();
        disk.failures.meet(TwinOp::Open)?;
        let node = disk.find(path)?;
        match &disk.nodes[node] {
            Node::File(_) => {}
            Node::Dir(_) => return Err(io::ErrorKind::IsADirectory.into()),
        }
        Ok(Box::new(TwinFile { fs: self.clone(), node, epoch: disk.epoch, writable }))
    }
}

impl Fs for TwinFs {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        let mut disk = self.lock();
        let (parent, name) = disk.parent(path)?;
        if disk.dir(parent)?.names.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        disk.change()?;
        disk.failures.meet(TwinOp::Create)?;
        let node = disk.nodes.len();
        disk.nodes.push(Node::File(File::default()));
        disk.dir_mut(parent)?.apply(DirOp::Set(name, node));
        Ok(Box::new(TwinFile { fs: self.clone(), node, epoch: disk.epoch, writable: true }))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        self.open(path, false)
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        self.open(path, true)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.lock();
        let (from_dir, from_name) = disk.parent(from)?;
        let (to_dir, to_name) = disk.parent(to)?;
        let node = *disk.dir(from_dir)?.names.get(&from_name).ok_or(io::ErrorKind::NotFound)?;
        if let Some(&target) = disk.dir(to_dir)?.names.get(&to_name)
            && let Node::Dir(dir) = &disk.nodes[target]
            && !dir.names.is_empty()
        {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        disk.change()?;
        disk.failures.meet(TwinOp::Rename)?;
        if from_dir == to_dir {
            disk.dir_mut(from_dir)?.apply(DirOp::Rename(from_name, to_name));
        } else {
            disk.dir_mut(to_dir)?.apply(DirOp::Set(to_name, node));
            disk.dir_mut(from_dir)?.apply(DirOp::Remove(from_name));
        }
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.lock();
        let node = disk.find(from)?;
        if matches!(disk.nodes[node], Node::Dir(_)) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let (parent, name) = disk.parent(to)?;
        if disk.dir(parent)?.names.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        disk.change()?;
        disk.failures.meet(TwinOp::Create)?;
        disk.dir_mut(parent)?.apply(DirOp::Set(name, node));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.lock();
        let (parent, name) = disk.parent(path)?;
        let node = *disk.dir(parent)?.names.get(&name).ok_or(io::ErrorKind::NotFound)?;
        if matches!(disk.nodes[node], Node::Dir(_)) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        disk.change()?;
        disk.failures.meet(TwinOp::Remove)?;
        disk.dir_mut(parent)?.apply(DirOp::Remove(name));
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.lock();
        let (parent, name) = disk.parent(path)?;
        let node = *disk.dir(parent)?.names.get(&name).ok_or(io::ErrorKind::NotFound)?;
        disk.remove_below(node)?;
        disk.change()?;
        disk.failures.meet(TwinOp::Remove)?;
        disk.dir_mut(parent)?.apply(DirOp::Remove(name));
        Ok(())
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.lock();
        let mut node = ROOT;
        for name in names_of(path)? {
            node = match disk.dir(node)?.names.get(&name) {
                Some(&child) => child,
                None => {
                    disk.change()?;
                    disk.failures.meet(TwinOp::Create)?;
                    let child = disk.nodes.len();
                    disk.nodes.push(Node::Dir(Dir::default()));
                    disk.dir_mut(node)?.apply(DirOp::Set(name, child));
                    child
                }
            };
        }
        disk.dir(node).map(drop)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.lock();
        let node = disk.find(path)?;
        disk.dir(node)?;
        disk.change()?;
        disk.failures.meet(TwinOp::SyncDir)?;
        disk.dir_mut(node)?.sync();
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let disk = self.lock();
        let dir = disk.dir(disk.find(path)?)?;
        Ok(dir
            .names
            .iter()
            .map(|(name, &node)| match &disk.nodes[node] {
                Node::Dir(_) => DirEntry { name: name.clone(), is_dir: true, len: 0 },
                Node::File(file) => {
                    DirEntry { name: name.clone(), is_dir: false, len: file.bytes.len() as u64 }
                }
            })
            .collect())
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        let disk = self.lock();
        match &disk.nodes[disk.find(path)?] {
            Node::Dir(_) => Ok(0),
            Node::File(file) => Ok(file.bytes.len() as u64),
        }
    }

    fn exists(&self, path: &Path) -> bool {
        self.lock().find(path).is_ok()
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        let disk = self.lock();
        Ok(disk.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(disk.used_bytes())))
    }
}

#[derive(Debug)]
struct TwinFile {
    fs: TwinFs,
    node: NodeId,
    epoch: u64,
    writable: bool,
}

impl TwinFile {
    fn with<T>(
        &self,
        for_writing: bool,
        action: impl FnOnce(&mut Disk, NodeId) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut disk = self.fs.lock();
        if disk.epoch != self.epoch {
            return Err(io::Error::other("this file was opened before the crash"));
        }
        if for_writing && !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        action(&mut disk, self.node)
    }
}

impl FsFile for TwinFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(false, |disk, node| {
            let bytes = &disk.file(node).bytes;
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            let len = buffer.len().min(bytes.len() - start);
            buffer[..len].copy_from_slice(&bytes[start..start + len]);
            Ok(len)
        })
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.with(true, |disk, node| {
            disk.change()?;
            let (mut fits, mut failure) = match disk.failures.meet(TwinOp::Write) {
                Ok(()) => (bytes.len(), None),
                Err(error) => (bytes.len() / 2, Some(error)),
            };
            if let Some(capacity) = disk.capacity {
                let end = offset + fits as u64;
                let growth = end.saturating_sub(disk.file(node).bytes.len() as u64);
                let over = (disk.used_bytes() + growth).saturating_sub(capacity).min(growth);
                if over > 0 {
                    let over = usize::try_from(over).unwrap_or(usize::MAX);
                    (fits, failure) = (fits.saturating_sub(over), Some(io::Error::from_raw_os_error(ENOSPC)));
                }
            }
            disk.file_mut(node).write(&bytes[..fits], offset)?;
            failure.map_or(Ok(()), Err)
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(false, |disk, node| {
            disk.change()?;
            if let Err(error) = disk.failures.meet(TwinOp::SyncData) {
                disk.file_mut(node).lose_unsynced();
                return Err(error);
            }
            disk.file_mut(node).sync();
            Ok(())
        })
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.with(true, |disk, node| {
            disk.change()?;
            disk.file_mut(node).truncate(len)
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.with(false, |disk, node| Ok(disk.file(node).bytes.len() as u64))
    }
}

impl Disk {
    /// Counts a change and fails it when the power is off.
    fn change(&mut self) -> io::Result<()> {
        self.changes += 1;
        match self.power_off_at {
            Some(at) if self.changes >= at => Err(io::Error::other("the power is off")),
            _ => Ok(()),
        }
    }

    fn crash(&mut self, mut lottery: Option<&mut Lottery>) {
        self.epoch += 1;
        self.power_off_at = None;
        self.failures.lift();
        for node in &mut self.nodes {
            match node {
                Node::Dir(dir) => dir.crash(lottery.as_deref_mut()),
                Node::File(file) => file.crash(lottery.as_deref_mut()),
            }
        }
    }

    fn used_bytes(&self) -> u64 {
        // Files without a name hold no space (an open but removed file does on a real disk; no engine relies on it).
        // A file with two names holds its space once.
        let mut files = BTreeSet::new();
        let mut todo = vec![ROOT];
        while let Some(node) = todo.pop() {
            match &self.nodes[node] {
                Node::Dir(dir) => todo.extend(dir.names.values()),
                Node::File(_) => drop(files.insert(node)),
            }
        }
        files.into_iter().map(|node| self.file(node).bytes.len() as u64).sum()
    }

    fn remove_below(&mut self, node: NodeId) -> io::Result<()> {
        let children: Vec<(String, NodeId)> =
            self.dir(node)?.names.iter().map(|(name, &child)| (name.clone(), child)).collect();
        for (name, child) in children {
            if matches!(self.nodes[child], Node::Dir(_)) {
                self.remove_below(child)?;
            }
            self.change()?;
            self.failures.meet(TwinOp::Remove)?;
            self.dir_mut(node)?.apply(DirOp::Remove(name));
        }
        Ok(())
    }

    fn find(&self, path: &Path) -> io::Result<NodeId> {
        let mut node = ROOT;
        for name in names_of(path)? {
            node = *self.dir(node)?.names.get(&name).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(node)
    }

    fn parent(&self, path: &Path) -> io::Result<(NodeId, String)> {
        let mut names = names_of(path)?;
        let name = names.pop().ok_or(io::ErrorKind::InvalidInput)?;
        let mut node = ROOT;
        for name in names {
            node = *self.dir(node)?.names.get(&name).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok((node, name))
    }

    fn dir(&self, node: NodeId) -> io::Result<&Dir> {
        match &self.nodes[node] {
            Node::Dir(dir) => Ok(dir),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn dir_mut(&mut self, node: NodeId) -> io::Result<&mut Dir> {
        match &mut self.nodes[node] {
            Node::Dir(dir) => Ok(dir),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn file(&self, node: NodeId) -> &File {
        match &self.nodes[node] {
            Node::File(file) => file,
            Node::Dir(_) => {
                unreachable!("open() and create_new() hand out files only, and a node never changes its kind")
            }
        }
    }

    fn file_mut(&mut self, node: NodeId) -> &mut File {
        match &mut self.nodes[node] {
            Node::File(file) => file,
            Node::Dir(_) => {
                unreachable!("open() and create_new() hand out files only, and a node never changes its kind")
            }
        }
    }
}

fn names_of(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => {
                names.push(name.to_str().ok_or(io::ErrorKind::InvalidFilename)?.to_owned());
            }
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(io::ErrorKind::InvalidInput.into()),
        }
    }
    Ok(names)
}

/// SplitMix64 (Steele et al., OOPSLA 2014): reproducible from a seed, and no dependency for a test twin.
#[derive(Debug)]
struct Lottery(u64);

impl Lottery {
    /// A number below `bound`; 0 for a bound of 0.
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % (bound.max(1) as u64)).expect("below a usize")
    }
}

#[cfg(test)]
mod tests;
