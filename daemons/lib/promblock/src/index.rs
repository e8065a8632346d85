//! The file `index`: symbols, series, postings, in version 2 of the format.
//!
//! ```text
//! BA AA D7 00  02                          magic, version
//! symbols    BE32 length, BE32 count, (uvarint length, bytes)*, CRC     sorted, unique
//! series     (padding to 16, uvarint length, labels, chunks, CRC)*      sorted by labels; number = offset / 16
//! postings   (padding to 4, BE32 length, BE32 count, BE32 number*, CRC)*
//! offsets    BE32 length, BE32 count, (2, name, value, uvarint offset)*, CRC
//! contents   six BE64 offsets, CRC                                      the last 52 bytes
//! ```

mod read;
mod write;

pub(crate) use read::IndexReader;
pub use read::{ChunkMeta, SeriesEntry};
pub(crate) use write::IndexWriter;

const MAGIC: [u8; 4] = [0xBA, 0xAA, 0xD7, 0x00];
const VERSION: u8 = 2;
const HEADER_BYTES: usize = 5;
/// Series start at multiples of it, which makes their numbers small.
const SERIES_ALIGN: u64 = 16;
const POSTINGS_ALIGN: u64 = 4;
/// Six offsets and a checksum.
const CONTENTS_BYTES: usize = 6 * 8 + 4;
