//! OTLP metrics as series of Prometheus: what a collector or an SDK pushes becomes a request of remote write, and goes
//! the way of one.
//!
//! | file | answers |
//! |---|---|
//! | `otlp.rs` | which series does a metric become, with which samples |
//! | `otlp/settings.rs` | what the configuration says about all that |
//! | `otlp/exemplars.rs` | how do exemplars become ones of Prometheus |
//! | `otlp/histograms.rs` | how do exponential buckets become native ones |
//! | [`names`] | what are metrics and labels called |
//! | `otlp/labels.rs` | which attributes become labels |
//!
//! The rules and the texts are those of Prometheus's translator (`storage/remote/otlptranslator`).

mod exemplars;
mod histograms;
mod labels;
pub mod names;
mod settings;

use std::collections::BTreeSet;

use cairn_model::LabelsBuilder;
use cairn_model::histogram::Counts;
use cairn_model::number::plain_float;
use cairn_promql::source::STALE_NAN_BITS;
use cairn_wire::otlp_metrics as otlp;
use cairn_wire::prompb;

pub use settings::OtlpSettings;

use exemplars::exemplars;
use labels::{NAME, Shared, check_set, text_bytes};
use names::Kind;

/// `aggregation_temporality` of sums that go on from one push to the next.
const CUMULATIVE: i32 = 2;
/// Bit of `flags`: there is no value.
const NO_VALUE: u32 = 1;
/// Most samples of `target_info` of one resource: times that lie years apart would make millions.
const MAX_INFO_SAMPLES: usize = 1000;

/// Most bytes of labels and samples that one push may become: each data point has its own copy of what its resource and
/// its library say.
const MAX_BYTES: usize = 128 << 20;
/// Bytes of a series beside its texts and numbers.
const SERIES_BYTES: usize = 64;
/// Bytes of a label beside its texts.
const LABEL_BYTES: usize = 48;
/// Bytes of a sample, and of a bucket of a histogram with its span.
const SAMPLE_BYTES: usize = 16;
/// Faults that are told one by one; of more the number.
const MAX_ERRORS: usize = 100;

/// Why a push is refused whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TranslateError {
    /// In the peer's words, a line for each of the first faults.
    #[error("{0}")]
    Bad(String),
    /// More labels and samples than are taken at once.
    #[error("{0}")]
    TooLarge(String),
}

impl From<String> for TranslateError {
    fn from(text: String) -> Self {
        Self::Bad(text)
    }
}

/// The series of a push, or what is wrong with it, a line for each fault. `info_interval_ms`: the longest time that
/// `target_info` may be without a sample while a query still sees it, halved.
///
/// # Errors
/// [`TranslateError`]. Nothing of the push is to be kept then.
pub fn translate(
    request: &otlp::ExportRequest,
    settings: &OtlpSettings,
    info_interval_ms: i64,
) -> Result<prompb::WriteRequest, TranslateError> {
    let mut out = Out { settings, series: Vec::new(), left: MAX_BYTES, errors: Vec::new(), n_more: 0 };
    let mut infos = BTreeSet::new();
    for metrics in &request.resource_metrics {
        let nobody = otlp::Resource::default();
        let resource = metrics.resource.as_ref().unwrap_or(&nobody);
        if let Err(error) = out.resource(resource, metrics, info_interval_ms, &mut infos) {
            out.note(error)?;
        }
    }
    if out.errors.is_empty() {
        return Ok(prompb::WriteRequest { timeseries: out.series });
    }
    if out.n_more > 0 {
        out.errors.push(format!("and {} more", out.n_more));
    }
    Err(TranslateError::Bad(out.errors.join("\n")))
}

struct Out<'a> {
    settings: &'a OtlpSettings,
    series: Vec<prompb::TimeSeries>,
    /// Bytes that it may still take.
    left: usize,
    errors: Vec<String>,
    /// Faults beyond those.
    n_more: usize,
}

/// What all samples of a data point have in common.
struct Point<'a> {
    name: &'a str,
    labels: LabelsBuilder,
    time_ms: i64,
    has_value: bool,
}

