//! Which form of the page a client takes, and what names may look like in it.

use std::borrow::Cow;

use cairn_model::gotext::quote;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue};

/// A form of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text format 0.0.4. It has no place for native histograms.
    Text,
    /// Metric families in protobuf, each behind its length.
    Protobuf,
}

/// What names look like that are not plain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// As they are (in text in quotes): for clients that ask for it.
    AsTheyAre,
    /// Every character that is not plain becomes an underscore.
    Underscores,
}

/// What was negotiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) kind: Kind,
    pub(super) names: Names,
}

/// One media type of `Accept`.
struct Wanted {
    form: Form,
    weight: f32,
}

impl Form {
    /// The form that the client wants most; of equal ones the first. Text for everybody who names none of the two.
    pub(super) fn negotiate(headers: &HeaderMap) -> Self {
        let values = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
        let mut best: Option<Wanted> = None;
        for wanted in values.flat_map(|value| value.split(',')).filter_map(wanted) {
            if wanted.weight > best.as_ref().map_or(0.0, |best| best.weight) {
                best = Some(wanted);
            }
        }
        best.map_or(Self { kind: Kind::Text, names: Names::Underscores }, |best| best.form)
    }

    pub(super) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match (self.kind, self.names) {
            (Kind::Text, Names::AsTheyAre) => {
                "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8"
            }
            (Kind::Text, Names::Underscores) => {
                "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
            }
            (Kind::Protobuf, Names::AsTheyAre) => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; \
                 escaping=allow-utf-8"
            }
            (Kind::Protobuf, Names::Underscores) => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; \
                 escaping=underscores"
            }
        })
    }
}

/// A media type that can be served; `None` for others, and for other versions and encodings of these.
fn wanted(item: &str) -> Option<Wanted> {
    let mut parts = item.split(';').map(str::trim);
    let kind = match parts.next()? {
        "text/plain" => Kind::Text,
        "application/vnd.google.protobuf" => Kind::Protobuf,
        _ => return None,
    };
    let (mut names, mut weight) = (Names::Underscores, 1.0);
    let (mut has_message, mut has_encoding) = (false, false);
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        match (kind, name.trim(), value.trim()) {
            (_, "q", value) => weight = value.parse().unwrap_or(0.0),
            (_, "escaping", "allow-utf-8") => names = Names::AsTheyAre,
            (Kind::Text, "version", "0.0.4" | "") => {}
            (Kind::Text, "version", _) => return None,
            (Kind::Protobuf, "proto", "io.prometheus.client.MetricFamily") => has_message = true,
            (Kind::Protobuf, "encoding", "delimited") => has_encoding = true,
            _ => {}
        }
    }
    let is_served = kind == Kind::Text || (has_message && has_encoding);
    is_served.then_some(Wanted { form: Form { kind, names }, weight })
}

impl Names {
    /// A name in protobuf.
    pub(super) fn bare(self, name: &str) -> Cow<'_, str> {
        match self {
            Self::Underscores if !is_plain(name) => Cow::Owned(with_underscores(name)),
            _ => Cow::Borrowed(name),
        }
    }

    /// A name in text, in quotes where it needs them.
    pub(super) fn quoted(self, name: &str) -> Cow<'_, str> {
        match self {
            _ if is_plain(name) => Cow::Borrowed(name),
            Self::AsTheyAre => Cow::Owned(quote(name)),
            Self::Underscores => Cow::Owned(with_underscores(name)),
        }
    }
}

/// Whether a name can be written without quotes.
pub(super) fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == ':')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

fn with_underscores(name: &str) -> String {
    let plain = |(index, c): (usize, char)| {
        let is_good = c.is_ascii_alphabetic() || c == '_' || c == ':' || (c.is_ascii_digit() && index > 0);
        if is_good { c } else { '_' }
    };
    name.chars().enumerate().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_wanted_form_that_can_be_served() {
        let protobuf =
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        let text = (Kind::Text, Names::Underscores);
        for (accept, want) in [
            ("", text),
            ("*/*", text),
            ("application/openmetrics-text;version=1.0.0,*/*;q=0.1", text),
            ("text/plain;version=0.0.4;escaping=allow-utf-8", (Kind::Text, Names::AsTheyAre)),
            ("text/plain;version=1.0.0;escaping=allow-utf-8,text/plain;version=0.0.4;q=0.5", text),
            (protobuf, (Kind::Protobuf, Names::Underscores)),
            (
                &format!("{protobuf};escaping=allow-utf-8;q=0.6,text/plain;q=0.5"),
                (Kind::Protobuf, Names::AsTheyAre),
            ),
            (&format!("{protobuf};q=0.5, text/plain;q=0.6"), text),
            (&format!("{protobuf};q=0"), text),
            (&protobuf.replace("delimited", "text"), text),
            ("application/vnd.google.protobuf", text),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_str(accept).unwrap());
            let form = Form::negotiate(&headers);
            assert_eq!((form.kind, form.names), want, "{accept}");
        }
    }
}
