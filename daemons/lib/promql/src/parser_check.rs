//! Checks what the grammar cannot: types of operands and arguments, sensible matching, non-empty selectors.

use cairn_model::gotext::quote;

use crate::ast::{Binary, BinaryOp, Call, Cardinality, Expr, ExprKind, Span, ValueType, VectorSelector};
use crate::error::ParseError;
use crate::parser_selector::METRIC_NAME;

/// Checks the whole tree and settles what depends on types: only operations between two vectors keep their
/// matching, set operators match many to many.
pub(crate) fn check(expr: &mut Expr) -> Result<ValueType, ParseError> {
    let span = expr.span;
    match &mut expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => {}
        ExprKind::Vector(selector) => check_selector(selector, span)?,
        ExprKind::Matrix(matrix) => check_selector(&matrix.selector, span)?,
        ExprKind::Subquery(subquery) => {
            let found = check(&mut subquery.expr)?;
            if found != ValueType::InstantVector {
                let found = found.documented();
                return Err(ParseError::at(
                    span,
                    format!("subquery is only allowed on instant vector, got {found} instead"),
                ));
            }
        }
        ExprKind::Call(call) => check_call(call, span)?,
        ExprKind::Aggregate(aggregate) => {
            expect_type(&mut aggregate.expr, ValueType::InstantVector, "aggregation expression")?;
            if let (Some(wanted), Some(param)) = (aggregate.op.param_type(), &mut aggregate.param) {
                expect_type(param, wanted, "aggregation parameter")?;
            }
        }
        ExprKind::Binary(binary) => return check_binary(binary, span),
        ExprKind::Unary(unary) => {
            let found = check(&mut unary.expr)?;
            if !matches!(found, ValueType::Scalar | ValueType::InstantVector) {
                let found = quote(found.documented());
                return Err(ParseError::at(
                    span,
                    format!(
                        "unary expression only allowed on expressions of type scalar or instant vector, got {found}"
                    ),
                ));
            }
            return Ok(found);
        }
        ExprKind::Paren(inner) => return check(inner),
    }
    // Of these the type is known without a look at what is below, which in a tall tree would be looked at again and again.
    Ok(expr.value_type())
}

fn expect_type(expr: &mut Expr, wanted: ValueType, context: &str) -> Result<(), ParseError> {
    let found = check(expr)?;
    if found == wanted {
        return Ok(());
    }
    let (wanted, found) = (wanted.documented(), found.documented());
    Err(ParseError::at(expr.span, format!("expected type {wanted} in {context}, got {found}")))
}

fn check_selector(selector: &VectorSelector, span: Span) -> Result<(), ParseError> {
    check_name_set_once(selector, span)?;
    if selector.name.is_none() && selector.matchers.iter().all(cairn_model::Matcher::matches_empty) {
        return Err(ParseError::at(span, "vector selector must contain at least one non-empty matcher"));
    }
    Ok(())
}

/// A name before the braces and a matcher on `__name__` inside exclude each other.
pub(crate) fn check_name_set_once(selector: &VectorSelector, span: Span) -> Result<(), ParseError> {
    let Some(name) = &selector.name else { return Ok(()) };
    let others = &selector.matchers[..selector.matchers.len().saturating_sub(1)];
    match others.iter().find(|matcher| matcher.name() == METRIC_NAME) {
        None => Ok(()),
        Some(other) => Err(ParseError::at(
            span,
            format!("metric name must not be set twice: {} or {}", quote(name), quote(other.value())),
        )),
    }
}

fn check_call(call: &mut Call, span: Span) -> Result<(), ParseError> {
    let function = call.function;
    let (n_types, n_args) = (function.arg_types.len(), call.args.len());
    let name = quote(function.name);
    let fewest = if function.variadic == 0 { n_types } else { n_types - 1 };
    let wrong = match usize::try_from(function.variadic) {
        Ok(0) if n_args != n_types => Some(format!("expected {n_types}")),
        _ if n_args < fewest => Some(format!("expected at least {fewest}")),
        Ok(more) if more > 0 && n_args > fewest + more => Some(format!("expected at most {}", fewest + more)),
        _ => None,
    };
    if let Some(wanted) = wrong {
        return Err(ParseError::at(span, format!("{wanted} argument(s) in call to {name}, got {n_args}")));
    }
    let context = format!("call to function {name}");
    for (index, arg) in call.args.iter_mut().enumerate() {
        if function.name == "info" && index == 1 {
            // The second argument only lends its matchers, so it may match everything.
            let ExprKind::Vector(selector) = &arg.kind else {
                return Err(ParseError::at(arg.span, "expected label selectors only"));
            };
            if selector.name.is_some() {
                return Err(ParseError::at(
                    arg.span,
                    "expected label selectors only, got vector selector instead",
                ));
            }
            continue;
        }
        let wanted = function.arg_types[index.min(n_types - 1)];
        expect_type(arg, wanted, &context)?;
    }
    Ok(())
}

fn check_binary(binary: &mut Binary, span: Span) -> Result<ValueType, ParseError> {
    let left = check(&mut binary.lhs)?;
    let right = check(&mut binary.rhs)?;
    let found = match (left, right) {
        (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
        _ => ValueType::InstantVector,
    };
    let op = binary.op;
    let op_span = binary.op_span;
    if binary.return_bool && !op.is_comparison() {
        return Err(ParseError::at(op_span, "bool modifier can only be used on comparison operators"));
    }
    if op.is_comparison() && !binary.return_bool && left == ValueType::Scalar && right == ValueType::Scalar {
        return Err(ParseError::at(op_span, "comparisons between scalars must use BOOL modifier"));
    }
    let Some(matching) = &mut binary.matching else { return Ok(found) };
    if op.is_set() && matching.card == Cardinality::OneToOne {
        matching.card = Cardinality::ManyToMany;
    }
    if let Some(label) = matching.labels.iter().find(|label| matching.on && matching.include.contains(label))
    {
        return Err(ParseError::at(
            op_span,
            format!("label {} must not occur in ON and GROUP clause at once", quote(label)),
        ));
    }
    for (side, expr) in [(left, &binary.lhs), (right, &binary.rhs)] {
        if !matches!(side, ValueType::Scalar | ValueType::InstantVector) {
            return Err(ParseError::at(
                expr.span,
                "binary expression must contain only scalar and instant vector types",
            ));
        }
    }
    let has_fill = matching.fill_left.is_some() || matching.fill_right.is_some();
    if left != ValueType::InstantVector || right != ValueType::InstantVector {
        if !matching.labels.is_empty() {
            return Err(ParseError::at(span, "vector matching only allowed between instant vectors"));
        }
        if has_fill {
            return Err(ParseError::at(
                span,
                "filling in missing series only allowed between instant vectors",
            ));
        }
        if op.is_set() {
            let op = quote(op.as_str());
            return Err(ParseError::at(
                span,
                format!("set operator {op} not allowed in binary scalar expression"),
            ));
        }
        binary.matching = None;
        return Ok(found);
    }
    if op.is_set() {
        if matching.card != Cardinality::ManyToMany {
            let op = quote(op.as_str());
            return Err(ParseError::at(span, format!("no grouping allowed for {op} operation")));
        }
        if has_fill {
            return Err(ParseError::at(span, "filling in missing series not allowed for set operators"));
        }
    }
    if matches!(op, BinaryOp::TrimLower | BinaryOp::TrimUpper) && binary.return_bool {
        return Err(ParseError::at(op_span, "bool modifier can only be used on comparison operators"));
    }
    Ok(found)
}