impl Out<'_> {
    fn resource(
        &mut self,
        resource: &otlp::Resource,
        metrics: &otlp::ResourceMetrics,
        info_interval_ms: i64,
        infos: &mut BTreeSet<(u64, i64)>,
    ) -> Result<(), TranslateError> {
        let mut shared = Shared::of(resource, self.settings)?;
        let mut range: Option<(i64, i64)> = None;
        for scope in &metrics.scope_metrics {
            if let Err(error) = shared.set_scope(scope, self.settings) {
                self.note(error)?;
                continue;
            }
            for metric in &scope.metrics {
                for time in times(metric).map(to_ms) {
                    range = Some(range.map_or((time, time), |(min, max)| (min.min(time), max.max(time))));
                }
                if let Err(error) = self.metric(metric, &shared) {
                    self.note(error)?;
                }
            }
        }
        let Some((first, last)) = range else { return Ok(()) };
        let Some(info) = shared.target_info(resource, self.settings)? else { return Ok(()) };
        // Not the labels themselves, which may be long.
        let hash = info.build().stable_hash();
        let step = usize::try_from(info_interval_ms.max(1)).unwrap_or(usize::MAX);
        for time in (first..last).step_by(step).take(MAX_INFO_SAMPLES).chain([last]) {
            if infos.insert((hash, time)) {
                self.push(&info, time, 1.0, Vec::new())?;
            }
        }
        Ok(())
    }

    /// Keeps a fault to tell; one that ends the work is handed back.
    fn note(&mut self, error: TranslateError) -> Result<(), TranslateError> {
        match error {
            TranslateError::Bad(text) if self.errors.len() < MAX_ERRORS => self.errors.push(text),
            TranslateError::Bad(_) => self.n_more += 1,
            TranslateError::TooLarge(_) => return Err(error),
        }
        Ok(())
    }

    /// Takes the bytes of a series with so many samples and buckets, before it is built.
    fn charge(&mut self, labels: &LabelsBuilder, n_samples: usize) -> Result<(), TranslateError> {
        let n_bytes = text_bytes(labels.iter());
        check_set(n_bytes)?;
        let n_bytes = n_bytes + SERIES_BYTES + labels.iter().count() * LABEL_BYTES + n_samples * SAMPLE_BYTES;
        self.left = self.left.checked_sub(n_bytes).ok_or_else(|| {
            let text = format!(
                "the request becomes more than {MAX_BYTES} bytes of labels and samples; send smaller batches"
            );
            TranslateError::TooLarge(text)
        })?;
        Ok(())
    }

    fn metric(&mut self, metric: &otlp::Metric, shared: &Shared) -> Result<(), TranslateError> {
        let temporality = match metric {
            otlp::Metric { sum: Some(sum), .. } => Some(sum.aggregation_temporality),
            otlp::Metric { histogram: Some(histogram), .. } => Some(histogram.aggregation_temporality),
            otlp::Metric { exponential_histogram: Some(histogram), .. } => {
                Some(histogram.aggregation_temporality)
            }
            otlp::Metric { gauge: Some(_), .. } | otlp::Metric { summary: Some(_), .. } => None,
            _ => {
                return Err(format!(
                    "could not get aggregation temporality for {} as it has unsupported metric type Empty",
                    names::clipped(&metric.name)
                )
                .into());
            }
        };
        if temporality.is_some_and(|temporality| temporality != CUMULATIVE) {
            let name = cairn_model::gotext::quote(names::clipped(&metric.name));
            return Err(format!("invalid temporality and type combination for metric {name}").into());
        }
        let kind = match metric {
            otlp::Metric { sum: Some(sum), .. } if sum.is_monotonic => Kind::Counter,
            otlp::Metric { gauge: Some(_), .. } => Kind::Gauge,
            _ => Kind::Other,
        };
        let name = names::metric(&metric.name, &metric.unit, kind, self.settings.strategy)?;
        let settings = self.settings;
        let point = |attributes: &[otlp::KeyValue], time: u64, flags: u32| {
            let labels = shared.labels(attributes, settings)?;
            let has_value = flags & NO_VALUE == 0;
            Ok::<_, TranslateError>(Point { name: &name, labels, time_ms: to_ms(time), has_value })
        };
        if let Some(sum) = &metric.sum {
            for one in &sum.data_points {
                let exemplars = exemplars(&one.exemplars)?.into_iter().map(|(_, exemplar)| exemplar);
                let point = point(&one.attributes, one.time_unix_nano, one.flags)?;
                self.sample(&point, "", None, number(one), exemplars.collect())?;
            }
        } else if let Some(histogram) = &metric.histogram {
            for one in &histogram.data_points {
                self.histogram(&point(&one.attributes, one.time_unix_nano, one.flags)?, one)?;
            }
        } else if let Some(histogram) = &metric.exponential_histogram {
            for one in &histogram.data_points {
                let point = point(&one.attributes, one.time_unix_nano, one.flags)?;
                self.native(&point, &histograms::of_exponential(one, point.has_value)?, &one.exemplars)?;
            }
        } else if let Some(gauge) = &metric.gauge {
            for one in &gauge.data_points {
                let point = point(&one.attributes, one.time_unix_nano, one.flags)?;
                self.sample(&point, "", None, number(one), Vec::new())?;
            }
        } else if let Some(summary) = &metric.summary {
            for one in &summary.data_points {
                let point = point(&one.attributes, one.time_unix_nano, one.flags)?;
                self.sample(&point, "_sum", None, one.sum, Vec::new())?;
                self.sample(&point, "_count", None, one.count as f64, Vec::new())?;
                for quantile in &one.quantile_values {
                    let label = Some(("quantile", plain_float(quantile.quantile)));
                    self.sample(&point, "", label, quantile.value, Vec::new())?;
                }
            }
        }
        Ok(())
    }

    /// A histogram with bounds, as classic buckets or as one native sample.
    fn histogram(&mut self, point: &Point<'_>, one: &otlp::HistogramDataPoint) -> Result<(), TranslateError> {
        if self.settings.makes_native {
            return self.native(point, &histograms::of_bounds(one, point.has_value)?, &one.exemplars);
        }
        if let Some(sum) = one.sum {
            self.sample(point, "_sum", None, sum, Vec::new())?;
        }
        self.sample(point, "_count", None, one.count as f64, Vec::new())?;
        let mut exemplars = exemplars(&one.exemplars)?.into_iter().peekable();
        let mut cumulative = 0u64;
        for (bound, count) in one.explicit_bounds.iter().zip(&one.bucket_counts) {
            cumulative = cumulative.wrapping_add(*count);
            let mut inside = Vec::new();
            while let Some((_, exemplar)) = exemplars.next_if(|(value, _)| value <= bound) {
                inside.push(exemplar);
            }
            self.sample(point, "_bucket", Some(("le", plain_float(*bound))), cumulative as f64, inside)?;
        }
        let rest = exemplars.map(|(_, exemplar)| exemplar).collect();
        self.sample(point, "_bucket", Some(("le", "+Inf".to_owned())), one.count as f64, rest)?;
        Ok(())
    }

    fn native(
        &mut self,
        point: &Point<'_>,
        histogram: &cairn_model::Histogram,
        sent: &[otlp::Exemplar],
    ) -> Result<(), TranslateError> {
        let mut labels = point.labels.clone();
        labels.set(NAME, point.name);
        let n_buckets = match &histogram.counts {
            Counts::Int(buckets) => buckets.positive.len() + buckets.negative.len(),
            Counts::Float(buckets) => buckets.positive.len() + buckets.negative.len(),
        };
        self.charge(&labels, 1 + n_buckets + histogram.custom_bounds.len())?;
        self.series.push(prompb::TimeSeries {
            labels: messages(&labels),
            samples: Vec::new(),
            exemplars: exemplars(sent)?.into_iter().map(|(_, exemplar)| exemplar).collect(),
            histograms: vec![prompb::Histogram::of(point.time_ms, histogram)],
        });
        Ok(())
    }

    fn sample(
        &mut self,
        point: &Point<'_>,
        suffix: &str,
        label: Option<(&str, String)>,
        value: f64,
        exemplars: Vec<prompb::Exemplar>,
    ) -> Result<(), TranslateError> {
        let mut labels = point.labels.clone();
        if let Some((name, value)) = &label {
            labels.set(name, value);
        }
        labels.set(NAME, &format!("{}{suffix}", point.name));
        let value = if point.has_value { value } else { f64::from_bits(STALE_NAN_BITS) };
        self.push(&labels, point.time_ms, value, exemplars)
    }

    fn push(
        &mut self,
        labels: &LabelsBuilder,
        timestamp: i64,
        value: f64,
        exemplars: Vec<prompb::Exemplar>,
    ) -> Result<(), TranslateError> {
        self.charge(labels, 1)?;
        self.series.push(prompb::TimeSeries {
            labels: messages(labels),
            samples: vec![prompb::Sample { value, timestamp }],
            exemplars,
            histograms: Vec::new(),
        });
        Ok(())
    }
}

