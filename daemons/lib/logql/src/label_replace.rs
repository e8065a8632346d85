//! `label_replace`.

use cairn_model::{Labels, goregex};

use crate::answer::EvalError;
use crate::ast::LabelReplace;
use crate::engine_metric::EvalSeries;

/// Sets the destination label of each series whose source label fits the pattern.
///
/// # Errors
/// A bad pattern (the parser refuses it before).
pub(crate) fn evaluate(
    replace: &LabelReplace,
    series: Vec<EvalSeries>,
) -> Result<Vec<EvalSeries>, EvalError> {
    let regex = goregex::compile_anchored(&replace.regex)
        .map_err(|e| EvalError::Query(format!("invalid regex in label_replace: {e}")))?;
    let relabel = |mut one: EvalSeries| {
        let source = one.labels.value(&replace.source).to_owned();
        if let Some(captures) = regex.captures(&source) {
            let mut value = String::new();
            captures.expand(&replace.replacement, &mut value);
            let others = one.labels.iter().filter(|(name, _)| *name != replace.destination);
            one.labels = Labels::from_pairs(others.chain([(replace.destination.as_str(), value.as_str())]));
        }
        one
    };
    Ok(series.into_iter().map(relabel).collect())
}
