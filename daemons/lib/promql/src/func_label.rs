//! `label_replace` and `label_join`: results with changed labels.

use std::sync::Arc;

use cairn_model::Labels;
use cairn_model::goregex;

use crate::answer::EvalError;
use crate::ast::{Call, Expr, ExprKind};
use crate::evaluator::{Evaluator, Sink};
use crate::parser_selector::METRIC_NAME;
use crate::series::{Series, Steps, merge_equal};

/// Longest value that a label is given, in bytes. A call can take what another made, so that without a limit values
/// grow without one.
const MAX_VALUE_BYTES: usize = 64 << 10;

/// `label_replace(v, dst, replacement, src, regex)`
pub(crate) fn label_replace<'a>(
    evaluator: &mut Evaluator<'a>,
    call: &'a Call,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    let (target, replacement) = (text(&call.args[1]), text(&call.args[2]));
    let (source, pattern) = (text(&call.args[3]), text(&call.args[4]));
    let regex = goregex::compile_anchored(pattern).map_err(|_| {
        EvalError::Execution(format!("invalid regular expression in label_replace(): {pattern}"))
    })?;
    if !is_label_name(target) {
        return Err(EvalError::Execution(format!(
            "invalid destination label name in label_replace(): {target}"
        )));
    }
    let n_groups = replacement.bytes().filter(|byte| *byte == b'$').count();
    relabel(evaluator, &call.args[0], steps, sink, target, |labels| {
        let matched = labels.value(source);
        let Some(captures) = regex.captures(matched) else { return Ok(None) };
        // No group is longer than all that was matched.
        check_len("label_replace", matched.len().saturating_mul(n_groups).saturating_add(replacement.len()))?;
        let mut value = String::new();
        captures.expand(replacement, &mut value);
        Ok(Some(value))
    })
}

/// `label_join(v, dst, separator, src...)`
pub(crate) fn label_join<'a>(
    evaluator: &mut Evaluator<'a>,
    call: &'a Call,
    steps: Steps,
    sink: Sink<'_, 'a>,
) -> Result<(), EvalError> {
    let (target, separator) = (text(&call.args[1]), text(&call.args[2]));
    let sources: Vec<&str> = call.args[3..].iter().map(text).collect();
    if let Some(source) = sources.iter().find(|source| !is_label_name(source)) {
        return Err(EvalError::Execution(format!("invalid source label name in label_join(): {source}")));
    }
    if !is_label_name(target) {
        return Err(EvalError::Execution(format!(
            "invalid destination label name in label_join(): {target}"
        )));
    }
    let of_separators = separator.len().saturating_mul(sources.len().saturating_sub(1));
    relabel(evaluator, &call.args[0], steps, sink, target, |labels| {
        let values = || sources.iter().map(|source| labels.value(source));
        check_len("label_join", values().map(str::len).sum::<usize>().saturating_add(of_separators))?;
        Ok(Some(values().collect::<Vec<_>>().join(separator)))
    })
}

fn check_len(function: &str, bytes: usize) -> Result<(), EvalError> {
    if bytes > MAX_VALUE_BYTES {
        return Err(EvalError::Execution(format!(
            "{function}() would make a label value of up to {bytes} bytes, at most {MAX_VALUE_BYTES} are allowed"
        )));
    }
    Ok(())
}

/// Sets `target` to what `value` says; `None` leaves the series alone.
fn relabel<'a>(
    evaluator: &mut Evaluator<'a>,
    arg: &'a Expr,
    steps: Steps,
    sink: Sink<'_, 'a>,
    target: &str,
    value: impl Fn(&Labels) -> Result<Option<String>, EvalError>,
) -> Result<(), EvalError> {
    let mut all: Vec<Series> = evaluator.collect(arg, steps)?;
    evaluator.release_series(&all);
    for series in &mut all {
        if let Some(value) = value(&series.labels)? {
            evaluator.tick(value.len())?;
            // Samples of 16 bytes; for what has few the series is charged enough. Labels stay until the query ends.
            evaluator.hold(value.len() / 16)?;
            let mut builder = series.labels.to_builder();
            builder.set(target, &value);
            series.labels = Arc::new(builder.build());
            if target == METRIC_NAME {
                // The name was given anew: a removal that was still to come does not concern it.
                series.drops_name = false;
            }
        }
    }
    for series in merge_equal(all)? {
        sink(evaluator, series)?;
    }
    Ok(())
}

/// The text of a string argument, which may stand in parentheses.
pub(crate) fn text(expr: &Expr) -> &str {
    match &expr.unwrap_parens().kind {
        ExprKind::String(text) => text,
        _ => unreachable!("the parser has checked that the argument is a string, and strings are literals"),
    }
}

/// Any text names a label but the empty one, and one that was no UTF-8 (which the parser replaced).
pub(crate) fn is_label_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('\u{fffd}')
}
