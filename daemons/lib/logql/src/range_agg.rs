//! Range aggregations: reads the entries of every window once and hands them to the window functions.

use cairn_model::{Labels, MatchOp, duration};

use crate::answer::EvalError;
use crate::ast::{Conversion, Grouping, RangeAgg, RangeOp, Stage};
use crate::engine_logs::Meter;
use crate::engine_metric::EvalSeries;
use crate::labelset::{ERROR, LabelSet, Scratch, visible_metadata};
use crate::pipeline::{Hints, Pipeline, metric_hints};
use crate::range_count::WindowCounts;
use crate::range_values::{self, Sample, seconds};
use crate::series_index::{SeriesIndex, Shape};
use crate::source::{Direction, LogSource, Selection};
use crate::stage_label_filter::float_error;
use crate::steps::Steps;
use crate::units;

/// The error label of a value that is no number.
const EXTRACTION_ERROR: &str = "SampleExtractionErr";

/// Most unwrapped values that one query may hold.
const MAX_SAMPLES: usize = 20_000_000;

/// What one series has collected.
enum Collected {
    Counts(WindowCounts),
    Values(Vec<Sample>),
}

/// Evaluates `agg` at `steps`. `outer` is the grouping of a sum around it, which may be applied to each entry already.
///
/// # Errors
/// [`EvalError`]; also when entries with an error label would count.
pub(crate) fn evaluate(
    source: &dyn LogSource,
    agg: &RangeAgg,
    outer: Option<&Grouping>,
    steps: &Steps,
    meter: &mut Meter<'_>,
) -> Result<Vec<EvalSeries>, EvalError> {
    let query_error = |e: crate::parser::ParseError| EvalError::Query(e.to_string());
    let pipeline = Pipeline::compile(&agg.log.stages).map_err(query_error)?;
    let filters = agg.unwrap.as_ref().map_or(&[][..], |u| &u.filters);
    let after: Vec<Stage> = filters.iter().cloned().map(Stage::LabelFilter).collect();
    let after = Pipeline::compile(&after).map_err(query_error)?;
    let unwrapped = agg.unwrap.as_ref().map(|u| u.label.as_str());

    let is_absent = agg.op == RangeOp::AbsentOverTime;
    let nothing = Grouping::default();
    let grouping = if is_absent { Some(&nothing) } else { agg.grouping.as_ref().or(outer) };
    let mut names: Vec<String> = grouping.map_or_else(Vec::new, |g| g.labels.clone());
    names.sort_unstable();
    names.dedup();
    let by = grouping.filter(|g| !g.without).map(|_| names.as_slice());
    let shape = if by.is_some() { Shape::By(&names) } else { Shape::Without(&names, unwrapped) };
    let (hints, keeps_errors) = metric_hints(&agg.log.stages, by, unwrapped, filters);

    let mut index = SeriesIndex::default();
    let mut collected: Vec<Collected> = Vec::new();
    let mut n_samples = 0usize;
    let mut scratch = Scratch::default();
    let needles = pipeline.needles();
    let (start, end) = steps.span(agg.range, agg.offset);
    let selection = Selection {
        matchers: &agg.log.matchers,
        start,
        end,
        direction: Direction::Forward,
        needles: &needles,
    };
    for mut cursor in source.select(&selection)? {
        meter.stats.streams += 1;
        let stream = std::sync::Arc::clone(cursor.labels());
        while cursor.advance()? {
            let entry = cursor.entry();
            meter.count(&entry)?;
            let Some((first, last)) = steps.holding(entry.time.0, agg.range, agg.offset) else { continue };
            let renamed = visible_metadata(&stream, entry.metadata);
            let mut labels = LabelSet::new(&stream, renamed.as_ref().unwrap_or(entry.metadata), &mut scratch);
            let Some(line) = pipeline.run(entry.time, entry.line, &mut labels, &hints) else { continue };
            let value = match &agg.unwrap {
                None => None,
                Some(unwrap) => {
                    let Some(value) = unwrap_value(&mut labels, &unwrap.label, unwrap.conversion) else {
                        continue;
                    };
                    if after.run(entry.time, b"", &mut labels, &Hints::default()).is_none() {
                        continue;
                    }
                    Some(value)
                }
            };
            meter.stats.lines_kept += 1;
            let number = index.number(&labels, &shape)?;
            if number == collected.len() {
                collected.push(match value {
                    Some(_) if !is_absent => Collected::Values(Vec::new()),
                    _ => Collected::Counts(WindowCounts::default()),
                });
            }
            match (&mut collected[number], value) {
                (Collected::Values(samples), Some(value)) => {
                    n_samples += 1;
                    if n_samples > MAX_SAMPLES {
                        return Err(too_many_samples());
                    }
                    samples.push((entry.time.0, value));
                }
                (Collected::Counts(counts), _) => {
                    counts.add(first, last, i64::try_from(line.len()).unwrap_or(i64::MAX));
                }
                (Collected::Values(_), None) => {}
            }
        }
    }
    if !keeps_errors && let Some(at) = index.is_error.iter().position(|e| *e) {
        return Err(pipeline_error(&index.labels[at]));
    }
    if is_absent {
        return Ok(absent(agg, collected, steps));
    }
    let series = index.labels.into_iter().zip(collected).map(|(labels, collected)| {
        let points = match collected {
            Collected::Counts(counts) => count_points(agg, counts, steps),
            Collected::Values(samples) => {
                let parameter = agg.parameter.unwrap_or(f64::NAN);
                range_values::evaluate(agg.op, parameter, samples, steps, agg.range, agg.offset)
            }
        };
        EvalSeries { labels, points }
    });
    Ok(series.filter(|s| !s.points.is_empty()).collect())
}

