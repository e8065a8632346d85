//! Asking the name service: the servers and search list of `/etc/resolv.conf`, UDP, and TCP where an answer is cut.
//!
//! The messages are `simple-dns`', the file is `resolv-conf`'s. A whole resolver (hickory's) would cache, follow and
//! validate, none of which is wanted here, and bring forty crates.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

/// Most bytes of an answer over UDP that is not cut (RFC 1035; nothing larger is offered), with room to spare.
const MAX_UDP: usize = 4096;
const PORT: u16 = 53;
/// Bounds for what a `resolv.conf` may ask for.
const MAX_TIMEOUT: u32 = 30;
const MAX_ATTEMPTS: u32 = 5;

/// Whom to ask, and for which names.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    pub(super) servers: Vec<SocketAddr>,
    pub(super) search: Vec<String>,
    pub(super) ndots: usize,
    pub(super) timeout: Duration,
    pub(super) attempts: u32,
}

/// What one record says, its kind being the one that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Srv { target: String, port: u16 },
    Address(std::net::IpAddr),
    Mx(String),
    Ns(String),
}

impl Resolver {
    /// The system's. Blocking.
    pub(super) fn of_system(path: &Path) -> Result<Self, String> {
        let text = std::fs::read(path).map_err(|error| format!("read {}: {error}", path.display()))?;
        let (config, _) = resolv_conf::Config::parse_with_errors(&text);
        let servers: Vec<SocketAddr> =
            config.nameservers.iter().map(|server| SocketAddr::new(server.into(), PORT)).collect();
        if servers.is_empty() {
            return Err(format!("{} names no server", path.display()));
        }
        Ok(Self {
            servers,
            search: config.get_last_search_or_domain().map(ToOwned::to_owned).collect(),
            ndots: config.ndots as usize,
            timeout: Duration::from_secs(config.timeout.clamp(1, MAX_TIMEOUT).into()),
            attempts: config.attempts.clamp(1, MAX_ATTEMPTS),
        })
    }

    /// The records of a name; none when there is no such name under any entry of the search list.
    ///
    /// # Errors
    /// No server gave an answer that says either.
    pub(super) async fn look_up(&self, name: &str, kind: TYPE) -> Result<Vec<Found>, String> {
        let mut last_error = None;
        for full in self.names(name) {
            match self.ask_servers(&full, kind).await {
                Ok(Some(records)) => return Ok(records),
                // No such name: the next one of the search list.
                Ok(None) => {}
                Err(error) => last_error = Some(error),
            }
        }
        last_error.map_or_else(|| Ok(Vec::new()), Err)
    }

    /// A name and what the search list makes of it, in the order in which they are tried.
    fn names(&self, name: &str) -> Vec<String> {
        if let Some(full) = name.strip_suffix('.') {
            return vec![full.to_owned()];
        }
        let searched = self.search.iter().map(|suffix| suffix.trim_matches('.')).filter(|s| !s.is_empty());
        let mut all: Vec<String> = searched.map(|suffix| format!("{name}.{suffix}")).collect();
        let is_first = name.matches('.').count() >= self.ndots;
        all.insert(if is_first { 0 } else { all.len() }, name.to_owned());
        all
    }

    async fn ask_servers(&self, name: &str, kind: TYPE) -> Result<Option<Vec<Found>>, String> {
        let mut last_error = String::new();
        for _ in 0..self.attempts {
            for server in &self.servers {
                let asked = tokio::time::timeout(self.timeout, ask(*server, name, kind)).await;
                match asked.unwrap_or_else(|_| Err(format!("no answer within {:?}", self.timeout))) {
                    Ok(records) => return Ok(records),
                    Err(error) => last_error = format!("{server} on {name}: {error}"),
                }
            }
        }
        Err(last_error)
    }
}

/// One question to one server. `None`: there is no such name.
async fn ask(server: SocketAddr, name: &str, kind: TYPE) -> Result<Option<Vec<Found>>, String> {
    let text = |error: std::io::Error| error.to_string();
    let id: u16 = rand::random();
    let query = query(id, name, kind)?;
    let local: SocketAddr =
        if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(local).await.map_err(text)?;
    socket.connect(server).await.map_err(text)?;
    socket.send(&query).await.map_err(text)?;
    let mut buffer = vec![0; MAX_UDP];
    loop {
        let n_bytes = socket.recv(&mut buffer).await.map_err(text)?;
        // A late answer to another question, or a forged one: the right one may still come.
        if !is_answer_to(&query, &buffer[..n_bytes]) {
            continue;
        }
        let answer = Packet::parse(&buffer[..n_bytes]).map_err(|error| format!("bad answer: {error}"));
        // Whoever cuts an answer may cut it in the middle of a record.
        let is_cut = buffer[2] & TRUNCATED != 0;
        return if is_cut { over_tcp(server, &query, kind).await } else { read(&answer?, kind) };
    }
}

