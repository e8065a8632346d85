//! Decompression of bodies that strangers send: every function takes the most bytes it may produce, and none
//! allocates more than that, whatever the body claims about itself.

use std::io::{self, Read};

/// Snappy's densest element copies 64 bytes by naming them in 3: a block cannot grow more than this. A header that
/// claims more is a lie, found before anything is allocated.
const SNAPPY_MAX_RATIO: usize = 22;
/// First allocation for streams whose length is not known beforehand.
const FIRST_BUFFER_BYTES: usize = 16 * 1024;

/// Why a body could not be decompressed. The text is what Loki answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecompressError {
    /// The body is not in snappy's block format.
    #[error("snappy: corrupt input")]
    Snappy,
    /// The body does not begin as gzip does.
    #[error("gzip: invalid header")]
    GzipHeader,
    /// The checksum behind the data does not fit.
    #[error("gzip: invalid checksum")]
    GzipChecksum,
    /// The compressed data make no sense.
    #[error("flate: corrupt input")]
    Flate,
    /// The body ends inside the data.
    #[error("unexpected EOF")]
    Truncated,
    /// The body holds more than the caller takes.
    #[error("request body too large: decompressed body exceeds {limit} bytes")]
    TooLarge {
        /// The caller's limit in bytes.
        limit: usize,
    },
}

/// Decompresses one snappy block (the raw format without frames, as Loki and Prometheus remote write use it).
///
/// # Errors
/// [`DecompressError::Snappy`] for anything malformed, [`DecompressError::TooLarge`] when the block holds more than
/// `limit` bytes.
pub fn snappy_block(block: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    let mut out = Vec::new();
    snappy_block_into(block, limit, &mut out)?;
    Ok(out)
}

/// [`snappy_block`] into memory that serves again and again; what was in `out` is gone, also after an error.
///
/// # Errors
/// As [`snappy_block`].
pub fn snappy_block_into(block: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), DecompressError> {
    let claimed = snap::raw::decompress_len(block).map_err(|_| DecompressError::Snappy)?;
    if block.is_empty() || claimed > block.len().saturating_mul(SNAPPY_MAX_RATIO) {
        return Err(DecompressError::Snappy);
    }
    if claimed > limit {
        return Err(DecompressError::TooLarge { limit });
    }
    // Only what is longer than before is zeroed: the decoder writes over all of it.
    out.resize(claimed, 0);
    let written = snap::raw::Decoder::new().decompress(block, out).map_err(|_| DecompressError::Snappy)?;
    if written != claimed {
        return Err(DecompressError::Snappy);
    }
    Ok(())
}

/// Decompresses gzip, also several members one after the other.
///
/// # Errors
/// [`DecompressError::GzipHeader`] when the body is no gzip, [`DecompressError::GzipChecksum`],
/// [`DecompressError::Flate`], [`DecompressError::Truncated`], and [`DecompressError::TooLarge`] over `limit`.
pub fn gzip(body: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    if body.is_empty() {
        return Err(DecompressError::Truncated);
    }
    if !body.starts_with(&[0x1f, 0x8b]) {
        return Err(DecompressError::GzipHeader);
    }
    read_capped(flate2::read::MultiGzDecoder::new(body), limit).map_err(|error| match error {
        DecompressError::GzipHeader => DecompressError::Flate,
        other => other,
    })
}

/// Decompresses `deflate` as it is found in the wild: zlib-wrapped (what the HTTP standard means) or raw (what Loki
/// takes). The two-byte zlib header decides: its checksum is right by chance for one raw stream in some hundreds,
/// and such a one is then read as raw after all.
///
/// # Errors
/// [`DecompressError::Flate`], [`DecompressError::Truncated`], and [`DecompressError::TooLarge`] over `limit`.
pub fn deflate(body: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    let has_zlib_header = matches!(body, [cmf, flags, ..]
        if cmf & 0x0f == 8 && cmf >> 4 <= 7 && (u16::from(*cmf) << 8 | u16::from(*flags)).is_multiple_of(31));
    if has_zlib_header {
        match read_capped(flate2::read::ZlibDecoder::new(body), limit) {
            Ok(out) => return Ok(out),
            Err(DecompressError::TooLarge { limit }) => return Err(DecompressError::TooLarge { limit }),
            Err(_) => {}
        }
    }
    read_capped(flate2::read::DeflateDecoder::new(body), limit)
}

