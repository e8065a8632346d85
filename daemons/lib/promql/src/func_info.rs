//! `info(v, {matchers})`: adds the labels of info series, such as `target_info`, to the series that they are about.
//!
//! An info series is about those with the same `instance` and `job`. Its labels are data labels; the matchers choose which of
//! them are added, and those on the name which info series there are.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cairn_model::{Labels, MatchOp, Matcher};

use crate::answer::EvalError;
use crate::ast::{Call, Expr, ExprKind, VectorSelector};
use crate::evaluator::{Evaluator, Sink};
use crate::loaded::Loaded;
use crate::parser_selector::METRIC_NAME;
use crate::series::{ABSENT, Series, Steps, merge_equal};

/// The labels by which info series and others find each other.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// The info series that are meant when nothing is said.
const DEFAULT_NAME: &str = "target_info";

/// The matchers of a call, taken apart.
struct Wanted<'c> {
    /// Which names info series have.
    names: Vec<Cow<'c, Matcher>>,
    /// Which data labels are wanted, and which values they have; all labels when empty.
    data: Vec<&'c Matcher>,
}

impl<'c> Wanted<'c> {
    fn of(call: &'c Call) -> Self {
        let matchers: &[Matcher] = match call.args.get(1).map(|arg| &arg.unwrap_parens().kind) {
            Some(ExprKind::Vector(selector)) => &selector.matchers,
            _ => &[],
        };
        let (names, data): (Vec<&Matcher>, Vec<&Matcher>) =
            matchers.iter().partition(|matcher| matcher.name() == METRIC_NAME);
        let mut names: Vec<Cow<'_, Matcher>> = names.into_iter().map(Cow::Borrowed).collect();
        if names.is_empty() {
            names.push(Cow::Owned(Matcher::equal(METRIC_NAME, DEFAULT_NAME)));
        } else if names.iter().all(|matcher| matcher.op().is_negative()) {
            // Names that are not wanted say nothing about those that are.
            let any = Matcher::new(METRIC_NAME, MatchOp::Regex, ".+_info").expect("a valid pattern");
            names.insert(0, Cow::Owned(any));
        }
        Self { names, data }
    }

    fn is_info_name(&self, name: &str) -> bool {
        self.names.iter().all(|matcher| matcher.matches(name))
    }

    fn is_data_label(&self, name: &str) -> bool {
        name != METRIC_NAME
            && (self.data.is_empty() || self.data.iter().any(|matcher| matcher.name() == name))
    }
}

/// Whether a call is one of `info`, whose second argument is not a vector to be evaluated.
pub(crate) fn is_info(call: &Call) -> bool {
    call.function.name == "info"
}

/// The matchers that select the info series of a call.
pub(crate) fn matchers(call: &Call) -> Vec<Matcher> {
    let wanted = Wanted::of(call);
    let names = wanted.names.into_iter().map(Cow::into_owned);
    names.chain(wanted.data.into_iter().cloned()).collect()
}

/// The selector that says when info series are looked at: the first one of the vector that they are added to.
pub(crate) fn time_selector(base: &Expr) -> Option<&VectorSelector> {
    base.selectors().into_iter().next()
}

/// Info series, and the times of their newest samples.
struct InfoSeries {
    loaded: Arc<Loaded>,
    /// For each series and each step, milliseconds.
    times: Vec<Vec<Option<i64>>>,
    /// By name, then by identifying labels.
    by_name: BTreeMap<String, HashMap<Labels, Vec<usize>>>,
}

impl InfoSeries {
    fn labels(&self, at: usize) -> &Labels {
        &self.loaded.at(at).labels
    }

    /// The info series that count for a base series at a step, at most one of each name: the one with the newest sample.
    fn at(&self, identity: &Labels, step: usize) -> Result<Vec<usize>, EvalError> {
        let mut found = Vec::new();
        for by_identity in self.by_name.values() {
            let mut newest: Option<(usize, i64)> = None;
            for at in by_identity.get(identity).into_iter().flatten() {
                let Some(time) = self.times[*at][step] else { continue };
                match newest {
                    Some((other, other_time)) if other_time == time => {
                        return Err(EvalError::Execution(format!(
                            "found duplicate series for info metric: existing {} @ {other_time}, new {} @ {time}",
                            self.labels(other),
                            self.labels(*at)
                        )));
                    }
                    Some((_, other_time)) if other_time > time => {}
                    _ => newest = Some((*at, time)),
                }
            }
            found.extend(newest.map(|(at, _)| at));
        }
        Ok(found)
    }
}

