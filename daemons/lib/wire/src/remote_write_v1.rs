//! `prometheus.WriteRequest`, remote write 1.0.
//!
//! ```text
//! WriteRequest { timeseries = 1, metadata = 3 }
//! TimeSeries { labels = 1, samples = 2, exemplars = 3, histograms = 4 }     Label { name = 1, value = 2 }
//! Sample { value = 1, timestamp = 2 }              Exemplar { labels = 1, value = 2, timestamp = 3 }
//! MetricMetadata { type = 1, metric_family_name = 2, help = 4, unit = 5 }
//! ```

use cairn_model::Exemplar;
use prost::encoding::encode_varint;

use crate::protobuf_reader::{ProtobufError, Reader};
use crate::remote_write::{
    ItemBudget, LabelPlace, RemoteWriteError, WriteMetadata, WriteRequest, WriteSample, WriteSeries,
    exemplar_labels, metric_type, position,
};
use crate::remote_write_histogram;

/// Tag of a length-delimited field 1: a series in a request, a label in a series.
const FIELD_1: u8 = 0x0a;

/// Bytes of the usual series, for the first allocation: ten labels and a sample.
const USUAL_SERIES_BYTES: usize = 160;

pub(crate) fn decode(plain: &[u8], mut budget: ItemBudget) -> Result<WriteRequest<'_>, RemoteWriteError> {
    let n_series = plain.len() / USUAL_SERIES_BYTES;
    let mut request = WriteRequest {
        body: plain,
        series: Vec::with_capacity(n_series),
        samples: Vec::with_capacity(n_series),
        ..WriteRequest::default()
    };
    let mut reader = Reader::new("WriteRequest", plain);
    loop {
        if let Some(series) = reader.next_if_delimited(FIELD_1)? {
            time_series(&mut request, series, plain.len() - reader.rest().len(), &mut budget)?;
            continue;
        }
        let Some((number, value)) = reader.next()? else { return Ok(request) };
        match number {
            1 => {
                // Written in a way that nobody writes it; the bytes end where the reader is, all the same.
                let series = value.bytes("Timeseries")?;
                time_series(&mut request, series, plain.len() - reader.rest().len(), &mut budget)?;
            }
            3 => {
                budget.take(1)?;
                request.metadata.push(metadata(value.bytes("Metadata")?)?);
            }
            _ => {}
        }
    }
}

/// Reads one series; its bytes end at `end` of the body.
fn time_series(
    request: &mut WriteRequest<'_>,
    bytes: &[u8],
    end: usize,
    budget: &mut ItemBudget,
) -> Result<(), RemoteWriteError> {
    budget.take(1)?;
    let start = end - bytes.len();
    let mut reader = Reader::new("TimeSeries", bytes);
    // Labels come first and lie together, in every sender's code.
    while reader.next_if_delimited(FIELD_1)?.is_some() {}
    let labels_end = end - reader.rest().len();
    let mut labels = LabelPlace { start: position(start), end: position(labels_end), is_copied: false };
    let first_sample = request.samples.len();
    let first_histogram = request.histograms.len();
    let first_exemplar = request.exemplars.len();
    while let Some((number, value)) = reader.next()? {
        match number {
            1 => {
                let label = value.bytes("Labels")?;
                labels = copy_label(request, labels, label);
            }
            2 => {
                budget.take(1)?;
                request.samples.push(sample(value.bytes("Samples")?)?);
            }
            3 => {
                budget.take(1)?;
                request.exemplars.push(exemplar(value.bytes("Exemplars")?, budget)?);
            }
            4 => {
                let histogram = remote_write_histogram::decode(value.bytes("Histograms")?, budget)?;
                request.histograms.push(histogram);
            }
            _ => {}
        }
    }
    request.series.push(WriteSeries {
        labels,
        samples: position(first_sample)..position(request.samples.len()),
        histograms: position(first_histogram)..position(request.histograms.len()),
        exemplars: position(first_exemplar)..position(request.exemplars.len()),
        fault: None,
    });
    Ok(())
}

