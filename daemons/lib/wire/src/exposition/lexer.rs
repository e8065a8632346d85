//! Tokens of the two text formats: one automaton, two dialects.
//!
//! States and tokens are those of Prometheus's lexers, because its error texts name the token and quote what was read up
//! to one byte past it. The lexer keeps its state from one token to the next, as the peer's does.

use memchr::memchr;

/// What a token is. The names in errors are the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Invalid,
    Eof,
    LineBreak,
    Help,
    Type,
    Unit,
    EofWord,
    Text,
    Comment,
    MetricName,
    Quoted,
    BraceOpen,
    BraceClose,
    LabelName,
    LabelValue,
    Equal,
    Comma,
    Timestamp,
    Value,
}

impl Token {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "INVALID",
            Self::Eof => "EOF",
            Self::LineBreak => "LINEBREAK",
            Self::Help => "HELP",
            Self::Type => "TYPE",
            Self::Unit => "UNIT",
            Self::EofWord => "EOFWORD",
            Self::Text => "TEXT",
            Self::Comment => "COMMENT",
            Self::MetricName => "MNAME",
            Self::Quoted => "QSTRING",
            Self::BraceOpen => "BOPEN",
            Self::BraceClose => "BCLOSE",
            Self::LabelName => "LNAME",
            Self::LabelValue => "LVALUE",
            Self::Equal => "EQUAL",
            Self::Comma => "COMMA",
            Self::Timestamp => "TIMESTAMP",
            Self::Value => "VALUE",
        }
    }
}

/// Where in a line the lexer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// At the start of a line.
    Init,
    /// After `# TYPE` and its kin: the family's name is next.
    Family,
    /// After the family's name.
    FamilyText,
    /// Between braces.
    Labels,
    /// After the `=` of a label.
    LabelValue,
    /// After the series.
    Value,
    /// After the value.
    Timestamp,
    /// Between the braces of an exemplar.
    Exemplar,
    /// After the `=` of an exemplar's label, or after its braces.
    ExemplarValue,
    /// After an exemplar's value.
    ExemplarTimestamp,
}

/// The text and the place in it.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'a> {
    pub(super) text: &'a [u8],
    /// OpenMetrics: exactly one space between tokens, `# EOF`, exemplars.
    pub(super) is_open_metrics: bool,
    /// Start of the last token.
    pub(super) start: usize,
    /// One past the last token; of an invalid one, the byte that does not fit.
    pub(super) at: usize,
    pub(super) state: State,
}

