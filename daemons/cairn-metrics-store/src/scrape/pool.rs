//! All targets of one job: discovery's groups in, running loops out.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cairn_http::client::Client;
use cairn_model::Labels;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::ingest::ScrapeState;
use super::schedule::Schedule;
use super::worker::{Env, Phase, Worker};
use crate::config::file::{ScrapeConfig, StaticConfig};
use crate::config::resolve::PoolConfig;
use crate::target::{Discovered, Status, Target, discover};
use crate::version;

/// Groups of targets, with the meta labels of where they were found among their labels.
pub(crate) type Groups = Vec<StaticConfig>;

/// Dropped targets that are remembered when `keep_dropped_targets` sets no limit.
const MAX_KEPT_DROPPED: usize = 10_000;

#[derive(Debug)]
struct Running {
    target: Arc<Target>,
    phase: watch::Sender<Phase>,
    task: JoinHandle<ScrapeState>,
}

/// A loop on its way out.
#[derive(Debug)]
pub(crate) struct Retired {
    phase: watch::Sender<Phase>,
    task: JoinHandle<ScrapeState>,
}

impl Retired {
    pub(crate) fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    pub(crate) fn shut_down(&self) {
        // A loop that has ended no longer listens, which is what is wanted.
        let _ = self.phase.send(Phase::ShutDown);
    }
}

/// One job.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) config: Arc<PoolConfig>,
    /// One for each thread, so that a connection stays on the thread of its target.
    clients: Vec<Client>,
    /// By source: the main file (empty), or one discovery.
    groups: BTreeMap<String, Groups>,
    running: BTreeMap<u64, Running>,
    /// Labels of dropped targets before relabelling.
    pub(crate) dropped: Vec<Labels>,
    /// How many were dropped, remembered or not.
    pub(crate) n_dropped: usize,
    /// What is known of the targets that ran under the previous configuration, by their keys.
    inherited: BTreeMap<u64, Inherited>,
}

/// What is known of a target.
#[derive(Debug)]
struct Inherited {
    labels_hash: u64,
    state: ScrapeState,
    status: Status,
}

impl Pool {
    /// A job whose loops run on so many threads.
    pub(crate) fn new(config: Arc<PoolConfig>, n_threads: usize) -> Self {
        let groups = config.static_groups.clone();
        let client = |_| Client::with_config(version::USER_AGENT, config.client.clone());
        Self {
            clients: (0..n_threads).map(client).collect(),
            config,
            groups: BTreeMap::from([(String::new(), groups)]),
            running: BTreeMap::new(),
            dropped: Vec::new(),
            n_dropped: 0,
            inherited: BTreeMap::new(),
        }
    }

    /// Running targets, sorted by labels.
    pub(crate) fn targets(&self) -> Vec<Arc<Target>> {
        let mut targets: Vec<_> = self.running.values().map(|running| Arc::clone(&running.target)).collect();
        targets.sort_by(|a, b| a.labels.cmp(&b.labels));
        targets
    }

    /// Replaces what one source has found.
    pub(crate) fn set_groups(&mut self, source: String, groups: Groups) {
        self.groups.insert(source, groups);
    }

    /// The job under a changed configuration. Loops are started anew, but each target's series stay known, so that a
    /// reload neither marks anything stale nor reads a label twice.
    pub(crate) async fn replace(self, config: Arc<PoolConfig>) -> Self {
        let mut next = Self::new(config, self.clients.len());
        if has_same_discovery(&next.config.raw, &self.config.raw) {
            // Known until they are found again, so that their targets do not vanish for a moment.
            next.groups.extend(self.groups.into_iter().filter(|(source, _)| !source.is_empty()));
        }
        for running in self.running.values() {
            let _ = running.phase.send(Phase::HandOver);
        }
        for (key, running) in self.running {
            if let Ok(state) = running.task.await {
                let labels_hash = running.target.labels.stable_hash();
                let status = running.target.status();
                next.inherited.insert(key, Inherited { labels_hash, state, status });
            }
        }
        next
    }

