//! The label text of a stream, `{a="b", c="d"}`, read by the rules and refused in the words of Loki (whose parser for
//! this is Prometheus's).

use std::fmt;

use cairn_model::Labels;
use cairn_model::gotext;

/// Labels as a sender wrote them: sorted by name (stable), without empty values, names possibly repeated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushLabels {
    pairs: Vec<(String, String)>,
}

impl PushLabels {
    /// Sorts pairs by name and leaves out those with an empty value, as Loki does.
    pub fn from_pairs(pairs: Vec<(String, String)>) -> Self {
        let mut pairs = pairs;
        pairs.retain(|(_, value)| !value.is_empty());
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        Self { pairs }
    }

    /// Name and value, ascending by name.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// The first name that occurs twice: Loki refuses the stream for it.
    pub fn duplicate_name(&self) -> Option<&str> {
        self.pairs.windows(2).find(|two| two[0].0 == two[1].0).map(|two| two[0].0.as_str())
    }

    /// As a label set; of repeated names the last value stays (check [`duplicate_name`](Self::duplicate_name) first).
    pub fn to_labels(&self) -> Labels {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }
}

/// `{a="b", c="d"}`, values quoted as Go quotes them, repeated names repeated.
impl fmt::Display for PushLabels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_label_text(f, self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }
}

/// Writes `{a="b", c="d"}` in the order given, names untouched, values quoted as Go quotes them.
///
/// # Errors
/// Only those of the writer.
pub fn write_label_text<'a>(
    out: &mut impl fmt::Write,
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> fmt::Result {
    out.write_char('{')?;
    for (index, (name, value)) in pairs.into_iter().enumerate() {
        if index > 0 {
            out.write_str(", ")?;
        }
        out.write_str(name)?;
        out.write_char('=')?;
        gotext::quote_to(out, value)?;
    }
    out.write_char('}')
}

/// Why a label text cannot be read; prints as `1:3: parse error: unexpected character inside braces: '-'`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: parse error: {message}")]
pub struct LabelTextError {
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 1.
    pub column: usize,
    /// What is wrong there.
    pub message: String,
}

/// Reads a stream's label text. Any order, blanks, comments and a comma at the end are fine; `foo` before the braces
/// or as a quoted string inside them means `__name__="foo"`; an empty text is the empty set.
///
/// # Errors
/// [`LabelTextError`] with the place and Loki's words. Loki's answer puts `couldn't parse labels: ` before it.
pub fn parse_label_text(text: &str) -> Result<PushLabels, LabelTextError> {
    let mut lexer = Lexer { text, at: 0, in_braces: false };
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut token = lexer.next()?;
    if let Kind::Identifier = token.kind {
        pairs.push(("__name__".to_owned(), token.text.to_owned()));
        token = lexer.next()?;
    }
    if token.kind == Kind::LeftBrace {
        read_set(&mut lexer, &mut pairs)?;
        token = lexer.next()?;
    }
    if token.kind != Kind::End {
        return Err(lexer.error(token.at, format!("unexpected {}", token.describe())));
    }
    Ok(PushLabels::from_pairs(pairs))
}

