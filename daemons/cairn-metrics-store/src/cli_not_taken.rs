//! Flags of Prometheus that are not taken: what becomes of them, for `--help` and for whoever gives one.
//!
//! They stay refused. Reading past one would leave a door open that it is to shut, or shut one that it is to open.

/// A group of flags with one answer. A name that ends in `*` stands for all that begin so.
struct NotTaken {
    flags: &'static [&'static str],
    /// What to do instead.
    instead: &'static str,
}

/// All flags of Prometheus 2.42 to 3.14 that [`crate::cli::Args`] does not have.
const NOT_TAKEN: [NotTaken; 18] = [
    NotTaken {
        flags: &["config.auto-reload", "config.auto-reload-interval"],
        instead: "send SIGHUP after a change, or POST /-/reload with --web.enable-lifecycle",
    },
    NotTaken {
        flags: &["auto-gomaxprocs", "auto-gomemlimit", "auto-gomemlimit.*"],
        instead: "settings of Go's runtime; leave it out, and let the unit limit memory and CPU (MemoryMax=, CPUQuota=)",
    },
    NotTaken {
        flags: &["web.read-timeout", "web.max-connections"],
        instead: "fixed: 30 s for the headers of a request, 2048 connections; leave it out",
    },
    NotTaken {
        flags: &["web.max-notifications-subscribers", "web.search.max-limit"],
        instead: "there are no live notifications and no search API; leave it out",
    },
    NotTaken {
        flags: &["web.user-assets", "web.local-assets", "web.page-title"],
        instead: "the pages are fixed; leave it out",
    },
    NotTaken {
        flags: &["web.remote-write-receiver.accepted-protobuf-messages"],
        instead: "remote write 1.0 and 2.0 are both taken; leave it out",
    },
    NotTaken { flags: &["storage.tsdb.retention"], instead: "its name is --storage.tsdb.retention.time" },
    NotTaken {
        flags: &[
            "storage.tsdb.min-block-duration",
            "storage.tsdb.max-block-duration",
            "storage.tsdb.max-block-chunk-segment-size",
            "storage.tsdb.samples-per-chunk",
            "storage.tsdb.wal-segment-size",
            "storage.tsdb.wal-compression",
            "storage.tsdb.wal-compression-type",
            "storage.tsdb.head-chunks-write-queue-size",
            "storage.tsdb.delayed-compaction.max-percent",
            "storage.tsdb.block-reload-interval",
        ],
        instead: "the store has a format of its own, without such settings; leave it out",
    },
    NotTaken {
        flags: &["storage.tsdb.allow-overlapping-blocks", "storage.tsdb.allow-overlapping-compaction"],
        instead: "blocks that overlap are always taken and merged; leave it out",
    },
    NotTaken {
        flags: &["storage.tsdb.no-lockfile", "storage.tsdb.use-lockfile"],
        instead: "the data directory is always locked, by a lock that ends with the process; leave it out",
    },
    NotTaken {
        flags: &["storage.tsdb.delay-compact-file.path"],
        instead: "no sidecar uploads this store's blocks; the command export writes Prometheus's, and remote read serves Thanos",
    },
    NotTaken {
        flags: &["agent", "storage.agent.*"],
        instead: "there is no agent mode; Prometheus's agent and Grafana Alloy send here by remote write",
    },
    NotTaken {
        flags: &["storage.remote.flush-deadline"],
        instead: "this version sends nothing by remote write; leave it out",
    },
    NotTaken {
        flags: &[
            "storage.remote.read-sample-limit",
            "storage.remote.read-concurrent-limit",
            "storage.remote.read-max-bytes-in-frame",
        ],
        instead: "fixed for remote read: 50,000,000 samples, 10 requests at once, frames of 1 MiB; leave it out",
    },
    NotTaken {
        flags: &["rules.*", "alertmanager.*"],
        instead: "this version evaluates no rules and sends no alerts; Grafana's alerting can do both over its API",
    },
    NotTaken {
        flags: &["scrape.adjust-timestamps", "scrape.timestamp-tolerance"],
        instead: "a scrape within 2 ms of its schedule always has the scheduled time; leave it out",
    },
    NotTaken {
        flags: &["scrape.discovery-reload-interval"],
        instead: "fixed: a discovery changes its targets every 5 s at most; leave it out",
    },
    NotTaken { flags: &["write-documentation"], instead: "the manual is cairn-metrics-store(8)" },
];

/// Of which flag `name` is the one that switches it off: `--no-web.x`.
fn positive(name: &str) -> &str {
    name.strip_prefix("no-").unwrap_or(name)
}

/// What to do instead of giving this flag (`--web.read-timeout`), if it is one of Prometheus's.
pub(crate) fn instead_of(flag: &str) -> Option<String> {
    let name = flag.strip_prefix("--")?;
    let known = |name: &str| {
        NOT_TAKEN.iter().find(|group| {
            group.flags.iter().any(|flag| match flag.strip_suffix('*') {
                Some(start) => name.starts_with(start),
                None => *flag == name,
            })
        })
    };
    if let Some(group) = known(name).or_else(|| known(positive(name))) {
        return Some(format!("a flag of Prometheus that is not taken here: {}", group.instead));
    }
    let is_switch = SWITCHES.contains(&positive(name)) && positive(name) != name;
    is_switch.then(|| format!("off unless it is given; leave --{name} out"))
}

/// Switches that are taken, which Prometheus has with `no-` in front as well.
const SWITCHES: [&str; 4] = [
    "web.enable-lifecycle",
    "web.enable-admin-api",
    "web.enable-remote-write-receiver",
    "web.enable-otlp-receiver",
];

/// The list at the end of `--help`.
pub(crate) fn help() -> String {
    let mut text = "Flags of Prometheus that are not taken:\n".to_owned();
    for group in &NOT_TAKEN {
        let names: Vec<String> = group.flags.iter().map(|flag| format!("--{flag}")).collect();
        text.push_str(&format!("  {}\n      {}\n", names.join(", "), group.instead));
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Args;

    /// As `prometheus --help` lists them, 2.42 and 3.14, without those of the log and of help.
    const OF_PROMETHEUS: &str = include_str!("../testdata/flags_of_prometheus.txt");

    #[test]
    fn every_flag_of_prometheus_is_taken_or_explained() {
        let taken: Vec<String> =
            Args::command().get_arguments().filter_map(|arg| arg.get_long().map(str::to_owned)).collect();
        let manual = include_str!("../../../packaging/cairn-metrics-store/cairn-metrics-store.8");
        for name in OF_PROMETHEUS.lines() {
            let is_taken = taken.iter().any(|flag| flag == name);
            let explained = instead_of(&format!("--{name}"));
            assert!(is_taken != explained.is_some(), "{name}: {explained:?}");
            if explained.is_some() {
                assert_eq!(instead_of(&format!("--no-{name}")), explained, "{name}");
            }
        }
        for flag in NOT_TAKEN.iter().flat_map(|group| group.flags) {
            assert!(help().contains(&format!("--{flag}")), "{flag}");
            assert!(manual.contains(&format!("Fl Fl {flag}")), "{flag} is not in the manual");
        }
        assert_eq!(instead_of("--storage.tsdb.pat"), None);
        assert!(
            instead_of("--no-web.enable-lifecycle").unwrap().contains("leave --no-web.enable-lifecycle out")
        );
        assert_eq!(instead_of("--no-such-flag"), None);
    }
}