fn too_many_samples() -> EvalError {
    EvalError::Query(format!(
        "the query unwraps more than {MAX_SAMPLES} values; select fewer streams or a shorter time range"
    ))
}

#[expect(clippy::cast_precision_loss, reason = "counts of lines and bytes are far below 2^53")]
fn count_points(agg: &RangeAgg, counts: WindowCounts, steps: &Steps) -> Vec<(u32, f64)> {
    let mut points = Vec::new();
    let range = seconds(agg.range);
    counts.sweep(steps.count, |step, entries, bytes| {
        let value = match agg.op {
            RangeOp::Rate => entries as f64 / range,
            RangeOp::BytesOverTime => bytes as f64,
            RangeOp::BytesRate => bytes as f64 / range,
            _ => entries as f64,
        };
        points.push((step, value));
    });
    points
}

/// 1 at every step without an entry, labelled with what the selector says for certain.
fn absent(agg: &RangeAgg, collected: Vec<Collected>, steps: &Steps) -> Vec<EvalSeries> {
    let mut present = vec![false; steps.count as usize];
    for collected in collected {
        if let Collected::Counts(counts) = collected {
            counts.sweep(steps.count, |step, _, _| present[step as usize] = true);
        }
    }
    let matchers = &agg.log.matchers;
    let labels = Labels::from_pairs(matchers.iter().filter_map(|m| {
        let is_alone = matchers.iter().filter(|other| other.name() == m.name()).count() == 1;
        (m.op() == MatchOp::Equal && is_alone).then_some((m.name(), m.value()))
    }));
    let points: Vec<(u32, f64)> =
        (0..steps.count).filter(|step| !present[*step as usize]).map(|step| (step, 1.0)).collect();
    if points.is_empty() { Vec::new() } else { vec![EvalSeries { labels, points }] }
}

/// The value of the unwrapped label; `None` skips the entry. A text that is no number sets the error labels.
fn unwrap_value(labels: &mut LabelSet<'_>, label: &str, conversion: Conversion) -> Option<f64> {
    let text = labels.get(label).filter(|t| !t.is_empty())?;
    let value = match conversion {
        Conversion::Float => units::parse_float(text).ok_or_else(|| float_error(text)),
        Conversion::Duration | Conversion::DurationSeconds => {
            duration::parse_go(text).map(seconds).ok_or_else(|| units::go_duration_error(text))
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "sizes are far below 2^53, and the result is a float by contract"
        )]
        Conversion::Bytes => units::parse_bytes(text).map(|bytes| bytes as f64),
    };
    match value {
        Ok(value) => Some(value),
        Err(details) => {
            labels.set_error(EXTRACTION_ERROR, &details);
            Some(0.0)
        }
    }
}

fn pipeline_error(labels: &Labels) -> EvalError {
    let kind = labels.value(ERROR);
    EvalError::Query(format!(
        "pipeline error: '{kind}' for series: '{labels}'.\n\
         Use a label filter to intentionally skip this error. (e.g | __error__!=\"{kind}\").\n\
         To skip all potential errors you can match empty errors.(e.g __error__=\"\")\n\
         The label filter can also be specified after unwrap. (e.g | unwrap latency | __error__=\"\" )\n"
    ))
}
