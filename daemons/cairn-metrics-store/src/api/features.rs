//! `features`: what this store can do, under the peer's names, for its page and for tools that look before they ask.

use std::collections::BTreeMap;

use axum::extract::State;
use cairn_promql::ast::AggregateOp;
use cairn_promql::functions::FUNCTIONS;

use super::App;
use super::answer::Answered;
use super::error::ApiError;

type Features = BTreeMap<&'static str, bool>;

fn all_on<const N: usize>(names: [&'static str; N]) -> Features {
    names.into_iter().map(|name| (name, true)).collect()
}

/// `/api/v1/features`
pub(super) async fn features(State(app): State<App>) -> Result<Answered, ApiError> {
    let engine = &app.running()?.engine;
    let has_experimental = engine.parse_options().experimental_functions;
    let functions: Features =
        FUNCTIONS.iter().map(|one| (one.name, has_experimental || !one.is_experimental)).collect();
    let mut operators: Features = AggregateOp::ALL
        .into_iter()
        .map(|op| (op.as_str(), has_experimental || !op.is_experimental()))
        .collect();
    operators.extend(all_on([
        "!=", "!~", "%", "*", "+", "-", "/", "<", "<=", "==", "=~", ">", ">=", "@", "^", "and", "atan2",
        "or", "unless",
    ]));
    let settings = app.settings();
    let mut api = all_on([
        "exclude_alerts",
        "label_values_match",
        "query_stats",
        "query_warnings",
        "time_range_labels",
        "time_range_series",
    ]);
    api.extend([
        ("admin", settings.has_admin_api),
        ("lifecycle", settings.has_lifecycle),
        ("remote_write_receiver", settings.has_remote_write),
        ("otlp_write_receiver", settings.has_otlp),
        ("search", false),
    ]);
    let mut promql = all_on([
        "anchored",
        "at_modifier",
        "bool",
        "by",
        "duration_expr",
        "fill",
        "fill_left",
        "fill_right",
        "group_left",
        "group_right",
        "ignoring",
        "negative_offset",
        "offset",
        "on",
        "smoothed",
        "subqueries",
        "without",
    ]);
    promql.insert("experimental_functions", has_experimental);
    promql.insert("delayed_name_removal", engine.has_delayed_name_removal());
    promql.insert("per_query_lookback_delta", true);
    promql.insert("per_step_stats", true);
    let all: BTreeMap<&str, Features> = BTreeMap::from([
        ("api", api),
        ("promql", promql),
        ("promql_functions", functions),
        ("promql_operators", operators),
        ("service_discovery_providers", all_on(["dns", "ec2", "file", "http", "static"])),
        ("tsdb", all_on(["exemplars", "native_histograms", "out_of_order"])),
    ]);
    Ok(Answered::of(&all))
}
