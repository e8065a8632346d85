//! From tokens to tree: selectors, metric expressions and their checks. Pipeline stages are in `parser_stages.rs`.
//!
//! Recursive descent with the messages of an LALR parser: at each place where Loki's goyacc tables know at most four
//! tokens, the same are named behind `expecting`. Checks that Loki makes after parsing (types of operands, grouping,
//! parameters) are noted and reported only when the whole text parses.

use cairn_model::{MatchOp, Matcher, number};

use crate::ast::*;
use crate::lexer::{Kind, Token, tokenize};

/// Longest query, in bytes.
pub const MAX_QUERY_BYTES: usize = 131_072;

/// Deepest nesting of parentheses: parsing, printing and evaluating recurse on it.
const MAX_DEPTH: usize = 128;

/// Most operators in one query (arithmetic, `and`, `or`): a chain of them is a tree of that height.
const MAX_OPERATORS: usize = 512;

/// What a selector without any selective matcher is told.
const EMPTY_SELECTOR: &str = "queries require at least one regexp or equality matcher that does not have an \
    empty-compatible value. For instance, app=~\".*\" does not meet this requirement, but app=~\".+\" will";

/// Why a text is no query, in Loki's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Line, from 1; 0 where Loki's scanner lost it.
    pub line: usize,
    /// Column in characters, from 1; 0 together with a line of 0 when the error has no place.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl ParseError {
    /// An error of the meaning, which has no place.
    pub(crate) fn semantic(message: impl Into<String>) -> Self {
        Self { line: 0, column: 0, message: message.into() }
    }
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.line == 0 && self.column == 0 {
            write!(f, "parse error : {}", self.message)
        } else {
            write!(f, "parse error at line {}, col {}: {}", self.line, self.column, self.message)
        }
    }
}

impl std::error::Error for ParseError {}

/// Reads a query. Regular expressions, templates and patterns in it are checked too.
///
/// # Errors
/// [`ParseError`], in Loki's words.
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    let mut parser = Parser::new(text)?;
    let expr = parser.expr(0)?;
    parser.finish()?;
    match &expr {
        Expr::Log(log) => {
            check_matchers(&log.matchers)?;
            crate::pipeline::Pipeline::compile(&log.stages)?;
        }
        Expr::Metric(metric) => check_metric(metric)?,
    }
    Ok(expr)
}

/// Reads a plain stream selector, as the label and series endpoints take it. `{}` is accepted: it selects everything,
/// and only some endpoints allow that ([`check_matchers`]).
///
/// # Errors
/// [`ParseError`]; `only label matchers are supported` for anything but a selector.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    let mut parser = Parser::new(text)?;
    let expr = parser.expr(0)?;
    parser.finish()?;
    match expr {
        Expr::Log(log) if log.stages.is_empty() => Ok(log.matchers),
        _ => Err(ParseError::semantic("only label matchers are supported")),
    }
}

/// Refuses a selector that would read every stream: one matcher at least must be unable to match the empty text.
///
/// # Errors
/// [`ParseError`].
pub fn check_matchers(matchers: &[Matcher]) -> Result<(), ParseError> {
    let is_selective = |m: &Matcher| !m.matches_empty();
    if matchers.iter().any(is_selective) { Ok(()) } else { Err(ParseError::semantic(EMPTY_SELECTOR)) }
}

fn check_metric(expr: &MetricExpr) -> Result<(), ParseError> {
    match expr {
        MetricExpr::Range(agg) => {
            check_matchers(&agg.log.matchers)?;
            crate::pipeline::Pipeline::compile(&agg.log.stages)?;
            if let Some(unwrap) = &agg.unwrap {
                let filters: Vec<Stage> = unwrap.filters.iter().cloned().map(Stage::LabelFilter).collect();
                crate::pipeline::Pipeline::compile(&filters)?;
            }
            Ok(())
        }
        MetricExpr::Vector(agg) => check_metric(&agg.inner),
        MetricExpr::Binary(binary) => {
            check_metric(&binary.left)?;
            check_metric(&binary.right)
        }
        MetricExpr::LabelReplace(replace) => check_metric(&replace.inner),
        MetricExpr::Literal(_) | MetricExpr::VectorOf(_) => Ok(()),
    }
}

