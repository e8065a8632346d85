//! Runs one statement, in all the ways in which its answer must be the same.

use cairn_model::TimeMs;
use cairn_promql::ast::{At, Expr, ExprKind};
use cairn_promql::functions::Varies;
use cairn_promql::{
    Answer, EvalError, Options, Sample, Value, VectorSample, eval_instant, eval_range, parse,
};

use crate::compare;
use crate::memory::Store;
use crate::script::{Command, Eval, Expected, Want, When, commands};

/// The settings that Prometheus's scripts assume: everything is on.
pub(crate) const SUITE: Options<'static> = Options {
    lookback_ms: 300_000,
    max_samples: 50_000_000,
    default_subquery_step_ms: 60_000,
    delayed_name_removal: true,
    start_timestamps: true,
    count_samples: false,
    clock: None,
    stop: None,
};

/// Runs a whole script, and hands out each statement with what became of it.
pub(crate) fn script(text: &str, options: &Options<'_>, mut each: impl FnMut(&Eval, Result<(), String>)) {
    let mut store = Store::default();
    for command in commands(text) {
        match command {
            Command::Clear => store = Store::default(),
            Command::Load { step_ms, lines, with_nhcb } => store.load(step_ms, &lines, with_nhcb),
            Command::Eval(eval) => each(&eval, run(&store, &eval, options)),
        }
    }
}

/// Runs a statement.
fn run(store: &Store, eval: &Eval, options: &Options<'_>) -> Result<(), String> {
    let expr = parse(&eval.text).map_err(|error| format!("parse: {error}"))?;
    let expected = &eval.expected;
    match eval.when {
        When::Range { start, end, step } => {
            let got = eval_range(store, &expr, TimeMs(start), TimeMs(end), step, options);
            let Some(answer) = outcome(expected, got)? else { return Ok(()) };
            let Value::Matrix(matrix) = &answer.value else { return Err("no matrix".to_owned()) };
            compare::matrix(&expected.lines, start, step, matrix)
        }
        When::Instant(time) => {
            instant(store, &expr, time, expected, options)?;
            as_middle_of_range(store, &expr, time, expected, options)?;
            if varies(&expr, |varies| varies != Varies::Never) {
                return Ok(());
            }
            let mut fixed = expr.clone();
            fix(&mut fixed, time);
            let others = if time == 0 {
                [-1000, 0, 1000].to_vec()
            } else {
                vec![-10 * time, 0, time / 5, time, 10 * time]
            };
            for other in others {
                let at = |why: String| format!("fixed by @ {time}ms, evaluated at {other}ms: {why}");
                instant(store, &fixed, other, expected, options).map_err(at)?;
                as_middle_of_range(store, &fixed, other, expected, options).map_err(at)?;
            }
            Ok(())
        }
    }
}

/// Whether the value varies in such a way although selectors are fixed: by a function that does, or by durations and
/// `@` that depend on the query.
fn varies(expr: &Expr, so: impl Fn(Varies) -> bool) -> bool {
    let mut found = false;
    expr.walk(&mut |node| {
        if let ExprKind::Call(call) = &node.kind {
            found |= so(call.function.varies);
        }
    });
    let text = expr.to_string();
    found || ["start()", "end()", "step()", "range()"].iter().any(|bound| text.contains(bound))
}

/// Puts `@ time` on every outermost subquery and on every selector outside of subqueries that has none.
fn fix(expr: &mut Expr, time: i64) {
    match &mut expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => {}
        ExprKind::Vector(selector) => {
            selector.at.get_or_insert(At::Time(time));
        }
        ExprKind::Matrix(matrix) => {
            matrix.selector.at.get_or_insert(At::Time(time));
        }
        ExprKind::Subquery(subquery) => {
            subquery.at.get_or_insert(At::Time(time));
        }
        ExprKind::Call(call) => call.args.iter_mut().for_each(|arg| fix(arg, time)),
        ExprKind::Aggregate(aggregate) => {
            if let Some(param) = &mut aggregate.param {
                fix(param, time);
            }
            fix(&mut aggregate.expr, time);
        }
        ExprKind::Binary(binary) => {
            fix(&mut binary.lhs, time);
            fix(&mut binary.rhs, time);
        }
        ExprKind::Unary(unary) => fix(&mut unary.expr, time),
        ExprKind::Paren(inner) => fix(inner, time),
    }
}

