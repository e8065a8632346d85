//! The syntax tree of PromQL, fully typed. Every node knows where in the query it stands.

use cairn_model::Matcher;

pub use crate::ast_operators::{AggregateOp, BinaryOp};
use crate::functions::Function;

/// Where a node stands in the query text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// Line of the first byte, from 1.
    pub line: usize,
    /// Column of the first byte in its line, in bytes, from 1.
    pub column: usize,
}

/// The four types a PromQL expression can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// One number for each step.
    Scalar,
    /// A string; only as a literal.
    String,
    /// At most one sample per series for each step.
    InstantVector,
    /// A window of samples per series for each step.
    RangeVector,
}

impl ValueType {
    /// As named in messages: `instant vector`.
    pub fn documented(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::InstantVector => "instant vector",
            Self::RangeVector => "range vector",
        }
    }

    /// As named in Prometheus's JSON: `vector`, `matrix`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::InstantVector => "vector",
            Self::RangeVector => "matrix",
        }
    }
}

/// A node with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// Place in the query.
    pub span: Span,
    /// What it is.
    pub kind: ExprKind,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// `1.5`, `Inf`, `5m`
    Number(NumberLiteral),
    /// `"text"`, unescaped
    String(String),
    /// `up{job="a"} offset 5m`
    Vector(VectorSelector),
    /// `up[5m]`
    Matrix(MatrixSelector),
    /// `rate(x[5m])[1h:1m]`
    Subquery(Subquery),
    /// `rate(x[5m])`
    Call(Call),
    /// `sum by (job) (x)`
    Aggregate(Aggregate),
    /// `a + b`
    Binary(Binary),
    /// `-a`
    Unary(Unary),
    /// `(a)`
    Paren(Box<Expr>),
}

/// A number; in Prometheus 3 a duration is a number of seconds.
#[derive(Clone, Copy, Debug)]
pub struct NumberLiteral {
    /// The value; seconds for a duration.
    pub value: f64,
    /// Written as a duration, so printed as one.
    pub is_duration: bool,
}

impl PartialEq for NumberLiteral {
    /// NaN equals NaN: the literals are the same text.
    fn eq(&self, other: &Self) -> bool {
        self.is_duration == other.is_duration
            && (self.value == other.value || (self.value.is_nan() && other.value.is_nan()))
    }
}

/// `@ 10`, `@ start()`, `@ end()`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Milliseconds since the epoch.
    Time(i64),
    /// First instant of the query.
    Start,
    /// Last instant of the query.
    End,
}

/// How a selector treats the borders of its window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extension {
    /// Only samples inside.
    #[default]
    None,
    /// With the last sample at or before the window's start.
    Anchored,
    /// With values interpolated at both borders.
    Smoothed,
}

impl Extension {
    /// The keyword; empty for none.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Anchored => "anchored",
            Self::Smoothed => "smoothed",
        }
    }
}

/// Selects, per series, the newest sample inside the lookback window.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSelector {
    /// Metric name, when written as such (before the braces, or as a lone string in them).
    pub name: Option<String>,
    /// All tests, the one on `__name__` included.
    pub matchers: Vec<Matcher>,
    /// `offset 5m`; how far back to look.
    pub offset: Option<DurationExpr>,
    /// `@ ...`
    pub at: Option<At>,
    /// `anchored`, `smoothed`
    pub extension: Extension,
}

/// Selects, per series, the samples of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSelector {
    /// Which series, with `@`, `offset` and extension.
    pub selector: VectorSelector,
    /// Where the selector without the brackets stands.
    pub selector_span: Span,
    /// Length of the window.
    pub range: DurationExpr,
}

/// Evaluates an instant vector at aligned steps and takes the results as a range vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    /// What is evaluated.
    pub expr: Box<Expr>,
    /// Length of the window.
    pub range: DurationExpr,
    /// Distance of the steps; the query's default when absent.
    pub step: Option<DurationExpr>,
    /// `offset 5m`
    pub offset: Option<DurationExpr>,
    /// `@ ...`
    pub at: Option<At>,
}

/// A length of time that may depend on the query's step and range.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationExpr {
    /// `5m`, `300`
    Number(NumberLiteral),
    /// `step()`: the query's step
    Step,
    /// `range()`: the query's end minus its start
    Range,
    /// `-d`, `+d`
    Sign {
        /// Whether the sign is a minus.
        is_negative: bool,
        /// The signed expression.
        of: Box<DurationExpr>,
    },
    /// `a * b` and its kin
    Binary {
        /// An arithmetic operator other than `atan2`.
        op: BinaryOp,
        /// Left side.
        lhs: Box<DurationExpr>,
        /// Right side.
        rhs: Box<DurationExpr>,
    },
    /// `min_of(a, b)`
    MinOf(Box<DurationExpr>, Box<DurationExpr>),
    /// `max_of(a, b)`
    MaxOf(Box<DurationExpr>, Box<DurationExpr>),
    /// `(d)`
    Paren(Box<DurationExpr>),
}

