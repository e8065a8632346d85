//! How a client asks, beyond the URL: credentials, TLS, proxies. Resolved; [`super::keys`] are the keys of a file.

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;

use super::oauth2::OAuth2Config;
use super::proxy::ProxyConfig;
use super::secret::SecretSource;

/// An idle connection is dropped before most servers drop it.
const IDLE_TIME: Duration = Duration::from_secs(25);

/// Everything that holds for all requests of one client. The default asks without credentials, trusts what the system
/// trusts, and uses no proxy.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientConfig {
    /// What each request says about who asks.
    pub auth: Auth,
    /// Certificates, for `https`.
    pub tls: TlsConfig,
    /// Through whom.
    pub proxy: ProxyConfig,
    /// Headers of each request. They go, as credentials do, to the host of the URL alone, not where it redirects to.
    pub headers: Vec<(HeaderName, SecretSource)>,
    /// Whether HTTP/2 is spoken with `https` servers that offer it.
    pub has_http2: bool,
    /// Whether redirects are to be followed; the caller says how many.
    pub follows_redirects: bool,
    /// How long an unused connection is kept.
    pub idle_time: Duration,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            auth: Auth::default(),
            tls: TlsConfig::default(),
            proxy: ProxyConfig::default(),
            headers: Vec::new(),
            has_http2: true,
            follows_redirects: true,
            idle_time: IDLE_TIME,
        }
    }
}

impl ClientConfig {
    /// Reads each file of credentials and certificates once, and says what is wrong with them, one line each. Nothing is
    /// asked for on the way: a client reads its files when it uses them, so that they may also come later. Blocking.
    pub fn check_files(&self) -> Vec<String> {
        let oauth2 = match &self.auth {
            Auth::OAuth2(config) => Some(config),
            _ => None,
        };
        let mut sources: Vec<&SecretSource> = self.headers.iter().map(|(_, source)| source).collect();
        match &self.auth {
            Auth::None => {}
            Auth::Basic { username, password } => sources.extend([username, password]),
            Auth::Header { credentials, .. } => sources.push(credentials),
            Auth::OAuth2(config) => sources.push(&config.client_secret),
        }
        let secrets = sources.into_iter().filter_map(|source| source.read_now().err());
        let tls = std::iter::once(&self.tls).chain(oauth2.map(|config| &config.tls));
        secrets.chain(tls.flat_map(TlsConfig::check_files)).collect()
    }
}

/// The header `Authorization`.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Auth {
    /// None.
    #[default]
    None,
    /// `Basic`, from a name and a password.
    Basic {
        /// Name.
        username: SecretSource,
        /// Password.
        password: SecretSource,
    },
    /// `Bearer ...`, or another kind with its credentials as they are.
    Header {
        /// `Bearer`
        kind: String,
        /// What follows.
        credentials: SecretSource,
    },
    /// A token that is asked for with a client's id and secret (RFC 6749, section 4.4).
    OAuth2(Box<OAuth2Config>),
}

/// A PEM text, or where it is; read again when the file changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pem {
    /// Here.
    Inline(String),
    /// In a file.
    File(PathBuf),
}

/// TLS towards a server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TlsConfig {
    /// Whom to trust, instead of whom the system trusts.
    pub ca: Option<Pem>,
    /// The client's own certificate chain and its key.
    pub identity: Option<(Pem, PemKey)>,
    /// The name that the server's certificate must have, instead of the URL's host.
    pub server_name: Option<String>,
    /// Whether any certificate of the server will do.
    pub skips_verification: bool,
    /// Oldest version; nothing below TLS 1.2 is spoken.
    pub min_version: Option<TlsVersion>,
    /// Newest version.
    pub max_version: Option<TlsVersion>,
}

/// A private key: as [`Pem`], and never printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemKey(pub SecretSource);

/// A version of TLS that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// 1.2
    Tls12,
    /// 1.3
    Tls13,
}
