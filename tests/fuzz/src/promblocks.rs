//! Prometheus's blocks: chunks as they are, and whole blocks with right checksums around what the input has.

use std::path::Path;
use std::sync::Arc;

use cairn_disk::{Fs, TwinFs};
use cairn_model::histogram::{Buckets, Counts, Span};
use cairn_model::{Histogram, Labels};
use cairn_promblock::chunk::{Chunk, ChunkBuilder, decode};
use cairn_promblock::{BlockReader, BlockWriter, Sample, Value};

/// The first byte is the encoding, the rest the data. What was decoded whole can be encoded again, and is the same then.
pub(crate) fn chunk(input: &[u8]) {
    let Some((&encoding, data)) = input.split_first() else { return };
    let mut samples = Vec::new();
    let mut buckets = 0;
    let outcome = decode(encoding, data, &mut |sample| {
        if let Value::Histogram(histogram) = &sample.value {
            buckets += histogram.positive_spans.len() + histogram.negative_spans.len();
        }
        // Keeping all of them is the caller's affair.
        if samples.len() < 1000 && buckets < 10_000 {
            samples.push(sample);
        }
    });
    if outcome.is_err() || !samples.is_sorted_by(|a, b| a.time_ms < b.time_ms) {
        return;
    }
    let mut builder = ChunkBuilder::default();
    let mut chunks: Vec<Chunk> = Vec::new();
    for sample in &samples {
        match builder.push(sample) {
            Ok(closed) => chunks.extend(closed),
            Err(error) => panic!("decoded, but refused: {error}: {sample:?}"),
        }
    }
    chunks.extend(builder.finish());
    let mut again = Vec::new();
    for chunk in chunks {
        decode(chunk.encoding, &chunk.data, &mut |sample| again.push(sample)).expect("our own chunk");
    }
    assert_eq!(samples.len(), again.len());
    for (before, after) in samples.iter().zip(&again) {
        assert_eq!(before.time_ms, after.time_ms);
        match (&before.value, &after.value) {
            (Value::Float(before), Value::Float(after)) => assert_eq!(before.to_bits(), after.to_bits()),
            (Value::Histogram(before), Value::Histogram(after)) => {
                // What is known about resets depends on how chunks are cut.
                let mut after = after.clone();
                after.reset_hint = before.reset_hint;
                assert!(before.is_identical(&after), "{before:?}\n{after:?}");
            }
            _ => panic!("another kind of sample"),
        }
    }
}

fn some_samples() -> Vec<Vec<Sample>> {
    let histogram = |n: u64| Histogram {
        positive_spans: vec![Span { offset: -2, length: 2 }, Span { offset: 1, length: 1 }],
        negative_spans: vec![Span { offset: 0, length: 1 }],
        zero_threshold: 0.001,
        schema: 3,
        counts: Counts::Int(Buckets {
            count: 5 * n,
            zero_count: n,
            positive: vec![n, 2 * n, 0],
            negative: vec![n],
        }),
        ..Histogram::without_observations(n as f64 * 0.7, false)
    };
    let float_histogram = |n: u64| Histogram {
        counts: Counts::Float(Buckets {
            count: n as f64,
            zero_count: 0.5,
            positive: vec![0.1 * n as f64, 1.0, 2.0],
            negative: vec![3.0],
        }),
        ..histogram(n)
    };
    let custom = |n: u64| Histogram {
        schema: -53,
        zero_threshold: 0.0,
        negative_spans: Vec::new(),
        custom_bounds: Arc::from([0.005, 0.1, 1.0 / 3.0, 10.0]),
        counts: Counts::Int(Buckets {
            count: n,
            zero_count: 0,
            positive: vec![n, 0, n],
            negative: Vec::new(),
        }),
        ..histogram(n)
    };
    let of = |make: &dyn Fn(u64) -> Histogram| -> Vec<Sample> {
        (1u64..9).map(|n| Sample::histogram(n.cast_signed() * 15_000, make(n))).collect()
    };
    vec![
        (0..40).map(|at| Sample::float(at * 15_000 + at % 3, (at * at % 17) as f64 * 0.1)).collect(),
        of(&histogram),
        of(&float_histogram),
        of(&custom),
    ]
}

pub(crate) fn chunk_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for samples in some_samples() {
        let mut builder = ChunkBuilder::default();
        samples.iter().for_each(|sample| drop(builder.push(sample)));
        if let Some(chunk) = builder.finish() {
            seeds.push([&[chunk.encoding], &chunk.data[..]].concat());
        }
    }
    seeds
}

const DIR: &str = "/block";

fn put_uvarint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn summed(content: &[u8]) -> Vec<u8> {
    [content, &crc32c::crc32c(content).to_be_bytes()].concat()
}

