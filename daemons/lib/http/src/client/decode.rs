//! Decompressing answers under a cap.

use std::cell::RefCell;
use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use libdeflater::Decompressor;

/// Larger answers are decompressed off the async threads.
const INLINE_BYTES: usize = 32 * 1024;

/// How many bytes one byte of deflated data becomes at most.
const MAX_RATIO: usize = 1032;

/// Magic number and method of a gzip member.
const MEMBER_START: [u8; 3] = [0x1f, 0x8b, 8];

thread_local! {
    /// Its tables, 11 KiB, are worth keeping.
    static DECOMPRESSOR: RefCell<Decompressor> = RefCell::new(Decompressor::new());
}

#[derive(Debug)]
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
    if let Some(whole) = gunzip_at_once(body, limit) {
        return Ok(whole.into());
    }
    let mut out = Vec::new();
    let read = MultiGzDecoder::new(body).take((limit as u64).saturating_add(1)).read_to_end(&mut out);
    match read {
        Ok(n_read) if n_read > limit => Err(DecodeError::TooLarge),
        Ok(_) => Ok(out.into()),
        Err(error) => Err(DecodeError::Bad(error.to_string())),
    }
}

/// The way of nearly all answers: one gzip member, whose last bytes say truly how long its content is. That takes half the
/// time of decoding a stream. `None`: it is something else, which the stream has to sort out.
fn gunzip_at_once(body: &[u8], limit: usize) -> Option<Vec<u8>> {
    let claimed = usize::try_from(u32::from_le_bytes(*body.last_chunk()?)).ok()?;
    // A claim is not believed beyond what the format can hold.
    if claimed > limit || claimed > body.len().saturating_mul(MAX_RATIO) {
        return None;
    }
    // The decoder stops behind the first member and does not say where that was.
    if memchr::memmem::find(body.get(1..)?, &MEMBER_START).is_some() {
        return None;
    }
    let mut out = vec![0; claimed];
    let n = DECOMPRESSOR.with_borrow_mut(|decompressor| decompressor.gzip_decompress(body, &mut out)).ok()?;
    (n == claimed).then_some(out)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn decoded(body: &[u8], limit: usize) -> Option<Vec<u8>> {
        gunzip(body, limit).ok().map(|bytes| bytes.to_vec())
    }

    #[test]
    fn whole_members_take_the_short_way() {
        let content = b"abc ".repeat(10_000);
        let body = gzip(&content);
        assert_eq!(gunzip_at_once(&body, content.len()), Some(content.clone()));
        assert_eq!(decoded(&body, content.len()), Some(content.clone()));
        assert!(matches!(gunzip(&body, content.len() - 1), Err(DecodeError::TooLarge)));
        assert_eq!(decoded(&gzip(b""), 0), Some(Vec::new()));
    }

    #[test]
    fn several_members_are_one_content() {
        for (first, second) in [("one", "two"), ("same", "same"), ("", ""), ("much longer", "")] {
            let body = [gzip(first.as_bytes()), gzip(second.as_bytes())].concat();
            assert_eq!(gunzip_at_once(&body, 100), None);
            assert_eq!(decoded(&body, 100), Some([first, second].concat().into_bytes()));
        }
    }

    #[test]
    fn what_is_broken_is_refused() {
        let body = gzip(&b"abc ".repeat(1000));
        for end in 0..body.len() {
            assert_eq!(decoded(&body[..end], 1 << 20), None, "cut at {end}");
        }
        for at in 0..body.len() {
            let mut flipped = body.clone();
            flipped[at] ^= 0x10;
            // What the header says besides magic and method is not checked by anybody.
            let is_harmless = (3..10).contains(&at);
            assert!(is_harmless || decoded(&flipped, 1 << 20).is_none(), "flipped at {at}");
        }
        let trailing = [&body[..], b"more"].concat();
        assert_eq!(decoded(&trailing, 1 << 20), None);
        let liar = [&body[..body.len() - 4], &u32::MAX.to_le_bytes()].concat();
        assert_eq!(decoded(&liar, usize::MAX), None);
    }
}
