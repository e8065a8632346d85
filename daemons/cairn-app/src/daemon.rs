//! Start, main loop, reload and stop.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use cairn_http::{Health, Limits, Listener, Observer, ServeOptions, serve_handler};
use cairn_runtime::stop::StopPlan;
use cairn_runtime::{Failure, Lifecycle, Turn, announce_listener, config as files, notify};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::args::Args;
use crate::config::{self, Config};
use crate::flask_metrics::FlaskMetrics;
use crate::handler::{App, AppState};
use crate::log_file;
use crate::log_line::Level;
use crate::own_metrics::OwnMetrics;
use crate::self_traffic;

/// Deadline of the whole stop beyond the drain of the requests; the unit's `TimeoutStopSec` is above both.
const STOP_EXTRA: Duration = Duration::from_secs(10);

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// [`Failure`], which knows its exit code.
pub async fn run(args: Args, mut lifecycle: Lifecycle) -> Result<(), Failure> {
    let (mut config, source) = config::load(&args)?;
    if args.common.check_config {
        files::report_good(&source);
        return Ok(());
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), config = %source, "starting");
    let mut plan = StopPlan::new(config.drain + STOP_EXTRA);

    let listener = Listener::bind(config.listen.as_str()).await.context("start HTTP")?;
    let addr = listener.local_addr();
    let own = OwnMetrics::new();
    let (log, log_writer) =
        log_file::open(&config.log_file, &config.logger_name, own.log.clone()).context("start the log")?;
    plan.step("log file", async move {
        tokio::task::spawn_blocking(|| log_writer.close()).await.context("close the log file")
    });
    log.line(Level::Info, format_args!("Application started on {addr}"));
    let outcomes = own.self_traffic.clone();
    let app_state = Arc::new(AppState {
        flask: FlaskMetrics::new(config.environment.clone()),
        own,
        log,
        health: Health::starting("starting"),
        reload: lifecycle.reload_handle(),
    });

    let app = App::new(Arc::clone(&app_state));
    let options = ServeOptions {
        limits: limits(&config),
        observer: Some(Arc::new(app.clone()) as Arc<dyn Observer>),
        ..ServeOptions::default()
    };
    let stop_serving = CancellationToken::new();
    let serving = lifecycle.tasks.spawn(serve_handler(listener, app, options, stop_serving.clone()));
    plan.step("requests", async move {
        stop_serving.cancel();
        let report = serving.await.context("serve HTTP")?;
        anyhow::ensure!(report.cut == 0, "{} connections cut", report.cut);
        Ok(())
    });

    let (rate, rate_receiver) = watch::channel(config.self_traffic_per_second);
    let stop_traffic = CancellationToken::new();
    let traffic =
        lifecycle.tasks.spawn(self_traffic::run(addr, rate_receiver, outcomes, stop_traffic.clone()));
    plan.step("self traffic", async move {
        stop_traffic.cancel();
        traffic.await.context("send self traffic")
    });

    announce_listener("http", addr);
    app_state.health.set_ready();
    notify::ready(&format!("serving on {addr}"));
    loop {
        match lifecycle.next().await {
            Turn::Tick => {}
            Turn::Reload => {
                notify::reloading();
                reload(&args, &mut config, &app_state, &rate);
                notify::ready(&format!("serving on {addr}"));
            }
            Turn::Stop => break,
        }
    }

    app_state.health.set_not_ready("stopping");
    app_state.log.line(Level::Info, format_args!("Application stopping"));
    plan.run().await.map_err(|error| Failure::Run(error.into()))
}

/// Opens the log file again and takes what can change while running from the configuration. A bad one changes nothing.
fn reload(args: &Args, config: &mut Config, app: &AppState, rate: &watch::Sender<f64>) {
    app.log.reopen();
    match config::load(args) {
        Ok((new, source)) => {
            let needs_restart = config.needs_restart(&new);
            if !needs_restart.is_empty() {
                tracing::warn!(keys = needs_restart.join(", "), "changed keys take effect at the next start");
            }
            config.self_traffic_per_second = new.self_traffic_per_second;
            rate.send_replace(new.self_traffic_per_second);
            app.own.last_reload_successful.set(1);
            tracing::info!(config = %source, "configuration reloaded");
        }
        Err(error) => {
            app.own.last_reload_successful.set(0);
            tracing::error!(%error, "configuration refused, keeping the old one");
        }
    }
}

fn limits(config: &Config) -> Limits {
    Limits {
        body_bytes: config.request_body_bytes,
        request_time: config.request_time,
        concurrent_requests: config.concurrent_requests,
        drain: config.drain,
        ..Limits::default()
    }
}
