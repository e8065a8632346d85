//! Stock Grafana beside the stack, where it is installed: started on loopback with the data sources and dashboards that
//! the package `cairn-grafana` brings.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::child::{self, find_in_path};
use crate::daemon::wait_for;
use crate::{dashboard, http};

/// Grafana's usual port.
const PORT: u16 = 3000;

/// Where the package puts its dashboards.
const INSTALLED_DASHBOARDS: &str = "/usr/share/cairn-grafana/dashboards";

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
    for folder in ["data", "log"] {
        fs::create_dir_all(home.join(folder))
            .with_context(|| format!("create {}", home.join(folder).display()))?;
    }
    let provisioning = provision(&home, &dashboard::package_folder())?;
    let address = SocketAddr::from(([127, 0, 0, 1], PORT));
    let log = home.join("log/start.log");
    let output = child::new_log(&log)?;
    let child = child::command(&program)
        .args(["server", "--homepath", "/usr/share/grafana"])
        .env("GF_PATHS_DATA", home.join("data"))
        .env("GF_PATHS_LOGS", home.join("log"))
        .env("GF_PATHS_PROVISIONING", &provisioning)
        .env("CAIRN_LOG_STORE_URL", format!("http://{log_store}"))
        .env("CAIRN_METRICS_STORE_URL", format!("http://{metrics_store}"))
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

/// Writes the package's provisioning files below `home`, with dashboards read from the package's own folder. Answers with
/// the folder of the files.
fn provision(home: &Path, package: &Path) -> Result<PathBuf> {
    let package = package.canonicalize().with_context(|| format!("find {}", package.display()))?;
    let dashboards = package.join("dashboards").to_string_lossy().into_owned();
    let provisioning = home.join("provisioning");
    for kind in ["datasources", "dashboards"] {
        let from = package.join("provisioning").join(kind).join("cairn.yaml");
        let text = fs::read_to_string(&from).with_context(|| format!("read {}", from.display()))?;
        let folder = provisioning.join(kind);
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let to = folder.join("cairn.yaml");
        fs::write(&to, text.replace(INSTALLED_DASHBOARDS, &dashboards))
            .with_context(|| format!("write {}", to.display()))?;
    }
    Ok(provisioning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packages_files_are_used_with_the_dashboards_of_this_checkout() {
        let home = tempfile::tempdir().unwrap();
        let folder = provision(home.path(), &dashboard::package_folder()).unwrap();
        let sources = fs::read_to_string(folder.join("datasources/cairn.yaml")).unwrap();
        for variable in ["${CAIRN_LOG_STORE_URL}", "${CAIRN_METRICS_STORE_URL}"] {
            assert!(sources.contains(variable), "{variable} is not in:\n{sources}");
        }
        let providers = fs::read_to_string(folder.join("dashboards/cairn.yaml")).unwrap();
        let path = providers.lines().find_map(|line| line.trim().strip_prefix("path: ")).unwrap();
        assert!(Path::new(path).join("cairn-chain.json").is_file(), "no dashboard in {path}");
    }
}
