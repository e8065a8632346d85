//! Expressions that a sequence of bytes chooses: each byte one decision, mostly of the right type.

use std::fmt::Write;

use cairn_promql::ast::{AggregateOp, BinaryOp, ValueType};
use cairn_promql::functions::{FUNCTIONS, Function};

/// Nodes of an expression.
const MAX_NODES: usize = 40;

const MAX_DEPTH: usize = 9;

const SELECTORS: &[&str] = &[
    "c",
    "g",
    "n",
    "h",
    "h_bucket",
    "target_info",
    "mixed",
    "odd_le_bucket",
    "nothing",
    "c{i=\"1\"}",
    "g{i!~\"0|2\"}",
    "n{x=~\"1.*\"}",
    "{__name__=~\"c|g\"}",
    "{__name__=~\".+\"}",
    "{\"utf8 näme\"}",
    "{job=\"a\"}",
    "h{kind=\"custom\"}",
    "h{kind=~\"int|float\"}",
];
const DURATIONS: &[&str] = &[
    "1m",
    "30s",
    "5m",
    "10",
    "1ms",
    "1d",
    "291y",
    "step()",
    "range()",
    "(step() + 10s)",
    "min_of(1m, range())",
    "0.001",
    "max_of(step() * 3, 15s)",
];
const OFFSETS: &[&str] = &["30s", "-30s", "0s", "10", "292y", "-292y", "(step() - 1m)", "-(range())", "1ms"];
const TIMES: &[&str] = &["10060", "10300.5", "start()", "end()", "0", "-5", "9e15", "-9e15", "1e-3"];
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "0.5",
    "2",
    "-1",
    "NaN",
    "Inf",
    "-Inf",
    "1e300",
    "1e-320",
    "0x1f",
    "5m",
    "1_000",
    "9007199254740993",
    "3.7",
    "-0",
];
const STRINGS: &[&str] = &[
    "\"i\"",
    "\"x\"",
    "\"job\"",
    "\"__name__\"",
    "\"le\"",
    "\"v\"",
    "\"\"",
    "\"(.*)\"",
    "\"(?P<a>.)(b)?.*\"",
    "\"$1$a$2$$\"",
    "\"a.b\"",
    "'\\x41\\n'",
    "`\\`",
    "\"(\"",
    "\"${1}x\"",
    "\"näme\"",
];
const LABELS: &[&str] = &["", "i", "x, job", "le", "__name__", "kind", "\"a.b\"", "job, i, x", "version"];
const BINARY: &[BinaryOp] = &[
    BinaryOp::Add,
    BinaryOp::Sub,
    BinaryOp::Mul,
    BinaryOp::Div,
    BinaryOp::Mod,
    BinaryOp::Pow,
    BinaryOp::Atan2,
    BinaryOp::Equal,
    BinaryOp::NotEqual,
    BinaryOp::Less,
    BinaryOp::LessOrEqual,
    BinaryOp::Greater,
    BinaryOp::GreaterOrEqual,
    BinaryOp::TrimUpper,
    BinaryOp::TrimLower,
    BinaryOp::And,
    BinaryOp::Or,
    BinaryOp::Unless,
];

/// The expression that these bytes choose.
pub(crate) fn query(choices: &[u8]) -> String {
    let mut writer = Writer { choices, n_nodes: 0, out: String::new() };
    match writer.choose(8) {
        0 => writer.scalar(0),
        1 => writer.range_vector(0),
        2 => writer.string(),
        _ => writer.vector(0),
    }
    writer.out
}

struct Writer<'a> {
    choices: &'a [u8],
    n_nodes: usize,
    out: String,
}

