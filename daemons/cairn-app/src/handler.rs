//! From a request to its answer, with its log line and its metrics.

use std::sync::Arc;
use std::time::Duration;

use cairn_http::request_metrics::method_label;
use cairn_http::{Body, Handler, Health, Observation, Observer, body, exposition, health};
use cairn_runtime::lifecycle::ReloadHandle;
use http::header::ALLOW;
use http::{HeaderValue, Method, Request, Response, StatusCode};

use crate::answers;
use crate::flask_metrics::FlaskMetrics;
use crate::log_file::LogFile;
use crate::log_line::Level;
use crate::own_metrics::OwnMetrics;
use crate::routes::Route;

/// Longest path that is logged, in characters.
const MAX_LOGGED_PATH: usize = 200;

/// The application. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct App(Arc<AppState>);

/// What the application's parts share.
#[derive(Debug)]
pub struct AppState {
    /// `flask_app_*`.
    pub flask: FlaskMetrics,
    /// `cairn_app_*`.
    pub own: OwnMetrics,
    /// `app.log`.
    pub log: LogFile,
    /// For `/-/ready`.
    pub health: Health,
    /// For `/-/reload`.
    pub reload: ReloadHandle,
}

impl App {
    /// An application with these parts.
    pub fn new(state: Arc<AppState>) -> Self {
        Self(state)
    }

    async fn answer(&self, route: Route, request: Request<Body>) -> Response<Body> {
        let app = &*self.0;
        let (parts, request_body) = request.into_parts();
        let query = parts.uri.query().unwrap_or("");
        match route {
            Route::Unmatched => answers::error(StatusCode::NOT_FOUND, "no such path"),
            _ if parts.method == Method::OPTIONS => with_allow(Response::default(), route),
            _ if !route.allows(parts.method.as_str()) => {
                let refused = answers::error(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
                with_allow(refused, route)
            }
            Route::Root => answers::root(),
            Route::Health => answers::health(),
            Route::Get => answers::get(query),
            Route::Post => match body::read(request_body).await {
                Ok(bytes) => answers::post(&parts.headers, &bytes),
                Err(body::ReadBodyError::TooLarge) => {
                    answers::error(StatusCode::PAYLOAD_TOO_LARGE, "request body too large")
                }
                Err(body::ReadBodyError::Broken(_)) => {
                    answers::error(StatusCode::BAD_REQUEST, "the request body did not arrive whole")
                }
            },
            Route::ApiData => answers::api_data(),
            Route::Error => {
                app.log.line(
                    Level::Error,
                    format_args!("Exception on /error [{}]: {}", parts.method, answers::SIMULATED_ERROR),
                );
                answers::error(StatusCode::INTERNAL_SERVER_ERROR, answers::SIMULATED_ERROR)
            }
            Route::Slow => match answers::slow_ms(query) {
                Ok(ms) => {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                    answers::slow(ms)
                }
                Err(message) => answers::error(StatusCode::BAD_REQUEST, &message),
            },
            Route::Metrics => {
                let format = exposition::Format::negotiate(&parts.headers);
                let mut text = String::new();
                app.flask.encode(&mut text, format);
                text.push_str(&exposition::encode(&app.own.registry, format));
                exposition::respond_with(text, format)
            }
            Route::Healthy => Response::new(Body::from("healthy\n")),
            Route::Ready => health::readiness(&app.health, "ready\n"),
            Route::Reload => {
                app.reload.request();
                Response::default()
            }
        }
    }
}

impl Handler for App {
    async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let route = Route::of(request.uri().path());
        let _panic_log = PanicLog { app: &self.0, route };
        self.answer(route, request).await
    }
}

fn with_allow(mut response: Response<Body>, route: Route) -> Response<Body> {
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(route.allow()));
    response
}

/// Notes a handler's panic in the application's log; the answer, a 500, is the HTTP layer's.
struct PanicLog<'a> {
    app: &'a AppState,
    route: Route,
}

impl Drop for PanicLog<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.app.log.line(Level::Error, format_args!("Exception on {}: panic", self.route.template()));
        }
    }
}

/// Counts and logs every request, those too that the HTTP layer refused or gave up before [`App`] was done.
impl Observer for App {
    fn started(&self) {
        self.0.flask.started();
    }

    fn finished(&self, observation: &Observation<'_>) {
        let route = Route::of(observation.path);
        let (method, status) = (method_label(observation.method), observation.status.as_u16());
        self.0.flask.finished(route, method, status, observation.duration);
        let mut path = observation.path;
        if let Some((end, _)) = path.char_indices().nth(MAX_LOGGED_PATH) {
            path = &path[..end];
        }
        self.0.log.line(Level::of_status(status), format_args!("{method} {path} {status}"));
    }
}
