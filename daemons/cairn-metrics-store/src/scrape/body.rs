//! One page, read to its end before anything of it is written: samples on a list, labels where the series is not known.

use std::sync::Arc;

use cairn_model::histogram::{MAX_EXPONENTIAL_SCHEMA, MIN_EXPONENTIAL_SCHEMA};
use cairn_model::{Exemplar, Histogram, Labels, MetricType};
use cairn_wire::exposition::{Format, Item, LabelPair, Options, Parser, Sample, Value};

use super::cache::{Known, SeriesCache, SlotId};
use super::comments::{CommentBlock, OpenComments};
use super::convert::{Converted, Converter};
use super::created::CreatedTimes;
use super::ingest::{Counts, ScrapeError};
use super::labels::series_labels;
use super::metadata::MetadataTable;
use crate::config::resolve::PoolConfig;
use crate::target::Target;

/// A page as it came.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Its bytes, decompressed.
    pub bytes: &'a [u8],
    /// What they are.
    pub format: Format,
}

/// A sample that is going to be stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) slot: SlotId,
    pub(super) time: i64,
    pub(super) value: f64,
    /// 0: not known.
    pub(super) start: i64,
    pub(super) is_tracked: bool,
}

/// A native histogram that is going to be stored.
#[derive(Clone, Debug)]
pub(super) struct HistogramRow {
    pub(super) slot: SlotId,
    pub(super) time: i64,
    pub(super) histogram: Arc<Histogram>,
    /// 0: not known.
    pub(super) start: i64,
    pub(super) is_tracked: bool,
}

/// What a page holds.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) floats: Vec<Row>,
    pub(super) histograms: Vec<HistogramRow>,
    /// Labels of series that are not known yet; [`SeriesCache::pending`] has the index.
    pub(super) new_labels: Vec<Labels>,
    /// With the slot of their series; those of one sample follow each other, in the order of their times.
    pub(super) exemplars: Vec<(SlotId, Exemplar)>,
    /// A histogram could not be reduced to the buckets that are allowed.
    is_over_bucket_limit: bool,
}

/// Reads pages of one target.
pub(super) struct Reader<'a> {
    pub(super) cache: &'a mut SeriesCache,
    pub(super) metadata: &'a mut MetadataTable,
    pub(super) pool: &'a PoolConfig,
    pub(super) target: &'a Target,
    /// Time of samples that do not carry one.
    pub(super) time: i64,
}

