//! Names of blocks: ULIDs, so that a block keeps its name when it is written out for Prometheus or Thanos.

use std::fmt;
use std::str::FromStr;

/// Crockford's base 32, as the ULID specification takes it.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const TEXT_LEN: usize = 26;

/// 48 bits of time in milliseconds, 80 bits that make it unique; sorts by the time of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId(pub u128);

impl BlockId {
    /// A name for a block made at `now_ms`. `content` tells it from others of the same millisecond: an engine that
    /// knows no dice derives the rest from what is in the block.
    pub fn derive(now_ms: i64, content: &[u8]) -> Self {
        let time = u128::from(now_ms.max(0).cast_unsigned()) & ((1 << 48) - 1);
        let unique = xxhash_rust::xxh3::xxh3_128(content) & ((1 << 80) - 1);
        Self((time << 80) | unique)
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for index in (0..TEXT_LEN).rev() {
            let digit = usize::try_from((self.0 >> (5 * index)) & 31).expect("five bits");
            write!(f, "{}", char::from(ALPHABET[digit]))?;
        }
        Ok(())
    }
}

/// Not 26 digits of a ULID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a block name")]
pub struct NotABlockId;

impl FromStr for BlockId {
    type Err = NotABlockId;

    fn from_str(text: &str) -> Result<Self, NotABlockId> {
        // The first of 26 digits has only three bits.
        if text.len() != TEXT_LEN || text.as_bytes()[0] > b'7' {
            return Err(NotABlockId);
        }
        text.bytes()
            .try_fold(0u128, |value, byte| {
                let digit = ALPHABET.iter().position(|&letter| letter == byte)?;
                Some((value << 5) | digit as u128)
            })
            .map(Self)
            .ok_or(NotABlockId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trip() {
        for id in [0, 1, u128::MAX, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef] {
            assert_eq!(BlockId(id).to_string().parse(), Ok(BlockId(id)));
        }
        assert_eq!(BlockId(0).to_string(), "0".repeat(26));
        for bad in ["", "8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "0000000000000000000000000U", "wal"] {
            assert_eq!(bad.parse::<BlockId>(), Err(NotABlockId), "{bad}");
        }
    }

    #[test]
    fn sorts_by_time() {
        assert!(BlockId::derive(1000, b"z") < BlockId::derive(1001, b"a"));
        assert_ne!(BlockId::derive(1000, b"a"), BlockId::derive(1000, b"b"));
    }
}