pub(crate) struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    operators: usize,
    /// First fault of the meaning.
    semantic: Option<ParseError>,
}

pub(crate) type Parsed<T> = Result<T, ParseError>;

impl Parser {
    fn new(text: &str) -> Parsed<Self> {
        if text.len() >= MAX_QUERY_BYTES {
            let message = format!("input size too long ({} > {MAX_QUERY_BYTES})", text.len());
            return Err(ParseError::semantic(message));
        }
        Ok(Self { tokens: tokenize(text), at: 0, depth: 0, operators: 0, semantic: None })
    }

    fn finish(&mut self) -> Parsed<()> {
        if self.kind() != Kind::End {
            return Err(self.unexpected(&[]));
        }
        self.semantic.take().map_or(Ok(()), Err)
    }

    pub(crate) fn kind(&self) -> Kind {
        self.tokens[self.at].kind
    }

    pub(crate) fn kind_after(&self, n: usize) -> Kind {
        self.tokens.get(self.at + n).map_or(Kind::End, |t| t.kind)
    }

    pub(crate) fn is(&self, word: &str) -> bool {
        matches!(self.kind(), Kind::Word(w) if w == word)
    }

    pub(crate) fn bump(&mut self) -> Token {
        let token = self.tokens[self.at].clone();
        // The last token (end or fault) is never passed.
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    pub(crate) fn eat(&mut self, word: &str) -> bool {
        let found = self.is(word);
        if found {
            self.bump();
        }
        found
    }

    pub(crate) fn unexpected(&self, expecting: &[&str]) -> ParseError {
        self.tokens[self.at].unexpected(expecting)
    }

    pub(crate) fn expect(&mut self, word: &str, expecting: &[&str]) -> Parsed<()> {
        if self.eat(word) { Ok(()) } else { Err(self.unexpected(expecting)) }
    }

    pub(crate) fn string(&mut self, expecting: &[&str]) -> Parsed<String> {
        if self.kind() == Kind::String { Ok(self.bump().text) } else { Err(self.unexpected(expecting)) }
    }

    pub(crate) fn identifier(&mut self, expecting: &[&str]) -> Parsed<String> {
        if self.kind() == Kind::Identifier { Ok(self.bump().text) } else { Err(self.unexpected(expecting)) }
    }

    pub(crate) fn note(&mut self, message: impl Into<String>) {
        self.semantic.get_or_insert_with(|| ParseError::semantic(message));
    }

    pub(crate) fn enter(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let message = format!("the query nests deeper than {MAX_DEPTH} parentheses");
            return Err(ParseError::semantic(message));
        }
        Ok(())
    }

    pub(crate) fn leave(&mut self) {
        self.depth -= 1;
    }

    pub(crate) fn count_operator(&mut self) -> Parsed<()> {
        self.operators += 1;
        if self.operators > MAX_OPERATORS {
            return Err(ParseError::semantic(format!("the query has more than {MAX_OPERATORS} operators")));
        }
        Ok(())
    }

    /// Any expression whose operators bind at least as tight as `min`.
    fn expr(&mut self, min: u8) -> Parsed<Expr> {
        let mut left = self.primary()?;
        while let Some(op) = self.binary_op() {
            let precedence = op.precedence();
            if precedence < min {
                break;
            }
            self.bump();
            self.count_operator()?;
            let (return_bool, matching) = self.modifiers()?;
            // Power is the only operator that groups to the right.
            let right_min = if op == BinaryOp::Power { precedence } else { precedence + 1 };
            self.enter()?;
            let right = self.expr(right_min)?;
            self.leave();
            left = Expr::Metric(self.combine(op, return_bool, matching, left, right));
        }
        Ok(left)
    }