/// A function call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Which function.
    pub function: &'static Function,
    /// Arguments, of the types that the function's signature names.
    pub args: Vec<Expr>,
}

/// Which labels make a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// Everything is one group.
    All,
    /// These labels.
    By(Vec<String>),
    /// All labels but these and the name.
    Without(Vec<String>),
}

/// An aggregation over series.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// What is computed.
    pub op: AggregateOp,
    /// `5` in `topk(5, x)`.
    pub param: Option<Box<Expr>>,
    /// The vector.
    pub expr: Box<Expr>,
    /// The groups.
    pub grouping: Grouping,
}

/// How many elements may stand on each side of a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cardinality {
    /// The default.
    OneToOne,
    /// `group_left`
    ManyToOne,
    /// `group_right`
    OneToMany,
    /// Set operators.
    ManyToMany,
}

impl Cardinality {
    /// As Prometheus's `parse_query` names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OneToOne => "one-to-one",
            Self::ManyToOne => "many-to-one",
            Self::OneToMany => "one-to-many",
            Self::ManyToMany => "many-to-many",
        }
    }
}

/// How elements of two vectors find each other.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorMatching {
    /// How many per side.
    pub card: Cardinality,
    /// `on` (true) or `ignoring` (false).
    pub on: bool,
    /// Labels named by `on` or `ignoring`.
    pub labels: Vec<String>,
    /// Labels copied from the one side: `group_left (x)`.
    pub include: Vec<String>,
    /// Stands in for a missing left element.
    pub fill_left: Option<f64>,
    /// Stands in for a missing right element.
    pub fill_right: Option<f64>,
}

/// A binary operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// Where the operator stands.
    pub op_span: Span,
    /// Left side.
    pub lhs: Box<Expr>,
    /// Right side.
    pub rhs: Box<Expr>,
    /// `bool`: comparisons give 0 or 1 instead of filtering.
    pub return_bool: bool,
    /// Set exactly when both sides are vectors.
    pub matching: Option<VectorMatching>,
}

/// A sign.
#[derive(Clone, Debug, PartialEq)]
pub struct Unary {
    /// Whether the sign is a minus.
    pub is_negative: bool,
    /// What it stands before.
    pub expr: Box<Expr>,
}

impl Expr {
    /// The type of the expression's value.
    pub fn value_type(&self) -> ValueType {
        match &self.kind {
            ExprKind::Number(_) => ValueType::Scalar,
            ExprKind::String(_) => ValueType::String,
            ExprKind::Vector(_) | ExprKind::Aggregate(_) => ValueType::InstantVector,
            ExprKind::Matrix(_) | ExprKind::Subquery(_) => ValueType::RangeVector,
            ExprKind::Call(call) => call.function.returns,
            ExprKind::Binary(binary) => match (binary.lhs.value_type(), binary.rhs.value_type()) {
                (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
                _ => ValueType::InstantVector,
            },
            ExprKind::Unary(unary) => unary.expr.value_type(),
            ExprKind::Paren(inner) => inner.value_type(),
        }
    }

    /// The expression without the parentheses around it.
    pub fn unwrap_parens(&self) -> &Self {
        let mut expr = self;
        while let ExprKind::Paren(inner) = &expr.kind {
            expr = inner;
        }
        expr
    }

    /// Calls `visit` for this node and every node below, parents first.
    pub fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Self)) {
        visit(self);
        match &self.kind {
            ExprKind::Number(_) | ExprKind::String(_) | ExprKind::Vector(_) | ExprKind::Matrix(_) => {}
            ExprKind::Subquery(subquery) => subquery.expr.walk(visit),
            ExprKind::Call(call) => call.args.iter().for_each(|arg| arg.walk(visit)),
            ExprKind::Aggregate(aggregate) => {
                if let Some(param) = &aggregate.param {
                    param.walk(visit);
                }
                aggregate.expr.walk(visit);
            }
            ExprKind::Binary(binary) => {
                binary.lhs.walk(visit);
                binary.rhs.walk(visit);
            }
            ExprKind::Unary(unary) => unary.expr.walk(visit),
            ExprKind::Paren(inner) => inner.walk(visit),
        }
    }

    /// The matchers of every selector in the expression, in the order of the text.
    pub fn selectors(&self) -> Vec<&VectorSelector> {
        let mut found = Vec::new();
        self.walk(&mut |expr| match &expr.kind {
            ExprKind::Vector(selector) => found.push(selector),
            ExprKind::Matrix(matrix) => found.push(&matrix.selector),
            _ => {}
        });
        found
    }
}
