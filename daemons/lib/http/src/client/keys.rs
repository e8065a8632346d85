//! The keys by which Prometheus's and Promtail's files say how to ask: `basic_auth`, `tls_config`, `proxy_url` and
//! their like. [`with_client_keys!`](crate::with_client_keys) puts them into a struct that is read from a file.

use std::collections::BTreeMap;
use std::path::Path;

use http::HeaderName;
use serde::{Deserialize, Serialize};

use super::config::{Auth, ClientConfig, Pem, PemKey, TlsConfig, TlsVersion};
use super::oauth2::OAuth2Config;
use super::proxy::{ProxyConfig, ProxySource};
use super::secret::{Secret, SecretSource};

/// Headers that are the client's own.
const RESERVED_HEADERS: [&str; 17] = [
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "user-agent",
    "www-authenticate",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-security-token",
    "x-prometheus-remote-write-version",
    "x-prometheus-scrape-timeout-seconds",
];

/// `basic_auth`
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct BasicAuth {
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// File with the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username_file: Option<String>,
    /// Password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// File with the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<String>,
}

/// `authorization`
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Authorization {
    /// `Bearer`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What follows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Secret>,
    /// File with what follows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_file: Option<String>,
}

/// `oauth2`
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct OAuth2 {
    /// Who asks for a token.
    pub client_id: String,
    /// With what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Secret>,
    /// File with what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<String>,
    /// What for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Where.
    pub token_url: String,
    /// Further parameters.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub endpoint_params: BTreeMap<String, String>,
    /// TLS towards the token's server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_config: Option<TlsKeys>,
    /// As outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_url: Option<ProxyUrlKey>,
    /// As outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_proxy: Option<String>,
    /// As outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_from_environment: Option<bool>,
    /// As outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_connect_header: Option<BTreeMap<String, Vec<Secret>>>,
}

/// `tls_config`
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsKeys {
    /// Certificates to trust, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// Own chain, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<String>,
    /// Own key, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Secret>,
    /// File of `ca`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// File of `cert`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<String>,
    /// File of `key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<String>,
    /// Name that the server's certificate must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Whether any certificate will do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure_skip_verify: Option<bool>,
    /// `TLS10` to `TLS13`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_version: Option<String>,
    /// `TLS12` or `TLS13`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_version: Option<String>,
}

/// One header of `http_headers`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct HeaderValues {
    /// Values that may be shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// Values that may not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Secret>,
    /// Files with values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
}

/// `proxy_url`; shown without its password.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct ProxyUrlKey(Secret);

impl Serialize for ProxyUrlKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.expose();
        let Some((before, host)) = text.rsplit_once('@') else { return serializer.serialize_str(text) };
        let start = before.find("://").map_or(0, |at| at + 3);
        let name = before[start..].split(':').next().unwrap_or("");
        serializer.serialize_str(&format!("{}{name}:xxxxx@{host}", &before[..start]))
    }
}

/// All keys together, whichever struct they stood in.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the keys of the file, documented at the macro below")]
pub struct ClientKeys {
    pub basic_auth: Option<BasicAuth>,
    pub authorization: Option<Authorization>,
    pub oauth2: Option<OAuth2>,
    pub bearer_token: Option<Secret>,
    pub bearer_token_file: Option<String>,
    pub tls_config: Option<TlsKeys>,
    pub proxy_url: Option<ProxyUrlKey>,
    pub no_proxy: Option<String>,
    pub proxy_from_environment: Option<bool>,
    pub proxy_connect_header: Option<BTreeMap<String, Vec<Secret>>>,
    pub http_headers: Option<BTreeMap<String, HeaderValues>>,
    pub follow_redirects: Option<bool>,
    pub enable_http2: Option<bool>,
}