const NUL: u8 = 0;

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8], is_open_metrics: bool) -> Self {
        Self { text, is_open_metrics, start: 0, at: 0, state: State::Init }
    }

    /// The byte at an index. Plain text ends with a line break whether it is there or not; past the end is NUL, which no
    /// token holds.
    fn byte(&self, index: usize) -> u8 {
        match self.text.get(index) {
            Some(byte) => *byte,
            None if index == self.text.len() && !self.is_open_metrics => b'\n',
            None => NUL,
        }
    }

    /// One past the last byte, with the line break that is added to plain text.
    pub(super) fn end(&self) -> usize {
        self.text.len() + usize::from(!self.is_open_metrics)
    }

    /// The last token's text.
    pub(super) fn token(&self) -> &'a [u8] {
        self.slice(self.start, self.at)
    }

    /// Bytes of the text, without the line break that is added.
    pub(super) fn slice(&self, from: usize, to: usize) -> &'a [u8] {
        let to = to.min(self.text.len());
        self.text.get(from.min(to)..to).unwrap_or_default()
    }

    /// The next token.
    pub(super) fn next(&mut self) -> Token {
        loop {
            if self.at >= self.end() {
                return Token::Eof;
            }
            self.start = self.at;
            if self.is_open_metrics || !matches!(self.byte(self.at), b' ' | b'\t') {
                return self.read();
            }
            let after = self.skip_blanks(self.at);
            // The text of `# HELP` keeps its blanks, unless it is nothing but blanks.
            if self.state == State::FamilyText && self.byte(after) != b'\n' {
                return self.read();
            }
            self.at = after;
        }
    }

    fn read(&mut self) -> Token {
        match self.state {
            State::Init => self.read_start(),
            State::Family => match self.byte(self.at) {
                b'"' => self.quoted(Token::MetricName, State::FamilyText, true, false),
                byte if is_name_start(byte, true) => self.name(Token::MetricName, State::FamilyText, true),
                _ => Token::Invalid,
            },
            State::FamilyText => self.read_family_text(),
            State::Labels => match self.byte(self.at) {
                b'"' => self.quoted(Token::Quoted, State::Labels, true, false),
                b'}' => self.one(Token::BraceClose, State::Value),
                b'=' => self.one(Token::Equal, State::LabelValue),
                b',' => self.one(Token::Comma, State::Labels),
                byte if is_name_start(byte, false) => self.name(Token::LabelName, State::Labels, false),
                _ => Token::Invalid,
            },
            State::LabelValue => match self.byte(self.at) {
                b'"' => self.quoted(Token::LabelValue, State::Labels, !self.is_open_metrics, true),
                _ => Token::Invalid,
            },
            State::Value => match self.byte(self.at) {
                b'{' => self.one(Token::BraceOpen, State::Labels),
                _ if self.is_open_metrics => self.spaced(Token::Value, State::Timestamp),
                _ => {
                    let is_part = |byte: u8| !matches!(byte, b'{' | b' ' | b'\t' | b'\n' | NUL);
                    self.run(Token::Value, State::Timestamp, is_part)
                }
            },
            State::Timestamp => match self.byte(self.at) {
                b'\n' => self.one(Token::LineBreak, State::Init),
                _ if !self.is_open_metrics => {
                    self.run(Token::Timestamp, State::Timestamp, |byte| byte.is_ascii_digit())
                }
                b' ' if self.byte(self.at + 1) == b'#' && self.byte(self.at + 2) == b' ' => {
                    self.at += 3;
                    if self.byte(self.at) != b'{' {
                        return Token::Invalid;
                    }
                    self.one(Token::Comment, State::Exemplar)
                }
                _ => self.spaced(Token::Timestamp, State::Timestamp),
            },
            State::Exemplar => match self.byte(self.at) {
                b'"' => self.quoted(Token::Quoted, State::Exemplar, false, false),
                b'}' => self.one(Token::BraceClose, State::ExemplarValue),
                b'=' => self.one(Token::Equal, State::ExemplarValue),
                b',' => self.one(Token::Comma, State::Exemplar),
                byte if is_name_start(byte, false) => self.name(Token::LabelName, State::Exemplar, false),
                _ => Token::Invalid,
            },
            State::ExemplarValue => match self.byte(self.at) {
                b'"' => self.quoted(Token::LabelValue, State::Exemplar, false, false),
                _ => self.spaced(Token::Value, State::ExemplarTimestamp),
            },
            State::ExemplarTimestamp => match self.byte(self.at) {
                b'\n' => self.one(Token::LineBreak, State::Init),
                _ => self.spaced(Token::Timestamp, State::ExemplarTimestamp),
            },
        }
    }

    fn read_start(&mut self) -> Token {
        match self.byte(self.at) {
            b'{' => self.one(Token::BraceOpen, State::Labels),
            b'#' if self.is_open_metrics => self.read_open_metrics_comment(),
            b'#' => self.read_comment(),
            b'\n' if !self.is_open_metrics => self.one(Token::LineBreak, State::Init),
            // The peer takes a NUL at the start of a line for the end of the page.
            NUL if !self.is_open_metrics => {
                self.at = self.end();
                Token::Eof
            }
            byte if is_name_start(byte, true) => self.name(Token::MetricName, State::Value, true),
            _ => Token::Invalid,
        }
    }

    /// `# TYPE`, `# HELP`, or a comment up to the end of its line.
    fn read_comment(&mut self) -> Token {
        let word = self.skip_blanks(self.at + 1);
        if word > self.at + 1 {
            for (text, token) in [(&b"HELP"[..], Token::Help), (b"TYPE", Token::Type)] {
                let after = self.skip_blanks(word + text.len());
                if self.text.get(word..).is_some_and(|rest| rest.starts_with(text))
                    && after > word + text.len()
                {
                    self.at = after;
                    self.state = State::Family;
                    return token;
                }
            }
        }
        self.at = self.line_end(word);
        Token::Comment
    }

    fn read_open_metrics_comment(&mut self) -> Token {
        if self.byte(self.at + 1) != b' ' {
            self.at += 1;
            return Token::Invalid;
        }
        let word = self.at + 2;
        let rest = self.text.get(word..).unwrap_or_default();
        let mut longest = 0;
        for (text, token) in [(&b"HELP "[..], Token::Help), (b"TYPE ", Token::Type), (b"UNIT ", Token::Unit)]
        {
            let same = rest.iter().zip(text).take_while(|(a, b)| a == b).count();
            if same == text.len() {
                self.at = word + same;
                self.state = State::Family;
                return token;
            }
            longest = longest.max(same);
        }
        if rest.starts_with(b"EOF") {
            self.at = word + 3 + usize::from(rest.get(3) == Some(&b'\n'));
            return Token::EofWord;
        }
        longest = longest.max(rest.iter().zip(b"EOF").take_while(|(a, b)| a == b).count());
        self.at = word + longest;
        Token::Invalid
    }

    /// What follows a family's name: plain text takes everything up to the line break, OpenMetrics wants a space in
    /// front and takes the line break along.
    fn read_family_text(&mut self) -> Token {
        if !self.is_open_metrics {
            self.at = self.line_end(self.at);
            self.state = State::Init;
            return Token::Text;
        }
        if self.byte(self.at) != b' ' {
            return Token::Invalid;
        }
        let end = self.line_end(self.at);
        if self.byte(end) != b'\n' {
            self.at = end;
            return Token::Invalid;
        }
        self.at = end;
        self.one(Token::Text, State::Init)
    }

    fn one(&mut self, token: Token, state: State) -> Token {
        self.at += 1;
        self.state = state;
        token
    }

    fn run(&mut self, token: Token, state: State, is_part: impl Fn(u8) -> bool) -> Token {
        let from = self.at;
        while is_part(self.byte(self.at)) {
            self.at += 1;
        }
        if self.at == from {
            return Token::Invalid;
        }
        self.state = state;
        token
    }

    /// A space and what follows it up to a space or line break.
    fn spaced(&mut self, token: Token, state: State) -> Token {
        if self.byte(self.at) != b' ' {
            return Token::Invalid;
        }
        self.at += 1;
        self.run(token, state, |byte| !matches!(byte, b' ' | b'\n' | NUL))
    }

    fn name(&mut self, token: Token, state: State, has_colons: bool) -> Token {
        self.run(token, state, |byte| is_name_start(byte, has_colons) || byte.is_ascii_digit())
    }

    /// A text in double quotes; a backslash takes the next byte along.
    fn quoted(&mut self, token: Token, state: State, has_breaks: bool, has_nuls: bool) -> Token {
        self.at += 1;
        while let Some(&byte) = self.text.get(self.at) {
            match byte {
                b'"' => return self.one(token, state),
                b'\\' => {
                    self.at += 1;
                    if matches!(self.byte(self.at), b'\n' | NUL) {
                        return Token::Invalid;
                    }
                }
                b'\n' if !has_breaks => return Token::Invalid,
                NUL if !has_nuls => return Token::Invalid,
                _ => {}
            }
            self.at += 1;
        }
        self.at = self.end();
        Token::Invalid
    }

    fn skip_blanks(&self, mut at: usize) -> usize {
        while matches!(self.byte(at), b' ' | b'\t') {
            at += 1;
        }
        at
    }

    /// Index of the line break at or after `from`, or of the end.
    fn line_end(&self, from: usize) -> usize {
        let from = from.min(self.text.len());
        memchr(b'\n', &self.text[from..]).map_or(self.text.len(), |n| from + n)
    }
}

fn is_name_start(byte: u8, has_colons: bool) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || (has_colons && byte == b':')
}
