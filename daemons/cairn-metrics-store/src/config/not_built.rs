//! Keys that Prometheus knows and this version of the store does not serve yet.
//!
//! Reading past them would break a promise silently (a target never scraped, a sample never forwarded), so a key with
//! content is refused by name. An empty one says nothing and is fine: stock files carry `rule_files:` with only
//! comments below it.

use std::fmt;

use cairn_runtime::config::about_key;
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Accepts nothing, an empty list, an empty map, `false`, `""` and nestings of those.
#[derive(Clone, Copy)]
struct Nothing(&'static str);

impl Nothing {
    fn refuse<T, E: de::Error>(self) -> Result<T, E> {
        // The place is the key's: whoever has to remove it looks for that line, not for one inside of its value.
        let key = self.0.rsplit('.').next().unwrap_or(self.0);
        let message = format!("{} is not supported by this version; remove it or leave it empty", self.0);
        Err(E::custom(about_key(key, message)))
    }
}

impl<'de> Visitor<'de> for Nothing {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nothing: {} is not supported by this version", self.0)
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_none<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: de::Error>(self, is_on: bool) -> Result<(), E> {
        if is_on { self.refuse() } else { Ok(()) }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        if text.is_empty() { Ok(()) } else { self.refuse() }
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<(), E> {
        if number == 0 { Ok(()) } else { self.refuse() }
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        self.refuse()
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        self.refuse()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while entries.next_key::<de::IgnoredAny>()?.is_some() {
            entries.next_value_seed(self)?;
        }
        Ok(())
    }
}

impl<'de> de::DeserializeSeed<'de> for Nothing {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// One type for each key, so that the refusal can name it.
macro_rules! not_built {
    ($($type:ident $key:literal)*) => {$(
        #[doc = concat!("`", $key, "`: known, not served yet.")]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $type;

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Nothing($key)).map(|()| Self)
            }
        }
    )*};
}

not_built! {
    Runtime "runtime"
    RuleFiles "rule_files"
    ScrapeConfigFiles "scrape_config_files"
    RemoteWrite "remote_write"
    RemoteRead "remote_read"
    Tracing "tracing"
    AlertRelabelConfigs "alert_relabel_configs"
    BasicAuth "alertmanagers[].basic_auth"
    TlsConfig "alertmanagers[].tls_config"
    AzureSd "azure_sd_configs"
    ConsulSd "consul_sd_configs"
    DigitaloceanSd "digitalocean_sd_configs"
    DockerSd "docker_sd_configs"
    DockerswarmSd "dockerswarm_sd_configs"
    EurekaSd "eureka_sd_configs"
    GceSd "gce_sd_configs"
    HetznerSd "hetzner_sd_configs"
    IonosSd "ionos_sd_configs"
    KubernetesSd "kubernetes_sd_configs"
    KumaSd "kuma_sd_configs"
    LightsailSd "lightsail_sd_configs"
    LinodeSd "linode_sd_configs"
    MarathonSd "marathon_sd_configs"
    NerveSd "nerve_sd_configs"
    NomadSd "nomad_sd_configs"
    OpenstackSd "openstack_sd_configs"
    OvhcloudSd "ovhcloud_sd_configs"
    PuppetdbSd "puppetdb_sd_configs"
    ScalewaySd "scaleway_sd_configs"
    ServersetSd "serverset_sd_configs"
    StackitSd "stackit_sd_configs"
    TritonSd "triton_sd_configs"
    UyuniSd "uyuni_sd_configs"
    VultrSd "vultr_sd_configs"
    FileSdOfAlertmanager "alertmanagers[].file_sd_configs"
}
