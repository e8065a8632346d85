//! zstd with a limit on what comes out.

use std::fmt;
use std::io::{self, Read};

/// Why bytes could not be decompressed.
#[derive(Debug, thiserror::Error)]
pub enum DecompressError {
    /// More would come out than the caller allows.
    #[error("decompresses to more than {limit} bytes")]
    TooLarge {
        /// The caller's limit.
        limit: usize,
    },
    /// Not zstd, or damaged.
    #[error("not a whole zstd frame")]
    Corrupt(#[source] io::Error),
}

/// Level for data that is written once and read often: past it, zstd grows slower much faster than it packs tighter.
pub const DEFAULT_LEVEL: i32 = 3;

/// Compresses into one frame that states its content's length.
///
/// # Errors
/// When zstd cannot allocate its tables.
pub fn compress(bytes: &[u8], level: i32) -> io::Result<Vec<u8>> {
    zstd::bulk::compress(bytes, level)
}

/// Decompresses at most `limit` bytes.
///
/// # Errors
/// [`DecompressError`]; nothing larger than `limit` is ever allocated.
pub fn decompress(bytes: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    let mut out = Vec::new();
    let decoder = zstd::stream::read::Decoder::with_buffer(bytes).map_err(DecompressError::Corrupt)?;
    if let Ok(Some(claimed)) = zstd::zstd_safe::get_frame_content_size(bytes) {
        // A frame that says the truth is decompressed without growing; one that lies costs no more than the limit.
        match usize::try_from(claimed) {
            Ok(claimed) if claimed <= limit => out.reserve_exact(claimed),
            _ => return Err(DecompressError::TooLarge { limit }),
        }
    }
    decoder.take(limit as u64 + 1).read_to_end(&mut out).map_err(DecompressError::Corrupt)?;
    if out.len() > limit {
        return Err(DecompressError::TooLarge { limit });
    }
    Ok(out)
}

/// Compresses one piece after the other with the same tables: for many small pieces, where making the tables would take
/// longer than compressing.
pub struct Compressor(zstd::bulk::Compressor<'static>);

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Compressor").finish()
    }
}

impl Compressor {
    /// A compressor of this level.
    ///
    /// # Errors
    /// When zstd cannot allocate its tables.
    pub fn new(level: i32) -> io::Result<Self> {
        Ok(Self(zstd::bulk::Compressor::new(level)?))
    }

    /// Appends one frame, which states its content's length, to `out`.
    ///
    /// # Errors
    /// When zstd cannot allocate; `out` is as it was.
    pub fn append(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let start = out.len();
        out.resize(start + zstd::zstd_safe::compress_bound(bytes.len()), 0);
        match self.0.compress_to_buffer(bytes, &mut out[start..]) {
            Ok(written) => {
                out.truncate(start + written);
                Ok(())
            }
            Err(error) => {
                out.truncate(start);
                Err(error)
            }
        }
    }
}

/// The counterpart of [`Compressor`], with a limit on what comes out.
pub struct Decompressor(zstd::bulk::Decompressor<'static>);

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Decompressor").finish()
    }
}

impl Decompressor {
    /// A decompressor.
    ///
    /// # Errors
    /// When zstd cannot allocate its tables.
    pub fn new() -> io::Result<Self> {
        Ok(Self(zstd::bulk::Decompressor::new()?))
    }

    /// Decompresses a frame that states its content's length into `out`, whose content is replaced.
    ///
    /// # Errors
    /// [`DecompressError`]; a frame that does not say how long its content is, is an error, too. Nothing larger than
    /// `limit` is ever allocated.
    pub fn decompress(
        &mut self,
        bytes: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), DecompressError> {
        out.clear();
        let claimed = match zstd::zstd_safe::get_frame_content_size(bytes) {
            Ok(Some(claimed)) => usize::try_from(claimed).unwrap_or(usize::MAX),
            Ok(None) | Err(_) => {
                return Err(DecompressError::Corrupt(io::ErrorKind::InvalidData.into()));
            }
        };
        if claimed > limit {
            return Err(DecompressError::TooLarge { limit });
        }
        out.resize(claimed, 0);
        let written =
            self.0.decompress_to_buffer(bytes, out.as_mut_slice()).map_err(DecompressError::Corrupt)?;
        out.truncate(written);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_that_are_kept_make_the_same_frames() {
        let mut compressor = Compressor::new(1).unwrap();
        let mut decompressor = Decompressor::new().unwrap();
        let mut out = Vec::new();
        for n in [0, 1, 100, 10_000] {
            let text = b"again ".repeat(n);
            let mut frame = b"kept".to_vec();
            compressor.append(&text, &mut frame).unwrap();
            assert_eq!(&frame[..4], b"kept");
            assert_eq!(decompress(&frame[4..], text.len()).unwrap(), text);
            decompressor.decompress(&frame[4..], text.len(), &mut out).unwrap();
            assert_eq!(out, text);
            if n > 0 {
                let small = decompressor.decompress(&frame[4..], text.len() - 1, &mut out);
                assert!(matches!(small, Err(DecompressError::TooLarge { .. })));
            }
            for len in 4..frame.len() {
                assert!(decompressor.decompress(&frame[4..len], 100_000, &mut out).is_err());
            }
        }
    }

    #[test]
    fn round_trip_up_to_the_limit() {
        let text = b"one line after another\n".repeat(1000);
        let packed = compress(&text, DEFAULT_LEVEL).unwrap();
        assert!(packed.len() < text.len() / 10);
        assert_eq!(decompress(&packed, text.len()).unwrap(), text);
        assert!(matches!(decompress(&packed, text.len() - 1), Err(DecompressError::TooLarge { .. })));
    }

    #[test]
    fn a_frame_without_length_is_capped_too() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        io::Write::write_all(&mut encoder, &[0; 100_000]).unwrap();
        let bomb = encoder.finish().unwrap();
        assert!(matches!(decompress(&bomb, 1000), Err(DecompressError::TooLarge { limit: 1000 })));
        assert_eq!(decompress(&bomb, 100_000).unwrap().len(), 100_000);
    }

    #[test]
    fn garbage_and_cuts_are_errors() {
        let packed = compress(b"hello hello hello", DEFAULT_LEVEL).unwrap();
        for len in 1..packed.len() {
            assert!(decompress(&packed[..len], 100).is_err(), "{len}");
        }
        assert!(decompress(b"no zstd at all", 100).is_err());
    }
}
