//! From the file as written to a configuration that can be run: defaults, cross-checks, compiled globs and stages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cairn_runtime::config::ConfigSource;
use cairn_runtime::{ConfigError, ListenAddr};

use super::raw::{
    RawClient, RawConfig, RawLimits, RawPositions, RawQueue, RawScrape, RawServer, RawStatic, RawTail,
    RawTargetConfig,
};
use super::{Backoff, ClientSettings, Config, Dialect, TailSettings};
use crate::pipeline::Pipeline;
use crate::target::{Target, is_label_name};

/// Loopback: only a deployment's configuration opens an address.
const DEFAULT_ADDRESS: &str = "127.0.0.1";
/// The port of Alloy, whose place the shipper takes.
const DEFAULT_PORT: u16 = 12345;
/// The log store on this machine.
const DEFAULT_URL: &str = "http://127.0.0.1:3100/loki/api/v1/push";
/// Promtail's; well under every store's limit on a request.
const DEFAULT_BATCH_BYTES: usize = 1024 * 1024;
/// Largest batch: the stores refuse larger requests anyway.
const MAX_BATCH_BYTES: usize = 32 * 1024 * 1024;
/// Promtail's.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// Promtail's backoff: 511 s in sum, then the batch is dropped.
const PROMTAIL_BACKOFF: Backoff =
    Backoff { min: Duration::from_millis(500), max: Duration::from_secs(300), max_retries: 10 };
/// Cairn's: for ever, and never longer silent than half a minute after the store is back.
const CAIRN_BACKOFF: Backoff =
    Backoff { min: Duration::from_millis(500), max: Duration::from_secs(30), max_retries: 0 };
/// Promtail's, besides inotify.
const DEFAULT_RESCAN: Duration = Duration::from_secs(10);
/// Late writers keep a renamed file open until they notice: a minute covers cron-driven reopening.
const DEFAULT_ROTATE_WAIT: Duration = Duration::from_secs(60);
/// Long enough for a writer that flushes in pieces, short enough for a line to be seen.
const DEFAULT_PARTIAL_FLUSH: Duration = Duration::from_secs(5);
/// Loki's own limit: longer lines are refused there.
const DEFAULT_MAX_LINE_BYTES: usize = 256 * 1024;
/// A line is held in memory as a whole.
const MAX_MAX_LINE_BYTES: usize = 4 * 1024 * 1024;
/// A week: re-adding a source after a holiday does not ship it again.
const DEFAULT_POSITIONS_TTL: Duration = Duration::from_secs(7 * 24 * 3600);
/// A few batches under way per destination; reading pauses beyond.
const DEFAULT_QUEUE_BYTES: usize = 8 * 1024 * 1024;
/// A queue below one read would never let anything pass.
const MIN_QUEUE_BYTES: usize = 1024 * 1024;

pub(super) fn resolve(raw: RawConfig, source: ConfigSource, dialect: Dialect) -> Result<Config, ConfigError> {
    // Every field is named here: one that is added to the file's type and forgotten does not compile.
    let RawConfig {
        server,
        client,
        clients,
        positions,
        scrape_configs,
        target_config,
        file_watch_config,
        limits_config,
        global,
        options,
        tracing,
        wal,
        tail,
        queue,
    } = raw;
    let mut resolver = Resolver { file: source.to_string(), dialect, warnings: Vec::new() };
    for (present, key) in [
        (file_watch_config.is_some(), "file_watch_config"),
        (global.is_some(), "global"),
        (options.is_some(), "options"),
        (tracing.is_some(), "tracing"),
    ] {
        resolver.warn_unused(present, key);
    }
    if wal.is_some_and(|wal| wal.enabled) {
        return Err(resolver.rule("wal.enabled", "not served yet; unacknowledged lines stay in their files"));
    }
    let listen = resolver.listen(&server)?;
    let import_positions = resolver.positions(positions);
    let clients = resolver.clients(client.into_iter().chain(clients).collect())?;
    let tail = resolver.tail(&tail, &target_config, &limits_config)?;
    let targets = resolver.targets(scrape_configs)?;
    let queue_bytes = resolver.queue(&queue)?;
    let warnings = resolver.warnings;
    Ok(Config { source, dialect, listen, clients, targets, import_positions, tail, queue_bytes, warnings })
}

struct Resolver {
    file: String,
    dialect: Dialect,
    warnings: Vec<String>,
}

