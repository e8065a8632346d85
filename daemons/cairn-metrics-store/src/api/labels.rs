//! `labels`, `label/<name>/values`, `series`.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use cairn_model::{Labels, Matcher, TimeMs};
use cairn_promql::SourceError;
use cairn_tsdb::Db;

use super::App;
use super::answer::{Answered, push_labels};
use super::error::ApiError;
use super::params::Params;

const TRUNCATED: &str = "results truncated due to limit";

/// What all three take.
struct Question {
    selectors: Vec<Vec<Matcher>>,
    start: TimeMs,
    end: TimeMs,
    limit: usize,
}

impl Question {
    fn read(params: &Params) -> Result<Self, ApiError> {
        Ok(Self {
            limit: params.limit()?,
            start: params.time_or("start", TimeMs::MIN)?,
            end: params.time_or("end", TimeMs::MAX)?,
            selectors: params.selectors()?,
        })
    }
}

/// The first `limit` of all, with the warning when there were more.
fn truncated<T>(mut list: Vec<T>, limit: usize) -> (Vec<T>, Vec<String>) {
    if limit == 0 || list.len() <= limit {
        return (list, Vec::new());
    }
    list.truncate(limit);
    (list, vec![TRUNCATED.to_owned()])
}

fn strings(list: Vec<String>, limit: usize) -> Answered {
    let (list, warnings) = truncated(list, limit);
    Answered::of(&list).with(warnings, Vec::new())
}

/// Unites the answers for each selector; without any, asks once for everything.
fn united(
    selectors: &[Vec<Matcher>],
    of: impl Fn(&[Matcher]) -> Result<Vec<String>, SourceError>,
) -> Result<Vec<String>, SourceError> {
    match selectors {
        [] => of(&[]),
        [one] => of(one),
        several => {
            let mut all = BTreeSet::new();
            for selector in several {
                all.extend(of(selector)?);
            }
            Ok(all.into_iter().collect())
        }
    }
}

/// `/api/v1/labels`
pub(super) async fn names(State(app): State<App>, params: Params) -> Result<Answered, ApiError> {
    let Question { selectors, start, end, limit } = Question::read(&params)?;
    let question = move |db: &Db| {
        united(&selectors, |matchers| db.label_names(matchers, start, end)).map(|names| strings(names, limit))
    };
    Ok(app.running()?.engine.ask(question).await?)
}

/// `/api/v1/label/<name>/values`
pub(super) async fn values(
    State(app): State<App>,
    name: Result<Path<String>, PathRejection>,
    params: Params,
) -> Result<Answered, ApiError> {
    let Ok(Path(name)) = name else {
        return Err(ApiError::bad_data("invalid label name: not UTF-8"));
    };
    let name = unescape_name(&name);
    if name.is_empty() {
        return Err(ApiError::bad_data(format!("invalid label name: {}", cairn_model::gotext::quote(&name))));
    }
    let Question { selectors, start, end, limit } = Question::read(&params)?;
    let question = move |db: &Db| {
        let values = united(&selectors, |matchers| db.label_values(&name, matchers, start, end))?;
        Ok(strings(values, limit))
    };
    Ok(app.running()?.engine.ask(question).await?)
}

/// `/api/v1/series`
pub(super) async fn series(State(app): State<App>, params: Params) -> Result<Answered, ApiError> {
    let Question { selectors, start, end, limit } = Question::read(&params)?;
    if selectors.is_empty() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let question = move |db: &Db| {
        let mut all: Vec<Arc<Labels>> = Vec::new();
        for selector in &selectors {
            all.extend(db.series(selector, start, end)?);
        }
        if selectors.len() > 1 {
            all.sort();
            all.dedup();
        }
        let (all, warnings) = truncated(all, limit);
        let written = Answered::written(|data| {
            // Long answers: growing would copy them again and again.
            data.reserve(all.iter().map(|labels| n_bytes_about(labels)).sum());
            data.push('[');
            for (index, labels) in all.iter().enumerate() {
                if index > 0 {
                    data.push(',');
                }
                push_labels(data, labels);
            }
            data.push(']');
        });
        Ok(written.with(warnings, Vec::new()))
    };
    Ok(app.running()?.engine.ask(question).await?)
}

/// What labels take in JSON, where nothing has to be escaped.
fn n_bytes_about(labels: &Labels) -> usize {
    labels.iter().map(|(name, value)| name.len() + value.len() + r#""":"","#.len()).sum::<usize>()
        + "{},".len()
}

/// `U__http_2e_status` is `http.status`: how names that do not fit into a path are escaped. A text that is not escaped
/// in this way is the name itself.
fn unescape_name(text: &str) -> String {
    let Some(escaped) = text.strip_prefix("U__") else { return text.to_owned() };
    let mut out = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((before, after)) = rest.split_once('_') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('_') {
            out.push('_');
            rest = after;
            continue;
        }
        let decoded = after.split_once('_').and_then(|(hex, after)| {
            let code =
                u32::from_str_radix(hex, 16).ok().filter(|_| hex.len() <= 6 && !hex.starts_with('+'))?;
            Some((char::from_u32(code)?, after))
        });
        let Some((character, after)) = decoded else { return text.to_owned() };
        out.push(character);
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names() {
        for (text, name) in [
            ("job", "job"),
            ("U__http_2e_status", "http.status"),
            ("U__a__b_1f600_", "a_b😀"),
            ("U__bad_zz_", "U__bad_zz_"),
            ("U__open_2e", "U__open_2e"),
        ] {
            assert_eq!(unescape_name(text), name);
        }
    }
}
