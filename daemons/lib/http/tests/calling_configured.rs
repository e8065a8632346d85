//! The client with credentials, certificates and proxies, against servers on loopback.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_http::client::config::{Auth, ClientConfig, Pem, PemKey, TlsConfig, TlsVersion};
use cairn_http::client::keys::ClientKeys;
use cairn_http::client::secret::{Secret, SecretSource};
use cairn_http::client::{CallOptions, Client, ClientError};
use http::{Request, Response, Version};
use http_body_util::Full;
use support::{Authority, Server, text};

/// Longest wait for anything; a busy machine needs a fraction of it.
const DEADLINE: Duration = Duration::from_secs(30);

/// The keys of a file, which `with_client_keys!` spreads over a job.
fn configured(json: &str, base: &Path) -> Result<ClientConfig, String> {
    cairn_http::with_client_keys! {
        /// A job.
        #[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, serde::Serialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Job {}
    }
    let job: Job = serde_json::from_str(json).unwrap();
    job.client_keys().resolve(base)
}

fn client(config: ClientConfig) -> Client {
    Client::with_config("cairn-test/1", config)
}

async fn get(client: &Client, url: &str) -> Result<Response<Bytes>, ClientError> {
    let options = CallOptions { timeout: DEADLINE, max_body: 1 << 20, max_redirects: 3 };
    client.send_with(Request::get(url).body(Bytes::new()).unwrap(), &options).await
}

/// What is said innermost, where TLS tells what it has against a certificate.
fn cause(error: &ClientError) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

fn trusting(authority: &Authority) -> TlsConfig {
    TlsConfig { ca: Some(Pem::Inline(authority.pem())), ..TlsConfig::default() }
}

