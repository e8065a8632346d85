//! A column of floats as whole numbers: as decimals (12.34 is 1234 and an exponent), where that gives back every bit, or
//! else as the bits themselves in the order of the numbers.
//!
//! What monitoring measures was printed with a few digits, so most columns are decimals: the idea of ALP (Afroozeh and
//! Boncz, "ALP: Adaptive Lossless floating-Point Compression", SIGMOD 2023). Values that do not fit (NaN, -0, infinities, a
//! few with more digits) are kept beside the column as exceptions.

use std::ops::Range;

use cairn_promql::source::{NORMAL_NAN_BITS, STALE_NAN_BITS};

use super::ints::{IntDecoder, IntEncoder};
use crate::codec::{Malformed, Reader, put_len};

const BAD: Malformed = Malformed("column of floats");

/// Bits 0 and 1 of the head: how whole numbers become floats.
const KIND_MASK: u8 = 3;
/// Exceptions follow.
const HAS_EXCEPTIONS: u8 = 1 << 2;
/// Where the exponent starts in the head.
const EXPONENT_SHIFT: u32 = 3;

/// Ten to the power of the exponent is exact, and a float of 17 digits after the point has no more to say.
const MAX_EXPONENT: usize = 17;

const POWERS: [f64; MAX_EXPONENT + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17];

/// The floats nearest to 0.1, 0.01 and so on.
const FRACTIONS: [f64; MAX_EXPONENT + 1] = [
    1e0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14, 1e-15,
    1e-16, 1e-17,
];

/// Numbers below it have at least one bit to spare, so that adding [`ROUNDER`] rounds them.
const MAX_DECIMAL: f64 = (1u64 << 51) as f64;

/// As [`MAX_DECIMAL`], for columns whose decimals are only nearly right: a number with more digits is near to one by chance.
const MAX_NEAR: f64 = (1u64 << 44) as f64;

/// So many floats may lie between a value and the decimal that it is nearly.
const MAX_DISTANCE: u64 = 8;

/// Added and subtracted again, it rounds to a whole number: at this size the last bit of a float is worth 1.
const ROUNDER: f64 = (3u64 << 51) as f64;

/// Numbers from the negative of this on and below it can be added to the bits of [`ROUNDER`].
const MAX_SMALL: i64 = 1 << 51;

/// One value in so many may be an exception.
const EXCEPTION_SHARE: usize = 16;

const EXCEPTION_RAW: u8 = 0;
const EXCEPTION_STALE: u8 = 1;
const EXCEPTION_NAN: u8 = 2;

/// How whole numbers become floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Divided by ten to the power of the exponent: what a parser makes of a decimal's text.
    Divided = 0,
    /// Multiplied with 0.1, 0.01 and so on: what programs make of milliseconds when they multiply with 0.001.
    Multiplied = 1,
    /// Divided, and then so many floats up or down, which a second column says: sums, and what was divided twice.
    Near = 2,
    /// Bits of the floats in the order of the numbers.
    Bits = 3,
}

impl Kind {
    fn from_head(head: u8) -> Self {
        match head & KIND_MASK {
            0 => Self::Divided,
            1 => Self::Multiplied,
            2 => Self::Near,
            _ => Self::Bits,
        }
    }
}

/// Memory that encoding needs, kept from column to column.
#[derive(Debug, Default)]
pub struct FloatEncoder {
    ints: Vec<i64>,
    /// Distances in floats, of [`Kind::Near`].
    distances: Vec<i64>,
    exceptions: Vec<(usize, u64)>,
    encoder: IntEncoder,
}

impl FloatEncoder {
    /// Appends the encoded column to `out`.
    pub fn encode(&mut self, values: &[f64], out: &mut Vec<u8>) {
        let found = [Kind::Divided, Kind::Multiplied, Kind::Near]
            .into_iter()
            .find_map(|kind| Some((kind, self.fit_decimals(values, kind)?)));
        let (kind, exponent) = match found {
            Some((kind, exponent)) => (kind, u8::try_from(exponent).expect("at most 17")),
            None => {
                self.take_ordered_bits(values);
                (Kind::Bits, 0)
            }
        };
        let mut head = kind as u8 | exponent << EXPONENT_SHIFT;
        if !self.exceptions.is_empty() {
            head |= HAS_EXCEPTIONS;
        }
        out.push(head);
        if !self.exceptions.is_empty() {
            put_exceptions(&self.exceptions, out);
        }
        self.encoder.encode(&self.ints, true, out);
        if kind == Kind::Near {
            self.encoder.encode(&self.distances, true, out);
        }
    }

