//! zstd with a limit on what comes out.

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

#[cfg(test)]
mod tests {
    use super::*;

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
