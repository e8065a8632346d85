//! The pages for a browser, made on the server: no script, nothing from elsewhere, so that they work on a machine without
//! internet and under the strictest policy.
//!
//! | file | page |
//! |---|---|
//! | `pages.rs` | routes, headers, the frame around every page |
//! | `front.rs` | `/`: what the store is and how it is |
//! | `query.rs`, `panel.rs`, `table.rs`, `graph.rs` | `/query`: expressions with their parameters, results as tables or drawn |
//! | `targets.rs` | `/targets`, `/service-discovery` |
//! | `rules.rs` | `/rules`, `/alerts` |
//! | `status.rs` | `/status`, `/tsdb-status`, `/flags`, `/config` |
//! | `format.rs` | sizes, times, numbers for people |
//! | `style.css`, `icon.svg` | what they look like, by day and by night |
//!
//! The paths are those of Prometheus's pages, and `/query` takes the parameters of its links, so that bookmarks and the
//! links of alerts lead on. Markup is `maud`'s, which escapes whatever is put into it.

mod format;
mod front;
mod graph;
mod panel;
mod query;
mod rules;
mod status;
mod table;
mod targets;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, StatusCode};
use maud::{DOCTYPE, Markup, html};

use crate::api::error::{ApiError, NOT_OPEN};
use crate::app::{App, Refused};

pub(crate) use front::page as home;

/// Nothing but the store's own style and pictures; forms go to the store; nobody else's page shows one of these.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'self'";

const STYLE: &str = include_str!("pages/style.css");
const ICON: &str = include_str!("pages/icon.svg");

/// The pages in the order of the menu: path and name.
const MENU: [(&str, &str); 9] = [
    ("/query", "Query"),
    ("/alerts", "Alerts"),
    ("/rules", "Rules"),
    ("/targets", "Targets"),
    ("/service-discovery", "Discovery"),
    ("/status", "Status"),
    ("/tsdb-status", "Database"),
    ("/flags", "Flags"),
    ("/config", "Configuration"),
];

/// The routes of all pages.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/", get(front::page))
        .route("/query", get(query::page))
        .route("/rules", get(rules::rules))
        .route("/alerts", get(rules::alerts))
        .route("/targets", get(targets::targets))
        .route("/service-discovery", get(targets::discovery))
        .route("/status", get(status::status))
        .route("/tsdb-status", get(status::database))
        .route("/flags", get(status::flags))
        .route("/config", get(status::config))
        .merge(links())
        .route("/assets/style.css", get(async || asset("text/css; charset=utf-8", STYLE)))
        .route("/favicon.svg", get(async || asset("image/svg+xml", ICON)))
}

/// Other paths of Prometheus's pages, and the page that has what is looked for there.
const LINKS: [(&str, &str); 7] = [
    ("/graph", "/query"),
    ("/alertmanager-discovery", "/status#alertmanagers"),
    ("/agent", "/"),
    ("/starting", "/"),
    ("/classic", "/"),
    ("/new", "/"),
    ("/favicon.ico", "/favicon.svg"),
];

fn links() -> Router<App> {
    let mut links = Router::new();
    for (from, to) in LINKS {
        links = links.route(from, get(async move |State(app), RawQuery(query)| link(&app, to, query)));
    }
    // Pages of older versions that were there twice.
    for from in ["/classic/{*page}", "/new/{*page}"] {
        links = links.route(
            from,
            get(async |State(app), Path(page): Path<String>, RawQuery(query)| {
                let known = MENU.iter().map(|(path, _)| *path).find(|path| path[1..] == page);
                match (known, page.as_str()) {
                    (Some(path), _) => link(&app, path, query),
                    (None, "graph") => link(&app, "/query", query),
                    (None, _) => (StatusCode::NOT_FOUND, "There is no such page.\n").into_response(),
                }
            }),
        );
    }
    links
        .route("/consoles/{*page}", get(async || (StatusCode::NOT_FOUND, NO_CONSOLES)))
        .route("/debug/{*page}", get(async || (StatusCode::NOT_FOUND, NO_PROFILES)))
}