impl Resolver {
    fn rule(&self, key: &str, message: impl Into<String>) -> ConfigError {
        ConfigError::rule(&self.file, key, message)
    }

    fn warn_unused(&mut self, present: bool, key: &str) {
        if present {
            self.warnings.push(format!("{key} has no effect in cairn-log-shipper"));
        }
    }

    fn listen(&mut self, server: &RawServer) -> Result<ListenAddr, ConfigError> {
        let RawServer {
            http_listen_address,
            http_listen_port,
            grpc_listen_address,
            grpc_listen_port,
            log_level,
            log_format,
            external_url,
            health_check_target,
            enable_runtime_reload,
            profiling_enabled,
            register_instrumentation,
            graceful_shutdown_timeout,
            disable,
        } = server;
        for (present, key) in [
            (grpc_listen_address.is_some(), "server.grpc_listen_address"),
            // Promtail files say 0 as a matter of course.
            (grpc_listen_port.is_some_and(|port| port != 0), "server.grpc_listen_port"),
            (log_level.is_some(), "server.log_level"),
            (log_format.is_some(), "server.log_format"),
            (external_url.is_some(), "server.external_url"),
            (health_check_target.is_some(), "server.health_check_target"),
            (*enable_runtime_reload == Some(false), "server.enable_runtime_reload"),
            (profiling_enabled.is_some(), "server.profiling_enabled"),
            (register_instrumentation.is_some(), "server.register_instrumentation"),
            (graceful_shutdown_timeout.is_some(), "server.graceful_shutdown_timeout"),
            (disable.is_some(), "server.disable"),
        ] {
            self.warn_unused(present, key);
        }
        // A Promtail file that names a port means all addresses, as there; without one Cairn's default stays closed.
        let default_address = if self.dialect == Dialect::Promtail && http_listen_port.is_some() {
            ""
        } else {
            DEFAULT_ADDRESS
        };
        let address = http_listen_address.as_deref().unwrap_or(default_address);
        let address = if address.contains(':') && !address.starts_with('[') {
            format!("[{address}]")
        } else {
            address.to_owned()
        };
        let port = http_listen_port.unwrap_or(DEFAULT_PORT);
        format!("{address}:{port}")
            .parse()
            .map_err(|error| self.rule("server.http_listen_address", format!("{error}")))
    }

    fn positions(&mut self, positions: RawPositions) -> Option<std::path::PathBuf> {
        let RawPositions { filename, sync_period: _, ignore_invalid_yaml: _ } = positions;
        filename
    }

    fn queue(&self, queue: &RawQueue) -> Result<usize, ConfigError> {
        let RawQueue { bytes } = queue;
        let bytes = bytes.map_or(DEFAULT_QUEUE_BYTES, |size| size.as_usize());
        if bytes < MIN_QUEUE_BYTES {
            return Err(self.rule("queue.bytes", "at least 1MiB, or a single read does not fit"));
        }
        Ok(bytes)
    }

    fn tail(
        &mut self,
        tail: &RawTail,
        target_config: &RawTargetConfig,
        limits: &RawLimits,
    ) -> Result<TailSettings, ConfigError> {
        let RawTail { rotate_wait, partial_flush, positions_ttl } = tail;
        let RawTargetConfig { sync_period, stdin } = target_config;
        let RawLimits {
            readline_rate_enabled,
            readline_rate: _,
            readline_burst: _,
            readline_rate_drop: _,
            max_streams,
            max_line_size,
            max_line_size_truncate,
        } = limits;
        if *stdin == Some(true) {
            return Err(self.rule("target_config.stdin", "reading standard input is not served yet"));
        }
        if *readline_rate_enabled == Some(true) {
            return Err(
                self.rule("limits_config.readline_rate_enabled", "limiting the rate is not served yet")
            );
        }
        if max_streams.is_some_and(|n| n > 0) {
            return Err(self.rule("limits_config.max_streams", "limiting the streams is not served yet"));
        }
        // Promtail's 0 means no limit; then Cairn's holds, which is also the longest line that Loki takes.
        let max_line_bytes = max_line_size.map(|size| size.as_usize()).filter(|bytes| *bytes > 0);
        if max_line_bytes.is_some_and(|bytes| bytes > MAX_MAX_LINE_BYTES) {
            return Err(self.rule("limits_config.max_line_size", "at most 4MiB: lines are held in memory"));
        }
        let duration =
            |value: &Option<cairn_runtime::HumanDuration>, default| value.map_or(default, |v| v.get());
        let partial_flush = duration(partial_flush, DEFAULT_PARTIAL_FLUSH);
        let rescan = duration(sync_period, DEFAULT_RESCAN);
        if rescan.is_zero() {
            return Err(self.rule("target_config.sync_period", "must not be zero"));
        }
        Ok(TailSettings {
            rescan,
            rotate_wait: duration(rotate_wait, DEFAULT_ROTATE_WAIT),
            partial_flush: (!partial_flush.is_zero()).then_some(partial_flush),
            max_line_bytes: max_line_bytes.unwrap_or(DEFAULT_MAX_LINE_BYTES),
            // Promtail drops what is over a limit that was set, unless told to cut.
            truncate_long_lines: max_line_size_truncate
                .unwrap_or(self.dialect == Dialect::Cairn || max_line_bytes.is_none()),
            positions_ttl: duration(positions_ttl, DEFAULT_POSITIONS_TTL),
        })
    }

