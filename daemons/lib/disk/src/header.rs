//! The first 16 bytes of every file: what it is, and in which version.

use std::path::{Path, PathBuf};

/// Bytes of the header.
pub const HEADER_BYTES: usize = 16;

/// Version of the containers that this crate lays around an engine's bytes (header, frames, checked file, segment).
pub const CONTAINER_VERSION: u16 = 1;

/// What a file holds: its kind and the version of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Eight bytes that name the kind of file, readable in a hex dump.
    pub magic: [u8; 8],
    /// Version that is written, and the highest that is read.
    pub version: u16,
    /// The lowest version that is read.
    pub oldest: u16,
}

/// Why a header was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// Not this kind of file.
    #[error("{path}: not a {expected} file (its first bytes are {found})", expected = .expected.escape_ascii(), found = .found.escape_ascii())]
    Magic {
        /// The file.
        path: PathBuf,
        /// The bytes that would have been right.
        expected: [u8; 8],
        /// The bytes that are there.
        found: Vec<u8>,
    },
    /// Written by a newer build, or by one so old that its files are no longer read.
    #[error(
        "{path}: format version {found}, {}, or move the file away",
        advice(*.found, *.min, *.max)
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The version it has.
        found: u16,
        /// The lowest version that is understood.
        min: u16,
        /// The highest version that is understood.
        max: u16,
    },
    /// The header itself is damaged.
    #[error("{path}: checksum mismatch in the header")]
    Checksum {
        /// The file.
        path: PathBuf,
    },
}

fn advice(found: u16, min: u16, max: u16) -> String {
    if found > 0 && found < min {
        format!("this build reads from {min} on; use the older build that wrote it")
    } else {
        format!("this build reads up to {max}; use the newer build that wrote it")
    }
}

impl Format {
    /// A kind of file of which every version from 1 to this one is read.
    pub const fn new(magic: [u8; 8], version: u16) -> Self {
        Self { magic, version, oldest: 1 }
    }

    /// The same, but what is older than this version is refused. For a format that was changed before its first
    /// release: its old files must not be taken for new ones.
    pub const fn reading_from(self, oldest: u16) -> Self {
        Self { oldest, ..self }
    }

    /// The header that this build writes.
    pub fn header(self) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(&self.magic);
        header[8..10].copy_from_slice(&self.version.to_le_bytes());
        header[10..12].copy_from_slice(&CONTAINER_VERSION.to_le_bytes());
        let sum = crc32c::crc32c(&header[..12]);
        header[12..].copy_from_slice(&sum.to_le_bytes());
        header
    }

    /// Checks the first bytes of a file and tells the version of its content.
    ///
    /// # Errors
    /// [`HeaderError`]: another kind of file, damaged, or of a version that is not read. The version is believed only
    /// after the checksum, so that a flipped bit never reads as "written by a newer build".
    pub fn check(self, path: &Path, bytes: &[u8]) -> Result<u16, HeaderError> {
        let Some((header, _)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Err(HeaderError::Magic {
                path: path.to_owned(),
                expected: self.magic,
                found: bytes.iter().take(8).copied().collect(),
            });
        };
        let sum = u32::from_le_bytes([header[12], header[13], header[14], header[15]]);
        let sum_holds = crc32c::crc32c(&header[..12]) == sum;
        if header[..8] != self.magic {
            return Err(HeaderError::Magic {
                path: path.to_owned(),
                expected: self.magic,
                found: header[..8].to_vec(),
            });
        }
        if !sum_holds {
            return Err(HeaderError::Checksum { path: path.to_owned() });
        }
        let version = u16::from_le_bytes([header[8], header[9]]);
        let container = u16::from_le_bytes([header[10], header[11]]);
        for (found, min, max) in [(container, 1, CONTAINER_VERSION), (version, self.oldest, self.version)] {
            if !(min..=max).contains(&found) {
                return Err(HeaderError::Version { path: path.to_owned(), found, min, max });
            }
        }
        Ok(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: Format = Format::new(*b"CAIRNTST", 3);

    #[test]
    fn own_header_and_older_versions_are_read() {
        let path = Path::new("f");
        assert_eq!(FORMAT.check(path, &FORMAT.header()).unwrap(), 3);
        assert_eq!(FORMAT.check(path, &Format::new(*b"CAIRNTST", 2).header()).unwrap(), 2);
    }

    #[test]
    fn newer_versions_are_refused_with_both_numbers() {
        let error = FORMAT.check(Path::new("d/f"), &Format::new(*b"CAIRNTST", 4).header()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "d/f: format version 4, this build reads up to 3; use the newer build that wrote it, or move the file away"
        );
    }

    #[test]
    fn versions_that_are_no_longer_read_are_refused_too() {
        let format = FORMAT.reading_from(2);
        assert_eq!(format.check(Path::new("f"), &Format::new(*b"CAIRNTST", 2).header()).unwrap(), 2);
        let error = format.check(Path::new("f"), &Format::new(*b"CAIRNTST", 1).header()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "f: format version 1, this build reads from 2 on; use the older build that wrote it, or move the file away"
        );
        let error = format.check(Path::new("f"), &Format::new(*b"CAIRNTST", 0).header()).unwrap_err();
        assert!(error.to_string().contains("format version 0, this build reads up to 3"), "{error}");
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for bit in 0..HEADER_BYTES * 8 {
            let mut bytes = FORMAT.header();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let error = FORMAT.check(Path::new("f"), &bytes).unwrap_err();
            assert!(!matches!(error, HeaderError::Version { .. }), "bit {bit}: {error}");
        }
        for len in 0..HEADER_BYTES {
            assert!(matches!(
                FORMAT.check(Path::new("f"), &FORMAT.header()[..len]),
                Err(HeaderError::Magic { .. })
            ));
        }
    }
}