/// Declares a struct that has the keys of [`ClientKeys`] beside its own, and a method `client_keys` that takes them out.
/// It must derive `Deserialize` and `Serialize` with `#[serde(default)]`. (`#[serde(flatten)]` would lose both the
/// refusal of unknown keys and the place of an error in the file.)
#[macro_export]
macro_rules! with_client_keys {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($fields:tt)* }) => {
        $(#[$meta])*
        $vis struct $name {
            $($fields)*
            /// Name and password.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub basic_auth: Option<$crate::client::keys::BasicAuth>,
            /// Kind and credentials of the header `Authorization`.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub authorization: Option<$crate::client::keys::Authorization>,
            /// Where tokens are asked for.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub oauth2: Option<$crate::client::keys::OAuth2>,
            /// The older way to say `authorization.credentials`.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub bearer_token: Option<$crate::client::secret::Secret>,
            /// The older way to say `authorization.credentials_file`.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub bearer_token_file: Option<String>,
            /// Certificates and versions for `https`.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub tls_config: Option<$crate::client::keys::TlsKeys>,
            /// Through whom.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub proxy_url: Option<$crate::client::keys::ProxyUrlKey>,
            /// Whom to ask without the proxy.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub no_proxy: Option<String>,
            /// Whether the environment names the proxy.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub proxy_from_environment: Option<bool>,
            /// Headers of `CONNECT`.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub proxy_connect_header:
                Option<std::collections::BTreeMap<String, Vec<$crate::client::secret::Secret>>>,
            /// Headers of each request.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub http_headers:
                Option<std::collections::BTreeMap<String, $crate::client::keys::HeaderValues>>,
            /// Whether redirects are followed.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub follow_redirects: Option<bool>,
            /// Whether HTTP/2 is spoken with servers that offer it over TLS.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub enable_http2: Option<bool>,
        }

        impl $name {
            /// The keys that say how to ask.
            $vis fn client_keys(&self) -> $crate::client::keys::ClientKeys {
                $crate::client::keys::ClientKeys {
                    basic_auth: self.basic_auth.clone(),
                    authorization: self.authorization.clone(),
                    oauth2: self.oauth2.clone(),
                    bearer_token: self.bearer_token.clone(),
                    bearer_token_file: self.bearer_token_file.clone(),
                    tls_config: self.tls_config.clone(),
                    proxy_url: self.proxy_url.clone(),
                    no_proxy: self.no_proxy.clone(),
                    proxy_from_environment: self.proxy_from_environment,
                    proxy_connect_header: self.proxy_connect_header.clone(),
                    http_headers: self.http_headers.clone(),
                    follow_redirects: self.follow_redirects,
                    enable_http2: self.enable_http2,
                }
            }
        }
    };
}

impl ClientKeys {
    /// Checks the keys against each other. Relative paths start at `base`; no file is read.
    ///
    /// # Errors
    /// A text in Prometheus's words where it has some.
    pub fn resolve(&self, base: &Path) -> Result<ClientConfig, String> {
        Ok(ClientConfig {
            auth: self.auth(base)?,
            tls: self
                .tls_config
                .as_ref()
                .map_or_else(|| Ok(TlsConfig::default()), |keys| keys.resolve(base))?,
            proxy: proxy(
                self.proxy_url.as_ref(),
                self.no_proxy.as_deref(),
                self.proxy_from_environment,
                self.proxy_connect_header.as_ref(),
            )?,
            headers: self.headers(base)?,
            has_http2: self.enable_http2.unwrap_or(true),
            follows_redirects: self.follow_redirects.unwrap_or(true),
            ..ClientConfig::default()
        })
    }

    fn auth(&self, base: &Path) -> Result<Auth, String> {
        let token = self.bearer_token.as_ref().filter(|token| !token.expose().is_empty());
        let token_file = said(&self.bearer_token_file);
        let has_token = token.is_some() || token_file.is_some();
        if token.is_some() && token_file.is_some() {
            return refuse("at most one of bearer_token & bearer_token_file must be configured");
        }
        if has_token && (self.basic_auth.is_some() || self.oauth2.is_some()) {
            return refuse(
                "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured",
            );
        }
        if has_token && self.authorization.is_some() {
            return refuse("authorization is not compatible with bearer_token & bearer_token_file");
        }
        let n_ways = [self.basic_auth.is_some(), self.authorization.is_some(), self.oauth2.is_some()];
        if n_ways.into_iter().filter(|is_set| *is_set).count() > 1 {
            return refuse("at most one of basic_auth, oauth2 & authorization must be configured");
        }
        if has_token {
            let credentials = one_of(token, token_file, base).unwrap_or_default();
            return Ok(Auth::Header { kind: "Bearer".to_owned(), credentials });
        }
        if let Some(keys) = &self.basic_auth {
            if said(&keys.username).is_some() && said(&keys.username_file).is_some() {
                return refuse("at most one of basic_auth username & username_file must be configured");
            }
            if keys.password.is_some() && said(&keys.password_file).is_some() {
                return refuse("at most one of basic_auth password & password_file must be configured");
            }
            let name = said(&keys.username).map(Secret::new);
            return Ok(Auth::Basic {
                username: one_of(name.as_ref(), said(&keys.username_file), base).unwrap_or_default(),
                password: one_of(keys.password.as_ref(), said(&keys.password_file), base).unwrap_or_default(),
            });
        }
        if let Some(keys) = &self.authorization {
            if keys.credentials.is_some() && said(&keys.credentials_file).is_some() {
                return refuse(
                    "at most one of authorization credentials & credentials_file must be configured",
                );
            }
            let kind = said(&keys.kind).unwrap_or("Bearer").trim().to_owned();
            if kind.eq_ignore_ascii_case("basic") {
                return refuse("authorization type cannot be set to \"basic\", use \"basic_auth\" instead");
            }
            let credentials = one_of(keys.credentials.as_ref(), said(&keys.credentials_file), base);
            return Ok(Auth::Header { kind, credentials: credentials.unwrap_or_default() });
        }
        if let Some(keys) = &self.oauth2 {
            return keys.resolve(base).map(|config| Auth::OAuth2(Box::new(config)));
        }
        Ok(Auth::None)
    }

