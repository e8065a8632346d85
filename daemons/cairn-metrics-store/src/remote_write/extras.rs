//! Native histograms and exemplars: rarer than samples, so they are copied out of the request, and their series counted.

use std::sync::Arc;

use cairn_tsdb::{AppendError, ExemplarOutcome, ExemplarSample, HistogramSample, Outcome, SeriesRef};
use cairn_wire::remote_write::{Version, WriteRequest};

use super::{Receiver, Report};

impl Receiver {
    /// Appends what the given series have of both; to be called after their samples, as the peer does it.
    pub(super) fn append_extras(
        &self,
        request: &WriteRequest<'_>,
        version: Version,
        series: &[(u32, &SeriesRef)],
        report: &mut Report,
    ) -> Result<(), AppendError> {
        let mut histograms = Vec::new();
        let mut exemplars = Vec::new();
        // Positions in the request, one for each of both.
        let (mut of_histograms, mut of_exemplars) = (Vec::new(), Vec::new());
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
                        histograms.push(HistogramSample {
                            series: series.clone(),
                            time_ms: found.time_ms,
                            start_ms: found.start_ms,
                            histogram: Arc::new(histogram.clone()),
                        });
                        of_histograms.push(index);
                    }
                    Err(reason) => report.refuse(index, || reason),
                }
            }
            for found in &request.exemplars[one.exemplars.start as usize..one.exemplars.end as usize] {
                match found {
                    Ok(exemplar) => {
                        exemplars.push(ExemplarSample {
                            series: series.clone(),
                            labels: exemplar.labels.clone(),
                            value: exemplar.value,
                            time_ms: exemplar.time_ms.unwrap_or_default(),
                        });
                        of_exemplars.push(index);
                    }
                    Err(reason) => refuse_exemplar(version, index, reason, report),
                }
            }
        }
        if !histograms.is_empty() {
            let outcomes = self.storage.append_histograms(&mut histograms)?;
            for (index, outcome) in of_histograms.into_iter().zip(outcomes) {
                match outcome {
                    Outcome::Stored | Outcome::Duplicate => report.written.histograms += 1,
                    refused => report.refuse(index, || refused.to_string()),
                }
            }
        }
        if !exemplars.is_empty() {
            let outcomes = self.storage.db().append_exemplars(&exemplars)?;
            for (index, outcome) in of_exemplars.into_iter().zip(outcomes) {
                match outcome {
                    ExemplarOutcome::Stored | ExemplarOutcome::Duplicate => report.written.exemplars += 1,
                    // Whoever keeps none does not want to hear of them.
                    ExemplarOutcome::Disabled => {}
                    refused => refuse_exemplar(version, index, &refused.to_string(), report),
                }
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
