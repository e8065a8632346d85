//! Aggregations: puts series into groups and hands each group to its operator.
//!
//! | file | operators |
//! |---|---|
//! | `agg_fold.rs` | `sum avg min max count group stddev stdvar`: folded as series arrive |
//! | `agg_stored.rs` | the same over stored series, each group on one core |
//! | `agg_select.rs` | `topk bottomk limitk limit_ratio`: keep whole elements |
//! | `agg_values.rs` | `quantile count_values`: need all values of a step |

use std::collections::HashMap;
use std::sync::Arc;

use cairn_model::Labels;

use crate::annotations::Note;
use crate::answer::EvalError;
use crate::ast::{Aggregate, AggregateOp, Grouping};
use crate::evaluator::{Evaluator, Sink};
use crate::parser_selector::METRIC_NAME;
use crate::series::{Histograms, Series, Steps, is_identity_label};
use crate::{agg_fold, agg_select, agg_values};

/// Pushes the groups' results.
pub(crate) fn stream<'a>(
    evaluator: &mut Evaluator<'a>,
    aggregate: &'a Aggregate,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    match aggregate.op {
        AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK | AggregateOp::LimitRatio => {
            agg_select::stream(evaluator, aggregate, steps, sink)
        }
        AggregateOp::Quantile => agg_values::stream_quantile(evaluator, aggregate, steps, sink),
        AggregateOp::CountValues => agg_values::stream_count_values(evaluator, aggregate, steps, sink),
        AggregateOp::Sum
        | AggregateOp::Avg
        | AggregateOp::Min
        | AggregateOp::Max
        | AggregateOp::Count
        | AggregateOp::Group
        | AggregateOp::StdDev
        | AggregateOp::StdVar => agg_fold::stream(evaluator, aggregate, steps, sink),
    }
}

/// Drops native histograms for an operator of numbers, and says so. False when nothing is left.
pub(crate) fn ignore_histograms(
    evaluator: &mut Evaluator<'_>,
    aggregate: &Aggregate,
    series: &mut Series,
) -> bool {
    if !series.histograms.is_empty() {
        let note = Note::IgnoredInGroup(aggregate.op.as_str());
        evaluator.annotations.note(note, "", aggregate.expr.span);
        series.histograms = Histograms::default();
        return !series.is_empty();
    }
    true
}

/// The labels of the group that a series belongs to. `has_identity` says whether the series still is the metric that its
/// labels name.
pub(crate) fn group_labels(grouping: &Grouping, labels: &Labels, has_identity: bool) -> Labels {
    match grouping {
        Grouping::All => Labels::empty(),
        Grouping::By(names) => labels
            .iter()
            .filter(|(name, _)| names.iter().any(|kept| kept == name))
            .filter(|(name, _)| has_identity || !is_identity_label(name))
            .collect(),
        Grouping::Without(names) => labels
            .iter()
            .filter(|(name, _)| !is_identity_label(name) && !names.iter().any(|dropped| dropped == name))
            .collect(),
    }
}

/// Groups in the order in which they first occur, each with the state of an operator.
pub(crate) struct Groups<T> {
    index_of: HashMap<Arc<Labels>, usize>,
    pub(crate) all: Vec<Group<T>>,
}

/// One group.
pub(crate) struct Group<T> {
    pub(crate) labels: Arc<Labels>,
    /// Whether a name in `labels` is to go at the end of the query: true as soon as one member's is.
    pub(crate) drops_name: bool,
    pub(crate) state: T,
}

impl<T> Groups<T> {
    pub(crate) fn new() -> Self {
        Self { index_of: HashMap::new(), all: Vec::new() }
    }

    /// The group of a series, made by `new` when it is the first one.
    pub(crate) fn of(
        &mut self,
        grouping: &Grouping,
        series: &Series,
        new: impl FnOnce() -> Result<T, EvalError>,
    ) -> Result<&mut Group<T>, EvalError> {
        let labels = group_labels(grouping, &series.labels, true);
        let at = match self.index_of.get(&labels) {
            Some(at) => *at,
            None => {
                let labels = Arc::new(labels);
                self.index_of.insert(Arc::clone(&labels), self.all.len());
                self.all.push(Group { labels, drops_name: false, state: new()? });
                self.all.len() - 1
            }
        };
        let group = &mut self.all[at];
        group.drops_name |= series.drops_name && group.labels.get(METRIC_NAME).is_some();
        Ok(group)
    }
}