    fn binary_op(&self) -> Option<BinaryOp> {
        let Kind::Word(word) = self.kind() else { return None };
        Some(match word {
            "or" => BinaryOp::Or,
            "and" => BinaryOp::And,
            "unless" => BinaryOp::Unless,
            "==" => BinaryOp::Compare(CmpOp::Equal),
            "!=" => BinaryOp::Compare(CmpOp::NotEqual),
            ">" => BinaryOp::Compare(CmpOp::Greater),
            ">=" => BinaryOp::Compare(CmpOp::GreaterOrEqual),
            "<" => BinaryOp::Compare(CmpOp::Less),
            "<=" => BinaryOp::Compare(CmpOp::LessOrEqual),
            "+" => BinaryOp::Add,
            "-" => BinaryOp::Subtract,
            "*" => BinaryOp::Multiply,
            "/" => BinaryOp::Divide,
            "%" => BinaryOp::Modulo,
            "^" => BinaryOp::Power,
            _ => return None,
        })
    }

    /// `bool on (a) group_left (b)` behind an operator.
    fn modifiers(&mut self) -> Parsed<(bool, Option<Matching>)> {
        let return_bool = self.eat("bool");
        let on = self.is("on");
        if !on && !self.is("ignoring") {
            return Ok((return_bool, None));
        }
        self.bump();
        self.expect("(", &["("])?;
        let labels = self.label_list()?;
        let mut matching = Matching { on, labels, group: None };
        if self.is("group_left") || self.is("group_right") {
            let left = self.is("group_left");
            self.bump();
            // A parenthesis here may as well start the right operand: it is a list only when it reads as one.
            let is_list = self.is("(")
                && match self.kind_after(1) {
                    Kind::Word(")") => true,
                    Kind::Identifier => matches!(self.kind_after(2), Kind::Word("," | ")")),
                    _ => false,
                };
            let include = if is_list {
                self.bump();
                self.label_list()?
            } else {
                Vec::new()
            };
            matching.group = Some(GroupSide { left, include });
        }
        Ok((return_bool, Some(matching)))
    }

    /// Labels up to the closing parenthesis; the opening one is behind.
    fn label_list(&mut self) -> Parsed<Vec<String>> {
        let mut labels = Vec::new();
        if self.eat(")") {
            return Ok(labels);
        }
        labels.push(self.identifier(&["IDENTIFIER", ")"])?);
        while self.eat(",") {
            labels.push(self.identifier(&["IDENTIFIER"])?);
        }
        self.expect(")", &[",", ")"])?;
        Ok(labels)
    }

    fn combine(
        &mut self,
        op: BinaryOp,
        return_bool: bool,
        matching: Option<Matching>,
        left: Expr,
        right: Expr,
    ) -> MetricExpr {
        let mut operand = |expr: Expr, side: &str| match expr {
            Expr::Metric(metric) => {
                if let (MetricExpr::Literal(value), true) = (&metric, op.is_set_op()) {
                    let name = op.as_str();
                    self.note(format!(
                        "unexpected literal for {side} leg of logical/set binary operation ({name}): {value:.6}"
                    ));
                }
                metric
            }
            Expr::Log(log) => {
                let kind = if log.stages.is_empty() { "MatchersExpr" } else { "PipelineExpr" };
                let name = op.as_str();
                self.note(format!(
                    "unexpected type for {side} leg of binary operation ({name}): *syntax.{kind}"
                ));
                MetricExpr::Literal(0.0)
            }
        };
        let left = operand(left, "left");
        let right = operand(right, "right");
        if let (MetricExpr::Literal(left), MetricExpr::Literal(right)) = (&left, &right) {
            return MetricExpr::Literal(crate::binop::fold(op, *left, *right));
        }
        MetricExpr::Binary(Box::new(Binary { op, return_bool, matching, left, right }))
    }

