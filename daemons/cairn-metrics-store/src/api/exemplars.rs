//! `query_exemplars`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use cairn_model::number::{write_json_float, write_plain_float};
use cairn_model::{Exemplar, Labels, Matcher, TimeMs};
use cairn_promql::Expr;
use cairn_tsdb::Db;
use std::sync::Arc;

use super::App;
use super::answer::{Answered, push_labels};
use super::error::{ApiError, no_data};
use super::params::Params;
use super::query::parsed;

/// `/api/v1/query_exemplars`: exemplars of the series that any selector of the query selects. A query without a selector
/// has no data at all.
pub(super) async fn exemplars(State(app): State<App>, params: Params) -> Result<Response, ApiError> {
    let start = params.time_or("start", TimeMs::MIN)?;
    let end = params.time_or("end", TimeMs::MAX)?;
    if end < start {
        return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
    }
    let matchers =
        |expr: Expr| expr.selectors().iter().map(|selector| selector.matchers.clone()).collect::<Vec<_>>();
    let sets: Vec<Vec<Matcher>> = parsed(&app, &params, matchers).await?;
    if sets.is_empty() {
        return Ok(no_data());
    }
    let question = move |db: &Db| Ok(json(&db.exemplars(&sets, start, end)));
    let found = app.running()?.engine.ask(question).await?;
    Ok(Answered::new(&found).into_response())
}

fn json(found: &[(Arc<Labels>, Vec<Exemplar>)]) -> String {
    let mut out = String::from("[");
    for (index, (series, exemplars)) in found.iter().enumerate() {
        out.push_str(if index > 0 { ",{\"seriesLabels\":" } else { "{\"seriesLabels\":" });
        push_labels(&mut out, series);
        out.push_str(",\"exemplars\":[");
        for (index, Exemplar { labels, value, time_ms }) in exemplars.iter().enumerate() {
            out.push_str(if index > 0 { ",{\"labels\":" } else { "{\"labels\":" });
            push_labels(&mut out, labels);
            // Writing to a String does not fail.
            out.push_str(",\"value\":\"");
            let _ = write_json_float(&mut out, *value);
            out.push_str("\",\"timestamp\":");
            let _ = write_plain_float(&mut out, TimeMs(time_ms.unwrap_or_default()).as_seconds());
            out.push('}');
        }
        out.push_str("]}");
    }
    out.push(']');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_as_the_peer_s() {
        let series = Arc::new(Labels::from_pairs([("__name__", "m_bucket"), ("le", "0.1")]));
        let exemplar = |trace, value, time_ms| Exemplar {
            labels: Labels::from_pairs([("trace_id", trace)]),
            value,
            time_ms: Some(time_ms),
        };
        let exemplars =
            vec![exemplar("tr1", 0.067, 1_795_223_998_348), exemplar("tr2", 1e21, 1_795_223_999_000)];
        let want = concat!(
            r#"[{"seriesLabels":{"__name__":"m_bucket","le":"0.1"},"exemplars":["#,
            r#"{"labels":{"trace_id":"tr1"},"value":"0.067","timestamp":1795223998.348},"#,
            r#"{"labels":{"trace_id":"tr2"},"value":"1e+21","timestamp":1795223999}]}]"#,
        );
        assert_eq!(json(&[(series, exemplars)]), want);
        assert_eq!(json(&[]), "[]");
    }
}