impl Reader<'_> {
    /// Reads a page. `counts` says what was seen even when it fails.
    pub(super) fn read(mut self, page: Page<'_>, counts: &mut Counts) -> Result<Rows, ScrapeError> {
        let mut rows = Rows { floats: Vec::with_capacity(self.cache.len()), ..Rows::default() };
        let mut created = CreatedTimes::new(page.format);
        let histograms = self.target.histograms;
        // In protobuf the parser does it.
        let mut converter = Converter::new(histograms.converts_classic && page.format != Format::Protobuf);
        let options = Options {
            wants_native: histograms.scrapes_native,
            keeps_classic: histograms.keeps_classic,
            converts_classic: histograms.converts_classic,
        };
        let mut parser = Parser::new(page.bytes, page.format, options);
        let mut comments: Option<OpenComments> = None;
        self.metadata.begin_scrape();
        loop {
            if let Some(ended) = comments.take_if(|open| open.has_sample) {
                self.learn_comments(&ended, parser.key_start(), page.bytes);
            }
            if !converter.is_on() {
                if comments.is_none() {
                    self.skip_comments(&mut parser, &mut created, rows.floats.len());
                }
                if created.is_idle()
                    && let Some((slot, value)) = self.next_value(&mut parser)
                {
                    comments.iter_mut().for_each(|open| open.has_sample = true);
                    self.take_value(slot, value, &mut rows, counts);
                    continue;
                }
            }
            if let (None, Some(start)) = (&comments, parser.comment_start()) {
                comments = Some(OpenComments::new(start, self.cache.last_shown()));
            }
            let guess = self.cache.guess();
            let known =
                guess.and_then(|(slot, len)| parser.next_known(len, |key| self.cache.is_key(slot, key)));
            let (item, slot) = match known {
                Some(item) => (item, guess.map(|(slot, _)| slot)),
                None => match parser.next() {
                    Some(item) => (item, None),
                    None => break,
                },
            };
            let item = item?;
            let (is_part, ended) = match &item {
                Item::Sample(sample) => converter.take(sample).map_err(ScrapeError::Text)?,
                _ => (false, converter.end()),
            };
            if let Some(converted) = ended {
                self.take_converted(converted, &mut rows, counts)?;
            }
            let mut noted = None;
            match item {
                // A line that goes into a histogram is no sample of its own, unless that is wanted.
                Item::Sample(sample) if is_part && !histograms.keeps_classic => {
                    let slot = slot.unwrap_or_else(|| self.cache.find(sample.key));
                    self.cache.show(slot);
                    self.cache.learn(slot, Known::Dropped);
                    comments.iter_mut().for_each(|open| open.has_sample = true);
                    continue;
                }
                Item::Sample(sample) => {
                    self.take(sample, slot, &mut rows, &mut created, counts)?;
                    comments.iter_mut().for_each(|open| open.has_sample = true);
                    continue;
                }
                Item::Type { name, metric_type } => {
                    converter.begin_family(name, metric_type == MetricType::Histogram);
                    created.begin_family(name, metric_type, rows.floats.len());
                    if let Some(data) = self.metadata.note(name) {
                        data.metric_type = metric_type;
                        noted = Some((self.metadata.place(), Some(metric_type)));
                    }
                }
                Item::Help { name, text } => {
                    if let Some(data) = self.metadata.note(name) {
                        if data.help != text {
                            data.help.clear();
                            data.help.push_str(&text);
                        }
                        noted = Some((self.metadata.place(), None));
                    }
                }
                Item::Unit { name, unit } => {
                    if let Some(data) = self.metadata.note(name) {
                        if data.unit != unit {
                            unit.clone_into(&mut data.unit);
                        }
                        noted = Some((self.metadata.place(), None));
                    }
                }
            }
            comments.iter_mut().for_each(|open| open.note(noted));
        }
        if let Some(converted) = converter.end() {
            self.take_converted(converted, &mut rows, counts)?;
        }
        self.metadata.end_scrape();
        if self.pool.limits.samples > 0 && counts.kept as u64 > self.pool.limits.samples {
            return Err(ScrapeError::SampleLimit);
        }
        if rows.is_over_bucket_limit {
            return Err(ScrapeError::BucketLimit);
        }
        Ok(rows)
    }

    /// Goes on behind the comments that come next, if they are those that came here in the last page.
    fn skip_comments(&mut self, parser: &mut Parser<'_>, created: &mut CreatedTimes, n_rows: usize) {
        if parser.comment_start().is_none() {
            return;
        }
        let Some(&CommentBlock { hash, len, families, last_type }) = self.cache.guess_comments() else {
            return;
        };
        let (cache, metadata) = (&*self.cache, &mut *self.metadata);
        let is_known =
            |bytes: &[u8]| cache.hash_comments(bytes) == hash && metadata.note_again(families, hash);
        if parser.skip_known(len as usize, last_type.map(|(_, metric_type)| metric_type), is_known)
            && let Some((place, metric_type)) = last_type
            && let Some(name) = self.metadata.name(place as usize)
        {
            created.begin_family(name, metric_type, n_rows);
        }
    }

    /// Remembers comments that ended where the key of a sample began.
    fn learn_comments(&mut self, ended: &OpenComments, end: Option<usize>, page: &[u8]) {
        let bytes = end.and_then(|end| page.get(ended.start..end)).unwrap_or_default();
        let hash = self.cache.hash_comments(bytes);
        if let Some(block) = ended.block(hash, bytes.len()) {
            self.metadata.set_named_by(block.families, hash);
            self.cache.set_comments(ended.after, block);
        }
    }

    /// The value of the line that comes next, if it has nothing else and its series is the one that came here in the last
    /// page.
    fn next_value(&self, parser: &mut Parser<'_>) -> Option<(SlotId, f64)> {
        let (slot, len) = self.cache.guess()?;
        if !matches!(self.cache.known(slot), Known::Series(_) | Known::Dropped) {
            return None;
        }
        let value = parser.next_value(len, |key| self.cache.is_key(slot, key))?;
        Some((slot, value))
    }

    /// As [`take`](Self::take), for what [`next_value`](Self::next_value) answered.
    fn take_value(&mut self, slot: SlotId, value: f64, rows: &mut Rows, counts: &mut Counts) {
        counts.scraped += 1;
        let is_first = self.cache.show(slot);
        if matches!(self.cache.known(slot), Known::Dropped) {
            return;
        }
        counts.kept += 1;
        if is_first {
            rows.floats.push(Row { slot, time: self.time, value, start: 0, is_tracked: true });
        } else {
            counts.duplicates += 1;
        }
    }

    fn take(
        &mut self,
        sample: Sample<'_>,
        slot: Option<SlotId>,
        rows: &mut Rows,
        created: &mut CreatedTimes,
        counts: &mut Counts,
    ) -> Result<(), ScrapeError> {
        counts.scraped += 1;
        let slot = slot.unwrap_or_else(|| self.cache.find(sample.key));
        let is_first = self.cache.show(slot);
        match self.cache.known(slot) {
            Known::Series(_) => {}
            Known::Dropped => return Ok(()),
            Known::Nothing | Known::Pending(..) => {
                if self.cache.pending(slot).is_none() {
                    let pairs = sample.pairs().map_err(ScrapeError::Text)?;
                    if !self.look_at(&pairs, slot, rows)? {
                        return Ok(());
                    }
                }
            }
        }
        counts.kept += 1;
        let own_time = sample.timestamp.filter(|_| self.pool.honor_timestamps);
        if !is_first && own_time.is_none() {
            counts.duplicates += 1;
            return Ok(());
        }
        let time = own_time.unwrap_or(self.time);
        let is_tracked = own_time.is_none() || self.pool.track_timestamps_staleness;
        let start = sample.start_ms.unwrap_or(0);
        if sample.has_exemplars() {
            let mut exemplars = Vec::new();
            sample.exemplars(&mut exemplars).map_err(ScrapeError::Text)?;
            take_exemplars(exemplars, slot, time, rows);
        }
        match sample.value {
            Value::Float(value) => {
                rows.floats.push(Row { slot, time, value, start, is_tracked });
                created.note(&sample, self.cache, &mut rows.floats).map_err(ScrapeError::Text)?;
            }
            Value::Histogram(histogram) => {
                if let Some(histogram) = self.limited(*histogram, rows)? {
                    rows.histograms.push(HistogramRow { slot, time, histogram, start, is_tracked });
                }
            }
        }
        Ok(())
    }

    /// A histogram that was put together from its lines.
    fn take_converted(
        &mut self,
        converted: Converted,
        rows: &mut Rows,
        counts: &mut Counts,
    ) -> Result<(), ScrapeError> {
        let Converted { key, pairs, histogram, timestamp, exemplars } = converted;
        counts.scraped += 1;
        let slot = self.cache.find(&key);
        let is_first = self.cache.see(slot);
        match self.cache.known(slot) {
            Known::Series(_) => {}
            Known::Dropped => return Ok(()),
            Known::Nothing | Known::Pending(..) => {
                if self.cache.pending(slot).is_none() && !self.look_at(&pairs, slot, rows)? {
                    return Ok(());
                }
            }
        }
        counts.kept += 1;
        let own_time = timestamp.filter(|_| self.pool.honor_timestamps);
        if !is_first && own_time.is_none() {
            counts.duplicates += 1;
            return Ok(());
        }
        let time = own_time.unwrap_or(self.time);
        let is_tracked = own_time.is_none() || self.pool.track_timestamps_staleness;
        take_exemplars(exemplars, slot, time, rows);
        if let Some(histogram) = self.limited(histogram, rows)? {
            rows.histograms.push(HistogramRow { slot, time, histogram, start: 0, is_tracked });
        }
        Ok(())
    }

    /// The histogram within the job's limits, or `None`, which the end of the page turns into an error: until then the
    /// samples are counted.
    fn limited(
        &self,
        mut histogram: Histogram,
        rows: &mut Rows,
    ) -> Result<Option<Arc<Histogram>>, ScrapeError> {
        let finest = finest_schema(self.pool.native_min_bucket_factor);
        let is_exponential = !histogram.has_custom_buckets();
        if is_exponential && finest < MAX_EXPONENTIAL_SCHEMA && histogram.schema > finest {
            histogram.reduce_resolution(finest);
        }
        histogram.validate().map_err(|error| ScrapeError::Text(error.to_string()))?;
        let limit = usize::try_from(self.pool.native_bucket_limit).unwrap_or(usize::MAX);
        while limit > 0 && histogram.n_buckets() > limit {
            if !histogram.reduce_resolution(histogram.schema.saturating_sub(1)) {
                rows.is_over_bucket_limit = true;
                return Ok(None);
            }
        }
        Ok(Some(Arc::new(histogram)))
    }

    /// Puts the labels of a series that is not known on the list. False: relabelling drops it.
    fn look_at(
        &mut self,
        pairs: &[LabelPair<'_>],
        slot: SlotId,
        rows: &mut Rows,
    ) -> Result<bool, ScrapeError> {
        let Some(labels) = series_labels(pairs, self.pool, self.target)? else {
            self.cache.learn(slot, Known::Dropped);
            return Ok(false);
        };
        let index = u32::try_from(rows.new_labels.len()).expect("a body is limited far below 2^32 samples");
        self.cache.set_pending(slot, index);
        rows.new_labels.push(labels);
        Ok(true)
    }
}

