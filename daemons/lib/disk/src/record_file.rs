//! A large immutable file of records, written as a stream: header, frames, and a last frame that counts them, so
//! that a file cut short is noticed. It is read record by record or, for one record, by its offset.

use std::io;
use std::path::{Path, PathBuf};

use crate::frame::{FRAME_HEADER_BYTES, Frame, FrameReader, MAX_RECORD_BYTES, parse_frame, push_frame};
use crate::fs::{Fs, FsFile};
use crate::header::{Format, HEADER_BYTES, HeaderError};

/// How much is collected before it is written.
const WRITE_BUFFER_BYTES: usize = 1 << 20;

/// The last record: this, then the number of records before it as u64.
const END_MARK: &[u8; 8] = b"\xffEND\xffEND";

/// Why a record file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordFileError {
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
    /// A record is damaged.
    #[error("{path}: checksum mismatch in the {bytes} bytes from byte {offset}")]
    Checksum {
        /// The file.
        path: PathBuf,
        /// Where the record's frame starts.
        offset: u64,
        /// How many bytes are concerned.
        bytes: u64,
    },
    /// The file ends before its last record, or counts another number of them.
    #[error("{path}: {found} whole records, and no end that says so: the file was cut short")]
    Cut {
        /// The file.
        path: PathBuf,
        /// Records that could be read.
        found: u64,
    },
}

/// Writes a record file under the name it is given. Whoever needs it whole or not at all writes to a temporary name
/// and renames after [`finish`](Self::finish).
#[derive(Debug)]
pub struct RecordFileWriter {
    file: Box<dyn FsFile>,
    buffer: Vec<u8>,
    written: u64,
    records: u64,
}

impl RecordFileWriter {
    /// Creates the file, which must not exist.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(fs: &dyn Fs, path: &Path, format: Format) -> io::Result<Self> {
        let file = fs.create_new(path)?;
        Ok(Self { file, buffer: format.header().to_vec(), written: 0, records: 0 })
    }

    /// Adds one record and answers the offset by which [`read_record_at`] finds it again.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::InvalidInput`] for a record over [`MAX_RECORD_BYTES`].
    pub fn push(&mut self, record: &[u8]) -> io::Result<u64> {
        if record.len() > MAX_RECORD_BYTES {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let offset = self.written + self.buffer.len() as u64;
        push_frame(&mut self.buffer, record);
        self.records += 1;
        if self.buffer.len() >= WRITE_BUFFER_BYTES {
            self.flush()?;
        }
        Ok(offset)
    }

    /// Writes the end and syncs the file (not the directory). Answers its length.
    ///
    /// # Errors
    /// What the system says.
    pub fn finish(mut self) -> io::Result<u64> {
        let mut end = END_MARK.to_vec();
        end.extend_from_slice(&self.records.to_le_bytes());
        push_frame(&mut self.buffer, &end);
        self.flush()?;
        self.file.sync_data()?;
        Ok(self.written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.buffer, self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// Reads every record, in order, as (offset, content); checks header, each record and the end.
///
/// # Errors
/// [`RecordFileError`] at the first thing that is wrong; the records before it were handed over.
pub fn read_records<E: From<RecordFileError>>(
    fs: &dyn Fs,
    path: &Path,
    format: Format,
    mut visit: impl FnMut(u64, &[u8]) -> Result<(), E>,
) -> Result<u64, E> {
    let io = |source| RecordFileError::Io { path: path.to_owned(), source };
    let (file, _version) = open_record_file(fs, path, format)?;
    let file_len = file.len().map_err(io)?;
    let mut reader = FrameReader::new(&*file, HEADER_BYTES as u64).map_err(io)?;
    let mut found = 0u64;
    let mut end = None;
    loop {
        match reader.next_frame().map_err(io)? {
            Frame::Record { offset, record } => {
                let is_last = offset + (FRAME_HEADER_BYTES + record.len()) as u64 == file_len;
                match parse_end(record) {
                    Some(count) if is_last => end = Some(count),
                    _ => {
                        visit(offset, record)?;
                        found += 1;
                    }
                }
            }
            Frame::Damaged { offset, bytes } | Frame::Torn { offset, bytes } => {
                return Err(RecordFileError::Checksum { path: path.to_owned(), offset, bytes }.into());
            }
            Frame::End => break,
        }
    }
    if end == Some(found) {
        Ok(found)
    } else {
        Err(RecordFileError::Cut { path: path.to_owned(), found }.into())
    }
}

fn parse_end(record: &[u8]) -> Option<u64> {
    let count = record.strip_prefix(END_MARK)?;
    Some(u64::from_le_bytes(count.try_into().ok()?))
}

/// Opens a record file and checks its header. Answers the file and the version of its content: one of those that the
/// format reads.
///
/// # Errors
/// [`RecordFileError`].
pub fn open_record_file(
    fs: &dyn Fs,
    path: &Path,
    format: Format,
) -> Result<(Box<dyn FsFile>, u16), RecordFileError> {
    let io = |source| RecordFileError::Io { path: path.to_owned(), source };
    let file = fs.open_read(path).map_err(io)?;
    let mut head = [0; HEADER_BYTES];
    let len = usize::try_from(file.len().map_err(io)?).unwrap_or(usize::MAX).min(HEADER_BYTES);
    file.read_exact_at(&mut head[..len], 0).map_err(io)?;
    let version = format.check(path, &head[..len])?;
    Ok((file, version))
}

/// Reads the one record that starts at `offset` and has `len` bytes of content, and checks it. `path` is for the
/// error only.
///
/// # Errors
/// [`RecordFileError::Checksum`] when the bytes there are not that record.
pub fn read_record_at(
    file: &dyn FsFile,
    path: &Path,
    offset: u64,
    len: usize,
) -> Result<Vec<u8>, RecordFileError> {
    let wrong = || RecordFileError::Checksum { path: path.to_owned(), offset, bytes: len as u64 };
    if len > MAX_RECORD_BYTES {
        return Err(wrong());
    }
    let mut bytes = vec![0; FRAME_HEADER_BYTES + len];
    match file.read_exact_at(&mut bytes, offset) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(wrong()),
        Err(source) => return Err(RecordFileError::Io { path: path.to_owned(), source }),
    }
    match parse_frame(&bytes) {
        Some(record) if record.len() == len => {
            bytes.drain(..FRAME_HEADER_BYTES);
            Ok(bytes)
        }
        _ => Err(wrong()),
    }
}
