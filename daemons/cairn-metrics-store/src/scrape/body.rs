//! One page, read to its end before anything of it is written: samples on a list, labels where the series is not known.

use cairn_model::{Exemplar, Labels};
use cairn_wire::exposition::{Format, Item, Options, Parser, Sample, Value};

use super::cache::{Known, SeriesCache, SlotId};
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

/// What a page holds.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) floats: Vec<Row>,
    /// Labels of series that are not known yet; [`SeriesCache::pending`] has the index.
    pub(super) new_labels: Vec<Labels>,
    /// With the slot of their series.
    pub(super) exemplars: Vec<(SlotId, Exemplar)>,
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
        let mut parser = Parser::new(page.bytes, page.format, Options::default());
        self.metadata.begin_scrape();
        loop {
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
            match item? {
                Item::Sample(sample) => self.take(&sample, slot, &mut rows, &mut created, counts)?,
                Item::Type { name, metric_type } => {
                    created.begin_family(name, metric_type, rows.floats.len());
                    if let Some(data) = self.metadata.note(name) {
                        data.metric_type = metric_type;
                    }
                }
                Item::Help { name, text } => {
                    if let Some(data) = self.metadata.note(name)
                        && data.help != text
                    {
                        data.help.clear();
                        data.help.push_str(&text);
                    }
                }
                Item::Unit { name, unit } => {
                    if let Some(data) = self.metadata.note(name)
                        && data.unit != unit
                    {
                        unit.clone_into(&mut data.unit);
                    }
                }
            }
        }
        self.metadata.end_scrape();
        if self.pool.limits.samples > 0 && counts.kept as u64 > self.pool.limits.samples {
            return Err(ScrapeError::SampleLimit);
        }
        Ok(rows)
    }

    fn take(
        &mut self,
        sample: &Sample<'_>,
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
                if self.cache.pending(slot).is_none() && !self.look_at(sample, slot, rows)? {
                    return Ok(());
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
        // The formats that are asked for give floats unless histograms are wanted.
        let Value::Float(value) = sample.value else { return Ok(()) };
        let is_tracked = own_time.is_none() || self.pool.track_timestamps_staleness;
        rows.floats.push(Row { slot, time, value, start: sample.start_ms.unwrap_or(0), is_tracked });
        created.note(sample, self.cache, &mut rows.floats).map_err(ScrapeError::Text)?;
        if sample.has_exemplars() {
            self.take_exemplars(sample, slot, time, rows)?;
        }
        Ok(())
    }

    /// Puts the labels of a series that is not known on the list. False: relabelling drops it.
    fn look_at(&mut self, sample: &Sample<'_>, slot: SlotId, rows: &mut Rows) -> Result<bool, ScrapeError> {
        let pairs = sample.pairs().map_err(ScrapeError::Text)?;
        let Some(labels) = series_labels(&pairs, self.pool, self.target)? else {
            self.cache.learn(slot, Known::Dropped);
            return Ok(false);
        };
        let index = u32::try_from(rows.new_labels.len()).expect("a body is limited far below 2^32 samples");
        self.cache.set_pending(slot, index);
        rows.new_labels.push(labels);
        Ok(true)
    }

    fn take_exemplars(
        &self,
        sample: &Sample<'_>,
        slot: SlotId,
        time: i64,
        rows: &mut Rows,
    ) -> Result<(), ScrapeError> {
        let mut exemplars = Vec::new();
        sample.exemplars(&mut exemplars).map_err(ScrapeError::Text)?;
        for exemplar in &mut exemplars {
            exemplar.time_ms.get_or_insert(time);
        }
        // In the order of their times, so that an older one is not refused for a newer one beside it.
        exemplars.sort_by_key(|exemplar| exemplar.time_ms);
        rows.exemplars.extend(exemplars.into_iter().map(|exemplar| (slot, exemplar)));
        Ok(())
    }
}