    fn primary(&mut self) -> Parsed<Expr> {
        match self.kind() {
            Kind::Word("{") => {
                let matchers = self.selector()?;
                let stages = self.pipeline(false)?.stages;
                Ok(Expr::Log(LogExpr { matchers, stages }))
            }
            Kind::Word("(") => {
                self.bump();
                self.enter()?;
                let inner = self.expr(0)?;
                self.leave();
                self.expect(")", &[])?;
                Ok(inner)
            }
            Kind::Number => Ok(Expr::Metric(MetricExpr::Literal(self.number()?))),
            Kind::Word("-" | "+") => Ok(Expr::Metric(MetricExpr::Literal(self.signed_number()?))),
            Kind::RangeOp(op) => Ok(Expr::Metric(self.range_agg(op)?)),
            Kind::VectorOp(op) => Ok(Expr::Metric(self.vector_agg(op)?)),
            Kind::VectorFn => {
                self.bump();
                self.expect("(", &["("])?;
                if self.kind() != Kind::Number {
                    return Err(self.unexpected(&["NUMBER"]));
                }
                let value = self.number()?;
                self.expect(")", &[")"])?;
                Ok(Expr::Metric(MetricExpr::VectorOf(value)))
            }
            Kind::LabelReplace => Ok(Expr::Metric(self.label_replace()?)),
            _ => Err(self.unexpected(&[])),
        }
    }

    pub(crate) fn number(&mut self) -> Parsed<f64> {
        let token = self.bump();
        number::parse_float(&token.text).ok_or_else(|| token.unexpected(&["NUMBER"]))
    }

    /// A number with an optional sign.
    pub(crate) fn signed_number(&mut self) -> Parsed<f64> {
        let negative = self.is("-");
        if negative || self.is("+") {
            self.bump();
            if self.kind() != Kind::Number {
                return Err(self.unexpected(&["NUMBER"]));
            }
        }
        let value = self.number()?;
        Ok(if negative { -value } else { value })
    }

    fn selector(&mut self) -> Parsed<Vec<Matcher>> {
        self.expect("{", &[])?;
        let mut matchers = Vec::new();
        if self.eat("}") {
            return Ok(matchers);
        }
        if self.kind() != Kind::Identifier {
            return Err(self.unexpected(&["IDENTIFIER", "}"]));
        }
        loop {
            let name = self.identifier(&["IDENTIFIER"])?;
            let op = self.match_op().ok_or_else(|| self.unexpected(&["=", "=~", "!~", "!="]))?;
            self.bump();
            let value = self.string(&["STRING"])?;
            if let Some(matcher) = self.matcher(name, op, value) {
                matchers.push(matcher);
            }
            if self.eat("}") {
                return Ok(matchers);
            }
            self.expect(",", &["}", ","])?;
        }
    }

    pub(crate) fn match_op(&self) -> Option<MatchOp> {
        let Kind::Word(word) = self.kind() else { return None };
        Some(match word {
            "=" => MatchOp::Equal,
            "!=" => MatchOp::NotEqual,
            "=~" => MatchOp::Regex,
            "!~" => MatchOp::NotRegex,
            _ => return None,
        })
    }

    /// Compiles a matcher; a bad pattern is noted.
    pub(crate) fn matcher(&mut self, name: String, op: MatchOp, value: String) -> Option<Matcher> {
        match Matcher::new(name, op, value) {
            Ok(matcher) => Some(matcher),
            Err(error) => {
                self.note(error.to_string());
                None
            }
        }
    }

    fn grouping(&mut self) -> Parsed<Option<Grouping>> {
        let without = self.is("without");
        if !without && !self.is("by") {
            return Ok(None);
        }
        self.bump();
        self.expect("(", &["("])?;
        Ok(Some(Grouping { without, labels: self.label_list()? }))
    }