fn take_exemplars(mut exemplars: Vec<Exemplar>, slot: SlotId, time: i64, rows: &mut Rows) {
    for exemplar in &mut exemplars {
        exemplar.time_ms.get_or_insert(time);
    }
    // In the order of their times, so that an older one is not refused for a newer one beside it.
    exemplars.sort_by_key(|exemplar| exemplar.time_ms);
    rows.exemplars.extend(exemplars.into_iter().map(|exemplar| (slot, exemplar)));
}

/// The finest schema whose buckets grow by at least this factor; below 1: the finest there is.
fn finest_schema(factor: f64) -> i8 {
    if factor <= 1.0 {
        return MAX_EXPONENTIAL_SCHEMA;
    }
    let schema = (-factor.log2().log2()).floor();
    (MIN_EXPONENTIAL_SCHEMA..=MAX_EXPONENTIAL_SCHEMA)
        .rev()
        .find(|candidate| f64::from(*candidate) <= schema)
        .unwrap_or(MIN_EXPONENTIAL_SCHEMA)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_of_factors() {
        for (factor, want) in
            [(0.0, 8), (1.0, 8), (1.0001, 8), (1.1, 2), (1.5, 0), (2.0, 0), (2.1, -1), (4.0, -1), (1e9, -4)]
        {
            assert_eq!(finest_schema(factor), want, "{factor}");
        }
    }
}
