//! Files of chunks: a header, then length, encoding, data and checksum of each.

use std::io;
use std::path::{Path, PathBuf};

use cairn_disk::{Fs, FsFile};
use xxhash_rust::xxh3::Xxh3;

use crate::bytes::{Reader, put_uvarint, to_usize};
use crate::chunk::{Chunk, ENCODING_FLOAT_HISTOGRAM, MAX_ENCODING};
use crate::error::PromBlockError;

const MAGIC: [u8; 4] = [0x85, 0xBD, 0x40, 0xDD];
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 8;

/// A file is closed before it grows beyond this.
const MAX_FILE_BYTES: u64 = 512 << 20;

/// Data of one chunk that is read. Those of the peer have about a kibibyte; a histogram may need more.
const MAX_CHUNK_BYTES: u64 = 4 << 20;

/// The length of a chunk, its encoding and its checksum at most: 5 + 1 + 4, with room for a length that is damage.
const FRAME_BYTES: usize = 15;
const SUM_BYTES: usize = 4;

/// How much is collected before it is written.
const WRITE_BUFFER_BYTES: usize = 1 << 20;
/// How much is read at once: chunks mostly lie in the order in which they are asked for.
const READ_AHEAD_BYTES: usize = 256 << 10;

fn file_name(number: u64) -> String {
    format!("{number:06}")
}

/// Writes chunks one after the other, file after file.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    dir: PathBuf,
    file: Option<Box<dyn FsFile>>,
    /// Of the open file; files count from 1.
    number: u64,
    buffer: Vec<u8>,
    /// Bytes of the open file that were written.
    written: u64,
    bytes: u64,
}

impl SegmentWriter {
    pub(crate) fn create(fs: &dyn Fs, dir: &Path) -> Result<Self, PromBlockError> {
        fs.create_dir_all(dir).map_err(PromBlockError::io("create", dir))?;
        let (file, number, buffer) = (None, 0, Vec::new());
        Ok(Self { dir: dir.to_owned(), file, number, buffer, written: 0, bytes: 0 })
    }

    /// Adds a chunk and answers its reference. What is written goes into the hash as well.
    pub(crate) fn push(
        &mut self,
        fs: &dyn Fs,
        chunk: &Chunk,
        hash: &mut Xxh3,
    ) -> Result<u64, PromBlockError> {
        let most = (FRAME_BYTES + chunk.data.len()) as u64;
        if chunk.data.len() as u64 > MAX_CHUNK_BYTES {
            let (what, limit) = ("bytes of a chunk", MAX_CHUNK_BYTES);
            return Err(PromBlockError::TooLarge { path: self.dir.clone(), what, limit });
        }
        if self.file.is_none() || self.written + self.buffer.len() as u64 + most > MAX_FILE_BYTES {
            self.close()?;
            self.open_next(fs)?;
        }
        let offset = self.written + self.buffer.len() as u64;
        put_uvarint(&mut self.buffer, chunk.data.len() as u64);
        let start = self.buffer.len();
        self.buffer.push(chunk.encoding);
        self.buffer.extend_from_slice(&chunk.data);
        let sum = crc32c::crc32c(&self.buffer[start..]);
        hash.update(&self.buffer[start..]);
        self.buffer.extend_from_slice(&sum.to_be_bytes());
        if self.buffer.len() >= WRITE_BUFFER_BYTES {
            self.flush()?;
        }
        Ok((self.number - 1) << 32 | offset)
    }

    fn path(&self) -> PathBuf {
        self.dir.join(file_name(self.number))
    }

    fn open_next(&mut self, fs: &dyn Fs) -> Result<(), PromBlockError> {
        self.number += 1;
        let path = self.path();
        self.file = Some(fs.create_new(&path).map_err(PromBlockError::io("create", &path))?);
        self.written = 0;
        self.buffer.extend_from_slice(&MAGIC);
        self.buffer.extend_from_slice(&[VERSION, 0, 0, 0]);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), PromBlockError> {
        if let Some(file) = &self.file {
            let path = self.path();
            file.write_all_at(&self.buffer, self.written).map_err(PromBlockError::io("write", &path))?;
            self.written += self.buffer.len() as u64;
            self.bytes += self.buffer.len() as u64;
        }
        self.buffer.clear();
        Ok(())
    }

    fn close(&mut self) -> Result<(), PromBlockError> {
        self.flush()?;
        if let Some(file) = self.file.take() {
            file.sync_data().map_err(PromBlockError::io("sync", &self.path()))?;
        }
        Ok(())
    }

    /// Makes everything durable; answers how many bytes it is.
    pub(crate) fn finish(mut self, fs: &dyn Fs) -> Result<u64, PromBlockError> {
        self.close()?;
        fs.sync_dir(&self.dir).map_err(PromBlockError::io("sync", &self.dir))?;
        Ok(self.bytes)
    }
}

/// Reads chunks by their references.
#[derive(Debug)]
pub(crate) struct SegmentReader {
    dir: PathBuf,
    /// The files in the order of their numbers; references name their place in it.
    files: Vec<SegmentFile>,
    ahead: ReadAhead,
}

#[derive(Debug)]
struct SegmentFile {
    path: PathBuf,
    file: Box<dyn FsFile>,
    is_checked: bool,
}

/// A stretch of one file.
#[derive(Debug, Default)]
struct ReadAhead {
    file: usize,
    offset: u64,
    bytes: Vec<u8>,
}

