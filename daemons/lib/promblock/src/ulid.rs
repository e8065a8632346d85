//! Names of blocks: 48 bits of time, 80 bits that make them unique, in Crockford's base 32.

use std::fmt;
use std::str::FromStr;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const TEXT_LEN: usize = 26;

/// A name that sorts by its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ulid(pub u128);

impl Ulid {
    /// A name of a time and of what the block holds: the same content gets the same name again.
    pub fn derive(time_ms: i64, content: u128) -> Self {
        let time = u128::from(time_ms.max(0).cast_unsigned()) & ((1 << 48) - 1);
        Self((time << 80) | (content & ((1 << 80) - 1)))
    }
}

impl fmt::Display for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for index in (0..TEXT_LEN).rev() {
            let digit = ((self.0 >> (5 * index)) & 31) as usize;
            write!(f, "{}", char::from(ALPHABET[digit]))?;
        }
        Ok(())
    }
}

/// Not 26 digits of a ULID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a block")]
pub struct NotAUlid;

impl FromStr for Ulid {
    type Err = NotAUlid;

    fn from_str(text: &str) -> Result<Self, NotAUlid> {
        // The first of 26 digits has only three bits.
        if text.len() != TEXT_LEN || text.as_bytes()[0] > b'7' {
            return Err(NotAUlid);
        }
        text.bytes()
            .try_fold(0u128, |value, byte| {
                let digit = ALPHABET.iter().position(|&letter| letter == byte)?;
                Some((value << 5) | digit as u128)
            })
            .map(Self)
            .ok_or(NotAUlid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trip_and_order() {
        for id in [0, 1, u128::MAX, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef] {
            assert_eq!(Ulid(id).to_string().parse(), Ok(Ulid(id)));
        }
        for bad in ["", "8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "0000000000000000000000000U", "wal"] {
            assert_eq!(bad.parse::<Ulid>(), Err(NotAUlid), "{bad}");
        }
        assert!(Ulid::derive(1000, u128::MAX) < Ulid::derive(1001, 0));
        assert_eq!(Ulid::derive(1_700_000_000_000, 0).to_string(), "01HF7YAT000000000000000000");
    }
}
