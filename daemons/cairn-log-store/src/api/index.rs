//! `/index/stats`, `/index/volume`, `/index/volume_range`: how much is there, without reading it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use cairn_logdb::{Store, StreamVolume};
use cairn_model::{Labels, LabelsBuilder, MatchOp, Matcher, TimeMs, TimeNs};

use super::answer::{self, Cost, json_response};
use super::error::{ApiError, ErrorKind};
use super::params::Params;
use super::request::Tenant;
use super::selector;
use crate::app::App;
use crate::json;

/// Series in an answer when no limit is given, or zero.
const DEFAULT_LIMIT: usize = 100;

/// Streams, chunks, bytes and entries of a selection.
pub(super) async fn stats(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    params: Params,
) -> Result<Response, ApiError> {
    let (start, end) = bounds(&app, &params)?;
    let matchers = selector::parse(params.get("query"))?;
    let store = app.store()?.clone();
    let stats = app
        .queries
        .run(app.config().limits.query_timeout.to_std(), move |_| {
            Ok(store.stats(&tenant, &matchers, start, end))
        })
        .await?;
    let mut out = Vec::new();
    json::push_number(
        &mut out,
        format_args!(
            "{{\"streams\":{},\"chunks\":{},\"bytes\":{},\"entries\":{}}}",
            stats.streams, stats.chunks, stats.bytes, stats.entries
        ),
    );
    Ok(json_response(out))
}

/// Bytes per group of streams, largest first.
pub(super) async fn volume(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    params: Params,
) -> Result<Response, ApiError> {
    let request = VolumeRequest::read(&app, &params)?;
    let store = app.store()?.clone();
    let body = app
        .queries
        .run(app.config().limits.query_timeout.to_std(), move |_| {
            let groups = request.groups(&store, &tenant, request.start, request.end);
            let mut out = Vec::new();
            answer::begin(&mut out, "vector", &[], &[]);
            out.push(b'[');
            for (index, (labels, bytes)) in request.largest(groups).iter().enumerate() {
                out.extend_from_slice(if index > 0 { b",{\"metric\":" } else { b"{\"metric\":" });
                push_group(&mut out, labels);
                out.extend_from_slice(b",\"value\":");
                push_bytes(&mut out, request.end.to_ms(), *bytes);
                out.push(b'}');
            }
            out.push(b']');
            answer::end(&mut out, &Cost::default());
            Ok(out)
        })
        .await?;
    Ok(json_response(body))
}

/// Bytes per group of streams and step.
pub(super) async fn volume_range(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    params: Params,
) -> Result<Response, ApiError> {
    let request = VolumeRequest::read(&app, &params)?;
    let step = params.step(request.start, request.end)?;
    let store = app.store()?.clone();
    let body = app
        .queries
        .run(app.config().limits.query_timeout.to_std(), move |cancel| {
            let mut series: BTreeMap<Group, Vec<(TimeMs, u64)>> = BTreeMap::new();
            let mut totals: BTreeMap<Group, u64> = BTreeMap::new();
            for bucket in Buckets::new(request.start, request.end, step) {
                if cancel.is_cancelled() {
                    return Err(cancel.to_error());
                }
                for (group, bytes) in request.groups(&store, &tenant, bucket.start, bucket.end) {
                    *totals.entry(group.clone()).or_default() += bytes;
                    series.entry(group).or_default().push((bucket.label, bytes));
                }
            }
            let mut out = Vec::new();
            answer::begin(&mut out, "matrix", &[], &[]);
            out.push(b'[');
            for (index, (group, _)) in request.largest(totals).iter().enumerate() {
                out.extend_from_slice(if index > 0 { b",{\"metric\":" } else { b"{\"metric\":" });
                push_group(&mut out, group);
                out.extend_from_slice(b",\"values\":[");
                for (index, (time, bytes)) in series.get(group).into_iter().flatten().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    push_bytes(&mut out, *time, *bytes);
                }
                out.extend_from_slice(b"]}");
            }
            out.push(b']');
            answer::end(&mut out, &Cost::default());
            Ok(out)
        })
        .await?;
    Ok(json_response(body))
}

fn bounds(app: &App, params: &Params) -> Result<(TimeNs, TimeNs), ApiError> {
    let (start, end) = params.bounds(app.now())?;
    if end < start {
        return Err(ApiError::bad_request("end timestamp must not be before or equal to start time"));
    }
    Ok((start, end))
}

/// By what volumes are added up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    /// Streams that agree in these labels.
    Series(Labels),
    /// Streams that have this label, whatever its value.
    Label(String),
}

fn push_group(out: &mut Vec<u8>, group: &Group) {
    match group {
        Group::Series(labels) => json::push_labels(out, labels),
        Group::Label(name) => json::push_pairs(out, [(name.as_str(), "")]),
    }
}

