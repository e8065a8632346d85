//! Files of chunks: many streams' chunks in one immutable file, with a directory at its end that says everything the
//! catalogue says, so that the catalogue can be made again from the files.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use cairn_disk::checked::{parent_of, temporary_name};
use cairn_disk::header::{HEADER_BYTES, HeaderError};
use cairn_disk::{Fs, FsFile};
use cairn_model::Labels;

use crate::chunk_format::{FILE_FORMAT, FILE_TRAILER_BYTES, MAX_CHUNK_BYTES, Trailer};
use crate::chunk_writer::EncodedChunk;
use crate::codec::{DecodeError, MAX_TENANT_BYTES, Reader, put_bytes, put_labels, put_uvarint};

const SUFFIX: &str = ".chunks";

/// The name of a chunk file: its number in 16 hexadecimal digits.
pub(crate) fn file_name(id: u64) -> String {
    format!("{id:016x}{SUFFIX}")
}

/// The number of a chunk file by its name.
pub(crate) fn parse_file_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let is_hex = digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex { u64::from_str_radix(digits, 16).ok() } else { None }
}

/// Why a chunk file could not be read. It is left as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkFileError {
    /// The system refused.
    #[error("read {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Not a chunk file, or of a newer version.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Cut short or damaged.
    #[error("{path}: damaged at the part that starts at byte {offset}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Start of the part: trailer, directory, chunk or block.
        offset: u64,
        /// What does not hold.
        #[source]
        source: DecodeError,
    },
}

/// One row of a file's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DirectoryRow {
    pub(crate) tenant: Arc<str>,
    pub(crate) stream: u64,
    pub(crate) labels: Arc<Labels>,
    pub(crate) place: ChunkPlace,
}

/// Where a chunk lies in its file, and what one must know to leave it alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkPlace {
    pub(crate) offset: u64,
    pub(crate) bytes: u32,
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    pub(crate) entries: u32,
    pub(crate) line_bytes: u64,
    pub(crate) through: u64,
}

/// Writes a chunk file under a temporary name; it gets its own when it is whole and synced.
#[derive(Debug)]
pub(crate) struct ChunkFileWriter {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    file: Box<dyn FsFile>,
    at: u64,
    rows: Vec<DirectoryRow>,
}

impl ChunkFileWriter {
    pub(crate) fn create(fs: &Arc<dyn Fs>, dir: &Path, id: u64) -> io::Result<Self> {
        let path = dir.join(file_name(id));
        let temporary = temporary_name(&path);
        // What an attempt left that failed half-way, for example on a full disk.
        if fs.exists(&temporary) {
            fs.remove_file(&temporary)?;
        }
        let file = fs.create_new(&temporary)?;
        let mut writer = Self { fs: Arc::clone(fs), path, file, at: 0, rows: Vec::new() };
        writer.write(&FILE_FORMAT.header())?;
        Ok(writer)
    }

    /// Bytes written so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.at
    }

    pub(crate) fn add(
        &mut self,
        tenant: &Arc<str>,
        labels: &Arc<Labels>,
        chunk: &EncodedChunk,
    ) -> io::Result<()> {
        let header = &chunk.header;
        let place = ChunkPlace {
            offset: self.at,
            bytes: u32::try_from(chunk.bytes.len()).unwrap_or(u32::MAX),
            min_time: header.min_time,
            max_time: header.max_time,
            entries: header.entries,
            line_bytes: header.line_bytes,
            through: header.through,
        };
        if place.bytes > MAX_CHUNK_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a chunk grew above its limit of 1 GiB"));
        }
        self.write(&chunk.bytes)?;
        let row = DirectoryRow {
            tenant: Arc::clone(tenant),
            stream: header.stream,
            labels: Arc::clone(labels),
            place,
        };
        self.rows.push(row);
        Ok(())
    }

    /// Writes directory and trailer, syncs, gives the file its name, syncs the folder. Only then may anything refer to it.
    pub(crate) fn finish(mut self) -> io::Result<Vec<DirectoryRow>> {
        let directory = encode_directory(&self.rows);
        let trailer = Trailer {
            directory_at: self.at,
            directory_bytes: u32::try_from(directory.len()).map_err(|_| {
                io::Error::new(io::ErrorKind::InvalidInput, "the directory of a chunk file grew above 4 GiB")
            })?,
            directory_crc: crc32c::crc32c(&directory),
        };
        self.write(&directory)?;
        self.write(&trailer.encode())?;
        self.file.sync_data()?;
        self.fs.rename(&temporary_name(&self.path), &self.path)?;
        self.fs.sync_dir(parent_of(&self.path))?;
        Ok(self.rows)
    }

    /// Gives the space back after a failure; what cannot be removed now is removed at the next start.
    pub(crate) fn abandon(self) {
        let Self { fs, path, file, .. } = self;
        drop(file);
        let _ = fs.remove_file(&temporary_name(&path));
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}

