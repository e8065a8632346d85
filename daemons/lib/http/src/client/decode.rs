//! Decompressing answers under a cap.

use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;

/// Larger answers are decompressed off the async threads.
const INLINE_BYTES: usize = 32 * 1024;

pub(super) enum DecodeError {
    /// More than the cap came out.
    TooLarge,
    /// Broken, or an encoding that was not asked for.
    Bad(String),
}

/// Decodes `body` by its `Content-Encoding`, to at most `limit` bytes.
pub(super) async fn decode(encoding: &str, body: Bytes, limit: usize) -> Result<Bytes, DecodeError> {
    if encoding.eq_ignore_ascii_case("identity") {
        return Ok(body);
    }
    if !encoding.eq_ignore_ascii_case("gzip") {
        return Err(DecodeError::Bad(format!("encoding {encoding} was not asked for")));
    }
    if body.len() <= INLINE_BYTES {
        return gunzip(&body, limit);
    }
    let decoded = tokio::task::spawn_blocking(move || gunzip(&body, limit)).await;
    decoded.unwrap_or_else(|error| Err(DecodeError::Bad(error.to_string())))
}

fn gunzip(body: &[u8], limit: usize) -> Result<Bytes, DecodeError> {
    let mut out = Vec::new();
    let read = MultiGzDecoder::new(body).take(limit as u64 + 1).read_to_end(&mut out);
    match read {
        Ok(n_read) if n_read > limit => Err(DecodeError::TooLarge),
        Ok(_) => Ok(out.into()),
        Err(error) => Err(DecodeError::Bad(error.to_string())),
    }
}
