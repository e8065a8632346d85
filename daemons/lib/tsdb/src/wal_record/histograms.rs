//! Records of native histograms: series by series, each with its samples as a chunk of its own.
//!
//! The codec of chunks does all the work, with its checks and its limits. A record stands alone: histograms are large and
//! few next to floats, and what they have in common across series zstd takes.

use std::io;

use cairn_disk::compress::Compressor;
use cairn_promql::source::HistogramPoint;

use super::{RECORD_VERSION, put_body};
use crate::chunk::histogram::{HistogramBuilder, decode};
use crate::codec::{Malformed, Reader, put_bytes, put_uvarint};

const LEVEL: i32 = 1;

/// A record is closed at this size of its body, which one more histogram of the largest kind leaves within the limit.
const BODY_BYTES: usize = 512 << 10;

/// Writes records of histograms.
#[derive(Debug)]
pub(crate) struct HistogramsEncoder {
    tag: u8,
    open: Option<(u64, HistogramBuilder)>,
    body: Vec<u8>,
    record: Vec<u8>,
    compressor: Compressor,
}

impl HistogramsEncoder {
    /// `tag`: that of its records.
    pub(crate) fn new(tag: u8) -> io::Result<Self> {
        Ok(Self {
            tag,
            open: None,
            body: Vec::new(),
            record: Vec::new(),
            compressor: Compressor::new(LEVEL)?,
        })
    }

    /// Starts a record.
    pub(crate) fn begin(&mut self) {
        self.open = None;
        self.body.clear();
    }

    /// Adds a sample; those of one series that ascend in time share a chunk.
    pub(crate) fn push(&mut self, id: u64, point: &HistogramPoint) {
        if !self.open.as_mut().is_some_and(|(open, builder)| *open == id && builder.push(point)) {
            self.close();
            self.open = Some((id, HistogramBuilder::new(point)));
        }
    }

    fn close(&mut self) {
        if let Some((id, builder)) = self.open.take() {
            put_uvarint(&mut self.body, id);
            put_bytes(&mut self.body, &builder.snapshot().data);
        }
    }

    /// Whether the next sample is to go into another record.
    pub(crate) fn is_full(&self) -> bool {
        self.body.len() >= BODY_BYTES
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_none() && self.body.is_empty()
    }

    /// The record; the next one is begun.
    pub(crate) fn finish(&mut self) -> io::Result<&[u8]> {
        self.close();
        self.record.clear();
        self.record.extend_from_slice(&[RECORD_VERSION, self.tag]);
        put_body(&mut self.compressor, &self.body, &mut self.record)?;
        self.body.clear();
        self.body.shrink_to(BODY_BYTES);
        Ok(&self.record)
    }
}

/// Reads the body of such a record.
pub(super) fn read_histograms(
    mut body: Reader<'_>,
    mut visit: impl FnMut(u64, HistogramPoint),
) -> Result<(), Malformed> {
    while !body.is_empty() {
        let id = body.uvarint()?;
        decode(body.bytes()?, |point| visit(id, point))?;
    }
    Ok(())
}