    fn headers(&self, base: &Path) -> Result<Vec<(HeaderName, SecretSource)>, String> {
        let mut all = Vec::new();
        for (name, said) in self.http_headers.iter().flatten() {
            if RESERVED_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
                return refuse(format!("setting header {name:?} is not allowed"));
            }
            let parsed: HeaderName =
                name.parse().map_err(|_| format!("http_headers: {name:?} is no header's name"))?;
            let shown = said.values.iter().map(Secret::new);
            for value in shown.chain(said.secrets.iter().cloned()) {
                if http::HeaderValue::from_str(value.expose()).is_err() {
                    return refuse(format!(
                        "http_headers: a value of {name:?} is none that a header may have"
                    ));
                }
                all.push((parsed.clone(), SecretSource::Inline(value)));
            }
            let files = said.files.iter().map(|file| SecretSource::File(base.join(file)));
            all.extend(files.map(|source| (parsed.clone(), source)));
        }
        Ok(all)
    }
}

impl OAuth2 {
    fn resolve(&self, base: &Path) -> Result<OAuth2Config, String> {
        if self.client_id.is_empty() {
            return refuse("oauth2 client_id cannot be empty");
        }
        if self.token_url.is_empty() {
            return refuse("oauth2 token_url cannot be empty");
        }
        if self.client_secret.is_some() && said(&self.client_secret_file).is_some() {
            return refuse("at most one of oauth2 client_secret & client_secret_file must be configured");
        }
        let secret = one_of(self.client_secret.as_ref(), said(&self.client_secret_file), base);
        let tls = self.tls_config.as_ref();
        Ok(OAuth2Config {
            client_id: self.client_id.clone(),
            client_secret: secret.unwrap_or_default(),
            token_url: self.token_url.clone(),
            scopes: self.scopes.clone(),
            endpoint_params: self.endpoint_params.clone().into_iter().collect(),
            tls: tls.map_or_else(|| Ok(TlsConfig::default()), |keys| keys.resolve(base))?,
            proxy: proxy(
                self.proxy_url.as_ref(),
                self.no_proxy.as_deref(),
                self.proxy_from_environment,
                self.proxy_connect_header.as_ref(),
            )?,
        })
    }
}

