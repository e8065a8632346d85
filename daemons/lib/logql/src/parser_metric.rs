//! From tokens to tree: operators, range and vector aggregations, `label_replace`.

use cairn_model::Matcher;

use crate::ast::*;
use crate::lexer::Kind;
use crate::parser::{Parsed, ParsedPipeline, Parser};

impl Parser {
    /// Any expression whose operators bind at least as tight as `min`.
    pub(crate) fn expr(&mut self, min: u8) -> Parsed<Expr> {
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
            let text = self.peek_text();
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
