//! The syntax tree of LogQL.
//!
//! Everything the language can say has a type here. The tree keeps what was meant, not how it was typed: durations are
//! numbers, `|= "a" or "b"` is one filter with two alternatives, arithmetic on plain numbers is already done.

use cairn_model::Matcher;

/// A whole query.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// Selects lines.
    Log(LogExpr),
    /// Computes numbers.
    Metric(MetricExpr),
}

/// A stream selector and what is done to each line.
#[derive(Clone, Debug, PartialEq)]
pub struct LogExpr {
    /// All must pass; never empty.
    pub matchers: Vec<Matcher>,
    /// In the order written.
    pub stages: Vec<Stage>,
}

/// One step of the pipeline.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// `|= "text" or "text"`
    LineFilter(LineFilter),
    /// `| json` (every field) or `| json a="b.c"`
    Json(Vec<Extraction>),
    /// `| logfmt --strict --keep-empty a="b"`
    Logfmt(Logfmt),
    /// `` | regexp `(?P<name>...)` ``
    Regexp(String),
    /// `| pattern "<name> ..."`
    Pattern(String),
    /// `| unpack`
    Unpack,
    /// `| decolorize`
    Decolorize,
    /// `| level="error" and took > 5s`
    LabelFilter(LabelFilter),
    /// `| line_format "{{.a}}"`
    LineFormat(String),
    /// `| label_format a=b, c="{{.d}}"`
    LabelFormat(Vec<LabelFormat>),
    /// `| drop a, b="c"`
    Drop(Vec<LabelChoice>),
    /// `| keep a, b="c"`
    Keep(Vec<LabelChoice>),
}

/// The operator of a line filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineOp {
    /// `|=`
    Contains,
    /// `!=`
    NotContains,
    /// `|~`
    Regex,
    /// `!~`
    NotRegex,
    /// `|>`
    Pattern,
    /// `!>`
    NotPattern,
}

impl LineOp {
    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Contains => "|=",
            Self::NotContains => "!=",
            Self::Regex => "|~",
            Self::NotRegex => "!~",
            Self::Pattern => "|>",
            Self::NotPattern => "!>",
        }
    }

    /// Whether lines that match are dropped.
    pub fn is_negative(self) -> bool {
        matches!(self, Self::NotContains | Self::NotRegex | Self::NotPattern)
    }
}

/// A line passes a positive filter when one alternative matches, a negative one when none does.
#[derive(Clone, Debug, PartialEq)]
pub struct LineFilter {
    /// What to do with the texts.
    pub op: LineOp,
    /// Never empty.
    pub alternatives: Vec<LineText>,
}

/// One text of a line filter.
#[derive(Clone, Debug, PartialEq)]
pub enum LineText {
    /// A literal, a regular expression or a pattern, as the operator says.
    Text(String),
    /// `ip("10.0.0.0/8")`
    Ip(String),
}

/// `name="source"` of the json and logfmt parsers.
#[derive(Clone, Debug, PartialEq)]
pub struct Extraction {
    /// The label to set.
    pub name: String,
    /// Path (json) or key (logfmt).
    pub source: String,
}

/// `| logfmt` with its flags.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Logfmt {
    /// `--strict`: stop at the first fault.
    pub strict: bool,
    /// `--keep-empty`: keep keys without a value.
    pub keep_empty: bool,
    /// Empty means every pair of the line.
    pub extractions: Vec<Extraction>,
}

/// A comparison of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CmpOp {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
}

impl CmpOp {
    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
        }
    }

    /// Whether `left op right` holds. With NaN only `!=` does.
    pub fn holds<T: PartialOrd>(self, left: T, right: T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
        }
    }
}

/// A test on labels.
#[derive(Clone, Debug, PartialEq)]
pub enum LabelFilter {
    /// `name="value"` and its three sisters.
    Text(Matcher),
    /// `name >= 5`
    Number {
        /// Label name.
        name: String,
        /// Comparison.
        op: CmpOp,
        /// Right side.
        value: f64,
    },
    /// `name >= 5s`
    Duration {
        /// Label name.
        name: String,
        /// Comparison.
        op: CmpOp,
        /// Right side, nanoseconds.
        nanos: i64,
    },
    /// `name >= 5KB`
    Bytes {
        /// Label name.
        name: String,
        /// Comparison.
        op: CmpOp,
        /// Right side, bytes.
        bytes: u64,
    },
    /// `name = ip("10.0.0.0/8")`
    Ip {
        /// Label name.
        name: String,
        /// `!=` instead of `=`.
        negative: bool,
        /// Address, range or prefix.
        pattern: String,
    },
    /// Both hold (`and`, `,` or a blank).
    And(Box<LabelFilter>, Box<LabelFilter>),
    /// One holds.
    Or(Box<LabelFilter>, Box<LabelFilter>),
}

/// One assignment of `label_format`.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelFormat {
    /// The label to set.
    pub name: String,
    /// Where its value comes from.
    pub value: LabelFormatValue,
}

/// The right side of a `label_format` assignment.
#[derive(Clone, Debug, PartialEq)]
pub enum LabelFormatValue {
    /// Another label, which vanishes.
    Rename(String),
    /// A template.
    Template(String),
}

/// What `drop` and `keep` name.
#[derive(Clone, Debug, PartialEq)]
pub enum LabelChoice {
    /// The label, whatever its value.
    Name(String),
    /// The label when its value passes.
    Matcher(Matcher),
}

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
