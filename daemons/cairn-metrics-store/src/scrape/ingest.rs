//! One page into the database: rows, report series, staleness.
//!
//! A page counts as a whole: it is read to its end before anything is written, so a bad line, a limit or a missing name
//! keeps nothing of it and marks what the target showed before as stale.

use std::sync::Arc;
use std::time::Duration;

use cairn_model::{Exemplar, Labels};
use cairn_tsdb::{
    AppendError, ExemplarOutcome, ExemplarSample, HistogramSample, Outcome, Sample as StoredSample, SampleOf,
    SeriesRef,
};
use cairn_wire::exposition::{ExpositionError, Format};

pub use super::body::Page;
use super::body::{HistogramRow, Reader, Row, Rows};
use super::cache::{Known, SeriesCache, SlotId};
use crate::config::protocol::HistogramKeys;
use crate::config::resolve::PoolConfig;
use crate::storage::Storage;
use crate::target::Target;

/// Why nothing of a body was kept. The text is what the API shows as `lastError`.
#[derive(Debug, thiserror::Error)]
pub enum ScrapeError {
    /// The request failed, or the answer is not one to read.
    #[error("{0}")]
    Fetch(String),
    /// The body is not in the format that it is said to be in.
    #[error("{0}")]
    Text(String),
    /// More samples than `sample_limit`.
    #[error("sample limit exceeded")]
    SampleLimit,
    /// More than `body_size_limit`.
    #[error("body size limit exceeded")]
    BodySizeLimit,
    /// A series breaks one of the label limits.
    #[error("{0}")]
    LabelLimit(String),
    /// A native histogram that no resolution brings below `native_histogram_bucket_limit`.
    #[error("histogram bucket limit exceeded")]
    BucketLimit,
    /// Relabelling took the name away.
    #[error("missing metric name (__name__ label)")]
    NoName,
    /// A name that the job's scheme does not allow.
    #[error("invalid metric name or label names: {0}")]
    InvalidName(String),
    /// The database did not take the samples.
    #[error("write samples: {0}")]
    Storage(#[from] AppendError),
}

impl From<ExpositionError> for ScrapeError {
    fn from(error: ExpositionError) -> Self {
        Self::Text(error.message)
    }
}

/// Numbers of one scrape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Samples of the body.
    pub scraped: usize,
    /// Those that relabelling kept.
    pub kept: usize,
    /// Series that the target had not shown before.
    pub new_series: usize,
    /// Samples dropped: another value at the same time is stored, or the page has the series twice.
    pub duplicates: usize,
    /// Samples dropped: older than what the series has.
    pub out_of_order: usize,
    /// Samples dropped: too old or too far in the future.
    pub out_of_bounds: usize,
    /// Exemplars dropped: of samples all of whose exemplars are older than what the series has.
    pub exemplars_out_of_order: usize,
}

/// What is remembered of a target from one scrape to the next.
#[derive(Debug, Default)]
pub struct ScrapeState {
    cache: SeriesCache,
    reports: [Option<SeriesRef>; REPORTS.len()],
    /// What the cached keys were read under.
    shape: Option<(Arc<PoolConfig>, HistogramKeys)>,
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
    /// The page, or why there is none.
    pub body: Result<Page<'a>, ScrapeError>,
    /// Time of the samples, in milliseconds.
    pub time: i64,
    /// How long the request took.
    pub duration: Duration,
}

impl ScrapeState {
    /// Stores one scrape with its report series. Blocking: it writes to the log of the database.
    ///
    /// The second value says why `up` is 0, if it is.
    pub fn store(
        &mut self,
        scraped: Scraped<'_>,
        pool: &Arc<PoolConfig>,
        target: &Target,
        storage: &Storage,
    ) -> (Counts, Result<(), ScrapeError>) {
        self.take_shape(pool, target);
        let mut counts = Counts::default();
        let time = scraped.time;
        let body_bytes = match &scraped.body {
            Ok(page) => to_f64(page.bytes.len()),
            Err(ScrapeError::BodySizeLimit) => -1.0,
            Err(_) => 0.0,
        };
        let format = scraped.body.as_ref().map_or(Format::Text, |page| page.format);
        self.cache.begin_scrape(format);
        let mut new = Vec::new();
        let outcome = match scraped.body {
            Ok(page) => self
                .read_page(page, time, pool, target, &mut counts)
                .and_then(|rows| self.append_rows(&rows, storage, &mut counts, &mut new)),
            Err(error) => Err(error),
        };
        let stale = match &outcome {
            Ok(()) => self.cache.end_scrape(),
            Err(_) => {
                // First, since a series that this page brought may be living already.
                let live = self.cache.take_live();
                self.cache.roll_back();
                live
            }
        };
        // Some of its samples may have been stored before the database failed: what ends them comes after them, also in
        // series that it brought first.
        let is_partly_stored = matches!(outcome, Err(ScrapeError::Storage(_)));
        let stale_time = if is_partly_stored { time.saturating_add(1) } else { time };
        let stale_rows = |series: Vec<SeriesRef>| -> Vec<StoredSample> {
            series.into_iter().map(|series| stale_row(series, stale_time)).collect()
        };
        let stale = stale_rows(stale);
        let ended = if is_partly_stored { storage.append_ends(&stale_rows(new)) } else { Ok(()) };
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
        (counts, outcome.and(ended.and(written).map_err(ScrapeError::from)))
    }

