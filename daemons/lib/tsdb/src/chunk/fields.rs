//! Numbers that change little from sample to sample, as bits: whole ones by deltas of deltas, floats by XOR.

use super::NO_WINDOW;
use super::bits::{BitReader, BitWriter};
use crate::codec::{unzigzag, zigzag};

/// Widths of what follows a prefix of so many ones (and a zero, but for the last). The steps are those of Prometheus's
/// histogram chunks: small differences are the usual case, 25 bits hold milliseconds of hours.
const WIDTHS: [u32; 8] = [3, 6, 9, 12, 18, 25, 56, 64];

/// Writes a signed number, the smaller the shorter; 0 takes one bit.
pub(super) fn write_signed(bits: &mut BitWriter, value: i64) {
    let raw = zigzag(value);
    if raw == 0 {
        bits.write(0, 1);
        return;
    }
    let needed = 64 - raw.leading_zeros();
    let class = WIDTHS.iter().position(|&width| needed <= width).expect("the last one takes all");
    let (ones, width) = (u32::try_from(class).expect("below eight") + 1, WIDTHS[class]);
    if class + 1 < WIDTHS.len() {
        bits.write((1 << (ones + 1)) - 2, ones + 1);
    } else {
        bits.write((1 << ones) - 1, ones);
    }
    bits.write(raw, width);
}

/// Reads what [`write_signed`] wrote.
pub(super) fn read_signed(bits: &mut BitReader<'_>) -> Option<i64> {
    let mut ones = 0;
    while ones < WIDTHS.len() && bits.read(1)? == 1 {
        ones += 1;
    }
    match ones.checked_sub(1) {
        None => Some(0),
        Some(class) => bits.read(WIDTHS[class]).map(unzigzag),
    }
}

/// A whole number that grows steadily, such as a count or a time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Steady {
    last: u64,
    delta: u64,
    /// The first number is written as it is: as a delta it would spoil the second one.
    has_delta: bool,
}

impl Steady {
    pub(super) fn write(&mut self, bits: &mut BitWriter, value: u64) {
        let delta = value.wrapping_sub(self.last);
        write_signed(bits, delta.wrapping_sub(self.delta).cast_signed());
        self.take(value, delta);
    }

    pub(super) fn read(&mut self, bits: &mut BitReader<'_>) -> Option<u64> {
        let delta = self.delta.wrapping_add(read_signed(bits)?.cast_unsigned());
        let value = self.last.wrapping_add(delta);
        self.take(value, delta);
        Some(value)
    }

    fn take(&mut self, value: u64, delta: u64) {
        self.last = value;
        self.delta = if self.has_delta { delta } else { 0 };
        self.has_delta = true;
    }
}

/// A float, as the XOR with the one before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Xor {
    last: u64,
    leading: u8,
    trailing: u8,
}

impl Default for Xor {
    fn default() -> Self {
        Self { last: 0, leading: NO_WINDOW, trailing: 0 }
    }
}

impl Xor {
    pub(super) fn write(&mut self, bits: &mut BitWriter, value: f64) {
        let xor = value.to_bits() ^ self.last;
        self.last = value.to_bits();
        if xor == 0 {
            bits.write(0, 1);
            return;
        }
        let leading = u8::try_from(xor.leading_zeros().min(31)).expect("at most 31");
        let trailing = u8::try_from(xor.trailing_zeros()).expect("below 64 for a number that is not 0");
        if self.leading == NO_WINDOW || leading < self.leading || trailing < self.trailing {
            (self.leading, self.trailing) = (leading, trailing);
            bits.write(0b11, 2);
            bits.write(u64::from(leading), 5);
            bits.write(u64::from(self.width() % 64), 6);
        } else {
            bits.write(0b10, 2);
        }
        bits.write(xor >> self.trailing, self.width());
    }

    pub(super) fn read(&mut self, bits: &mut BitReader<'_>) -> Option<f64> {
        if bits.read(1)? == 1 {
            if bits.read(1)? == 1 {
                self.leading = u8::try_from(bits.read(5)?).ok()?;
                let width = match u8::try_from(bits.read(6)?).ok()? {
                    0 => 64,
                    width => width,
                };
                self.trailing = 64u8.checked_sub(self.leading)?.checked_sub(width)?;
            } else if self.leading == NO_WINDOW {
                return None;
            }
            self.last ^= bits.read(self.width())? << self.trailing;
        }
        Some(f64::from_bits(self.last))
    }

    /// Bits of the window; at least 1.
    fn width(self) -> u32 {
        64 - u32::from(self.leading) - u32::from(self.trailing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_of_every_width() {
        let mut values = vec![0, 1, -1, i64::MAX, i64::MIN];
        for width in WIDTHS {
            for raw in [(1u64 << (width - 1)) - 1, 1 << (width - 1), (1 << (width - 1)) + 1] {
                values.extend([
                    unzigzag(raw),
                    unzigzag(raw.wrapping_mul(2)),
                    unzigzag(raw.wrapping_mul(2).wrapping_sub(1)),
                ]);
            }
        }
        let mut bits = BitWriter::with_bytes(&[]);
        values.iter().for_each(|&value| write_signed(&mut bits, value));
        let mut bytes = Vec::new();
        bits.append_to(&mut bytes);
        let mut reader = BitReader::new(&bytes);
        for value in values {
            assert_eq!(read_signed(&mut reader), Some(value));
        }
    }

    #[test]
    fn a_steady_number_costs_a_bit() {
        let (mut bits, mut steady) = (BitWriter::with_bytes(&[]), Steady::default());
        (0..802u64).for_each(|n| steady.write(&mut bits, 1_700_000_000_000 + n * 15_000));
        assert!(bits.n_bytes() < 8 + 4 + 101, "{} bytes", bits.n_bytes());
    }
}
