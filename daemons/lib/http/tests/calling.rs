//! The client against a real listener: deadlines, caps, redirects, compression, errors that name the URL.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

use std::time::Duration;

use axum::Router;
use axum::response::Redirect;
use axum::routing::get;
use bytes::Bytes;
use cairn_http::client::{CallOptions, Client, ClientError};
use cairn_http::{Listener, ServeOptions, serve};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use http::{HeaderMap, Request};
use tokio_util::sync::{CancellationToken, DropGuard};

async fn start(router: Router) -> (String, DropGuard) {
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr());
    let stop = CancellationToken::new();
    tokio::spawn(serve(listener, router, ServeOptions::default(), stop.clone()));
    (url, stop.drop_guard())
}

fn request(url: &str) -> Request<Bytes> {
    Request::get(url).body(Bytes::new()).unwrap()
}

fn options() -> CallOptions {
    CallOptions { timeout: Duration::from_secs(20), max_body: 1 << 20, max_redirects: 2 }
}

#[tokio::test]
async fn answers_come_back_decoded_and_capped() {
    let router = Router::new().route("/big", get(|| async { "a line\n".repeat(10_000) })).route(
        "/agent",
        get(|headers: HeaderMap| async move { headers["user-agent"].to_str().unwrap().to_owned() }),
    );
    let (url, _guard) = start(router).await;
    let client = Client::new("cairn-test/1");
    let big = client.send_with(request(&format!("{url}/big")), &options()).await.unwrap();
    assert_eq!(big.body().len(), 70_000);
    assert!(!big.headers().contains_key(CONTENT_ENCODING));
    let agent = client.send(request(&format!("{url}/agent")), Duration::from_secs(20), 100).await.unwrap();
    assert_eq!(agent.body(), "cairn-test/1");
    // 70,000 bytes are a few hundred when compressed: the cap counts what comes out as well.
    let error =
        client.send(request(&format!("{url}/big")), Duration::from_secs(20), 60_000).await.unwrap_err();
    assert_eq!(error.to_string(), format!("{url}/big: the answer (200 OK) is larger than 60000 bytes"));
    let mut own = request(&format!("{url}/big"));
    own.headers_mut().insert(ACCEPT_ENCODING, "gzip".parse().unwrap());
    let packed = client.send_with(own, &options()).await.unwrap();
    assert_eq!(packed.headers()[CONTENT_ENCODING], "gzip", "who asks for it gets it as it is");
}

#[tokio::test]
async fn redirects_are_followed_so_far() {
    let router = Router::new()
        .route("/a/b", get(|| async { Redirect::permanent("../end") }))
        .route("/once", get(|| async { Redirect::temporary("/end") }))
        .route("/loop", get(|| async { Redirect::temporary("/loop") }))
        .route("/end", get(|| async { "end" }));
    let (url, _guard) = start(router).await;
    let client = Client::new("cairn-test/1");
    let end = client.send_with(request(&format!("{url}/once")), &options()).await.unwrap();
    assert_eq!(end.body(), "end");
    let error = client.send_with(request(&format!("{url}/loop")), &options()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("{url}/loop: more than 2 redirects"));
    let not_followed =
        client.send(request(&format!("{url}/once")), Duration::from_secs(20), 100).await.unwrap();
    assert_eq!(not_followed.status(), 307);
}

#[tokio::test]
async fn errors_name_the_url_and_the_cause() {
    let router = Router::new().route("/hang", get(|| async { std::future::pending::<()>().await }));
    let (url, _guard) = start(router).await;
    let client = Client::new("cairn-test/1");
    let hang =
        client.send(request(&format!("{url}/hang")), Duration::from_millis(50), 100).await.unwrap_err();
    assert_eq!(hang.to_string(), format!("{url}/hang: no answer within 50ms"));

    let free = Listener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}/", free.local_addr());
    drop(free);
    let refused = client.send_with(request(&nobody), &options()).await.unwrap_err();
    assert!(matches!(&refused, ClientError::Transport { is_connect: true, .. }), "{refused:?}");
    assert_eq!(refused.to_string(), format!("{nobody}: cannot connect"));

    let ftp = client.send_with(request("ftp://localhost/"), &options()).await.unwrap_err();
    assert_eq!(ftp.to_string(), "ftp://localhost/: expected a URL that starts with http:// or https://");
}