fn encode_directory(rows: &[DirectoryRow]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut streams: Vec<&DirectoryRow> = Vec::new();
    let mut indexes: HashMap<u64, u64> = HashMap::new();
    for row in rows {
        indexes.entry(row.stream).or_insert_with(|| {
            streams.push(row);
            streams.len() as u64 - 1
        });
    }
    put_uvarint(&mut out, streams.len() as u64);
    for row in streams {
        put_uvarint(&mut out, row.stream);
        put_bytes(&mut out, row.tenant.as_bytes());
        put_labels(&mut out, &row.labels);
    }
    put_uvarint(&mut out, rows.len() as u64);
    for DirectoryRow { tenant: _, stream, labels: _, place } in rows {
        let ChunkPlace { offset, bytes, min_time, max_time, entries, line_bytes, through } = *place;
        put_uvarint(&mut out, indexes[stream]);
        put_uvarint(&mut out, offset);
        put_uvarint(&mut out, u64::from(bytes));
        out.extend_from_slice(&min_time.to_le_bytes());
        out.extend_from_slice(&max_time.to_le_bytes());
        put_uvarint(&mut out, u64::from(entries));
        put_uvarint(&mut out, line_bytes);
        put_uvarint(&mut out, through);
    }
    out
}

fn decode_directory(bytes: &[u8], directory_at: u64) -> Result<Vec<DirectoryRow>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let mut streams = Vec::new();
    for _ in 0..reader.count(3, "directory streams")? {
        let id = reader.uvarint("stream id")?;
        let tenant: Arc<str> = reader.text(MAX_TENANT_BYTES, "tenant")?.into();
        streams.push((id, tenant, Arc::new(reader.labels("stream labels")?)));
    }
    let mut rows = Vec::new();
    for _ in 0..reader.count(22, "directory chunks")? {
        let index = usize::try_from(reader.uvarint("stream index")?).unwrap_or(usize::MAX);
        let (stream, tenant, labels) = streams.get(index).ok_or_else(|| reader.error("stream index"))?;
        let offset = reader.uvarint("chunk offset")?;
        let length = reader.uvarint("chunk length")?;
        let small = |value: u64, reader: &Reader<'_>| u32::try_from(value).map_err(|_| reader.error("chunk"));
        let place = ChunkPlace {
            offset,
            bytes: small(length, &reader)?,
            min_time: reader.i64("chunk first time")?,
            max_time: reader.i64("chunk last time")?,
            entries: {
                let entries = reader.uvarint("chunk entries")?;
                small(entries, &reader)?
            },
            line_bytes: reader.uvarint("chunk line bytes")?,
            through: reader.uvarint("chunk sequence")?,
        };
        if offset.checked_add(length).is_none_or(|end| end > directory_at) || place.bytes > MAX_CHUNK_BYTES {
            return Err(reader.error("chunk place"));
        }
        let row =
            DirectoryRow { tenant: Arc::clone(tenant), stream: *stream, labels: Arc::clone(labels), place };
        rows.push(row);
    }
    Ok(rows)
}

