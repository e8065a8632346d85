//! The built binary on loopback: endpoints, metrics, log file, signals, exit codes.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

mod support;

use std::time::Duration;

use http::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use nix::sys::signal::Signal;
use support::{App, PATIENCE, eventually};

#[tokio::test]
async fn every_endpoint_answers_as_the_sample_does() {
    let app = App::start(&[]).await;
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();

    let (status, body) = app.get("/").await;
    assert_eq!(status, 200);
    let endpoints = json(&body)["endpoints"].clone();
    assert_eq!(endpoints, json(r#"["/","/health","/get","/post","/api/data","/error","/slow","/metrics"]"#));
    assert_eq!(app.get("/health").await, (200, "{\"status\":\"healthy\"}\n".into()));
    let (status, body) = app.get("/get?a=1&b=x%20y&a=2").await;
    assert_eq!((status, json(&body)["args"].clone()), (200, json(r#"{"a":"2","b":"x y"}"#)));
    let (status, body) = app.get("/api/data").await;
    assert_eq!((status, json(&body)["count"].as_u64()), (200, Some(5)));
    let (status, body) = app.get("/error").await;
    assert_eq!((status, json(&body)["error"].as_str()), (500, Some("Internal Server Error")));
    assert_eq!(app.get("/slow?ms=1").await.0, 200);
    assert_eq!(app.get("/slow?ms=soon").await.0, 400);
    assert_eq!(app.get("/nowhere").await.0, 404);
    assert_eq!(app.get("/-/healthy").await, (200, "healthy\n".into()));
    assert_eq!(app.get("/-/ready").await, (200, "ready\n".into()));

    let posted = app.post("/post", "application/json", "{\"a\":[1,2]}").await;
    assert_eq!((posted.0, json(&posted.1)["received"].clone()), (200, json(r#"{"a":[1,2]}"#)));
    let form = app.post("/post", "application/x-www-form-urlencoded", "a=1&b=2").await;
    assert_eq!(json(&form.1)["received"], json(r#"{"a":"1","b":"2"}"#));
    assert_eq!(json(&app.post("/post", "text/plain", "hello").await.1)["received"], "hello");
    let broken = app.post("/post", "application/json", "{").await;
    assert_eq!(broken.0, 400);
    assert!(broken.1.contains("the body is not JSON: EOF"), "{}", broken.1);
    let large = app.post("/post", "text/plain", &"x".repeat(2 << 20)).await;
    assert_eq!(large.0, 413);

    let wrong = app.request(http::Method::GET, "/post", &[], "").await;
    assert_eq!((wrong.status().as_u16(), wrong.headers()[ALLOW].to_str().unwrap()), (405, "POST, OPTIONS"));
    let options = app.request(http::Method::OPTIONS, "/", &[], "").await;
    assert_eq!(
        (options.status().as_u16(), options.headers()[ALLOW].to_str().unwrap()),
        (200, "GET, HEAD, OPTIONS")
    );
    assert_eq!(app.request(http::Method::HEAD, "/health", &[], "").await.body(), "");
    app.stop(Signal::SIGTERM).await;
}

#[tokio::test]
async fn metrics_carry_the_names_that_users_ask_for() {
    let app = App::start(&[]).await;
    app.get("/api/data").await;
    app.get("/error").await;
    app.get("/no/such/path").await;
    let wanted = [
        "flask_app_request_count{method=\"GET\",endpoint=\"/api/data\",status=\"200\"} 1\n",
        "flask_app_request_count{method=\"GET\",endpoint=\"/error\",status=\"500\"} 1\n",
        "flask_app_request_count{method=\"GET\",endpoint=\"unmatched\",status=\"404\"} 1\n",
        "flask_app_request_duration_seconds_bucket{method=\"GET\",endpoint=\"/api/data\",le=\"+Inf\"} 1\n",
        "flask_app_error_count{endpoint=\"/error\"} 1\n",
        "flask_app_active_requests 1\n",
    ];
    // A request is counted once its answer has left, which may be a moment after it arrived here.
    let text = eventually(async || {
        let (_, text) = app.get("/metrics").await;
        wanted.iter().all(|line| text.contains(line)).then_some(text)
    })
    .await;
    for line in [
        "# TYPE flask_app_request_count counter\n",
        "# TYPE flask_app_error_count counter\n",
        "flask_app_info{version=\"0.1.0\",environment=\"development\"} 1\n",
        "# TYPE cairn_app_log_lines_total counter\n",
        "# TYPE process_resident_memory_bytes gauge\n",
    ] {
        assert!(text.contains(line), "no {line:?} in\n{text}");
    }
    assert!(!text.contains("flask_app_request_count_total") && !text.contains("# EOF"));

    let open =
        app.request(http::Method::GET, "/metrics", &[(ACCEPT, "application/openmetrics-text")], "").await;
    let content_type = open.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
    assert_eq!(content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let open = String::from_utf8(open.into_body().to_vec()).unwrap();
    assert!(open.contains("# TYPE flask_app_request_count unknown\n") && open.ends_with("# EOF\n"), "{open}");
    assert_eq!(open.matches("# EOF").count(), 1);
    app.stop(Signal::SIGTERM).await;
}

#[tokio::test]
async fn the_log_file_has_a_line_for_each_request_and_for_start_and_stop() {
    let app = App::start(&[]).await;
    app.get("/api/data?token=private").await;
    app.get("/error").await;
    app.get("/nowhere").await;
    let text = app.stop(Signal::SIGINT).await.log;
    let mut messages = Vec::new();
    for line in text.lines() {
        let (time, rest) = line.split_at(19);
        let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00 00:00:00", "{line}");
        messages.push(rest.strip_prefix(" - flask-app - ").unwrap().to_owned());
    }
    assert!(messages[0].starts_with("INFO - Application started on 127.0.0.1:"), "{text}");
    assert_eq!(
        messages[1..],
        [
            "INFO - GET /api/data 200",
            "ERROR - Exception on /error [GET]: simulated error",
            "ERROR - GET /error 500",
            "WARNING - GET /nowhere 404",
            "INFO - Application stopping",
        ]
    );
}

#[tokio::test]
async fn logrotate_finds_a_fresh_file_after_a_rename_and_after_a_hangup() {
    let app = App::start(&[]).await;
    let path = app.log_path();
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default();
    let first = path.with_extension("log.1");
    eventually(async || read(&path).contains("Application started").then_some(())).await;
    std::fs::rename(&path, &first).unwrap();
    app.get("/health").await;
    eventually(async || read(&path).contains("GET /health 200").then_some(())).await;
    assert!(read(&first).contains("Application started"));

    std::fs::rename(&path, path.with_extension("log.2")).unwrap();
    app.signal(Signal::SIGHUP);
    eventually(async || path.exists().then_some(())).await;
    app.get("/get").await;
    eventually(async || read(&path).contains("GET /get 200").then_some(())).await;
    app.stop(Signal::SIGTERM).await;
}

#[tokio::test]
async fn a_log_file_that_cannot_be_written_fails_no_request() {
    let app = App::start(&["log_file = \"/dev/full\""]).await;
    assert_eq!(app.get("/health").await.0, 200);
    eventually(async || {
        let (status, text) = app.get("/metrics").await;
        assert_eq!(status, 200);
        let line = text.lines().find(|line| line.starts_with("cairn_app_log_write_errors_total "))?;
        (line != "cairn_app_log_write_errors_total 0").then_some(())
    })
    .await;
    let stderr = app.stop(Signal::SIGTERM).await.stderr;
    assert!(stderr.contains("level=error") && stderr.contains("path=/dev/full"), "{stderr}");
}

#[tokio::test]
async fn self_traffic_is_sent_and_its_rate_follows_a_reload() {
    let app = App::start(&["self_traffic_per_second = 200"]).await;
    let n_lines = || {
        let text = std::fs::read_to_string(app.log_path()).unwrap_or_default();
        ["GET /api/data 200", "POST /post 200", "ERROR - GET /error 500", "GET /slow 200"]
            .iter()
            .all(|part| text.contains(part))
            .then_some(())
    };
    eventually(async || n_lines()).await;
    app.write_config(&["self_traffic_per_second = 0"]);
    assert_eq!(app.post("/-/reload", "text/plain", "").await.0, 200);
    let sent = async || {
        let (_, text) = app.get("/metrics").await;
        let line = text
            .lines()
            .find(|line| line.starts_with("cairn_app_self_traffic_requests_total"))
            .map(str::to_owned);
        line.unwrap()
    };
    // Two equal readings, one poll apart, once the requests under way are back.
    let mut last = sent().await;
    eventually(async || {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = sent().await;
        (std::mem::replace(&mut last, now.clone()) == now).then_some(())
    })
    .await;
    app.write_config(&["self_traffic_per_secon = 1"]);
    app.signal(Signal::SIGHUP);
    eventually(async || {
        let (_, text) = app.get("/metrics").await;
        text.contains("cairn_app_config_last_reload_successful 0\n").then_some(())
    })
    .await;
    let stderr = app.stop(Signal::SIGTERM).await.stderr;
    assert!(stderr.contains("configuration refused, keeping the old one"), "{stderr}");
}

#[tokio::test]
async fn a_request_in_flight_is_answered_after_the_stop_signal() {
    let app = App::start(&[]).await;
    let slow = app.spawn_get("/slow?ms=700");
    eventually(async || {
        let (_, text) = app.get("/metrics").await;
        text.contains("flask_app_active_requests 2\n").then_some(())
    })
    .await;
    app.stop(Signal::SIGTERM).await;
    let (status, body) = tokio::time::timeout(PATIENCE, slow).await.unwrap().unwrap();
    assert_eq!((status, body.as_str()), (200, "{\"message\":\"slow answer\",\"ms\":700}\n"));
}

#[tokio::test]
async fn what_cannot_be_started_says_why_and_exits_with_1() {
    let app = App::start(&[]).await;
    let taken = app.addr().to_string();
    let (code, stderr) = support::run_to_end(&["--listen", &taken]);
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains(&format!("cairn-app: start HTTP: listen on {taken}: the port is in use")),
        "{stderr}"
    );
    let (code, stderr) = support::run_to_end(&["--listen", "127.0.0.1:0", "--data-dir", "/proc/nowhere"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("cairn-app: start the log: open log file /proc/nowhere/app.log: "), "{stderr}");
    app.stop(Signal::SIGTERM).await;
}

#[tokio::test]
async fn a_second_stop_signal_ends_a_stop_that_takes_too_long() {
    let app = App::start(&[]).await;
    let hanging = app.spawn_get("/slow?ms=30000");
    eventually(async || {
        let (_, text) = app.get("/metrics").await;
        text.contains("flask_app_active_requests 2\n").then_some(())
    })
    .await;
    app.signal(Signal::SIGTERM);
    let log_path = app.log_path();
    eventually(async || {
        std::fs::read_to_string(&log_path).unwrap().contains("Application stopping").then_some(())
    })
    .await;
    app.signal(Signal::SIGTERM);
    let ended = app.ended(1).await;
    assert!(ended.stderr.contains("second stop signal, leaving at once"), "{}", ended.stderr);
    assert!(hanging.await.is_err(), "its connection broke");
}

#[tokio::test]
async fn systemd_hears_of_start_reload_stop_and_of_a_live_main_loop() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
    let wait_for = async |wanted: &str| {
        let mut buffer = [0; 4096];
        loop {
            let n_read =
                tokio::time::timeout(PATIENCE, socket.recv(&mut buffer)).await.expect(wanted).unwrap();
            let message = String::from_utf8(buffer[..n_read].to_vec()).unwrap();
            if message.lines().any(|line| line == wanted) {
                return message;
            }
        }
    };
    let env = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "200000")];
    let app = App::start_with_env(&[], &env).await;
    let ready = wait_for("READY=1").await;
    assert!(ready.contains(&format!("STATUS=serving on {}\n", app.addr())), "{ready}");
    wait_for("WATCHDOG=1").await;
    wait_for("WATCHDOG=1").await;
    app.signal(Signal::SIGHUP);
    let reloading = wait_for("RELOADING=1").await;
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    wait_for("READY=1").await;
    app.signal(Signal::SIGTERM);
    wait_for("STOPPING=1").await;
    app.ended(0).await;
}
