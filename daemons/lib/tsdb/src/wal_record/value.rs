//! One float as what distinguishes it from the value before it in its series.
//!
//! Most values of a fleet are what they were, whole numbers that grow a little, or decimals with few digits, as programs
//! print them. Those become a difference of whole numbers, in units of a power of ten. The idea of scaling decimals is in
//! Afroozeh, Kuffo and Boncz, "ALP: Adaptive Lossless floating-Point Compression", SIGMOD 2023; the rest are XORed.

use cairn_promql::source::STALE_NAN_BITS;

use crate::codec::{Malformed, Reader, put_varint};

/// The value is the one before.
const SAME: u8 = 0;
/// The difference of whole numbers of 1; the following classes have units of a tenth, a hundredth, and so on.
const UNITS: u8 = 1;
/// What is left of an XOR with the value before, without the zero bytes at its ends.
const XOR: u8 = 11;
/// The series ended.
const STALE: u8 = 12;

/// Exact as floats, and so are the whole numbers below 2^53 that they multiply or divide.
const POWERS: [f64; 10] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// Whole numbers beyond are not told apart by floats.
const MAX_WHOLE: u64 = 1 << 53;

/// The nearest whole number of these units; saturates, and a NaN is 0. All that matters is that reader and writer agree.
#[expect(clippy::cast_possible_truncation, reason = "saturating is what is wanted")]
fn scaled(bits: u64, power: f64) -> i64 {
    let scaled = f64::from_bits(bits) * power;
    (scaled + 0.5f64.copysign(scaled)) as i64
}

#[expect(clippy::cast_precision_loss, reason = "checked against the bits that must come out")]
fn unscaled(whole: i64, power: f64) -> u64 {
    (whole as f64 / power).to_bits()
}

/// Appends what makes `bits` of `previous`; answers the class, which is at most 15.
pub(super) fn write(payload: &mut Vec<u8>, previous: u64, bits: u64) -> u8 {
    if bits == previous {
        return SAME;
    }
    if bits == STALE_NAN_BITS {
        return STALE;
    }
    for (class, &power) in (UNITS..).zip(&POWERS) {
        let whole = scaled(bits, power);
        if whole.unsigned_abs() > MAX_WHOLE {
            break;
        }
        if unscaled(whole, power) == bits {
            put_varint(payload, whole.wrapping_sub(scaled(previous, power)));
            return class;
        }
    }
    let xor = bits ^ previous;
    let trailing = xor.trailing_zeros() / 8;
    let n_bytes = 8 - xor.leading_zeros() / 8 - trailing;
    payload.push(u8::try_from(trailing << 4 | n_bytes).expect("at most 7 and 8"));
    payload.extend_from_slice(&(xor >> (8 * trailing)).to_le_bytes()[..n_bytes as usize]);
    XOR
}

/// The counterpart of [`write`].
pub(super) fn read(class: u8, payload: &mut Reader<'_>, previous: u64) -> Result<u64, Malformed> {
    match class {
        SAME => Ok(previous),
        STALE => Ok(STALE_NAN_BITS),
        XOR => {
            let shape = payload.byte()?;
            let (trailing, n_bytes) = (u32::from(shape >> 4), usize::from(shape & 15));
            if trailing as usize + n_bytes > 8 || n_bytes == 0 {
                return Err(payload.malformed());
            }
            let mut significant = [0; 8];
            significant[..n_bytes].copy_from_slice(payload.take(n_bytes)?);
            Ok(previous ^ (u64::from_le_bytes(significant) << (8 * trailing)))
        }
        _ => {
            let power = POWERS.get(usize::from(class - UNITS)).ok_or(payload.malformed())?;
            Ok(unscaled(payload.varint()?.wrapping_add(scaled(previous, *power)), *power))
        }
    }
}

#[cfg(test)]
mod tests {
    use cairn_promql::source::NORMAL_NAN_BITS;
    use proptest::prelude::*;

    use super::*;

    fn round_trip(previous: u64, bits: u64) -> usize {
        let mut payload = Vec::new();
        let class = write(&mut payload, previous, bits);
        assert!(class < 16);
        let mut reader = Reader::new(&payload, "test");
        assert_eq!(read(class, &mut reader, previous), Ok(bits), "class {class} after {previous:x}");
        assert!(reader.is_empty());
        for len in 0..payload.len() {
            assert!(read(class, &mut Reader::new(&payload[..len], "test"), previous).is_err());
        }
        payload.len()
    }

    #[test]
    fn every_kind_of_float_comes_back_bit_for_bit() {
        let floats = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.1,
            0.3,
            1234.56,
            -99.99,
            1e15,
            1e16,
            1e300,
            f64::MIN_POSITIVE,
            5e-324,
            f64::MAX,
            f64::INFINITY,
            f64::NEG_INFINITY,
            9_007_199_254_740_993.0,
            1_795_225_693.185_123,
            std::f64::consts::PI,
        ];
        let mut all: Vec<u64> = floats.iter().map(|float: &f64| float.to_bits()).collect();
        all.extend([STALE_NAN_BITS, NORMAL_NAN_BITS, u64::MAX, 1, 0x7ff0_0000_0000_0001]);
        for &previous in &all {
            for &bits in &all {
                round_trip(previous, bits);
            }
        }
    }

    #[test]
    fn usual_values_are_short() {
        for (previous, value, at_most) in [
            (5.0, 5.0, 0),
            (1e9, 1e9 + 50.0, 1),
            (2e12, 2e12 + 4096.0, 2),
            (1234.56, 1239.31, 2),
            (0.07, 0.12, 1),
        ] {
            let bytes = round_trip(f64::to_bits(previous), f64::to_bits(value));
            assert!(bytes <= at_most, "{previous} {value}: {bytes}");
        }
    }

    proptest! {
        #[test]
        fn any_bits_come_back(previous: u64, bits: u64) {
            round_trip(previous, bits);
        }

        #[test]
        fn any_decimal_comes_back(previous in -1_000_000i64..1_000_000, next in any::<i64>(), digits in 0usize..10) {
            #[expect(clippy::cast_precision_loss, reason = "any float will do")]
            let float = |whole: i64| (whole as f64 / POWERS[digits]).to_bits();
            round_trip(float(previous), float(next));
        }

        #[test]
        fn garbage_is_refused_or_read(class in 0u8..16, payload: Vec<u8>, previous: u64) {
            let _ = read(class, &mut Reader::new(&payload, "test"), previous);
        }
    }
}
