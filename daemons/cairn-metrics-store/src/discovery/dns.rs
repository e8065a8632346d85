//! Targets from the name service (`dns_sd_configs`).

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use simple_dns::TYPE;

use super::dns_query::{Found, Resolver};
use crate::config::file::StaticConfig;
use crate::metrics::Metrics;

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Kind of the records that list targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// Name and port.
    Srv,
    /// IPv4 address.
    A,
    /// IPv6 address.
    Aaaa,
    /// Mail exchange.
    Mx,
    /// Name server.
    Ns,
}

/// Names to look up.
#[derive(Clone, Debug)]
pub struct DnsSd {
    /// The names.
    pub names: Vec<String>,
    /// Kind of records.
    pub kind: RecordKind,
    /// Port of targets whose record has none.
    pub port: u16,
    /// Time between two look-ups.
    pub refresh: Duration,
}

pub(super) struct DnsProvider {
    config: DnsSd,
    metrics: Arc<Metrics>,
    /// What each name gave when it was last answered.
    known: HashMap<String, Vec<StaticConfig>>,
    /// Instead of the system's.
    resolver: Option<Resolver>,
}

impl DnsProvider {
    pub(super) fn new(config: DnsSd, metrics: Arc<Metrics>) -> Self {
        Self { config, metrics, known: HashMap::new(), resolver: None }
    }

    pub(super) fn interval(&self) -> Duration {
        self.config.refresh
    }

    /// What the names stand for. One that gets no answer keeps what it stood for.
    pub(super) async fn refresh(&mut self) -> Vec<StaticConfig> {
        let resolver = match &self.resolver {
            Some(resolver) => Ok(resolver.clone()),
            // Read anew: the network may be another one.
            None => tokio::task::spawn_blocking(|| Resolver::of_system(Path::new(RESOLV_CONF)))
                .await
                .unwrap_or_else(|error| Err(error.to_string())),
        };
        let kind = match self.config.kind {
            RecordKind::Srv => TYPE::SRV,
            RecordKind::A => TYPE::A,
            RecordKind::Aaaa => TYPE::AAAA,
            RecordKind::Mx => TYPE::MX,
            RecordKind::Ns => TYPE::NS,
        };
        for name in self.config.names.iter().filter(|name| !name.is_empty()) {
            self.metrics.discovery.dns_lookups.inc();
            let found = match &resolver {
                Ok(resolver) => resolver.look_up(name, kind).await,
                Err(error) => Err(error.clone()),
            };
            match found {
                Ok(records) => {
                    let mut groups: Vec<_> =
                        records.iter().map(|record| group(name, record, self.config.port)).collect();
                    // Servers turn the list from answer to answer.
                    groups.sort_by(|a, b| a.targets.cmp(&b.targets));
                    self.known.insert(name.clone(), groups);
                }
                Err(error) => {
                    self.metrics.discovery.dns_failures.inc();
                    tracing::warn!(name, error, "no answer from the name service, its last targets stay");
                }
            }
        }
        let names = self.config.names.iter().filter_map(|name| self.known.get(name));
        names.flatten().cloned().collect()
    }
}