impl TlsKeys {
    /// # Errors
    /// As [`ClientKeys::resolve`].
    fn resolve(&self, base: &Path) -> Result<TlsConfig, String> {
        let pem = |name: &str, text: &Option<String>, file: &Option<String>| match (said(text), said(file)) {
            (Some(_), Some(_)) => refuse(format!("at most one of {name} and {name}_file must be configured")),
            (Some(text), None) => Ok(Some(Pem::Inline(text.to_owned()))),
            (None, Some(file)) => Ok(Some(Pem::File(base.join(file)))),
            (None, None) => Ok(None),
        };
        let ca = pem("ca", &self.ca, &self.ca_file)?;
        let cert = pem("cert", &self.cert, &self.cert_file)?;
        let key = self.key.as_ref().filter(|key| !key.expose().is_empty());
        if key.is_some() && said(&self.key_file).is_some() {
            return refuse("at most one of key and key_file must be configured");
        }
        let identity = match (cert, one_of(key, said(&self.key_file), base)) {
            (Some(cert), Some(key)) => Some((cert, PemKey(key))),
            (None, None) => None,
            (Some(_), None) => {
                return refuse(
                    "exactly one of key or key_file must be configured when a client certificate is configured",
                );
            }
            (None, Some(_)) => {
                return refuse(
                    "exactly one of cert or cert_file must be configured when a client key is configured",
                );
            }
        };
        let (min_version, max_version) =
            (min_version(said(&self.min_version))?, max_version(said(&self.max_version))?);
        if let (Some(min), Some(max)) = (min_version, max_version)
            && min > max
        {
            return refuse(
                "tls_config.max_version must be greater than or equal to tls_config.min_version if both are specified",
            );
        }
        if let Some(name) = said(&self.server_name)
            && rustls::pki_types::ServerName::try_from(name).is_err()
        {
            return refuse(format!(
                "tls_config.server_name: {name:?} is neither a host's name nor an address"
            ));
        }
        Ok(TlsConfig {
            ca,
            identity,
            server_name: said(&self.server_name).map(str::to_owned),
            skips_verification: self.insecure_skip_verify.unwrap_or(false),
            min_version,
            max_version,
        })
    }
}

/// Nothing older than TLS 1.2 is spoken, so that a lower bound below it is met.
fn min_version(text: Option<&str>) -> Result<Option<TlsVersion>, String> {
    match text {
        None => Ok(None),
        Some("TLS10" | "TLS11" | "TLS12") => Ok(Some(TlsVersion::Tls12)),
        Some("TLS13") => Ok(Some(TlsVersion::Tls13)),
        Some(other) => refuse(format!("unknown TLS version: {other}")),
    }
}

fn max_version(text: Option<&str>) -> Result<Option<TlsVersion>, String> {
    match text {
        None => Ok(None),
        Some("TLS12") => Ok(Some(TlsVersion::Tls12)),
        Some("TLS13") => Ok(Some(TlsVersion::Tls13)),
        Some(old @ ("TLS10" | "TLS11")) => refuse(format!(
            "tls_config.max_version: {old} is not supported, TLS12 is the oldest that is spoken"
        )),
        Some(other) => refuse(format!("unknown TLS version: {other}")),
    }
}

fn proxy(
    url: Option<&ProxyUrlKey>,
    no_proxy: Option<&str>,
    from_environment: Option<bool>,
    connect_header: Option<&BTreeMap<String, Vec<Secret>>>,
) -> Result<ProxyConfig, String> {
    let url = url.map(|url| url.0.expose()).filter(|url| !url.is_empty());
    let no_proxy = no_proxy.filter(|list| !list.is_empty());
    let from_environment = from_environment.unwrap_or(false);
    if from_environment && url.is_some() {
        return refuse("if proxy_from_environment is configured, proxy_url must not be configured");
    }
    if from_environment && no_proxy.is_some() {
        return refuse("if proxy_from_environment is configured, no_proxy must not be configured");
    }
    if url.is_none() && no_proxy.is_some() {
        return refuse("if no_proxy is configured, proxy_url must also be configured");
    }
    let mut connect_headers = Vec::new();
    for (name, values) in connect_header.into_iter().flatten() {
        if url.is_none() && !from_environment {
            return refuse(
                "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured",
            );
        }
        let parsed: HeaderName =
            name.parse().map_err(|_| format!("proxy_connect_header: {name:?} is no header's name"))?;
        connect_headers.extend(values.iter().map(|value| (parsed.clone(), value.clone())));
    }
    let source = match url {
        Some(url) => ProxySource::Url {
            url: url.parse().map_err(|error| format!("proxy_url: {error}"))?,
            no_proxy: no_proxy.unwrap_or("").to_owned(),
        },
        None if from_environment => ProxySource::Environment,
        None => ProxySource::None,
    };
    Ok(ProxyConfig { source, connect_headers })
}

fn refuse<T>(message: impl Into<String>) -> Result<T, String> {
    Err(message.into())
}

/// A text that is not empty.
fn said(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

fn one_of(inline: Option<&Secret>, file: Option<&str>, base: &Path) -> Option<SecretSource> {
    match (inline, file) {
        (Some(secret), _) => Some(SecretSource::Inline(secret.clone())),
        (None, Some(file)) => Some(SecretSource::File(base.join(file))),
        (None, None) => None,
    }
}