#[test]
fn files_are_checked_before_they_are_used() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let authority = Authority::new();
    write("ca.pem", &authority.pem());
    write("pw", "hunter2\n");
    write("latin1", "x");
    std::fs::write(dir.path().join("latin1"), [0xe9]).unwrap();
    let check = |json: &str, wanted: &[&str]| {
        let found = configured(json, dir.path()).unwrap().check_files();
        assert_eq!(found.len(), wanted.len(), "{json}: {found:?}");
        for (line, text) in found.iter().zip(wanted) {
            assert!(line.contains(text) && !line.contains("hunter2"), "{json}: {line}");
        }
    };
    check("{}", &[]);
    check(
        r#"{"basic_auth": {"username": "a", "password_file": "pw"}, "tls_config": {"ca_file": "ca.pem"}}"#,
        &[],
    );
    check(
        r#"{"basic_auth": {"username_file": "gone", "password_file": "latin1"}}"#,
        &["gone: No such", "not UTF-8"],
    );
    check(r#"{"bearer_token_file": "token"}"#, &["/token: No such file"]);
    check(r#"{"authorization": {"credentials_file": "."}}"#, &["directory"]);
    check(r#"{"http_headers": {"X-A": {"files": ["pw", "h"]}}}"#, &["/h: No such file"]);
    check(
        r#"{"tls_config": {"ca_file": "pw", "cert_file": "ca.pem", "key_file": "k"}}"#,
        &["pw: no certificate", "/k: "],
    );
    check(r#"{"tls_config": {"cert_file": "c", "key_file": "pw"}}"#, &["/c: No such file"]);
    check(
        r#"{"oauth2": {"client_id": "a", "client_secret_file": "s", "token_url": "http://x", "tls_config": {"ca_file": "ca"}}}"#,
        &["/s: No such file", "/ca: No such file"],
    );
}

#[tokio::test]
async fn certificates_are_checked() {
    let authority = Authority::new();
    let server = Server::tls(&authority.sign("127.0.0.1"), None, false).await;
    let url = server.url("https");
    let tls = trusting(&authority);
    let ask =
        async |tls: TlsConfig| get(&client(ClientConfig { tls, ..ClientConfig::default() }), &url).await;
    assert_eq!(ask(tls.clone()).await.unwrap().body(), "hello");
    for wrong in [
        trusting(&Authority::new()),
        TlsConfig { server_name: Some("other.example".to_owned()), ..tls.clone() },
    ] {
        let error = ask(wrong).await.unwrap_err();
        assert!(cause(&error).contains("invalid peer certificate"), "{error:?}");
    }
    let careless = TlsConfig { skips_verification: true, ..TlsConfig::default() };
    assert_eq!(ask(careless).await.unwrap().status(), 200);
    let old = TlsConfig { max_version: Some(TlsVersion::Tls12), ..tls };
    assert_eq!(ask(old).await.unwrap().status(), 200);

    let named = Server::tls(&authority.sign("inside.example"), None, false).await;
    let tls = TlsConfig { server_name: Some("inside.example".to_owned()), ..trusting(&authority) };
    let asking = client(ClientConfig { tls, ..ClientConfig::default() });
    assert_eq!(get(&asking, &named.url("https")).await.unwrap().status(), 200);
}

#[tokio::test]
async fn files_of_certificates_are_read_again() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let server = Server::tls(&authority.sign("127.0.0.1"), Some(&clients), false).await;
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    let pair = Authority::new().sign("client");
    std::fs::write(file("cert"), &pair.cert).unwrap();
    std::fs::write(file("key"), &pair.key).unwrap();
    let tls = TlsConfig {
        ca: Some(Pem::File(file("ca"))),
        identity: Some((Pem::File(file("cert")), PemKey(SecretSource::File(file("key"))))),
        ..TlsConfig::default()
    };
    let client = client(ClientConfig { tls, ..ClientConfig::default() });
    let url = server.url("https");
    let missing = get(&client, &url).await.unwrap_err().to_string();
    assert!(missing.contains(&file("ca").display().to_string()), "{missing}");
    std::fs::write(file("ca"), authority.pem()).unwrap();
    let unknown = get(&client, &url).await.unwrap_err();
    assert!(matches!(unknown, ClientError::Transport { .. }), "a stranger's certificate: {unknown:?}");

    let pair = clients.sign("client");
    std::fs::write(file("cert"), &pair.cert).unwrap();
    std::fs::write(file("key"), &pair.key).unwrap();
    let start = Instant::now();
    while get(&client, &url).await.is_err() {
        assert!(start.elapsed() < DEADLINE, "the new certificate is not taken");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Half a rotation: the old pair stays in use.
    std::fs::write(file("key"), "not a key").unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(get(&client, &url).await.unwrap().status(), 200);
}

#[tokio::test]
async fn http2_is_spoken_where_it_may() {
    let authority = Authority::new();
    let server = Server::tls(&authority.sign("127.0.0.1"), None, true).await;
    for (has_http2, version) in [(true, Version::HTTP_2), (false, Version::HTTP_11)] {
        let config = ClientConfig { tls: trusting(&authority), has_http2, ..ClientConfig::default() };
        assert_eq!(get(&client(config), &server.url("https")).await.unwrap().body(), "hello");
        assert_eq!(server.last().version, version);
    }
}

#[tokio::test]
async fn proxies_are_used_and_told_who_asks() {
    let authority = Authority::new();
    let secure = Server::tls(&authority.sign("127.0.0.1"), None, false).await;
    let proxy = Server::plain(|_| text("from the proxy")).await;
    let here = Path::new("");
    let keys = format!(
        r#"{{"proxy_url": "http://me:pass%20word@{}", "proxy_connect_header": {{"X-Who": ["a", "b"]}}}}"#,
        proxy.address
    );
    let mut config = configured(&keys, here).unwrap();
    config.tls = trusting(&authority);
    let asking = client(config);
    assert_eq!(get(&asking, "http://far.example/x?y").await.unwrap().body(), "from the proxy");
    let seen = proxy.last();
    assert_eq!(seen.line, "GET http://far.example/x?y");
    assert_eq!(seen.header("proxy-authorization"), "Basic bWU6cGFzcyB3b3Jk");
    assert!(!seen.headers.contains_key("x-who"));

    assert_eq!(get(&asking, &secure.url("https")).await.unwrap().body(), "hello");
    let seen = proxy.last();
    assert_eq!(seen.line, format!("CONNECT {}", secure.address));
    assert_eq!(seen.header("proxy-authorization"), "Basic bWU6cGFzcyB3b3Jk");
    assert_eq!(seen.headers.get_all("x-who").iter().count(), 2);
    assert!(!secure.last().headers.contains_key("proxy-authorization"));

    let direct = Server::plain(|_| text("direct")).await;
    let keys = format!(r#"{{"proxy_url": "http://{}", "no_proxy": "10.0.0.0/8"}}"#, proxy.address);
    let asking = client(configured(&keys, here).unwrap());
    assert_eq!(get(&asking, &direct.url("http")).await.unwrap().body(), "direct");
    assert_eq!(get(&asking, "http://192.0.2.1/").await.unwrap().body(), "from the proxy");
}

#[tokio::test]
async fn credentials_go_to_their_host_alone() {
    let stranger = Server::plain(|_| text("stranger")).await;
    let to = stranger.url("http");
    let server = Server::plain(move |seen| match seen.line.as_str() {
        "GET /away" => Response::builder().status(302).header("location", &to).body(Full::default()).unwrap(),
        "GET /here" => {
            Response::builder().status(302).header("location", "/end").body(Full::default()).unwrap()
        }
        _ => text("end"),
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("word"), " first\n").unwrap();
    let keys = r#"{"basic_auth": {"username": "me", "password_file": "word"},
                   "http_headers": {"X-Key": {"secrets": ["k"], "values": ["v"], "files": ["word"]}}}"#;
    let asking = client(configured(keys, dir.path()).unwrap());
    let url = server.url("http");
    assert_eq!(get(&asking, &format!("{url}here")).await.unwrap().body(), "end");
    assert_eq!(server.last().header("authorization"), "Basic bWU6Zmlyc3Q=");
    let values: Vec<_> = server.last().headers.get_all("x-key").iter().cloned().collect();
    assert_eq!(values, ["v", "k", "first"]);
    std::fs::write(dir.path().join("word"), "second").unwrap();
    assert_eq!(get(&asking, &format!("{url}away")).await.unwrap().body(), "stranger");
    assert_eq!(server.last().header("authorization"), "Basic bWU6c2Vjb25k");
    let seen = stranger.last();
    assert!(!seen.headers.contains_key("authorization") && !seen.headers.contains_key("x-key"), "{seen:?}");

    let credentials = SecretSource::Inline(Secret::new("token"));
    let auth = Auth::Header { kind: "Bearer".to_owned(), credentials };
    let asking = client(ClientConfig { auth, ..ClientConfig::default() });
    get(&asking, &url).await.unwrap();
    assert_eq!(server.last().header("authorization"), "Bearer token");
    std::fs::remove_file(dir.path().join("word")).unwrap();
    let keys = r#"{"authorization": {"type": "Key", "credentials_file": "word"}}"#;
    let error = get(&client(configured(keys, dir.path()).unwrap()), &url).await.unwrap_err();
    assert!(matches!(&error, ClientError::Setup { reason, .. } if reason.contains("word")), "{error:?}");
}

#[tokio::test]
async fn a_token_is_asked_for_once() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let tokens = Server::plain(|_| {
        let number = ASKED.fetch_add(1, Ordering::Relaxed);
        text(&format!(r#"{{"access_token": "t{number}", "token_type": "bearer", "expires_in": 3600}}"#))
    })
    .await;
    let server = Server::plain(|_| text("")).await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "s/1").unwrap();
    let keys = format!(
        r#"{{"oauth2": {{"client_id": "me", "client_secret_file": "secret", "token_url": "{}",
             "scopes": ["a", "b"], "endpoint_params": {{"audience": "x"}}}}}}"#,
        tokens.url("http")
    );
    let asking = client(configured(&keys, dir.path()).unwrap());
    for _ in 0..3 {
        get(&asking, &server.url("http")).await.unwrap();
        assert_eq!(server.last().header("authorization"), "Bearer t0");
    }
    let seen = tokens.last();
    assert_eq!(seen.body, "grant_type=client_credentials&scope=a+b&audience=x");
    assert_eq!(seen.header("authorization"), "Basic bWU6cyUyRjE=");
    std::fs::write(dir.path().join("secret"), "s/2").unwrap();
    get(&asking, &server.url("http")).await.unwrap();
    assert_eq!(server.last().header("authorization"), "Bearer t1", "a new secret, a new token");
}

