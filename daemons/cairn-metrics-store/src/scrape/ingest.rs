//! One body into the database: lines, labels, limits, report series, staleness.
//!
//! A body counts as a whole: it is read to its end before anything is written, so a bad line, a limit or a missing name
//! keeps nothing of it and marks what the target showed before as stale.

use std::borrow::Cow;
use std::time::Duration;

use cairn_model::gotext::quote;
use cairn_model::{Labels, LabelsBuilder};
use cairn_tsdb::{AppendError, Outcome, Sample as StoredSample, SeriesRef};
use cairn_wire::exposition::{ExpositionError, Item, Parser, Sample};

use super::cache::{Known, SeriesCache, SlotId};
use crate::config::resolve::PoolConfig;
use crate::relabel;
use crate::storage::Storage;
use crate::target::{MetadataLine, Target};

/// Characters of a name or value that a limit's message repeats.
const MAX_MESSAGE_CHARS: usize = 50;

/// Why nothing of a body was kept. The text is what the API shows as `lastError`.
#[derive(Debug, thiserror::Error)]
pub enum ScrapeError {
    /// The request failed, or the answer is not one to read.
    #[error("{0}")]
    Fetch(String),
    /// The body is not exposition text.
    #[error(transparent)]
    Text(#[from] ExpositionError),
    /// More samples than `sample_limit`.
    #[error("sample limit exceeded")]
    SampleLimit,
    /// More than `body_size_limit`.
    #[error("body size limit exceeded")]
    BodySizeLimit,
    /// A series breaks one of the label limits.
    #[error("{0}")]
    LabelLimit(String),
    /// Relabelling took the name away.
    #[error("missing metric name (__name__ label)")]
    NoName,
    /// The database did not take the samples.
    #[error("write samples: {0}")]
    Storage(#[from] AppendError),
}

/// Numbers of one scrape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sample lines of the body.
    pub scraped: usize,
    /// Those that relabelling kept.
    pub kept: usize,
    /// Series that the target had not shown before.
    pub new_series: usize,
    /// Samples dropped: another value at the same time is stored.
    pub duplicates: usize,
    /// Samples dropped: older than what the series has.
    pub out_of_order: usize,
    /// Samples dropped: too old or too far in the future.
    pub out_of_bounds: usize,
}

/// What is remembered of a target from one scrape to the next.
#[derive(Debug, Default)]
pub struct ScrapeState {
    cache: SeriesCache,
    reports: [Option<SeriesRef>; REPORTS.len()],
}

/// The series that are written for every scrape, good or bad; the last three on request.
const REPORTS: [&str; 8] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
];
const N_USUAL_REPORTS: usize = 5;

/// A scrape that has ended, one way or the other.
#[derive(Debug)]
pub struct Scraped<'a> {
    /// The body, or why there is none.
    pub body: Result<&'a [u8], ScrapeError>,
    /// Time of the samples, in milliseconds.
    pub time: i64,
    /// How long the request took.
    pub duration: Duration,
}

/// A line that is going to be stored.
struct Pending {
    slot: SlotId,
    series: SeriesOrLabels,
    time: i64,
    value: f64,
    is_tracked: bool,
}

enum SeriesOrLabels {
    Series(SeriesRef),
    Labels(Labels),
}

impl ScrapeState {
    /// Stores one scrape with its report series. Blocking: it writes to the log of the database.
    ///
    /// The second value says why `up` is 0, if it is.
    pub fn store(
        &mut self,
        scraped: Scraped<'_>,
        pool: &PoolConfig,
        target: &Target,
        storage: &Storage,
    ) -> (Counts, Result<(), ScrapeError>) {
        let mut counts = Counts::default();
        let time = scraped.time;
        let body_bytes = match &scraped.body {
            Ok(body) => to_f64(body.len()),
            Err(ScrapeError::BodySizeLimit) => -1.0,
            Err(_) => 0.0,
        };
        self.cache.begin_scrape();
        let outcome = match scraped.body {
            Ok(body) => self.store_body(body, time, pool, target, storage, &mut counts),
            Err(error) => Err(error),
        };
        let stale = if outcome.is_ok() {
            self.cache.end_scrape()
        } else {
            self.cache.roll_back();
            self.cache.take_live()
        };
        let values = [
            if outcome.is_ok() { 1.0 } else { 0.0 },
            scraped.duration.as_secs_f64(),
            to_f64(counts.scraped),
            to_f64(counts.kept),
            to_f64(counts.new_series),
            target.timeout.std().as_secs_f64(),
            to_f64(usize::try_from(pool.limits.samples).unwrap_or(usize::MAX)),
            body_bytes,
        ];
        let n_reports = if pool.has_extra_metrics { REPORTS.len() } else { N_USUAL_REPORTS };
        let written = self.append_reports(stale, &values[..n_reports], time, target, storage);
        (counts, outcome.and(written.map_err(ScrapeError::from)))
    }

