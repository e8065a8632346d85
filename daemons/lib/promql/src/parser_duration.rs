//! Grammar of durations in brackets and after `offset`: `5m`, `step() * 2`, `(range() / 10)`.

use crate::ast::{BinaryOp, DurationExpr};
use crate::error::ParseError;
use crate::parser::Parser;
use crate::parser_expr::number_value;
use crate::token::{Keyword, TokenKind};

/// Most operators in a row in a duration: each makes the tree one level deeper.
const MAX_DURATION_CHAIN: usize = 32;

impl Parser<'_> {
    /// A duration with operators that bind at least as tightly as `min_precedence`.
    pub(crate) fn duration_expr(
        &mut self,
        min_precedence: u8,
        context: &str,
        expected: &str,
    ) -> Result<DurationExpr, ParseError> {
        self.deeper(|parser| {
            let mut lhs = parser.duration_operand(context, expected)?;
            let mut n_chained = 0;
            while let TokenKind::Operator(op) = parser.peek().kind {
                let is_arithmetic = matches!(
                    op,
                    BinaryOp::Add
                        | BinaryOp::Sub
                        | BinaryOp::Mul
                        | BinaryOp::Div
                        | BinaryOp::Mod
                        | BinaryOp::Pow
                );
                if !is_arithmetic || op.precedence() < min_precedence {
                    break;
                }
                n_chained += 1;
                if n_chained > MAX_DURATION_CHAIN {
                    return Err(parser.unexpected(context, "a shorter duration expression"));
                }
                parser.take();
                let next = if op == BinaryOp::Pow { op.precedence() } else { op.precedence() + 1 };
                let rhs = parser.duration_expr(next, context, expected)?;
                if let DurationExpr::Number(literal) = &rhs
                    && literal.value == 0.0
                {
                    let message = match op {
                        BinaryOp::Div => Some("division by zero"),
                        BinaryOp::Mod => Some("modulo by zero"),
                        _ => None,
                    };
                    if let Some(message) = message {
                        return Err(ParseError::at(parser.peek().span, message));
                    }
                }
                lhs = DurationExpr::Binary { op, lhs: Box::new(lhs), rhs: Box::new(rhs) };
            }
            Ok(lhs)
        })
    }

    /// After `offset` only one operand is taken, with its sign: `offset -2 ^ 2` is `(... offset -2) ^ 2`.
    pub(crate) fn offset(&mut self) -> Result<DurationExpr, ParseError> {
        let expected = "number, duration, step(), or range()";
        if let TokenKind::Operator(op @ (BinaryOp::Add | BinaryOp::Sub)) = self.peek().kind {
            self.take();
            let operand = self.duration_primary("offset", expected)?;
            return Ok(signed(op == BinaryOp::Sub, operand));
        }
        self.duration_primary("offset", expected)
    }

    fn duration_operand(&mut self, context: &str, expected: &str) -> Result<DurationExpr, ParseError> {
        if let TokenKind::Operator(op @ (BinaryOp::Add | BinaryOp::Sub)) = self.peek().kind {
            self.take();
            let inner = self.duration_expr(BinaryOp::Pow.precedence(), context, expected)?;
            return Ok(signed(op == BinaryOp::Sub, inner));
        }
        self.duration_primary(context, expected)
    }

    fn duration_primary(&mut self, context: &str, expected: &str) -> Result<DurationExpr, ParseError> {
        let token = self.peek();
        match token.kind {
            TokenKind::Number | TokenKind::Duration => {
                self.take();
                let literal = number_value(&token)?;
                // What nanoseconds in 64 bits cannot hold.
                if literal.value.is_nan() || literal.value.abs() >= 9_223_372_036.0 {
                    return Err(ParseError::at(token.span, "duration out of range"));
                }
                Ok(DurationExpr::Number(literal))
            }
            TokenKind::LeftParen => {
                self.take();
                let inner = self.duration_expr(0, context, expected)?;
                if self.take_if(TokenKind::RightParen).is_none() {
                    return Err(self.unexpected(context, "\")\""));
                }
                Ok(DurationExpr::Paren(Box::new(inner)))
            }
            TokenKind::Keyword(keyword @ (Keyword::Step | Keyword::Range)) => {
                self.take();
                for kind in [TokenKind::LeftParen, TokenKind::RightParen] {
                    if self.take_if(kind).is_none() {
                        return Err(self.unexpected(context, "\"(\" and \")\""));
                    }
                }
                Ok(if keyword == Keyword::Step { DurationExpr::Step } else { DurationExpr::Range })
            }
            TokenKind::Identifier
                if token.text.eq_ignore_ascii_case("min_of") || token.text.eq_ignore_ascii_case("max_of") =>
            {
                self.take();
                if self.take_if(TokenKind::LeftParen).is_none() {
                    return Err(self.unexpected(context, "\"(\""));
                }
                let first = Box::new(self.duration_expr(0, context, expected)?);
                if self.take_if(TokenKind::Comma).is_none() {
                    return Err(self.unexpected(context, "\",\""));
                }
                let second = Box::new(self.duration_expr(0, context, expected)?);
                if self.take_if(TokenKind::RightParen).is_none() {
                    return Err(self.unexpected(context, "\")\""));
                }
                Ok(if token.text.eq_ignore_ascii_case("min_of") {
                    DurationExpr::MinOf(first, second)
                } else {
                    DurationExpr::MaxOf(first, second)
                })
            }
            _ => Err(self.unexpected(context, expected)),
        }
    }
}

/// A sign before a number belongs to the number, so that it prints as it was written.
fn signed(is_negative: bool, operand: DurationExpr) -> DurationExpr {
    match operand {
        DurationExpr::Number(mut literal) => {
            if is_negative {
                literal.value = -literal.value;
            }
            DurationExpr::Number(literal)
        }
        other => DurationExpr::Sign { is_negative, of: Box::new(other) },
    }
}