#[test]
fn keys_that_do_not_go_together() {
    for (json, want) in [
        (r#"{"bearer_token": "a", "bearer_token_file": "b"}"#, "at most one of bearer_token"),
        (r#"{"bearer_token": "a", "basic_auth": {}}"#, "at most one of basic_auth, oauth2, bearer_token"),
        (r#"{"authorization": {}, "basic_auth": {}}"#, "at most one of basic_auth, oauth2 & authorization"),
        (r#"{"authorization": {"type": "Basic"}}"#, "use \"basic_auth\" instead"),
        (r#"{"basic_auth": {"password": "a", "password_file": "b"}}"#, "password & password_file"),
        (r#"{"oauth2": {"token_url": "x"}}"#, "oauth2 client_id cannot be empty"),
        (r#"{"tls_config": {"cert_file": "a"}}"#, "exactly one of key or key_file"),
        (r#"{"tls_config": {"key": "a"}}"#, "exactly one of cert or cert_file"),
        (r#"{"tls_config": {"ca": "a", "ca_file": "b"}}"#, "at most one of ca and ca_file"),
        (r#"{"tls_config": {"min_version": "TLS14"}}"#, "unknown TLS version: TLS14"),
        (r#"{"tls_config": {"max_version": "TLS11"}}"#, "TLS11 is not supported"),
        (r#"{"tls_config": {"min_version": "TLS13", "max_version": "TLS12"}}"#, "must be greater than"),
        (r#"{"no_proxy": "a"}"#, "proxy_url must also be configured"),
        (r#"{"proxy_url": "http://a", "proxy_from_environment": true}"#, "proxy_url must not be configured"),
        (r#"{"proxy_url": "gopher://a"}"#, "proxy_url: unknown scheme \"gopher\""),
        (r#"{"http_headers": {"Host": {"values": ["a"]}}}"#, "setting header \"Host\" is not allowed"),
        (r#"{"http_headers": {"X": {"values": ["a\nb"]}}}"#, "none that a header may have"),
    ] {
        let error = configured(json, Path::new("")).unwrap_err();
        assert!(error.contains(want), "{json}: {error}");
    }
}

#[test]
fn secrets_are_not_shown() {
    cairn_http::with_client_keys! {
        /// A job.
        #[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, serde::Serialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Job {}
    }
    let json = r#"{"basic_auth": {"username": "u", "password": "hunter2"}, "bearer_token": "hunter2",
        "tls_config": {"key": "hunter2"}, "proxy_url": "http://u:hunter2@p", "oauth2": {"client_secret": "hunter2"},
        "proxy_connect_header": {"A": ["hunter2"]}, "http_headers": {"B": {"secrets": ["hunter2"]}}}"#;
    let job: Job = serde_json::from_str(json).unwrap();
    let shown = serde_json::to_string(&job).unwrap();
    assert!(!shown.contains("hunter2") && shown.contains("<secret>"), "{shown}");
    assert!(shown.contains("http://u:xxxxx@p"), "{shown}");
    assert!(!format!("{job:?}").contains("hunter2"));
    let config =
        ClientKeys { basic_auth: job.basic_auth, ..ClientKeys::default() }.resolve(Path::new("")).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}