fn group(name: &str, record: &Found, port: u16) -> StaticConfig {
    let mut labels = BTreeMap::from([("__meta_dns_name".to_owned(), name.to_owned())]);
    let mut set = |label: &str, value: String| drop(labels.insert(format!("__meta_dns_{label}"), value));
    // Names in labels end with the dot that stands for the root, as Prometheus has them; addresses do not.
    let target = match record {
        Found::Srv { target, port } => {
            set("srv_record_target", format!("{target}."));
            set("srv_record_port", port.to_string());
            format!("{target}:{port}")
        }
        Found::Address(std::net::IpAddr::V4(address)) => format!("{address}:{port}"),
        Found::Address(std::net::IpAddr::V6(address)) => format!("[{address}]:{port}"),
        Found::Mx(host) => {
            set("mx_record_target", format!("{host}."));
            format!("{host}:{port}")
        }
        Found::Ns(host) => {
            set("ns_record_target", format!("{host}."));
            format!("{host}:{port}")
        }
    };
    StaticConfig { targets: vec![target], labels }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Mutex;

    use simple_dns::rdata::{A, AAAA, CNAME, MX, NS, RData, SRV};
    use simple_dns::{CLASS, Name, Packet, PacketFlag, RCODE, ResourceRecord};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, UdpSocket};

    use super::*;

    /// What the stand-in says.
    #[derive(Clone, Copy, PartialEq)]
    enum Mood {
        Answers,
        CutsUdp,
        Fails,
    }

    fn answer(query: &[u8], mood: Mood, is_udp: bool) -> Vec<u8> {
        let packet = Packet::parse(query).unwrap();
        let question = packet.questions[0].clone();
        let name = question.qname.to_string();
        let mut reply = packet.into_reply();
        let mut add = |data: RData<'static>| {
            reply.answers.push(ResourceRecord::new(Name::new("x.org").unwrap(), CLASS::IN, 1, data));
        };
        let host = |text: &'static str| Name::new(text).unwrap();
        match name.as_str() {
            "_app._tcp.inside.org" => {
                add(RData::CNAME(CNAME(host("other.org"))));
                for port in [2, 1] {
                    add(RData::SRV(SRV { priority: 1, weight: 1, port, target: host("h.org") }));
                }
            }
            "four.org" => add(RData::A(A { address: u32::from_be_bytes([10, 0, 0, 1]) })),
            "six.org" => add(RData::AAAA(AAAA { address: 1 })),
            "mail.org" => add(RData::MX(MX { preference: 1, exchange: host("mx.org") })),
            "zone.org" => add(RData::NS(NS(host("ns.org")))),
            _ => *reply.rcode_mut() = RCODE::NameError,
        }
        if mood == Mood::Fails {
            *reply.rcode_mut() = RCODE::ServerFailure;
        }
        if mood == Mood::CutsUdp && is_udp {
            reply.answers.clear();
            reply.set_flags(PacketFlag::TRUNCATION);
        }
        reply.build_bytes_vec().unwrap()
    }

    /// A name server on loopback; it ends with the runtime of the test.
    async fn serve(mood: Arc<Mutex<Mood>>) -> SocketAddr {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let udp = UdpSocket::bind(address).await.unwrap();
        let udp_mood = Arc::clone(&mood);
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((n_bytes, peer)) = udp.recv_from(&mut buffer).await {
                let mood = *udp_mood.lock().unwrap();
                // Noise before the answer: it must be passed over.
                udp.send_to(&[0; 20], peer).await.unwrap();
                udp.send_to(&answer(&buffer[..n_bytes], mood, true), peer).await.unwrap();
            }
        });
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                let mut query = vec![0; stream.read_u16().await.unwrap().into()];
                stream.read_exact(&mut query).await.unwrap();
                let reply = answer(&query, *mood.lock().unwrap(), false);
                let length = u16::try_from(reply.len()).unwrap().to_be_bytes();
                stream.write_all(&[&length, &reply[..]].concat()).await.unwrap();
            }
        });
        address
    }

    async fn provider(names: &[&str], kind: RecordKind) -> (DnsProvider, Arc<Mutex<Mood>>) {
        let mood = Arc::new(Mutex::new(Mood::Answers));
        let server = serve(Arc::clone(&mood)).await;
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let config = DnsSd { names, kind, port: 9, refresh: Duration::from_secs(30) };
        let mut provider = DnsProvider::new(config, Metrics::new());
        provider.resolver = Some(Resolver {
            servers: vec![server],
            search: vec!["inside.org".to_owned()],
            ndots: 1,
            timeout: Duration::from_secs(20),
            attempts: 1,
        });
        (provider, mood)
    }

    fn targets(groups: &[StaticConfig]) -> Vec<&str> {
        groups.iter().flat_map(|group| &group.targets).map(String::as_str).collect()
    }

    #[tokio::test]
    async fn records_of_every_kind() {
        for (name, kind, target, label) in [
            ("four.org", RecordKind::A, "10.0.0.1:9", None),
            ("six.org", RecordKind::Aaaa, "[::1]:9", None),
            ("mail.org", RecordKind::Mx, "mx.org:9", Some(("__meta_dns_mx_record_target", "mx.org."))),
            ("zone.org.", RecordKind::Ns, "ns.org:9", Some(("__meta_dns_ns_record_target", "ns.org."))),
        ] {
            let (mut provider, _) = provider(&[name], kind).await;
            let groups = provider.refresh().await;
            assert_eq!(targets(&groups), [target], "{name}");
            assert_eq!(groups[0].labels["__meta_dns_name"], name);
            assert_eq!(groups[0].labels.len(), 1 + usize::from(label.is_some()));
            assert!(label.is_none_or(|(label, value)| groups[0].labels[label] == value), "{groups:?}");
        }
    }

    #[tokio::test]
    async fn services_by_the_search_list_also_when_answers_are_cut() {
        let (mut provider, mood) = provider(&["_app._tcp", "nobody"], RecordKind::Srv).await;
        let groups = provider.refresh().await;
        assert_eq!(targets(&groups), ["h.org:1", "h.org:2"]);
        assert_eq!(groups[0].labels["__meta_dns_srv_record_target"], "h.org.");
        assert_eq!(groups[0].labels["__meta_dns_srv_record_port"], "1");
        *mood.lock().unwrap() = Mood::CutsUdp;
        assert_eq!(provider.refresh().await, groups);
        *mood.lock().unwrap() = Mood::Fails;
        assert_eq!(provider.refresh().await, groups, "a failing server takes nothing away");
        assert_eq!(provider.metrics.discovery.dns_lookups.get(), 6);
        assert_eq!(provider.metrics.discovery.dns_failures.get(), 2);
    }
}