impl Writer<'_> {
    /// A number below `n`; 0 when there is nothing left to choose by.
    fn choose(&mut self, n: usize) -> usize {
        let Some((&choice, rest)) = self.choices.split_first() else { return 0 };
        self.choices = rest;
        usize::from(choice) % n
    }

    fn pick(&mut self, list: &'static [&'static str]) -> &'static str {
        list[self.choose(list.len())]
    }

    fn push_one_of(&mut self, list: &'static [&'static str]) {
        let picked = self.pick(list);
        self.out.push_str(picked);
    }

    /// Whether only something without nodes below it may follow.
    fn is_deep_enough(&mut self, depth: usize) -> bool {
        self.n_nodes += 1;
        depth >= MAX_DEPTH || self.n_nodes > MAX_NODES || self.choices.is_empty()
    }

    fn of_type(&mut self, wanted: ValueType, depth: usize) {
        // One in 64 is of another type.
        let wanted = match self.choose(64) {
            63 => [ValueType::Scalar, ValueType::String, ValueType::RangeVector][self.choose(3)],
            _ => wanted,
        };
        match wanted {
            ValueType::Scalar => self.scalar(depth),
            ValueType::String => self.string(),
            ValueType::InstantVector => self.vector(depth),
            ValueType::RangeVector => self.range_vector(depth),
        }
    }

    fn string(&mut self) {
        self.push_one_of(STRINGS);
    }

    fn scalar(&mut self, depth: usize) {
        if self.is_deep_enough(depth) {
            return self.push_one_of(NUMBERS);
        }
        match self.choose(8) {
            0..3 => self.push_one_of(NUMBERS),
            3 => self.binary(ValueType::Scalar, ValueType::Scalar, depth),
            4 => self.wrapped("(", ValueType::Scalar, depth),
            5 => self.wrapped("-(", ValueType::Scalar, depth),
            _ => self.call(ValueType::Scalar, depth),
        }
    }

    fn vector(&mut self, depth: usize) {
        if self.is_deep_enough(depth) {
            return self.push_one_of(SELECTORS);
        }
        match self.choose(12) {
            0..2 => {
                self.push_one_of(SELECTORS);
                self.modifiers(" smoothed");
            }
            2..6 => self.call(ValueType::InstantVector, depth),
            6..8 => self.aggregation(depth),
            8 => self.binary(ValueType::InstantVector, ValueType::InstantVector, depth),
            9 => self.binary(ValueType::InstantVector, ValueType::Scalar, depth),
            10 => self.binary(ValueType::Scalar, ValueType::InstantVector, depth),
            _ => self.wrapped(["(", "-(", "+("][depth % 3], ValueType::InstantVector, depth),
        }
    }

    fn range_vector(&mut self, depth: usize) {
        if self.is_deep_enough(depth) || self.choose(3) > 0 {
            self.push_one_of(SELECTORS);
            self.out.push('[');
            self.push_one_of(DURATIONS);
            self.out.push(']');
            return self.modifiers([" smoothed", " anchored"][depth % 2]);
        }
        self.out.push('(');
        self.vector(depth + 1);
        self.out.push_str(")[");
        self.push_one_of(DURATIONS);
        self.out.push(':');
        if self.choose(3) > 0 {
            self.push_one_of(DURATIONS);
        }
        self.out.push(']');
        self.modifiers("");
    }

    /// `offset`, `@`, and the extension, each now and then.
    fn modifiers(&mut self, extension: &str) {
        let choice = self.choose(32);
        if choice & 7 == 1 {
            self.out.push_str(extension);
        }
        if choice & 7 == 2 || choice == 11 {
            self.out.push_str(" offset ");
            self.push_one_of(OFFSETS);
        }
        if choice & 7 == 3 {
            self.out.push_str(" @ ");
            self.push_one_of(TIMES);
        }
    }

    fn wrapped(&mut self, open: &str, of: ValueType, depth: usize) {
        self.out.push_str(open);
        self.of_type(of, depth + 1);
        self.out.push(')');
    }

    fn call(&mut self, returns: ValueType, depth: usize) {
        let fitting: Vec<&Function> =
            FUNCTIONS.iter().filter(|function| function.returns == returns).collect();
        let function = fitting[self.choose(fitting.len())];
        let n_types = function.arg_types.len();
        let n_args = match function.variadic {
            0 => n_types,
            _ => (n_types - 1) + self.choose(4),
        };
        let _ = write!(self.out, "{}(", function.name);
        for at in 0..n_args {
            if at > 0 {
                self.out.push_str(", ");
            }
            // The second argument of `info` is a selector only.
            if function.name == "info" && at == 1 {
                self.out.push_str("{version=~\".*\"}");
            } else {
                self.of_type(function.arg_types[at.min(n_types - 1)], depth + 1);
            }
        }
        self.out.push(')');
    }

    fn aggregation(&mut self, depth: usize) {
        let op = AggregateOp::ALL[self.choose(AggregateOp::ALL.len())];
        self.out.push_str(op.as_str());
        match self.choose(4) {
            0 => {}
            1 => self.labels(" without"),
            _ => self.labels(" by"),
        }
        self.out.push('(');
        if let Some(param) = op.param_type() {
            self.of_type(param, depth + 1);
            self.out.push_str(", ");
        }
        self.of_type(ValueType::InstantVector, depth + 1);
        self.out.push(')');
    }

    fn labels(&mut self, word: &str) {
        let labels = self.pick(LABELS);
        let _ = write!(self.out, "{word} ({labels}) ");
    }

    fn binary(&mut self, lhs: ValueType, rhs: ValueType, depth: usize) {
        let op = BINARY[self.choose(BINARY.len())];
        let is_scalar = lhs == ValueType::Scalar && rhs == ValueType::Scalar;
        self.of_type(lhs, depth + 1);
        let _ = write!(self.out, " {} ", op.as_str());
        if op.is_comparison() && (is_scalar || self.choose(3) == 0) {
            self.out.push_str("bool ");
        }
        if lhs == ValueType::InstantVector && rhs == ValueType::InstantVector {
            self.matching(op.is_set());
        }
        self.of_type(rhs, depth + 1);
    }

    fn matching(&mut self, is_set: bool) {
        match self.choose(4) {
            0 => self.labels("on"),
            1 => self.labels("ignoring"),
            _ => return,
        }
        if is_set {
            return;
        }
        match self.choose(4) {
            0 => self.labels("group_left"),
            1 => self.labels("group_right"),
            _ => {}
        }
        match self.choose(6) {
            0 => self.out.push_str("fill (0) "),
            1 => self.out.push_str("fill_left (NaN) "),
            2 => self.out.push_str("fill_right (-1) "),
            _ => {}
        }
    }
}
