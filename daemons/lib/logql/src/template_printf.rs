//! `print` and `printf` as Go's `fmt` has them.

use cairn_model::gotext;

use crate::template_value::{Value, print_float};

/// Widest field and longest fraction that a format may ask for.
const MAX_WIDTH: usize = 4096;

/// Go's `Sprint`: a blank between two values when neither is a text.
pub(crate) fn print(values: &[Value]) -> String {
    let mut out = String::new();
    let mut was_text = true;
    for (at, value) in values.iter().enumerate() {
        let is_text = matches!(value, Value::String(_));
        if at > 0 && !is_text && !was_text {
            out.push(' ');
        }
        out.push_str(&value.to_string());
        was_text = is_text;
    }
    out
}

/// One `%...` of a format.
#[derive(Default)]
struct Spec {
    minus: bool,
    plus: bool,
    zero: bool,
    blank: bool,
    sharp: bool,
    width: usize,
    precision: Option<usize>,
}

/// Go's `Sprintf`.
pub(crate) fn printf(format: &str, values: &[Value]) -> String {
    let mut out = String::new();
    let mut rest = format;
    let mut next = 0;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let mut spec = Spec::default();
        while let Some(flag) = rest.chars().next() {
            match flag {
                '-' => spec.minus = true,
                '+' => spec.plus = true,
                '0' => spec.zero = true,
                ' ' => spec.blank = true,
                '#' => spec.sharp = true,
                _ => break,
            }
            rest = &rest[1..];
        }
        spec.width = number(&mut rest).unwrap_or(0);
        if let Some(after) = rest.strip_prefix('.') {
            rest = after;
            spec.precision = Some(number(&mut rest).unwrap_or(0));
        }
        let Some(verb) = rest.chars().next() else {
            out.push_str("%!(NOVERB)");
            return out;
        };
        rest = &rest[verb.len_utf8()..];
        if verb == '%' {
            out.push('%');
            continue;
        }
        match values.get(next) {
            Some(value) => out.push_str(&field(&spec, verb, value)),
            None => out.push_str(&format!("%!{verb}(MISSING)")),
        }
        next += 1;
    }
    out.push_str(rest);
    if next < values.len() {
        let extra: Vec<String> =
            values[next..].iter().map(|value| format!("{}={value}", value.type_name())).collect();
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

fn number(rest: &mut &str) -> Option<usize> {
    let len = rest.bytes().take_while(u8::is_ascii_digit).count();
    let value = rest[..len].parse::<usize>().ok().map(|value| value.min(MAX_WIDTH));
    *rest = &rest[len..];
    value
}

fn field(spec: &Spec, verb: char, value: &Value) -> String {
    let signed = |text: String| match text.strip_prefix('-') {
        Some(_) => text,
        None if spec.plus => format!("+{text}"),
        None if spec.blank => format!(" {text}"),
        None => text,
    };
    let cut = |text: &str| spec.precision.map_or_else(|| text.to_owned(), |n| text.chars().take(n).collect());
    let (text, is_number) = match (verb, value) {
        ('v' | 'd', Value::Int(value)) => (signed(value.to_string()), true),
        ('x', Value::Int(value)) => (signed(radix(*value, |v| format!("{v:x}"))), true),
        ('X', Value::Int(value)) => (signed(radix(*value, |v| format!("{v:X}"))), true),
        ('o', Value::Int(value)) => (signed(radix(*value, |v| format!("{v:o}"))), true),
        ('b', Value::Int(value)) => (signed(radix(*value, |v| format!("{v:b}"))), true),
        ('c', Value::Int(value)) => {
            let c = u32::try_from(*value).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
            (c.to_string(), false)
        }
        ('f' | 'F', Value::Float(value)) => {
            (signed(format!("{value:.*}", spec.precision.unwrap_or(6))), true)
        }
        ('e' | 'E', Value::Float(value)) => {
            (signed(exponent(*value, spec.precision.unwrap_or(6), verb)), true)
        }
        ('v' | 'g' | 'G', Value::Float(value)) => (signed(print_float(*value)), true),
        ('t' | 'v', Value::Bool(value)) => (value.to_string(), false),
        ('q', Value::String(text)) => (gotext::quote(&cut(text)), false),
        ('x', Value::String(text)) => (text.bytes().map(|b| format!("{b:02x}")).collect(), false),
        ('X', Value::String(text)) => (text.bytes().map(|b| format!("{b:02X}")).collect(), false),
        ('v', Value::String(text)) if spec.sharp => (gotext::quote(text), false),
        ('s' | 'v', Value::String(text)) => (cut(text), false),
        ('T', value) => (value.type_name().to_owned(), false),
        ('s' | 'v', Value::List(_) | Value::Map(_) | Value::Labels(_) | Value::Time(_)) => {
            (value.to_string(), false)
        }
        ('v', Value::Nil) => ("<nil>".to_owned(), false),
        (verb, Value::Nil) => (format!("%!{verb}(<nil>)"), false),
        (verb, value) => (format!("%!{verb}({}={value})", value.type_name()), false),
    };
    pad(spec, text, is_number)
}

fn radix(value: i64, print: impl Fn(u64) -> String) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}", print(value.unsigned_abs()))
}

fn exponent(value: f64, precision: usize, verb: char) -> String {
    let text = format!("{value:.precision$e}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}{verb}{sign}{digits:0>2}")
}

fn pad(spec: &Spec, text: String, is_number: bool) -> String {
    let missing = spec.width.saturating_sub(text.chars().count());
    if missing == 0 {
        return text;
    }
    if spec.minus {
        return format!("{text}{}", " ".repeat(missing));
    }
    if spec.zero && is_number {
        let sign = usize::from(text.starts_with(['+', '-', ' ']));
        return format!("{}{}{}", &text[..sign], "0".repeat(missing), &text[sign..]);
    }
    let fill = if spec.zero { "0" } else { " " };
    format!("{}{text}", fill.repeat(missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_fmt() {
        let text = |t: &str| Value::String(t.to_owned());
        for (format, values, want) in [
            ("%s-%d", vec![text("a"), Value::Int(5)], "a-5"),
            ("%5.1f|%-6s|%06d", vec![Value::Float(2.25), text("ab"), Value::Int(-42)], "  2.2|ab    |-00042"),
            ("%d", vec![text("x")], "%!d(string=x)"),
            ("%s", vec![], "%!s(MISSING)"),
            ("a", vec![Value::Int(1)], "a%!(EXTRA int=1)"),
            ("%x %e %%", vec![text("hi"), Value::Float(1500.0)], "6869 1.500000e+03 %"),
            ("%", vec![], "%!(NOVERB)"),
        ] {
            assert_eq!(printf(format, &values), want, "{format}");
        }
        assert_eq!(print(&[Value::Int(1), Value::Int(2), text("x"), Value::Int(3)]), "1 2x3");
    }

    proptest::proptest! {
        #[test]
        fn no_format_panics(format in "[%a0-9.sdfqxev+# -]{0,16}") {
            let values = [Value::Int(-5), Value::String("é".to_owned()), Value::Float(0.5), Value::Nil];
            let _ = printf(&format, &values);
        }
    }
}