fn push_bytes(out: &mut Vec<u8>, time: TimeMs, bytes: u64) {
    out.push(b'[');
    json::push_seconds(out, time);
    json::push_number(out, format_args!(",\"{bytes}\"]"));
}

struct VolumeRequest {
    start: TimeNs,
    end: TimeNs,
    matchers: Vec<Matcher>,
    /// Labels by which streams are grouped; empty for the whole label set.
    names: BTreeSet<String>,
    by_label: bool,
    limit: usize,
}

impl VolumeRequest {
    fn read(app: &App, params: &Params) -> Result<Self, ApiError> {
        let limits = &app.config().limits;
        if !limits.volume_enabled {
            return Err(ApiError::new(ErrorKind::NotFound, "not found"));
        }
        let (start, end) = bounds(app, params)?;
        let limit = params.count("limit", DEFAULT_LIMIT)?;
        let by_label = match params.get("aggregateBy") {
            "" | "series" => false,
            "labels" => true,
            _ => return Err(ApiError::bad_request("invalid aggregation option")),
        };
        let mut matchers = selector::parse_or_all(params.get("query"))?;
        let targets: BTreeSet<String> =
            params.get("targetLabels").split(',').filter(|n| !n.is_empty()).map(str::to_owned).collect();
        let names = if targets.is_empty() {
            matchers.iter().map(|matcher| matcher.name().to_owned()).collect()
        } else {
            // A stream without one of the labels has no place in the answer.
            for name in &targets {
                if !matchers.iter().any(|matcher| matcher.name() == name) {
                    matchers.extend(Matcher::new(name.clone(), MatchOp::NotEqual, ""));
                }
            }
            targets
        };
        let limit = limit.min(limits.volume_max_series);
        Ok(Self { start, end, matchers, names, by_label, limit })
    }

    /// Volumes of one range, added up by group.
    fn groups(&self, store: &Store, tenant: &str, start: TimeNs, end: TimeNs) -> BTreeMap<Group, u64> {
        let mut out = BTreeMap::new();
        for StreamVolume { labels, bytes, .. } in store.volume(tenant, &self.matchers, start, end) {
            let is_wanted = |name: &str| self.names.is_empty() || self.names.contains(name);
            if self.by_label {
                for (name, _) in labels.iter().filter(|(name, _)| is_wanted(name)) {
                    *out.entry(Group::Label(name.to_owned())).or_default() += bytes;
                }
            } else {
                let mut group = LabelsBuilder::new();
                for (name, value) in labels.iter().filter(|(name, _)| is_wanted(name)) {
                    group.set(name, value);
                }
                *out.entry(Group::Series(group.build())).or_default() += bytes;
            }
        }
        out
    }

    /// The largest groups, largest first, then by name.
    fn largest(&self, groups: BTreeMap<Group, u64>) -> Vec<(Group, u64)> {
        let mut list: Vec<(Group, u64)> = groups.into_iter().collect();
        list.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        list.truncate(self.limit);
        list
    }
}

/// One step of a volume over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bucket {
    start: TimeNs,
    end: TimeNs,
    /// The time under which it is listed: its last millisecond, or the end of the range.
    label: TimeMs,
}

/// Cuts a range at the multiples of a step.
struct Buckets {
    at: i64,
    end: i64,
    step: i64,
}

impl Buckets {
    fn new(start: TimeNs, end: TimeNs, step: i64) -> Self {
        Self { at: start.0, end: end.0, step }
    }
}

impl Iterator for Buckets {
    type Item = Bucket;

    fn next(&mut self) -> Option<Bucket> {
        if self.at >= self.end {
            return None;
        }
        let start = TimeNs(self.at);
        let next = self.at.div_euclid(self.step).saturating_add(1).saturating_mul(self.step);
        self.at = next.min(self.end);
        let end = TimeNs(self.at);
        let label = if self.at == self.end { end.to_ms() } else { TimeMs(end.to_ms().0 - 1) };
        Some(Bucket { start, end, label })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_end_at_multiples_of_the_step() {
        let second = 1_000_000_000;
        let labels = |start: i64, end: i64, step: i64| -> Vec<i64> {
            Buckets::new(TimeNs(start * second), TimeNs(end * second), step * second)
                .map(|b| b.label.0)
                .collect()
        };
        assert_eq!(labels(1200, 3600, 600), [1_799_999, 2_399_999, 2_999_999, 3_600_000]);
        assert_eq!(labels(1205, 1230, 14), [1_217_999, 1_230_000]);
        assert_eq!(labels(5, 5, 14), [] as [i64; 0]);
    }
}