    /// Fills `ints`, `distances` and `exceptions`; `None` when too many values are no decimals of this kind.
    fn fit_decimals(&mut self, values: &[f64], kind: Kind) -> Option<usize> {
        match kind {
            Kind::Divided => {
                self.fit_decimals_by(values, |value, exponent| Some((divided(value, exponent)?, 0)))
            }
            Kind::Multiplied => {
                self.fit_decimals_by(values, |value, exponent| Some((multiplied(value, exponent)?, 0)))
            }
            _ => self.fit_decimals_by(values, near),
        }
    }

    fn fit_decimals_by(
        &mut self,
        values: &[f64],
        decimal: impl Fn(f64, usize) -> Option<(i64, i64)>,
    ) -> Option<usize> {
        let max_exceptions = values.len() / EXCEPTION_SHARE;
        let mut exponent = 0;
        let mut n_exceptions = 0;
        for &value in values {
            if decimal(value, exponent).is_none() {
                match (exponent + 1..=MAX_EXPONENT).find(|&more| decimal(value, more).is_some()) {
                    Some(more) => exponent = more,
                    None => {
                        n_exceptions += 1;
                        if n_exceptions > max_exceptions {
                            return None;
                        }
                    }
                }
            }
        }
        self.ints.clear();
        self.distances.clear();
        self.exceptions.clear();
        let mut last = (0, 0);
        for (at, &value) in values.iter().enumerate() {
            match decimal(value, exponent) {
                Some(int) => last = int,
                None => {
                    self.exceptions.push((at, value.to_bits()));
                    if self.exceptions.len() > max_exceptions {
                        return None;
                    }
                }
            }
            self.ints.push(last.0);
            self.distances.push(last.1);
        }
        Some(exponent)
    }

    fn take_ordered_bits(&mut self, values: &[f64]) {
        self.ints.clear();
        self.exceptions.clear();
        let mut last = 0;
        for (at, &value) in values.iter().enumerate() {
            let bits = value.to_bits();
            if bits == STALE_NAN_BITS || bits == NORMAL_NAN_BITS {
                self.exceptions.push((at, bits));
            } else {
                last = ordered(bits.cast_signed());
            }
            self.ints.push(last);
        }
    }
}

fn put_exceptions(exceptions: &[(usize, u64)], out: &mut Vec<u8>) {
    put_len(out, exceptions.len());
    let mut next = 0;
    for &(at, bits) in exceptions {
        put_len(out, at - next);
        next = at + 1;
        match bits {
            STALE_NAN_BITS => out.push(EXCEPTION_STALE),
            NORMAL_NAN_BITS => out.push(EXCEPTION_NAN),
            _ => {
                out.push(EXCEPTION_RAW);
                out.extend_from_slice(&bits.to_le_bytes());
            }
        }
    }
}

fn read_exceptions(reader: &mut Reader<'_>, n: usize) -> Result<Vec<(usize, u64)>, Malformed> {
    let n_exceptions = reader.count_up_to(n)?;
    let mut exceptions = Vec::with_capacity(n_exceptions);
    let mut next = 0;
    for _ in 0..n_exceptions {
        let at = next + reader.count_up_to(n)?;
        let bits = match reader.byte()? {
            EXCEPTION_STALE => STALE_NAN_BITS,
            EXCEPTION_NAN => NORMAL_NAN_BITS,
            EXCEPTION_RAW => reader.u64_le()?,
            _ => return Err(BAD),
        };
        if at >= n {
            return Err(BAD);
        }
        exceptions.push((at, bits));
        next = at + 1;
    }
    Ok(exceptions)
}

