//! Stock Grafana beside the stack, where it is installed: started on loopback with both data sources provisioned.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::child::{self, find_in_path};
use crate::daemon::wait_for;
use crate::http;

/// Grafana's usual port.
const PORT: u16 = 3000;

/// Grafana migrates its database at the first start.
const START_DEADLINE: Duration = Duration::from_secs(120);

/// A running Grafana. Dropping it ends the process.
#[derive(Debug)]
pub struct Grafana {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Drop for Grafana {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts `grafana server` with its state below `state`; `None` where no `grafana` is installed.
///
/// # Errors
/// When it is installed and does not become healthy; the message names its log.
pub fn start(state: &Path, log_store: SocketAddr, metrics_store: SocketAddr) -> Result<Option<Grafana>> {
    let Some(program) = find_in_path("grafana") else { return Ok(None) };
    let home = state.join("grafana");
    let provisioning = home.join("provisioning");
    for folder in ["provisioning/datasources", "provisioning/dashboards", "data", "log"] {
        fs::create_dir_all(home.join(folder))
            .with_context(|| format!("create {}", home.join(folder).display()))?;
    }
    fs::write(provisioning.join("datasources/cairn.yaml"), data_sources(log_store, metrics_store))
        .context("write the data sources")?;
    let address = SocketAddr::from(([127, 0, 0, 1], PORT));
    let log = home.join("log/start.log");
    let output = child::new_log(&log)?;
    let child = child::command(&program)
        .args(["server", "--homepath", "/usr/share/grafana"])
        .env("GF_PATHS_DATA", home.join("data"))
        .env("GF_PATHS_LOGS", home.join("log"))
        .env("GF_PATHS_PROVISIONING", &provisioning)
        .env("GF_SERVER_HTTP_ADDR", address.ip().to_string())
        .env("GF_SERVER_HTTP_PORT", PORT.to_string())
        .env("GF_ANALYTICS_REPORTING_ENABLED", "false")
        .env("GF_ANALYTICS_CHECK_FOR_UPDATES", "false")
        .stdout(output.try_clone().context("share Grafana's log")?)
        .stderr(output)
        .spawn()
        .context("start grafana")?;
    let grafana = Grafana { child, address };
    wait_for("Grafana to be healthy", START_DEADLINE, || {
        http::get(address, "/api/health").ok().filter(|answer| answer.status == 200)
    })
    .with_context(|| format!("see {}", log.display()))?;
    Ok(Some(grafana))
}

/// Grafana's provisioning file for both stores.
fn data_sources(log_store: SocketAddr, metrics_store: SocketAddr) -> String {
    format!(
        "apiVersion: 1\ndatasources:\n\
         \x20 - {{name: Cairn logs, uid: cairn-logs, type: loki, access: proxy, url: 'http://{log_store}'}}\n\
         \x20 - {{name: Cairn metrics, uid: cairn-metrics, type: prometheus, access: proxy, url: 'http://{metrics_store}', isDefault: true}}\n"
    )
}
