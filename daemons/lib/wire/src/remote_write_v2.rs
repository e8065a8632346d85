//! `io.prometheus.write.v2.Request`, remote write 2.0: texts are sent once, as a table of symbols.
//!
//! ```text
//! Request { symbols = 4, timeseries = 5 }          (symbol 0 is "")
//! TimeSeries { labels_refs = 1, samples = 2, histograms = 3, exemplars = 4, metadata = 5 }
//! Sample { value = 1, timestamp = 2, start_timestamp = 3 }
//! Exemplar { labels_refs = 1, value = 2, timestamp = 3 }
//! Metadata { type = 1, help_ref = 3, unit_ref = 4 }
//! ```
//!
//! References that lead nowhere spoil their series, not the request.

use std::fmt::Write;

use cairn_model::Exemplar;

use crate::protobuf_reader::{ProtobufError, Reader};
use crate::remote_write::{
    ItemBudget, LabelPlace, RemoteWriteError, WriteMetadata, WriteRequest, WriteSeries, exemplar_labels,
    metric_type, position,
};
use crate::remote_write_histogram;
use crate::remote_write_v1::{push_delimited, sample};

/// Tag of field 1, length-delimited, and of field 2.
const FIELD_1: u8 = 0x0a;
const FIELD_2: u8 = 0x12;

/// References that an error lists.
const MAX_SHOWN_REFS: usize = 64;

pub(crate) fn decode(plain: &[u8], mut budget: ItemBudget) -> Result<WriteRequest<'_>, RemoteWriteError> {
    let mut symbols: Vec<&[u8]> = Vec::new();
    let mut n_series = 0;
    // The table may come behind what refers to it.
    let mut reader = Reader::new("Request", plain);
    while let Some((number, value)) = reader.next()? {
        match number {
            4 => {
                budget.take(1)?;
                symbols.push(value.bytes("Symbols")?);
            }
            5 => n_series += 1,
            _ => {}
        }
    }
    budget.take(n_series)?;
    let mut request = WriteRequest {
        body: plain,
        series: Vec::with_capacity(n_series),
        samples: Vec::with_capacity(n_series),
        ..WriteRequest::default()
    };
    let mut refs = Vec::new();
    let mut reader = Reader::new("Request", plain);
    while let Some((number, value)) = reader.next()? {
        if number == 5 {
            time_series(&mut request, value.bytes("Timeseries")?, &symbols, &mut refs, &mut budget)?;
        }
    }
    Ok(request)
}

fn time_series(
    request: &mut WriteRequest<'_>,
    bytes: &[u8],
    symbols: &[&[u8]],
    refs: &mut Vec<u32>,
    budget: &mut ItemBudget,
) -> Result<(), RemoteWriteError> {
    refs.clear();
    let first_sample = request.samples.len();
    let first_histogram = request.histograms.len();
    let first_exemplar = request.exemplars.len();
    let mut about = None;
    let mut reader = Reader::new("TimeSeries", bytes);
    while let Some((number, value)) = reader.next()? {
        match number {
            1 => {
                let n_before = refs.len();
                value.varints("LabelsRefs", |reference| refs.push(as_ref(reference)))?;
                budget.take(refs.len() - n_before)?;
            }
            2 => {
                budget.take(1)?;
                request.samples.push(sample(value.bytes("Samples")?)?);
            }
            3 => {
                let histogram = remote_write_histogram::decode(value.bytes("Histograms")?, budget)?;
                request.histograms.push(histogram);
            }
            4 => {
                budget.take(1)?;
                request.exemplars.push(exemplar(value.bytes("Exemplars")?, symbols, budget)?);
            }
            5 => about = Some(value.bytes("Metadata")?),
            _ => {}
        }
    }
    // The labels as version 1.0 writes them, so that both versions know a series by the same bytes.
    let arena = &mut request.arena;
    let start = arena.len();
    let mut name: &[u8] = &[];
    let mut fault = None;
    let mut label = Vec::new();
    for pair in pairs(refs, symbols, "labels", "series") {
        match pair {
            Ok((key, value)) => {
                // Two copies of some hundred bytes, which stay in the cache.
                label.clear();
                push_delimited(&mut label, FIELD_1, key);
                push_delimited(&mut label, FIELD_2, value);
                push_delimited(arena, FIELD_1, &label);
                if key == b"__name__" {
                    name = value;
                }
            }
            Err(text) => {
                fault = Some(text.into_boxed_str());
                break;
            }
        }
    }
    // One table of symbols can be referred to again and again: the sum of it is bounded like a body.
    if arena.len() > MAX_ARENA_BYTES {
        return Err(RemoteWriteError::TooLarge { what: "bytes of labels", limit: MAX_ARENA_BYTES });
    }
    let labels = LabelPlace { start: position(start), end: position(arena.len()), is_copied: true };
    if let Some(about) = about
        && let Some(line) = metadata(about, name, symbols)?
    {
        request.metadata.push(line);
    }
    request.series.push(WriteSeries {
        labels,
        samples: position(first_sample)..position(request.samples.len()),
        histograms: position(first_histogram)..position(request.histograms.len()),
        exemplars: position(first_exemplar)..position(request.exemplars.len()),
        fault,
    });
    Ok(())
}