fn read_capped(reader: impl Read, limit: usize) -> Result<Vec<u8>, DecompressError> {
    let mut out = Vec::with_capacity(FIRST_BUFFER_BYTES.min(limit));
    // One byte more than allowed tells "exactly the limit" from "over it".
    let cap = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(cap).read_to_end(&mut out).map_err(|error| classify(&error))?;
    if out.len() > limit {
        return Err(DecompressError::TooLarge { limit });
    }
    Ok(out)
}

/// flate2 reports through `io::Error`: kinds where it has them, its own words else.
fn classify(error: &io::Error) -> DecompressError {
    let text = error.to_string();
    if error.kind() == io::ErrorKind::UnexpectedEof {
        DecompressError::Truncated
    } else if text.contains("header") {
        DecompressError::GzipHeader
    } else if text.contains("checksum") {
        DecompressError::GzipChecksum
    } else {
        DecompressError::Flate
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use proptest::prelude::*;

    use super::*;

    const PLENTY: usize = 1 << 20;

    fn gzipped(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn snapped(data: &[u8]) -> Vec<u8> {
        snap::raw::Encoder::new().compress_vec(data).unwrap()
    }

    #[test]
    fn words_of_loki() {
        assert_eq!(snappy_block(b"{\"streams\"", PLENTY).unwrap_err().to_string(), "snappy: corrupt input");
        assert_eq!(snappy_block(b"", PLENTY).unwrap_err().to_string(), "snappy: corrupt input");
        assert_eq!(gzip(b"{\"streams\": []}", PLENTY).unwrap_err().to_string(), "gzip: invalid header");
        assert_eq!(gzip(b"", PLENTY), Err(DecompressError::Truncated));
        assert_eq!(snappy_block(&[0], PLENTY), Ok(Vec::new()));
    }

    #[test]
    fn limits_hold_at_the_byte() {
        let data = vec![b'x'; 5000];
        assert_eq!(snappy_block(&snapped(&data), 5000).unwrap(), data);
        assert_eq!(snappy_block(&snapped(&data), 4999), Err(DecompressError::TooLarge { limit: 4999 }));
        assert_eq!(gzip(&gzipped(&data), 5000).unwrap(), data);
        assert_eq!(gzip(&gzipped(&data), 4999), Err(DecompressError::TooLarge { limit: 4999 }));
    }

    #[test]
    fn snappy_header_that_lies_is_refused_before_allocating() {
        // Claims 4 GiB - 1 in six bytes.
        assert_eq!(
            snappy_block(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0x00], usize::MAX),
            Err(DecompressError::Snappy)
        );
    }

    #[test]
    fn deflate_raw_and_wrapped() {
        let data = b"the same text in both wrappings".repeat(20);
        let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), Compression::best());
        raw.write_all(&data).unwrap();
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), Compression::best());
        zlib.write_all(&data).unwrap();
        assert_eq!(deflate(&raw.finish().unwrap(), PLENTY).unwrap(), data);
        assert_eq!(deflate(&zlib.finish().unwrap(), PLENTY).unwrap(), data);
        assert!(deflate(b"\xff\xff\xff", PLENTY).is_err());
    }

    #[test]
    fn gzip_cut_short_and_with_a_wrong_checksum() {
        let whole = gzipped(&b"some text to compress".repeat(50));
        assert_eq!(gzip(&whole[..whole.len() - 9], PLENTY), Err(DecompressError::Truncated));
        let mut wrong = whole.clone();
        let at = whole.len() - 6;
        wrong[at] ^= 0x55;
        assert!(gzip(&wrong, PLENTY).is_err());
        let two = [whole.clone(), whole].concat();
        assert_eq!(gzip(&two, PLENTY).unwrap().len(), 2 * 21 * 50);
    }

    proptest! {
        #[test]
        fn round_trips(data in proptest::collection::vec(any::<u8>(), 0..4096)) {
            prop_assert_eq!(&snappy_block(&snapped(&data), PLENTY).unwrap(), &data);
            prop_assert_eq!(&gzip(&gzipped(&data), PLENTY).unwrap(), &data);
        }

        #[test]
        fn garbage_never_panics_and_stays_under_the_limit(data in proptest::collection::vec(any::<u8>(), 0..600)) {
            for out in [snappy_block(&data, 1000), gzip(&data, 1000), deflate(&data, 1000)].into_iter().flatten() {
                prop_assert!(out.len() <= 1000);
            }
        }
    }
}
