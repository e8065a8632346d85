//! Events as logfmt: `key=value`, values in double quotes where they need them.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes one event a line.
pub(super) struct Logfmt {
    is_journal: bool,
}

impl Logfmt {
    /// Lines with their own time.
    pub(super) fn with_time() -> Self {
        Self { is_journal: false }
    }

    /// Lines with a `<6>` level in front, no time: the journal has its own.
    pub(super) fn for_journal() -> Self {
        Self { is_journal: true }
    }
}

impl<S, N> FormatEvent<S, N> for Logfmt
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let (name, priority) = match *metadata.level() {
            Level::ERROR => ("error", 3),
            Level::WARN => ("warn", 4),
            Level::INFO => ("info", 6),
            Level::DEBUG => ("debug", 7),
            Level::TRACE => ("trace", 7),
        };
        if self.is_journal {
            write!(out, "<{priority}>")?;
        } else {
            write!(out, "ts={:.6} ", jiff::Timestamp::now())?;
        }
        write!(out, "level={name} target={} msg=", metadata.target())?;
        let mut message = MessageOnly { text: String::new() };
        event.record(&mut message);
        write_value(&mut out, &message.text)?;
        let mut fields = FieldWriter { out: &mut out, result: Ok(()) };
        event.record(&mut fields);
        fields.result?;
        for span in ctx.event_scope().into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>()
                && !fields.is_empty()
            {
                // The field formatter starts each field with a blank already.
                write!(out, "{}{}", if fields.starts_with(' ') { "" } else { " " }, fields.as_str())?;
            }
        }
        writeln!(out)
    }
}

/// Formats a span's fields in the same way, so that they can be put behind an event's.
pub(super) struct LogfmtFields;

impl<'w> FormatFields<'w> for LogfmtFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = FieldWriter { out: &mut writer, result: Ok(()) };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct MessageOnly {
    text: String,
}

impl Visit for MessageOnly {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // Writing to a string cannot fail.
            let _ = write!(self.text, "{value:?}");
        }
    }
}

struct FieldWriter<'a, W> {
    out: &'a mut W,
    result: fmt::Result,
}

impl<W: Write> FieldWriter<'_, W> {
    fn field(&mut self, field: &Field, value: &str) {
        if field.name() != "message" && self.result.is_ok() {
            self.result = write!(self.out, " {}=", field.name()).and_then(|()| write_value(self.out, value));
        }
    }
}

impl<W: Write> Visit for FieldWriter<'_, W> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(error) = source {
            let _ = write!(text, ": {error}");
            source = error.source();
        }
        self.field(field, &text);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.field(field, &format!("{value:?}"));
    }
}

/// Writes a value bare where every logfmt reader takes it bare, else quoted with escapes.
fn write_value(out: &mut impl Write, value: &str) -> fmt::Result {
    let is_bare =
        !value.is_empty() && value.chars().all(|c| !c.is_control() && !matches!(c, ' ' | '"' | '='));
    if is_bare {
        return out.write_str(value);
    }
    out.write_char('"')?;
    for c in value.chars() {
        match c {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            c if c.is_control() => write!(out, "\\u{:04x}", u32::from(c))?,
            c => out.write_char(c)?,
        }
    }
    out.write_char('"')
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(emit: impl FnOnce()) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .fmt_fields(LogfmtFields)
            .event_format(Logfmt::for_journal())
            .finish();
        tracing::subscriber::with_default(subscriber, emit);
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn events_are_one_line_with_quoted_values() {
        let line = logged(|| {
            let span = tracing::info_span!("query", id = 7);
            let _entered = span.enter();
            tracing::warn!(path = "/a b", bytes = 5, error = "x=\"1\"\n", "skipped record");
        });
        assert_eq!(
            line,
            "<4>level=warn target=cairn_runtime::logging::logfmt::tests msg=\"skipped record\" path=\"/a b\" bytes=5 \
             error=\"x=\\\"1\\\"\\n\" id=7\n"
        );
    }

    #[test]
    fn announcements_are_understood() {
        let addr = "127.0.0.1:5000".parse().unwrap();
        let line = logged(|| crate::announce_listener("http", addr));
        let want = crate::Announcement { role: "http".into(), addr };
        assert_eq!(crate::parse_announcement(line.trim_end()), Some(want), "{line}");
    }

    #[test]
    fn errors_come_with_their_causes() {
        let error = ParentError(ChildError);
        let line = logged(|| tracing::error!(error = &error as &dyn std::error::Error, "failed"));
        assert!(line.ends_with("msg=failed error=\"parent: child\"\n"), "{line}");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("parent")]
    struct ParentError(#[source] ChildError);

    #[derive(Debug, thiserror::Error)]
    #[error("child")]
    struct ChildError;

    #[test]
    fn values_are_quoted_only_where_needed() {
        let check = |value: &str, want: &str| {
            let mut out = String::new();
            write_value(&mut out, value).unwrap();
            assert_eq!(out, want);
        };
        check("plain", "plain");
        check("", "\"\"");
        check("a b", "\"a b\"");
        check("ü", "ü");
        check("\u{1}", "\"\\u0001\"");
    }
}
