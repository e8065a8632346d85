//! `tombstones`: ranges of series that were deleted, but whose samples still lie in the block.

use std::collections::HashMap;
use std::path::Path;

use cairn_disk::Fs;

use crate::bytes::Reader;
use crate::error::PromBlockError;

const MAGIC: u32 = 0x0130_BA30;
const VERSION: u8 = 1;

/// The largest file that is read; an entry takes at least three bytes.
const MAX_TOMBSTONES_BYTES: u64 = 256 << 20;

/// The bytes of a file that says: nothing was deleted.
pub(crate) fn empty_file() -> Vec<u8> {
    let mut bytes = MAGIC.to_be_bytes().to_vec();
    bytes.push(VERSION);
    // The checksum covers the entries only, and that of nothing is 0.
    bytes.extend_from_slice(&crc32c::crc32c(&[]).to_be_bytes());
    bytes
}

/// What was deleted, by the number of the series in the index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tombstones {
    by_series: HashMap<u64, Vec<(i64, i64)>>,
}

impl Tombstones {
    /// Reads the file; one that is missing says that nothing was deleted.
    ///
    /// # Errors
    /// [`PromBlockError`]: unreadable or damaged. Then nobody knows what was deleted, so the block must not be taken as
    /// if nothing was.
    pub fn read(fs: &dyn Fs, path: &Path) -> Result<Self, PromBlockError> {
        if !fs.exists(path) {
            return Ok(Self::default());
        }
        let file = fs.open_read(path).map_err(PromBlockError::io("read", path))?;
        let len = file.len().map_err(PromBlockError::io("read", path))?;
        if len > MAX_TOMBSTONES_BYTES {
            let (what, limit) = ("bytes of tombstones", MAX_TOMBSTONES_BYTES);
            return Err(PromBlockError::TooLarge { path: path.to_owned(), what, limit });
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        file.read_exact_at(&mut bytes, 0).map_err(PromBlockError::io("read", path))?;
        let damaged = |offset: usize, what| PromBlockError::damaged(path, offset as u64, what);

        let mut head = Reader::new(&bytes, "tombstones");
        let (magic, version) = (head.u32_be(), head.take::<1>());
        if magic != Ok(MAGIC) {
            return Err(damaged(0, "not a file of tombstones"));
        }
        match version {
            Ok([VERSION]) => {}
            Ok([other]) => {
                let (what, found) = ("version of tombstones", u64::from(other));
                return Err(PromBlockError::Unknown { path: path.to_owned(), what, found });
            }
            Err(_) => return Err(damaged(4, "cut short")),
        }
        let Some((entries, sum)) = bytes[5..].split_last_chunk::<4>() else {
            return Err(damaged(5, "cut short"));
        };
        if crc32c::crc32c(entries) != u32::from_be_bytes(*sum) {
            return Err(damaged(5, "checksum mismatch"));
        }
        let mut by_series: HashMap<u64, Vec<(i64, i64)>> = HashMap::new();
        let mut reader = Reader::new(entries, "tombstone");
        while !reader.is_empty() {
            let offset = bytes.len() - 4 - reader.len();
            let mut entry = || Ok((reader.uvarint()?, reader.varint()?, reader.varint()?));
            let (series, from, to) =
                entry().map_err(|_: crate::error::Malformed| damaged(offset, "malformed tombstone"))?;
            by_series.entry(series).or_default().push((from, to));
        }
        Ok(Self { by_series })
    }

    /// Whether a sample of a series was deleted. Both ends of a range belong to it.
    pub fn covers(&self, series: u64, time_ms: i64) -> bool {
        self.of(series).iter().any(|&(from, to)| from <= time_ms && time_ms <= to)
    }

    /// The deleted ranges of a series, both ends inclusive.
    pub fn of(&self, series: u64) -> &[(i64, i64)] {
        self.by_series.get(&series).map_or(&[], Vec::as_slice)
    }

    /// Ranges in all.
    pub fn len(&self) -> usize {
        self.by_series.values().map(Vec::len).sum()
    }

    /// Whether nothing was deleted.
    pub fn is_empty(&self) -> bool {
        self.by_series.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use cairn_disk::TwinFs;

    use super::*;
    use crate::bytes::{put_uvarint, put_varint};

    fn read(bytes: &[u8]) -> Result<Tombstones, PromBlockError> {
        let fs = TwinFs::new();
        fs.create_new(Path::new("/t")).unwrap().append(bytes).unwrap();
        Tombstones::read(&fs, Path::new("/t"))
    }

    #[test]
    fn entries_are_read_and_damage_is_refused() {
        assert_eq!(empty_file(), [0x01, 0x30, 0xBA, 0x30, 1, 0, 0, 0, 0]);
        assert!(read(&empty_file()).unwrap().is_empty());
        let mut entries = Vec::new();
        for (series, from, to) in [(7, -5, 5), (7, 100, 200), (300, i64::MIN, i64::MAX)] {
            put_uvarint(&mut entries, series);
            put_varint(&mut entries, from);
            put_varint(&mut entries, to);
        }
        let mut bytes = empty_file()[..5].to_vec();
        bytes.extend_from_slice(&entries);
        bytes.extend_from_slice(&crc32c::crc32c(&entries).to_be_bytes());
        let tombstones = read(&bytes).unwrap();
        assert_eq!((tombstones.len(), tombstones.of(7).len()), (3, 2));
        assert!(tombstones.covers(7, 5) && !tombstones.covers(7, 6) && tombstones.covers(300, 6));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&flipped).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(read(&bytes[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn a_missing_file_deletes_nothing() {
        let fs = TwinFs::new();
        assert!(Tombstones::read(&fs, Path::new("/none")).unwrap().is_empty());
    }
}
