//! Length and checksum around one record, and a reader that tells whole records from torn and damaged ones.

use std::io;

use crate::fs::FsFile;

/// Bytes before each record: its length and its checksum.
pub const FRAME_HEADER_BYTES: usize = 8;

/// A record that is longer cannot be framed. Large enough for any batch that the daemons' own limits let through.
pub const MAX_RECORD_BYTES: usize = 256 << 20;

/// How much is read from the disk at once.
const READ_AHEAD_BYTES: usize = 1 << 20;

/// Appends one framed record to `out`.
///
/// # Panics
/// If the record is longer than [`MAX_RECORD_BYTES`]; callers check that first.
pub fn push_frame(out: &mut Vec<u8>, record: &[u8]) {
    assert!(
        record.len() <= MAX_RECORD_BYTES,
        "record of {} bytes: the caller checks the limit",
        record.len()
    );
    let len = u32::try_from(record.len()).expect("MAX_RECORD_BYTES is below 4 GiB");
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&checksum(len, record).to_le_bytes());
    out.extend_from_slice(record);
}

/// CRC-32C over the length's four bytes and the record: zeros are no valid frame, and a length that was
/// damaged is noticed even if what follows happens to be whole.
fn checksum(len: u32, record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&len.to_le_bytes()), record)
}

/// Checks one framed record at the start of `bytes` and answers its content.
pub fn parse_frame(bytes: &[u8]) -> Option<&[u8]> {
    let (header, rest) = bytes.split_first_chunk::<FRAME_HEADER_BYTES>()?;
    let (len, sum) = split_header(*header);
    let record = rest.get(..len as usize)?;
    (checksum(len, record) == sum).then_some(record)
}

fn split_header(header: [u8; FRAME_HEADER_BYTES]) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = header;
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}

/// What a [`FrameReader`] found next.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A whole record that starts (with its frame) at `offset`.
    Record {
        /// Where the frame starts in the file.
        offset: u64,
        /// The content.
        record: &'a [u8],
    },
    /// One damaged record, followed by a whole one: only it is lost.
    Damaged {
        /// Where the frame starts in the file.
        offset: u64,
        /// Bytes of the frame.
        bytes: u64,
    },
    /// From `offset` to the end of the file there is no whole record: a torn tail, or damage that took the lengths.
    Torn {
        /// Where the first bad frame starts.
        offset: u64,
        /// Bytes from there to the end.
        bytes: u64,
    },
    /// The file ends after a whole record.
    End,
}

/// Reads framed records one after the other with a bounded buffer.
#[derive(Debug)]
pub struct FrameReader<'a> {
    file: &'a dyn FsFile,
    file_len: u64,
    /// File offset of `buffer[0]`.
    buffer_start: u64,
    buffer: Vec<u8>,
    /// File offset of the next frame.
    next: u64,
}

impl<'a> FrameReader<'a> {
    /// Starts at `offset` of a file.
    ///
    /// # Errors
    /// When the file's length cannot be read.
    pub fn new(file: &'a dyn FsFile, offset: u64) -> io::Result<Self> {
        let file_len = file.len()?;
        Ok(Self { file, file_len, buffer_start: offset, buffer: Vec::new(), next: offset })
    }

    /// Where the next frame starts.
    pub fn offset(&self) -> u64 {
        self.next
    }