    /// The target is gone for good: marks everything that it showed, and its report series, as stale.
    ///
    /// # Errors
    /// [`AppendError`]
    pub fn end(&mut self, time: i64, storage: &Storage) -> Result<(), AppendError> {
        let reports = std::mem::take(&mut self.reports);
        let series = self.cache.take_live().into_iter().chain(reports.into_iter().flatten());
        let mut rows: Vec<StoredSample> = series.map(|series| stale_row(series, time)).collect();
        storage.append(&mut rows).map(|_| ())
    }

    fn store_body(
        &mut self,
        body: &[u8],
        time: i64,
        pool: &PoolConfig,
        target: &Target,
        storage: &Storage,
        counts: &mut Counts,
    ) -> Result<(), ScrapeError> {
        let mut pending = Vec::new();
        let mut metadata = Vec::new();
        for item in Parser::new(body) {
            let sample = match item? {
                Item::Sample(sample) => sample,
                Item::Type { name, kind } => {
                    metadata.push((name, Line::Kind(kind)));
                    continue;
                }
                Item::Help { name, text } => {
                    metadata.push((name, Line::Help(text)));
                    continue;
                }
            };
            counts.scraped += 1;
            let (slot, known) = self.cache.find(sample.series);
            let series = match known {
                Known::Series(series) => SeriesOrLabels::Series(series),
                Known::Dropped => {
                    self.cache.see(slot, false);
                    continue;
                }
                Known::Nothing => match series_labels(&sample, pool, target)? {
                    Some(labels) => SeriesOrLabels::Labels(labels),
                    None => {
                        self.cache.learn(slot, Known::Dropped);
                        self.cache.see(slot, false);
                        continue;
                    }
                },
            };
            counts.kept += 1;
            let own_time = sample.timestamp.filter(|_| pool.honor_timestamps);
            pending.push(Pending {
                slot,
                series,
                time: own_time.unwrap_or(time),
                value: sample.value,
                is_tracked: own_time.is_none() || pool.track_timestamps_staleness,
            });
        }
        if pool.limits.samples > 0 && counts.kept as u64 > pool.limits.samples {
            return Err(ScrapeError::SampleLimit);
        }
        self.append_pending(pending, storage, counts)?;
        target.note_metadata(metadata.iter().map(|(name, line)| {
            let line = match line {
                Line::Kind(kind) => MetadataLine::Kind(*kind),
                Line::Help(text) => MetadataLine::Help(text),
            };
            (name.as_ref(), line)
        }));
        Ok(())
    }

    fn append_pending(
        &mut self,
        pending: Vec<Pending>,
        storage: &Storage,
        counts: &mut Counts,
    ) -> Result<(), ScrapeError> {
        let mut rows = Vec::with_capacity(pending.len());
        for line in &pending {
            let series = match &line.series {
                SeriesOrLabels::Series(series) => series.clone(),
                SeriesOrLabels::Labels(labels) => storage.resolve(labels)?,
            };
            rows.push(StoredSample { series, time_ms: line.time, value: line.value, start_ms: 0 });
        }
        let outcomes = storage.append(&mut rows)?;
        for ((line, row), outcome) in pending.iter().zip(rows).zip(outcomes) {
            match outcome {
                Outcome::Stored | Outcome::Duplicate => {
                    counts.new_series += usize::from(self.cache.is_new(line.slot));
                }
                Outcome::DuplicateOtherValue { .. } => counts.duplicates += 1,
                Outcome::OutOfOrder => counts.out_of_order += 1,
                Outcome::TooOld | Outcome::TooFarInFuture => counts.out_of_bounds += 1,
                Outcome::SeriesDropped => {
                    self.cache.learn(line.slot, Known::Nothing);
                    continue;
                }
            }
            // The line was there: its series lives on, even where this sample was left out.
            self.cache.learn(line.slot, Known::Series(row.series));
            self.cache.see(line.slot, line.is_tracked);
        }
        Ok(())
    }

