//! Native histograms and exemplars: rarer than samples, so they are copied out of the request, and their series counted.

use std::sync::Arc;

use cairn_tsdb::{AppendError, ExemplarOutcome, ExemplarSample, HistogramSample, Outcome, SeriesRef};
use cairn_wire::remote_write::{Version, WriteRequest};

use super::{Receiver, Report};

/// What a request has of both, for the database, with the positions in the request of the series that they belong to.
#[derive(Default)]
pub(super) struct Extras {
    pub(super) histograms: Vec<HistogramSample>,
    of_histograms: Vec<usize>,
    exemplars: Vec<ExemplarSample>,
    of_exemplars: Vec<usize>,
}

impl Extras {
    /// Reports what of the histograms was refused. One outcome for each.
    pub(super) fn refuse_histograms(&self, outcomes: &[Outcome], report: &mut Report) {
        for (index, outcome) in
            self.of_histograms.iter().zip(outcomes).filter(|(_, outcome)| !outcome.is_kept())
        {
            report.refuse(*index, || outcome.to_string());
        }
    }
}

impl Receiver {
    /// Reads what the given series have of both.
    pub(super) fn collect_extras(
        &self,
        request: &WriteRequest<'_>,
        version: Version,
        series: &[(u32, &SeriesRef)],
        report: &mut Report,
    ) -> Result<Extras, AppendError> {
        let mut extras = Extras::default();
        for &(at, series) in series {
            let index = at as usize;
            // What was dropped since the look-up has a successor by now: its samples made one.
            let series = &if series.is_dropped() {
                self.storage.resolve(&series.labels().to_labels())?
            } else {
                series.clone()
            };
            let one = &request.series[index];
            for found in &request.histograms[one.histograms.start as usize..one.histograms.end as usize] {
                let checked = found.histogram.as_ref().map_err(Clone::clone);
                match checked.and_then(|histogram| {
                    histogram.validate().map(|()| histogram).map_err(|error| error.to_string())
                }) {
                    Ok(histogram) => {
                        extras.histograms.push(HistogramSample {
                            series: series.clone(),
                            time_ms: found.time_ms,
                            start_ms: found.start_ms,
                            histogram: Arc::new(histogram.clone()),
                        });
                        extras.of_histograms.push(index);
                    }
                    Err(reason) => report.refuse(index, || reason),
                }
            }
            for found in &request.exemplars[one.exemplars.start as usize..one.exemplars.end as usize] {
                match found {
                    Ok(exemplar) => {
                        extras.exemplars.push(ExemplarSample {
                            series: series.clone(),
                            labels: exemplar.labels.clone(),
                            value: exemplar.value,
                            time_ms: exemplar.time_ms.unwrap_or_default(),
                        });
                        extras.of_exemplars.push(index);
                    }
                    Err(reason) => refuse_exemplar(version, index, reason, report),
                }
            }
        }
        Ok(extras)
    }

    /// Appends both; to be called after the samples, as the peer does it.
    pub(super) fn append_extras(
        &self,
        mut extras: Extras,
        version: Version,
        report: &mut Report,
    ) -> Result<(), AppendError> {
        if !extras.histograms.is_empty() {
            let outcomes = self.storage.append_histograms(&mut extras.histograms)?;
            report.written.histograms += outcomes.iter().filter(|outcome| outcome.is_kept()).count() as u64;
            extras.refuse_histograms(&outcomes, report);
        }
        self.append_exemplars(&extras, version, report)
    }

    /// Appends the exemplars.
    pub(super) fn append_exemplars(
        &self,
        extras: &Extras,
        version: Version,
        report: &mut Report,
    ) -> Result<(), AppendError> {
        if extras.exemplars.is_empty() {
            return Ok(());
        }
        let outcomes = self.storage.db().append_exemplars(&extras.exemplars)?;
        for (index, outcome) in extras.of_exemplars.iter().zip(outcomes) {
            match outcome {
                ExemplarOutcome::Stored | ExemplarOutcome::Duplicate => report.written.exemplars += 1,
                // Whoever keeps none does not want to hear of them.
                ExemplarOutcome::Disabled => {}
                refused => refuse_exemplar(version, *index, &refused.to_string(), report),
            }
        }
        Ok(())
    }
}

/// Version 1.0 does not tell its sender.
fn refuse_exemplar(version: Version, index: usize, reason: &str, report: &mut Report) {
    match version {
        Version::V1 => tracing::debug!(reason, "exemplar of remote write left out"),
        Version::V2 => report.refuse(index, || reason.to_owned()),
    }
}
