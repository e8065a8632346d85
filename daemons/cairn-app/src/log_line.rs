//! The log file's line: `YYYY-MM-DD HH:MM:SS - logger_name - LEVEL - message`, the time in UTC.

use std::io::Write;

/// Longest message in bytes; the rest is cut.
pub const MAX_MESSAGE_BYTES: usize = 2048;

/// A level, under the names that Python's logging gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something happened as it should.
    Info,
    /// A client's mistake.
    Warning,
    /// The application's failure.
    Error,
}

impl Level {
    /// The name in the line.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Info => "INFO",
            Level::Warning => "WARNING",
            Level::Error => "ERROR",
        }
    }

    /// The level of a request that was answered with `status`.
    pub const fn of_status(status: u16) -> Self {
        match status {
            500.. => Level::Error,
            400..=499 => Level::Warning,
            _ => Level::Info,
        }
    }
}

/// Writes lines, and formats the time once a second instead of once a line.
#[derive(Debug)]
pub struct LineFormat {
    logger_name: String,
    second: i64,
    time: String,
}

impl LineFormat {
    /// Lines of `logger_name`, which must not hold ` - ` or control characters (the configuration sees to it).
    pub fn new(logger_name: impl Into<String>) -> Self {
        Self { logger_name: logger_name.into(), second: i64::MIN, time: String::new() }
    }

    /// Appends one line. Control characters in the message become blanks, so that it stays one line.
    pub fn write(&mut self, out: &mut Vec<u8>, second: i64, level: Level, message: std::fmt::Arguments<'_>) {
        if second != self.second {
            self.second = second;
            // Beyond the year 9999 the clock is broken; the epoch says so plainly.
            let time = jiff::Timestamp::from_second(second).unwrap_or_default();
            self.time = time.strftime("%Y-%m-%d %H:%M:%S").to_string();
        }
        out.extend_from_slice(self.time.as_bytes());
        for part in [" - ", self.logger_name.as_str(), " - ", level.name(), " - "] {
            out.extend_from_slice(part.as_bytes());
        }
        let start = out.len();
        // Writing into a vector cannot fail.
        let _ = out.write_fmt(message);
        let mut end = out.len().min(start + MAX_MESSAGE_BYTES);
        while end < out.len() && out[end] & 0xC0 == 0x80 {
            end -= 1;
        }
        out.truncate(end);
        for byte in &mut out[start..] {
            if byte.is_ascii_control() {
                *byte = b' ';
            }
        }
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(second: i64, level: Level, message: &str) -> String {
        let mut out = Vec::new();
        LineFormat::new("flask-app").write(&mut out, second, level, format_args!("{message}"));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_format_is_exact() {
        assert_eq!(line(0, Level::Info, "GET / 200"), "1970-01-01 00:00:00 - flask-app - INFO - GET / 200\n");
        assert_eq!(line(1_700_000_000, Level::Error, "x"), "2023-11-14 22:13:20 - flask-app - ERROR - x\n");
        assert_eq!(line(0, Level::of_status(404), "x"), "1970-01-01 00:00:00 - flask-app - WARNING - x\n");
    }

    #[test]
    fn a_message_stays_one_line_of_text_of_bounded_length() {
        assert!(line(0, Level::Info, "a\nb\tc").ends_with("INFO - a b c\n"));
        let long = line(0, Level::Info, &"ä".repeat(3000));
        assert!(long.len() < MAX_MESSAGE_BYTES + 50 && long.ends_with("ä\n"));
    }
}
