//! The shipper's configuration: Promtail's keys, read from a Promtail YAML file or from Cairn's TOML twin through the
//! same types ([`raw`]), then resolved ([`Config`]).
//!
//! The file's ending decides: `.yml` and `.yaml` are Promtail's, and keys left out there mean what they mean to
//! Promtail; everything else is TOML, and keys left out have Cairn's defaults.

pub mod raw;
pub mod refused_keys;
mod resolve;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cairn_runtime::config::{self, ConfigSource};
use cairn_runtime::{ConfigError, ListenAddr};

use crate::target::Target;

/// Name of the daemon's packaged file: `/etc/cairn/log-shipper.toml`.
pub const CONFIG_NAME: &str = "log-shipper";

/// Whose defaults hold for keys that the file leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Cairn's own TOML, or no file at all.
    Cairn,
    /// A Promtail YAML file.
    Promtail,
}

/// A configuration that can be run: everything checked, every default filled in.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it came from.
    pub source: ConfigSource,
    /// Whose defaults were used.
    pub dialect: Dialect,
    /// Address of the HTTP listener.
    pub listen: ListenAddr,
    /// Every destination; at least one. Names are unique.
    pub clients: Vec<Arc<ClientSettings>>,
    /// What to tail, in the order of the file.
    pub targets: Vec<Arc<Target>>,
    /// A Promtail positions file to take over once, if it is there.
    pub import_positions: Option<PathBuf>,
    /// How files are followed.
    pub tail: TailSettings,
    /// Most bytes that may be read and not yet acknowledged by every destination.
    pub queue_bytes: usize,
    /// Things in the file that are accepted and have no effect here, for the log.
    pub warnings: Vec<String>,
}

/// How files are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailSettings {
    /// How often globs are walked again, besides inotify.
    pub rescan: Duration,
    /// How long a rotated or deleted file is kept open without growing.
    pub rotate_wait: Duration,
    /// How long a last line without newline may stand still before it is sent; `None`: until the file is rotated.
    pub partial_flush: Option<Duration>,
    /// Longest line in bytes.
    pub max_line_bytes: usize,
    /// Whether longer lines are cut (else dropped).
    pub truncate_long_lines: bool,
    /// How long the position of a file that is gone, or no longer configured, is remembered.
    pub positions_ttl: Duration,
}

/// One destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSettings {
    /// Unique name, for metrics and the status page: the configured one, or host and port of the URL.
    pub name: String,
    /// Where to push to.
    pub url: http::Uri,
    /// Value of `X-Scope-OrgID`.
    pub tenant_id: Option<String>,
    /// Further request headers.
    pub headers: BTreeMap<String, String>,
    /// Labels added to every stream that does not have them.
    pub external_labels: BTreeMap<String, String>,
    /// Line bytes after which a batch is sent at once.
    pub batch_bytes: usize,
    /// How long a batch may wait for more lines. `None`: as short as the load allows ([`crate::deliver::LINGER`]).
    pub batch_wait: Option<Duration>,
    /// Longest time for one request.
    pub timeout: Duration,
    /// When and how long to retry.
    pub backoff: Backoff,
    /// Whether a batch that the store refuses with 429 is dropped rather than retried.
    pub drop_rate_limited: bool,
}

/// Exponential backoff with full jitter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Upper bound of the first pause.
    pub min: Duration,
    /// Upper bound of every pause.
    pub max: Duration,
    /// After this many failed attempts the batch is dropped and counted; 0: never.
    pub max_retries: u32,
}

impl Config {
    /// Reads and resolves the file named on the command line, the packaged one, or the built-in defaults.
    ///
    /// # Errors
    /// [`ConfigError`] naming file, position where known, key and what was expected.
    pub fn load(explicit: Option<&Path>) -> Result<Self, ConfigError> {
        let source = config::find(explicit, CONFIG_NAME);
        let (dialect, raw) = match &source {
            ConfigSource::File(path) if is_yaml(path) => (Dialect::Promtail, config::load_yaml(path)?),
            ConfigSource::File(path) => (Dialect::Cairn, config::load_toml(path)?),
            ConfigSource::BuiltIn => (Dialect::Cairn, raw::RawConfig::built_in()),
        };
        resolve::resolve(raw, source, dialect)
    }
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "yml" || ending == "yaml")
}

#[cfg(test)]
mod tests;