    /// The next record, or what is there instead of one.
    ///
    /// # Errors
    /// When the file cannot be read; damage is no error but an answer.
    pub fn next_frame(&mut self) -> io::Result<Frame<'_>> {
        let offset = self.next;
        if offset >= self.file_len {
            return Ok(Frame::End);
        }
        let torn = Frame::Torn { offset, bytes: self.file_len - offset };
        let Some(len) = self.frame_len_at(offset)? else { return Ok(torn) };
        let whole = self.frame_is_whole(offset, len)?;
        let end = offset + len as u64;
        if !whole {
            // One bad record in the middle of good ones costs only itself. Torn writes do not look like this: what
            // follows them is not a whole record.
            let next_is_whole = match self.frame_len_at(end)? {
                Some(next_len) => self.frame_is_whole(end, next_len)?,
                None => false,
            };
            if !next_is_whole {
                return Ok(torn);
            }
            self.next = end;
            return Ok(Frame::Damaged { offset, bytes: len as u64 });
        }
        self.next = end;
        let at = self.position(offset);
        Ok(Frame::Record { offset, record: &self.buffer[at + FRAME_HEADER_BYTES..at + len] })
    }

    /// Whole length of the frame at `offset`, if there is room for one.
    fn frame_len_at(&mut self, offset: u64) -> io::Result<Option<usize>> {
        if self.file_len.saturating_sub(offset) < FRAME_HEADER_BYTES as u64 {
            return Ok(None);
        }
        self.load(offset, FRAME_HEADER_BYTES)?;
        let at = self.position(offset);
        let header = self.buffer[at..].first_chunk::<FRAME_HEADER_BYTES>().expect("loaded above");
        let len = split_header(*header).0 as usize;
        let fits = len <= MAX_RECORD_BYTES && (len + FRAME_HEADER_BYTES) as u64 <= self.file_len - offset;
        Ok(fits.then_some(len + FRAME_HEADER_BYTES))
    }

    fn frame_is_whole(&mut self, offset: u64, len: usize) -> io::Result<bool> {
        self.load(offset, len)?;
        let at = self.position(offset);
        Ok(parse_frame(&self.buffer[at..at + len]).is_some())
    }

    fn position(&self, offset: u64) -> usize {
        usize::try_from(offset - self.buffer_start).expect("the buffer was loaded around this offset")
    }

    /// Makes `buffer` hold the `len` bytes at `offset`; the caller knows that the file has them. Bytes from the
    /// current frame on are kept, so that a look at the next frame does not lose this one.
    fn load(&mut self, offset: u64, len: usize) -> io::Result<()> {
        let buffer_end = self.buffer_start + self.buffer.len() as u64;
        if offset >= self.buffer_start && offset + len as u64 <= buffer_end {
            return Ok(());
        }
        let keep_from = self.next.min(offset);
        if keep_from > self.buffer_start && keep_from <= buffer_end {
            let drop = self.position(keep_from);
            self.buffer.drain(..drop);
            self.buffer_start = keep_from;
        }
        let have = self.buffer.len();
        let end = (offset + (len.max(READ_AHEAD_BYTES)) as u64).min(self.file_len);
        let want = usize::try_from(end - self.buffer_start).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.buffer.resize(want, 0);
        self.file.read_exact_at(&mut self.buffer[have..], self.buffer_start + have as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::fs::Fs;
    use crate::fs_twin::TwinFs;

    fn file_of(bytes: &[u8]) -> Box<dyn FsFile> {
        let file = TwinFs::new().create_new(Path::new("/f")).unwrap();
        file.append(bytes).unwrap();
        file
    }

    fn read_all(bytes: &[u8]) -> (Vec<Vec<u8>>, Vec<u64>, Option<u64>) {
        let file = file_of(bytes);
        let mut reader = FrameReader::new(&*file, 0).unwrap();
        let (mut records, mut damaged) = (Vec::new(), Vec::new());
        loop {
            match reader.next_frame().unwrap() {
                Frame::Record { record, .. } => records.push(record.to_vec()),
                Frame::Damaged { offset, .. } => damaged.push(offset),
                Frame::Torn { offset, .. } => return (records, damaged, Some(offset)),
                Frame::End => return (records, damaged, None),
            }
        }
    }

    fn sample() -> (Vec<Vec<u8>>, Vec<u8>, Vec<usize>) {
        // The second record is larger than the read-ahead, so that the buffer has to grow and to slide.
        let records = vec![b"a".to_vec(), vec![7; READ_AHEAD_BYTES + 10], Vec::new(), b"last".to_vec()];
        let (mut bytes, mut starts) = (Vec::new(), Vec::new());
        for record in &records {
            starts.push(bytes.len());
            push_frame(&mut bytes, record);
        }
        (records, bytes, starts)
    }

    #[test]
    fn round_trip() {
        let (records, bytes, _) = sample();
        assert_eq!(read_all(&bytes), (records, vec![], None));
        assert_eq!(read_all(&[]), (vec![], vec![], None));
    }

    #[test]
    fn a_cut_keeps_the_whole_records_before_it() {
        let (records, bytes, starts) = sample();
        for cut in
            [1, 8, 9, 10, 17, 5000, starts[2] - 1, starts[2], starts[2] + 3, starts[3] + 9, bytes.len() - 1]
        {
            let (got, damaged, torn) = read_all(&bytes[..cut]);
            let whole = starts.iter().skip(1).filter(|&&end| end <= cut).count();
            assert_eq!(got, records[..whole], "cut at {cut}");
            assert!(damaged.is_empty());
            assert_eq!(torn.is_none(), starts.contains(&cut), "cut at {cut}");
        }
    }

    #[test]
    fn a_flipped_byte_costs_one_record_unless_it_hits_the_length() {
        let (records, bytes, starts) = sample();
        let mut flipped = bytes.clone();
        flipped[starts[1] + 100] ^= 1;
        let (got, damaged, torn) = read_all(&flipped);
        assert_eq!(got, [&records[..1], &records[2..]].concat());
        assert_eq!((damaged, torn), (vec![starts[1] as u64], None));

        let mut flipped = bytes;
        flipped[starts[1]] ^= 1;
        let (got, damaged, torn) = read_all(&flipped);
        assert_eq!(got, records[..1]);
        assert_eq!((damaged, torn), (vec![], Some(starts[1] as u64)));
    }

    #[test]
    fn zeros_are_torn_not_records() {
        assert_eq!(read_all(&[0; 64]), (vec![], vec![], Some(0)));
    }
}
