//! Exposition formats and name schemes: what the configuration calls them, and how targets are asked for them.

use std::fmt;

use cairn_model::gotext::quote;
use cairn_wire::exposition::Format;

/// A format of a target's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScrapeProtocol {
    /// Length-delimited protobuf, the only one that carries native histograms.
    PrometheusProto,
    /// OpenMetrics 1.0.0.
    OpenMetricsText1,
    /// OpenMetrics 0.0.1.
    OpenMetricsText0,
    /// Prometheus's text with UTF-8 names.
    PrometheusText1,
    /// Prometheus's text.
    PrometheusText0,
}

impl ScrapeProtocol {
    /// All of them, in the order in which Prometheus lists them.
    pub const ALL: [Self; 5] = [
        Self::PrometheusProto,
        Self::OpenMetricsText1,
        Self::OpenMetricsText0,
        Self::PrometheusText1,
        Self::PrometheusText0,
    ];

    /// The word of the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::PrometheusProto => "PrometheusProto",
            Self::OpenMetricsText1 => "OpenMetricsText1.0.0",
            Self::OpenMetricsText0 => "OpenMetricsText0.0.1",
            Self::PrometheusText1 => "PrometheusText1.0.0",
            Self::PrometheusText0 => "PrometheusText0.0.4",
        }
    }

    /// Its part of the header `Accept`.
    pub fn media(self) -> &'static str {
        match self {
            Self::PrometheusProto => {
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
            }
            Self::OpenMetricsText1 => "application/openmetrics-text;version=1.0.0",
            Self::OpenMetricsText0 => "application/openmetrics-text;version=0.0.1",
            Self::PrometheusText1 => "text/plain;version=1.0.0",
            Self::PrometheusText0 => "text/plain;version=0.0.4",
        }
    }

    /// What its bytes are.
    pub fn format(self) -> Format {
        match self {
            Self::PrometheusProto => Format::Protobuf,
            Self::OpenMetricsText1 | Self::OpenMetricsText0 => Format::OpenMetrics,
            Self::PrometheusText1 | Self::PrometheusText0 => Format::Text,
        }
    }

    /// Whether the version knows how to escape names, so that the scheme is named.
    fn names_escaping(self) -> bool {
        matches!(self, Self::OpenMetricsText1 | Self::PrometheusText1)
    }
}

impl std::str::FromStr for ScrapeProtocol {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|protocol| protocol.name() == name);
        found.ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(" ");
            format!("unknown scrape protocol {}, supported: [{known}]", quote(name))
        })
    }
}

/// Which names of metrics and labels are valid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameValidation {
    /// Any UTF-8.
    #[default]
    Utf8,
    /// `[a-zA-Z_:][a-zA-Z0-9_:]*`, for labels without the colon.
    Legacy,
}

impl NameValidation {
    /// Whether this may be the name of a metric.
    pub fn allows_metric(self, name: &str) -> bool {
        match self {
            Self::Utf8 => !name.is_empty(),
            Self::Legacy => is_legacy(name, true),
        }
    }

    /// Whether this may be the name of a label.
    pub fn allows_label(self, name: &str) -> bool {
        match self {
            Self::Utf8 => !name.is_empty(),
            Self::Legacy => is_legacy(name, false),
        }
    }
}

fn is_legacy(name: &str, allows_colon: bool) -> bool {
    let is_letter = |b: u8| b.is_ascii_alphabetic() || b == b'_' || (b == b':' && allows_colon);
    name.bytes().next().is_some_and(is_letter) && name.bytes().all(|b| is_letter(b) || b.is_ascii_digit())
}

impl std::str::FromStr for NameValidation {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "utf8" => Ok(Self::Utf8),
            "legacy" => Ok(Self::Legacy),
            other => Err(format!(
                "unknown name validation method specified, must be either '', 'legacy' or 'utf8', got {other}"
            )),
        }
    }
}

/// What targets are asked to do with names that are not in the legacy set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameEscaping {
    /// Nothing.
    #[default]
    AllowUtf8,
    /// `my_metric`
    Underscores,
    /// `my_dot_metric`
    Dots,
    /// `U__my_2e_metric`
    Values,
}

impl NameEscaping {
    const ALL: [Self; 4] = [Self::AllowUtf8, Self::Underscores, Self::Dots, Self::Values];
}

impl fmt::Display for NameEscaping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        })
    }
}

impl std::str::FromStr for NameEscaping {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|scheme| scheme.to_string() == name);
        found.ok_or_else(|| format!("unknown metric_name_escaping_scheme {}", quote(name)))
    }
}

/// What of histograms is stored. A job's defaults; relabelling may set them for one target by the labels
/// `__scrape_native_histograms__`, `__always_scrape_classic_histograms__` and `__convert_classic_histograms_to_nhcb__`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HistogramKeys {
    /// Native histograms are stored; otherwise what a page has of them is left out.
    pub scrapes_native: bool,
    /// Classic buckets are stored even of histograms that are native as well.
    pub keeps_classic: bool,
    /// Classic histograms become native ones with custom buckets.
    pub converts_classic: bool,
}

/// The header `Accept`: `protocols` in falling order of preference.
pub fn accept_header(protocols: &[ScrapeProtocol], escaping: NameEscaping) -> String {
    // As many steps as there are formats, so that the last ones never fall to zero.
    let mut weight = ScrapeProtocol::ALL.len() + 1;
    let mut parts = Vec::new();
    for protocol in protocols {
        let scheme = if protocol.names_escaping() { format!(";escaping={escaping}") } else { String::new() };
        parts.push(format!("{}{scheme};q=0.{weight}", protocol.media()));
        weight -= 1;
    }
    parts.push(format!("*/*;q=0.{weight}"));
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_asked_for_in_their_order() {
        assert_eq!(
            accept_header(&ScrapeProtocol::ALL, NameEscaping::AllowUtf8),
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
             application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
             text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
        );
    }

    #[test]
    fn names() {
        for (name, metric, label) in [
            ("a_1", true, true),
            ("a:b", true, false),
            ("1a", false, false),
            ("a.b", false, false),
            ("", false, false),
        ] {
            assert_eq!(NameValidation::Legacy.allows_metric(name), metric, "{name}");
            assert_eq!(NameValidation::Legacy.allows_label(name), label, "{name}");
        }
        assert!(NameValidation::Utf8.allows_metric("a.b") && !NameValidation::Utf8.allows_label(""));
        assert!("utf9".parse::<NameValidation>().is_err());
        assert_eq!("dots".parse(), Ok(NameEscaping::Dots));
        assert!("Dots".parse::<NameEscaping>().is_err());
    }
}
