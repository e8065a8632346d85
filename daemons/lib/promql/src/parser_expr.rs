//! Grammar of expressions: operators, calls, aggregations, and what may follow an operand.

use cairn_model::{duration, number};

use crate::ast::{
    Aggregate, AggregateOp, At, Binary, Call, Cardinality, Expr, ExprKind, Extension, Grouping,
    MatrixSelector, NumberLiteral, Span, Subquery, Unary, VectorMatching, VectorSelector,
};
use crate::ast::{BinaryOp, DurationExpr};
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

    fn signed_number(&mut self, context: &str) -> Result<f64, ParseError> {
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
                if self.peek().kind == TokenKind::RightParen {
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
        let mut args = self.arguments()?;
        if grouping.is_none() {
            grouping = self.grouping()?;
        }
        let span = self.span_from(start);
        let n_args = args.len();
        let n_wanted = if op.param_type().is_some() { 2 } else { 1 };
        if n_args == 0 {
            return Err(ParseError::at(span, "no arguments for aggregate expression provided"));
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

    /// Brackets, `offset`, `@`, `anchored`, `smoothed` after a primary.
    fn postfix(&mut self, mut expr: Expr) -> Result<Expr, ParseError> {
        loop {
            match self.peek().kind {
                TokenKind::LeftBracket => {
                    let below = self.take_height();
                    expr = self.brackets(expr)?;
                    self.grow(below)?;
                }
                TokenKind::Keyword(Keyword::Offset) => {
                    let keyword = self.take();
                    let offset = self.offset()?;
                    let end = self.span_from(expr.span);
                    let (_, slot, _) =
                        modifiable(&mut expr).ok_or_else(|| must_be_preceded("offset", keyword.span))?;
                    if slot.is_some() {
                        return Err(ParseError::at(end, "offset may not be set multiple times"));
                    }
                    *slot = Some(offset);
                    expr.span = end;
                }
                TokenKind::At => {
                    let sign = self.take();
                    let at = self.at_time()?;
                    let end = self.span_from(expr.span);
                    let (slot, _, _) =
                        modifiable(&mut expr).ok_or_else(|| must_be_preceded("@", sign.span))?;
                    if slot.is_some() {
                        return Err(ParseError::at(end, "@ <timestamp> may not be set multiple times"));
                    }
                    *slot = Some(at);
                    expr.span = end;
                }
                TokenKind::Keyword(keyword @ (Keyword::Anchored | Keyword::Smoothed)) => {
                    let word = self.take();
                    let extension = match keyword {
                        Keyword::Anchored => Extension::Anchored,
                        _ => Extension::Smoothed,
                    };
                    let end = self.span_from(expr.span);
                    let is_range = matches!(expr.kind, ExprKind::Matrix(_));
                    let slot = match modifiable(&mut expr) {
                        Some((_, _, Some(slot))) if is_range || extension == Extension::Smoothed => slot,
                        _ => {
                            let message = match extension {
                                Extension::Anchored => {
                                    "anchored modifier must be preceded by a range vector selector"
                                }
                                _ => {
                                    "smoothed modifier must be preceded by an instant vector selector or range vector selector"
                                }
                            };
                            return Err(ParseError::at(word.span, message));
                        }
                    };
                    if *slot != Extension::None && *slot != extension {
                        return Err(ParseError::at(
                            end,
                            "anchored and smoothed modifiers cannot be used together",
                        ));
                    }
                    *slot = extension;
                    expr.span = end;
                }
                _ => return Ok(expr),
            }
        }
    }

    /// `[5m]` makes a range vector of a selector, `[5m:1m]` a subquery of anything.
    fn brackets(&mut self, expr: Expr) -> Result<Expr, ParseError> {
        self.take();
        let wanted = "number, duration, step(), or range()";
        let range_start = self.peek().span;
        let range = self.duration_expr(0, "subquery or range selector", wanted)?;
        let range_span = self.span_from(range_start);
        if self.take_if(TokenKind::Colon).is_some() {
            let mut step = None;
            if self.peek().kind != TokenKind::RightBracket {
                let start = self.peek().span;
                let read = self.duration_expr(0, "subquery selector", &format!("{wanted}, or \"]\""))?;
                require_positive(&read, self.span_from(start))?;
                step = Some(read);
            }
            if self.take_if(TokenKind::RightBracket).is_none() {
                return Err(self.unexpected("subquery selector", "\"]\""));
            }
            require_positive(&range, range_span)?;
            let span = self.span_from(expr.span);
            let subquery = Subquery { expr: Box::new(expr), range, step, offset: None, at: None };
            return Ok(Expr { span, kind: ExprKind::Subquery(subquery) });
        }
        if self.take_if(TokenKind::RightBracket).is_none() {
            return Err(self.unexpected("subquery or range", "\":\" or \"]\""));
        }
        require_positive(&range, range_span)?;
        let span = self.span_from(expr.span);
        let ExprKind::Vector(selector) = expr.kind else {
            return Err(ParseError::at(expr.span, "ranges only allowed for vector selectors"));
        };
        let problem = match &selector {
            VectorSelector { offset: Some(_), .. } => Some("no offset modifiers allowed before range"),
            VectorSelector { at: Some(_), .. } => Some("no @ modifiers allowed before range"),
            VectorSelector { extension: Extension::Smoothed | Extension::Anchored, .. } => {
                Some("no anchored or smoothed modifiers allowed before range")
            }
            _ => None,
        };
        if let Some(message) = problem {
            return Err(ParseError::at(expr.span, message));
        }
        Ok(Expr {
            span,
            kind: ExprKind::Matrix(MatrixSelector { selector, selector_span: expr.span, range }),
        })
    }

    /// What stands after `@`.
    fn at_time(&mut self) -> Result<At, ParseError> {
        if let TokenKind::Keyword(keyword @ (Keyword::Start | Keyword::End)) = self.peek().kind {
            self.take();
            for kind in [TokenKind::LeftParen, TokenKind::RightParen] {
                if self.take_if(kind).is_none() {
                    return Err(self.unexpected("@", "timestamp"));
                }
            }
            return Ok(if keyword == Keyword::Start { At::Start } else { At::End });
        }
        let start = self.peek().span;
        let seconds = self.signed_number("@").map_err(|mut error| {
            if error.message.ends_with("expected number") {
                error.message = error.message.replace("expected number", "expected timestamp");
            }
            error
        })?;
        let ms = (seconds * 1000.0).round();
        // What fits 64 bits, bounds excluded: Go's conversion of anything else is undefined.
        if !(ms > -9.223_372_036_854_775e18 && ms < 9.223_372_036_854_775e18) {
            let shown =
                if seconds.is_finite() { format!("{seconds:.6}") } else { number::plain_float(seconds) };
            return Err(ParseError::at(
                self.span_from(start),
                format!("timestamp out of bounds for @ modifier: {shown}"),
            ));
        }
        #[expect(clippy::cast_possible_truncation, reason = "bounds checked above")]
        Ok(At::Time(ms as i64))
    }
}

fn must_be_preceded(what: &str, span: Span) -> ParseError {
    ParseError::at(
        span,
        format!(
            "{what} modifier must be preceded by an instant vector selector or range vector selector or a subquery"
        ),
    )
}

/// The places for `@`, `offset` and the extension, where the node has them.
type Slots<'a> = (&'a mut Option<At>, &'a mut Option<DurationExpr>, Option<&'a mut Extension>);

fn modifiable(expr: &mut Expr) -> Option<Slots<'_>> {
    match &mut expr.kind {
        ExprKind::Vector(s) => Some((&mut s.at, &mut s.offset, Some(&mut s.extension))),
        ExprKind::Matrix(m) => {
            Some((&mut m.selector.at, &mut m.selector.offset, Some(&mut m.selector.extension)))
        }
        ExprKind::Subquery(s) => Some((&mut s.at, &mut s.offset, None)),
        _ => None,
    }
}

/// A range or step known while parsing must be above zero.
fn require_positive(duration: &DurationExpr, span: Span) -> Result<(), ParseError> {
    match duration {
        DurationExpr::Number(literal) if literal.value <= 0.0 => {
            Err(ParseError::at(span, "duration must be greater than 0"))
        }
        _ => Ok(()),
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
