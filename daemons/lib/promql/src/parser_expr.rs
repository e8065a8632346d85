//! Grammar of expressions: operators, calls, aggregations, literals.

use cairn_model::{duration, number};

use crate::ast::{
    Aggregate, AggregateOp, Binary, BinaryOp, Call, Cardinality, Expr, ExprKind, Grouping, NumberLiteral,
    Unary, VectorMatching,
};
use crate::error::ParseError;
use crate::functions;
use crate::parser::Parser;
use crate::token::{Keyword, Token, TokenKind};

impl Parser<'_> {
    /// An expression whose operators bind at least as tightly as `min_precedence`.
    pub(crate) fn expr(&mut self, min_precedence: u8) -> Result<Expr, ParseError> {
        self.deeper(|parser| parser.operators(min_precedence))
    }

    fn operators(&mut self, min_precedence: u8) -> Result<Expr, ParseError> {
        let mut lhs = self.operand()?;
        while let TokenKind::Operator(op) = self.peek().kind {
            if op.precedence() < min_precedence {
                break;
            }
            let below = self.take_height();
            let op_span = self.take().span;
            let (return_bool, matching) = self.modifiers()?;
            // `^` is the only operator that groups to the right.
            let next = if op == BinaryOp::Pow { op.precedence() } else { op.precedence() + 1 };
            let rhs = self.expr(next)?;
            let below = below.max(self.take_height());
            self.grow(below)?;
            let span = self.span_from(lhs.span);
            lhs = Expr {
                span,
                kind: ExprKind::Binary(Binary {
                    op,
                    op_span,
                    lhs: Box::new(lhs),
                    rhs: Box::new(rhs),
                    return_bool,
                    matching: Some(matching),
                }),
            };
        }
        Ok(lhs)
    }

    /// `bool`, `on (...)`, `group_left (...)`, `fill (...)` after an operator.
    fn modifiers(&mut self) -> Result<(bool, VectorMatching), ParseError> {
        let return_bool = self.take_if(TokenKind::Keyword(Keyword::Bool)).is_some();
        let mut matching = VectorMatching {
            card: Cardinality::OneToOne,
            on: false,
            labels: Vec::new(),
            include: Vec::new(),
            fill_left: None,
            fill_right: None,
        };
        if let TokenKind::Keyword(keyword @ (Keyword::On | Keyword::Ignoring)) = self.peek().kind {
            self.take();
            matching.on = keyword == Keyword::On;
            matching.labels = self.label_names()?;
            if let TokenKind::Keyword(side @ (Keyword::GroupLeft | Keyword::GroupRight)) = self.peek().kind {
                self.take();
                matching.card = match side {
                    Keyword::GroupLeft => Cardinality::ManyToOne,
                    _ => Cardinality::OneToMany,
                };
                if self.peek().kind == TokenKind::LeftParen {
                    matching.include = self.label_names()?;
                }
            }
        }
        while let TokenKind::Keyword(side @ (Keyword::Fill | Keyword::FillLeft | Keyword::FillRight)) =
            self.peek().kind
        {
            // `fill` is also a legal metric name: `a + fill` has no parenthesis.
            if self.peek_second().kind != TokenKind::LeftParen {
                break;
            }
            self.take();
            self.take();
            let value = self.signed_number("fill modifier")?;
            if self.take_if(TokenKind::RightParen).is_none() {
                return Err(self.unexpected("fill modifier", "\")\""));
            }
            if side != Keyword::FillRight {
                matching.fill_left = Some(value);
            }
            if side != Keyword::FillLeft {
                matching.fill_right = Some(value);
            }
        }
        Ok((return_bool, matching))
    }

    pub(crate) fn signed_number(&mut self, context: &str) -> Result<f64, ParseError> {
        let is_negative = match self.peek().kind {
            TokenKind::Operator(op @ (BinaryOp::Add | BinaryOp::Sub)) => {
                self.take();
                op == BinaryOp::Sub
            }
            _ => false,
        };
        match self.peek().kind {
            TokenKind::Number | TokenKind::Duration => {
                let token = self.take();
                let value = number_value(&token)?.value;
                Ok(if is_negative { -value } else { value })
            }
            _ => Err(self.unexpected(context, "number")),
        }
    }

    /// One operand: a sign with what it stands before, or a primary with what follows it.
    fn operand(&mut self) -> Result<Expr, ParseError> {
        if let TokenKind::Operator(sign @ (BinaryOp::Add | BinaryOp::Sub)) = self.peek().kind {
            let start = self.take().span;
            // Signs bind like `*`: `-2^2` is -(2^2), `-a * b` is (-a) * b.
            let inner = self.expr(BinaryOp::Pow.precedence())?;
            let is_negative = sign == BinaryOp::Sub;
            let span = self.span_from(start);
            if let ExprKind::Number(mut literal) = inner.kind {
                if is_negative {
                    literal.value = -literal.value;
                }
                return Ok(Expr { span, kind: ExprKind::Number(literal) });
            }
            let below = self.take_height();
            self.grow(below)?;
            return Ok(Expr { span, kind: ExprKind::Unary(Unary { is_negative, expr: Box::new(inner) }) });
        }
        let primary = self.primary()?;
        self.postfix(primary)
    }

    fn primary(&mut self) -> Result<Expr, ParseError> {
        let token = self.peek();
        match token.kind {
            TokenKind::Number | TokenKind::Duration => {
                self.take();
                Ok(Expr { span: token.span, kind: ExprKind::Number(number_value(&token)?) })
            }
            TokenKind::String => {
                self.take();
                Ok(Expr { span: token.span, kind: ExprKind::String(string_value(&token)?) })
            }
            TokenKind::LeftParen => {
                self.take();
                let inner = self.expr(0)?;
                if self.take_if(TokenKind::RightParen).is_none() {
                    return Err(self.unexpected("", ""));
                }
                let below = self.take_height();
                self.grow(below)?;
                let span = self.span_from(token.span);
                Ok(Expr { span, kind: ExprKind::Paren(Box::new(inner)) })
            }
            TokenKind::LeftBrace => self.plain_selector(),
            TokenKind::Aggregate(op) => match self.peek_second().kind {
                TokenKind::LeftParen | TokenKind::Keyword(Keyword::By | Keyword::Without) => {
                    self.aggregation(op)
                }
                TokenKind::Identifier | TokenKind::MetricIdentifier => {
                    self.take();
                    Err(self.unexpected("aggregation", ""))
                }
                _ => self.plain_selector(),
            },
            TokenKind::Identifier
            | TokenKind::Keyword(Keyword::Start | Keyword::End | Keyword::Step | Keyword::Range)
                if self.peek_second().kind == TokenKind::LeftParen =>
            {
                self.call()
            }
            kind if kind.may_be_metric_name() => self.plain_selector(),
            _ => Err(self.unexpected("", "")),
        }
    }

    fn call(&mut self) -> Result<Expr, ParseError> {
        let name = self.take();
        self.take();
        let args = self.arguments()?;
        let known = match name.kind {
            // Keywords may be written in any case.
            TokenKind::Keyword(_) => functions::find(&name.text.to_ascii_lowercase()),
            _ => functions::find(name.text),
        };
        let function = known.ok_or_else(|| {
            let quoted = cairn_model::gotext::quote(name.text);
            ParseError::at(name.span, format!("unknown function with name {quoted}"))
        })?;
        if function.is_experimental && !self.options.experimental_functions {
            let quoted = cairn_model::gotext::quote(name.text);
            return Err(ParseError::at(name.span, format!("function {quoted} is not enabled")));
        }
        Ok(Expr { span: self.span_from(name.span), kind: ExprKind::Call(Call { function, args }) })
    }

    /// Arguments after the opening parenthesis, up to and including the closing one.
    fn arguments(&mut self) -> Result<Vec<Expr>, ParseError> {
        let mut args = Vec::new();
        let mut below = 0;
        if self.take_if(TokenKind::RightParen).is_none() {
            loop {
                args.push(self.expr(0)?);
                below = below.max(self.take_height());
                let Some(comma) = self.take_if(TokenKind::Comma) else { break };
                // Prometheus's grammar takes the comma for the last one as soon as no expression follows.
                if !self.peek().kind.may_start_expression() {
                    return Err(ParseError::at(
                        comma.span,
                        "trailing commas not allowed in function call args",
                    ));
                }
            }
            if self.take_if(TokenKind::RightParen).is_none() {
                return Err(self.unexpected("", ""));
            }
        }
        self.grow(below)?;
        Ok(args)
    }

    fn aggregation(&mut self, op: AggregateOp) -> Result<Expr, ParseError> {
        let start = self.take().span;
        let mut grouping = self.grouping()?;
        if self.take_if(TokenKind::LeftParen).is_none() {
            return Err(self.unexpected("aggregation", ""));
        }
        self.aggregations += 1;
        let mut args = self.arguments()?;
        self.aggregations -= 1;
        if grouping.is_none() {
            grouping = self.grouping()?;
        }
        let span = self.span_from(start);
        let n_args = args.len();
        let n_wanted = if op.param_type().is_some() { 2 } else { 1 };
        if n_args == 0 {
            return Err(ParseError::at(span, "no arguments for aggregate expression provided"));
        }
        if op.is_experimental() && !self.options.experimental_functions {
            return Err(ParseError::at(
                span,
                format!(
                    "{}() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
                    op.as_str()
                ),
            ));
        }
        if n_args != n_wanted {
            return Err(ParseError::at(
                span,
                format!(
                    "wrong number of arguments for aggregate expression provided, expected {n_wanted}, got {n_args}"
                ),
            ));
        }
        let expr = Box::new(args.pop().expect("counted above"));
        let param = args.pop().map(Box::new);
        let grouping = grouping.unwrap_or(Grouping::All);
        Ok(Expr { span, kind: ExprKind::Aggregate(Aggregate { op, param, expr, grouping }) })
    }

    fn grouping(&mut self) -> Result<Option<Grouping>, ParseError> {
        match self.peek().kind {
            TokenKind::Keyword(Keyword::By) => {
                self.take();
                Ok(Some(Grouping::By(self.label_names()?)))
            }
            TokenKind::Keyword(Keyword::Without) => {
                self.take();
                Ok(Some(Grouping::Without(self.label_names()?)))
            }
            _ => Ok(None),
        }
    }

    /// `(a, b, "c.d")`
    fn label_names(&mut self) -> Result<Vec<String>, ParseError> {
        if self.take_if(TokenKind::LeftParen).is_none() {
            return Err(self.unexpected("grouping opts", "\"(\""));
        }
        let mut names = Vec::new();
        while self.take_if(TokenKind::RightParen).is_none() {
            let token = self.peek();
            match token.kind {
                TokenKind::String => {
                    let name = string_value(&token)?;
                    if name.is_empty() {
                        return Err(ParseError::at(token.span, "invalid label name for grouping: \"\""));
                    }
                    names.push(name);
                }
                kind if kind.may_be_label_name() => names.push(token.text.to_owned()),
                _ => return Err(self.unexpected("grouping opts", "label")),
            }
            self.take();
            if self.take_if(TokenKind::Comma).is_none() && self.peek().kind != TokenKind::RightParen {
                return Err(self.unexpected("grouping opts", "\",\" or \")\""));
            }
        }
        Ok(names)
    }
}