const NO_CONSOLES: &str = "There are no console templates here; dashboards are Grafana's.\n";

const NO_PROFILES: &str = "There are no profiles here: this store is not written in Go. What it does shows at /metrics and \
                           /status; `perf record -g -p PID` on its machine tells where its time goes.\n";

/// Sends the client to a page, with what it asked for.
fn link(app: &App, to: &str, query: Option<String>) -> Response {
    let (path, part) = to.split_at(to.find('#').unwrap_or(to.len()));
    let query = query.map_or(String::new(), |query| format!("?{query}"));
    let place = format!("{}{path}{query}{part}", app.settings().web.external_path());
    (StatusCode::FOUND, [(LOCATION, place)]).into_response()
}

fn asset(kind: &'static str, content: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (CACHE_CONTROL, HeaderValue::from_static("max-age=3600")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, content).into_response()
}

/// A page that can be sent.
struct Page {
    /// Without the name of the store.
    title: &'static str,
    /// Its path in the menu.
    path: &'static str,
    status: StatusCode,
    body: Markup,
}

impl Page {
    fn new(title: &'static str, path: &'static str, body: Markup) -> Self {
        Self { title, path, status: StatusCode::OK, body }
    }

    /// A page that says why there is nothing to show.
    fn failed(title: &'static str, path: &'static str, error: &ApiError) -> Self {
        Self { status: error.kind.status(), ..Self::new(title, path, notice("bad", &error.message)) }
    }

    /// A page that cannot be made before the database is open.
    fn not_open(title: &'static str, path: &'static str, app: &App) -> Self {
        Self { status: NOT_OPEN, ..Self::new(title, path, replay_notice(app)) }
    }

    fn respond(self, app: &App) -> Response {
        let base = app.settings().web.external_path();
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · Cairn metrics store" }
                    link rel="icon" type="image/svg+xml" href={ (base) "/favicon.svg" };
                    link rel="stylesheet" href={ (base) "/assets/style.css" };
                }
                body {
                    header {
                        a.brand href={ (base) "/" } {
                            img src={ (base) "/favicon.svg" } alt="" width="22" height="22";
                            "Cairn metrics store"
                        }
                        nav {
                            @for (path, name) in MENU {
                                a href={ (base) (path) } aria-current=[(path == self.path).then_some("page")] { (name) }
                            }
                        }
                    }
                    main {
                        h1 { (self.title) }
                        (self.body)
                    }
                }
            }
        };
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
            (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
            (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            // Addresses hold queries.
            (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
            (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        ];
        (self.status, headers, page.into_string()).into_response()
    }
}

fn replay_notice(app: &App) -> Markup {
    let (first, last, current) = app.replay();
    notice("warn", &format!("The write-ahead log is being replayed: segment {current} of {first} to {last}."))
}

/// Says which configuration was not taken, and where it is wrong.
fn refused_notice(refused: Option<&Refused>) -> Markup {
    html! {
        @if let Some(refused) = refused {
            div.notice.bad role="alert" {
                "The last reload was refused, and the configuration before it is in use. The log says what is wrong here:"
                pre { (refused.place) }
            }
        }
    }
}

/// A box with something to be told; `kind` is `bad`, `warn` or `info`.
fn notice(kind: &str, text: &str) -> Markup {
    html! { p.notice.(kind) role=[(kind == "bad").then_some("alert")] { (text) } }
}

/// A table of two columns.
fn facts<'a>(rows: impl IntoIterator<Item = (&'a str, Markup)>) -> Markup {
    html! {
        table.facts {
            @for (name, value) in rows {
                tr { th scope="row" { (name) } td { (value) } }
            }
        }
    }
}

/// `name="value"` of a label set as small boxes.
fn labels<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Markup {
    html! {
        @for (name, value) in labels {
            span.label { (name) "=" q { (value) } } " "
        }
    }
}
