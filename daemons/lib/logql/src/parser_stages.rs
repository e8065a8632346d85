//! From tokens to pipeline stages.

use crate::ast::*;
use crate::lexer::Kind;
use crate::parser::{Parsed, ParsedPipeline, Parser};

impl Parser {
    /// All stages that follow; with `in_range` also an `unwrap` and its filters, which end them.
    pub(crate) fn pipeline(&mut self, in_range: bool) -> Parsed<ParsedPipeline> {
        let mut parsed = ParsedPipeline { stages: Vec::new(), unwrap: None };
        loop {
            if let Some(op) = self.line_op() {
                // Behind an unwrap only label filters may stand.
                if parsed.unwrap.is_some() {
                    return Ok(parsed);
                }
                let filter = self.line_filter(op)?;
                parsed.stages.push(Stage::LineFilter(filter));
                continue;
            }
            if !self.eat("|") {
                return Ok(parsed);
            }
            if let Some(unwrap) = &mut parsed.unwrap {
                let filter = self.label_filter(0)?;
                unwrap.filters.push(filter);
            } else if in_range && self.is("unwrap") {
                parsed.unwrap = Some(self.unwrap()?);
            } else {
                let stage = self.stage()?;
                parsed.stages.push(stage);
            }
        }
    }

    fn line_op(&self) -> Option<LineOp> {
        let Kind::Word(word) = self.kind() else { return None };
        let op = match word {
            "|=" => LineOp::Contains,
            "|~" => LineOp::Regex,
            "|>" => LineOp::Pattern,
            "!=" => LineOp::NotContains,
            "!~" => LineOp::NotRegex,
            "!>" => LineOp::NotPattern,
            _ => return None,
        };
        Some(op)
    }

    fn line_filter(&mut self, op: LineOp) -> Parsed<LineFilter> {
        self.bump();
        let mut alternatives = vec![self.line_text()?];
        while self.eat("or") {
            alternatives.push(self.line_text()?);
        }
        Ok(LineFilter { op, alternatives })
    }

    fn line_text(&mut self) -> Parsed<LineText> {
        if self.eat("ip") {
            return Ok(LineText::Ip(self.ip_argument()?));
        }
        Ok(LineText::Text(self.string(&["STRING", "ip"])?))
    }

    fn ip_argument(&mut self) -> Parsed<String> {
        self.expect("(", &["("])?;
        let pattern = self.string(&["STRING"])?;
        self.expect(")", &[")"])?;
        Ok(pattern)
    }

    fn unwrap(&mut self) -> Parsed<Unwrap> {
        self.bump();
        let conversion = match self.kind() {
            Kind::Identifier => {
                let label = self.identifier(&[])?;
                return Ok(Unwrap { label, conversion: Conversion::Float, filters: Vec::new() });
            }
            Kind::BytesConv => Conversion::Bytes,
            Kind::DurationConv => Conversion::Duration,
            Kind::DurationSecondsConv => Conversion::DurationSeconds,
            _ => {
                return Err(self.unexpected(&[
                    "IDENTIFIER",
                    "BYTES_CONV",
                    "DURATION_CONV",
                    "DURATION_SECONDS_CONV",
                ]));
            }
        };
        self.bump();
        self.expect("(", &["("])?;
        let label = self.identifier(&["IDENTIFIER"])?;
        self.expect(")", &[")"])?;
        Ok(Unwrap { label, conversion, filters: Vec::new() })
    }

    /// What follows a `|`.
    fn stage(&mut self) -> Parsed<Stage> {
        let Kind::Word(word) = self.kind() else { return self.label_filter(0).map(Stage::LabelFilter) };
        if word == "(" {
            return self.label_filter(0).map(Stage::LabelFilter);
        }
        // The one list of stages by their word.
        let parse: fn(&mut Self) -> Parsed<Stage> = match word {
            "json" => |parser| Ok(Stage::Json(parser.extractions()?)),
            "logfmt" => |parser| Ok(Stage::Logfmt(parser.logfmt()?)),
            "regexp" => |parser| Ok(Stage::Regexp(parser.string(&["STRING"])?)),
            "pattern" => |parser| Ok(Stage::Pattern(parser.string(&["STRING"])?)),
            "unpack" => |_| Ok(Stage::Unpack),
            "decolorize" => |_| Ok(Stage::Decolorize),
            "line_format" => |parser| Ok(Stage::LineFormat(parser.string(&["STRING"])?)),
            "label_format" => |parser| Ok(Stage::LabelFormat(parser.label_formats()?)),
            "drop" => |parser| Ok(Stage::Drop(parser.label_choices()?)),
            "keep" => |parser| Ok(Stage::Keep(parser.label_choices()?)),
            _ => return Err(self.unexpected(&[])),
        };
        self.bump();
        parse(self)
    }

    fn logfmt(&mut self) -> Parsed<Logfmt> {
        let mut logfmt = Logfmt::default();
        while self.kind() == Kind::Flag {
            match self.bump().text.as_str() {
                "--strict" => logfmt.strict = true,
                _ => logfmt.keep_empty = true,
            }
        }
        logfmt.extractions = self.extractions()?;
        Ok(logfmt)
    }