    fn clients(&mut self, raw: Vec<RawClient>) -> Result<Vec<Arc<ClientSettings>>, ConfigError> {
        if raw.is_empty() {
            if self.dialect == Dialect::Promtail {
                return Err(self.rule("clients", "at least one client is needed"));
            }
            let url = Some(DEFAULT_URL.to_owned());
            return Ok(vec![self.client(RawClient { url, ..RawClient::default() }, "clients")?]);
        }
        let mut clients: Vec<Arc<ClientSettings>> = Vec::with_capacity(raw.len());
        for (index, client) in raw.into_iter().enumerate() {
            let key = format!("clients[{index}]");
            let client = self.client(client, &key)?;
            if clients.iter().any(|other| other.name == client.name) {
                let message =
                    format!("two clients are called {:?}; give one of them another name", client.name);
                return Err(self.rule(&format!("{key}.name"), message));
            }
            clients.push(client);
        }
        Ok(clients)
    }

    fn client(&mut self, raw: RawClient, key: &str) -> Result<Arc<ClientSettings>, ConfigError> {
        let RawClient {
            name,
            url,
            tenant_id,
            batchwait,
            batchsize,
            timeout,
            backoff_config,
            external_labels,
            headers,
            drop_rate_limited_batches,
            basic_auth: _,
            bearer_token: _,
            bearer_token_file: _,
            authorization: _,
            oauth2: _,
            tls_config: _,
            proxy_url: _,
            follow_redirects,
            enable_http2,
        } = raw;
        self.warn_unused(follow_redirects.is_some(), &format!("{key}.follow_redirects"));
        self.warn_unused(enable_http2.is_some(), &format!("{key}.enable_http2"));
        let url_key = format!("{key}.url");
        let url = url.ok_or_else(|| {
            self.rule(&url_key, "a push URL is needed, such as http://store:3100/loki/api/v1/push")
        })?;
        let (url, host) = parse_url(&url).map_err(|message| self.rule(&url_key, message))?;
        for label in external_labels.keys() {
            self.check_label_name(label, &format!("{key}.external_labels"))?;
        }
        for (header, value) in &headers {
            let header_ok =
                header.parse::<http::HeaderName>().is_ok() && value.parse::<http::HeaderValue>().is_ok();
            if !header_ok {
                return Err(self.rule(&format!("{key}.headers"), format!("{header:?} is no valid header")));
            }
        }
        if tenant_id.as_ref().is_some_and(|id| id.parse::<http::HeaderValue>().is_err()) {
            return Err(self.rule(&format!("{key}.tenant_id"), "cannot be sent in a header"));
        }
        let default_backoff =
            if self.dialect == Dialect::Promtail { PROMTAIL_BACKOFF } else { CAIRN_BACKOFF };
        let backoff = Backoff {
            min: backoff_config.min_period.map_or(default_backoff.min, |v| v.get()),
            max: backoff_config.max_period.map_or(default_backoff.max, |v| v.get()),
            max_retries: backoff_config.max_retries.unwrap_or(default_backoff.max_retries),
        };
        if backoff.min.is_zero() || backoff.max < backoff.min {
            return Err(self.rule(&format!("{key}.backoff_config"), "needs 0 < min_period <= max_period"));
        }
        let timeout = timeout.map_or(DEFAULT_TIMEOUT, |v| v.get());
        if timeout.is_zero() {
            return Err(self.rule(&format!("{key}.timeout"), "must not be zero"));
        }
        let batch_bytes = batchsize.map_or(DEFAULT_BATCH_BYTES, |size| size.as_usize());
        if batch_bytes == 0 || batch_bytes > MAX_BATCH_BYTES {
            return Err(self.rule(&format!("{key}.batchsize"), "from 1 byte to 32MiB"));
        }
        Ok(Arc::new(ClientSettings {
            name: name.unwrap_or(host),
            url,
            tenant_id: tenant_id.filter(|id| !id.is_empty()),
            headers,
            external_labels,
            batch_bytes,
            batch_wait: batchwait.map(|v| v.get()),
            timeout,
            backoff,
            drop_rate_limited: drop_rate_limited_batches.unwrap_or(false),
        }))
    }

