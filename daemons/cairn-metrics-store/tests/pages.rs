//! The pages for a browser: each answers, holds what it is about, and takes no markup from anybody.

#![allow(clippy::unwrap_used)]

mod support;

use support::{Answer, Page, Store, Target};

/// In names and values of labels, in the job's name, in an expression.
const HOSTILE: &str = "<img src=x onerror='alert(1)'>\"</td></title><script>";

async fn running(flags: &[&str]) -> (tempfile::TempDir, Target, Store) {
    let dir = tempfile::tempdir().unwrap();
    let value = HOSTILE.replace('"', "\\\"");
    let page = format!("app_size{{path=\"{value}\"}} 1.5\napp_size{{path=\"/x\"}} 2.5\n");
    let target = Target::serve(Page::text(page)).await;
    let yaml = format!(
        "global:\n  scrape_interval: 100ms\n  scrape_timeout: 100ms\nscrape_configs:\n\
         \x20 - job_name: \"<b>app</b>\"\n    static_configs:\n      - targets: ['{}']\n        labels: {{evil: \"{value}\"}}\n\
         \x20 - job_name: gone\n    static_configs: [{{targets: ['127.0.0.1:1']}}]\n    relabel_configs:\n\
         \x20     - {{source_labels: [__address__], regex: nothing, action: drop}}\n",
        target.address
    );
    let store = Store::start_with(dir.path(), &yaml, flags).await;
    store.until_value("sum(app_size)", 4.0).await;
    store.until_value("count(up == 0)", 1.0).await;
    (dir, target, store)
}

/// The page, which must be a page and safe.
async fn page(store: &Store, path: &str) -> Answer {
    let answer = store.get(path).await;
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8", "{path}");
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
    assert!(answer.body.starts_with("<!DOCTYPE html>") && answer.body.ends_with("</html>"), "{path}");
    for forbidden in ["<script", "<img src=x", "<b>app</b>", "style=\"", "http-equiv"] {
        assert!(!answer.body.contains(forbidden), "{path} has {forbidden}: {}", answer.body);
    }
    answer
}

