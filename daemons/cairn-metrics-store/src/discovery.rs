//! Service discovery: who lists the targets of a job, and how a list that changes reaches its pool.
//!
//! | file | asks |
//! |---|---|
//! | [`mod@file`] | files that are written by somebody else (`file_sd_configs`) |
//! | [`http`] | a URL that gives a list (`http_sd_configs`) |
//! | [`dns`] | the name service (`dns_sd_configs`); `dns_query.rs` speaks with it |
//! | [`ec2`] | Amazon's API for virtual machines (`ec2_sd_configs`); `aws_*.rs` sign, find credentials, read answers |
//!
//! What they count is in [`metrics`].
//!
//! A list that cannot be had is no empty list: the targets that were found last stay, the failure is counted and logged.

mod aws_credentials;
mod aws_query;
mod aws_sign;
pub mod dns;
mod dns_query;
pub mod ec2;
pub mod file;
pub mod http;
pub mod metrics;

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::config::file::StaticConfig;
use crate::metrics::Metrics;
use crate::scrape::ScrapeManager;

/// Time between two changes that one discovery makes, at least: a list in turmoil must not keep the loops restarting.
const BETWEEN_CHANGES: Duration = Duration::from_secs(5);

/// One entry of a `*_sd_configs`, checked.
#[derive(Clone, Debug)]
pub enum Discovery {
    /// Files.
    File(file::FileSd),
    /// A URL.
    Http(Box<http::HttpSd>),
    /// The name service.
    Dns(dns::DnsSd),
    /// Amazon EC2.
    Ec2(Box<ec2::Ec2Sd>),
}

impl Discovery {
    /// Prometheus's word for it in metrics.
    fn mechanism(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Http(_) => "http",
            Self::Dns(_) => "dns",
            Self::Ec2(_) => "ec2",
        }
    }
}

/// A discovery with what it remembers.
enum Provider {
    File(file::FileProvider),
    Http(Box<http::HttpProvider>),
    Dns(dns::DnsProvider),
    Ec2(Box<ec2::Ec2Provider>),
}

impl Provider {
    fn new(discovery: Discovery, metrics: &Arc<Metrics>) -> Self {
        match discovery {
            Discovery::File(sd) => Self::File(file::FileProvider::new(sd, Arc::clone(metrics))),
            Discovery::Http(sd) => Self::Http(Box::new(http::HttpProvider::new(*sd, Arc::clone(metrics)))),
            Discovery::Dns(sd) => Self::Dns(dns::DnsProvider::new(sd, Arc::clone(metrics))),
            Discovery::Ec2(sd) => Self::Ec2(Box::new(ec2::Ec2Provider::new(*sd))),
        }
    }

    /// What there is now; `None`: the same as before.
    async fn refresh(&mut self) -> Result<Option<Vec<StaticConfig>>, String> {
        match self {
            Self::File(provider) => Ok(provider.refresh().await),
            Self::Http(provider) => provider.refresh().await.map(Some),
            Self::Dns(provider) => Ok(Some(provider.refresh().await)),
            Self::Ec2(provider) => provider.refresh().await.map(Some),
        }
    }

    fn pause(&self) -> Duration {
        match self {
            Self::File(_) => file::POLL,
            Self::Http(provider) => provider.interval(),
            Self::Dns(provider) => provider.interval(),
            Self::Ec2(provider) => provider.interval(),
        }
    }
}

/// Asks now and after each pause, until `stop`, and hands what changes to the manager as `source` of `job`.
pub(crate) async fn run(
    manager: Weak<ScrapeManager>,
    job: String,
    source: String,
    discovery: Discovery,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let mechanism = discovery.mechanism();
    let mut provider = Provider::new(discovery, &metrics);
    let mut known: Option<Vec<StaticConfig>> = None;
    let mut is_failing = false;
    let mut changed: Option<Instant> = None;
    loop {
        let began = Instant::now();
        let found = tokio::select! {
            () = stop.cancelled() => return,
            found = provider.refresh() => found,
        };
        match found {
            Ok(None) => {}
            Ok(Some(groups)) => {
                metrics.discovery.refreshed(mechanism, &job, began.elapsed());
                if std::mem::take(&mut is_failing) {
                    tracing::info!(job, source, "service discovery works again");
                }
                if known.as_ref() != Some(&groups) {
                    if let Some(changed) = changed {
                        let rest = BETWEEN_CHANGES.saturating_sub(changed.elapsed());
                        tokio::select! {
                            () = stop.cancelled() => return,
                            () = tokio::time::sleep(rest) => {}
                        }
                    }
                    let Some(manager) = manager.upgrade() else { return };
                    manager.set_groups(&job, source.clone(), groups.clone()).await;
                    metrics.discovery.updates.inc();
                    changed = Some(Instant::now());
                    known = Some(groups);
                }
            }
            Err(error) => {
                metrics.discovery.failed(mechanism, &job);
                if !is_failing {
                    tracing::warn!(
                        job,
                        source,
                        error,
                        "service discovery failed, the targets found last stay"
                    );
                }
                is_failing = true;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(provider.pause()) => {}
        }
    }
}
