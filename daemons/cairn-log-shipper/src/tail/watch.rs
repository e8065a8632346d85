//! The kernel's word on what happens in folders (inotify), and the wait for it.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use nix::sys::statfs::{FsType, statfs};

/// File systems on which other machines write, so that this kernel hears nothing of it: NFS, SMB, CIFS, SMB2, FUSE, 9p
/// (their numbers in statfs(2)).
const REMOTE: [i64; 6] = [0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42, 0x6573_5546, 0x0102_1997];

/// Something that happened in a watched folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// A name was created.
    Created(PathBuf),
    /// A file was written to, cut, or closed after writing.
    Changed(PathBuf),
    /// First half of a rename.
    MovedFrom(PathBuf, u32),
    /// Second half of a rename.
    MovedTo(PathBuf, u32),
    /// A name was removed.
    Deleted(PathBuf),
    /// A folder itself came, went or moved: the globs are to be walked again.
    FolderChanged,
    /// The kernel had more to say than it could keep.
    Overflow,
}

/// Watches folders.
#[derive(Debug)]
pub struct Watcher {
    inotify: Option<Inotify>,
    folders: HashMap<WatchDescriptor, PathBuf>,
    by_path: HashMap<PathBuf, WatchDescriptor>,
    /// Folders that are watched only for what becomes of those below them.
    parents: HashMap<WatchDescriptor, PathBuf>,
    /// Some folder cannot be watched: files have to be looked at again and again.
    must_poll: bool,
}

impl Watcher {
    /// Starts watching nothing. Without inotify (its instances are limited per user) every folder has to be polled.
    pub fn start() -> Self {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)
            .inspect_err(|error| tracing::warn!(%error, "cannot use inotify, polling instead"))
            .ok();
        let must_poll = inotify.is_none();
        Self { inotify, folders: HashMap::new(), by_path: HashMap::new(), parents: HashMap::new(), must_poll }
    }

    /// Whether some folder is not watched by the kernel, so that files must be polled.
    pub fn must_poll(&self) -> bool {
        self.must_poll
    }

    /// Watches exactly these folders (those that don't exist: the nearest one above). Watches that are there stay.
    pub fn watch(&mut self, folders: impl IntoIterator<Item = PathBuf>) {
        let Some(inotify) = &self.inotify else { return };
        let mut must_poll = false;
        let mut wanted: HashMap<PathBuf, WatchDescriptor> = HashMap::new();
        for folder in folders {
            let folder = nearest_existing(&folder);
            if wanted.contains_key(&folder) {
                continue;
            }
            // Adding it again is how a folder that was replaced by another of the same name gets its watch.
            let flags = AddWatchFlags::IN_CREATE
                | AddWatchFlags::IN_MODIFY
                | AddWatchFlags::IN_CLOSE_WRITE
                | AddWatchFlags::IN_MOVED_FROM
                | AddWatchFlags::IN_MOVED_TO
                | AddWatchFlags::IN_DELETE
                | AddWatchFlags::IN_DELETE_SELF
                | AddWatchFlags::IN_MOVE_SELF
                | AddWatchFlags::IN_ONLYDIR;
            match inotify.add_watch(&folder, flags) {
                Ok(descriptor) => {
                    wanted.insert(folder.clone(), descriptor);
                    must_poll |= is_remote(&folder);
                }
                Err(error) => {
                    if !self.must_poll {
                        tracing::warn!(path = %folder.display(), %error, "cannot watch folder, polling instead");
                    }
                    must_poll = true;
                }
            }
        }
        let folders: HashMap<WatchDescriptor, PathBuf> =
            wanted.iter().map(|(folder, descriptor)| (*descriptor, folder.clone())).collect();
        let parents = watch_parents(inotify, &wanted, &folders);
        for (descriptor, folder) in self.folders.iter().chain(&self.parents) {
            if !folders.contains_key(descriptor) && !parents.contains_key(descriptor) {
                // It may be gone with its folder already.
                let _ = inotify.rm_watch(*descriptor);
                tracing::debug!(path = %folder.display(), "folder is not watched any more");
            }
        }
        self.folders = folders;
        self.by_path = wanted;
        self.parents = parents;
        self.must_poll = must_poll;
    }

    /// Tells what has happened since the last call, in order; does not wait.
    pub fn read(&self, tell: &mut dyn FnMut(Happened)) {
        let Some(inotify) = &self.inotify else { return };
        loop {
            let events = match inotify.read_events() {
                Ok(events) => events,
                Err(Errno::EAGAIN) => return,
                Err(Errno::EINTR) => continue,
                Err(error) => {
                    tracing::warn!(%error, "cannot read inotify events");
                    return;
                }
            };
            for event in events {
                let has = |flag| event.mask.contains(flag);
                if has(AddWatchFlags::IN_Q_OVERFLOW) {
                    tell(Happened::Overflow);
                    continue;
                }
                if let Some(parent) = self.parents.get(&event.wd) {
                    let is_watched = |name| self.by_path.contains_key(&parent.join(name));
                    if event.name.as_ref().is_some_and(is_watched) {
                        tell(Happened::FolderChanged);
                    }
                    continue;
                }
                let Some(folder) = self.folders.get(&event.wd) else { continue };
                let Some(name) = &event.name else {
                    if has(AddWatchFlags::IN_DELETE_SELF) || has(AddWatchFlags::IN_MOVE_SELF) {
                        tell(Happened::FolderChanged);
                    }
                    continue;
                };
                if has(AddWatchFlags::IN_ISDIR) {
                    tell(Happened::FolderChanged);
                    continue;
                }
                let path = folder.join(name);
                if has(AddWatchFlags::IN_MOVED_FROM) {
                    tell(Happened::MovedFrom(path, event.cookie));
                } else if has(AddWatchFlags::IN_MOVED_TO) {
                    tell(Happened::MovedTo(path, event.cookie));
                } else if has(AddWatchFlags::IN_DELETE) {
                    tell(Happened::Deleted(path));
                } else if has(AddWatchFlags::IN_CREATE) {
                    tell(Happened::Created(path));
                } else {
                    tell(Happened::Changed(path));
                }
            }
        }
    }

    /// Waits until something happens in a folder, the wake-up call comes, or the time is over.
    pub fn wait(&self, wake: &WakeReceiver, timeout: Duration) {
        let mut fds = vec![PollFd::new(wake.0.as_fd(), PollFlags::POLLIN)];
        if let Some(inotify) = &self.inotify {
            fds.push(PollFd::new(inotify.as_fd(), PollFlags::POLLIN));
        }
        // Rounded up: a wait of no time at all would spin until the deadline is really reached.
        let millis = timeout.as_micros().div_ceil(1000);
        let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => tracing::warn!(%error, "cannot wait for events"),
        }
        wake.clear();
    }
}