    /// Appends stale markers, then the report series.
    fn append_reports(
        &mut self,
        stale: Vec<SeriesRef>,
        values: &[f64],
        time: i64,
        target: &Target,
        storage: &Storage,
    ) -> Result<(), AppendError> {
        let n_stale = stale.len();
        let mut rows: Vec<StoredSample> = stale.into_iter().map(|series| stale_row(series, time)).collect();
        for (index, value) in values.iter().enumerate() {
            let series = match &self.reports[index] {
                Some(series) => series.clone(),
                None => storage.resolve(&report_labels(index, target))?,
            };
            rows.push(StoredSample { series, time_ms: time, value: *value, start_ms: 0 });
        }
        // What was left out was too late: the clock went back, or two scrapes fell on one millisecond.
        storage.append(&mut rows)?;
        for (report, row) in self.reports.iter_mut().zip(rows.into_iter().skip(n_stale)) {
            *report = Some(row.series);
        }
        Ok(())
    }
}

enum Line<'a> {
    Kind(cairn_wire::exposition::MetricKind),
    Help(Cow<'a, str>),
}

fn report_labels(index: usize, target: &Target) -> Labels {
    let mut labels = target.labels.to_builder();
    labels.set("__name__", REPORTS[index]);
    labels.build()
}

fn stale_row(series: SeriesRef, time_ms: i64) -> StoredSample {
    StoredSample { series, time_ms, value: f64::from_bits(cairn_promql::source::STALE_NAN_BITS), start_ms: 0 }
}

#[expect(clippy::cast_precision_loss, reason = "counts of one body are far below 2^53")]
fn to_f64(count: usize) -> f64 {
    count as f64
}

/// Labels under which a sample is stored; `None` when relabelling drops it.
fn series_labels(
    sample: &Sample<'_>,
    pool: &PoolConfig,
    target: &Target,
) -> Result<Option<Labels>, ScrapeError> {
    let pairs = sample.pairs()?;
    let mut labels = LabelsBuilder::new();
    for (name, value) in &pairs {
        labels.set(name, value);
    }
    if pool.honor_labels {
        for (name, value) in target.labels.iter() {
            // An empty label of the body wins too: it removes the target's.
            if !pairs.iter().any(|(own, _)| own == name) {
                labels.set(name, value);
            }
        }
    } else {
        for (name, value) in target.labels.iter() {
            if let Some(own) = labels.get(name).map(str::to_owned) {
                let mut renamed = format!("exported_{name}");
                while labels.get(&renamed).is_some() || target.labels.get(&renamed).is_some() {
                    renamed.insert_str(0, "exported_");
                }
                labels.set(&renamed, &own);
            }
            labels.set(name, value);
        }
    }
    if !relabel::apply_all(&pool.metric_relabel, &mut labels) {
        return Ok(None);
    }
    let labels = labels.build();
    if labels.get("__name__").is_none() {
        return Err(ScrapeError::NoName);
    }
    check_limits(&labels, pool)?;
    Ok(Some(labels))
}

fn check_limits(labels: &Labels, pool: &PoolConfig) -> Result<(), ScrapeError> {
    let limits = &pool.limits;
    let over = |value: usize, limit: u64| limit > 0 && value as u64 > limit;
    let metric = cut(labels.value("__name__"));
    let refuse = |message: String| Err(ScrapeError::LabelLimit(message));
    if over(labels.len(), limits.labels) {
        return refuse(format!(
            "label_limit exceeded (metric: {metric}, number of labels: {}, limit: {})",
            labels.len(),
            limits.labels
        ));
    }
    for (name, value) in labels.iter() {
        if over(name.len(), limits.label_name_bytes) {
            return refuse(format!(
                "label_name_length_limit exceeded (metric: {metric}, label name: {}, length: {}, limit: {})",
                cut(name),
                name.len(),
                limits.label_name_bytes
            ));
        }
        if over(value.len(), limits.label_value_bytes) {
            return refuse(format!(
                "label_value_length_limit exceeded (metric: {metric}, label name: {}, value: {}, length: {}, limit: {})",
                cut(name),
                quote(cut(value)),
                value.len(),
                limits.label_value_bytes
            ));
        }
    }
    Ok(())
}

fn cut(text: &str) -> &str {
    text.char_indices().nth(MAX_MESSAGE_CHARS).map_or(text, |(end, _)| &text[..end])
}
