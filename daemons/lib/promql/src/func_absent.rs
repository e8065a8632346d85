//! `absent` and `absent_over_time`: one series where there is none.

use std::sync::Arc;

use cairn_model::{Labels, LabelsBuilder, MatchOp};

use crate::answer::EvalError;
use crate::ast::{Call, Expr, ExprKind, VectorSelector};
use crate::eval_range_vector::RangeSeries;
use crate::evaluator::{Evaluator, Sink};
use crate::parser_selector::METRIC_NAME;
use crate::series::{ABSENT, Series, Steps};
use crate::watch::Watch;

/// `absent(v)`
pub(crate) fn absent<'a>(
    evaluator: &mut Evaluator<'a>,
    call: &'a Call,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    let arg = &call.args[0];
    evaluator.hold(steps.n)?;
    let mut values = vec![1.0; steps.n];
    evaluator.stream(arg, steps, &mut |_, series| {
        for (step, value) in values.iter_mut().enumerate() {
            if series.is_present(step) {
                *value = ABSENT;
            }
        }
        Ok(())
    })?;
    evaluator.release(steps.n);
    push(evaluator, arg, values, sink)
}

/// `absent_over_time(r)`
pub(crate) fn absent_over_time<'a>(
    evaluator: &mut Evaluator<'a>,
    call: &'a Call,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    let arg = &call.args[0];
    evaluator.hold(steps.n)?;
    let mut values = vec![1.0; steps.n];
    let presence = |series: &RangeSeries<'_>, _: &mut Watch<'a>| {
        Ok((0..steps.n).map(|step| series.has_samples(step)).collect::<Vec<bool>>())
    };
    evaluator.map_ranges(arg, steps, presence, |_, presence| {
        for (value, is_present) in values.iter_mut().zip(presence) {
            if is_present {
                *value = ABSENT;
            }
        }
        Ok(())
    })?;
    evaluator.release(steps.n);
    push(evaluator, arg, values, sink)
}

fn push<'a>(
    evaluator: &mut Evaluator<'a>,
    arg: &Expr,
    values: Vec<f64>,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    let labels = match &arg.unwrap_parens().kind {
        ExprKind::Vector(selector) => labels_of(selector),
        ExprKind::Matrix(matrix) => labels_of(&matrix.selector),
        _ => Labels::empty(),
    };
    let series = Series::floats(Arc::new(labels), false, values);
    if series.is_empty() { Ok(()) } else { sink(evaluator, series) }
}

/// The labels that the missing series would have, as far as equalities say. Prometheus goes through the matchers in
/// order: a second one about a label takes it away, unless only the second is an equality.
fn labels_of(selector: &VectorSelector) -> Labels {
    let mut labels = LabelsBuilder::new();
    let mut named: Vec<&str> = Vec::new();
    for matcher in selector.matchers.iter().filter(|matcher| matcher.name() != METRIC_NAME) {
        let name = matcher.name();
        if matcher.op() == MatchOp::Equal && !named.contains(&name) {
            labels.set(name, matcher.value());
            named.push(name);
        } else {
            labels.set(name, "");
        }
    }
    labels.build()
}