/// Watches the folder above each of `wanted`. A folder that is removed while files in it are open says so only once they
/// are closed, and we hold them open; the folder above says it at once, also when the name is given to another folder.
fn watch_parents(
    inotify: &Inotify,
    wanted: &HashMap<PathBuf, WatchDescriptor>,
    folders: &HashMap<WatchDescriptor, PathBuf>,
) -> HashMap<WatchDescriptor, PathBuf> {
    // Should the folder be one of `wanted` by another name, what it is watched for stays.
    let add = AddWatchFlags::from_bits_retain(libc::IN_MASK_ADD);
    let flags = AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_MOVED_FROM
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_ONLYDIR
        | add;
    let above: BTreeSet<&Path> = wanted.keys().filter_map(|folder| folder.parent()).collect();
    let mut parents = HashMap::new();
    for parent in above.into_iter().filter(|parent| !wanted.contains_key(*parent)) {
        match inotify.add_watch(parent, flags) {
            Ok(descriptor) if folders.contains_key(&descriptor) => {}
            Ok(descriptor) => {
                parents.insert(descriptor, parent.to_owned());
            }
            // One that we may enter but not read. The regular walk of the globs finds what happened.
            Err(error) => tracing::debug!(path = %parent.display(), %error, "cannot watch folder"),
        }
    }
    parents
}

fn nearest_existing(folder: &Path) -> PathBuf {
    folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

fn is_remote(folder: &Path) -> bool {
    statfs(folder).is_ok_and(|stat| {
        let FsType(kind) = stat.filesystem_type();
        REMOTE.contains(&kind)
    })
}

/// Wakes the reader's thread out of its wait, from any thread.
#[derive(Clone, Debug)]
pub struct Waker(Arc<UnixStream>);

/// The reader's end of a [`Waker`].
#[derive(Debug)]
pub struct WakeReceiver(UnixStream);

/// A connected pair.
///
/// # Errors
/// When the system is out of file descriptors.
pub fn wake_pair() -> io::Result<(Waker, WakeReceiver)> {
    let (sender, receiver) = UnixStream::pair()?;
    sender.set_nonblocking(true)?;
    receiver.set_nonblocking(true)?;
    Ok((Waker(Arc::new(sender)), WakeReceiver(receiver)))
}

impl Waker {
    /// Ends the current wait, or the next one.
    pub fn wake(&self) {
        // Full means that it is awake already; closed, that the reader has stopped.
        let _ = (&*self.0).write(&[1]);
    }
}

impl WakeReceiver {
    fn clear(&self) {
        let mut buffer = [0; 64];
        while matches!((&self.0).read(&mut buffer), Ok(n) if n == buffer.len()) {}
    }
}