fn messages(labels: &LabelsBuilder) -> Vec<prompb::Label> {
    let labels = labels.build();
    let message =
        |(name, value): (&str, &str)| prompb::Label { name: name.to_owned(), value: value.to_owned() };
    labels.iter().map(message).collect()
}

fn to_ms(nanoseconds: u64) -> i64 {
    // Below 2^63 after the division.
    i64::try_from(nanoseconds / 1_000_000).unwrap_or(i64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "samples are floats; the peer converts the same way")]
fn number(point: &otlp::NumberDataPoint) -> f64 {
    point.as_int.map_or_else(|| point.as_double.unwrap_or_default(), |whole| whole as f64)
}

/// Times of all data points, in nanoseconds.
fn times(metric: &otlp::Metric) -> impl Iterator<Item = u64> {
    let numbers = metric.gauge.iter().flat_map(|gauge| &gauge.data_points);
    let numbers = numbers.chain(metric.sum.iter().flat_map(|sum| &sum.data_points));
    let histograms = metric.histogram.iter().flat_map(|histogram| &histogram.data_points);
    let exponential = metric.exponential_histogram.iter().flat_map(|histogram| &histogram.data_points);
    let summaries = metric.summary.iter().flat_map(|summary| &summary.data_points);
    numbers
        .map(|point| point.time_unix_nano)
        .chain(histograms.map(|point| point.time_unix_nano))
        .chain(exponential.map(|point| point.time_unix_nano))
        .chain(summaries.map(|point| point.time_unix_nano))
}

#[cfg(test)]
mod tests;