/// The whole number nearest to `value` times ten to the power of `exponent`.
#[inline]
fn rounded(value: f64, exponent: usize, limit: f64) -> Option<i64> {
    let product = value * POWERS[exponent];
    #[expect(clippy::cast_possible_truncation, reason = "far below 2^63")]
    (product.abs() < limit).then_some((product + ROUNDER - ROUNDER) as i64)
}

/// The whole number from which dividing by ten to the power of `exponent` gives back every bit.
#[inline]
fn divided(value: f64, exponent: usize) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "what does not come back is refused")]
    let int = if exponent == 0 { value as i64 } else { rounded(value, exponent, MAX_DECIMAL)? };
    (divide(int, exponent).to_bits() == value.to_bits()).then_some(int)
}

#[inline]
fn multiplied(value: f64, exponent: usize) -> Option<i64> {
    let int = rounded(value, exponent, MAX_DECIMAL)?;
    (multiply(int, exponent).to_bits() == value.to_bits()).then_some(int)
}

/// The whole number, and how many floats there are from what dividing gives to the value.
#[inline]
fn near(value: f64, exponent: usize) -> Option<(i64, i64)> {
    let int = rounded(value, exponent, MAX_NEAR)?;
    let distance = ordered(value.to_bits().cast_signed())
        .wrapping_sub(ordered(divide(int, exponent).to_bits().cast_signed()));
    (distance.unsigned_abs() <= MAX_DISTANCE).then_some((int, distance))
}

/// The float nearest to the decimal, since a quotient of two floats is rounded once.
#[inline]
#[expect(clippy::cast_precision_loss, reason = "checked when the column is written")]
fn divide(int: i64, exponent: usize) -> f64 {
    int as f64 / POWERS[exponent]
}

#[inline]
#[expect(clippy::cast_precision_loss, reason = "checked when the column is written")]
fn multiply(int: i64, exponent: usize) -> f64 {
    int as f64 * FRACTIONS[exponent]
}

/// Bits of floats as numbers that ascend as the floats do; undoes itself.
#[inline]
fn ordered(bits: i64) -> i64 {
    bits ^ (bits >> 63).cast_unsigned().wrapping_shr(1).cast_signed()
}

/// What decoding tells beside the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes that the column took.
    pub n_bytes: usize,
    /// Whether none of the values is a staleness marker; false where that is not sure.
    pub has_no_markers: bool,
}

/// Reads columns, with memory that is kept from one to the next.
#[derive(Debug, Default)]
pub struct FloatDecoder {
    ints: Vec<i64>,
    decoder: IntDecoder,
}

impl FloatDecoder {
    /// The decoder of whole numbers, for columns beside these.
    pub fn of_ints(&mut self) -> &mut IntDecoder {
        &mut self.decoder
    }

    /// Reads a column of `n` values and appends those at `wanted` to `out`.
    ///
    /// # Errors
    /// [`Malformed`] when these are not `n` values; what was appended is of no use then.
    pub fn decode(
        &mut self,
        bytes: &[u8],
        n: usize,
        wanted: Range<usize>,
        out: &mut Vec<f64>,
    ) -> Result<Decoded, Malformed> {
        let Self { ints, decoder } = self;
        let mut reader = Reader::new(bytes, "column of floats");
        let head = reader.byte()?;
        let exponent = usize::from(head >> EXPONENT_SHIFT);
        if exponent > MAX_EXPONENT {
            return Err(BAD);
        }
        let exceptions =
            if head & HAS_EXCEPTIONS != 0 { read_exceptions(&mut reader, n)? } else { Vec::new() };
        ints.clear();
        let mut rest = reader.rest();
        let decoded = decoder.decode(rest, n, wanted.clone(), ints)?;
        rest = &rest[decoded.n_bytes..];
        let start = out.len();
        let from_ordered = |int: i64| f64::from_bits(ordered(int).cast_unsigned());
        let numbers = &*ints;
        let kind = Kind::from_head(head);
        match kind {
            Kind::Bits => out.extend(numbers.iter().map(|&int| from_ordered(int))),
            Kind::Divided if exponent == 0 => extend_converted(out, numbers, |float| float),
            Kind::Divided | Kind::Near => extend_divided(out, numbers, exponent, decoded.has_runs),
            Kind::Multiplied => {
                let fraction = FRACTIONS[exponent];
                extend_converted(out, numbers, |float| float * fraction);
            }
        }
        if kind == Kind::Near {
            ints.clear();
            rest = &rest[decoder.decode(rest, n, wanted.clone(), ints)?.n_bytes..];
            for (value, &distance) in out[start..].iter_mut().zip(ints.iter()) {
                *value = from_ordered(ordered(value.to_bits().cast_signed()).wrapping_add(distance));
            }
        }
        let may_be_marker = |&(at, bits): &(usize, u64)| bits == STALE_NAN_BITS && wanted.contains(&at);
        // What else can make any bits of a damaged column may make those of a marker, too.
        let is_sure = matches!(kind, Kind::Divided | Kind::Multiplied);
        let has_no_markers = is_sure && !exceptions.iter().any(may_be_marker);
        for (at, bits) in exceptions {
            if wanted.contains(&at) {
                out[start + at - wanted.start] = f64::from_bits(bits);
            }
        }
        Ok(Decoded { n_bytes: bytes.len() - rest.len(), has_no_markers })
    }
}

