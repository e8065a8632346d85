//! The series of an answer: read one by one, and written as samples or as frames of a stream.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use cairn_model::Labels;
use cairn_promblock::chunk::{Chunk, ChunkBuilder};
use cairn_promblock::{Sample as BlockSample, Value};
use cairn_promql::source::{SampleSource, Selection, SeriesData};
use cairn_tsdb::Db;
use cairn_wire::prompb;
use http_body::Frame;
use tokio::sync::mpsc;

use super::{IsGone, ReadError, Wanted};

/// Most samples of one query's answer that is not a stream, as with Prometheus.
const MAX_SAMPLES: usize = 50_000_000;
/// Most bytes of an answer that is not a stream, before compression.
const MAX_SAMPLE_BYTES: usize = 512 << 20;
/// A series is split when its frame would pass this many bytes, as with Prometheus.
const MAX_FRAME_BYTES: usize = 1 << 20;
/// Up to so many series are found by the index and read at once; of more, all blocks are walked in their order.
const FEW_SERIES: usize = 64;

/// Hands over what a query wants, series by series, ascending by their stored labels, as long as the client is there.
fn visit(
    db: &Db,
    wanted: &Wanted,
    is_gone: IsGone<'_>,
    mut take: impl FnMut(SeriesData) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    if is_gone() {
        return Err(ReadError::Gone);
    }
    let mut visit = |series| if is_gone() { Err(ReadError::Gone) } else { take(series) };
    let Wanted { matchers, start, end } = wanted;
    let failed = |error: cairn_promql::SourceError| ReadError::Failed(error.to_string());
    if start > end {
        return Ok(());
    }
    if db.series(matchers, *start, *end).map_err(failed)?.len() <= FEW_SERIES {
        let selection = Selection { matchers, start: *start, end: *end };
        return db.view().select(&selection).map_err(failed)?.into_iter().try_for_each(visit);
    }
    let walked = db.walk::<anyhow::Error>(std::slice::from_ref(matchers), (*start, *end), |series| {
        visit(series).map_err(anyhow::Error::new)
    });
    walked.map_err(|error| match error.downcast() {
        Ok(error) => error,
        Err(other) => ReadError::Failed(format!("{other:#}")),
    })
}

/// Labels of a series as it leaves: with the external ones that it does not have itself.
pub(super) fn labels(series: &Labels, external: &Labels) -> Vec<prompb::Label> {
    let mut all = external.to_builder();
    for (name, value) in series.iter() {
        all.set(name, value);
    }
    let label =
        |(name, value): (&str, &str)| prompb::Label { name: name.to_owned(), value: value.to_owned() };
    all.build().iter().map(label).collect()
}

/// The snappy block of a `ReadResponse`. Each series is encoded as soon as it was read.
pub(super) fn samples(
    db: &Db,
    wanted: &[Wanted],
    external: &Labels,
    is_gone: IsGone<'_>,
) -> Result<Vec<u8>, ReadError> {
    let mut message = Vec::new();
    for one in wanted {
        let mut n_samples = 0;
        let mut result = Vec::new();
        visit(db, one, is_gone, |series| {
            n_samples += series.times.len() + series.histograms.len();
            if n_samples > MAX_SAMPLES {
                return Err(ReadError::Bad(format!("exceeded sample limit ({MAX_SAMPLES})")));
            }
            let floats = series.times.iter().zip(&series.values);
            let series = prompb::TimeSeries {
                labels: labels(&series.labels, external),
                samples: floats.map(|(&timestamp, &value)| prompb::Sample { value, timestamp }).collect(),
                exemplars: Vec::new(),
                histograms: series
                    .histograms
                    .iter()
                    .map(|point| prompb::Histogram::of(point.time, &point.histogram))
                    .collect(),
            };
            prompb::push_series(&mut result, &series);
            if message.len() + result.len() > MAX_SAMPLE_BYTES {
                let reason = format!("exceeded {MAX_SAMPLE_BYTES} bytes; ask for a stream of chunks");
                return Err(ReadError::Bad(reason));
            }
            Ok(())
        })?;
        prompb::push_result(&mut message, &result);
    }
    let compressed = snap::raw::Encoder::new().compress_vec(&message);
    compressed.map_err(|error| ReadError::Failed(format!("compress the answer: {error}")))
}