/// Reads the directory of a chunk file: for files that the catalogue does not know.
pub(crate) fn read_directory(fs: &dyn Fs, path: &Path) -> Result<Vec<DirectoryRow>, ChunkFileError> {
    let io = |source| ChunkFileError::Io { path: path.to_owned(), source };
    let file = fs.open_read(path).map_err(io)?;
    let len = file.len().map_err(io)?;
    let mut head = [0; HEADER_BYTES];
    let head_bytes = HEADER_BYTES.min(usize::try_from(len).unwrap_or(HEADER_BYTES));
    file.read_exact_at(&mut head[..head_bytes], 0).map_err(io)?;
    FILE_FORMAT.check(path, &head[..head_bytes])?;
    let damaged = |offset| move |source| ChunkFileError::Damaged { path: path.to_owned(), offset, source };
    let Some(trailer_at) = len.checked_sub(FILE_TRAILER_BYTES as u64).filter(|at| *at >= HEADER_BYTES as u64)
    else {
        return Err(damaged(0)(DecodeError { what: "trailer", at: 0 }));
    };
    let mut trailer = [0; FILE_TRAILER_BYTES];
    file.read_exact_at(&mut trailer, trailer_at).map_err(io)?;
    let trailer = Trailer::decode(&trailer, len).map_err(damaged(trailer_at))?;
    let mut directory = vec![0; trailer.directory_bytes as usize];
    file.read_exact_at(&mut directory, trailer.directory_at).map_err(io)?;
    if crc32c::crc32c(&directory) != trailer.directory_crc {
        return Err(damaged(trailer.directory_at)(DecodeError { what: "directory checksum", at: 0 }));
    }
    decode_directory(&directory, trailer.directory_at).map_err(damaged(trailer.directory_at))
}

/// A chunk file that is referred to. The file itself goes only when nothing refers to it any more, so that a running
/// query reads on through an expiry.
#[derive(Debug)]
pub(crate) struct ChunkFile {
    pub(crate) id: u64,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
}

/// A chunk on disk.
#[derive(Clone, Debug)]
pub(crate) struct ChunkRef {
    pub(crate) file: Arc<ChunkFile>,
    pub(crate) place: ChunkPlace,
}

/// Open files kept for the next query; more are opened and closed as needed.
const OPEN_FILES: usize = 64;

/// The most recently used chunk files, open.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    fs: Arc<dyn Fs>,
    /// The most recently used last.
    files: Mutex<Vec<(u64, Arc<dyn FsFile>)>>,
}

impl OpenFiles {
    pub(crate) fn new(fs: Arc<dyn Fs>) -> Self {
        Self { fs, files: Mutex::new(Vec::new()) }
    }

    /// The file, opened and its header checked if it was not open yet.
    pub(crate) fn get(&self, file: &ChunkFile) -> Result<Arc<dyn FsFile>, ChunkFileError> {
        let io = |source| ChunkFileError::Io { path: file.path.clone(), source };
        {
            let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(at) = files.iter().position(|(id, _)| *id == file.id) {
                let found = files.remove(at);
                let handle = Arc::clone(&found.1);
                files.push(found);
                return Ok(handle);
            }
        }
        let handle: Arc<dyn FsFile> = Arc::from(self.fs.open_read(&file.path).map_err(io)?);
        let mut head = [0; HEADER_BYTES];
        handle.read_exact_at(&mut head, 0).map_err(io)?;
        FILE_FORMAT.check(&file.path, &head)?;
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if files.len() >= OPEN_FILES {
            files.remove(0);
        }
        files.push((file.id, Arc::clone(&handle)));
        Ok(handle)
    }

    /// Closes a file that is about to be removed.
    pub(crate) fn forget(&self, id: u64) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).retain(|(open, _)| *open != id);
    }
}
