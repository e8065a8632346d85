//! `| decolorize`: takes the colour sequences of terminals out of a line.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::bytes::Regex;

/// Control sequences: ESC or CSI, parameters, a final byte; or an operating system command up to its bell.
static SEQUENCES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"[\x{1b}\x{9b}][\[\]()#;?]*(?:(?:(?:[a-zA-Z0-9]*(?:;[a-zA-Z0-9]*)*)?\x07)|(?:(?:[0-9]{1,4}(?:;[0-9]{0,4})*)?[0-9A-PRZcf-ntqry=><~]))",
    )
    .expect("a constant pattern that the tests compile")
});

/// The line without colour sequences.
pub(crate) fn run(line: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    if memchr::memchr2(0x1b, 0xc2, &line).is_none() {
        return line;
    }
    match SEQUENCES.replace_all(&line, &b""[..]) {
        Cow::Borrowed(_) => line,
        Cow::Owned(plain) => Cow::Owned(plain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_vanish() {
        for (line, want) in [("\x1b[31mred\x1b[0m", "red"), ("plain é", "plain é"), ("\x1b[1;32mok", "ok")]
        {
            assert_eq!(run(Cow::Borrowed(line.as_bytes())), want.as_bytes());
        }
    }
}
