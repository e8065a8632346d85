//! A chunk: the lines of one read of one file, on their way to the destinations.

use std::ops::Range;
use std::sync::Arc;

use cairn_model::{Labels, TimeNs};

use crate::queue::Permit;
use crate::receipt::Receipt;

/// Lines of one stream with their receipt. Lines are slices of one buffer; nothing is allocated per line.
#[derive(Debug)]
pub struct Chunk {
    /// The stream that all lines belong to.
    pub stream: Arc<Labels>,
    /// The bytes read, newlines included.
    pub data: Vec<u8>,
    /// The lines that are left after the pipeline, in order of the file and of time.
    pub lines: Vec<Line>,
    /// To be told by each destination when it is done with all of the lines.
    pub receipt: Receipt,
    /// Gives the memory back to the queue when the last destination lets go of the chunk.
    pub permit: Permit,
}

/// One line: where it lies in the chunk's data, and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// First byte.
    pub start: u32,
    /// Bytes without the newline.
    pub len: u32,
    /// Its timestamp, its own within the stream.
    pub time: TimeNs,
}

impl Line {
    /// Place in the chunk's data.
    pub fn range(&self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.len as usize
    }
}

impl Chunk {
    /// The bytes of a line.
    pub fn text(&self, line: &Line) -> &[u8] {
        &self.data[line.range()]
    }

    /// Bytes of all lines, without newlines.
    pub fn line_bytes(&self) -> usize {
        self.lines.iter().map(|line| line.len as usize).sum()
    }
}

#[cfg(test)]
impl Chunk {
    /// A chunk of these lines at 1, 2, 3 ... nanoseconds, in the stream `{job="t"}`.
    pub(crate) fn for_tests(texts: &[&str]) -> Self {
        Self::with_receipt(texts, Receipt::detached())
    }

    /// [`for_tests`](Self::for_tests) with a receipt to watch.
    pub(crate) fn with_receipt(texts: &[&str], receipt: Receipt) -> Self {
        let mut data = Vec::new();
        let mut lines = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let start = u32::try_from(data.len()).unwrap();
            lines.push(Line {
                start,
                len: u32::try_from(text.len()).unwrap(),
                time: TimeNs(i64::try_from(index).unwrap() + 1),
            });
            data.extend_from_slice(text.as_bytes());
            data.push(b'\n');
        }
        Self {
            stream: Arc::new(Labels::from_pairs([("job", "t")])),
            data,
            lines,
            receipt,
            permit: crate::queue::Queue::new(usize::MAX, || {}).take(0),
        }
    }

    /// The lines as text.
    pub(crate) fn texts(&self) -> Vec<&str> {
        self.lines.iter().map(|line| std::str::from_utf8(self.text(line)).unwrap()).collect()
    }
}
