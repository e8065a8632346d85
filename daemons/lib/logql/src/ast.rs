//! The syntax tree of LogQL: queries, selectors and stages here, metric expressions in `ast_metric.rs`.
//!
//! Everything the language can say has a type here. The tree keeps what was meant, not how it was typed: durations are
//! numbers, `|= "a" or "b"` is one filter with two alternatives, arithmetic on plain numbers is already done.

use cairn_model::Matcher;

pub use crate::ast_metric::*;

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
    /// Every operator, in the order of the variants. What is generated for tests is drawn from it.
    pub const ALL: [Self; 6] =
        [Self::Contains, Self::NotContains, Self::Regex, Self::NotRegex, Self::Pattern, Self::NotPattern];
    // A variant behind the last one listed does not compile.
    const _ALL_OF_THEM: () = assert!(Self::NotPattern as usize + 1 == Self::ALL.len());

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
        match self {
            Self::NotContains | Self::NotRegex | Self::NotPattern => true,
            Self::Contains | Self::Regex | Self::Pattern => false,
        }
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
