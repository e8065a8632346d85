//! From `*_sd_configs` to discoveries that can run.

use std::path::Path;

use cairn_http::client::secret::Secret;
use cairn_model::gotext::quote;

use super::file::ScrapeConfig;
use super::file_discovery::{DnsSdConfig, Ec2SdConfig, FileSdConfig, HttpSdConfig};
use super::resolve::{BadValue, bad};
use super::units::PromDuration;
use crate::discovery::Discovery;
use crate::discovery::dns::{DnsSd, RecordKind};
use crate::discovery::ec2::Ec2Sd;
use crate::discovery::file::FileSd;
use crate::discovery::http::HttpSd;

const FILE_REFRESH: PromDuration = PromDuration::from_ms(300_000);
const HTTP_REFRESH: PromDuration = PromDuration::from_ms(60_000);
const DNS_REFRESH: PromDuration = PromDuration::from_ms(30_000);
const EC2_REFRESH: PromDuration = PromDuration::from_ms(60_000);
const EC2_PORT: u16 = 80;

/// All discoveries of a job, with their places in the file as names.
pub(super) fn discoveries(
    raw: &ScrapeConfig,
    base: &Path,
    place: &str,
) -> Result<Vec<(String, Discovery)>, BadValue> {
    let mut all = Vec::new();
    let mut add = |key: &str, index: usize, made: Result<Discovery, String>| -> Result<(), BadValue> {
        let name = format!("{key}[{index}]");
        match made {
            Ok(discovery) => all.push((name, discovery)),
            Err(message) => return bad(format!("{place}.{name}"), message),
        }
        Ok(())
    };
    for (index, sd) in raw.file_sd_configs.iter().enumerate() {
        add("file_sd_configs", index, file(sd, base))?;
    }
    for (index, sd) in raw.http_sd_configs.iter().enumerate() {
        add("http_sd_configs", index, http(sd, base))?;
    }
    for (index, sd) in raw.dns_sd_configs.iter().enumerate() {
        add("dns_sd_configs", index, dns(sd))?;
    }
    for (index, sd) in raw.ec2_sd_configs.iter().enumerate() {
        add("ec2_sd_configs", index, ec2(sd, base))?;
    }
    Ok(all)
}

/// A time between two refreshes; `0s` means "not set" to Prometheus.
fn refresh(said: Option<PromDuration>, default: PromDuration) -> std::time::Duration {
    said.filter(|duration| duration.ms() > 0).unwrap_or(default).std()
}

fn file(sd: &FileSdConfig, base: &Path) -> Result<Discovery, String> {
    if sd.files.is_empty() {
        return Err("file service discovery config must contain at least one path name".to_owned());
    }
    if let Some(file) = sd.files.iter().find(|file| !is_sd_pattern(file)) {
        return Err(format!("path name {} is not valid for file discovery", quote(file)));
    }
    Ok(Discovery::File(FileSd {
        patterns: sd.files.iter().map(|file| base.join(file)).collect(),
        refresh: refresh(sd.refresh_interval, FILE_REFRESH),
    }))
}

/// `*.json`, `*.yml`, `*.yaml` with at most one `*`, in the last part.
fn is_sd_pattern(path: &str) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    !folder.contains('*')
        && name.matches('*').count() <= 1
        && [".json", ".yml", ".yaml"].iter().any(|suffix| name.len() > suffix.len() && name.ends_with(suffix))
}

fn http(sd: &HttpSdConfig, base: &Path) -> Result<Discovery, String> {
    if sd.url.is_empty() {
        return Err("URL is missing".to_owned());
    }
    check_url(&sd.url)?;
    Ok(Discovery::Http(Box::new(HttpSd {
        url: sd.url.clone(),
        client: sd.client_keys().resolve(base)?,
        refresh: refresh(sd.refresh_interval, HTTP_REFRESH),
    })))
}

fn check_url(url: &str) -> Result<(), String> {
    let parsed: http::Uri = url.parse().map_err(|error| format!("{}: {error}", quote(url)))?;
    if !matches!(parsed.scheme_str(), Some("http" | "https")) {
        return Err("URL scheme must be 'http' or 'https'".to_owned());
    }
    if parsed.host().is_none_or(str::is_empty) {
        return Err("host is missing in URL".to_owned());
    }
    Ok(())
}

fn dns(sd: &DnsSdConfig) -> Result<Discovery, String> {
    if sd.names.iter().all(String::is_empty) {
        return Err("DNS-SD config must contain at least one SRV record name".to_owned());
    }
    let kind = match sd.kind.as_deref().unwrap_or("SRV").to_ascii_uppercase().as_str() {
        "SRV" => RecordKind::Srv,
        "A" => RecordKind::A,
        "AAAA" => RecordKind::Aaaa,
        "MX" => RecordKind::Mx,
        "NS" => RecordKind::Ns,
        _ => return Err(format!("invalid DNS-SD records type {}", sd.kind.as_deref().unwrap_or_default())),
    };
    let port = sd.port.unwrap_or_default();
    if port == 0 && kind != RecordKind::Srv {
        return Err("a port is required in DNS-SD configs for all record types except SRV".to_owned());
    }
    let refresh = refresh(sd.refresh_interval, DNS_REFRESH);
    Ok(Discovery::Dns(DnsSd { names: sd.names.clone(), kind, port, refresh }))
}

fn ec2(sd: &Ec2SdConfig, base: &Path) -> Result<Discovery, String> {
    if let Some(filter) = sd.filters.iter().find(|filter| filter.values.is_empty()) {
        return Err(format!(
            "EC2 SD configuration filter values cannot be empty (filter {})",
            quote(&filter.name)
        ));
    }
    if sd.profile.as_deref().is_some_and(|profile| !profile.is_empty()) {
        let message = "profile is not supported: the shared credentials file is not read; use access_key and secret_key, \
                       AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the instance's role";
        return Err(message.to_owned());
    }
    if let Some(endpoint) = said(&sd.endpoint) {
        check_url(&endpoint).map_err(|error| format!("endpoint: {error}"))?;
    }
    let access_key = said(&sd.access_key);
    let secret_key = sd.secret_key.clone().filter(|key| !key.expose().is_empty());
    let keys = match (access_key, secret_key) {
        (Some(access), Some(secret)) => Some((access, secret)),
        (None, None) => None,
        _ => return Err("access_key and secret_key must be set together".to_owned()),
    };
    Ok(Discovery::Ec2(Box::new(Ec2Sd {
        endpoint: said(&sd.endpoint),
        region: said(&sd.region),
        keys,
        role: said(&sd.role_arn).map(|arn| (arn, said(&sd.external_id))),
        port: sd.port.filter(|port| *port != 0).unwrap_or(EC2_PORT),
        filters: sd.filters.clone(),
        client: sd.client_keys().resolve(base)?,
        refresh: refresh(sd.refresh_interval, EC2_REFRESH),
    })))
}

fn said(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
}

/// The keys of AWS of a configuration: name and secret.
pub(crate) type AwsKeys = (String, Secret);