pub(super) type FrameSender = mpsc::Sender<Result<Bytes, axum::Error>>;

/// Sends the frames of all queries.
pub(super) fn stream(
    db: &Db,
    wanted: &[Wanted],
    external: &Labels,
    frames: &FrameSender,
) -> Result<(), ReadError> {
    for (index, one) in (0..).zip(wanted) {
        visit(db, one, &|| frames.is_closed(), |series| {
            let labels = labels(&series.labels, external);
            let room = MAX_FRAME_BYTES.saturating_sub(prompb::labels_len(&labels));
            let mut pending = Vec::new();
            let mut n_bytes = 0;
            let mut push = |chunk: Chunk| {
                n_bytes += chunk.data.len();
                pending.push(prompb::Chunk {
                    min_time_ms: chunk.min_time,
                    max_time_ms: chunk.max_time,
                    kind: chunk.encoding.into(),
                    data: chunk.data,
                });
                if n_bytes < room {
                    return Ok(());
                }
                n_bytes = 0;
                send(frames, &labels, std::mem::take(&mut pending), index)
            };
            let mut builder = ChunkBuilder::default();
            let malformed = |error: cairn_promblock::error::Malformed| ReadError::Failed(error.to_string());
            for sample in in_order(&series) {
                if let Some(chunk) = builder.push(&sample).map_err(malformed)? {
                    push(chunk)?;
                }
            }
            builder.finish().map_or(Ok(()), push)?;
            if pending.is_empty() { Ok(()) } else { send(frames, &labels, pending, index) }
        })?;
    }
    Ok(())
}

/// Numbers and histograms of a series by time.
fn in_order(series: &SeriesData) -> impl Iterator<Item = BlockSample> {
    let mut floats = series.times.iter().zip(&series.values).peekable();
    let mut histograms = series.histograms.iter().peekable();
    std::iter::from_fn(move || {
        let is_float = match (floats.peek(), histograms.peek()) {
            (Some((time, _)), Some(point)) => **time < point.time,
            (Some(_), None) => true,
            _ => false,
        };
        if is_float {
            return floats.next().map(|(&time_ms, &value)| BlockSample::float(time_ms, value));
        }
        histograms.next().map(|point| BlockSample {
            time_ms: point.time,
            value: Value::Histogram(Box::new(cairn_model::Histogram::clone(&point.histogram))),
        })
    })
}

/// Sends one frame.
fn send(
    frames: &FrameSender,
    labels: &[prompb::Label],
    chunks: Vec<prompb::Chunk>,
    query_index: i64,
) -> Result<(), ReadError> {
    let series = prompb::ChunkedSeries { labels: labels.to_vec(), chunks };
    let message = prompb::ChunkedReadResponse { chunked_series: vec![series], query_index };
    frames.blocking_send(Ok(prompb::frame(&message).into())).map_err(|_| ReadError::Gone)
}

/// The body of a stream.
pub(super) struct Frames(pub(super) mpsc::Receiver<Result<Bytes, axum::Error>>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.0.poll_recv(context).map(|next| next.map(|bytes| bytes.map(Frame::data)))
    }
}

#[cfg(test)]
mod tests {
    use cairn_model::TimeMs;

    use super::*;

    #[test]
    fn queries_without_series_end_too_when_the_client_has_gone() {
        let storage = crate::storage::Storage::for_tests();
        let external = Labels::empty();
        let wanted = || Wanted { matchers: Vec::new(), start: TimeMs(0), end: TimeMs(1) };
        let all = [wanted(), wanted(), wanted()];
        assert!(samples(storage.db(), &all, &external, &|| false).is_ok());
        let n_asked = std::cell::Cell::new(0);
        let leaves = || n_asked.replace(n_asked.get() + 1) == 1;
        assert!(matches!(samples(storage.db(), &all, &external, &leaves), Err(ReadError::Gone)));
        assert_eq!(n_asked.get(), 2);
        let (sender, frames) = mpsc::channel(1);
        assert!(stream(storage.db(), &all, &external, &sender).is_ok());
        drop(frames);
        assert!(matches!(stream(storage.db(), &all, &external, &sender), Err(ReadError::Gone)));
    }
}
