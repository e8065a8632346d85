//! A chunk's filter: which runs of four bytes occur in its lines. It answers "this text is certainly not here"
//! without decompressing anything; `FORMAT.md`, section 2.3.
//!
//! One bit per gram, at the gram's hash. A single hash instead of a Bloom filter's several, since a needle of n bytes
//! brings n-3 grams along, each of which must be there: at a quarter of the bits set, a needle of ten bytes that is
//! absent passes once in sixteen thousand chunks. Bits are collected in the largest size and then folded in half
//! (a hash's top bits choose the place, so halves are joined by neighbours) while at most a quarter would be set.

/// Bytes in a gram. Needles shorter than this cannot be looked up.
pub const GRAM_BYTES: usize = 4;
/// log2 of the bits of the largest filter: 128 KiB, an eighth of the default chunk.
pub const MAX_LOG2_BITS: u8 = 20;
/// log2 of the bits of the smallest filter.
pub const MIN_LOG2_BITS: u8 = 9;

/// The hash: the gram as little-endian number times this (2^32 divided by the golden ratio); top bits are the place.
pub const GRAM_FACTOR: u32 = 0x9E37_79B1;

/// Folding goes on while at most one bit in so many is set afterwards.
const FOLD_DENSITY: u32 = 4;
/// A filter with more than one bit in so many set even at the largest size prunes next to nothing: it is left out.
const USELESS_DENSITY: u32 = 2;

fn gram_hash(gram: [u8; GRAM_BYTES]) -> u32 {
    u32::from_le_bytes(gram).wrapping_mul(GRAM_FACTOR)
}

fn grams(text: &[u8]) -> impl Iterator<Item = u32> + '_ {
    text.windows(GRAM_BYTES).map(|gram| gram_hash([gram[0], gram[1], gram[2], gram[3]]))
}

/// Collects the grams of a chunk's lines.
#[derive(Debug)]
pub(crate) struct FilterBuilder {
    words: Vec<u64>,
}

impl FilterBuilder {
    pub(crate) fn new() -> Self {
        Self { words: vec![0; 1 << (MAX_LOG2_BITS - 6)] }
    }

    /// Adds the grams of one line.
    pub(crate) fn add(&mut self, line: &[u8]) {
        for hash in grams(line) {
            let bit = hash >> (32 - MAX_LOG2_BITS);
            self.words[(bit >> 6) as usize] |= 1 << (bit & 63);
        }
    }

    /// The folded filter: log2 of its bits, and its bytes. `(0, [])` when it would be of no use.
    pub(crate) fn build(mut self) -> (u8, Vec<u8>) {
        let mut log2 = MAX_LOG2_BITS;
        if count_ones(&self.words) > (1 << MAX_LOG2_BITS) / USELESS_DENSITY {
            return (0, Vec::new());
        }
        while log2 > MIN_LOG2_BITS {
            let folded = fold(&self.words);
            if count_ones(&folded) > (1 << (log2 - 1)) / FOLD_DENSITY {
                break;
            }
            self.words = folded;
            log2 -= 1;
        }
        (log2, self.words.iter().flat_map(|word| word.to_le_bytes()).collect())
    }
}

fn count_ones(words: &[u64]) -> u32 {
    words.iter().map(|word| word.count_ones()).sum()
}

/// Joins each pair of neighbouring bits into one.
fn fold(words: &[u64]) -> Vec<u64> {
    let (pairs, _) = words.as_chunks::<2>();
    pairs.iter().map(|[low, high]| fold_word(*low) | fold_word(*high) << 32).collect()
}

/// Bits 2i and 2i+1 become bit i of the lower half.
fn fold_word(word: u64) -> u64 {
    let mut x = (word | word >> 1) & 0x5555_5555_5555_5555;
    x = (x | x >> 1) & 0x3333_3333_3333_3333;
    x = (x | x >> 2) & 0x0f0f_0f0f_0f0f_0f0f;
    x = (x | x >> 4) & 0x00ff_00ff_00ff_00ff;
    x = (x | x >> 8) & 0x0000_ffff_0000_ffff;
    (x | x >> 16) & 0x0000_0000_ffff_ffff
}

/// Bytes of a filter with this log2 of bits; `None` for sizes that no writer makes.
pub(crate) fn filter_bytes(log2: u8) -> Option<usize> {
    match log2 {
        0 => Some(0),
        MIN_LOG2_BITS..=MAX_LOG2_BITS => Some(1 << (log2 - 3)),
        _ => None,
    }
}

/// Whether a needle is long enough to be looked up.
pub(crate) fn is_usable(needle: &[u8]) -> bool {
    needle.len() >= GRAM_BYTES
}

/// Whether a line with this needle may be in the chunk; false only when it certainly is not.
pub(crate) fn may_contain(log2: u8, filter: &[u8], needle: &[u8]) -> bool {
    log2 == 0
        || grams(needle).all(|hash| {
            let bit = hash >> (32 - u32::from(log2));
            filter.get((bit >> 3) as usize).is_none_or(|byte| byte >> (bit & 7) & 1 == 1)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_there_is_never_denied(lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..200)) {
            let mut builder = FilterBuilder::new();
            lines.iter().for_each(|line| builder.add(line));
            let (log2, filter) = builder.build();
            prop_assert_eq!(filter_bytes(log2), Some(filter.len()));
            for line in &lines {
                for len in [0, 1, 4, 9, 80] {
                    for part in line.windows(len.max(1)) {
                        prop_assert!(may_contain(log2, &filter, part));
                    }
                }
            }
        }
    }

    #[test]
    fn small_text_makes_a_small_filter_that_denies_most_of_what_is_absent() {
        let mut builder = FilterBuilder::new();
        for number in 0..100 {
            builder.add(format!("2026-11-21 GET /api/data/{number} 200").as_bytes());
        }
        let (log2, filter) = builder.build();
        assert!(log2 <= 11, "{log2}");
        assert!(may_contain(log2, &filter, b"api/data/77 2"));
        let passed =
            (0..1000).filter(|n| may_contain(log2, &filter, format!("request-{n}-failed").as_bytes()));
        assert!(passed.count() <= 1);
    }

    #[test]
    fn random_bytes_make_no_filter() {
        let mut builder = FilterBuilder::new();
        let mut state = 1u64;
        let noise: Vec<u8> = (0..2_000_000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        builder.add(&noise);
        assert_eq!(builder.build(), (0, Vec::new()));
    }

    #[test]
    fn folding_joins_neighbours() {
        assert_eq!(fold_word(0b1001), 0b11);
        assert_eq!(fold_word(u64::MAX), 0xffff_ffff);
        assert_eq!(fold_word(1 << 63), 1 << 31);
    }
}