/// Parts: the symbols (with their number in front), tombstones, how many of the rest are chunks; then chunks (encoding and
/// data), then series.
pub(crate) fn block(input: &[u8]) {
    let mut parts = crate::Parts(input);
    let (Some(symbols), Some(tombstones), Some(&[n_chunks, ..])) = (parts.next(), parts.next(), parts.next())
    else {
        return;
    };
    let mut chunks = vec![0x85, 0xBD, 0x40, 0xDD, 1, 0, 0, 0];
    for part in parts.by_ref().take(usize::from(n_chunks)) {
        put_uvarint(&mut chunks, part.len().saturating_sub(1));
        chunks.extend_from_slice(&summed(part));
    }
    let mut index = vec![0xBA, 0xAA, 0xD7, 0x00, 2];
    index.extend_from_slice(&u32::try_from(symbols.len()).unwrap_or(0).to_be_bytes());
    index.extend_from_slice(&summed(symbols));
    let series_at = index.len();
    for part in parts {
        index.resize(index.len().next_multiple_of(16), 0);
        put_uvarint(&mut index, part.len());
        index.extend_from_slice(&summed(part));
    }
    let end = index.len();
    let contents: Vec<u8> =
        [5, series_at, end, end, end, end].iter().flat_map(|&at| (at as u64).to_be_bytes()).collect();
    index.extend_from_slice(&summed(&contents));
    let marks = [&[0x01, 0x30, 0xBA, 0x30, 1], &summed(tombstones)[..]].concat();
    let meta = r#"{"ulid":"01HF8ZZZZZZZZZZZZZZZZZZZZZ","minTime":0,"maxTime":7200000,"version":1}"#;

    let fs = TwinFs::new();
    let dir = Path::new(DIR);
    fs.create_dir_all(&dir.join("chunks")).expect("the twin has room");
    let files = [
        ("meta.json", meta.as_bytes()),
        ("index", &index),
        ("chunks/000001", &chunks),
        ("tombstones", &marks),
    ];
    for (name, bytes) in files {
        fs.create_new(&dir.join(name)).and_then(|file| file.append(bytes)).expect("the twin has room");
    }
    let Ok(mut block) = BlockReader::open(&fs, dir) else { return };
    let mut samples = Vec::new();
    while let Some(next) = block.next_series() {
        let Ok(entry) = next else { continue };
        samples.clear();
        for chunk in &entry.chunks {
            let _ = block.samples(&entry, chunk, &mut samples);
        }
        assert!(samples.is_sorted_by(|a, b| a.time_ms < b.time_ms), "{entry:?}");
    }
    let (at, end) = block.position();
    assert_eq!(at, end);
}

/// A block that the writer made, taken apart.
pub(crate) fn block_seeds() -> Vec<Vec<u8>> {
    taken_apart().into_iter().collect()
}

fn taken_apart() -> Option<Vec<u8>> {
    let fs = TwinFs::new();
    let mut writer = BlockWriter::create(&fs, Path::new(DIR), 0, 7_200_000).ok()?;
    for (index, samples) in some_samples().into_iter().enumerate() {
        let labels = Labels::from_pairs([("__name__", "metric".to_owned()), ("n", index.to_string())]);
        writer.add(&labels, samples).ok()?;
    }
    let dir = writer.finish(7_200_000).ok()??.path;
    let read = |name: &str| {
        let file = fs.open_read(&dir.join(name)).ok()?;
        let mut bytes = vec![0; usize::try_from(file.len().ok()?).ok()?];
        file.read_exact_at(&mut bytes, 0).ok()?;
        Some(bytes)
    };
    let (index, chunks) = (read("index")?, read("chunks/000001")?);
    let at = |slot: usize| -> Option<usize> {
        let contents = index.len().checked_sub(52)?;
        let bytes = index.get(contents + slot * 8..)?.first_chunk::<8>()?;
        usize::try_from(u64::from_be_bytes(*bytes)).ok()
    };
    let (series_at, series_end) = (at(1)?, at(2)?);
    let mut parts: Vec<&[u8]> = vec![index.get(9..series_at - 4)?, &[]];
    let chunk_parts = frames(&chunks, 8, 1, 1, 1)?;
    let n_chunks = [u8::try_from(chunk_parts.len()).ok()?];
    parts.push(&n_chunks);
    parts.extend(chunk_parts);
    parts.extend(frames(index.get(..series_end)?, series_at, 16, 0, 2)?);
    Some(crate::join_parts(parts))
}

/// Contents of frames from `at` on: aligned, a length of which `extra` bytes are not counted, content, checksum.
fn frames(bytes: &[u8], mut at: usize, align: usize, extra: usize, shortest: usize) -> Option<Vec<&[u8]>> {
    let mut found = Vec::new();
    loop {
        at = at.next_multiple_of(align);
        if at + shortest + 4 > bytes.len() {
            return Some(found);
        }
        let (mut len, mut shift) = (0usize, 0);
        loop {
            let byte = *bytes.get(at)?;
            at += 1;
            len |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        found.push(bytes.get(at..at + len + extra)?);
        at += len + extra + 4;
    }
}
