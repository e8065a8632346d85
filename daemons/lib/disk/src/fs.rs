//! The operations on files that an engine may use, as traits, so that tests can run on a disk that loses power.
//!
//! What is durable, and when: a file's bytes after [`FsFile::sync_data`]; a name that appeared, changed or went
//! after [`Fs::sync_dir`] of the directory it lies in. Nothing else is.

use std::fmt::Debug;
use std::io;
use std::path::Path;

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The last part of the path.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Bytes in the file; 0 for a directory.
    pub len: u64,
}

/// A file system.
pub trait Fs: Send + Sync + Debug {
    /// Creates a file that must not exist yet, for reading and writing.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`], or what the system says.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn FsFile>>;

    /// Opens an existing file for reading.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`], or what the system says.
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn FsFile>>;

    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`], or what the system says.
    fn open_write(&self, path: &Path) -> io::Result<Box<dyn FsFile>>;

    /// Renames a file or directory; a file at `to` is replaced. Durable after `sync_dir` of both parents.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name, which must not exist yet. Durable after `sync_dir` of that name's parent.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`]; [`io::ErrorKind::Unsupported`], [`io::ErrorKind::CrossesDevices`] and others
    /// where the file system has no second names, or not for this place.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Durable after `sync_dir` of the parent.
    ///
    /// # Errors
    /// What the system says.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory and everything below it.
    ///
    /// # Errors
    /// What the system says.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Creates a directory and its missing parents; one that exists is fine. Durable after `sync_dir` of each parent.
    ///
    /// # Errors
    /// What the system says.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in this directory durable.
    ///
    /// # Errors
    /// What the system says.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// What lies in a directory, ascending by name.
    ///
    /// # Errors
    /// What the system says. Names that are not UTF-8 are left out: nothing of ours has one.
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    /// Bytes in a file.
    ///
    /// # Errors
    /// What the system says.
    fn len(&self, path: &Path) -> io::Result<u64>;

    /// Whether there is a file or directory.
    fn exists(&self, path: &Path) -> bool;

    /// Bytes that an unprivileged process may still write on the file system that holds `path`.
    ///
    /// # Errors
    /// What the system says.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// An open file. All methods take `&self`, so that one thread can sync while another appends.
#[expect(
    clippy::len_without_is_empty,
    reason = "a file's length may fail to be read; emptiness is no question here"
)]
pub trait FsFile: Send + Sync + Debug {
    /// Reads what is there at `offset`, at most the buffer's length; 0 at the end of the file.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all bytes at `offset`; a gap before it reads as zeros. On an error some of them may have been written.
    ///
    /// # Errors
    /// What the system says; see [`is_no_space`].
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes the bytes and the length durable. After an error nothing written since the last success may be
    /// trusted, not even after a later success: the kernel reports a failed write-back once and forgets it.
    ///
    /// # Errors
    /// What the system says.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts (or extends with zeros) to `len` bytes.
    ///
    /// # Errors
    /// What the system says.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Bytes in the file.
    ///
    /// # Errors
    /// What the system says.
    fn len(&self) -> io::Result<u64>;

    /// Writes all bytes at the end. One writer at a time.
    ///
    /// # Errors
    /// As [`write_all_at`](Self::write_all_at).
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, self.len()?)
    }

    /// Fills the buffer from `offset`.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when the file ends before, or what the system says.
    fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read_at(buffer, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    buffer = &mut buffer[read..];
                    offset += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Creates a directory and its missing parents so that their names survive a loss of power. One that exists is synced
/// into its parent as well: whoever made it may not have done so.
///
/// # Errors
/// What the system says.
pub fn create_dir_durably(fs: &dyn Fs, path: &Path) -> io::Result<()> {
    let parent = crate::checked::parent_of(path);
    if !fs.exists(path) {
        if parent != path && !fs.exists(parent) {
            create_dir_durably(fs, parent)?;
        }
        fs.create_dir_all(path)?;
    }
    match fs.sync_dir(parent) {
        // A parent that this user may not open was made by somebody else, long ago.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        outcome => outcome,
    }
}

/// Whether an error means that the disk, or this user's share of it, is full: freeing space heals it.
pub fn is_no_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
