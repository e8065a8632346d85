//! From what a client pushed to what the engine stores: labels checked, entries checked, `service_name` and
//! `detected_level` added. Pure: no clock, no I/O; the clock's reading comes in as an argument.
//!
//! | module | answers |
//! |---|---|
//! | [`metadata`] | what is a structured metadata name made to be |
//! | [`refusal`] | which texts and counters do refused entries have |
//! | [`rate`] | how much may a tenant push |

pub mod metadata;
pub mod rate;
pub mod refusal;

use std::fmt::Write as _;

use cairn_logdb::{Entry, StreamBatch};
use cairn_logql::level;
use cairn_model::{Labels, LabelsBuilder, TimeNs};
use cairn_wire::push::{PushEntry, PushStream};
use cairn_wire::push_labels::{LabelTextError, PushLabels, parse_label_text};

use self::refusal::{Reason, Refusals};
use crate::config::limits::Limits;

/// The label that names a stream's service.
const SERVICE_NAME: &str = "service_name";
/// The metadata that holds an entry's level.
const DETECTED_LEVEL: &str = "detected_level";

/// What of a push may be stored.
#[derive(Debug, Default)]
pub struct Admission {
    /// Streams with at least one entry that passed.
    pub batches: Vec<StreamBatch>,
    /// Everything else.
    pub refusals: Refusals,
    /// Entries in `batches`.
    pub entries: u64,
    /// Bytes of their lines.
    pub line_bytes: u64,
    /// Bytes of names and values of their metadata, as sent.
    pub metadata_bytes: u64,
}

impl Admission {
    /// What counts against the tenant's rate.
    pub fn bytes(&self) -> u64 {
        self.line_bytes + self.metadata_bytes
    }
}

/// Why nothing of a push can be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdmitError {
    /// The request names no stream at all. Loki's words, which agents log.
    #[error("error at least one valid stream is required for ingestion")]
    NoStream,
    /// The labels of one stream cannot be read, which refuses the whole request.
    #[error("couldn't parse labels: {0}")]
    Labels(LabelTextError),
}

/// Checks a push against a tenant's limits.
///
/// A stream or entry over a limit is left out and counted in [`Admission::refusals`]; the others go on.
///
/// # Errors
/// [`AdmitError`] when nothing of the request is to be stored.
pub fn admit(streams: Vec<PushStream>, limits: &Limits, now: TimeNs) -> Result<Admission, AdmitError> {
    if streams.is_empty() {
        return Err(AdmitError::NoStream);
    }
    let mut parsed = Vec::with_capacity(streams.len());
    for stream in streams {
        let labels = parse_label_text(&stream.labels).map_err(AdmitError::Labels)?;
        parsed.push((with_service_name(labels, limits), stream.entries));
    }
    let window = Window::new(limits, now);
    let mut admission = Admission::default();
    for (labels, entries) in parsed {
        if entries.is_empty() {
            continue;
        }
        let text = labels.to_string();
        if let Some((reason, message)) = check_labels(&labels, &text, limits) {
            let bytes = entries.iter().map(|e| e.line.len()).sum();
            admission.refusals.add(reason, message, entries.len(), bytes);
            continue;
        }
        admit_stream(labels.to_labels(), &text, entries, limits, window, &mut admission);
    }
    Ok(admission)
}

/// Adds `service_name` where it is missing and wanted.
fn with_service_name(labels: PushLabels, limits: &Limits) -> PushLabels {
    let pairs = labels.pairs();
    if limits.discover_service_name.is_empty() || pairs.iter().any(|(name, _)| name == SERVICE_NAME) {
        return labels;
    }
    let find =
        |wanted: &String| pairs.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    let value = limits.discover_service_name.iter().find_map(find);
    let value = value.unwrap_or_else(|| level::UNKNOWN_SERVICE.to_owned());
    let mut pairs = pairs.to_vec();
    pairs.push((SERVICE_NAME.to_owned(), value));
    PushLabels::from_pairs(pairs)
}

fn check_labels(labels: &PushLabels, text: &str, limits: &Limits) -> Option<(Reason, String)> {
    let pairs = labels.pairs();
    if pairs.is_empty() {
        return Some((
            Reason::MissingLabels,
            "error at least one label pair is required per stream".to_owned(),
        ));
    }
    let n_names = pairs.iter().filter(|(name, _)| name != SERVICE_NAME).count();
    if n_names > limits.max_label_names_per_series {
        let limit = limits.max_label_names_per_series;
        return Some((
            Reason::MaxLabelNamesPerSeries,
            format!("entry for stream '{text}' has {n_names} label names; limit {limit}"),
        ));
    }
    for (name, value) in pairs {
        if name.len() > limits.max_label_name_length {
            return Some((
                Reason::LabelNameTooLong,
                format!("stream '{text}' has label name too long: '{name}'"),
            ));
        }
        if value.len() > limits.max_label_value_length {
            return Some((
                Reason::LabelValueTooLong,
                format!("stream '{text}' has label value too long: '{value}'"),
            ));
        }
    }
    let name = labels.duplicate_name()?;
    Some((Reason::DuplicateLabelNames, format!("stream '{text}' has duplicate label name: '{name}'")))
}

