//! A store in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_model::Labels;
use cairn_promql::{SampleSource, Selection, SeriesData, SourceError};

use crate::notation::{self, Slot};

#[derive(Default)]
pub(crate) struct Store {
    series: BTreeMap<Labels, BTreeMap<i64, f64>>,
}

impl Store {
    pub(crate) fn load(&mut self, step_ms: i64, lines: &[String]) {
        let mut batch: BTreeMap<Labels, Vec<Slot>> = BTreeMap::new();
        for line in lines {
            if let Some((labels, slots)) = notation::series(line) {
                batch.insert(labels, slots);
            }
        }
        for (labels, slots) in batch {
            let samples = self.series.entry(labels).or_default();
            for (index, slot) in slots.into_iter().enumerate() {
                if let Slot::Value(value) = slot {
                    samples.insert(step_ms * i64::try_from(index).unwrap(), value);
                }
            }
        }
    }
}

impl SampleSource for Store {
    fn select(&self, selection: &Selection<'_>) -> Result<Vec<SeriesData>, SourceError> {
        Ok(self
            .series
            .iter()
            .filter(|(labels, _)| selection.matchers.iter().all(|matcher| matcher.matches_labels(labels)))
            .filter_map(|(labels, samples)| {
                let (times, values): (Vec<i64>, Vec<f64>) =
                    samples.range(selection.start.0..=selection.end.0).unzip();
                (!times.is_empty()).then(|| SeriesData {
                    labels: Arc::new(labels.clone()),
                    times,
                    values,
                    ..SeriesData::default()
                })
            })
            .collect())
    }
}
