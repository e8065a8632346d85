//! The application calling itself over HTTP, so that there is something to see.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_http::client::Client;
use http::Request;
use http::header::CONTENT_TYPE;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use rand::RngExt;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::own_metrics::OutcomeLabels;

/// Requests under way at once; above, one is skipped and counted. Well below what the listener lets in.
const MAX_RUNNING: usize = 64;
/// Deadline of one request, above the slowest that is sent.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer: `/metrics` is not asked, the others are small.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// When sending falls behind by more than this, the missed requests are not made up for.
const MAX_BEHIND: Duration = Duration::from_secs(1);
/// Longest `/slow` that is asked for, in milliseconds.
const SLOWEST_MS: u32 = 400;

/// What is sent, with how often in a thousand: mostly good, some slow, some failing.
const MIX: [(Call, u32); 8] = [
    (Call::Get("/"), 260),
    (Call::Get("/api/data"), 300),
    (Call::Get("/get?source=self"), 120),
    (Call::Post, 140),
    (Call::Get("/health"), 80),
    (Call::Slow, 50),
    (Call::Get("/error"), 40),
    (Call::Get("/missing"), 10),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Get(&'static str),
    Post,
    Slow,
}

/// Sends requests to `addr` until `stop`, at the rate in `rate` (per second; 0: none), then waits for those under way.
///
/// The pauses between them are random with that mean, as independent visitors make them.
pub async fn run(
    addr: SocketAddr,
    mut rate: watch::Receiver<f64>,
    outcomes: Family<OutcomeLabels, Counter>,
    stop: CancellationToken,
) {
    let client = Client::new(concat!("cairn-app/", env!("CARGO_PKG_VERSION"), " (self traffic)"));
    let base = format!("http://{}", reachable(addr));
    let running = Arc::new(Semaphore::new(MAX_RUNNING));
    let tasks = TaskTracker::new();
    let mut next = Instant::now();
    loop {
        let per_second = *rate.borrow_and_update();
        if per_second > 0.0 {
            next += pause(per_second, rand::rng().random());
            next = next.max(Instant::now().checked_sub(MAX_BEHIND).unwrap_or(next));
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            changed = rate.changed() => {
                if changed.is_err() {
                    break;
                }
                next = Instant::now();
                continue;
            }
            () = tokio::time::sleep_until(next), if per_second > 0.0 => {}
        }
        let Ok(permit) = Arc::clone(&running).try_acquire_owned() else {
            count(&outcomes, "skipped");
            continue;
        };
        let request = request(&base, choose(rand::rng().random_range(0..1000)), rand::rng().random());
        let (client, outcomes) = (client.clone(), outcomes.clone());
        tasks.spawn(async move {
            let answer = client.send(request, TIMEOUT, MAX_ANSWER_BYTES).await;
            if let Err(error) = &answer {
                tracing::debug!(error = error as &dyn std::error::Error, "self traffic got no answer");
            }
            count(&outcomes, if answer.is_ok() { "ok" } else { "failed" });
            drop(permit);
        });
    }
    tasks.close();
    tasks.wait().await;
}

/// Exponentially distributed with mean `1 / per_second`; `uniform` is from 0 up to 1.
fn pause(per_second: f64, uniform: f64) -> Duration {
    let seconds = -(1.0 - uniform).ln() / per_second;
    // A rate of next to nothing must not overflow the clock.
    Duration::from_secs_f64(seconds.clamp(0.0, 86_400.0))
}

fn choose(mut thousandth: u32) -> Call {
    for (call, weight) in MIX {
        if thousandth < weight {
            return call;
        }
        thousandth -= weight;
    }
    Call::Get("/")
}

fn request(base: &str, call: Call, salt: u32) -> Request<Bytes> {
    let builder = match call {
        Call::Get(path) => Request::get(format!("{base}{path}")),
        Call::Slow => Request::get(format!("{base}/slow?ms={}", salt % SLOWEST_MS)),
        Call::Post => Request::post(format!("{base}/post")).header(CONTENT_TYPE, "application/json"),
    };
    let body =
        if call == Call::Post { Bytes::from(format!("{{\"order\":{}}}", salt % 1000)) } else { Bytes::new() };
    builder.body(body).expect("a socket address and fixed paths make a URL")
}

/// An address to connect to: a listener on every address is asked on loopback.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

fn count(outcomes: &Family<OutcomeLabels, Counter>, outcome: &'static str) {
    outcomes.get_or_create(&OutcomeLabels { outcome }).inc();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_adds_up_and_every_call_comes() {
        assert_eq!(MIX.iter().map(|(_, weight)| weight).sum::<u32>(), 1000);
        for (call, weight) in MIX {
            let n_chosen = (0..1000).filter(|thousandth| choose(*thousandth) == call).count();
            assert_eq!(n_chosen, weight as usize);
        }
    }

    #[test]
    fn pauses_have_the_rates_mean() {
        let n = 10_000;
        let sum: Duration = (0..n).map(|i| pause(50.0, f64::from(i) / f64::from(n))).sum();
        let mean = sum.as_secs_f64() / f64::from(n);
        assert!((mean - 0.02).abs() < 0.0002, "{mean}");
        assert!(pause(1e-300, 0.5) <= Duration::from_secs(86_400));
    }

    #[test]
    fn every_address_is_asked_on_loopback() {
        assert_eq!(reachable("0.0.0.0:5000".parse().unwrap()).to_string(), "127.0.0.1:5000");
        assert_eq!(reachable("[::]:5000".parse().unwrap()).to_string(), "[::1]:5000");
        assert_eq!(reachable("10.0.1.5:5000".parse().unwrap()).to_string(), "10.0.1.5:5000");
    }
}
