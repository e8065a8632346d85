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
        Self { pieces: chunks.iter().map(|chunk| (Arc::clone(chunk), 0..chunk.content.n_lines())).collect() }
    }

    /// How many lines.
    pub(super) fn n_lines(&self) -> usize {
        self.pieces.iter().map(|(_, range)| range.len()).sum()
    }

    /// Bytes of the lines.
    pub(super) fn line_bytes(&self) -> usize {
        let bytes = |lines: &[Line]| lines.iter().map(|line| line.len as usize).sum::<usize>();
        self.pieces.iter().map(|(chunk, range)| bytes(&chunk.content.lines[range.clone()])).sum()
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
            let content = &chunk.content;
            for (labels, indices) in content.streams_in(range.clone()) {
                let stream = streams.entry(labels).or_default();
                for (line, index) in content.lines[indices.clone()].iter().zip(indices) {
                    stream.push(line.time, content.text(line), content.metadata_of(index));
                }
            }
        }
        let texts: Vec<(String, &StreamEncoder)> =
            streams.iter().map(|(labels, stream)| (label_text(labels, external), stream)).collect();
        let plain = encode_push(texts.iter().map(|(labels, stream)| (labels.as_str(), *stream)));
        snappy_compress(&plain).into()
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
    use crate::chunk::StreamLines;

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
    fn streams_of_one_chunk_stay_apart_and_keep_their_metadata() {
        let mut chunk = Chunk::for_tests(&["a", "b", "c"]);
        let part =
            |level, lines| StreamLines { labels: Arc::new(Labels::from_pairs([("level", level)])), lines };
        chunk.content.streams = vec![part("info", 0..1), part("warn", 1..3)];
        chunk.content.metadata = vec![vec![], vec![("id".to_owned(), "7".to_owned())], vec![]];
        let (first, second) = Part::whole(&VecDeque::from([Arc::new(chunk)])).split().unwrap();
        let of = |stream: &str, lines: &[&str]| {
            (stream.to_owned(), lines.iter().map(|line| (*line).to_owned()).collect())
        };
        assert_eq!(decode(&first, &BTreeMap::new()), [of(r#"{level="info"}"#, &["a"])]);
        assert_eq!(decode(&second, &BTreeMap::new()), [of(r#"{level="warn"}"#, &["b", "c"])]);
        let plain = snappy_block(&second.encode(&BTreeMap::new()), 1 << 20).unwrap();
        let streams = decode_protobuf(plain.into(), &PushLimits::default()).unwrap();
        assert_eq!(streams[0].entries[0].metadata, [("id".to_owned(), "7".to_owned())]);
        assert!(streams[0].entries[1].metadata.is_empty());
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
