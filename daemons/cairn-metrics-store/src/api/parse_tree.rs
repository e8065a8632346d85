//! `parse_query`: the syntax tree as JSON, for the peer's page and for tools.

use axum::extract::State;
use cairn_model::Matcher;
use cairn_model::number::plain_float;
use cairn_promql::Expr;
use cairn_promql::ast::{
    Aggregate, At, Binary, DurationExpr, ExprKind, Extension, Grouping, NumberLiteral, Subquery, ValueType,
    VectorSelector,
};
use serde_json::{Value, json};

use super::App;
use super::answer::Answered;
use super::error::ApiError;
use super::params::Params;
use super::query::parsed;

/// `/api/v1/parse_query`
pub(super) async fn parse(State(app): State<App>, params: Params) -> Result<Answered, ApiError> {
    let print = |expr: Expr| expr.with_room(|| Answered::of(&tree(&expr)));
    parsed(&app, &params, print).await?.map_err(|error| ApiError::internal(format!("parse_query: {error}")))
}

/// A node and all below it. The height is bounded by the parser.
fn tree(expr: &Expr) -> Value {
    match &expr.kind {
        ExprKind::Number(literal) => json!({ "type": "numberLiteral", "val": plain_float(literal.value) }),
        ExprKind::String(text) => json!({ "type": "stringLiteral", "val": text }),
        ExprKind::Vector(selector) => of_selector("vectorSelector", selector),
        ExprKind::Matrix(matrix) => {
            let mut node = of_selector("matrixSelector", &matrix.selector);
            node["range"] = milliseconds(Some(&matrix.range));
            node["rangeExpr"] = computed(Some(&matrix.range));
            node
        }
        ExprKind::Subquery(subquery) => of_subquery(subquery),
        ExprKind::Call(call) => {
            let types = call.function.arg_types.iter().copied().map(ValueType::as_str);
            let node = json!({
                "type": "call",
                "func": {
                    "name": call.function.name,
                    "argTypes": types.collect::<Vec<_>>(),
                    "variadic": call.function.variadic,
                    "returnType": call.function.returns.as_str(),
                },
            });
            with(node, [("args", call.args.iter().map(tree).collect())])
        }
        ExprKind::Aggregate(aggregate) => of_aggregate(aggregate),
        ExprKind::Binary(binary) => of_binary(binary),
        ExprKind::Unary(unary) => {
            let node = json!({ "type": "unaryExpr", "op": sign(unary.is_negative) });
            with(node, [("expr", tree(&unary.expr))])
        }
        ExprKind::Paren(inner) => with(json!({ "type": "parenExpr" }), [("expr", tree(inner))]),
    }
}

/// A node with what is below it. (`json!` would copy that once more at each level.)
fn with<const N: usize>(mut node: Value, below: [(&str, Value); N]) -> Value {
    for (key, value) in below {
        node[key] = value;
    }
    node
}

fn of_selector(kind: &str, selector: &VectorSelector) -> Value {
    let (timestamp, bound) = at(selector.at);
    json!({
        "type": kind,
        "name": selector.name.as_deref().unwrap_or_default(),
        "matchers": selector.matchers.iter().map(of_matcher).collect::<Vec<_>>(),
        "offset": milliseconds(selector.offset.as_ref()),
        "offsetExpr": computed(selector.offset.as_ref()),
        "timestamp": timestamp,
        "startOrEnd": bound,
        "anchored": selector.extension == Extension::Anchored,
        "smoothed": selector.extension == Extension::Smoothed,
    })
}

fn of_matcher(matcher: &Matcher) -> Value {
    json!({ "name": matcher.name(), "value": matcher.value(), "type": matcher.op().as_str() })
}

fn of_subquery(subquery: &Subquery) -> Value {
    let (timestamp, bound) = at(subquery.at);
    let node = json!({
        "type": "subquery",
        "range": milliseconds(Some(&subquery.range)),
        "rangeExpr": computed(Some(&subquery.range)),
        "offset": milliseconds(subquery.offset.as_ref()),
        "offsetExpr": computed(subquery.offset.as_ref()),
        "step": milliseconds(subquery.step.as_ref()),
        "stepExpr": computed(subquery.step.as_ref()),
        "timestamp": timestamp,
        "startOrEnd": bound,
    });
    with(node, [("expr", tree(&subquery.expr))])
}

fn of_aggregate(aggregate: &Aggregate) -> Value {
    let (labels, is_without): (&[String], bool) = match &aggregate.grouping {
        Grouping::All => (&[], false),
        Grouping::By(labels) => (labels, false),
        Grouping::Without(labels) => (labels, true),
    };
    let node = json!({
        "type": "aggregation",
        "op": aggregate.op.as_str(),
        "grouping": labels,
        "without": is_without,
    });
    let param = aggregate.param.as_deref().map_or(Value::Null, tree);
    with(node, [("expr", tree(&aggregate.expr)), ("param", param)])
}

fn of_binary(binary: &Binary) -> Value {
    let matching = binary.matching.as_ref().map(|matching| {
        json!({
            "card": matching.card.as_str(),
            "labels": matching.labels,
            "on": matching.on,
            "include": matching.include,
            "fillValues": { "lhs": matching.fill_left, "rhs": matching.fill_right },
        })
    });
    let node = json!({
        "type": "binaryExpr",
        "op": binary.op.as_str(),
        "matching": matching,
        "bool": binary.return_bool,
    });
    with(node, [("lhs", tree(&binary.lhs)), ("rhs", tree(&binary.rhs))])
}

