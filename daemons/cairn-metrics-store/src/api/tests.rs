//! What is answered before the database is open; everything else is tested from outside, in `tests/`.

use std::collections::BTreeMap;
use std::path::Path;

use http_body_util::BodyExt;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::*;
use crate::app::Settings;
use crate::config::Source;
use crate::config::file::ConfigFile;
use crate::config::resolve::{Config, Origin};
use crate::metrics::Metrics;
use crate::web_address::WebAddress;

fn starting() -> App {
    starting_at(None)
}

fn starting_at(route_prefix: Option<&str>) -> App {
    let settings = Settings {
        source: Source::BuiltIn,
        own_page: "127.0.0.1:9090".to_owned(),
        web: WebAddress::new(None, route_prefix, "127.0.0.1:9090".parse().unwrap()).unwrap(),
        has_lifecycle: false,
        has_remote_write: false,
        has_otlp: false,
        has_admin_api: false,
        cors_origin: regex::Regex::new("^https://a$").unwrap(),
        flags: BTreeMap::new(),
        retention: "15d".to_owned(),
    };
    let config = Config::resolve(ConfigFile::default(), Origin::Cairn, Path::new("/")).unwrap();
    App::new(settings, config, Metrics::new(), CancellationToken::new())
}

async fn ask(app: &App, path: &str, origin: &str) -> (u16, http::HeaderMap, String) {
    let request =
        Request::builder().uri(path).header(ORIGIN, origin).body(cairn_http::Body::empty()).unwrap();
    let Ok(response) = router(app.clone()).oneshot(request).await;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn while_the_log_is_replayed() {
    let app = starting();
    for path in ["/api/v1/query?query=1", "/api/v1/labels", "/api/v1/status/buildinfo", "/api/v1/rules"] {
        let (status, headers, body) = ask(&app, path, "").await;
        assert_eq!((status, body.as_str()), (503, "Service Unavailable"), "{path}");
        assert_eq!(headers["x-prometheus-stopping"], "false");
    }
    app.set_replay(1, 5, 3);
    let (status, _, body) = ask(&app, "/api/v1/status/walreplay", "").await;
    let replay: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200);
    assert_eq!(replay["data"], serde_json::json!({"min": 1, "max": 5, "current": 3}));
    assert_eq!(ask(&app, "/-/ready", "").await.0, 503);
    assert_eq!(ask(&app, "/-/healthy", "").await.0, 200);
    let (status, _, metrics) = ask(&app, "/metrics", "").await;
    assert_eq!(status, 200);
    assert!(metrics.contains("prometheus_ready 0"), "{metrics}");
    app.stop.cancel();
    assert_eq!(ask(&app, "/api/v1/query?query=1", "").await.1["x-prometheus-stopping"], "true");
}

#[tokio::test]
async fn only_listed_origins_may_read_answers() {
    let app = starting();
    let (_, headers, _) = ask(&app, "/api/v1/status/walreplay", "https://a").await;
    assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "https://a");
    let (_, headers, _) = ask(&app, "/api/v1/status/walreplay", "https://b").await;
    assert!(headers.get(ACCESS_CONTROL_ALLOW_ORIGIN).is_none());
    assert_eq!(headers[VARY], "Origin");
}

#[tokio::test]
async fn everything_is_below_the_prefix() {
    let app = starting_at(Some("/a/b"));
    for (path, status, place) in [
        ("/", 302, "/a/b/"),
        ("/a/b/", 200, ""),
        ("/a/b", 200, ""),
        ("/a/b/targets", 503, ""),
        ("/a/b/graph?g0.expr=up", 302, "/a/b/query?g0.expr=up"),
        ("/targets", 404, ""),
        ("/a/b/-/healthy", 200, ""),
        ("/a/b/metrics", 200, ""),
        ("/a/b/api/v1/status/walreplay", 200, ""),
        ("/a/b/api/v1/status/walreplay/?x=1", 301, "/a/b/api/v1/status/walreplay?x=1"),
        ("/a/b//metrics", 301, "/a/b/metrics"),
        ("/-/healthy", 404, ""),
        ("/metrics", 404, ""),
        ("/api/v1/status/walreplay", 404, ""),
        ("/a/bmetrics", 404, ""),
    ] {
        let (found, headers, _) = ask(&app, path, "https://a").await;
        assert_eq!(found, status, "{path}");
        assert_eq!(headers.get("location").map_or("", |place| place.to_str().unwrap()), place, "{path}");
        let is_shared = headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN);
        assert_eq!(is_shared, path.starts_with("/a/b/api/"), "{path}");
    }
    let (_, _, page) = ask(&app, "/a/b/", "").await;
    assert!(page.contains("href=\"/a/b/targets\"") && page.contains("being replayed"), "{page}");
}