impl SegmentReader {
    pub(crate) fn open(fs: &dyn Fs, dir: &Path) -> Result<Self, PromBlockError> {
        let mut numbers: Vec<(u64, String)> = fs
            .list(dir)
            .map_err(PromBlockError::io("list", dir))?
            .into_iter()
            .filter(|entry| !entry.is_dir)
            .filter_map(|entry| Some((entry.name.parse().ok()?, entry.name)))
            .collect();
        numbers.sort_unstable();
        let mut files = Vec::with_capacity(numbers.len());
        for (_, name) in numbers {
            let path = dir.join(name);
            let file = fs.open_read(&path).map_err(PromBlockError::io("open", &path))?;
            files.push(SegmentFile { path, file, is_checked: false });
        }
        Ok(Self { dir: dir.to_owned(), files, ahead: ReadAhead::default() })
    }

    /// File and offset of a reference, for messages.
    pub(crate) fn place(&self, reference: u64) -> (PathBuf, u64) {
        let (number, offset) = (to_usize(reference >> 32), reference & u64::from(u32::MAX));
        let path = self
            .files
            .get(number)
            .map_or_else(|| self.dir.join(file_name(number as u64 + 1)), |segment| segment.path.clone());
        (path, offset)
    }

    /// Reads one chunk and checks it; hands over encoding and data.
    pub(crate) fn chunk(&mut self, reference: u64) -> Result<(u8, &[u8]), PromBlockError> {
        let (number, offset) = (to_usize(reference >> 32), reference & u64::from(u32::MAX));
        let Some(segment) = self.files.get_mut(number) else {
            let what = "a chunk in a file that is not there";
            return Err(PromBlockError::damaged(&self.place(reference).0, offset, what));
        };
        segment.check()?;
        let SegmentFile { path, file, .. } = &*segment;
        let damaged = |what| PromBlockError::damaged(path, offset, what);
        let read = PromBlockError::io;
        let ahead = &mut self.ahead;
        let head = ahead.get(number, &**file, offset, FRAME_BYTES).map_err(read("read", path))?;
        let mut reader = Reader::new(head, "chunk");
        let len = reader.uvarint().map_err(|_| damaged("a chunk whose length cannot be read"))?;
        if len > MAX_CHUNK_BYTES {
            return Err(damaged("a chunk that is longer than any"));
        }
        let (prefix, len) = (head.len() - reader.len(), to_usize(len));
        let frame =
            ahead.get(number, &**file, offset, prefix + 1 + len + SUM_BYTES).map_err(read("read", path))?;
        let Some((content, sum)) = frame.get(prefix..).and_then(|rest| rest.split_last_chunk::<SUM_BYTES>())
        else {
            return Err(damaged("a chunk that ends too early"));
        };
        if content.len() != 1 + len {
            return Err(damaged("a chunk that ends too early"));
        }
        if crc32c::crc32c(content) != u32::from_be_bytes(*sum) {
            return Err(damaged("a chunk whose checksum does not hold"));
        }
        match content[0] {
            encoding @ 1..=ENCODING_FLOAT_HISTOGRAM => Ok((encoding, &content[1..])),
            encoding @ ..=MAX_ENCODING if encoding > 0 => {
                let what = "encoding of chunks with start timestamps";
                Err(PromBlockError::Unknown { path: path.clone(), what, found: u64::from(encoding) })
            }
            encoding => {
                let what = "encoding of chunks";
                Err(PromBlockError::Unknown { path: path.clone(), what, found: u64::from(encoding) })
            }
        }
    }
}

impl SegmentFile {
    fn check(&mut self) -> Result<(), PromBlockError> {
        if self.is_checked {
            return Ok(());
        }
        let mut head = [0; HEADER_BYTES];
        match self.file.read_exact_at(&mut head, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(PromBlockError::damaged(&self.path, 0, "a file of chunks that is cut short"));
            }
            Err(source) => return Err(PromBlockError::io("read", &self.path)(source)),
        }
        if head[..4] != MAGIC {
            return Err(PromBlockError::damaged(&self.path, 0, "not a file of chunks"));
        }
        if head[4] != VERSION {
            let (what, found) = ("version of files of chunks", u64::from(head[4]));
            return Err(PromBlockError::Unknown { path: self.path.clone(), what, found });
        }
        self.is_checked = true;
        Ok(())
    }
}

impl ReadAhead {
    /// `len` bytes from `offset`, fewer at the end of the file.
    fn get(&mut self, number: usize, file: &dyn FsFile, offset: u64, len: usize) -> io::Result<&[u8]> {
        let is_there = self.file == number
            && offset >= self.offset
            && offset + len as u64 <= self.offset + self.bytes.len() as u64;
        if !is_there {
            self.bytes.resize(len.max(READ_AHEAD_BYTES), 0);
            (self.file, self.offset) = (number, offset);
            let mut filled = 0;
            let outcome = loop {
                match file.read_at(&mut self.bytes[filled..], offset + filled as u64) {
                    Ok(0) => break Ok(()),
                    Ok(read) => filled += read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => break Err(error),
                }
            };
            self.bytes.truncate(if outcome.is_ok() { filled } else { 0 });
            outcome?;
        }
        let start = to_usize(offset - self.offset);
        Ok(&self.bytes[start..self.bytes.len().min(start + len)])
    }
}
