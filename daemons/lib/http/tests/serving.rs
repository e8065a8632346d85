//! A real listener on loopback: limits, drain, refusals, compression, observation.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use cairn_http::health::{self, HealthTexts};
use cairn_http::router::with_refusals;
use cairn_http::{
    Body, Handler, Health, Limits, Listener, Observation, Observer, PlainText, ServeOptions, ServeReport,
    serve, serve_handler,
};
use http::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Every wait in these tests ends here; none of them is expected to.
const PATIENCE: Duration = Duration::from_secs(20);

struct Server {
    addr: String,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<ServeReport>,
}

impl Server {
    async fn start(router: Router, options: ServeOptions) -> Self {
        let listener = Listener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().to_string();
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(listener, router, options, stop.clone()));
        Self { addr, stop, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.addr).await.unwrap()
    }

    /// Sends raw bytes on a connection of their own and reads until the server closes it.
    async fn raw(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        read_all(stream).await
    }

    async fn stop(self) -> ServeReport {
        self.stop.cancel();
        within(self.task).await.unwrap()
    }
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("done in time")
}

async fn read_all(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset after the answer is as good as an end.
    let _ = within(stream.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

fn limits(limits: Limits) -> ServeOptions {
    ServeOptions { limits, ..ServeOptions::default() }
}

const CLOSE: &str = "host: x\r\nconnection: close\r\n";

#[tokio::test]
async fn answers_in_flight_arrive_whole_after_the_stop_signal() {
    let started = Arc::new(Semaphore::new(0));
    let go_on = Arc::new(Semaphore::new(0));
    let body = "x".repeat(3 << 20);
    let router = {
        let (started, go_on, body) = (Arc::clone(&started), Arc::clone(&go_on), body.clone());
        Router::new().route(
            "/big",
            get(move || async move {
                started.add_permits(1);
                go_on.acquire().await.unwrap().forget();
                body
            }),
        )
    };
    let server = Server::start(router, ServeOptions::default()).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /big HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    within(started.acquire()).await.unwrap().forget();
    server.stop.cancel();
    let addr = server.addr.clone();
    // The port is given up at once, the request is not.
    within(async { while TcpStream::connect(&addr).await.is_ok() {} }).await;
    go_on.add_permits(1);
    let answer = read_all(stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(answer.ends_with(&body), "{} bytes", answer.len());
    assert_eq!(within(server.task).await.unwrap(), ServeReport { cut: 0 });
}

#[tokio::test]
async fn requests_that_never_end_are_cut_after_the_drain_limit() {
    let started = Arc::new(Semaphore::new(0));
    let handler_started = Arc::clone(&started);
    let router = Router::new().route(
        "/hang",
        get(move || async move {
            handler_started.add_permits(1);
            std::future::pending::<()>().await;
        }),
    );
    let options = limits(Limits { drain: Duration::from_millis(50), ..Limits::default() });
    let server = Server::start(router, options).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /hang HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    within(started.acquire()).await.unwrap().forget();
    assert_eq!(server.stop().await, ServeReport { cut: 1 });
}

#[tokio::test]
async fn bodies_above_the_limit_are_refused_announced_or_not() {
    let router =
        Router::new().route("/push", post(|body: Bytes| async move { body.len().to_string() })).route(
            "/read",
            post(|body: Body| async move {
                match cairn_http::body::read(body).await {
                    Ok(bytes) => bytes.len().to_string(),
                    Err(error) => error.to_string(),
                }
            }),
        );
    let server = Server::start(router, limits(Limits { body_bytes: 10, ..Limits::default() })).await;
    let fits =
        server.raw(&format!("POST /push HTTP/1.1\r\n{CLOSE}content-length: 10\r\n\r\n0123456789")).await;
    assert!(fits.starts_with("HTTP/1.1 200") && fits.ends_with("\r\n\r\n10"), "{fits}");
    let announced =
        server.raw(&format!("POST /push HTTP/1.1\r\n{CLOSE}content-length: 11\r\n\r\n01234567890")).await;
    assert!(announced.starts_with("HTTP/1.1 413"), "{announced}");
    assert!(announced.ends_with("request body too large: at most 10 bytes\n"), "{announced}");
    let chunked = "transfer-encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n";
    let large = "x".repeat(1 << 20);
    let large = server
        .raw(&format!("POST /push HTTP/1.1\r\n{CLOSE}content-length: {}\r\n\r\n{large}", 1 << 20))
        .await;
    assert!(
        large.starts_with("HTTP/1.1 413"),
        "a client that sends everything first still sees the answer: {large}"
    );
    let extracted = server.raw(&format!("POST /push HTTP/1.1\r\n{CLOSE}{chunked}")).await;
    assert!(extracted.starts_with("HTTP/1.1 413"), "{extracted}");
    let read = server.raw(&format!("POST /read HTTP/1.1\r\n{CLOSE}{chunked}")).await;
    assert!(read.ends_with("request body too large"), "{read}");
    server.stop().await;
}

#[tokio::test]
async fn bodies_above_axums_own_default_are_taken() {
    let router = Router::new().route("/push", post(|body: Bytes| async move { body.len().to_string() }));
    let server = Server::start(router, ServeOptions::default()).await;
    let body = "x".repeat(3 << 20);
    let answer = server
        .raw(&format!("POST /push HTTP/1.1\r\n{CLOSE}content-length: {}\r\n\r\n{body}", body.len()))
        .await;
    assert!(answer.ends_with("\r\n\r\n3145728"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn headers_above_the_limit_are_refused() {
    let router = Router::new().route("/", get(|| async { "ok" }));
    let options = limits(Limits { header_bytes: 16 << 10, headers: 20, ..Limits::default() });
    let server = Server::start(router, options).await;
    let long = server.raw(&format!("GET / HTTP/1.1\r\n{CLOSE}x: {}\r\n\r\n", "y".repeat(20 << 10))).await;
    assert!(long.starts_with("HTTP/1.1 431"), "{long}");
    let many = server.raw(&format!("GET / HTTP/1.1\r\n{CLOSE}{}\r\n", "x: y\r\n".repeat(30))).await;
    assert!(many.starts_with("HTTP/1.1 431"), "{many}");
    let fine = server.raw(&format!("GET / HTTP/1.1\r\n{CLOSE}x: {}\r\n\r\n", "y".repeat(10 << 10))).await;
    assert!(fine.starts_with("HTTP/1.1 200"), "{fine}");
    server.stop().await;
}

#[tokio::test]
async fn headers_that_do_not_come_close_the_connection() {
    let options = limits(Limits { header_time: Duration::from_millis(50), ..Limits::default() });
    let server = Server::start(Router::new(), options).await;
    let answer = server.raw("GET / HTTP/1.1\r\nhost:").await;
    assert_eq!(answer, "");
    server.stop().await;
}

#[tokio::test]
async fn too_slow_too_many_and_panics_get_their_answers_and_the_server_stays_up() {
    let started = Arc::new(Semaphore::new(0));
    let go_on = Arc::new(Semaphore::new(0));
    let (handler_started, handler_go_on) = (Arc::clone(&started), Arc::clone(&go_on));
    let router = Router::new()
        .route("/hang", get(|| async { std::future::pending::<()>().await }))
        .route(
            "/panic",
            get(|| async {
                if true {
                    panic!("a bug")
                }
            }),
        )
        .route(
            "/wait",
            get(move || async move {
                handler_started.add_permits(1);
                handler_go_on.acquire().await.unwrap().forget();
                "waited"
            }),
        )
        .route("/fast", get(|| async { "fast" }))
        .route("/metrics", get(|| async { "metrics" }));
    let options = limits(Limits {
        request_time: Duration::from_millis(200),
        timeout_status: http::StatusCode::GATEWAY_TIMEOUT,
        concurrent_requests: 1,
        ..Limits::default()
    });
    let server = Server::start(router, options).await;
    let get = async |path: &str| server.raw(&format!("GET {path} HTTP/1.1\r\n{CLOSE}\r\n")).await;
    let slow = get("/hang").await;
    assert!(slow.starts_with("HTTP/1.1 504"), "{slow}");
    let panicked = get("/panic").await;
    assert!(
        panicked.starts_with("HTTP/1.1 500") && panicked.ends_with("internal server error\n"),
        "{panicked}"
    );

    let mut waiting = server.connect().await;
    waiting.write_all(format!("GET /wait HTTP/1.1\r\n{CLOSE}\r\n").as_bytes()).await.unwrap();
    within(started.acquire()).await.unwrap().forget();
    let busy = get("/fast").await;
    assert!(busy.starts_with("HTTP/1.1 503") && busy.contains("retry-after: 1\r\n"), "{busy}");
    assert!(get("/metrics").await.ends_with("metrics"), "metrics are always let in");
    go_on.add_permits(1);
    assert!(read_all(waiting).await.ends_with("waited"));
    within(async { while !get("/fast").await.ends_with("fast") {} }).await;
    server.stop().await;
}

#[tokio::test]
async fn connections_above_the_limit_are_told_so() {
    let server = Server::start(Router::new(), limits(Limits { connections: 1, ..Limits::default() })).await;
    let mut first = server.connect().await;
    first.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut byte = [0; 1];
    within(first.read_exact(&mut byte)).await.unwrap();
    let second = read_all(server.connect().await).await;
    assert!(
        second.starts_with("HTTP/1.1 503") && second.ends_with("\r\n\r\ntoo many connections\n"),
        "{second}"
    );
    drop(first);
    within(async {
        while !server.raw(&format!("GET / HTTP/1.1\r\n{CLOSE}\r\n")).await.starts_with("HTTP/1.1 404") {}
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn wrong_paths_and_methods_are_refused_in_the_daemons_words() {
    let router = with_refusals(Router::new().route("/push", post(|| async {})), Arc::new(PlainText));
    let server = Server::start(router, ServeOptions::default()).await;
    let missing = server.raw(&format!("GET /nothing HTTP/1.1\r\n{CLOSE}\r\n")).await;
    assert!(missing.starts_with("HTTP/1.1 404") && missing.ends_with("404 page not found\n"), "{missing}");
    let wrong = server.raw(&format!("GET /push HTTP/1.1\r\n{CLOSE}\r\n")).await;
    assert!(wrong.starts_with("HTTP/1.1 405") && wrong.ends_with("method not allowed\n"), "{wrong}");
    assert!(wrong.contains("allow: POST\r\n"), "{wrong}");
    server.stop().await;
}

#[tokio::test]
async fn health_follows_the_daemon() {
    let health = Health::starting("replaying");
    let texts = HealthTexts { ready_paths: &["/ready"], ..HealthTexts::default() };
    let server = Server::start(health::router(health.clone(), texts), ServeOptions::default()).await;
    let get = async |path: &str| server.raw(&format!("GET {path} HTTP/1.1\r\n{CLOSE}\r\n")).await;
    assert!(get("/-/healthy").await.starts_with("HTTP/1.1 200"));
    let starting = get("/ready").await;
    assert!(
        starting.starts_with("HTTP/1.1 503") && starting.ends_with("not ready: replaying\n"),
        "{starting}"
    );
    health.set_ready();
    assert!(get("/-/ready").await.ends_with("\r\n\r\nready\n"));
    health.set_not_ready("stopping");
    assert!(get("/-/ready").await.starts_with("HTTP/1.1 503"));
    server.stop().await;
}

#[tokio::test]
async fn large_answers_are_compressed_for_those_who_take_it() {
    let router = Router::new().route("/", get(|| async { "a line\n".repeat(10_000) }));
    let server = Server::start(router, ServeOptions::default()).await;
    let plain = server.raw(&format!("GET / HTTP/1.1\r\n{CLOSE}\r\n")).await;
    assert!(plain.len() > 70_000 && plain.contains("vary: Accept-Encoding\r\n"));
    for (accepted, coding) in [("gzip", "gzip"), ("gzip, zstd", "zstd"), ("zstd;q=0.5, deflate", "deflate")] {
        let request = format!("GET / HTTP/1.1\r\n{CLOSE}accept-encoding: {accepted}\r\n\r\n");
        let packed = server.raw(&request).await;
        let header = format!("content-encoding: {coding}\r\n");
        assert!(packed.len() < 5_000 && packed.contains(&header), "{accepted}: {} bytes", packed.len());
    }
    server.stop().await;
}

#[derive(Default)]
struct Recorder(Mutex<Vec<(String, u16, u64)>>);

impl Observer for Recorder {
    fn finished(&self, observation: &Observation<'_>) {
        self.0.lock().unwrap().push((
            format!("{} {}", observation.method, observation.route),
            observation.status.as_u16(),
            observation.response_bytes,
        ));
    }
}

#[tokio::test]
async fn observers_see_route_templates_statuses_and_bytes() {
    let recorder = Arc::new(Recorder::default());
    let started = Arc::new(Semaphore::new(0));
    let handler_started = Arc::clone(&started);
    let router = Router::new()
        .route("/label/{name}/values", get(|| async { "12345" }))
        .route("/hang", get(|| async { std::future::pending::<()>().await }))
        .route(
            "/gone",
            get(move || async move {
                handler_started.add_permits(1);
                std::future::pending::<()>().await;
            }),
        );
    let options = ServeOptions {
        limits: Limits { request_time: Duration::from_secs(2), ..Limits::default() },
        observer: Some(Arc::clone(&recorder) as Arc<dyn Observer>),
        ..ServeOptions::default()
    };
    let server = Server::start(router, options).await;
    for path in ["/label/job/values", "/hang", "/nowhere"] {
        server.raw(&format!("GET {path} HTTP/1.1\r\n{CLOSE}\r\n")).await;
    }
    // A client that goes away is reported too.
    let mut gone = server.connect().await;
    gone.write_all(b"GET /gone HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    within(started.acquire()).await.unwrap().forget();
    drop(gone);
    within(async {
        while recorder.0.lock().unwrap().len() < 4 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.stop().await;
    let seen = recorder.0.lock().unwrap().clone();
    assert_eq!(seen[0], ("GET /label/{name}/values".into(), 200, 5));
    assert_eq!((seen[1].0.as_str(), seen[1].1), ("GET /hang", 503));
    assert_eq!((seen[2].0.as_str(), seen[2].1), ("GET unmatched", 404));
    assert_eq!((seen[3].0.as_str(), seen[3].1), ("GET /gone", 499));
}

#[derive(Clone)]
struct Echo;

impl Handler for Echo {
    async fn handle(&self, request: Request<Body>) -> Response<Body> {
        Response::new(request.into_body())
    }
}

#[tokio::test]
async fn plain_handlers_are_served_too() {
    let listener = Listener::bind("localhost:0").await.unwrap();
    let addr = listener.local_addr();
    let stop = CancellationToken::new();
    let task = tokio::spawn(serve_handler(listener, Echo, ServeOptions::default(), stop.clone()));
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!("POST / HTTP/1.1\r\n{CLOSE}content-length: 5\r\n\r\nhello");
    stream.write_all(request.as_bytes()).await.unwrap();
    assert!(read_all(stream).await.ends_with("hello"));
    stop.cancel();
    within(task).await.unwrap();
}
