//! Folds over [stored vectors](StoredVector). Each group is folded by one core, which makes the group's series one after the
//! other, in order, in memory that stays in its cache: so the digits are those of one core, and no series is written to be
//! read by another one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cairn_model::Labels;
use rayon::prelude::*;

use crate::agg::group_labels;
use crate::agg_fold::{State, takes_histograms};
use crate::annotations::{Note, Notes};
use crate::answer::EvalError;
use crate::ast::Aggregate;
use crate::batches::{PerThread, map_each};
use crate::evaluator::{Evaluator, Sink};
use crate::parser_selector::METRIC_NAME;
use crate::series::{Histograms, Series, Steps};
use crate::stored_vector::{Maker, Naming, Prepared, StoredVector};

/// Series whose labels one core looks at in a row.
const LABELS_IN_A_ROW: usize = 512;

/// A group and which series belong to it.
struct Members {
    labels: Arc<Labels>,
    /// Numbers of the series, ascending.
    series: Vec<usize>,
    /// See [`StoredVector::weight`].
    weight: usize,
}

/// The groups of all series, known before any of them is made.
pub(crate) struct Grouped<'a> {
    vector: StoredVector<'a>,
    groups: Vec<Members>,
    weight: usize,
}

impl<'a> Grouped<'a> {
    /// `None` when `aggregate` is over anything but stored series.
    pub(crate) fn of(evaluator: &Evaluator<'a>, aggregate: &'a Aggregate, steps: Steps) -> Option<Self> {
        let vector = StoredVector::of(evaluator, &aggregate.expr, steps)?;
        let has_identity = vector.naming != Naming::Dropped;
        let labels: Vec<Labels> = (0..vector.loaded.len())
            .into_par_iter()
            .with_min_len(LABELS_IN_A_ROW)
            .map(|number| group_labels(&aggregate.grouping, &vector.loaded.at(number).labels, has_identity))
            .collect();
        let mut index_of: HashMap<Arc<Labels>, usize> = HashMap::new();
        let mut groups: Vec<Members> = Vec::new();
        for (number, labels) in labels.into_iter().enumerate() {
            let at = match index_of.get(&labels) {
                Some(at) => *at,
                None => {
                    let labels = Arc::new(labels);
                    index_of.insert(Arc::clone(&labels), groups.len());
                    groups.push(Members { labels, series: Vec::new(), weight: 0 });
                    groups.len() - 1
                }
            };
            groups[at].series.push(number);
            groups[at].weight += vector.weight(number);
        }
        let weight = groups.iter().map(|group| group.weight).sum();
        Some(Self { vector, groups, weight })
    }

    /// Whether the groups can be shared among the cores, none of which has much more to do than the others.
    pub(crate) fn is_even(&self) -> bool {
        let heaviest = self.groups.iter().map(|group| group.weight).max().unwrap_or(0);
        // A quarter more than its share is what the others would wait for.
        heaviest.saturating_mul(rayon::current_num_threads()) <= self.weight + self.weight / 4
    }

    /// Pushes one series for each group that has any value, in the order in which the groups first have one.
    pub(crate) fn stream(
        mut self,
        evaluator: &mut Evaluator<'a>,
        aggregate: &'a Aggregate,
        steps: Steps,
        sink: Sink<'_, 'a>,
    ) -> Result<(), EvalError> {
        let prepared = self.vector.prepare(evaluator)?;
        // The heaviest first, so that the cores end at about the same time.
        self.groups.sort_by_key(|group| std::cmp::Reverse(group.weight));
        let fold = Folding {
            prepared: &prepared,
            aggregate,
            steps,
            room: evaluator.room(),
            n_held: AtomicU64::new(0),
        };
        let watch = evaluator.watch;
        let makers = PerThread::new(|| prepared.maker(watch));
        let folded =
            map_each(&self.groups, self.weight, |group| makers.with(|maker| fold.group(group, maker)))?;
        watch.check_stop()?;
        let n_held = usize::try_from(fold.n_held.into_inner()).unwrap_or(usize::MAX);
        evaluator.hold(n_held)?;
        prepared.finish(evaluator, makers.into_all());
        let mut folded: Vec<(usize, Series)> = folded.into_iter().flatten().collect();
        folded.sort_by_key(|(first, _)| *first);
        evaluator.release(n_held - steps.n * folded.len());
        for (_, series) in folded {
            evaluator.release(steps.n);
            sink(evaluator, series)?;
        }
        Ok(())
    }
}

/// What all groups have in common.
struct Folding<'f, 'a> {
    prepared: &'f Prepared<'a>,
    aggregate: &'a Aggregate,
    steps: Steps,
    /// Samples that may still be held, and those that are for the groups.
    room: u64,
    n_held: AtomicU64,
}