    fn range_agg(&mut self, op: RangeOp) -> Parsed<MetricExpr> {
        self.bump();
        self.expect("(", &["("])?;
        let mut parameter = None;
        if self.kind() == Kind::Number {
            let text = self.tokens[self.at].text.clone();
            parameter = Some(self.number()?);
            self.expect(",", &[","])?;
            if op != RangeOp::QuantileOverTime {
                self.note(format!("parameter {text} not supported for operation {}", op.as_str()));
            }
        } else if op == RangeOp::QuantileOverTime {
            self.note(format!("parameter required for operation {}", op.as_str()));
        }
        let mut agg = self.log_range(op)?;
        agg.parameter = parameter;
        self.expect(")", &[")"])?;
        agg.grouping = self.grouping()?;
        if let Some(message) = check_range_agg(&agg) {
            self.note(message);
        }
        Ok(MetricExpr::Range(Box::new(agg)))
    }

    /// `{...} | stages [5m] offset 5m | stages`, in parentheses or not.
    fn log_range(&mut self, op: RangeOp) -> Parsed<RangeAgg> {
        if self.eat("(") {
            self.enter()?;
            let agg = self.log_range_in_parentheses(op)?;
            self.leave();
            return Ok(agg);
        }
        if !self.is("{") {
            return Err(self.unexpected(&["NUMBER", "{", "("]));
        }
        let matchers = self.selector()?;
        let before = self.pipeline(true)?;
        let (range, offset) = self.range_and_offset()?;
        let mut agg = range_agg_of(op, matchers, before, range, offset);
        self.stages_behind_range(&mut agg)?;
        Ok(agg)
    }

    /// The range may stand behind the parenthesis (`({...} | json)[5m]`) or inside of it.
    fn log_range_in_parentheses(&mut self, op: RangeOp) -> Parsed<RangeAgg> {
        if self.is("(") {
            let agg = self.log_range(op)?;
            self.expect(")", &[")"])?;
            return Ok(agg);
        }
        if !self.is("{") {
            return Err(self.unexpected(&["{", "("]));
        }
        let matchers = self.selector()?;
        let before = self.pipeline(true)?;
        if self.kind() == Kind::Range {
            let (range, offset) = self.range_and_offset()?;
            let mut agg = range_agg_of(op, matchers, before, range, offset);
            self.stages_behind_range(&mut agg)?;
            self.expect(")", &[")"])?;
            return Ok(agg);
        }
        self.expect(")", &[])?;
        let (range, offset) = self.range_and_offset()?;
        let mut agg = range_agg_of(op, matchers, before, range, offset);
        self.stages_behind_range(&mut agg)?;
        Ok(agg)
    }

    fn stages_behind_range(&mut self, agg: &mut RangeAgg) -> Parsed<()> {
        if agg.log.stages.is_empty() && agg.unwrap.is_none() {
            let behind = self.pipeline(true)?;
            agg.log.stages = behind.stages;
            agg.unwrap = behind.unwrap;
        }
        Ok(())
    }

    fn range_and_offset(&mut self) -> Parsed<(i64, i64)> {
        if self.kind() != Kind::Range {
            return Err(self.unexpected(&[]));
        }
        let range = self.bump().amount;
        let mut offset = 0;
        if self.eat("offset") {
            if self.kind() != Kind::Duration {
                return Err(self.unexpected(&["DURATION"]));
            }
            offset = self.bump().amount;
        }
        Ok((range, offset))
    }

    fn vector_agg(&mut self, op: VectorOp) -> Parsed<MetricExpr> {
        self.bump();
        let mut grouping = self.grouping()?;
        self.expect("(", &["("])?;
        let mut parameter = None;
        if self.kind() == Kind::Number && self.kind_after(1) == Kind::Word(",") {
            parameter = Some(self.bump().text);
            self.bump();
        }
        self.enter()?;
        let inner = self.expr(0)?;
        self.leave();
        let inner = match inner {
            Expr::Metric(metric) => metric,
            // A log expression is no argument: what follows it should have been a range and more.
            Expr::Log(_) => return Err(self.unexpected(&[])),
        };
        self.expect(")", &[])?;
        if grouping.is_none() {
            grouping = self.grouping()?;
        }
        let count = self.vector_parameter(op, parameter.as_deref());
        if grouping.is_some() && matches!(op, VectorOp::Sort | VectorOp::SortDesc | VectorOp::ApproxTopk) {
            self.note(format!("grouping not allowed for {} aggregation", op.as_str()));
        }
        Ok(MetricExpr::Vector(Box::new(VectorAgg { op, count, grouping, inner })))
    }