/// The value of a number or duration token.
pub(crate) fn number_value(token: &Token<'_>) -> Result<NumberLiteral, ParseError> {
    if token.kind == TokenKind::Duration {
        let ms = duration::parse_prometheus(token.text)
            .map_err(|error| ParseError::at(token.span, error.to_string()))?;
        #[expect(clippy::cast_precision_loss, reason = "durations are below 2^53 ms")]
        return Ok(NumberLiteral { value: ms as f64 / 1000.0, is_duration: true });
    }
    let text = token.text.replace('_', "");
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let is_octal = text.len() > 1 && text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    #[expect(clippy::cast_precision_loss, reason = "a literal's nearest double is what is meant")]
    let value = if let Some(digits) = hex {
        i64::from_str_radix(digits, 16).ok().map(|v| v as f64)
    } else if is_octal {
        // As in C, `010` is 8; what is no octal number is read as a decimal one.
        i64::from_str_radix(&text, 8).ok().map(|v| v as f64).or_else(|| number::parse_float(&text))
    } else {
        number::parse_float(&text)
    };
    match value {
        Some(value) => Ok(NumberLiteral { value, is_duration: false }),
        None => Err(ParseError::at(
            token.span,
            format!(
                "error parsing number: strconv.ParseFloat: parsing {}: value out of range",
                cairn_model::gotext::quote(&text)
            ),
        )),
    }
}

/// The text of a string token, unescaped.
pub(crate) fn string_value(token: &Token<'_>) -> Result<String, ParseError> {
    let body = &token.text[1..token.text.len() - 1];
    let quote = token.text.chars().next().expect("a string token starts with its quote");
    if quote == '`' {
        return Ok(body.to_owned());
    }
    cairn_model::gotext::unescape(body, quote).map_err(|error| ParseError::at(token.span, error.to_string()))
}