/// Reads from behind `{` to and with `}`.
fn read_set(lexer: &mut Lexer<'_>, pairs: &mut Vec<(String, String)>) -> Result<(), LabelTextError> {
    loop {
        let name = lexer.next()?;
        match name.kind {
            Kind::RightBrace => return Ok(()),
            Kind::Identifier | Kind::String => {}
            _ => return Err(lexer.unexpected(&name, "identifier or \"}\"")),
        }
        let mut after = lexer.next()?;
        if name.kind == Kind::String && matches!(after.kind, Kind::Comma | Kind::RightBrace) {
            pairs.push(("__name__".to_owned(), lexer.unquote(&name)?));
        } else {
            if after.kind != Kind::Equal {
                return Err(lexer.unexpected(&after, "\"=\""));
            }
            let value = lexer.next()?;
            if value.kind != Kind::String {
                return Err(lexer.unexpected(&value, "string"));
            }
            let key = if name.kind == Kind::String { lexer.unquote(&name)? } else { name.text.to_owned() };
            pairs.push((key, lexer.unquote(&value)?));
            after = lexer.next()?;
        }
        match after.kind {
            Kind::Comma => {}
            Kind::RightBrace => return Ok(()),
            _ => return Err(lexer.unexpected(&after, "\",\" or \"}\"")),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    End,
    LeftBrace,
    RightBrace,
    Comma,
    Equal,
    /// `=~`, `!=`, `!~`: matchers, but not allowed in a stream's labels.
    Operator,
    Identifier,
    String,
}

struct Token<'a> {
    kind: Kind,
    /// Byte offset in the text.
    at: usize,
    text: &'a str,
}

impl Token<'_> {
    /// As Prometheus names a token in "unexpected ...".
    fn describe(&self) -> String {
        match self.kind {
            Kind::End => "end of input".to_owned(),
            Kind::LeftBrace | Kind::RightBrace | Kind::Comma | Kind::Equal => format!("\"{}\"", self.text),
            Kind::Operator => format!("<op:{}>", self.text),
            Kind::Identifier => format!("identifier {}", gotext::quote(self.text)),
            Kind::String => {
                let short: String = self.text.chars().take(10).collect();
                let dots = if self.text.len() > 10 { "..." } else { "" };
                format!("string {}{dots}", gotext::quote(&short))
            }
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    in_braces: bool,
}

impl<'a> Lexer<'a> {
    fn next(&mut self) -> Result<Token<'a>, LabelTextError> {
        self.skip_blanks_and_comments();
        let start = self.at;
        let rest = &self.text[start..];
        let Some(first) = rest.chars().next() else {
            if self.in_braces {
                return Err(self.error(start, "unexpected end of input inside braces".to_owned()));
            }
            return Ok(Token { kind: Kind::End, at: start, text: "" });
        };
        let (kind, len) =
            match first {
                '{' if !self.in_braces => {
                    self.in_braces = true;
                    (Kind::LeftBrace, 1)
                }
                '{' => return Err(self.error(start, "unexpected left brace '{'".to_owned())),
                '}' if self.in_braces => {
                    self.in_braces = false;
                    (Kind::RightBrace, 1)
                }
                '}' => return Err(self.error(start, "unexpected right brace '}'".to_owned())),
                'a'..='z' | 'A'..='Z' | '_' => (Kind::Identifier, self.identifier_len(rest)),
                ':' if !self.in_braces => (Kind::Identifier, self.identifier_len(rest)),
                ',' if self.in_braces => (Kind::Comma, 1),
                '=' if self.in_braces => {
                    if rest[1..].starts_with('~') {
                        (Kind::Operator, 2)
                    } else {
                        (Kind::Equal, 1)
                    }
                }
                '!' if self.in_braces => match rest[1..].chars().next() {
                    Some('=' | '~') => (Kind::Operator, 2),
                    other => {
                        let found = quote_char(other);
                        return Err(self
                            .error(start, format!("unexpected character after '!' inside braces: {found}")));
                    }
                },
                '"' | '\'' | '`' => (Kind::String, self.string_len(rest, first)?),
                other => {
                    let place = if self.in_braces { " inside braces" } else { "" };
                    return Err(self
                        .error(start, format!("unexpected character{place}: {}", quote_char(Some(other)))));
                }
            };
        self.at = start + len;
        Ok(Token { kind, at: start, text: &self.text[start..self.at] })
    }

    fn skip_blanks_and_comments(&mut self) {
        loop {
            let rest = &self.text[self.at..];
            let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r']);
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with('#') {
                return;
            }
            self.at += trimmed.find(['\n', '\r']).unwrap_or(trimmed.len());
        }
    }

    fn identifier_len(&self, rest: &str) -> usize {
        let colon = !self.in_braces;
        rest.bytes()
            .position(|b| !(b.is_ascii_alphanumeric() || b == b'_' || (colon && b == b':')))
            .unwrap_or(rest.len())
    }

    /// Bytes of a string with its quotes.
    fn string_len(&self, rest: &str, quote: char) -> Result<usize, LabelTextError> {
        let mut escaped = false;
        for (at, c) in rest.char_indices().skip(1) {
            match c {
                _ if escaped => escaped = false,
                '\\' if quote != '`' => escaped = true,
                '\n' if quote != '`' => break,
                c if c == quote => return Ok(at + 1),
                _ => {}
            }
        }
        let what = if quote == '`' { "unterminated raw string" } else { "unterminated quoted string" };
        Err(self.error(self.at, what.to_owned()))
    }

    fn unquote(&self, token: &Token<'_>) -> Result<String, LabelTextError> {
        let quote = token.text.chars().next().unwrap_or('"');
        let body = &token.text[1..token.text.len() - 1];
        if quote == '`' {
            return Ok(body.to_owned());
        }
        gotext::unescape(body, quote).map_err(|error| self.error(token.at, error.to_string()))
    }

    fn unexpected(&self, token: &Token<'_>, expected: &str) -> LabelTextError {
        self.error(token.at, format!("unexpected {} in label set, expected {expected}", token.describe()))
    }

    fn error(&self, at: usize, message: String) -> LabelTextError {
        let before = &self.text[..at];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = 1 + before.matches('\n').count();
        LabelTextError { line, column: at - line_start + 1, message }
    }
}

/// A character as Go's `%q` prints it, in single quotes.
fn quote_char(c: Option<char>) -> String {
    let Some(c) = c else { return "'\\ufffd'".to_owned() };
    if c == '\'' {
        return "'\\''".to_owned();
    }
    let quoted = gotext::quote(&c.to_string());
    let inner = &quoted[1..quoted.len() - 1];
    format!("'{}'", if c == '"' { "\"" } else { inner })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ok(text: &str, want: &str) {
        assert_eq!(parse_label_text(text).unwrap().to_string(), want, "{text}");
    }

    fn bad(text: &str, want: &str) {
        assert_eq!(parse_label_text(text).unwrap_err().to_string(), want, "{text}");
    }

    #[test]
    fn reads_what_loki_reads() {
        ok(r#"{b="2", a="1"}"#, r#"{a="1", b="2"}"#);
        ok(r#" { a = '1' , b=`2\n` , } "#, r#"{a="1", b="2\\n"}"#);
        ok("{}", "{}");
        ok("", "{}");
        ok("foo", r#"{__name__="foo"}"#);
        ok(r#"foo:bar{a="b"}"#, r#"{__name__="foo:bar", a="b"}"#);
        ok(r#"{"odd name", a="b"}"#, r#"{__name__="odd name", a="b"}"#);
        ok(r#"{a="", b="x"}"#, r#"{b="x"}"#);
        ok(r#"{a="q\"\u00e9\t"}"#, r#"{a="q\"é\t"}"#);
        ok(r#"{__x__="y"}"#, r#"{__x__="y"}"#);
    }

    #[test]
    fn refuses_in_lokis_words() {
        bad(r#"{a-b="x"}"#, "1:3: parse error: unexpected character inside braces: '-'");
        bad(r#"{="x"}"#, r#"1:2: parse error: unexpected "=" in label set, expected identifier or "}""#);
        bad(r#"{app="puni", ü="y"}"#, "1:14: parse error: unexpected character inside braces: 'ü'");
        bad(r#"{a!="x"}"#, r#"1:3: parse error: unexpected <op:!=> in label set, expected "=""#);
        bad(r#"{a=~"x"}"#, r#"1:3: parse error: unexpected <op:=~> in label set, expected "=""#);
        bad(r#"{a="x""#, "1:7: parse error: unexpected end of input inside braces");
        bad(
            r#"{a="x" b="y"}"#,
            r#"1:8: parse error: unexpected identifier "b" in label set, expected "," or "}""#,
        );
        bad("{a=b}", r#"1:4: parse error: unexpected identifier "b" in label set, expected string"#);
        bad(r#"{a="x}"#, "1:4: parse error: unterminated quoted string");
        bad("{a=\n5}", "2:1: parse error: unexpected character inside braces: '5'");
        bad(r#"{a="x"} b"#, r#"1:9: parse error: unexpected identifier "b""#);
    }

    #[test]
    fn repeated_names_are_kept_for_the_caller_to_name() {
        let labels = parse_label_text(r#"{app="a", app="b"}"#).unwrap();
        assert_eq!(labels.duplicate_name(), Some("app"));
        assert_eq!(labels.to_string(), r#"{app="a", app="b"}"#);
    }

    proptest! {
        #[test]
        fn printed_sets_are_read_back(pairs in proptest::collection::vec(("[a-z_][a-z0-9_]{0,8}", ".{1,12}"), 0..6)) {
            let labels = PushLabels::from_pairs(pairs);
            prop_assert_eq!(parse_label_text(&labels.to_string()).unwrap(), labels);
        }

        #[test]
        fn any_text_never_panics(text in "[{}a\"'`=!~,\\\\#é \n-]{0,40}") {
            let _ = parse_label_text(&text);
        }
    }
}
