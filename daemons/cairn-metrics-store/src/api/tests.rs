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

fn starting() -> App {
    let settings = Settings {
        source: Source::BuiltIn,
        self_address: "127.0.0.1:9090".to_owned(),
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
