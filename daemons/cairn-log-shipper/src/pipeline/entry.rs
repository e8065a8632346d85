//! An entry: one line as the stages see it, with its labels, time, structured metadata and extracted values.
//!
//! Copies are made when something is changed, not before: an entry whose stages only look costs a few pointers.

use std::borrow::Cow;
use std::sync::Arc;

use cairn_model::{Labels, LabelsBuilder, TimeNs};

use crate::receipt::Mark;

/// One line, or several that a stage has joined.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// The labels of its stream.
    pub labels: EntryLabels,
    /// Its bytes, UTF-8 or not.
    pub line: Cow<'a, [u8]>,
    /// Its time.
    pub time: TimeNs,
    /// Structured metadata, in the order set.
    pub metadata: Vec<(String, String)>,
    /// What stages have found out about it.
    pub extracted: Extracted,
    /// Where its first line begins in the file.
    from: Mark,
    /// How many lines of the file are in it.
    n_lines: usize,
}

impl<'a> Entry<'a> {
    /// A line that begins at `from`.
    pub(super) fn new(
        line: &'a [u8],
        time: TimeNs,
        from: Mark,
        stream: &Arc<Labels>,
        initial: &Arc<Labels>,
    ) -> Self {
        Self {
            labels: EntryLabels { stream: Arc::clone(stream), edited: None },
            line: Cow::Borrowed(line),
            time,
            metadata: Vec::new(),
            extracted: Extracted { initial: Arc::clone(initial), own: Vec::new() },
            from,
            n_lines: 1,
        }
    }

    /// The same with a copy of its line, so that it can outlive the read.
    pub fn into_owned(self) -> Entry<'static> {
        let Self { labels, line, time, metadata, extracted, from, n_lines } = self;
        Entry { labels, line: Cow::Owned(line.into_owned()), time, metadata, extracted, from, n_lines }
    }

    /// Appends the line of a later entry, after `separator`. Everything else stays that of the first.
    pub fn join(&mut self, separator: &[u8], later: &Entry<'_>) {
        let line = self.line.to_mut();
        line.extend_from_slice(separator);
        line.extend_from_slice(&later.line);
        self.n_lines += later.n_lines;
    }

    /// Where its first line begins: the file's position stays there while the entry is held.
    pub(super) fn from(&self) -> Mark {
        self.from
    }

    /// How many lines of the file are in it.
    pub(super) fn n_lines(&self) -> usize {
        self.n_lines
    }
}

/// The labels of an entry: those of the stream until a stage edits them.
#[derive(Clone, Debug)]
pub struct EntryLabels {
    stream: Arc<Labels>,
    edited: Option<LabelsBuilder>,
}

impl EntryLabels {
    /// The value of a label, if it is set.
    pub fn get(&self, name: &str) -> Option<&str> {
        match &self.edited {
            Some(edited) => edited.get(name),
            None => self.stream.get(name),
        }
    }

    /// To change them, for this entry alone.
    pub fn edit(&mut self) -> &mut LabelsBuilder {
        self.edited.get_or_insert_with(|| self.stream.to_builder())
    }

    /// The set as it is now.
    pub fn build(&self) -> Arc<Labels> {
        self.edited.as_ref().map_or_else(|| Arc::clone(&self.stream), |edited| Arc::new(edited.build()))
    }
}

/// Values by name. There from the start: the labels that the file had before the first stage.
#[derive(Clone, Debug)]
pub struct Extracted {
    initial: Arc<Labels>,
    /// In the order set; few, so that a scan beats a map. `None`: removed, although it is an initial label.
    own: Vec<(Arc<str>, Option<Value>)>,
}

/// An extracted value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text as found in the line, UTF-8 or not. Nested JSON is its text.
    Text(Vec<u8>),
    /// A number.
    Number(f64),
    /// `true` or `false`.
    Bool(bool),
    /// There, with nothing in it: not convertible to text.
    Null,
}

impl Value {
    /// The value as text: numbers without exponent.
    pub fn text(&self) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Number(number) => Some(Cow::Owned(number.to_string().into_bytes())),
            Self::Bool(value) => Some(Cow::Borrowed(if *value { b"true" } else { b"false" })),
            Self::Null => None,
        }
    }
}

impl Extracted {
    /// The text of a value; `None` if there is none of the name, or one without a text.
    pub fn text(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        match self.own.iter().find(|(own, _)| &**own == name) {
            Some((_, value)) => value.as_ref().and_then(Value::text),
            None => self.initial.get(name).map(|value| Cow::Borrowed(value.as_bytes())),
        }
    }

    /// The text of a value if it is UTF-8, as labels and metadata have to be.
    pub fn utf8(&self, name: &str) -> Option<String> {
        self.text(name).and_then(|text| String::from_utf8(text.into_owned()).ok())
    }

    /// Sets a value.
    pub fn set(&mut self, name: &Arc<str>, value: Value) {
        self.put(name, Some(value));
    }

    /// Removes a value.
    pub fn remove(&mut self, name: &Arc<str>) {
        self.put(name, None);
    }

    fn put(&mut self, name: &Arc<str>, value: Option<Value>) {
        match self.own.iter_mut().find(|(own, _)| own == name) {
            Some((_, old)) => *old = value,
            None => self.own.push((Arc::clone(name), value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_promtails_texts() {
        for (value, text) in [
            (Value::Text(b"a".to_vec()), Some("a")),
            (Value::Number(200.0), Some("200")),
            (Value::Number(1e21), Some("1000000000000000000000")),
            (Value::Number(0.000_000_1), Some("0.0000001")),
            (Value::Bool(false), Some("false")),
            (Value::Null, None),
        ] {
            assert_eq!(value.text().as_deref(), text.map(str::as_bytes), "{value:?}");
        }
    }

    #[test]
    fn extracted_values_begin_with_the_labels() {
        let initial = Arc::new(Labels::from_pairs([("job", "x"), ("filename", "/a")]));
        let mut extracted = Extracted { initial, own: Vec::new() };
        assert_eq!(extracted.utf8("filename").as_deref(), Some("/a"));
        assert_eq!(extracted.utf8("other"), None);
        extracted.set(&"job".into(), Value::Text(b"y".to_vec()));
        assert_eq!(extracted.utf8("job").as_deref(), Some("y"));
        extracted.remove(&"job".into());
        assert_eq!(extracted.text("job"), None);
        extracted.set(&"job".into(), Value::Text(vec![0xff]));
        assert_eq!((extracted.utf8("job"), extracted.text("job").unwrap().into_owned()), (None, vec![0xff]));
    }
}