fn instant(
    store: &Store,
    expr: &Expr,
    time: i64,
    expected: &Expected,
    options: &Options<'_>,
) -> Result<(), String> {
    let got = eval_instant(store, expr, TimeMs(time), options);
    let Some(answer) = outcome(expected, got)? else { return Ok(()) };
    match &answer.value {
        Value::Scalar(point) => compare::scalar(&expected.lines, point.value),
        Value::String(_, text) if expected.string.as_ref() == Some(text) => Ok(()),
        Value::String(_, text) => Err(format!("got the string {text}")),
        Value::Vector(vector) => compare::vector(&expected.lines, expected.ordered, vector),
        Value::Matrix(matrix) => match expected.range_vector {
            Some((start, _, step)) => compare::matrix(&expected.lines, start, step, matrix),
            None => Err("got a range vector".to_owned()),
        },
    }
}

fn as_middle_of_range(
    store: &Store,
    expr: &Expr,
    time: i64,
    expected: &Expected,
    options: &Options<'_>,
) -> Result<(), String> {
    if expected.fails.is_some()
        || expected.ordered
        || expected.string.is_some()
        || expected.range_vector.is_some()
        || varies(expr, |varies| varies == Varies::ByQuery)
    {
        return Ok(());
    }
    let got = eval_range(store, expr, TimeMs(time - 60_000), TimeMs(time + 60_000), 60_000, options);
    let wrap = |why: String| format!("as a range: {why}");
    // What is said beside the answer is about all steps, and about being a range: it is not compared.
    let answer = got.map_err(|error| wrap(format!("error: {error}")))?;
    let Value::Matrix(matrix) = &answer.value else { return Err("no matrix".to_owned()) };
    if !matrix.windows(2).all(|pair| pair[0].labels < pair[1].labels) {
        return Err("range result not sorted by labels".to_owned());
    }
    let middle: Vec<VectorSample> = matrix
        .iter()
        .filter_map(|series| {
            let value = compare::samples(series).remove(&time)?;
            Some(VectorSample { labels: series.labels.clone(), time: TimeMs(time), value })
        })
        .collect();
    let is_scalar = expr.value_type() == cairn_promql::ast::ValueType::Scalar;
    if is_scalar {
        let [VectorSample { value: Sample::Float(value), .. }] = middle[..] else {
            return Err("as a range: no number".to_owned());
        };
        return compare::scalar(&expected.lines, value).map_err(wrap);
    }
    compare::vector(&expected.lines, false, &middle).map_err(wrap)
}

/// Checks errors and annotations. `None` when the statement failed as it should.
fn outcome(expected: &Expected, got: Result<Answer, EvalError>) -> Result<Option<Answer>, String> {
    let answer = match (got, &expected.fails) {
        (Err(error), Some(want)) if want.matches(&error.to_string()) => return Ok(None),
        (Err(error), _) => return Err(format!("error: {error}")),
        (Ok(_), Some(_)) => return Err("does not fail".to_owned()),
        (Ok(answer), None) => answer,
    };
    annotations("warn", &expected.warn, expected.no_warn, &answer.warnings)?;
    annotations("info", &expected.info, expected.no_info, &answer.infos)?;
    Ok(Some(answer))
}

fn annotations(kind: &str, wanted: &[Want], none: bool, got: &[String]) -> Result<(), String> {
    if none && !got.is_empty() {
        return Err(format!("unexpected {kind}: {got:?}"));
    }
    if !wanted.is_empty() && got.is_empty() {
        return Err(format!("no {kind}"));
    }
    let has_text = wanted.iter().any(|want| !matches!(want, Want::Any));
    let all_found = wanted.iter().all(|want| got.iter().any(|text| want.matches(text)));
    let all_wanted = !has_text || got.iter().all(|text| wanted.iter().any(|want| want.matches(text)));
    if all_found && all_wanted { Ok(()) } else { Err(format!("other {kind}: {got:?}")) }
}
