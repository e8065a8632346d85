//! Labels of a sample: those of the page, those of the target, relabelling, limits.

use cairn_model::gotext::quote;
use cairn_model::{Labels, LabelsBuilder};
use cairn_wire::exposition::LabelPair;

use super::ingest::ScrapeError;
use crate::config::resolve::PoolConfig;
use crate::relabel;
use crate::target::Target;

/// Characters of a name or value that a limit's message repeats.
const MAX_MESSAGE_CHARS: usize = 50;

/// Labels under which a sample is stored; `None` when relabelling drops it.
pub(super) fn series_labels(
    pairs: &[LabelPair<'_>],
    pool: &PoolConfig,
    target: &Target,
) -> Result<Option<Labels>, ScrapeError> {
    let mut labels = LabelsBuilder::new();
    for (name, value) in pairs {
        labels.set(name, value);
    }
    if pool.honor_labels {
        for (name, value) in target.labels.iter() {
            // An empty label of the body wins too: it removes the target's.
            if !pairs.iter().any(|(own, _)| own == name) {
                labels.set(name, value);
            }
        }
    } else {
        let mut renamed = Vec::new();
        for (name, value) in target.labels.iter() {
            if let Some(own) = labels.get(name) {
                renamed.push((name, own.to_owned()));
            }
            labels.set(name, value);
        }
        // Short names first, as the peer has it: `a` gets its new name before `exported_a` looks for one.
        renamed.sort_by_key(|(name, _)| name.len());
        for (name, own) in renamed {
            let mut free = format!("exported_{name}");
            while labels.get(&free).is_some() {
                free.insert_str(0, "exported_");
            }
            labels.set(&free, &own);
        }
    }
    if !relabel::apply_all(&pool.metric_relabel, &mut labels) {
        return Ok(None);
    }
    let labels = labels.build();
    if labels.is_empty() {
        return Ok(None);
    }
    let Some(name) = labels.get("__name__") else { return Err(ScrapeError::NoName) };
    let is_valid = pool.name_validation.allows_metric(name)
        && labels.iter().all(|(name, _)| pool.name_validation.allows_label(name));
    if !is_valid {
        return Err(ScrapeError::InvalidName(labels.to_string()));
    }
    check_limits(&labels, pool)?;
    Ok(Some(labels))
}

fn check_limits(labels: &Labels, pool: &PoolConfig) -> Result<(), ScrapeError> {
    let limits = &pool.limits;
    let over = |value: usize, limit: u64| limit > 0 && value as u64 > limit;
    let metric = cut(labels.value("__name__"));
    let refuse = |message: String| Err(ScrapeError::LabelLimit(message));
    if over(labels.len(), limits.labels) {
        return refuse(format!(
            "label_limit exceeded (metric: {metric}, number of labels: {}, limit: {})",
            labels.len(),
            limits.labels
        ));
    }
    for (name, value) in labels.iter() {
        if over(name.len(), limits.label_name_bytes) {
            return refuse(format!(
                "label_name_length_limit exceeded (metric: {metric}, label name: {}, length: {}, limit: {})",
                cut(name),
                name.len(),
                limits.label_name_bytes
            ));
        }
        if over(value.len(), limits.label_value_bytes) {
            return refuse(format!(
                "label_value_length_limit exceeded (metric: {metric}, label name: {}, value: {}, length: {}, limit: {})",
                cut(name),
                quote(cut(value)),
                value.len(),
                limits.label_value_bytes
            ));
        }
    }
    Ok(())
}

fn cut(text: &str) -> &str {
    text.char_indices().nth(MAX_MESSAGE_CHARS).map_or(text, |(end, _)| &text[..end])
}
