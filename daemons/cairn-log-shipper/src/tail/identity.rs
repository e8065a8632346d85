//! Telling files apart: which file is this, and is it still the one whose first so many bytes were shipped.
//!
//! A name says nothing (rotation), an inode number is used again (deletion), a size can be passed (emptied and written
//! anew). Together with the birth time, a hash of the beginning and a hash of the bytes right before the position, they
//! tell.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::UNIX_EPOCH;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// Most bytes of the beginning that are hashed.
pub const MAX_HEAD_BYTES: usize = 1024;
/// Most bytes before the position that are hashed.
pub const MAX_TAIL_BYTES: usize = 64;

/// What the file system says a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    /// Device. It may change over a reboot.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Nanoseconds since the epoch at which the inode was made, where the file system remembers.
    pub born: Option<u64>,
}

impl FileId {
    /// From the file's metadata.
    pub fn of(metadata: &Metadata) -> Self {
        let born = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let born = born.and_then(|since| u64::try_from(since.as_nanos()).ok());
        Self { dev: metadata.dev(), ino: metadata.ino(), born }
    }

    /// Whether both are the same file, whatever it holds by now: an inode that is used again is born again.
    pub fn is_surely(&self, other: &Self) -> bool {
        self.ino == other.ino && self.born.is_some() && self.born == other.born
    }

    /// Whether both may be the same file, across a restart: the device may be numbered anew, the rest may not.
    pub fn may_be(&self, other: &Self) -> bool {
        let born_apart = matches!((self.born, other.born), (Some(a), Some(b)) if a != b);
        self.ino == other.ino && !born_apart
    }
}

/// A hash of a file's beginning, as far as it was read: what lies before the position does not change as long as the file
/// is the same, while a writer may still fill in what lies behind it (space that it reserved).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// How many bytes it covers, at most [`MAX_HEAD_BYTES`].
    pub len: u16,
    /// XXH3-128 of them.
    pub hash: u128,
}

impl Head {
    /// Hashes the first `min(len, 1024)` bytes. A file that is shorter gives a hash of what is there.
    ///
    /// # Errors
    /// What the system says.
    pub fn read(file: &File, len: u64) -> io::Result<Self> {
        let mut buffer = [0; MAX_HEAD_BYTES];
        let want = usize::try_from(len).unwrap_or(MAX_HEAD_BYTES).min(MAX_HEAD_BYTES);
        let read = read_up_to(file, &mut buffer[..want], 0)?;
        if read == 0 {
            return Ok(Self::default());
        }
        let len = u16::try_from(read).expect("MAX_HEAD_BYTES fits 16 bits");
        Ok(Self { len, hash: xxh3_128(&buffer[..read]) })
    }

    /// Whether the file still begins like this. Nothing is the beginning of every file, whatever its hash: there are
    /// positions with both that of no bytes and 0.
    ///
    /// # Errors
    /// What the system says.
    pub fn fits(&self, file: &File) -> io::Result<bool> {
        Ok(self.len == 0 || Self::read(file, u64::from(self.len))? == *self)
    }

    /// Whether it is worth hashing anew now that `read` bytes were read: at each doubling, and at the full length.
    pub fn is_outgrown(&self, read: u64) -> bool {
        let len = u64::from(self.len);
        len < MAX_HEAD_BYTES as u64 && read > len && (read >= 2 * len || read >= MAX_HEAD_BYTES as u64)
    }
}

/// A hash of the bytes right before a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TailCheck {
    /// How many bytes it covers: 64, or as many as there are before the position.
    pub len: u8,
    /// XXH3-64 of them.
    pub hash: u64,
}

impl TailCheck {
    /// Hashes the end of `before`, which ends at the position.
    pub fn of(before: &[u8]) -> Self {
        let tail = &before[before.len().saturating_sub(MAX_TAIL_BYTES)..];
        let len = u8::try_from(tail.len()).expect("MAX_TAIL_BYTES fits 8 bits");
        if len == 0 { Self::default() } else { Self { len, hash: xxh3_64(tail) } }
    }

    /// Whether these bytes, which end at the position, are the same ones. `before` must be [`Self::len`] bytes long.
    pub fn fits(&self, before: &[u8]) -> bool {
        Self::of(before) == *self
    }

    /// Reads the bytes before `offset` and hashes them.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::UnexpectedEof`] when the file is shorter.
    pub fn read(file: &File, offset: u64) -> io::Result<Self> {
        let mut buffer = [0; MAX_TAIL_BYTES];
        let len = usize::try_from(offset).unwrap_or(MAX_TAIL_BYTES).min(MAX_TAIL_BYTES);
        file.read_exact_at(&mut buffer[..len], offset - len as u64)?;
        Ok(Self::of(&buffer[..len]))
    }
}

/// Reads until the buffer is full or the file ends.
///
/// # Errors
/// What the system says.
pub fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, File) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, text).unwrap();
        let file = File::open(path).unwrap();
        (dir, file)
    }

    #[test]
    fn heads_compare_over_the_common_beginning() {
        let (_short_dir, short) = file("hello");
        let (_long_dir, long) = file("hello, world");
        let head = Head::read(&short, 5).unwrap();
        assert!(head.fits(&long).unwrap());
        assert!(!Head::read(&long, 12).unwrap().fits(&short).unwrap());
        assert!(head.is_outgrown(12));
        assert!(!head.is_outgrown(9));
        assert!(!Head { len: 1024, hash: 0 }.is_outgrown(4096));
    }

    #[test]
    fn the_head_of_an_empty_file_fits_what_is_written_to_it() {
        let (_empty_dir, empty) = file("");
        let (_dir, later) = file("hello");
        assert_eq!(Head::read(&empty, 0).unwrap(), Head::default());
        assert!(Head::default().fits(&empty).unwrap());
        assert!(Head::default().fits(&later).unwrap());
        assert!(Head { len: 0, hash: xxh3_128(b"") }.fits(&later).unwrap());
    }

    #[test]
    fn tails_tell_a_file_that_was_written_anew() {
        let (_dir, one) = file(&"x".repeat(100));
        assert_eq!(TailCheck::read(&one, 100).unwrap(), TailCheck::of(&[b'x'; 64]));
        assert_ne!(TailCheck::read(&one, 100).unwrap(), TailCheck::of(&[b'y'; 64]));
        assert_eq!(TailCheck::read(&one, 0).unwrap(), TailCheck::default());
        assert!(TailCheck::read(&one, 101).is_err());
    }

    #[test]
    fn birth_times_tell_an_inode_used_again() {
        let id = |born| FileId { dev: 1, ino: 5, born };
        assert!(id(Some(1)).may_be(&FileId { dev: 2, ..id(Some(1)) }));
        assert!(!id(Some(1)).may_be(&id(Some(2))));
        assert!(id(None).may_be(&id(Some(2))));
        assert!(id(Some(1)).is_surely(&FileId { dev: 2, ..id(Some(1)) }));
        assert!(!id(None).is_surely(&id(None)));
    }
}
