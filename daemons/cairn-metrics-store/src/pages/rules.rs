//! `/rules` and `/alerts`: empty, since this version evaluates no rules; and where else alerts come from.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::Page;
use crate::app::App;

/// `/rules`
pub(super) async fn rules(State(app): State<App>) -> Response {
    let body = none(&app, "No recording or alerting rules.");
    Page::new("Rules", "/rules", body).respond(&app)
}

/// `/alerts`
pub(super) async fn alerts(State(app): State<App>) -> Response {
    let body = none(&app, "No alerts: there are no alerting rules.");
    Page::new("Alerts", "/alerts", body).respond(&app)
}

fn none(app: &App, what: &str) -> Markup {
    let base = app.settings().web.external_path();
    html! {
        p { (what) }
        p.muted {
            "This version evaluates no rules and refuses a configuration with " code { "rule_files" } ". Let Grafana's alerting evaluate "
            "them over this store's API, as a data source of type Prometheus. Alertmanagers of the configuration are listed under "
            a href={ (base) "/status#alertmanagers" } { "Status" } "; nothing is sent to them."
        }
    }
}