async fn good_page(store: &Store, path: &str, wanted: &[&str]) {
    let answer = page(store, path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    for text in wanted {
        assert!(answer.body.contains(text), "{path} lacks {text}: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_shows_what_it_is_about() {
    let (_dir, target, store) =
        running(&["--web.external-url=https://example.org/x", "--web.route-prefix=/"]).await;
    let address = target.address.to_string();
    let evil = "evil=<q>&lt;img src=x";
    good_page(&store, "/", &["https://example.org/x/api/v1/write", "1 of 2 up", "Series in memory", "15d"])
        .await;
    good_page(&store, "/targets", &["&lt;b&gt;app&lt;/b&gt;", evil, &address, "127.0.0.1:1", "state down"])
        .await;
    good_page(&store, "/service-discovery", &["__metrics_path__", evil, "1 kept, 0 dropped"]).await;
    good_page(&store, "/status", &["Cairn 0.1", "3.14.0", "Remote write"]).await;
    good_page(&store, "/tsdb-status", &["app_size", "Series by metric", "path=&lt;img"]).await;
    good_page(&store, "/flags", &["--web.external-url", "https://example.org/x"]).await;
    good_page(&store, "/config", &["scrape_interval: 100ms", "&lt;b&gt;app&lt;/b&gt;"]).await;
    good_page(&store, "/query", &["name=\"g0.expr\""]).await;
    good_page(&store, "/", &["href=\"/x/targets\"", "href=\"/x/assets/style.css\""]).await;

    let unhealthy = page(&store, "/targets?state=unhealthy").await.body;
    assert!(unhealthy.contains("127.0.0.1:1") && !unhealthy.contains(&address), "{unhealthy}");
    assert!(!unhealthy.contains("&lt;b&gt;app"), "a job without shown targets: {unhealthy}");
    let found = page(&store, &format!("/targets?search={address}")).await.body;
    assert!(found.contains(&address) && !found.contains("127.0.0.1:1/"), "{found}");

    good_page(&store, "/rules", &["No recording or alerting rules", "href=\"/x/status#alertmanagers\""])
        .await;
    good_page(&store, "/alerts", &["No alerts"]).await;
    good_page(&store, "/status", &["id=\"alertmanagers\""]).await;
    good_page(&store, "/tsdb-status", &["Newest sample", " UTC</td>", "<th class=\"n\">Series</th>"]).await;
    for (path, place) in [
        ("/graph?g0.expr=up&g0.tab=1", "/query?g0.expr=up&g0.tab=1"),
        ("/classic/graph?g0.expr=up", "/query?g0.expr=up"),
        ("/classic/targets", "/targets"),
        ("/new/tsdb-status", "/tsdb-status"),
        ("/alertmanager-discovery", "/status#alertmanagers"),
    ] {
        let link = store.get(path).await;
        assert_eq!((link.status, link.header("location")), (302, format!("/x{place}").as_str()), "{path}");
    }
    for (path, text) in [
        ("/consoles/node.html", "no console templates"),
        ("/debug/pprof/heap", "no profiles here"),
        ("/classic/x", "no such page"),
    ] {
        let answer = store.get(path).await;
        assert!(answer.status == 404 && answer.body.contains(text), "{path}: {answer:?}");
    }
    for (path, kind) in [("/assets/style.css", "text/css; charset=utf-8"), ("/favicon.svg", "image/svg+xml")]
    {
        let answer = store.get(path).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, kind));
    }
    assert_eq!(store.post("/targets", "").await.status, 405);
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_was_refused_says_where_and_shows_nothing_of_the_file() {
    let (dir, _target, store) = running(&["--web.enable-lifecycle"]).await;
    let file = dir.path().join("prometheus.yml");
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, "scrape_configs:\n  - job_name: a\n    <script>: 1\n").unwrap();
    assert_eq!(store.post("/-/reload", "").await.status, 500);
    for path in ["/", "/status"] {
        let wanted = ["The last reload was refused", "prometheus.yml:3:5", "&lt;script&gt;"];
        good_page(&store, path, &wanted).await;
    }
    for auth in ["basic_auth: {username: u, pasword: hunter2}", "authorization: hunter2", "passwrd: hunter2"]
    {
        std::fs::write(&file, format!("scrape_configs:\n  - job_name: a\n    {auth}\n")).unwrap();
        assert_eq!(store.post("/-/reload", "").await.status, 500);
        for path in ["/", "/status"] {
            let body = page(&store, path).await.body;
            assert!(
                body.contains("prometheus.yml:3:") && !body.contains("hunter2"),
                "{auth} on {path}: {body}"
            );
        }
    }
    std::fs::write(&file, good).unwrap();
    assert_eq!(store.post("/-/reload", "").await.status, 200);
    for path in ["/", "/status"] {
        assert!(!page(&store, path).await.body.contains("refused"), "{path}");
    }
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_show_tables_graphs_and_errors() {
    let (_dir, _target, store) = running(&[]).await;
    good_page(&store, "/", &[&format!("<code>http://{}/api/v1/write</code>", store.address)]).await;
    let ask = |expr: &str, more: &str| {
        let form = form_urlencoded::Serializer::new(String::new()).append_pair("g0.expr", expr).finish();
        format!("/query?{form}{more}")
    };
    good_page(&store, &ask("app_size", ""), &["<b>app_size</b>", "&lt;img src=x", "2.5", "2 series"]).await;
    good_page(&store, &ask("app_size[5m]", ""), &["2.5", "@ 20"]).await;
    good_page(&store, &ask("1 + 1", ""), &["scalar"]).await;
    good_page(&store, &ask("app_size > 99", ""), &["Nothing: no series"]).await;
    good_page(&store, &ask("quantile(2, app_size)", ""), &["notice warn", "PromQL warning"]).await;
    let graph = ["<svg class=\"graph\"", "<path class=\"line c1 d0\"", "&lt;img src=x", "class=\"legend\""];
    good_page(&store, &ask("app_size", "&g0.tab=0&g0.range_input=1m&g0.step_input=1"), &graph).await;
    good_page(&store, &ask("vector(1)", "&g0.tab=graph"), &["<path class=\"line c0 d0\""]).await;
    let panels = ask(
        "app_size",
        "&g0.tab=table&g0.moment_input=2001-02-03+04:05:06&g1.expr=1%2B2&g1.tab=graph&g2.expr=sum(",
    );
    let answer = page(&store, &panels).await;
    assert_eq!(answer.status, 400, "{}", answer.body);
    for text in [
        "2001-02-03 04:05:06",
        "Nothing: no series",
        "name=\"g1.expr\"",
        "<path class=\"line c0 d0\"",
        "parse error",
    ] {
        assert!(answer.body.contains(text), "{text}: {}", answer.body);
    }
    for (path, status, text) in [
        (ask("sum(", ""), 400, "parse error"),
        (ask(HOSTILE, ""), 400, "&lt;img src=x"),
        (ask("up", "&g0.end_input=%3Cb%3E"), 400, "&lt;b&gt;"),
        (ask("label_replace(up, \"a\", \"\", \"b\", \"(\")", ""), 422, "invalid regular expression"),
        (ask("up[5m]", "&g0.tab=0"), 400, "for range query"),
    ] {
        let answer = page(&store, &path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert!(answer.body.contains("notice bad") && answer.body.contains(text), "{path}: {}", answer.body);
        // What was asked stays in the form.
        assert!(answer.body.contains("</textarea>"), "{path}");
    }
    store.stop().await;
}