    /// Starts loops for new targets, ends those of vanished ones (they are handed back), leaves the others alone.
    pub(crate) fn sync(&mut self, env: &Arc<Env>, seed: u64, tasks: &TaskTracker) -> Vec<Retired> {
        self.dropped.clear();
        self.n_dropped = 0;
        let keep_dropped = match self.config.limits.kept_dropped_targets {
            0 => MAX_KEPT_DROPPED,
            limit => usize::try_from(limit).unwrap_or(usize::MAX),
        };
        let mut wanted: BTreeMap<u64, Target> = BTreeMap::new();
        env.metrics.scrape.synced(&self.config.job_name);
        for group in self.groups.values().flatten() {
            for discovered in discover(&self.config, group) {
                match discovered {
                    // The same target from two sources is scraped once.
                    Ok(Discovered::Kept(target)) => drop(wanted.insert(target.key(), *target)),
                    Ok(Discovered::Dropped(labels)) => {
                        self.n_dropped += 1;
                        if self.dropped.len() < keep_dropped {
                            self.dropped.push(labels);
                        }
                    }
                    Err(error) => {
                        env.metrics.scrape.sync_failed(&self.config.job_name);
                        tracing::warn!(job = %self.config.job_name, error, "target left out");
                    }
                }
            }
        }
        let (kept, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.running).into_iter().partition(|(key, _)| wanted.contains_key(key));
        self.running = kept;
        let limit = self.config.limits.targets;
        let n_wanted = wanted.len();
        // Known under a URL that no target has now. One with the same labels goes on where it ended: the changed
        // configuration asks it by another path, or the like.
        let mut moved: HashMap<u64, Vec<u64>> = HashMap::new();
        for (key, inherited) in self.inherited.iter().filter(|(key, _)| !wanted.contains_key(key)) {
            moved.entry(inherited.labels_hash).or_default().push(*key);
        }
        for (key, target) in wanted {
            self.running.entry(key).or_insert_with(|| {
                let inherited = self.inherited.remove(&key).or_else(|| {
                    let known_as = moved.get_mut(&target.labels.stable_hash())?.pop()?;
                    self.inherited.remove(&known_as)
                });
                let (state, status) =
                    inherited.map(|inherited| (inherited.state, inherited.status)).unwrap_or_default();
                target.set_status(status);
                start(&self.clients, Arc::clone(&self.config), target, state, env, seed, tasks)
            });
        }
        // Over the limit every target of the job fails: it cannot be told which of them are one too many.
        let reason = (limit > 0 && n_wanted as u64 > limit)
            .then(|| format!("target_limit exceeded (number of targets: {n_wanted}, limit: {limit})"));
        if reason.is_some() {
            env.metrics.scrape.over_target_limit.inc();
        }
        for running in self.running.values() {
            running.target.force_error(reason.clone());
        }
        // Targets that the changed configuration no longer has: their loops ended with the hand-over.
        let left = std::mem::take(&mut self.inherited);
        if !left.is_empty() {
            let env = Arc::clone(env);
            tasks.spawn_blocking(move || env.end_now(left.into_values().map(|inherited| inherited.state)));
        }
        gone.into_values().map(|running| retire(running, Phase::Removed)).collect()
    }

    /// Ends all loops.
    pub(crate) fn end(self, phase: Phase) -> Vec<Retired> {
        self.running.into_values().map(|running| retire(running, phase)).collect()
    }
}

fn has_same_discovery(a: &ScrapeConfig, b: &ScrapeConfig) -> bool {
    a.file_sd_configs == b.file_sd_configs
        && a.http_sd_configs == b.http_sd_configs
        && a.dns_sd_configs == b.dns_sd_configs
        && a.ec2_sd_configs == b.ec2_sd_configs
}

fn retire(running: Running, phase: Phase) -> Retired {
    let _ = running.phase.send(phase);
    Retired { phase: running.phase, task: running.task }
}

fn start(
    clients: &[Client],
    pool: Arc<PoolConfig>,
    target: Target,
    state: ScrapeState,
    env: &Arc<Env>,
    seed: u64,
    tasks: &TaskTracker,
) -> Running {
    let target = Arc::new(target);
    let (sender, receiver) = watch::channel(Phase::Run);
    let (thread, event_loop) = env.threads.pick();
    let worker = Worker {
        env: Arc::clone(env),
        client: clients[thread].clone(),
        pool,
        schedule: Schedule::new(target.interval.ms(), target.key(), seed),
        target: Arc::clone(&target),
        phase: receiver,
    };
    Running { target, phase: sender, task: tasks.spawn_on(worker.run(state), event_loop) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::resolve::{Config, Origin};
    use crate::metrics::Metrics;
    use crate::storage::Storage;

    fn config(yaml: &str) -> Arc<PoolConfig> {
        let file = serde_saphyr::from_str(yaml).unwrap();
        let config = Config::resolve(file, Origin::Prometheus, Path::new("/")).unwrap();
        Arc::clone(&config.pools[0])
    }

    /// Two targets of equal labels, which are asked at two addresses, by this path. Nobody asks them during a test.
    fn twins(path: &str) -> Arc<PoolConfig> {
        config(&format!(
            "scrape_configs: [{{job_name: app, scrape_interval: 1d, metrics_path: {path}, \
             static_configs: [{{targets: ['127.0.0.1:1', '127.0.0.1:2']}}], \
             relabel_configs: [{{target_label: instance, replacement: same}}]}}]"
        ))
    }

    fn errors(pool: &Pool) -> Vec<(String, String)> {
        let error = |target: &Arc<Target>| (target.url.to_string(), target.status().last_error);
        let mut all: Vec<_> = pool.targets().iter().map(error).collect();
        all.sort();
        all
    }

    #[tokio::test]
    async fn targets_of_equal_labels_keep_what_is_known_of_each() {
        let env = Arc::new(Env::new(Storage::for_tests(), Metrics::new()));
        let tasks = TaskTracker::new();
        let mut pool = Pool::new(twins("/metrics"), env.threads.n());
        pool.sync(&env, 1, &tasks);
        for target in pool.targets() {
            target.set_status(Status { last_error: target.url.to_string(), ..Status::default() });
        }
        let before = errors(&pool);
        assert_eq!(before.len(), 2);
        let mut pool = pool.replace(twins("/metrics")).await;
        pool.sync(&env, 1, &tasks);
        assert_eq!(errors(&pool), before, "each its own");
        let mut pool = pool.replace(twins("/other")).await;
        pool.sync(&env, 1, &tasks);
        let mut moved: Vec<String> = errors(&pool).into_iter().map(|(_, error)| error).collect();
        moved.sort();
        let known: Vec<String> = before.into_iter().map(|(_, error)| error).collect();
        assert_eq!(moved, known, "under another URL none is lost");
        for retired in pool.end(Phase::ShutDown) {
            retired.shut_down();
        }
    }
}