/// The times that entries may have.
#[derive(Clone, Copy)]
struct Window {
    oldest: Option<TimeNs>,
    newest: TimeNs,
}

impl Window {
    fn new(limits: &Limits, now: TimeNs) -> Self {
        let max_age = limits.reject_old_samples_max_age.0;
        Self {
            oldest: limits.reject_old_samples.then_some(TimeNs(now.0.saturating_sub(max_age))),
            newest: TimeNs(now.0.saturating_add(limits.creation_grace_period.0)),
        }
    }
}

fn admit_stream(
    labels: Labels,
    text: &str,
    entries: Vec<PushEntry>,
    limits: &Limits,
    window: Window,
    admission: &mut Admission,
) {
    let mut admitted = Vec::with_capacity(entries.len());
    for mut entry in entries {
        let max_line = limits.max_line_size.as_usize();
        if limits.max_line_size_truncate && max_line > 0 && entry.line.len() > max_line {
            entry.line.truncate(max_line);
        }
        let line_bytes = entry.line.len();
        let checked = check_entry(&entry, text, limits, window)
            .map_or_else(|| stored_metadata(&labels, &entry, limits), Err);
        match checked {
            Ok((metadata, metadata_bytes)) => {
                admission.entries += 1;
                admission.line_bytes += line_bytes as u64;
                admission.metadata_bytes += metadata_bytes as u64;
                admitted.push(Entry { time: entry.time, line: entry.line, metadata });
            }
            Err((reason, message)) => admission.refusals.add(reason, message, 1, line_bytes),
        }
    }
    if !admitted.is_empty() {
        admission.batches.push(StreamBatch { labels, entries: admitted });
    }
}

/// In Loki's order: too old, too new, line size, structured metadata.
fn check_entry(entry: &PushEntry, text: &str, limits: &Limits, window: Window) -> Option<(Reason, String)> {
    if let Some(oldest) = window.oldest.filter(|oldest| entry.time < *oldest) {
        let message = format!(
            "entry for stream '{text}' has timestamp too old: {}, oldest acceptable timestamp is: {}",
            to_seconds(entry.time),
            to_seconds(oldest)
        );
        return Some((Reason::GreaterThanMaxSampleAge, message));
    }
    if entry.time > window.newest {
        let message = format!("entry for stream '{text}' has timestamp too new: {}", to_seconds(entry.time));
        return Some((Reason::TooFarInFuture, message));
    }
    let (max_line, length) = (limits.max_line_size.as_usize(), entry.line.len());
    if max_line > 0 && length > max_line {
        let message = format!(
            "max entry size '{max_line}' bytes exceeded for stream '{text}' while adding an entry with length \
             '{length}' bytes"
        );
        return Some((Reason::LineTooLong, message));
    }
    if entry.metadata.is_empty() { None } else { check_metadata(&entry.metadata, text, limits) }
}

fn check_metadata(pairs: &[(String, String)], text: &str, limits: &Limits) -> Option<(Reason, String)> {
    let with_hint = |mut message: String, key: &str, verb: &str| {
        let _ = write!(
            message,
            "Please see `limits_config.{key}` or contact your Loki administrator to {verb} it"
        );
        message
    };
    if !limits.allow_structured_metadata {
        let message =
            format!("stream '{text}' includes structured metadata, but this feature is disallowed. ");
        return Some((
            Reason::DisallowedStructuredMetadata,
            with_hint(message, "allow_structured_metadata", "enable"),
        ));
    }
    let size = metadata::size(pairs);
    let limit = limits.max_structured_metadata_size.as_usize();
    if limit > 0 && size > limit {
        let message = format!(
            "stream '{text}' has structured metadata too large: '{size}' bytes, limit: '{limit}' bytes. "
        );
        return Some((
            Reason::StructuredMetadataTooLarge,
            with_hint(message, "max_structured_metadata_size", "increase"),
        ));
    }
    let (count, limit) = (pairs.len(), limits.max_structured_metadata_entries_count);
    if limit > 0 && count > limit {
        let message =
            format!("stream '{text}' has too many structured metadata labels: '{count}', limit: '{limit}'. ");
        return Some((
            Reason::StructuredMetadataTooMany,
            with_hint(message, "max_structured_metadata_entries_count", "increase"),
        ));
    }
    None
}

/// The metadata under normal names, with the level; and its size as sent.
fn stored_metadata(
    stream: &Labels,
    entry: &PushEntry,
    limits: &Limits,
) -> Result<(Labels, usize), (Reason, String)> {
    let mut builder = LabelsBuilder::new();
    for (name, value) in &entry.metadata {
        let normal = metadata::normalize_name(name)
            .map_err(|error| (Reason::InvalidStructuredMetadata, error.to_string()))?;
        builder.set(&normal, value);
    }
    let size = metadata::size(&entry.metadata);
    if limits.discover_log_levels {
        let metadata = builder.build();
        let detected = level::detect(stream, &metadata, &entry.line);
        builder.set(DETECTED_LEVEL, detected);
    }
    Ok((builder.build(), size))
}

/// RFC 3339 in whole seconds, as Loki prints times in its refusals.
fn to_seconds(time: TimeNs) -> TimeNs {
    TimeNs(time.0.div_euclid(1_000_000_000).saturating_mul(1_000_000_000))
}

#[cfg(test)]
mod tests;