/// `timestamp` and `startOrEnd`.
fn at(at: Option<At>) -> (Option<i64>, Option<&'static str>) {
    match at {
        None => (None, None),
        Some(At::Time(ms)) => (Some(ms), None),
        Some(At::Start) => (None, Some("start")),
        Some(At::End) => (None, Some("end")),
    }
}

fn sign(is_negative: bool) -> &'static str {
    if is_negative { "-" } else { "+" }
}

/// A duration that is a plain number, in milliseconds; 0 for one that is computed, and for none.
fn milliseconds(duration: Option<&DurationExpr>) -> Value {
    let Some(DurationExpr::Number(literal)) = duration else { return json!(0) };
    #[expect(clippy::cast_possible_truncation, reason = "the parser bounds durations to 64-bit nanoseconds")]
    let ms = (literal.value * 1000.0).round() as i64;
    json!(ms)
}

/// A duration that is computed; null for a plain number, and for none.
fn computed(duration: Option<&DurationExpr>) -> Value {
    match duration {
        None | Some(DurationExpr::Number(_)) => Value::Null,
        Some(duration) => of_duration(duration, false),
    }
}

fn of_duration(duration: &DurationExpr, is_wrapped: bool) -> Value {
    let node = |op: &str, lhs: Value, rhs: Value| json!({ "type": "durationExpr", "op": op, "lhs": lhs, "rhs": rhs, "wrapped": is_wrapped });
    let part = |of: &DurationExpr| of_duration(of, false);
    match duration {
        // A number in parentheses is one with a plus to the peer.
        DurationExpr::Number(literal) if is_wrapped => node("+", Value::Null, of_number(literal)),
        DurationExpr::Number(literal) => of_number(literal),
        DurationExpr::Step => node("step", Value::Null, Value::Null),
        DurationExpr::Range => node("range", Value::Null, Value::Null),
        DurationExpr::Sign { is_negative, of } => node(sign(*is_negative), Value::Null, part(of)),
        DurationExpr::Binary { op, lhs, rhs } => node(op.as_str(), part(lhs), part(rhs)),
        DurationExpr::MinOf(a, b) => node("min_of", part(a), part(b)),
        DurationExpr::MaxOf(a, b) => node("max_of", part(a), part(b)),
        DurationExpr::Paren(inner) => of_duration(inner, true),
    }
}

fn of_number(literal: &NumberLiteral) -> Value {
    json!({ "type": "numberLiteral", "val": plain_float(literal.value), "duration": literal.is_duration })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Value {
        tree(&cairn_promql::parse(query).unwrap())
    }

    #[test]
    fn selectors_carry_everything_that_can_stand_at_one() {
        assert_eq!(
            of("up{job!~\"a.*\"} @ end() offset -5m"),
            json!({
                "type": "vectorSelector", "name": "up",
                "matchers": [
                    {"name": "job", "value": "a.*", "type": "!~"}, {"name": "__name__", "value": "up", "type": "="},
                ],
                "offset": -300_000, "offsetExpr": null, "timestamp": null, "startOrEnd": "end",
                "anchored": false, "smoothed": false,
            })
        );
        let matrix = of("x[5m] smoothed @ 1.5");
        assert_eq!((&matrix["type"], &matrix["range"]), (&json!("matrixSelector"), &json!(300_000)));
        assert_eq!((&matrix["timestamp"], &matrix["smoothed"]), (&json!(1500), &json!(true)));
        let computed = of("x[5m:(step() * 2)]");
        assert_eq!((&computed["type"], &computed["step"]), (&json!("subquery"), &json!(0)));
        assert_eq!(
            computed["stepExpr"],
            json!({
                "type": "durationExpr", "op": "*", "wrapped": true,
                "lhs": {"type": "durationExpr", "op": "step", "lhs": null, "rhs": null, "wrapped": false},
                "rhs": {"type": "numberLiteral", "val": "2", "duration": false},
            })
        );
    }

    #[test]
    fn operators_calls_and_literals() {
        let division = of("sum by (job) (rate(foo[5m])) / on (job) group_left (x) -bar");
        assert_eq!(
            division["matching"],
            json!({
                "card": "many-to-one", "labels": ["job"], "on": true, "include": ["x"],
                "fillValues": {"lhs": null, "rhs": null},
            })
        );
        assert_eq!(division["rhs"]["type"], "unaryExpr");
        let sum = &division["lhs"];
        assert_eq!(
            (&sum["op"], &sum["grouping"], &sum["param"]),
            (&json!("sum"), &json!(["job"]), &Value::Null)
        );
        assert_eq!(
            sum["expr"]["func"],
            json!({"name": "rate", "argTypes": ["matrix"], "variadic": 0, "returnType": "vector"})
        );
        assert_eq!(of("(1e21)")["expr"], json!({"type": "numberLiteral", "val": "1000000000000000000000"}));
        assert_eq!(of("2 == bool 1")["bool"], true);
        assert_eq!(of("2 > bool 1")["matching"], Value::Null);
        assert_eq!(of("topk(2, x)")["param"]["val"], "2");
    }
}
