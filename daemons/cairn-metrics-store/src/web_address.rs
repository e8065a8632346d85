//! Where the API and the pages are: on this listener, and for those who come through a proxy.
//!
//! Two paths, as with Prometheus. The *route prefix* is in front of every path that the listener answers. The *external
//! path* is in front of every path that a browser asks for; a proxy that takes it away makes the two differ.

use std::net::SocketAddr;

use http::Uri;

/// Names under which a target may say that it is on this machine.
const LOOPBACK_HOSTS: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebAddress {
    scheme: String,
    /// `host:port`, the port only where it was given.
    authority: String,
    /// Without a slash at its end: empty at the root.
    external_path: String,
    /// As `external_path`.
    route_prefix: String,
    /// The listener.
    listen: SocketAddr,
    /// Whether scheme and authority were given.
    is_given: bool,
}

impl WebAddress {
    /// From `--web.external-url`, `--web.route-prefix` and the bound address. What the URL leaves out is this machine's
    /// name and the listener's port; the prefix is the URL's path unless it is given.
    ///
    /// # Errors
    /// Which of the two cannot be used, and why.
    pub fn new(
        external_url: Option<&str>,
        route_prefix: Option<&str>,
        listen: SocketAddr,
    ) -> Result<Self, String> {
        let external = external_url.unwrap_or("").trim_end_matches('/');
        let own_authority = || format!("{}:{}", crate::host::name(), listen.port());
        let is_given = !(external.is_empty() || external.starts_with('/'));
        let (scheme, authority, path) = if !is_given {
            ("http".to_owned(), own_authority(), external.to_owned())
        } else {
            let wrong = |reason: &str| {
                let example = "give a URL such as https://example.org/prometheus, or its path";
                format!("web.external-url {external:?}: {reason}; {example}")
            };
            let uri: Uri = external.parse().map_err(|error| wrong(&format!("{error}")))?;
            match (uri.scheme_str(), uri.authority(), uri.query()) {
                (Some(scheme @ ("http" | "https")), Some(authority), None) => {
                    if authority.as_str().contains('@') {
                        return Err(wrong("credentials do not belong there"));
                    }
                    let path = uri.path().trim_end_matches('/');
                    (scheme.to_owned(), authority.as_str().to_owned(), path.to_owned())
                }
                (_, _, Some(_)) => return Err(wrong("a query does not belong there")),
                _ => return Err(wrong("neither http:// nor https://")),
            }
        };
        let external_path = checked_path("web.external-url", &path)?;
        let (external_path, route_prefix) = match route_prefix.filter(|prefix| !prefix.is_empty()) {
            Some(prefix) => {
                let prefix = checked_path("web.route-prefix", prefix)?;
                // Whoever names no URL has no proxy that would add or take away a path. (The peer's own redirects lead
                // nowhere then.)
                (if external.is_empty() { prefix.clone() } else { external_path }, prefix)
            }
            None => (external_path.clone(), external_path),
        };
        Ok(Self { scheme, authority, external_path, route_prefix, listen, is_given })
    }

    /// In front of every path that a browser asks for: empty, or `/a/b`.
    pub fn external_path(&self) -> &str {
        &self.external_path
    }

    /// In front of every path that the listener answers: empty, or `/a/b`.
    pub fn route_prefix(&self) -> &str {
        &self.route_prefix
    }

    /// A path of a request without the route prefix; `None` when it lies outside.
    pub fn below_prefix<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(self.route_prefix.as_str())?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }

    /// Where others find the store: `https://example.org/prometheus`, without a slash at its end.
    pub fn url(&self) -> String {
        format!("{}://{}{}", self.scheme, self.authority, self.external_path)
    }

    /// As [`url`](Self::url), but where no host was given the address that is listened on, unless that is every address of the
    /// machine: a listener on loopback is not found under the machine's name.
    pub fn reachable_url(&self) -> String {
        if self.is_given || self.listen.ip().is_unspecified() {
            return self.url();
        }
        format!("{}://{}{}", self.scheme, self.listen, self.external_path)
    }

    /// The address under which others reach a target. One on this machine gets the external host; the store itself, known
    /// by its port, the external scheme and port as well.
    pub fn global_url(&self, target_url: &str) -> String {
        let Some((scheme, rest)) = target_url.split_once("://") else { return target_url.to_owned() };
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let port = LOOPBACK_HOSTS.iter().find_map(|host| authority.strip_prefix(host));
        match port {
            Some(port)
                if port.strip_prefix(':').is_some_and(|port| port.parse() == Ok(self.listen.port())) =>
            {
                format!("{}://{}{path}", self.scheme, self.authority)
            }
            Some(port) if port.is_empty() || port.starts_with(':') => {
                format!("{scheme}://{}{port}{path}", self.host())
            }
            _ => target_url.to_owned(),
        }
    }

    /// The external host without its port.
    fn host(&self) -> &str {
        match self.authority.rsplit_once(':') {
            // A colon inside of brackets belongs to the address.
            Some((host, port)) if !port.ends_with(']') => host,
            _ => &self.authority,
        }
    }
}