/// Appends what `f` makes of the numbers as floats.
///
/// Processors without AVX-512 convert whole numbers of 64 bits one at a time. Small ones, as nearly all are, can be had several at a
/// time: added to the bits of [`ROUNDER`], whose last bit is worth 1, they are the float that is larger by that much.
#[inline]
#[expect(clippy::cast_precision_loss, reason = "checked when the column is written")]
fn extend_converted(out: &mut Vec<f64>, numbers: &[i64], f: impl Fn(f64) -> f64) {
    let reach = |int: i64| int.wrapping_add(MAX_SMALL).cast_unsigned();
    let are_small = numbers.iter().fold(0, |all, &int| all | reach(int)) < 2 * MAX_SMALL.cast_unsigned();
    if are_small {
        let rounder = ROUNDER.to_bits().cast_signed();
        let float = |int: i64| f64::from_bits(int.wrapping_add(rounder).cast_unsigned()) - ROUNDER;
        out.extend(numbers.iter().map(|&int| f(float(int))));
    } else {
        out.extend(numbers.iter().map(|&int| f(int as f64)));
    }
}

/// Appends quotients. Dividing takes longer than all else that is done here, and where numbers repeat it need not be done
/// again; where they do not, looking whether they do would cost more.
fn extend_divided(out: &mut Vec<f64>, numbers: &[i64], exponent: usize, has_runs: bool) {
    if !has_runs {
        let power = POWERS[exponent];
        return extend_converted(out, numbers, |float| float / power);
    }
    let Some(&first) = numbers.first() else { return };
    let mut last = (first, divide(first, exponent));
    out.extend(numbers.iter().map(|&int| {
        if int != last.0 {
            last = (int, divide(int, exponent));
        }
        last.1
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_numbers_become_the_same_floats() {
        let near = |n: i64| [n - 1, n, n + 1, -n - 1, -n, 1 - n];
        let mut numbers = vec![0, 1, -1, 15, -1000, i64::MAX, i64::MIN];
        numbers.extend([1 << 40, MAX_SMALL, 2 * MAX_SMALL, 1 << 53, 1 << 62].into_iter().flat_map(near));
        let alone = numbers.iter().map(|number| vec![*number]);
        let mixed = numbers.iter().map(|number| vec![*number, 0, 7, -3]);
        for numbers in alone.chain(mixed).chain([numbers.clone(), Vec::new()]) {
            let mut out = Vec::new();
            extend_converted(&mut out, &numbers, |float| float);
            let bits = |float: f64| float.to_bits();
            #[expect(clippy::cast_precision_loss, reason = "this is what is wanted")]
            let want: Vec<u64> = numbers.iter().map(|&number| bits(number as f64)).collect();
            assert_eq!(out.into_iter().map(bits).collect::<Vec<_>>(), want, "{numbers:?}");
        }
    }
}