    fn vector_parameter(&mut self, op: VectorOp, parameter: Option<&str>) -> usize {
        let name = op.as_str();
        match (op.takes_count(), parameter) {
            (true, None) => self.note(format!("parameter required for operation {name}")),
            (false, Some(text)) => self.note(format!("unsupported parameter for operation {name}({text},")),
            (false, None) => {}
            (true, Some(text)) => match text.parse::<usize>() {
                Ok(0) => self.note(format!("invalid parameter (must be greater than 0) {name}({text}")),
                Ok(count) => return count,
                Err(_) => self.note(format!("invalid parameter {name}({text},")),
            },
        }
        0
    }

    fn label_replace(&mut self) -> Parsed<MetricExpr> {
        self.bump();
        self.expect("(", &["("])?;
        self.enter()?;
        let inner = self.expr(0)?;
        self.leave();
        let Expr::Metric(inner) = inner else { return Err(self.unexpected(&[])) };
        let mut texts = [const { String::new() }; 4];
        for (index, text) in texts.iter_mut().enumerate() {
            // Behind an expression an operator could follow too, so that nothing is suggested.
            self.expect(",", if index == 0 { &[] } else { &[","] })?;
            *text = self.string(&["STRING"])?;
        }
        self.expect(")", &[")"])?;
        let [destination, replacement, source, regex] = texts;
        if cairn_model::goregex::compile_anchored(&regex).is_err() {
            // Loki compiles the anchored text, and names it in the message.
            let anchored = format!("^(?:{regex})$");
            let error = cairn_model::goregex::compile_search(&anchored).err();
            let error = error.map_or_else(String::new, |e| e.to_string());
            self.note(format!("invalid regex in label_replace: {error}"));
        }
        Ok(MetricExpr::LabelReplace(Box::new(LabelReplace {
            inner,
            destination,
            replacement,
            source,
            regex,
        })))
    }
}

/// Stages and what may end them inside of a range aggregation.
pub(crate) struct ParsedPipeline {
    pub(crate) stages: Vec<Stage>,
    pub(crate) unwrap: Option<Unwrap>,
}

fn range_agg_of(
    op: RangeOp,
    matchers: Vec<Matcher>,
    pipeline: ParsedPipeline,
    range: i64,
    offset: i64,
) -> RangeAgg {
    let ParsedPipeline { stages, unwrap } = pipeline;
    RangeAgg { op, parameter: None, log: LogExpr { matchers, stages }, unwrap, range, offset, grouping: None }
}

fn check_range_agg(agg: &RangeAgg) -> Option<String> {
    use RangeOp as Op;
    let name = agg.op.as_str();
    let allows_grouping = matches!(
        agg.op,
        Op::AvgOverTime
            | Op::StddevOverTime
            | Op::StdvarOverTime
            | Op::QuantileOverTime
            | Op::MaxOverTime
            | Op::MinOverTime
            | Op::FirstOverTime
            | Op::LastOverTime
    );
    if agg.grouping.is_some() && !allows_grouping {
        return Some(format!("grouping not allowed for {name} aggregation"));
    }
    let takes_lines = matches!(
        agg.op,
        Op::CountOverTime | Op::BytesOverTime | Op::BytesRate | Op::Rate | Op::AbsentOverTime
    );
    let takes_values = !matches!(agg.op, Op::CountOverTime | Op::BytesOverTime | Op::BytesRate);
    match &agg.unwrap {
        Some(_) if !takes_values => Some(format!("invalid aggregation {name} with unwrap")),
        None if !takes_lines => Some(format!("invalid aggregation {name} without unwrap")),
        _ => None,
    }
}