/// A path as it is put in front of others: slashes at both ends are a matter of taste.
fn checked_path(flag: &str, text: &str) -> Result<String, String> {
    let inner = text.trim_matches('/');
    if inner.is_empty() {
        return Ok(String::new());
    }
    let is_plain = |part: &str| {
        !matches!(part, "" | "." | "..")
            && !part.starts_with(':')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-._~!$&'()+,;=:@".contains(c))
    };
    if !inner.split('/').all(is_plain) {
        return Err(format!(
            "{flag} {text:?}: the path must be of letters, digits and -._~, with one slash between its parts, none of which begins with a colon"
        ));
    }
    Ok(format!("/{inner}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(external_url: &str, route_prefix: &str) -> Result<WebAddress, String> {
        WebAddress::new(Some(external_url), Some(route_prefix), "127.0.0.1:9090".parse().unwrap())
    }

    #[test]
    fn the_prefix_is_the_urls_path_unless_it_is_given() {
        for (url, given, path, prefix) in [
            ("", "", "", ""),
            ("https://example.org", "", "", ""),
            ("https://example.org/", "", "", ""),
            ("https://example.org/a/b/", "", "/a/b", "/a/b"),
            ("https://example.org/a", "/", "/a", ""),
            ("https://example.org/a", "b/", "/a", "/b"),
            ("/only/path", "", "/only/path", "/only/path"),
            ("", "/p", "/p", "/p"),
            ("https://example.org", "/p", "", "/p"),
        ] {
            let found = address(url, given).unwrap();
            assert_eq!((found.external_path(), found.route_prefix()), (path, prefix), "{url} {given}");
        }
        let here = address("/x", "").unwrap();
        assert_eq!(here.url(), format!("http://{}:9090/x", crate::host::name()));
        assert_eq!(address("https://[::1]:1/x/", "").unwrap().url(), "https://[::1]:1/x");
        assert_eq!(here.reachable_url(), "http://127.0.0.1:9090/x");
        for (url, listen, want) in [
            ("https://example.org", "127.0.0.1:9090", "https://example.org".to_owned()),
            ("", "[::1]:9", "http://[::1]:9".to_owned()),
            ("", "10.0.0.7:9", "http://10.0.0.7:9".to_owned()),
            ("", "[::]:9", format!("http://{}:9", crate::host::name())),
        ] {
            let found = WebAddress::new(Some(url), None, listen.parse().unwrap()).unwrap();
            assert_eq!(found.reachable_url(), want);
        }
        assert_eq!(here.below_prefix("/x/api"), Some("/api"));
        assert_eq!(here.below_prefix("/x"), Some(""));
        assert_eq!(here.below_prefix("/xy"), None);
        assert_eq!(address("", "").unwrap().below_prefix("/xy"), Some("/xy"));
    }

    #[test]
    fn what_cannot_be_an_address_is_refused_by_name() {
        for (url, prefix, want) in [
            ("ftp://x/", "", "neither http:// nor https://"),
            ("https://x/a/:b", "", "begins with a colon"),
            ("", "/:b", "begins with a colon"),
            ("example.org:9090", "", "web.external-url"),
            ("https://x/?a=b", "", "a query does not belong there"),
            ("https://a:b@x/", "", "credentials"),
            ("\"https://x/\"", "", "web.external-url"),
            ("https://x/a//b", "", "with one slash between"),
            ("", "/a/../b", "web.route-prefix"),
            ("", "/{a}", "web.route-prefix"),
            ("", "/a*", "web.route-prefix"),
            ("", "/a b", "web.route-prefix"),
            ("/a?b", "", "web.external-url"),
        ] {
            let error = address(url, prefix).unwrap_err();
            assert!(error.contains(want), "{url} {prefix}: {error}");
        }
    }

    #[test]
    fn loopback_is_replaced_in_the_global_url() {
        let found = address("https://example.org:8443/p", "").unwrap();
        for (url, want) in [
            ("http://127.0.0.1:9100/metrics", "http://example.org:9100/metrics"),
            ("https://localhost/metrics", "https://example.org/metrics"),
            ("http://[::1]:1?x=/y", "http://example.org:1?x=/y"),
            ("http://localhost.org/metrics", "http://localhost.org/metrics"),
            ("http://10.0.0.1:1/metrics", "http://10.0.0.1:1/metrics"),
            // The store itself.
            ("http://localhost:9090/p/metrics", "https://example.org:8443/p/metrics"),
        ] {
            assert_eq!(found.global_url(url), want);
        }
        let plain = address("https://[::2]", "").unwrap();
        assert_eq!(plain.global_url("http://127.0.0.1:1/m"), "http://[::2]:1/m");
    }
}
