//! What can be known about an expression before it is evaluated.

use std::collections::HashSet;

use cairn_model::MatchOp;

use crate::ast::{Cardinality, Expr, ExprKind, Grouping, VectorSelector};
use crate::functions::{Names, Varies};
use crate::parser_selector::METRIC_NAME;
use crate::series::is_identity_label;

/// Whether the expression has the same value at every step, because every selector in it is fixed by `@`: then it
/// is evaluated once.
pub(crate) fn is_step_invariant(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => true,
        ExprKind::Vector(selector) => selector.at.is_some(),
        ExprKind::Matrix(matrix) => matrix.selector.at.is_some(),
        ExprKind::Subquery(subquery) => subquery.at.is_some(),
        ExprKind::Call(call) => {
            call.function.varies != Varies::ByStep && call.args.iter().all(is_step_invariant)
        }
        ExprKind::Aggregate(aggregate) => {
            is_step_invariant(&aggregate.expr)
                && aggregate.param.as_ref().is_none_or(|param| is_step_invariant(param))
        }
        ExprKind::Binary(binary) => is_step_invariant(&binary.lhs) && is_step_invariant(&binary.rhs),
        ExprKind::Unary(unary) => is_step_invariant(&unary.expr),
        ExprKind::Paren(inner) => is_step_invariant(inner),
    }
}

/// Whether all series of the result differ in more than their name, so that dropping the name cannot make two of
/// them equal. False when in doubt.
pub(crate) fn stays_unique_without_name(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Vector(selector) => has_one_name(selector),
        ExprKind::Matrix(matrix) => has_one_name(&matrix.selector),
        ExprKind::Subquery(subquery) => stays_unique_without_name(&subquery.expr),
        ExprKind::Paren(inner) => stays_unique_without_name(inner),
        ExprKind::Unary(unary) => stays_unique_without_name(&unary.expr),
        ExprKind::Call(call) => match call.function.names {
            Names::Distinct => true,
            Names::Rewritten => false,
            Names::Dropped | Names::Kept => call.args.iter().all(stays_unique_without_name),
        },
        ExprKind::Aggregate(aggregate) => {
            use crate::ast::AggregateOp as Op;
            match aggregate.op {
                Op::TopK | Op::BottomK | Op::LimitK | Op::LimitRatio => {
                    stays_unique_without_name(&aggregate.expr)
                }
                _ => match &aggregate.grouping {
                    Grouping::By(labels) => !labels.iter().any(|label| is_identity_label(label)),
                    Grouping::All | Grouping::Without(_) => true,
                },
            }
        }
        ExprKind::Binary(binary) => match &binary.matching {
            None => stays_unique_without_name(&binary.lhs) && stays_unique_without_name(&binary.rhs),
            Some(matching) => match matching.card {
                Cardinality::ManyToMany => {
                    binary.op != crate::ast::BinaryOp::Or && stays_unique_without_name(&binary.lhs)
                }
                _ => false,
            },
        },
        ExprKind::Number(_) | ExprKind::String(_) => true,
    }
}

/// Whether the selector takes series of one metric only.
fn has_one_name(selector: &VectorSelector) -> bool {
    selector.matchers.iter().any(|matcher| {
        matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal && !matcher.value().is_empty()
    })
}

/// The selectors of which only counts and sums of native histograms are wanted: they stand under `histogram_count` or its
/// kin, with nothing in between that asks for buckets, joins two vectors, or leaves samples out.
pub(crate) fn selectors_of_statistics(expr: &Expr) -> HashSet<*const VectorSelector> {
    let mut found = HashSet::new();
    find_statistics(expr, false, &mut found);
    found
}

fn find_statistics(expr: &Expr, wanted: bool, found: &mut HashSet<*const VectorSelector>) {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => {}
        ExprKind::Vector(selector) => {
            if wanted {
                found.insert(std::ptr::from_ref(selector));
            }
        }
        ExprKind::Matrix(matrix) => {
            if wanted {
                found.insert(std::ptr::from_ref(&matrix.selector));
            }
        }
        // What is inside of a subquery never counts, whatever stands between.
        ExprKind::Subquery(_) => {}
        ExprKind::Call(call) => {
            let wanted = match call.function.name {
                "histogram_count" | "histogram_sum" | "histogram_avg" => true,
                name => wanted && !name.starts_with("histogram_"),
            };
            call.args.iter().for_each(|arg| find_statistics(arg, wanted, found));
        }
        ExprKind::Aggregate(aggregate) => find_statistics(&aggregate.expr, wanted, found),
        ExprKind::Binary(binary) => {
            find_statistics(&binary.lhs, false, found);
            find_statistics(&binary.rhs, false, found);
        }
        ExprKind::Unary(unary) => find_statistics(&unary.expr, wanted, found),
        ExprKind::Paren(inner) => find_statistics(inner, wanted, found),
    }
}