/// A label behind something else: what there is so far moves to the arena, and this one after it.
fn copy_label(request: &mut WriteRequest<'_>, so_far: LabelPlace, label: &[u8]) -> LabelPlace {
    let arena = &mut request.arena;
    let start = if so_far.is_copied {
        so_far.start
    } else {
        let start = position(arena.len());
        arena.extend_from_slice(&request.body[so_far.start as usize..so_far.end as usize]);
        start
    };
    push_delimited(arena, FIELD_1, label);
    LabelPlace { start, end: position(arena.len()), is_copied: true }
}

/// Appends one length-delimited field.
pub(crate) fn push_delimited(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Name and value of a `Label`; what is missing is empty.
pub(crate) fn label(bytes: &[u8]) -> Result<(&[u8], &[u8]), ProtobufError> {
    let (mut name, mut text): (&[u8], &[u8]) = (&[], &[]);
    let mut reader = Reader::new("Label", bytes);
    while let Some((number, value)) = reader.next()? {
        match number {
            1 => name = value.bytes("Name")?,
            2 => text = value.bytes("Value")?,
            _ => {}
        }
    }
    Ok((name, text))
}

/// Reads a `Sample` of either version; only 2.0 has field 3.
#[inline]
pub(crate) fn sample(bytes: &[u8]) -> Result<WriteSample, ProtobufError> {
    // Value, then time, then nothing: what every sender writes.
    if let [0x09, value @ ..] = bytes
        && let Some((value, [0x10, time @ ..])) = value.split_first_chunk::<8>()
    {
        let mut reader = Reader::new("Sample", time);
        let time = reader.varint()?;
        if reader.is_empty() {
            let value = f64::from_le_bytes(*value);
            return Ok(WriteSample { value, time_ms: time.cast_signed(), start_ms: 0 });
        }
    }
    let mut sample = WriteSample::default();
    let mut reader = Reader::new("Sample", bytes);
    while let Some((number, value)) = reader.next()? {
        match number {
            1 => sample.value = value.double("Value")?,
            2 => sample.time_ms = value.varint("Timestamp")?.cast_signed(),
            3 => sample.start_ms = value.varint("StartTimestamp")?.cast_signed(),
            _ => {}
        }
    }
    Ok(sample)
}

fn exemplar(bytes: &[u8], budget: &mut ItemBudget) -> Result<Result<Exemplar, String>, RemoteWriteError> {
    let mut pairs = Vec::new();
    let (mut observed, mut time) = (0.0, 0);
    let mut reader = Reader::new("Exemplar", bytes);
    while let Some((number, value)) = reader.next()? {
        match number {
            1 => {
                budget.take(1)?;
                pairs.push(label(value.bytes("Labels")?)?);
            }
            2 => observed = value.double("Value")?,
            3 => time = value.varint("Timestamp")?.cast_signed(),
            _ => {}
        }
    }
    Ok(exemplar_labels(pairs).map(|labels| Exemplar { labels, value: observed, time_ms: Some(time) }))
}

fn metadata(bytes: &[u8]) -> Result<WriteMetadata, ProtobufError> {
    let mut line = WriteMetadata {
        name: String::new(),
        metric_type: metric_type(0),
        help: String::new(),
        unit: String::new(),
    };
    // Texts to show: what is no UTF-8 is replaced.
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let mut reader = Reader::new("MetricMetadata", bytes);
    while let Some((number, value)) = reader.next()? {
        match number {
            1 => line.metric_type = metric_type(value.varint("Type")?),
            2 => line.name = text(value.bytes("MetricFamilyName")?),
            4 => line.help = text(value.bytes("Help")?),
            5 => line.unit = text(value.bytes("Unit")?),
            _ => {}
        }
    }
    Ok(line)
}
