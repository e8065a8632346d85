//! What goes into a block and comes out of it.

use cairn_model::Histogram;

/// A sample of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Milliseconds since the epoch.
    pub time_ms: i64,
    /// What was measured.
    pub value: Value,
}

/// A float or a whole distribution.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A float, kept bit for bit: a staleness marker survives.
    Float(f64),
    /// A native histogram; a staleness marker by its sum.
    Histogram(Box<Histogram>),
}

impl Sample {
    /// A float at a time.
    pub fn float(time_ms: i64, value: f64) -> Self {
        Self { time_ms, value: Value::Float(value) }
    }

    /// A histogram at a time.
    pub fn histogram(time_ms: i64, histogram: Histogram) -> Self {
        Self { time_ms, value: Value::Histogram(Box::new(histogram)) }
    }
}

/// Bits of the NaN that ends a series. In a histogram the sum has them.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

pub(crate) fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}
