//! Which requests go through which proxy: as Go's `httpproxy` decides, so that `NO_PROXY` means the same.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Uri};

use super::secret::Secret;

/// Through whom requests go.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProxyConfig {
    /// Where the proxy is found.
    pub source: ProxySource,
    /// Headers of `CONNECT`, which opens a tunnel to an `https` server.
    pub connect_headers: Vec<(http::HeaderName, Secret)>,
}

/// Where the proxy is found.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ProxySource {
    /// Nowhere: none is used.
    #[default]
    None,
    /// `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`, or the same in small letters, as they are when the client is made.
    Environment,
    /// One for everything, but for what `no_proxy` lists.
    Url {
        /// The proxy.
        url: ProxyUrl,
        /// `host`, `.domain`, `10.0.0.0/8`, `host:port`, `*`, with commas between them. When it is not empty the
        /// machine itself is never asked through the proxy.
        no_proxy: String,
    },
}

/// A proxy's address.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxyUrl {
    /// `http://host:port`, without credentials.
    pub(super) uri: Uri,
    pub(super) is_socks: bool,
    pub(super) username: String,
    pub(super) password: Secret,
}

impl std::str::FromStr for ProxyUrl {
    type Err = String;

    /// `http://[user[:password]@]host[:port]`, the same with `socks5`, or an address alone.
    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let (is_socks, default_port) = match scheme {
            "http" => (false, 80),
            "socks5" | "socks5h" => (true, 1080),
            "https" => {
                return Err("a proxy that is itself asked over https is not supported; use http".to_owned());
            }
            other => return Err(format!("unknown scheme {other:?} of a proxy; expected http or socks5")),
        };
        let rest = rest.split(['/', '?', '#']).next().unwrap_or("");
        let (credentials, address) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (username, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        let decode = |part: &str| {
            percent_encoding::percent_decode_str(part)
                .decode_utf8()
                .map(std::borrow::Cow::into_owned)
                .map_err(|_| "the credentials of a proxy are not UTF-8".to_owned())
        };
        // Not repeated in the message: the address may be what is left of a credential.
        let invalid = || "expected http://host:port".to_owned();
        let authority: http::uri::Authority = address.parse().map_err(|_| invalid())?;
        if authority.host().is_empty() {
            return Err(invalid());
        }
        let port = authority.port_u16().unwrap_or(default_port);
        let uri = format!("http://{}:{port}", authority.host()).parse().map_err(|_| invalid())?;
        Ok(Self { uri, is_socks, username: decode(username)?, password: Secret::new(decode(password)?) })
    }
}

impl ProxyUrl {
    /// `Proxy-Authorization`, when the URL has credentials.
    pub(super) fn auth(&self) -> Option<HeaderValue> {
        if self.username.is_empty() && self.password.expose().is_empty() {
            return None;
        }
        let text = STANDARD.encode(format!("{}:{}", self.username, self.password.expose()));
        let mut value = HeaderValue::from_str(&format!("Basic {text}")).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// The decision, ready to be made for each request.
#[derive(Clone, Debug, Default)]
pub(super) struct ProxyRules {
    for_http: Option<ProxyUrl>,
    for_https: Option<ProxyUrl>,
    /// `None`: there are no exceptions, not even the machine itself.
    exceptions: Option<Exceptions>,
    pub(super) connect_headers: HeaderMap,
}

impl ProxyRules {
    /// # Errors
    /// The environment holds a URL that is none.
    pub(super) fn new(config: &ProxyConfig, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        let mut rules = Self::default();
        match &config.source {
            ProxySource::None => {}
            ProxySource::Environment => {
                let var = |name: &str| {
                    env(name).or_else(|| env(&name.to_lowercase())).filter(|value| !value.is_empty())
                };
                let proxy = |name: &str| match var(name) {
                    Some(text) => text.parse().map(Some).map_err(|error| format!("{name}: {error}")),
                    None => Ok(None),
                };
                rules.for_http = proxy("HTTP_PROXY")?;
                rules.for_https = proxy("HTTPS_PROXY")?;
                rules.exceptions = Some(Exceptions::new(&var("NO_PROXY").unwrap_or_default()));
            }
            ProxySource::Url { url, no_proxy } => {
                rules.for_http = Some(url.clone());
                rules.for_https = Some(url.clone());
                rules.exceptions = (!no_proxy.is_empty()).then(|| Exceptions::new(no_proxy));
            }
        }
        for (name, value) in &config.connect_headers {
            let value = HeaderValue::from_str(value.expose())
                .map_err(|_| format!("proxy_connect_header {name}: not a header's value"))?;
            rules.connect_headers.append(name, value);
        }
        Ok(rules)
    }

    /// The proxy for this URL, if any.
    pub(super) fn for_uri(&self, uri: &Uri) -> Option<&ProxyUrl> {
        let is_https = uri.scheme_str() == Some("https");
        let proxy = if is_https { &self.for_https } else { &self.for_http }.as_ref()?;
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let is_excepted = self.exceptions.as_ref().is_some_and(|list| list.contains(host, port));
        (!is_excepted).then_some(proxy)
    }
}

#[derive(Clone, Debug)]
struct Exceptions(Vec<Exception>);

#[derive(Clone, Debug)]
enum Exception {
    All,
    Network(IpAddr, u32),
    Address(IpAddr, Option<u16>),
    Domain { suffix: String, has_itself: bool, port: Option<u16> },
}

impl Exceptions {
    fn new(text: &str) -> Self {
        Self(text.split(',').filter_map(|entry| exception(entry.trim())).collect())
    }

    fn contains(&self, host: &str, port: u16) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
            return true;
        }
        self.0.iter().any(|exception| match exception {
            Exception::All => true,
            Exception::Network(network, bits) => address.is_some_and(|it| is_in(it, *network, *bits)),
            Exception::Address(own, own_port) => {
                address == Some(*own) && own_port.is_none_or(|own| own == port)
            }
            Exception::Domain { suffix, has_itself, port: own_port } => {
                let is_below = host.ends_with(suffix.as_str());
                let is_itself = *has_itself && suffix[1..] == host;
                address.is_none() && (is_below || is_itself) && own_port.is_none_or(|own| own == port)
            }
        })
    }
}