    /// The target is gone for good: marks everything that it showed, and its report series, as stale.
    ///
    /// # Errors
    /// [`AppendError`]
    pub fn end(&mut self, time: i64, storage: &Storage) -> Result<(), AppendError> {
        let reports = std::mem::take(&mut self.reports);
        let series = self.cache.take_live().into_iter().chain(reports.into_iter().flatten());
        let rows: Vec<StoredSample> = series.map(|series| stale_row(series, time)).collect();
        storage.append_ends(&rows)
    }

    /// How many keys the target showed, and so how many series become stale at most when a scrape fails.
    pub(crate) fn n_keys(&self) -> usize {
        self.cache.len()
    }

    /// Forgets the keys when a changed configuration makes other series of them.
    fn take_shape(&mut self, pool: &Arc<PoolConfig>, target: &Target) {
        let is_same = self.shape.as_ref().is_none_or(|(known, histograms)| {
            *histograms == target.histograms && (Arc::ptr_eq(known, pool) || shapes_alike(known, pool))
        });
        if !is_same {
            self.cache.forget_keys();
        }
        if !is_same || !self.shape.as_ref().is_some_and(|(known, _)| Arc::ptr_eq(known, pool)) {
            self.shape = Some((Arc::clone(pool), target.histograms));
        }
    }

    fn read_page(
        &mut self,
        page: Page<'_>,
        time: i64,
        pool: &PoolConfig,
        target: &Target,
        counts: &mut Counts,
    ) -> Result<Rows, ScrapeError> {
        // A page without a byte is a good one in every format, as the peer has it.
        if page.bytes.is_empty() {
            return Ok(Rows::default());
        }
        let mut metadata = target.metadata_table();
        let reader = Reader { cache: &mut self.cache, metadata: &mut metadata, pool, target, time };
        reader.read(page, counts)
    }

    /// `new` becomes the series that the page brought first, as soon as they may have got a sample.
    fn append_rows(
        &mut self,
        rows: &Rows,
        storage: &Storage,
        counts: &mut Counts,
        new: &mut Vec<SeriesRef>,
    ) -> Result<(), ScrapeError> {
        *new = storage.resolve_all(&rows.new_labels.iter().collect::<Vec<_>>())?;
        let new = &**new;
        let sample = |row: &Row| SampleOf {
            series: self.series_of(row.slot, new),
            time_ms: row.time,
            value: row.value,
            start_ms: row.start,
        };
        let samples: Vec<SampleOf<'_>> = rows.floats.iter().map(sample).collect();
        let mut outcomes = storage.append_of(&samples)?;
        // Series that left the head since they were resolved.
        let is_dropped = |(_, outcome): &(usize, &Outcome)| **outcome == Outcome::SeriesDropped;
        let dropped: Vec<usize> = outcomes.iter().enumerate().filter(is_dropped).map(|(at, _)| at).collect();
        if !dropped.is_empty() {
            let owned = |at: &usize| {
                let SampleOf { series, time_ms, value, start_ms } = samples[*at];
                StoredSample { series: series.clone(), time_ms, value, start_ms }
            };
            let mut again: Vec<StoredSample> = dropped.iter().map(owned).collect();
            let repeated = storage.append(&mut again)?;
            for ((at, sample), outcome) in dropped.into_iter().zip(again).zip(repeated) {
                outcomes[at] = outcome;
                self.cache.learn(rows.floats[at].slot, Known::Series(sample.series));
            }
        }
        for (row, outcome) in rows.floats.iter().zip(outcomes) {
            self.note(row.slot, row.is_tracked, outcome, new, counts);
        }
        self.append_histograms(&rows.histograms, new, storage, counts)?;
        self.append_exemplars(&rows.exemplars, storage, counts)
    }

