//! Chunks of floats.

use super::xor::XorColumn;
use crate::bits::{BitReader, BitWriter, sign_extend};
use crate::error::Malformed;
use crate::sample::Sample;

#[derive(Debug)]
pub(super) struct FloatBuilder {
    bits: BitWriter,
    n_samples: u16,
    last_time: i64,
    /// Difference between the last two times.
    delta: u64,
    values: XorColumn,
}

impl FloatBuilder {
    pub(super) fn new(time: i64, value: f64) -> Self {
        let mut bits = BitWriter::with_bytes(&1u16.to_be_bytes());
        bits.write_varint(time);
        bits.write_f64(value);
        Self { bits, n_samples: 1, last_time: time, delta: 0, values: XorColumn::starting_with(value) }
    }

    /// The time is later than the last one.
    pub(super) fn push(&mut self, time: i64, value: f64) {
        let delta = time.wrapping_sub(self.last_time).cast_unsigned();
        if self.n_samples == 1 {
            self.bits.write_uvarint(delta);
        } else {
            self.push_delta_of_delta(delta.wrapping_sub(self.delta).cast_signed());
        }
        self.values.write(&mut self.bits, value);
        (self.delta, self.last_time) = (delta, time);
        self.n_samples += 1;
    }

    fn push_delta_of_delta(&mut self, dod: i64) {
        let fits = |width: u32| dod > -(1 << (width - 1)) && dod <= 1 << (width - 1);
        let (prefix, prefix_width, width) = match dod {
            0 => return self.bits.write(0, 1),
            _ if fits(14) => (0b10, 2, 14),
            _ if fits(17) => (0b110, 3, 17),
            _ if fits(20) => (0b1110, 4, 20),
            _ => (0b1111, 4, 64),
        };
        self.bits.write(prefix, prefix_width);
        self.bits.write(dod.cast_unsigned(), width);
    }

    pub(super) fn n_samples(&self) -> u16 {
        self.n_samples
    }

    pub(super) fn into_data(mut self) -> Vec<u8> {
        self.bits.bytes_mut()[..2].copy_from_slice(&self.n_samples.to_be_bytes());
        self.bits.into_bytes()
    }
}

pub(super) fn decode(data: &[u8], visit: &mut dyn FnMut(Sample)) -> Result<(), Malformed> {
    let (count, stream) = data.split_first_chunk::<2>().ok_or(Malformed("chunk: no number of samples"))?;
    let mut bits = BitReader::new(stream);
    let (mut time, mut delta, mut values) = (0i64, 0u64, XorColumn::default());
    for index in 0..u16::from_be_bytes(*count) {
        if index == 0 {
            time = bits.varint()?;
            values = XorColumn::starting_with(bits.read_f64()?);
        } else {
            delta = match index {
                1 => bits.uvarint()?,
                _ => delta.wrapping_add(read_delta_of_delta(&mut bits)?.cast_unsigned()),
            };
            time = time.wrapping_add(delta.cast_signed());
            values.read(&mut bits)?;
        }
        visit(Sample::float(time, values.value()));
    }
    Ok(())
}

fn read_delta_of_delta(bits: &mut BitReader<'_>) -> Result<i64, Malformed> {
    let width = match bits.ones(4)? {
        0 => return Ok(0),
        1 => 14,
        2 => 17,
        3 => 20,
        _ => return bits.read(64).map(u64::cast_signed),
    };
    bits.read(width).map(|raw| sign_extend(raw, width))
}