impl<'f, 'a> Folding<'f, 'a> {
    /// The group's values, with the number of the first of its series that has any; nothing when none has.
    fn group(
        &self,
        group: &Members,
        maker: &mut Maker<'f, 'a>,
    ) -> Result<Option<(usize, Series)>, EvalError> {
        let (op, span) = (self.aggregate.op, self.aggregate.expr.span);
        let naming = self.prepared.vector.naming;
        let mut notes = Notes::default();
        let mut state: Option<(usize, State)> = None;
        for &number in &group.series {
            if !self.prepared.make(number, maker)? {
                continue;
            }
            maker.watch.tick(self.steps.n)?;
            let Maker { series, annotations, .. } = maker;
            if !takes_histograms(op) && !series.histograms.is_empty() {
                annotations.note(Note::IgnoredInGroup(op.as_str()), "", span);
                series.histograms = Histograms::default();
                if series.is_empty() {
                    continue;
                }
            }
            if state.is_none() {
                self.hold()?;
            }
            let (_, state) = state.get_or_insert_with(|| (number, State::new(op, self.steps.n)));
            state.add(op, series, &mut notes);
            let name = if naming == Naming::Dropped { "" } else { series.labels.value(METRIC_NAME) };
            for note in notes.drain() {
                annotations.note(note, name, span);
            }
        }
        let Some((first, state)) = state else { return Ok(None) };
        let drops_name = naming == Naming::Delayed && group.labels.get(METRIC_NAME).is_some();
        let series = state.finish(Arc::clone(&group.labels), drops_name, &mut notes);
        for note in notes.drain() {
            maker.annotations.note(note, "", span);
        }
        Ok((!series.is_empty()).then_some((first, series)))
    }

