//! Grammar of what may follow an operand: brackets, `offset`, `@`, `anchored`, `smoothed`.

use cairn_model::number;

use crate::ast::{
    At, DurationExpr, Expr, ExprKind, Extension, MatrixSelector, Span, Subquery, VectorSelector,
};
use crate::error::ParseError;
use crate::parser::Parser;
use crate::token::{Keyword, TokenKind};

impl Parser<'_> {
    /// Brackets, `offset`, `@`, `anchored`, `smoothed` after a primary.
    pub(crate) fn postfix(&mut self, mut expr: Expr) -> Result<Expr, ParseError> {
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
