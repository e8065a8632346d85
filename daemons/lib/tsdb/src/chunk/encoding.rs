//! Which encodings there are, and their numbers on disk.

use crate::codec::Malformed;

/// Floats without start timestamps: Prometheus's own number, and its own bits.
pub const ENCODING_XOR: u8 = 1;
/// Native histograms, in the bits of `chunk/histogram.rs`. Numbers from 65 on are not Prometheus's.
pub const ENCODING_HISTOGRAM: u8 = 65;
/// Floats with start timestamps: `chunk/starts.rs`.
pub const ENCODING_XOR_STARTS: u8 = 66;
/// Columns of a block, whose times lie elsewhere: `chunk/column.rs`. Never in memory, so no `Encoding`.
pub const ENCODING_COLUMNS: u8 = 67;

/// How the samples of a chunk are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Floats.
    Xor,
    /// Floats with start timestamps.
    XorStarts,
    /// Native histograms, with or without start timestamps.
    Histogram,
}

impl Encoding {
    /// Its number on disk.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Xor => ENCODING_XOR,
            Self::XorStarts => ENCODING_XOR_STARTS,
            Self::Histogram => ENCODING_HISTOGRAM,
        }
    }

    /// The encoding with that number.
    ///
    /// # Errors
    /// [`Malformed`] when there is none.
    pub(crate) fn from_number(number: u8) -> Result<Self, Malformed> {
        [Self::Xor, Self::XorStarts, Self::Histogram]
            .into_iter()
            .find(|encoding| encoding.number() == number)
            .ok_or(Malformed("chunk of an unknown encoding"))
    }
}
