//! `*_sd_configs[]` as written: who lists targets that may change.

use cairn_http::client::secret::Secret;
use cairn_http::with_client_keys;
use serde::{Deserialize, Serialize};

use super::file::or_default;
use super::units::PromDuration;

/// `file_sd_configs[]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct FileSdConfig {
    /// Paths; the last part may hold one `*`. JSON or YAML lists of [`StaticConfig`](super::file::StaticConfig).
    #[serde(deserialize_with = "or_default")]
    pub files: Vec<String>,
    /// Time between two readings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_interval: Option<PromDuration>,
}

with_client_keys! {
/// `http_sd_configs[]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSdConfig {
    /// Where the list is asked for.
    pub url: String,
    /// Time between two askings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_interval: Option<PromDuration>,
}
}

/// `dns_sd_configs[]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct DnsSdConfig {
    /// Names that are looked up.
    #[serde(deserialize_with = "or_default")]
    pub names: Vec<String>,
    /// `SRV`, `A`, `AAAA`, `MX`, `NS`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Port of the targets; an SRV record has its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Time between two look-ups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_interval: Option<PromDuration>,
}

with_client_keys! {
/// `ec2_sd_configs[]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ec2SdConfig {
    /// URL of the API, instead of the region's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// `eu-central-1`; else what the environment or the instance says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Credentials, else those of the environment or of the instance's role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key: Option<String>,
    /// The secret of `access_key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<Secret>,
    /// A profile of the shared credentials file; not served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// A role to take on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    /// What the role's owner asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Port of the targets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Time between two askings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_interval: Option<PromDuration>,
    /// Which instances are listed: all filters must hold.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Ec2Filter>,
}
}

/// `ec2_sd_configs[].filters[]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ec2Filter {
    /// `tag:env`
    pub name: String,
    /// Any of them.
    #[serde(deserialize_with = "or_default")]
    pub values: Vec<String>,
}
