//! Addresses to listen on, checked for form when they are read and resolved when they are bound.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer};

/// `host:port` as written: `127.0.0.1:5000`, `[::1]:0`, `localhost:9090`, or `:9090` for every address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddr(String);

/// A text that is no [`ListenAddr`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an address as host:port such as \"127.0.0.1:5000\", got \"{0}\"")]
pub struct ListenAddrError(String);

impl ListenAddr {
    /// The address with a host: what to give to a resolver. `:9090` becomes `[::]:9090`, as the peers read it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ListenAddr {
    type Err = ListenAddrError;

    fn from_str(text: &str) -> Result<Self, ListenAddrError> {
        let wrong = || ListenAddrError(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let is_bracketed = host.starts_with('[') && host.ends_with(']');
        let is_bad_host =
            host.contains(|c: char| c.is_whitespace() || c == '/') || (host.contains(':') && !is_bracketed);
        if port.parse::<u16>().is_err() || is_bad_host {
            return Err(wrong());
        }
        Ok(Self(if host.is_empty() { format!("[::]:{port}") } else { text.to_owned() }))
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ListenAddr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A listener that can be switched off: `off`, or an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OptionalListen {
    /// Nothing is bound.
    #[default]
    Off,
    /// This address is bound.
    On(ListenAddr),
}

impl FromStr for OptionalListen {
    type Err = ListenAddrError;

    fn from_str(text: &str) -> Result<Self, ListenAddrError> {
        if text == "off" { Ok(Self::Off) } else { text.parse().map(Self::On) }
    }
}

impl<'de> Deserialize<'de> for OptionalListen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let check = |text: &str, want: Option<&str>| {
            assert_eq!(text.parse::<ListenAddr>().ok().as_ref().map(ListenAddr::as_str), want, "{text}");
        };
        check("127.0.0.1:5000", Some("127.0.0.1:5000"));
        check("localhost:0", Some("localhost:0"));
        check("[::1]:80", Some("[::1]:80"));
        check(":9090", Some("[::]:9090"));
        check("::1:80", None);
        check("127.0.0.1", None);
        check("127.0.0.1:99999", None);
        check("http://a:80", None);
        assert_eq!("off".parse(), Ok(OptionalListen::Off));
        assert_eq!("a:1".parse(), Ok(OptionalListen::On(ListenAddr("a:1".into()))));
    }
}
