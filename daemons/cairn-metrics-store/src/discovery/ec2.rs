//! Targets from Amazon EC2 (`ec2_sd_configs`): one for each instance that is listed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use cairn_http::client::Client;
use cairn_http::client::config::ClientConfig;
use roxmltree::Node;

use super::aws_credentials::{CredentialChain, Env, domain};
use super::aws_query::{Api, child, child_text, items, parse};
use super::aws_sign::Keys;
use crate::config::file::StaticConfig;
use crate::config::file_discovery::Ec2Filter;
use crate::config::resolve_discovery::AwsKeys;
use crate::version;

const API_VERSION: &str = "2016-11-15";
/// Instances of one page, the most that the API gives.
const PAGE: &str = "1000";
/// A list that does not end is given up.
const MAX_PAGES: usize = 1000;

/// Which instances, and how they are asked for.
#[derive(Clone, Debug)]
pub struct Ec2Sd {
    /// URL of the API, instead of the region's own.
    pub endpoint: Option<String>,
    /// Region, else that of the environment or the instance.
    pub region: Option<String>,
    /// Name and secret of the credentials, else those of the environment or the instance.
    pub keys: Option<AwsKeys>,
    /// A role to take on, and what its owner asks for.
    pub role: Option<(String, Option<String>)>,
    /// Port of the targets.
    pub port: u16,
    /// Which instances.
    pub filters: Vec<Ec2Filter>,
    /// How the API is asked.
    pub client: ClientConfig,
    /// Time between two askings.
    pub refresh: Duration,
}

pub(super) struct Ec2Provider {
    config: Ec2Sd,
    client: Client,
    credentials: CredentialChain,
    region: Option<String>,
    /// From the names of availability zones, which differ between accounts, to those that do not.
    zones: HashMap<String, String>,
}

impl Ec2Provider {
    pub(super) fn new(config: Ec2Sd) -> Self {
        Self::with_env(config, Arc::new(|name| std::env::var(name).ok()))
    }

    fn with_env(config: Ec2Sd, env: Env) -> Self {
        let keys = config.keys.clone().map(|(access, secret)| Keys { access, secret, token: None });
        Self {
            client: Client::with_config(version::USER_AGENT, config.client.clone()),
            credentials: CredentialChain::new(keys, config.role.clone(), env),
            region: config.region.clone(),
            zones: HashMap::new(),
            config,
        }
    }

    pub(super) fn interval(&self) -> Duration {
        self.config.refresh
    }

    /// All instances that the filters let through.
    ///
    /// # Errors
    /// What AWS or the way to it has against it.
    pub(super) async fn refresh(&mut self) -> Result<Vec<StaticConfig>, String> {
        let region = match &self.region {
            Some(region) => region.clone(),
            None => self.region.insert(self.credentials.region().await?).clone(),
        };
        let keys = self.credentials.keys(&self.client, &region).await?;
        let own = format!("https://ec2.{region}.{}", domain(&region));
        let endpoint = self.config.endpoint.clone().unwrap_or(own);
        let api =
            Api { client: &self.client, endpoint: &endpoint, region: &region, service: "ec2", keys: &keys };
        let mut groups = Vec::new();
        let mut asked_for_zones = false;
        let mut next: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let text = api.ask(&self.params(next.as_deref())).await?;
            let document = parse(&text).map_err(|error| format!("{endpoint}: {error}"))?;
            let root = document.root_element();
            let instances: Vec<_> = items(root, "reservationSet")
                .flat_map(|reservation| {
                    let owner = child_text(reservation, "ownerId");
                    items(reservation, "instancesSet").map(move |instance| (owner, instance))
                })
                .collect();
            let is_unknown = |zone: &str| !self.zones.contains_key(zone);
            if !asked_for_zones && instances.iter().any(|(_, one)| zone_of(*one).is_some_and(is_unknown)) {
                asked_for_zones = true;
                // The label is left out, as with Prometheus, rather than all targets.
                match zones(&api).await {
                    Ok(zones) => self.zones = zones,
                    Err(error) => tracing::warn!(
                        error,
                        "availability zones not listed: __meta_ec2_availability_zone_id is missing"
                    ),
                }
            }
            groups.extend(instances.iter().filter_map(|(owner, instance)| {
                let mut group = group(*instance, self.config.port)?;
                let mut set = |name: &str, value: Option<&str>| {
                    if let Some(value) = value {
                        group.labels.insert(format!("__meta_ec2_{name}"), value.to_owned());
                    }
                };
                set("region", Some(&region));
                set("owner_id", *owner);
                let zone = zone_of(*instance).and_then(|zone| self.zones.get(zone));
                set("availability_zone_id", zone.map(String::as_str));
                Some(group)
            }));
            next = child_text(root, "nextToken").map(str::to_owned);
            if next.is_none() {
                return Ok(groups);
            }
        }
        Err(format!("{endpoint}: the list did not end after {MAX_PAGES} pages"))
    }

    fn params(&self, next: Option<&str>) -> Vec<(String, String)> {
        let mut params = action("DescribeInstances");
        params.push(("MaxResults".to_owned(), PAGE.to_owned()));
        for (index, filter) in self.config.filters.iter().enumerate() {
            let prefix = format!("Filter.{}", index + 1);
            params.push((format!("{prefix}.Name"), filter.name.clone()));
            for (index, value) in filter.values.iter().enumerate() {
                params.push((format!("{prefix}.Value.{}", index + 1), value.clone()));
            }
        }
        params.extend(next.map(|token| ("NextToken".to_owned(), token.to_owned())));
        params
    }
}