    fn targets(&mut self, scrapes: Vec<RawScrape>) -> Result<Vec<Arc<Target>>, ConfigError> {
        let hostname = hostname();
        let mut targets = Vec::new();
        let mut jobs = BTreeSet::new();
        for (index, scrape) in scrapes.into_iter().enumerate() {
            let key = format!("scrape_configs[{index}]");
            let RawScrape { job_name, static_configs, pipeline_stages, .. } = scrape;
            if job_name.is_empty() && self.dialect == Dialect::Cairn {
                return Err(self.rule(&format!("{key}.job_name"), "is needed"));
            }
            if !job_name.is_empty() && !jobs.insert(job_name.clone()) {
                return Err(self.rule(&format!("{key}.job_name"), format!("{job_name:?} is there twice")));
            }
            let pipeline = Pipeline::build(&pipeline_stages.unwrap_or_default()).map_err(|error| {
                self.rule(&format!("{key}.pipeline_stages[{}].{}", error.index, error.stage), error.message)
            })?;
            let pipeline = Arc::new(pipeline);
            for (nth, one) in static_configs.into_iter().enumerate() {
                let key = format!("{key}.static_configs[{nth}].labels");
                if let Some(target) = self.target(one, &job_name, &pipeline, &hostname, &key)? {
                    targets.push(target);
                }
            }
        }
        Ok(targets)
    }

    fn target(
        &mut self,
        raw: RawStatic,
        job: &str,
        pipeline: &Arc<Pipeline>,
        hostname: &str,
        key: &str,
    ) -> Result<Option<Arc<Target>>, ConfigError> {
        let RawStatic { targets: _, labels: written } = raw;
        let mut labels = BTreeMap::new();
        if self.dialect == Dialect::Cairn {
            labels.insert("job".to_owned(), job.to_owned());
            labels.insert("host".to_owned(), hostname.to_owned());
        }
        let Some(path) = written.get("__path__") else {
            return Err(
                self.rule(&format!("{key}.__path__"), "is needed: the files to tail, such as /var/log/*.log")
            );
        };
        // Promtail: a target for another host is left alone.
        if written.get("__host__").is_some_and(|host| host != hostname) {
            self.warnings.push(format!("{key}: __host__ is not this host, the target is left out"));
            return Ok(None);
        }
        for (name, value) in &written {
            self.check_label_name(name, key)?;
            if !name.starts_with("__") {
                labels.insert(name.clone(), value.clone());
            }
        }
        let exclude = written.get("__path_exclude__").map(String::as_str);
        let target = Target::new(job, path, exclude, labels, Arc::clone(pipeline))
            .map_err(|error| self.rule(&format!("{key}.{}", error.key), error.message))?;
        Ok(Some(Arc::new(target)))
    }

    fn check_label_name(&self, name: &str, key: &str) -> Result<(), ConfigError> {
        if is_label_name(name) {
            Ok(())
        } else {
            Err(self.rule(key, format!("{name:?} is no label name ([a-zA-Z_][a-zA-Z0-9_]*)")))
        }
    }
}

/// The URL to push to, and a name for it.
fn parse_url(text: &str) -> Result<(http::Uri, String), String> {
    let url: http::Uri = text.parse().map_err(|error| format!("{error}"))?;
    match url.scheme_str() {
        Some("http") => {}
        Some("https") => return Err("https is not served yet: TLS comes with a later version".to_owned()),
        _ => return Err("expected http://host:port/loki/api/v1/push".to_owned()),
    }
    let authority = url.authority().ok_or("the host is missing")?;
    if authority.as_str().contains('@') {
        return Err("user and password in the URL are not served yet".to_owned());
    }
    let host = authority.as_str().to_owned();
    Ok((url, host))
}

fn hostname() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| "localhost".to_owned())
}
