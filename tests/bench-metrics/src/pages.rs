//! Targets: one port that serves the page of each machine under a path of its own, as text 0.0.4, gzipped for those
//! who take it.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::routing::get;
use cairn_http::{Listener, ServeOptions};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::fleet::{Fleet, Host, instance};

/// Running targets.
#[derive(Debug)]
pub struct Pages {
    runtime: Runtime,
    serving: JoinHandle<cairn_http::ServeReport>,
    stop: CancellationToken,
    shared: Arc<Shared>,
    address: std::net::SocketAddr,
}

#[derive(Debug)]
struct Shared {
    fleet: Arc<Fleet>,
    hosts: Vec<Mutex<Host>>,
    served: AtomicU64,
}

impl Pages {
    /// Serves `n` machines on loopback.
    ///
    /// # Errors
    /// No port, no threads.
    pub fn serve(fleet: &Arc<Fleet>, n: usize) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let hosts = (0..n).map(|host| Mutex::new(Host::new(fleet, host))).collect();
        let shared = Arc::new(Shared { fleet: Arc::clone(fleet), hosts, served: AtomicU64::new(0) });
        let router = Router::new().route("/host/{host}/metrics", get(page)).with_state(Arc::clone(&shared));
        let listener = runtime.block_on(Listener::bind("127.0.0.1:0")).context("bind a port")?;
        let (address, stop) = (listener.local_addr(), CancellationToken::new());
        let serving =
            runtime.spawn(cairn_http::serve(listener, router, ServeOptions::default(), stop.clone()));
        Ok(Self { runtime, serving, stop, shared, address })
    }

    /// `scrape_configs` for all of them, in YAML.
    pub fn scrape_configs(&self) -> String {
        let mut groups = String::new();
        for host in 0..self.shared.hosts.len() {
            let separator = if host > 0 { ", " } else { "" };
            let (address, instance) = (self.address, instance(host));
            let _ = write!(
                groups,
                "{separator}{{targets: ['{address}'], labels: {{__metrics_path__: /host/{host}/metrics, \
                 instance: '{instance}'}}}}"
            );
        }
        format!("[{{job_name: node, static_configs: [{groups}]}}]")
    }

    /// Pages served so far.
    pub fn served(&self) -> u64 {
        self.shared.served.load(Ordering::Relaxed)
    }

    /// Ends serving.
    ///
    /// # Errors
    /// The server panicked.
    pub fn stop(self) -> Result<()> {
        self.stop.cancel();
        self.runtime.block_on(self.serving).context("serving targets")?;
        Ok(())
    }
}

async fn page(State(shared): State<Arc<Shared>>, Path(host): Path<usize>) -> axum::response::Response {
    let Some(host) = shared.hosts.get(host) else {
        return http_404();
    };
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut host = host.lock().unwrap_or_else(PoisonError::into_inner);
    host.step(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    let text = render(&shared.fleet, &host);
    drop(host);
    shared.served.fetch_add(1, Ordering::Relaxed);
    ([("content-type", "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

fn http_404() -> axum::response::Response {
    (axum::http::StatusCode::NOT_FOUND, "no such target\n").into_response()
}

/// The page of a machine.
fn render(fleet: &Fleet, host: &Host) -> String {
    let template = fleet.template();
    let mut text = String::with_capacity(128 * 1024);
    let mut comments = template.comments.iter().peekable();
    for (index, (series, value)) in template.series.iter().zip(host.values()).enumerate() {
        while let Some((_, comment)) = comments.next_if(|(at, _)| *at <= index) {
            let _ = writeln!(text, "{comment}");
        }
        let _ = writeln!(text, "{} {value}", series.text);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::{PAGE, Template};

    #[test]
    fn page_of_a_machine_has_the_lines_of_the_captured_one() {
        let fleet = Fleet::new(Template::parse(PAGE).unwrap());
        let page = render(&fleet, &Host::new(&fleet, 1));
        let without_value = |page: &str| -> Vec<String> {
            let lines = page.lines().map(|line| match line.strip_prefix('#') {
                Some(_) => line.to_owned(),
                None => line.rsplit_once(' ').map_or(String::new(), |(text, _)| text.to_owned()),
            });
            lines.collect()
        };
        assert_eq!(without_value(&page), without_value(PAGE));
    }

    #[test]
    fn targets_answer_over_http() {
        let fleet = Fleet::new(Template::parse("# TYPE m gauge\nm{a=\"b\"} 5\n").unwrap());
        let pages = Pages::serve(&fleet, 2).unwrap();
        let client = crate::http::Client::new(format!("http://{}", pages.address));
        let answer = client.get("/host/1/metrics").unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "# TYPE m gauge\nm{a=\"b\"} 5\n"));
        assert_eq!(client.get("/host/2/metrics").unwrap().status, 404);
        assert_eq!(pages.served(), 1);
        assert!(pages.scrape_configs().contains("node-00001.example.internal"));
        pages.stop().unwrap();
    }
}
