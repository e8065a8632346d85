//! Columns of samples, for blocks: encoded as a whole, harder than sample by sample, and decoded at once.
//!
//! A column of floats becomes one of whole numbers (`floats`), whose differences (`ints`) are written as Huffman
//! codes with plain bits behind them (`classes`, `huffman`). On what `prometheus-node-exporter` measures this takes less
//! than a third of an XOR chunk and decodes three times as fast; `FORMAT.md` has the comparison with other encodings.

mod bits;
mod classes;
mod floats;
mod huffman;
mod ints;
mod marks;

pub use floats::{FloatDecoder, FloatEncoder};
pub use ints::{IntDecoder, IntEncoder};

#[cfg(test)]
mod tests;