fn action(name: &str) -> Vec<(String, String)> {
    [("Action", name), ("Version", API_VERSION)].map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec()
}

async fn zones(api: &Api<'_>) -> Result<HashMap<String, String>, String> {
    let text = api.ask(&action("DescribeAvailabilityZones")).await?;
    let document = parse(&text)?;
    let all = items(document.root_element(), "availabilityZoneInfo").filter_map(|zone| {
        Some((child_text(zone, "zoneName")?.to_owned(), child_text(zone, "zoneId")?.to_owned()))
    });
    Ok(all.collect())
}

fn zone_of<'a>(instance: Node<'a, '_>) -> Option<&'a str> {
    child(instance, "placement").and_then(|placement| child_text(placement, "availabilityZone"))
}

/// One instance as a target; `None`: it has no address inside its network.
fn group(instance: Node<'_, '_>, port: u16) -> Option<StaticConfig> {
    let interfaces = Interfaces::of(instance);
    let private_ip = child_text(instance, "privateIpAddress");
    let default_ipv6 = interfaces.default_ipv6();
    let target = match (private_ip, default_ipv6) {
        (Some(address), _) => format!("{address}:{port}"),
        (None, Some(address)) => format!("[{address}]:{port}"),
        (None, None) => return None,
    };
    let mut labels = BTreeMap::new();
    let mut set = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            labels.insert(format!("__meta_ec2_{name}"), value.to_owned());
        }
    };
    for (name, element) in [
        ("instance_id", "instanceId"),
        ("private_ip", "privateIpAddress"),
        ("private_dns_name", "privateDnsName"),
        ("platform", "platform"),
        ("ami", "imageId"),
        ("instance_type", "instanceType"),
        ("instance_lifecycle", "instanceLifecycle"),
        ("architecture", "architecture"),
    ] {
        set(name, child_text(instance, element));
    }
    if let Some(address) = child_text(instance, "ipAddress") {
        set("public_ip", Some(address));
        set("public_dns_name", child_text(instance, "dnsName"));
    }
    set("availability_zone", zone_of(instance));
    let state = child(instance, "instanceState").and_then(|state| child_text(state, "name"));
    set("instance_state", state);
    set("default_ipv6_address", default_ipv6);
    if let Some(vpc) = child_text(instance, "vpcId") {
        set("vpc_id", Some(vpc));
        set("primary_subnet_id", child_text(instance, "subnetId"));
        set("subnet_id", Some(&list(&interfaces.subnets)));
        if !interfaces.ipv6.is_empty() {
            set("ipv6_addresses", Some(&list(&interfaces.ipv6)));
        }
        if !interfaces.primary_ipv6.is_empty() {
            set("primary_ipv6_addresses", Some(&list(&interfaces.primary_ipv6)));
        }
    }
    for tag in items(instance, "tagSet") {
        if let Some(key) = child_text(tag, "key") {
            let value = child(tag, "value").and_then(|value| value.text()).unwrap_or("");
            set(&format!("tag_{}", label_part(key)), Some(value));
        }
    }
    Some(StaticConfig { targets: vec![target], labels })
}

/// `,a,b,`: so that a pattern can look for `,a,`.
fn list(values: &[&str]) -> String {
    format!(",{},", values.join(","))
}

/// Other characters than those of label names become `_`.
fn label_part(key: &str) -> String {
    key.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

/// What the network interfaces of an instance have.
#[derive(Default)]
struct Interfaces<'a> {
    /// Each once, in the order of the answer.
    subnets: Vec<&'a str>,
    ipv6: Vec<&'a str>,
    /// By the number of the interface; empty where it has none.
    primary_ipv6: Vec<&'a str>,
}

/// More interfaces than any type of instance has; the number in an answer must not decide how much is allocated.
const MAX_INTERFACES: usize = 128;

impl<'a> Interfaces<'a> {
    fn of(instance: Node<'a, '_>) -> Self {
        let mut all = Self::default();
        for interface in items(instance, "networkInterfaceSet") {
            let Some(subnet) = child_text(interface, "subnetId") else { continue };
            if !all.subnets.contains(&subnet) {
                all.subnets.push(subnet);
            }
            for address in items(interface, "ipv6AddressesSet") {
                let Some(text) = child_text(address, "ipv6Address") else { continue };
                all.ipv6.push(text);
                let index = child(interface, "attachment").and_then(|node| child_text(node, "deviceIndex"));
                let index = index.and_then(|text| text.parse::<usize>().ok()).filter(|i| *i < MAX_INTERFACES);
                if let (Some("true"), Some(index)) = (child_text(address, "isPrimaryIpv6"), index) {
                    if all.primary_ipv6.len() <= index {
                        all.primary_ipv6.resize(index + 1, "");
                    }
                    all.primary_ipv6[index] = text;
                }
            }
        }
        all
    }

    /// The address that stands for the instance: a primary one before any other.
    fn default_ipv6(&self) -> Option<&'a str> {
        let primary = self.primary_ipv6.iter().find(|address| !address.is_empty());
        primary.or_else(|| self.ipv6.first()).copied()
    }
}

#[cfg(test)]
mod tests;