/// `info(v, {matchers})`
pub(crate) fn info<'a>(
    evaluator: &mut Evaluator<'a>,
    call: &'a Call,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    let wanted = Wanted::of(call);
    let base = evaluator.collect(&call.args[0], steps)?;
    evaluator.release_series(&base);
    let infos = info_series(evaluator, call, steps)?;
    for times in &infos.times {
        evaluator.count_present(times.iter().map(Option::is_some));
    }
    let keeps_unmatched = wanted.data.iter().all(|matcher| matcher.matches_empty());
    let mut all = Vec::new();
    for series in base {
        evaluator.tick(steps.n)?;
        if wanted.is_info_name(series.labels.value(METRIC_NAME)) {
            all.push(series);
            continue;
        }
        let identity = identity(&series.labels);
        // Series by the info series that count for them: those hardly ever change from step to step.
        let mut enriched: Vec<(Vec<usize>, Option<Series>)> = Vec::new();
        for step in 0..steps.n {
            let Some(sample) = series.at(step) else { continue };
            let counting = infos.at(&identity, step)?;
            let at = match enriched.iter().position(|(infos, _)| *infos == counting) {
                Some(at) => at,
                None => {
                    let labels = enriched_labels(&series.labels, &counting, &infos, &wanted)?;
                    let labels = labels.or_else(|| keeps_unmatched.then(|| Arc::clone(&series.labels)));
                    let result =
                        labels.map(|labels| Series::floats(labels, series.drops_name, vec![ABSENT; steps.n]));
                    enriched.push((counting, result));
                    enriched.len() - 1
                }
            };
            if let Some(result) = &mut enriched[at].1 {
                result.put(step, sample);
            }
        }
        all.extend(enriched.into_iter().filter_map(|(_, series)| series));
    }
    for series in merge_equal(all)? {
        sink(evaluator, series)?;
    }
    Ok(())
}

fn info_series(evaluator: &Evaluator<'_>, call: &Call, steps: Steps) -> Result<InfoSeries, EvalError> {
    let Some(selector) = time_selector(&call.args[0]) else {
        let loaded = Arc::default();
        return Ok(InfoSeries { loaded, times: Vec::new(), by_name: BTreeMap::new() });
    };
    let loaded = evaluator.loaded_infos(call);
    let placement = evaluator.placement(selector, evaluator.options.lookback_ms, steps)?;
    let times = loaded.iter().map(|series| series.newest_times(&placement)).collect();
    let mut by_name: BTreeMap<String, HashMap<Labels, Vec<usize>>> = BTreeMap::new();
    for (at, series) in loaded.iter().enumerate() {
        let by_identity = by_name.entry(series.labels.value(METRIC_NAME).to_owned()).or_default();
        by_identity.entry(identity(&series.labels)).or_default().push(at);
    }
    Ok(InfoSeries { loaded, times, by_name })
}

/// The identifying labels; without any, a series is about nothing.
fn identity(labels: &Labels) -> Labels {
    labels.iter().filter(|(name, _)| IDENTIFYING.contains(name)).collect()
}

/// The labels with the wanted ones of the info series, where the base has none of that name; `None` when nothing is added.
fn enriched_labels(
    base: &Arc<Labels>,
    counting: &[usize],
    infos: &InfoSeries,
    wanted: &Wanted<'_>,
) -> Result<Option<Arc<Labels>>, EvalError> {
    let mut added: BTreeMap<&str, &str> = BTreeMap::new();
    for at in counting {
        for (name, value) in infos.labels(*at).iter().filter(|(name, _)| wanted.is_data_label(name)) {
            if added.get(name).is_some_and(|other| *other != value) {
                return Err(EvalError::Execution(format!("conflicting label: {name}")));
            }
            if base.get(name).is_none() {
                added.insert(name, value);
            }
        }
    }
    if added.is_empty() {
        return Ok(None);
    }
    let mut builder = base.to_builder();
    for (name, value) in added {
        builder.set(name, value);
    }
    Ok(Some(Arc::new(builder.build())))
}
