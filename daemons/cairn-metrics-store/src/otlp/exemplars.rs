//! Exemplars.

use cairn_wire::otlp_metrics as otlp;
use cairn_wire::prompb;

use super::{labels, to_ms};

/// Most characters of an exemplar's labels; beyond, its attributes are left out.
const MAX_EXEMPLAR_CHARS: usize = 128;

/// Exemplars with their values.
pub(super) fn exemplars(sent: &[otlp::Exemplar]) -> Result<Vec<(f64, prompb::Exemplar)>, String> {
    let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    sent.iter()
        .map(|one| {
            #[expect(
                clippy::cast_precision_loss,
                reason = "exemplars are floats; the peer converts the same way"
            )]
            let value = match (one.as_int, one.as_double) {
                (Some(whole), _) => whole as f64,
                (None, Some(value)) => value,
                (None, None) => return Err("unsupported exemplar value type: Empty".to_owned()),
            };
            let ids = [("trace_id", &one.trace_id), ("span_id", &one.span_id)].into_iter();
            let ids = ids.filter(|(_, id)| id.iter().any(|byte| *byte != 0));
            let mut pairs: Vec<(String, String)> = ids.map(|(name, id)| (name.to_owned(), hex(id))).collect();
            let attributes: Vec<(String, String)> =
                one.filtered_attributes.iter().map(|one| (one.key.clone(), labels::text(one))).collect();
            let chars = |pairs: &[(String, String)]| -> usize {
                pairs.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum()
            };
            if chars(&pairs) + chars(&attributes) <= MAX_EXEMPLAR_CHARS {
                pairs.extend(attributes);
            }
            pairs.sort();
            let labels = pairs.into_iter().map(|(name, value)| prompb::Label { name, value }).collect();
            Ok((value, prompb::Exemplar { labels, value, timestamp: to_ms(one.time_unix_nano) }))
        })
        .collect()
}