    fn extractions(&mut self) -> Parsed<Vec<Extraction>> {
        let mut extractions = Vec::new();
        if self.kind() != Kind::Identifier {
            return Ok(extractions);
        }
        loop {
            let name = self.identifier(&["IDENTIFIER"])?;
            let source = if self.eat("=") { self.string(&["STRING"])? } else { name.clone() };
            extractions.push(Extraction { name, source });
            if !self.eat(",") {
                return Ok(extractions);
            }
        }
    }

    fn label_formats(&mut self) -> Parsed<Vec<LabelFormat>> {
        let mut formats: Vec<LabelFormat> = Vec::new();
        loop {
            let name = self.identifier(&["IDENTIFIER"])?;
            self.expect("=", &["="])?;
            let value = match self.kind() {
                Kind::Identifier => LabelFormatValue::Rename(self.bump().text),
                Kind::String => LabelFormatValue::Template(self.bump().text),
                _ => return Err(self.unexpected(&["IDENTIFIER", "STRING"])),
            };
            if name == "__error__" {
                self.note(format!("{name} cannot be formatted"));
            } else if formats.iter().any(|f| f.name == name) {
                self.note(format!("multiple label name '{name}' not allowed in a single format operation"));
            }
            formats.push(LabelFormat { name, value });
            if !self.eat(",") {
                return Ok(formats);
            }
        }
    }

    fn label_choices(&mut self) -> Parsed<Vec<LabelChoice>> {
        let mut choices = Vec::new();
        loop {
            let name = self.identifier(&["IDENTIFIER"])?;
            match self.match_op() {
                None => choices.push(LabelChoice::Name(name)),
                Some(op) => {
                    self.bump();
                    let value = self.string(&["STRING"])?;
                    choices.extend(self.matcher(name, op, value).map(LabelChoice::Matcher));
                }
            }
            if !self.eat(",") {
                return Ok(choices);
            }
        }
    }

    /// `a and b or c`. A comma and a plain blank mean `and`, but take everything behind them as their right side:
    /// Loki's grammar resolves them that way.
    pub(crate) fn label_filter(&mut self, min: u8) -> Parsed<LabelFilter> {
        let mut left = self.label_filter_primary()?;
        loop {
            let is_and = self.is("and");
            if is_and || self.is("or") {
                let precedence = if is_and { 2 } else { 1 };
                if precedence < min {
                    return Ok(left);
                }
                self.bump();
                self.count_operator()?;
                let right = self.label_filter(precedence + 1)?;
                left = if is_and {
                    LabelFilter::And(Box::new(left), Box::new(right))
                } else {
                    LabelFilter::Or(Box::new(left), Box::new(right))
                };
                continue;
            }
            let follows = self.eat(",") || self.is("(") || self.kind() == Kind::Identifier;
            if !follows {
                return Ok(left);
            }
            self.count_operator()?;
            self.enter()?;
            let right = self.label_filter(0)?;
            self.leave();
            left = LabelFilter::And(Box::new(left), Box::new(right));
        }
    }

    fn label_filter_primary(&mut self) -> Parsed<LabelFilter> {
        if self.eat("(") {
            self.enter()?;
            let inner = self.label_filter(0)?;
            self.leave();
            self.expect(")", &[])?;
            return Ok(inner);
        }
        let name = self.identifier(&[])?;
        let Kind::Word(word) = self.kind() else { return Err(self.unexpected(&[])) };
        let op = match word {
            "=" | "==" => CmpOp::Equal,
            "!=" => CmpOp::NotEqual,
            ">" => CmpOp::Greater,
            ">=" => CmpOp::GreaterOrEqual,
            "<" => CmpOp::Less,
            "<=" => CmpOp::LessOrEqual,
            "=~" | "!~" => CmpOp::Equal,
            _ => return Err(self.unexpected(&[])),
        };
        let match_op = self.match_op();
        let is_regex = matches!(word, "=~" | "!~");
        self.bump();
        let takes_text = matches!(word, "=" | "!=" | "=~" | "!~");
        match self.kind() {
            Kind::String if takes_text => {
                let value = self.bump().text;
                let op = match_op.expect("the four operators that take a text are matching ones");
                // A bad pattern is noted and refuses the query in the end; any filter stands in for it.
                let stand_in = || cairn_model::Matcher::equal("", "");
                Ok(LabelFilter::Text(self.matcher(name, op, value).unwrap_or_else(stand_in)))
            }
            _ if is_regex => Err(self.unexpected(&["STRING"])),
            Kind::Word("ip") if matches!(word, "=" | "!=") => {
                self.bump();
                let pattern = self.ip_argument()?;
                Ok(LabelFilter::Ip { name, negative: word == "!=", pattern })
            }
            Kind::Duration => Ok(LabelFilter::Duration { name, op, nanos: self.bump().amount }),
            Kind::Bytes => Ok(LabelFilter::Bytes { name, op, bytes: self.bump().amount.unsigned_abs() }),
            Kind::Number | Kind::Word("-" | "+") => {
                Ok(LabelFilter::Number { name, op, value: self.signed_number()? })
            }
            _ => Err(self.unexpected(&[])),
        }
    }
}
