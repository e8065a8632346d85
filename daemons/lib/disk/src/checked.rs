//! A file that is written at once and read at once: header, length, body, checksum.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::fs::Fs;
use crate::header::{Format, HEADER_BYTES, HeaderError};

/// A checked file's body is at most this long: it is held in memory as a whole.
pub const MAX_CHECKED_BYTES: usize = 1 << 30;

/// Ending of a file that is still being written. Whoever opens a directory may remove such files.
pub const TEMPORARY_SUFFIX: &str = ".tmp";

/// Header, then the body's length as u64.
const BODY_AT: usize = HEADER_BYTES + 8;

/// The checksum at the end.
const SUM_BYTES: usize = 4;

/// Why a checked file could not be read. It is left as it is.
#[derive(Debug, thiserror::Error)]
pub enum CheckedError {
    /// The system refused.
    #[error("read {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Not this kind of file, or of a newer version.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The content is damaged.
    #[error("{path}: checksum mismatch in the {bytes} bytes from byte {offset}")]
    Checksum {
        /// The file.
        path: PathBuf,
        /// Where the checked part starts.
        offset: u64,
        /// How long it is.
        bytes: u64,
    },
    /// The file is shorter or longer than its header says.
    #[error("{path}: {found} bytes, but its header says {expected}")]
    Length {
        /// The file.
        path: PathBuf,
        /// Bytes that are there.
        found: u64,
        /// Bytes that should be.
        expected: u64,
    },
    /// Larger than this build reads into memory.
    #[error("{path}: a body of {bytes} bytes, the limit is {MAX_CHECKED_BYTES}")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What the header claims.
        bytes: u64,
    },
}

/// Writes a file so that it is there whole or not at all: temporary name, sync, rename, sync of the directory.
/// A file of that name is replaced. After an error the old or the new content is there, whole.
///
/// # Errors
/// What the system says (see [`crate::is_no_space`]); [`io::ErrorKind::InvalidInput`] for a body over [`MAX_CHECKED_BYTES`].
pub fn write_atomically(fs: &dyn Fs, path: &Path, format: Format, body: &[u8]) -> io::Result<()> {
    if body.len() > MAX_CHECKED_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{}: a body of {} bytes, the limit is {MAX_CHECKED_BYTES}", path.display(), body.len()),
        ));
    }
    let temporary = temporary_name(path);
    // Left over from a crash in the middle of this very function.
    if fs.exists(&temporary) {
        fs.remove_file(&temporary)?;
    }
    let written = write_and_rename(fs, &temporary, path, format, body);
    if written.is_err() {
        // Best effort: gives the space back when the disk is full. A leftover is harmless, see above.
        let _ = fs.remove_file(&temporary);
    }
    written
}

fn write_and_rename(
    fs: &dyn Fs,
    temporary: &Path,
    path: &Path,
    format: Format,
    body: &[u8],
) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(BODY_AT + body.len() + SUM_BYTES);
    bytes.extend_from_slice(&format.header());
    bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
    bytes.extend_from_slice(body);
    let sum = crc32c::crc32c(&bytes[HEADER_BYTES..]);
    bytes.extend_from_slice(&sum.to_le_bytes());
    let file = fs.create_new(temporary)?;
    file.write_all_at(&bytes, 0)?;
    file.sync_data()?;
    drop(file);
    fs.rename(temporary, path)?;
    fs.sync_dir(parent_of(path))
}

/// Reads a file written by [`write_atomically`] and checks all of it.
///
/// # Errors
/// [`CheckedError`] says which byte of which file is wrong. A missing file is `Io` with [`io::ErrorKind::NotFound`].
pub fn read_checked(fs: &dyn Fs, path: &Path, format: Format) -> Result<Vec<u8>, CheckedError> {
    Ok(read_checked_versioned(fs, path, format)?.1)
}

/// As [`read_checked`]; answers the version of the content, too, for formats that changed.
///
/// # Errors
/// As [`read_checked`].
pub fn read_checked_versioned(
    fs: &dyn Fs,
    path: &Path,
    format: Format,
) -> Result<(u16, Vec<u8>), CheckedError> {
    let io = |source| CheckedError::Io { path: path.to_owned(), source };
    let file = fs.open_read(path).map_err(io)?;
    let found = file.len().map_err(io)?;
    let mut head = [0; BODY_AT];
    let head_len = BODY_AT.min(usize::try_from(found).unwrap_or(BODY_AT));
    file.read_exact_at(&mut head[..head_len], 0).map_err(io)?;
    let version = format.check(path, &head[..head_len])?;
    if head_len < BODY_AT {
        let expected = (BODY_AT + SUM_BYTES) as u64;
        return Err(CheckedError::Length { path: path.to_owned(), found, expected });
    }
    let len_bytes: [u8; 8] = *head.last_chunk().expect("BODY_AT is at least 8");
    let bytes = u64::from_le_bytes(len_bytes);
    let body_len = match usize::try_from(bytes) {
        Ok(len) if len <= MAX_CHECKED_BYTES => len,
        _ => return Err(CheckedError::TooLarge { path: path.to_owned(), bytes }),
    };
    let expected = (BODY_AT + body_len + SUM_BYTES) as u64;
    if found != expected {
        return Err(CheckedError::Length { path: path.to_owned(), found, expected });
    }
    let mut body = vec![0; body_len + SUM_BYTES];
    file.read_exact_at(&mut body, BODY_AT as u64).map_err(io)?;
    let sum_bytes: [u8; SUM_BYTES] = *body.last_chunk().expect("SUM_BYTES were added");
    body.truncate(body_len);
    let sum = crc32c::crc32c_append(crc32c::crc32c(&len_bytes), &body);
    if sum != u32::from_le_bytes(sum_bytes) {
        let offset = HEADER_BYTES as u64;
        return Err(CheckedError::Checksum { path: path.to_owned(), offset, bytes: expected - offset });
    }
    Ok((version, body))
}

/// Removes what an interrupted [`write_atomically`] (or a half-written directory) left in `dir`: every name that
/// ends in [`TEMPORARY_SUFFIX`]. Answers how many there were.
///
/// # Errors
/// What the system says.
pub fn remove_temporaries(fs: &dyn Fs, dir: &Path) -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs.list(dir)? {
        if entry.name.ends_with(TEMPORARY_SUFFIX) {
            let path = dir.join(&entry.name);
            if entry.is_dir {
                fs.remove_dir_all(&path)?
            } else {
                fs.remove_file(&path)?
            }
            removed += 1;
        }
    }
    Ok(removed)
}

/// The name under which `path` is written before it is renamed.
pub fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().map(OsString::from).unwrap_or_default();
    name.push(TEMPORARY_SUFFIX);
    path.with_file_name(name)
}

/// The directory that a path lies in; the current one for a bare name.
pub fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
