//! A part of a batch: whole chunks, or some lines of them once a store has found the whole too large.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use cairn_model::Labels;
use cairn_wire::push_encode::{StreamEncoder, encode_push, snappy_compress};

use crate::chunk::{Chunk, Line};

/// Lines that go into one request, in order.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pieces: Vec<(Arc<Chunk>, Range<usize>)>,
}

impl Part {
    /// All lines of these chunks.
    pub(super) fn whole(chunks: &VecDeque<Arc<Chunk>>) -> Self {
        Self { pieces: chunks.iter().map(|chunk| (Arc::clone(chunk), 0..chunk.lines.len())).collect() }
    }

    /// How many lines.
    pub(super) fn n_lines(&self) -> usize {
        self.pieces.iter().map(|(_, range)| range.len()).sum()
    }

    /// Bytes of the lines.
    pub(super) fn line_bytes(&self) -> usize {
        self.lines().map(|(_, line)| line.len as usize).sum()
    }

    /// Two halves by number of lines; `None` for a single line.
    pub(super) fn split(&self) -> Option<(Self, Self)> {
        let half = self.n_lines() / 2;
        if half == 0 {
            return None;
        }
        let (mut first, mut second) = (Vec::new(), Vec::new());
        let mut left = half;
        for (chunk, range) in &self.pieces {
            let middle = range.start + range.len().min(left);
            left -= middle - range.start;
            for (half, range) in [(&mut first, range.start..middle), (&mut second, middle..range.end)] {
                if !range.is_empty() {
                    half.push((Arc::clone(chunk), range));
                }
            }
        }
        Some((Self { pieces: first }, Self { pieces: second }))
    }

    /// The request's body: protobuf in one snappy block. `external` labels are added where a stream has none of the name.
    pub(super) fn encode(&self, external: &BTreeMap<String, String>) -> Bytes {
        let mut streams: BTreeMap<&Labels, StreamEncoder> = BTreeMap::new();
        for (chunk, range) in &self.pieces {
            let stream = streams.entry(&chunk.stream).or_default();
            for line in &chunk.lines[range.clone()] {
                stream.push(line.time, chunk.text(line));
            }
        }
        let texts: Vec<(String, &StreamEncoder)> =
            streams.iter().map(|(labels, stream)| (label_text(labels, external), stream)).collect();
        let plain = encode_push(texts.iter().map(|(labels, stream)| (labels.as_str(), *stream)));
        snappy_compress(&plain).into()
    }

    fn lines(&self) -> impl Iterator<Item = (&Chunk, &Line)> {
        self.pieces.iter().flat_map(|(chunk, range)| {
            chunk.lines[range.clone()].iter().map(move |line| (chunk.as_ref(), line))
        })
    }
}

fn label_text(labels: &Labels, external: &BTreeMap<String, String>) -> String {
    if external.is_empty() {
        return labels.to_string();
    }
    let mut builder = labels.to_builder();
    for (name, value) in external {
        if builder.get(name).is_none() {
            builder.set(name, value);
        }
    }
    builder.build().to_string()
}

#[cfg(test)]
mod tests {
    use cairn_wire::decompress::snappy_block;
    use cairn_wire::push::PushLimits;
    use cairn_wire::push_protobuf::decode_protobuf;

    use super::*;

    fn decode(part: &Part, external: &BTreeMap<String, String>) -> Vec<(String, Vec<String>)> {
        let plain = snappy_block(&part.encode(external), 1 << 20).unwrap();
        let streams = decode_protobuf(plain.into(), &PushLimits::default()).unwrap();
        let text = |line: &[u8]| String::from_utf8(line.to_vec()).unwrap();
        streams.into_iter().map(|s| (s.labels, s.entries.iter().map(|e| text(&e.line)).collect())).collect()
    }

    #[test]
    fn one_stream_from_several_chunks_with_external_labels() {
        let chunks =
            VecDeque::from([Arc::new(Chunk::for_tests(&["a", "b"])), Arc::new(Chunk::for_tests(&["c"]))]);
        let part = Part::whole(&chunks);
        let external = [("env", "dev"), ("job", "other")].map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        let lines = ["a", "b", "c"].map(str::to_owned).to_vec();
        assert_eq!(decode(&part, &external), [(r#"{env="dev", job="t"}"#.to_owned(), lines)]);
    }

    #[test]
    fn halves_hold_all_lines_in_order() {
        let chunks = VecDeque::from([
            Arc::new(Chunk::for_tests(&["a", "b", "c"])),
            Arc::new(Chunk::for_tests(&["d"])),
        ]);
        let (first, second) = Part::whole(&chunks).split().unwrap();
        let texts = |part: &Part| -> Vec<String> {
            decode(part, &BTreeMap::new()).into_iter().flat_map(|(_, lines)| lines).collect()
        };
        assert_eq!(texts(&first), ["a", "b"]);
        assert_eq!(texts(&second), ["c", "d"]);
        assert!(first.split().unwrap().0.split().is_none());
    }
}
