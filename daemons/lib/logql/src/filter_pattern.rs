//! The pattern language `<_> text <name>`: cut into parts, and matched as a line filter (`|>`, `!>`).

/// One part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Text that must be there.
    Literal(String),
    /// `<name>`
    Named(String),
    /// `<_>`
    Unnamed,
}

/// Cuts a pattern. `<` that starts no capture is text.
///
/// # Errors
/// Two captures without text between them.
pub(crate) fn cut(pattern: &str) -> Result<Vec<Part>, String> {
    let mut parts: Vec<Part> = Vec::new();
    let mut literal = String::new();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        let capture = (c == '<').then(|| capture_name(&rest[1..])).flatten();
        let Some(name) = capture else {
            literal.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        if !literal.is_empty() {
            parts.push(Part::Literal(std::mem::take(&mut literal)));
        }
        let part = if name == "_" { Part::Unnamed } else { Part::Named(name.to_owned()) };
        if let Some(before @ (Part::Named(_) | Part::Unnamed)) = parts.last() {
            let both = format!("{}{}", show(before), show(&part));
            return Err(format!("found consecutive capture '{both}': invalid expression"));
        }
        parts.push(part);
        rest = &rest[name.len() + 2..];
    }
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(parts)
}

fn show(part: &Part) -> String {
    match part {
        Part::Literal(text) => text.clone(),
        Part::Named(name) => format!("<{name}>"),
        Part::Unnamed => "<_>".to_owned(),
    }
}

/// The name at the start of `text`, which stands behind a `<`, if a `>` follows.
fn capture_name(text: &str) -> Option<&str> {
    let len = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
    let name = &text[..len];
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    (starts_well && text[len..].starts_with('>')).then_some(name)
}

/// A pattern as a line filter.
#[derive(Clone, Debug)]
pub(crate) struct LinePattern {
    starts_with_capture: bool,
    ends_with_capture: bool,
    literals: Vec<memchr::memmem::Finder<'static>>,
}

impl LinePattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// A text for the person who asked.
    pub(crate) fn compile(pattern: &str) -> Result<Self, String> {
        let parts = cut(pattern)?;
        if let Some(named) = parts.iter().find(|p| matches!(p, Part::Named(_))) {
            return Err(format!(
                "named captures are not allowed: found '{}': invalid expression",
                show(named)
            ));
        }
        let literals = parts.iter().filter_map(|part| match part {
            Part::Literal(text) => Some(memchr::memmem::Finder::new(text.as_bytes()).into_owned()),
            _ => None,
        });
        Ok(Self {
            starts_with_capture: matches!(parts.first(), Some(Part::Unnamed)),
            ends_with_capture: matches!(parts.last(), Some(Part::Unnamed)),
            literals: literals.collect(),
        })
    }

    /// The texts that a matching line contains.
    pub(crate) fn literals(&self) -> impl Iterator<Item = &[u8]> {
        self.literals.iter().map(memchr::memmem::Finder::needle)
    }

    /// Whether a line fits. The empty pattern fits the empty line only, and nothing else does. The first literal may stand anywhere unless a capture is before it, which then must not
    /// be empty; so must be every capture; a literal at the end must end the line.
    pub(crate) fn matches(&self, line: &[u8]) -> bool {
        if line.is_empty() {
            return self.literals.is_empty() && !self.starts_with_capture;
        }
        if self.literals.is_empty() {
            return self.starts_with_capture;
        }
        let mut rest = line;
        let mut has_capture_before = self.starts_with_capture;
        for literal in &self.literals {
            let Some(at) = literal.find(rest) else { return false };
            if at == 0 && has_capture_before {
                return false;
            }
            rest = &rest[at + literal.needle().len()..];
            has_capture_before = true;
        }
        // With a capture at the end something must be left, without nothing may be.
        self.ends_with_capture != rest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_of_the_reference() {
        let lines = ["hello world foo", "foo bar baz", "xx foo bar", "foo"];
        for (pattern, want) in [
            ("foo", [true, false, false, true]),
            ("foo <_>", [false, true, true, false]),
            ("<_>foo<_>", [false, false, true, false]),
            ("foo bar", [false, false, true, false]),
            ("foo <_> baz", [false, true, false, false]),
            ("<_>", [true, true, true, true]),
            ("", [false, false, false, false]),
        ] {
            let compiled = LinePattern::compile(pattern).unwrap();
            assert_eq!(lines.map(|l| compiled.matches(l.as_bytes())), want, "{pattern}");
            assert_eq!(compiled.matches(b""), pattern.is_empty(), "{pattern} on the empty line");
        }
    }

    #[test]
    fn refusals() {
        assert_eq!(
            LinePattern::compile("a<m>b").unwrap_err(),
            "named captures are not allowed: found '<m>': invalid expression"
        );
        assert_eq!(
            LinePattern::compile("<_><_>").unwrap_err(),
            "found consecutive capture '<_><_>': invalid expression"
        );
        assert_eq!(cut("<2c> <>").unwrap(), [Part::Literal("<2c> <>".to_owned())]);
    }
}