/// Bytes that the labels of all series of a request may have, written out.
const MAX_ARENA_BYTES: usize = 256 << 20;

/// References of 32 bits, as the message has them.
#[expect(clippy::cast_possible_truncation, reason = "Go cuts them, too")]
fn as_ref(reference: u64) -> u32 {
    reference as u32
}

/// Follows pairs of references. The texts of what is wrong are the peer's.
fn pairs<'s>(
    refs: &[u32],
    symbols: &[&'s [u8]],
    what: &'static str,
    of_what: &'static str,
) -> impl Iterator<Item = Result<(&'s [u8], &'s [u8]), String>> {
    let shown = move || {
        let mut text = String::from("[");
        for (index, reference) in refs.iter().take(MAX_SHOWN_REFS).enumerate() {
            let space = if index > 0 { " " } else { "" };
            let _ = write!(text, "{space}{reference}");
        }
        text.push(']');
        text
    };
    let is_odd = !refs.len().is_multiple_of(2);
    let odd = is_odd.then(|| {
        Err(format!("parsing {what} for {of_what} {}: invalid labelRefs length {}", shown(), refs.len()))
    });
    let whole = if is_odd { &[][..] } else { refs.as_chunks::<2>().0 };
    let followed = whole.iter().map(move |&[name, value]| {
        let symbol = |reference: u32| symbols.get(reference as usize).copied();
        symbol(name).zip(symbol(value)).ok_or_else(|| {
            format!(
                "parsing {what} for {of_what} {}: labelRefs {name} (name) = {value} (value) outside of symbols \
                 table (size {})",
                shown(),
                symbols.len()
            )
        })
    });
    odd.into_iter().chain(followed)
}

fn exemplar(
    bytes: &[u8],
    symbols: &[&[u8]],
    budget: &mut ItemBudget,
) -> Result<Result<Exemplar, String>, RemoteWriteError> {
    let mut refs = Vec::new();
    let (mut observed, mut time) = (0.0, 0);
    let mut reader = Reader::new("Exemplar", bytes);
    while let Some((number, value)) = reader.next()? {
        match number {
            1 => value.varints("LabelsRefs", |reference| refs.push(as_ref(reference)))?,
            2 => observed = value.double("Value")?,
            3 => time = value.varint("Timestamp")?.cast_signed(),
            _ => {}
        }
    }
    budget.take(refs.len())?;
    // References to long symbols would multiply them: an exemplar has no business with more than this.
    let mut n_bytes = 0usize;
    let mut found = Vec::new();
    for pair in pairs(&refs, symbols, "exemplar labels", "exemplar") {
        match pair {
            Ok((name, value)) => {
                n_bytes += name.len() + value.len();
                if n_bytes > MAX_EXEMPLAR_BYTES {
                    return Ok(Err(format!("exemplar labels exceed {MAX_EXEMPLAR_BYTES} bytes")));
                }
                found.push((name, value));
            }
            Err(text) => return Ok(Err(text)),
        }
    }
    Ok(exemplar_labels(found).map(|labels| Exemplar { labels, value: observed, time_ms: Some(time) }))
}

/// Far above the 128 characters that an exemplar's labels may have; those are judged where it is stored.
const MAX_EXEMPLAR_BYTES: usize = 4096;

/// Longest text of metadata that is kept; the same reason as for exemplars.
const MAX_METADATA_BYTES: usize = 4096;

/// `None` when the references lead nowhere: nobody misses a help text.
fn metadata(bytes: &[u8], name: &[u8], symbols: &[&[u8]]) -> Result<Option<WriteMetadata>, ProtobufError> {
    let (mut kind, mut help, mut unit) = (0, 0, 0);
    let mut reader = Reader::new("Metadata", bytes);
    while let Some((number, value)) = reader.next()? {
        match number {
            1 => kind = value.varint("Type")?,
            3 => help = value.varint("HelpRef")?,
            4 => unit = value.varint("UnitRef")?,
            _ => {}
        }
    }
    let text = |bytes: &[u8]| {
        let cut = &bytes[..bytes.len().min(MAX_METADATA_BYTES)];
        String::from_utf8_lossy(cut).into_owned()
    };
    let symbol = |reference: u64| symbols.get(as_ref(reference) as usize).map(|bytes| text(bytes));
    let found = symbol(help).zip(symbol(unit));
    Ok(found.map(|(help, unit)| WriteMetadata {
        name: text(name),
        metric_type: metric_type(kind),
        help,
        unit,
    }))
}