    fn append_histograms(
        &mut self,
        rows: &[HistogramRow],
        new: &[SeriesRef],
        storage: &Storage,
        counts: &mut Counts,
    ) -> Result<(), AppendError> {
        if rows.is_empty() {
            return Ok(());
        }
        let sample = |row: &HistogramRow| HistogramSample {
            series: self.series_of(row.slot, new).clone(),
            time_ms: row.time,
            start_ms: row.start,
            histogram: Arc::clone(&row.histogram),
        };
        let mut samples: Vec<HistogramSample> = rows.iter().map(sample).collect();
        let outcomes = storage.append_histograms(&mut samples)?;
        for ((row, sample), outcome) in rows.iter().zip(samples).zip(outcomes) {
            self.note(row.slot, row.is_tracked, outcome, new, counts);
            if outcome != Outcome::SeriesDropped {
                self.cache.learn(row.slot, Known::Series(sample.series));
            }
        }
        Ok(())
    }

    /// What became of a sample.
    fn note(
        &mut self,
        slot: SlotId,
        is_tracked: bool,
        outcome: Outcome,
        new: &[SeriesRef],
        counts: &mut Counts,
    ) {
        let index = self.cache.pending(slot);
        match outcome {
            Outcome::Stored | Outcome::Duplicate => counts.new_series += usize::from(index.is_some()),
            Outcome::DuplicateOtherValue { .. } => counts.duplicates += 1,
            Outcome::OutOfOrder => counts.out_of_order += 1,
            // An invalid histogram has failed the page before.
            Outcome::BeforeWindow | Outcome::TooOld | Outcome::TooFarInFuture | Outcome::InvalidHistogram => {
                counts.out_of_bounds += 1
            }
            Outcome::SeriesDropped => return self.cache.learn(slot, Known::Nothing),
        }
        // The sample was there: its series lives on, even where this one was left out.
        if let Some(index) = index {
            self.cache.learn(slot, Known::Series(new[index as usize].clone()));
        }
        self.cache.set_live(slot, is_tracked);
    }

    fn append_exemplars(
        &self,
        rows: &[(SlotId, Exemplar)],
        storage: &Storage,
        counts: &mut Counts,
    ) -> Result<(), ScrapeError> {
        let sample = |(slot, exemplar): &(SlotId, Exemplar)| {
            let Known::Series(series) = self.cache.known(*slot) else { return None };
            Some(ExemplarSample {
                series: series.clone(),
                labels: exemplar.labels.clone(),
                value: exemplar.value,
                time_ms: exemplar.time_ms?,
            })
        };
        let mut samples: Vec<ExemplarSample> = rows.iter().filter_map(sample).collect();
        if samples.is_empty() {
            return Ok(());
        }
        let outcomes = storage.append_exemplars(&mut samples)?;
        // A page repeats exemplars until there are newer ones: only a sample without a new one is worth a count.
        let all: Vec<_> = samples.iter().zip(outcomes).collect();
        for of_series in all.chunk_by(|(a, _), (b, _)| a.series.number() == b.series.number()) {
            if of_series.iter().all(|(_, outcome)| *outcome == ExemplarOutcome::OutOfOrder) {
                counts.exemplars_out_of_order += of_series.len();
            }
        }
        Ok(())
    }

    /// The series of a row; `new` are those of the list of labels.
    fn series_of<'a>(&'a self, slot: SlotId, new: &'a [SeriesRef]) -> &'a SeriesRef {
        match self.cache.known(slot) {
            Known::Series(series) => series,
            _ => {
                let index = self.cache.pending(slot).expect("a row's series is known or on the list");
                &new[index as usize]
            }
        }
    }

    /// Appends stale markers, then the report series.
    fn append_reports(
        &mut self,
        stale: Vec<StoredSample>,
        values: &[f64],
        time: i64,
        target: &Target,
        storage: &Storage,
    ) -> Result<(), AppendError> {
        let n_stale = stale.len();
        let mut rows = stale;
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

/// Whether both make the same series of a page.
fn shapes_alike(a: &PoolConfig, b: &PoolConfig) -> bool {
    a.raw.metric_relabel_configs == b.raw.metric_relabel_configs
        && a.honor_labels == b.honor_labels
        && a.name_validation == b.name_validation
        && a.limits == b.limits
}

fn report_labels(index: usize, target: &Target) -> Labels {
    let mut labels = target.labels.to_builder();
    labels.set("__name__", REPORTS[index]);
    labels.build()
}

fn stale_row(series: SeriesRef, time_ms: i64) -> StoredSample {
    let value = f64::from_bits(cairn_promql::source::STALE_NAN_BITS);
    StoredSample { series, time_ms, value, start_ms: 0 }
}

#[expect(clippy::cast_precision_loss, reason = "counts of one body are far below 2^53")]
fn to_f64(count: usize) -> f64 {
    count as f64
}
