//! `/detected_labels`: which stream labels are worth offering, and how many values each has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use cairn_model::Labels;

use super::answer::json_response;
use super::error::ApiError;
use super::params::Params;
use super::request::Tenant;
use super::selector;
use crate::app::App;
use crate::json;

/// Labels that are listed whatever their values look like.
const ALWAYS_LISTED: [&str; 4] = ["cluster", "namespace", "instance", "pod"];

/// Names of stream labels with the number of their values. Labels of numbers or UUIDs only are left out.
pub(super) async fn labels(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    params: Params,
) -> Result<Response, ApiError> {
    let (start, end) = params.bounds(app.now())?;
    let matchers = selector::parse_optional(params.get("query"))?;
    let store = app.store()?.clone();
    let body = app
        .queries
        .run(app.config().limits.query_timeout.to_std(), move |_| {
            Ok(listing(&store.series(&tenant, &[matchers], start, end)))
        })
        .await?;
    Ok(json_response(body))
}

fn listing(streams: &[Arc<Labels>]) -> Vec<u8> {
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in streams.iter().flat_map(|labels| labels.iter()) {
        values.entry(name).or_default().insert(value);
    }
    values.retain(|name, values| {
        ALWAYS_LISTED.contains(name) || !values.iter().all(|value| is_identifier(value))
    });
    if values.is_empty() {
        return b"{}".to_vec();
    }
    let mut out = b"{\"detectedLabels\":[".to_vec();
    for (index, (name, values)) in values.iter().enumerate() {
        out.extend_from_slice(if index > 0 { b",{\"label\":" } else { b"{\"label\":" });
        json::push_string(&mut out, name.as_bytes());
        json::push_number(&mut out, format_args!(",\"cardinality\":{}}}", values.len()));
    }
    out.extend_from_slice(b"]}");
    out
}

/// A number or a UUID: a label of such values is no use for choosing.
fn is_identifier(value: &str) -> bool {
    let is_uuid = value.len() == 36
        && value.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    is_uuid || cairn_model::number::parse_float(value).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_identifiers_are_left_out() {
        let of = |pairs: &[(&str, &str)]| Arc::new(Labels::from_pairs(pairs.iter().copied()));
        let streams = [
            of(&[("app", "a"), ("idx", "01"), ("pod", "7"), ("id", "0af76519-16cd-43dd-8448-eb211c80319c")]),
            of(&[("app", "b"), ("idx", "2.5"), ("pod", "8")]),
        ];
        assert_eq!(
            String::from_utf8(listing(&streams)).unwrap(),
            r#"{"detectedLabels":[{"label":"app","cardinality":2},{"label":"pod","cardinality":2}]}"#
        );
        assert_eq!(listing(&[]), b"{}");
    }
}