fn exception(entry: &str) -> Option<Exception> {
    let entry = entry.to_ascii_lowercase();
    if entry == "*" {
        return Some(Exception::All);
    }
    if let Some((network, bits)) = entry.split_once('/') {
        let network: IpAddr = network.parse().ok()?;
        let most = if network.is_ipv4() { 32 } else { 128 };
        return bits.parse().ok().filter(|bits| *bits <= most).map(|bits| Exception::Network(network, bits));
    }
    if let Ok(address) = entry.parse() {
        return Some(Exception::Address(address, None));
    }
    if let Ok(socket) = entry.parse::<std::net::SocketAddr>() {
        return Some(Exception::Address(socket.ip(), Some(socket.port())));
    }
    let (name, port) = match entry.rsplit_once(':') {
        Some((name, port)) => (name, Some(port.parse().ok()?)),
        None => (entry.as_str(), None),
    };
    let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
    let bare = name.trim_start_matches('.');
    if bare.is_empty() {
        return None;
    }
    Some(Exception::Domain { suffix: format!(".{bare}"), has_itself: !name.starts_with('.'), port })
}

fn is_in(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => bits == 0 || (a.to_bits() ^ b.to_bits()) >> (32 - bits) == 0,
        (IpAddr::V6(a), IpAddr::V6(b)) => bits == 0 || (a.to_bits() ^ b.to_bits()) >> (128 - bits) == 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_proxied(no_proxy: &str, url: &str) -> bool {
        let source =
            ProxySource::Url { url: "http://p:3128".parse().unwrap(), no_proxy: no_proxy.to_owned() };
        let config = ProxyConfig { source, ..ProxyConfig::default() };
        ProxyRules::new(&config, &|_| None).unwrap().for_uri(&url.parse().unwrap()).is_some()
    }

    #[test]
    fn exceptions() {
        for (no_proxy, url, want) in [
            ("", "http://localhost/", true),
            ("x", "http://localhost/", false),
            ("x", "http://[::1]:9/", false),
            ("a.org", "http://a.org/", false),
            ("a.org", "http://b.a.org/", false),
            ("a.org", "http://ba.org/", true),
            (".a.org", "http://a.org/", true),
            ("*.a.org", "http://b.a.org/", false),
            ("A.org:8080", "http://a.org:8080/", false),
            ("a.org:8080", "http://a.org/", true),
            ("a.org:443", "https://a.org/", false),
            ("10.0.0.0/8, b", "http://10.1.2.3/", false),
            ("10.0.0.0/8", "http://11.1.2.3/", true),
            ("0.0.0.0/0", "http://11.1.2.3/", false),
            ("fd00::/8", "http://[fd01::1]:9/", false),
            ("10.1.2.3", "http://10.1.2.3:9/", false),
            ("10.1.2.3:9", "http://10.1.2.3:8/", true),
            ("*", "http://a.org/", false),
        ] {
            assert_eq!(is_proxied(no_proxy, url), want, "{no_proxy:?} {url}");
        }
    }

    #[test]
    fn environment() {
        let env = |name: &str| match name {
            "http_proxy" => Some("p:3128".to_owned()),
            "HTTPS_PROXY" => Some("http://u:p%40ss@q".to_owned()),
            "NO_PROXY" => Some("inside".to_owned()),
            _ => None,
        };
        let config = ProxyConfig { source: ProxySource::Environment, ..ProxyConfig::default() };
        let rules = ProxyRules::new(&config, &env).unwrap();
        let proxy = |url: &str| rules.for_uri(&url.parse().unwrap());
        assert_eq!(proxy("http://a/").unwrap().uri, "http://p:3128/");
        let tunnel = proxy("https://a/").unwrap();
        assert_eq!((tunnel.uri.to_string().as_str(), tunnel.password.expose()), ("http://q:80/", "p@ss"));
        assert_eq!(tunnel.auth().unwrap(), "Basic dTpwQHNz");
        assert!(proxy("http://inside/").is_none());
        assert!(ProxyRules::new(&config, &|_| Some("ftp://x".to_owned())).is_err());
    }

    #[test]
    fn bad_urls_do_not_show_their_credentials() {
        for url in ["https://p:1", "ftp://p", "http://", "http://user:hunter2@", "http://user:hunter2@a b"] {
            let error = url.parse::<ProxyUrl>().unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert!("socks5://p".parse::<ProxyUrl>().unwrap().is_socks);
    }
}