    /// Counts a group's values as held.
    fn hold(&self) -> Result<(), EvalError> {
        let n = self.steps.n as u64;
        if self.n_held.fetch_add(n, Ordering::Relaxed).saturating_add(n) > self.room {
            return Err(EvalError::TooManySamples);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use cairn_model::float_histogram::IndexedCount;
    use cairn_model::histogram::ResetHint;
    use cairn_model::{FloatHistogram, Histogram};
    use proptest::prelude::*;

    use super::*;
    use crate::answer::Options;
    use crate::ast::ExprKind;
    use crate::series::{ABSENT, is_absent};
    use crate::source::{HistogramPoint, SampleSource, Selection, SeriesData, SourceError};
    use crate::{agg_fold, eval_load, parse};

    struct Source(Vec<SeriesData>);

    impl SampleSource for Source {
        fn select(&self, selection: &Selection<'_>) -> Result<Vec<SeriesData>, SourceError> {
            let is_selected =
                |one: &&SeriesData| selection.matchers.iter().all(|m| m.matches_labels(&one.labels));
            Ok(self.0.iter().filter(is_selected).cloned().collect())
        }
    }

    fn histogram(time: i64, count: f64) -> HistogramPoint {
        let histogram = FloatHistogram {
            reset_hint: ResetHint::Unknown,
            schema: 1,
            zero_threshold: 0.01,
            zero_count: 1.0,
            count: 1.0 + count,
            sum: count * 3.5,
            positive: vec![IndexedCount { index: 2, count }],
            negative: Vec::new(),
            custom_bounds: Arc::default(),
        };
        HistogramPoint { time, start: 0, histogram: Arc::new(Histogram::from(&histogram)) }
    }

    /// What a series is like: with gaps, markers, histograms, or all of these.
    fn series(number: usize, kind: u8, values: &[f64]) -> SeriesData {
        let text = [number / 5, number % 3, number].map(|n| n.to_string());
        let labels =
            Labels::from_pairs([("__name__", "m"), ("a", &text[0]), ("b", &text[1]), ("c", &text[2])]);
        let mut one = SeriesData { labels: Arc::new(labels), ..SeriesData::default() };
        for (at, value) in (0i64..).zip(values) {
            let time = at * 15_000 + i64::from(kind % 3);
            match (kind, at % 20) {
                (1, 3..9) | (2, 0..15) => {}
                (3, _) | (4, 5..12) => one.histograms.push(histogram(time, value.abs().min(1e9).floor())),
                (5, 7) => {
                    one.times.push(time);
                    one.values.push(ABSENT);
                }
                _ => {
                    one.times.push(time);
                    one.values.push(*value);
                }
            }
        }
        one
    }

    /// All that comes of it, in order, to the last bit.
    fn outcome(
        source: &Source,
        query: &str,
        options: &Options<'_>,
        steps: Steps,
        in_groups: bool,
    ) -> (String, u64) {
        let expr = parse(query).unwrap();
        let ExprKind::Aggregate(aggregate) = &expr.kind else { panic!("{query} is no aggregation") };
        let mut evaluator = Evaluator::for_range(source, options, steps, steps.end());
        let mut text = String::new();
        let mut sink = |_: &mut Evaluator<'_>, series: Series| {
            text += &format!("{} {}", series.labels, series.drops_name);
            for (step, value) in series.values.iter().enumerate() {
                // Which NaN it is says nothing, but for the one that stands for nothing.
                let bits = if value.is_nan() && !is_absent(*value) { 1 } else { value.to_bits() };
                text += &format!(" {bits:x} {:?}", series.histograms.get(step));
            }
            text.push('\n');
            Ok(())
        };
        let done = match eval_load::load(&mut evaluator, &expr, steps) {
            Err(error) => Err(error),
            Ok(()) if in_groups => Grouped::of(&evaluator, aggregate, steps).unwrap().stream(
                &mut evaluator,
                aggregate,
                steps,
                &mut sink,
            ),
            Ok(()) => agg_fold::stream_any(&mut evaluator, aggregate, steps, &mut sink),
        };
        match done {
            Ok(()) => {
                let said = (&evaluator.annotations.warnings, &evaluator.annotations.infos);
                let counted = evaluator.counts.total();
                (format!("{text}{said:?} {} {counted}", evaluator.room()), evaluator.peak)
            }
            Err(error) => (error.to_string(), 0),
        }
    }

    const OPERATORS: [&str; 8] = ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"];
    const GROUPINGS: [&str; 5] = ["", "by (a)", "by (b, __name__)", "without (b, c)", "by (c)"];
    const VECTORS: [&str; 7] = [
        "m",
        "rate(m[5m])",
        "(increase(m[1m]))",
        "last_over_time(m[2m])",
        "quantile_over_time(scalar(m{c=\"0\"}) / 4, m[3m])",
        "m smoothed",
        "irate(m{b!=\"1\"}[90s] offset 1m)",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

        #[test]
        fn groups_on_all_cores_are_those_of_one_fold(
            all in proptest::collection::vec((0u8..7, proptest::collection::vec(prop_oneof![
                20 => 0f64..1e6,
                5 => -1e3f64..1e3,
                1 => Just(f64::NAN),
                1 => Just(f64::INFINITY),
                1 => Just(1e308),
            ], 0..120)), 0..40),
            op in 0usize..8, grouping in 0usize..5, vector in 0usize..7,
            step in prop_oneof![Just(15_000i64), 1_000i64..100_000], n in 1usize..150,
            delayed_name_removal in any::<bool>(), max_samples in prop_oneof![9 => Just(1 << 20), 1 => 0u64..20_000],
        ) {
            let mut source = Source(
                all.iter().enumerate().map(|(number, (kind, values))| series(number, *kind, values)).collect(),
            );
            source.0.sort_by(|a, b| a.labels.cmp(&b.labels));
            let query = format!("{} {} ({})", OPERATORS[op], GROUPINGS[grouping], VECTORS[vector]);
            let options = Options { delayed_name_removal, max_samples, ..Options::default() };
            let steps = Steps { start: 0, step, n };
            let want = outcome(&source, &query, &options, steps, false);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
            let got = pool.install(|| outcome(&source, &query, &options, steps, true));
            prop_assert_eq!(got, want, "{}", query);
        }
    }

    #[test]
    fn a_query_that_is_to_stop_does_so_between_groups() {
        let values: Vec<f64> = (0..4000).map(f64::from).collect();
        let source = Source((0..300).map(|number| series(number, 0, &values)).collect());
        let steps = Steps { start: 0, step: 15_000, n: 4000 };
        let asked = AtomicU64::new(0);
        let stop = || (asked.fetch_add(1, Ordering::Relaxed) > 5).then_some(crate::answer::Stop::Canceled);
        let options = Options { stop: Some(&stop), ..Options::default() };
        let canceled = EvalError::Canceled.to_string();
        assert_eq!(outcome(&source, "sum by (a) (rate(m[5m]))", &options, steps, true).0, canceled);
        assert!(asked.into_inner() < 20, "every core asks once more at most");
    }

    #[test]
    fn one_group_that_is_most_of_the_work_is_left_to_be_folded_as_its_series_come() {
        let values: Vec<f64> = (0..100).map(f64::from).collect();
        let source = Source((0..300).map(|number| series(number, 0, &values)).collect());
        let steps = Steps { start: 0, step: 15_000, n: 100 };
        let options = Options::default();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        for (query, want) in [
            ("sum by (a) (m)", Some(true)),
            ("sum(m)", Some(false)),
            ("sum by (a) (-m)", None),
            ("sum by (a) (m @ 5)", None),
        ] {
            let expr = parse(query).unwrap();
            let ExprKind::Aggregate(aggregate) = &expr.kind else { panic!("{query} is no aggregation") };
            let found = pool.install(|| {
                let mut evaluator = Evaluator::for_range(&source, &options, steps, steps.end());
                eval_load::load(&mut evaluator, &expr, steps).unwrap();
                Grouped::of(&evaluator, aggregate, steps).map(|grouped| grouped.is_even())
            });
            assert_eq!(found, want, "{query}");
        }
    }
}
