//! The syntax tree of LogQL: expressions that give numbers.

use crate::ast::{CmpOp, LabelFilter, LogExpr};

/// An expression that gives numbers.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricExpr {
    /// `count_over_time({...}[5m])`
    Range(Box<RangeAgg>),
    /// `sum by (a) (...)`
    Vector(Box<VectorAgg>),
    /// `a + b`
    Binary(Box<Binary>),
    /// A plain number.
    Literal(f64),
    /// `vector(1)`
    VectorOf(f64),
    /// `label_replace(...)`
    LabelReplace(Box<LabelReplace>),
}

/// The functions over a range of lines or unwrapped values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of the language")]
pub enum RangeOp {
    CountOverTime,
    Rate,
    RateCounter,
    BytesOverTime,
    BytesRate,
    AvgOverTime,
    SumOverTime,
    MinOverTime,
    MaxOverTime,
    StdvarOverTime,
    StddevOverTime,
    QuantileOverTime,
    FirstOverTime,
    LastOverTime,
    AbsentOverTime,
}

impl RangeOp {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::CountOverTime,
        Self::Rate,
        Self::RateCounter,
        Self::BytesOverTime,
        Self::BytesRate,
        Self::AvgOverTime,
        Self::SumOverTime,
        Self::MinOverTime,
        Self::MaxOverTime,
        Self::StdvarOverTime,
        Self::StddevOverTime,
        Self::QuantileOverTime,
        Self::FirstOverTime,
        Self::LastOverTime,
        Self::AbsentOverTime,
    ];

    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CountOverTime => "count_over_time",
            Self::Rate => "rate",
            Self::RateCounter => "rate_counter",
            Self::BytesOverTime => "bytes_over_time",
            Self::BytesRate => "bytes_rate",
            Self::AvgOverTime => "avg_over_time",
            Self::SumOverTime => "sum_over_time",
            Self::MinOverTime => "min_over_time",
            Self::MaxOverTime => "max_over_time",
            Self::StdvarOverTime => "stdvar_over_time",
            Self::StddevOverTime => "stddev_over_time",
            Self::QuantileOverTime => "quantile_over_time",
            Self::FirstOverTime => "first_over_time",
            Self::LastOverTime => "last_over_time",
            Self::AbsentOverTime => "absent_over_time",
        }
    }
}

/// How the text of an unwrapped label becomes a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conversion {
    /// A float.
    Float,
    /// `duration(label)`: Go duration to seconds.
    Duration,
    /// `duration_seconds(label)`: the same.
    DurationSeconds,
    /// `bytes(label)`: human size to bytes.
    Bytes,
}

/// `| unwrap duration(label)` and the label filters behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Unwrap {
    /// The label whose value is the sample.
    pub label: String,
    /// How it is read.
    pub conversion: Conversion,
    /// Run after the value was read.
    pub filters: Vec<LabelFilter>,
}

/// A function over the entries of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeAgg {
    /// Which function.
    pub op: RangeOp,
    /// The quantile of `quantile_over_time`.
    pub parameter: Option<f64>,
    /// Where the lines come from.
    pub log: LogExpr,
    /// Which value of the line counts, for the functions over values.
    pub unwrap: Option<Unwrap>,
    /// Width of the window, nanoseconds; positive.
    pub range: i64,
    /// How far the window is moved into the past, nanoseconds; may be negative.
    pub offset: i64,
    /// Written behind the function; only some functions allow it.
    pub grouping: Option<Grouping>,
}

/// `by (a, b)` or `without (a, b)`.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Grouping {
    /// `without`.
    pub without: bool,
    /// The labels, as written.
    pub labels: Vec<String>,
}

/// The aggregations over the series of one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of the language")]
pub enum VectorOp {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    ApproxTopk,
    Sort,
    SortDesc,
}

impl VectorOp {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Sum,
        Self::Avg,
        Self::Min,
        Self::Max,
        Self::Count,
        Self::Stddev,
        Self::Stdvar,
        Self::Topk,
        Self::Bottomk,
        Self::ApproxTopk,
        Self::Sort,
        Self::SortDesc,
    ];

    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Count => "count",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::Topk => "topk",
            Self::Bottomk => "bottomk",
            Self::ApproxTopk => "approx_topk",
            Self::Sort => "sort",
            Self::SortDesc => "sort_desc",
        }
    }

    /// Whether the first argument is a number of series.
    pub fn takes_count(self) -> bool {
        matches!(self, Self::Topk | Self::Bottomk | Self::ApproxTopk)
    }
}

/// An aggregation over series.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorAgg {
    /// Which aggregation.
    pub op: VectorOp,
    /// How many series `topk` and its kin keep; 0 for the others.
    pub count: usize,
    /// Absent: everything in one group.
    pub grouping: Option<Grouping>,
    /// The series.
    pub inner: MetricExpr,
}

/// The operators between two expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "as_str shows each")]
pub enum BinaryOp {
    Or,
    And,
    Unless,
    Compare(CmpOp),
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
}

impl BinaryOp {
    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Or => "or",
            Self::And => "and",
            Self::Unless => "unless",
            Self::Compare(op) => op.as_str(),
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
            Self::Power => "^",
        }
    }

    /// Binds tighter the higher.
    pub fn precedence(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And | Self::Unless => 2,
            Self::Compare(_) => 3,
            Self::Add | Self::Subtract => 4,
            Self::Multiply | Self::Divide | Self::Modulo => 5,
            Self::Power => 6,
        }
    }

    /// `and`, `or`, `unless`.
    pub fn is_set_op(self) -> bool {
        matches!(self, Self::Or | Self::And | Self::Unless)
    }
}

/// Which labels two series must share.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Matching {
    /// `on` when true, `ignoring` when false.
    pub on: bool,
    /// The labels named.
    pub labels: Vec<String>,
    /// Which side may have several partners, and what it takes over from the other.
    pub group: Option<GroupSide>,
}

/// `group_left(...)` or `group_right(...)`.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupSide {
    /// The left side is the one with many series.
    pub left: bool,
    /// Labels to copy from the side with one series.
    pub include: Vec<String>,
}

/// An operator with its two sides.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// Which operator.
    pub op: BinaryOp,
    /// A comparison gives 0 and 1 instead of filtering.
    pub return_bool: bool,
    /// Absent: all labels.
    pub matching: Option<Matching>,
    /// Left side.
    pub left: MetricExpr,
    /// Right side.
    pub right: MetricExpr,
}

/// `label_replace(inner, destination, replacement, source, regex)`.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelReplace {
    /// The series.
    pub inner: MetricExpr,
    /// Label to set.
    pub destination: String,
    /// With `$1`, `${name}`.
    pub replacement: String,
    /// Label to read.
    pub source: String,
    /// Anchored.
    pub regex: String,
}
