//! A chunk: what one read of one file gave after the pipeline, on its way to the destinations.

use std::ops::Range;
use std::sync::Arc;

use cairn_model::{Labels, TimeNs};

use crate::queue::Permit;
use crate::receipt::Receipt;

/// Lines with their receipt.
#[derive(Debug)]
pub struct Chunk {
    /// The lines.
    pub content: Content,
    /// To be told by each destination when it is done with all of the lines.
    pub receipt: Receipt,
    /// Gives the room back to the queue when the last destination lets go of the chunk.
    pub permit: Permit,
}

/// Lines of one stream or, where a stage has changed labels line by line, of several. Lines are slices of one buffer;
/// nothing is allocated per line.
#[derive(Debug, Default)]
pub struct Content {
    /// The streams, each with its part of `lines`; none is empty, and together they are all lines.
    pub streams: Vec<StreamLines>,
    /// What the lines are slices of. There may be more in it.
    pub data: Vec<u8>,
    /// Within each stream in order of the file.
    pub lines: Vec<Line>,
    /// Structured metadata: one list for each line, or nothing if no line has any.
    pub metadata: Vec<Vec<(String, String)>>,
}

/// A stream's part of a [`Content`].
#[derive(Clone, Debug)]
pub struct StreamLines {
    /// The stream.
    pub labels: Arc<Labels>,
    /// Places in [`Content::lines`].
    pub lines: Range<usize>,
}

/// One line: where it lies in the data, and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// First byte.
    pub start: u32,
    /// Bytes without the newline.
    pub len: u32,
    /// Its timestamp.
    pub time: TimeNs,
}

impl Line {
    /// Place in the data.
    pub fn range(&self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.len as usize
    }
}

impl Content {
    /// Lines of one stream, as they were read.
    pub fn of_stream(labels: Arc<Labels>, data: Vec<u8>, lines: Vec<Line>) -> Self {
        let mut streams = Vec::new();
        if !lines.is_empty() {
            streams.push(StreamLines { labels, lines: 0..lines.len() });
        }
        Self { streams, data, lines, metadata: Vec::new() }
    }

    /// How many lines.
    pub fn n_lines(&self) -> usize {
        self.lines.len()
    }

    /// The bytes of a line.
    pub fn text(&self, line: &Line) -> &[u8] {
        &self.data[line.range()]
    }

    /// Bytes of all lines, without newlines.
    pub fn line_bytes(&self) -> usize {
        self.lines.iter().map(|line| line.len as usize).sum()
    }

    /// The structured metadata of the line at this place.
    pub fn metadata_of(&self, index: usize) -> &[(String, String)] {
        self.metadata.get(index).map_or(&[], Vec::as_slice)
    }

    /// The streams that have lines in `range`, each with those.
    pub fn streams_in(&self, range: Range<usize>) -> impl Iterator<Item = (&Labels, Range<usize>)> {
        self.streams.iter().filter_map(move |stream| {
            let lines = stream.lines.start.max(range.start)..stream.lines.end.min(range.end);
            (!lines.is_empty()).then_some((&*stream.labels, lines))
        })
    }

    /// What it takes in memory, about.
    pub fn heap_bytes(&self) -> usize {
        let pair =
            |(name, value): &(String, String)| size_of::<(String, String)>() + name.len() + value.len();
        let metadata = |pairs: &Vec<(String, String)>| {
            size_of::<Vec<(String, String)>>() + pairs.iter().map(pair).sum::<usize>()
        };
        self.data.len()
            + self.lines.len() * size_of::<Line>()
            + self.metadata.iter().map(metadata).sum::<usize>()
            + self.streams.iter().map(|s| size_of::<StreamLines>() + s.labels.heap_bytes()).sum::<usize>()
    }
}

#[cfg(test)]
impl Chunk {
    /// A chunk of these lines at 1, 2, 3 ... nanoseconds, in the stream `{job="t"}`.
    pub(crate) fn for_tests(texts: &[&str]) -> Self {
        let permit = crate::queue::Queue::new(usize::MAX, || {}).reserve().unwrap().fill(0);
        Self { content: Content::for_tests(texts), receipt: Receipt::detached(), permit }
    }
}

#[cfg(test)]
impl Content {
    /// These lines at 1, 2, 3 ... nanoseconds, in the stream `{job="t"}`.
    pub(crate) fn for_tests(texts: &[&str]) -> Self {
        let mut data = Vec::new();
        let mut lines = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let start = u32::try_from(data.len()).unwrap();
            let time = TimeNs(i64::try_from(index).unwrap() + 1);
            lines.push(Line { start, len: u32::try_from(text.len()).unwrap(), time });
            data.extend_from_slice(text.as_bytes());
            data.push(b'\n');
        }
        Self::of_stream(Arc::new(Labels::from_pairs([("job", "t")])), data, lines)
    }

    /// The lines as text.
    pub(crate) fn texts(&self) -> Vec<&str> {
        self.lines.iter().map(|line| std::str::from_utf8(self.text(line)).unwrap()).collect()
    }
}