/// The bit of a header's third byte that says that the answer is longer.
const TRUNCATED: u8 = 0b10;

async fn over_tcp(server: SocketAddr, query: &[u8], kind: TYPE) -> Result<Option<Vec<Found>>, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(server).await.map_err(text)?;
    let length = u16::try_from(query.len()).map_err(|error| error.to_string())?;
    stream.write_all(&[&length.to_be_bytes(), query].concat()).await.map_err(text)?;
    let length = stream.read_u16().await.map_err(text)?;
    let mut answer = vec![0; length.into()];
    stream.read_exact(&mut answer).await.map_err(text)?;
    if !is_answer_to(query, &answer) {
        return Err("the answer is to another question".to_owned());
    }
    read(&Packet::parse(&answer).map_err(|error| format!("bad answer: {error}"))?, kind)
}

fn query(id: u16, name: &str, kind: TYPE) -> Result<Vec<u8>, String> {
    let bad_name = |error| format!("{name:?} is no name: {error}");
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).map_err(bad_name)?;
    packet.questions.push(Question::new(name, QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), false));
    packet.build_bytes_vec().map_err(bad_name)
}

/// Whether the number and the question are those that were asked.
fn is_answer_to(query: &[u8], answer: &[u8]) -> bool {
    // Header of twelve bytes; the question follows, whose name no server spells otherwise but in case.
    let is_response = answer.get(2).is_some_and(|flags| flags & 0x80 != 0);
    let question = answer.get(12..query.len());
    is_response && answer[..2] == query[..2] && question.is_some_and(|q| q.eq_ignore_ascii_case(&query[12..]))
}

fn read(answer: &Packet<'_>, kind: TYPE) -> Result<Option<Vec<Found>>, String> {
    match answer.rcode() {
        RCODE::NoError => {}
        RCODE::NameError => return Ok(None),
        other => return Err(format!("the server failed: {other:?}")),
    }
    // What is on the way to the record, such as a CNAME, is not what was asked for.
    let records = answer.answers.iter().filter_map(|record| match (&record.rdata, kind) {
        (RData::SRV(srv), TYPE::SRV) => Some(Found::Srv { target: srv.target.to_string(), port: srv.port }),
        (RData::A(a), TYPE::A) => Some(Found::Address(Ipv4Addr::from(a.address).into())),
        (RData::AAAA(aaaa), TYPE::AAAA) => Some(Found::Address(Ipv6Addr::from(aaaa.address).into())),
        (RData::MX(mx), TYPE::MX) => Some(Found::Mx(mx.exchange.to_string())),
        (RData::NS(ns), TYPE::NS) => Some(Found::Ns(ns.0.to_string())),
        _ => None,
    });
    Ok(Some(records.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_the_order_of_the_search_list() {
        let mut resolver = Resolver {
            servers: Vec::new(),
            search: vec!["a.org".to_owned(), "b.org.".to_owned()],
            ndots: 1,
            timeout: Duration::from_secs(1),
            attempts: 1,
        };
        assert_eq!(resolver.names("x"), ["x.a.org", "x.b.org", "x"]);
        assert_eq!(resolver.names("x.y"), ["x.y", "x.y.a.org", "x.y.b.org"]);
        assert_eq!(resolver.names("x."), ["x"]);
        resolver.ndots = 2;
        assert_eq!(resolver.names("x.y"), ["x.y.a.org", "x.y.b.org", "x.y"]);
    }

    #[test]
    fn the_file_of_the_system() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("resolv.conf");
        std::fs::write(
            &path,
            "search a.org\nnameserver 127.0.0.53\nnameserver fe80::1\noptions ndots:3 timeout:99 odd\n",
        )
        .unwrap();
        let resolver = Resolver::of_system(&path).unwrap();
        assert_eq!(resolver.servers[0], "127.0.0.53:53".parse().unwrap());
        assert_eq!(
            (resolver.servers.len(), resolver.ndots, resolver.timeout),
            (2, 3, Duration::from_secs(30))
        );
        assert_eq!(resolver.search, ["a.org"]);
        std::fs::write(&path, "").unwrap();
        assert!(Resolver::of_system(&path).unwrap_err().contains("names no server"));
    }

    #[test]
    fn garbage_is_no_answer() {
        let query = query(7, "x.org", TYPE::A).unwrap();
        assert!(!is_answer_to(&query, &[]) && !is_answer_to(&query, &query));
        let mut answer = query.clone();
        answer[2] |= 0x80;
        assert!(is_answer_to(&query, &answer));
        answer[0] ^= 1;
        assert!(!is_answer_to(&query, &answer));
        assert!(super::query(7, &"x".repeat(70), TYPE::A).is_err());
    }
}
