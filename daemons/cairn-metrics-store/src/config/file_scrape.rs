//! `scrape_configs[]` as written.

use std::collections::BTreeMap;

use cairn_http::with_client_keys;
use serde::{Deserialize, Serialize};

use super::file::or_default;
use super::file_discovery::{DnsSdConfig, Ec2SdConfig, FileSdConfig, HttpSdConfig};
use super::not_built as nb;
use super::units::{PromDuration, PromSize};

with_client_keys! {
/// One job: a set of targets that are scraped in the same way.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScrapeConfig {
    /// Name, unique in the file; the label `job` of every series.
    pub job_name: String,
    /// Time from one scrape to the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_interval: Option<PromDuration>,
    /// Longest duration of one scrape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_timeout: Option<PromDuration>,
    /// Formats offered to targets, most wanted first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_protocols: Option<Vec<String>>,
    /// Format of an answer whose `Content-Type` says none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback_scrape_protocol: Option<String>,
    /// Which names are valid: `utf8`, `legacy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric_name_validation_scheme: Option<String>,
    /// What targets are asked to do with names outside of ASCII: `allow-utf-8`, `underscores`, `dots`, `values`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric_name_escaping_scheme: Option<String>,
    /// Whether three more report series are written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_scrape_metrics: Option<bool>,
    /// Whether native histograms are stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_native_histograms: Option<bool>,
    /// Whether classic buckets are stored of histograms that are native as well.
    #[serde(skip_serializing_if = "Option::is_none", alias = "scrape_classic_histograms")]
    pub always_scrape_classic_histograms: Option<bool>,
    /// Whether classic histograms become native ones with custom buckets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub convert_classic_histograms_to_nhcb: Option<bool>,
    /// Most buckets of a native histogram: the resolution is halved until it fits; 0: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_histogram_bucket_limit: Option<u64>,
    /// Least growth from one bucket to the next: the resolution is halved until it is reached; 0: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_histogram_min_bucket_factor: Option<f64>,
    /// Whether labels of the body win over labels of the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub honor_labels: Option<bool>,
    /// Whether times in the body are used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub honor_timestamps: Option<bool>,
    /// Whether series with times of their own become stale when they vanish.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub track_timestamps_staleness: Option<bool>,
    /// Path of the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_path: Option<String>,
    /// `http` or `https`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// Whether gzip is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_compression: Option<bool>,
    /// File to which failed scrapes are logged, one JSON object a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_failure_log_file: Option<String>,
    /// Parameters of the request.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Vec<String>>,
    /// Largest body after decompression; 0: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_size_limit: Option<PromSize>,
    /// Most samples of one scrape after relabelling; 0: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_limit: Option<u64>,
    /// Most labels of one series; 0: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_limit: Option<u64>,
    /// Longest label name in bytes; 0: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_name_length_limit: Option<u64>,
    /// Longest label value in bytes; 0: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_value_length_limit: Option<u64>,
    /// Most targets of a job; 0: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_limit: Option<u64>,
    /// Most dropped targets that are remembered for the API; 0: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_dropped_targets: Option<u64>,
    /// Targets written out.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub static_configs: Vec<StaticConfig>,
    /// Targets listed in files that may change.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub file_sd_configs: Vec<FileSdConfig>,
    /// Targets listed behind a URL.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub http_sd_configs: Vec<HttpSdConfig>,
    /// Targets in the name service.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub dns_sd_configs: Vec<DnsSdConfig>,
    /// Instances of Amazon EC2.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub ec2_sd_configs: Vec<Ec2SdConfig>,
    /// What is done to the labels of a target before it is scraped.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub relabel_configs: Vec<RelabelConfig>,
    /// What is done to the labels of each sample before it is stored.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub metric_relabel_configs: Vec<RelabelConfig>,
    #[serde(skip_serializing)]
    pub(super) azure_sd_configs: nb::AzureSd,
    #[serde(skip_serializing)]
    pub(super) consul_sd_configs: nb::ConsulSd,
    #[serde(skip_serializing)]
    pub(super) digitalocean_sd_configs: nb::DigitaloceanSd,
    #[serde(skip_serializing)]
    pub(super) docker_sd_configs: nb::DockerSd,
    #[serde(skip_serializing)]
    pub(super) dockerswarm_sd_configs: nb::DockerswarmSd,
    #[serde(skip_serializing)]
    pub(super) eureka_sd_configs: nb::EurekaSd,
    #[serde(skip_serializing)]
    pub(super) gce_sd_configs: nb::GceSd,
    #[serde(skip_serializing)]
    pub(super) hetzner_sd_configs: nb::HetznerSd,
    #[serde(skip_serializing)]
    pub(super) ionos_sd_configs: nb::IonosSd,
    #[serde(skip_serializing)]
    pub(super) kubernetes_sd_configs: nb::KubernetesSd,
    #[serde(skip_serializing)]
    pub(super) kuma_sd_configs: nb::KumaSd,
    #[serde(skip_serializing)]
    pub(super) lightsail_sd_configs: nb::LightsailSd,
    #[serde(skip_serializing)]
    pub(super) linode_sd_configs: nb::LinodeSd,
    #[serde(skip_serializing)]
    pub(super) marathon_sd_configs: nb::MarathonSd,
    #[serde(skip_serializing)]
    pub(super) nerve_sd_configs: nb::NerveSd,
    #[serde(skip_serializing)]
    pub(super) nomad_sd_configs: nb::NomadSd,
    #[serde(skip_serializing)]
    pub(super) openstack_sd_configs: nb::OpenstackSd,
    #[serde(skip_serializing)]
    pub(super) ovhcloud_sd_configs: nb::OvhcloudSd,
    #[serde(skip_serializing)]
    pub(super) puppetdb_sd_configs: nb::PuppetdbSd,
    #[serde(skip_serializing)]
    pub(super) scaleway_sd_configs: nb::ScalewaySd,
    #[serde(skip_serializing)]
    pub(super) serverset_sd_configs: nb::ServersetSd,
    #[serde(skip_serializing)]
    pub(super) stackit_sd_configs: nb::StackitSd,
    #[serde(skip_serializing)]
    pub(super) triton_sd_configs: nb::TritonSd,
    #[serde(skip_serializing)]
    pub(super) uyuni_sd_configs: nb::UyuniSd,
    #[serde(skip_serializing)]
    pub(super) vultr_sd_configs: nb::VultrSd,
}
}

/// `static_configs[]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct StaticConfig {
    /// `host:port` of each target.
    #[serde(deserialize_with = "or_default")]
    pub targets: Vec<String>,
    /// Labels of all of them.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// `relabel_configs[]`, see [`crate::relabel`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RelabelConfig {
    /// Labels whose values are joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_labels: Option<Vec<String>>,
    /// What stands between them, `;`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    /// Pattern on the joined value, anchored, `(.*)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// For `hashmod`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modulus: Option<u64>,
    /// Label that is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_label: Option<String>,
    /// What is written, `$1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replacement: Option<String>,
    /// What is done, `replace`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
}
