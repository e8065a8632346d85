//! When counting began, as OpenMetrics says it: a sample `<family>_created` beside those that it is about.
//!
//! It stays a series of its own, as in the peer by default, and its time goes along with the samples of the same labels
//! (`le` and `quantile` apart) of its family. It comes after them, as a rule; those that follow it get it as well.

use cairn_model::MetricType;
use cairn_wire::exposition::{Format, LabelPair, Sample, Value};
use xxhash_rust::xxh3::xxh3_64;

use super::body::Row;
use super::cache::SeriesCache;

/// Set in the group of `_created` itself.
const IS_CREATED: u64 = 1;

/// Set in every group, since 0 means that it is not known.
const IS_KNOWN: u64 = 2;

/// Watches the samples of a page go by.
#[derive(Debug)]
pub(super) struct CreatedTimes {
    is_open_metrics: bool,
    family: String,
    /// The label that tells apart samples which began at one time; `None`: nothing begins in this family.
    inner_label: Option<&'static str>,
    /// Index of the family's first row.
    first_row: usize,
    /// Group and time of the last `_created` of the family.
    last: Option<(u64, i64)>,
}

impl CreatedTimes {
    pub(super) fn new(format: Format) -> Self {
        Self {
            is_open_metrics: format == Format::OpenMetrics,
            family: String::new(),
            inner_label: None,
            first_row: 0,
            last: None,
        }
    }

    /// `# TYPE`; the family's samples follow.
    pub(super) fn begin_family(&mut self, name: &str, metric_type: MetricType, n_rows: usize) {
        if !self.is_open_metrics {
            return;
        }
        self.inner_label = match metric_type {
            MetricType::Counter => Some(""),
            MetricType::Histogram => Some("le"),
            MetricType::Summary => Some("quantile"),
            _ => None,
        };
        name.clone_into(&mut self.family);
        self.first_row = n_rows;
        self.last = None;
    }

    /// Whether nothing begins in this family, so that its samples need not be noted.
    pub(super) fn is_idle(&self) -> bool {
        self.inner_label.is_none()
    }

    /// A sample whose row is the last one.
    pub(super) fn note(
        &mut self,
        sample: &Sample<'_>,
        cache: &mut SeriesCache,
        rows: &mut [Row],
    ) -> Result<(), String> {
        let (Some(inner_label), Some((row, before))) = (self.inner_label, rows.split_last_mut()) else {
            return Ok(());
        };
        let mut group = cache.group(row.slot);
        if group == 0 {
            group = self.group_of(&sample.pairs()?, inner_label);
            cache.set_group(row.slot, group);
        }
        if group & IS_CREATED == 0 {
            if let Some((of, start)) = self.last
                && of == group
            {
                row.start = start;
            }
            return Ok(());
        }
        let group = group & !IS_CREATED;
        let Value::Float(seconds) = sample.value else { return Ok(()) };
        #[expect(clippy::cast_possible_truncation, reason = "fractions of a millisecond go")]
        let start = (seconds * 1000.0) as i64;
        // What began after the sample, or at no time, is nothing to go by.
        if start <= 0 || start > row.time {
            return Ok(());
        }
        let family = before.get_mut(self.first_row..).unwrap_or_default();
        for earlier in family.iter_mut().rev() {
            if cache.group(earlier.slot) != group {
                break;
            }
            earlier.start = start;
        }
        self.last = Some((group, start));
        Ok(())
    }

    fn group_of(&self, pairs: &[LabelPair<'_>], inner_label: &str) -> u64 {
        let mut bytes = Vec::new();
        let mut is_created = false;
        for (name, value) in pairs {
            if name == "__name__" {
                is_created = value.strip_suffix("_created") == Some(&self.family);
            } else if name != inner_label {
                for text in [name, value] {
                    bytes.extend_from_slice(text.as_bytes());
                    bytes.push(0xff);
                }
            }
        }
        bytes.extend_from_slice(self.family.as_bytes());
        (xxh3_64(&bytes) & !IS_CREATED) | IS_KNOWN | if is_created { IS_CREATED } else { 0 }
    }
}
