//! All jobs: applies a configuration, takes what discovery finds, shows what is running.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use cairn_model::Labels;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::pool::{Groups, Pool, Retired};
use super::worker::{Env, Phase};
use crate::config::resolve::Config;
use crate::discovery;
use crate::metrics::Metrics;
use crate::storage::Storage;
use crate::target::Target;

/// One job as the API shows it.
#[derive(Clone, Debug)]
pub struct PoolView {
    /// Its name.
    pub job_name: String,
    /// Its targets, sorted by labels.
    pub targets: Vec<Arc<Target>>,
    /// Dropped targets, as far as they are remembered: their labels before relabelling.
    pub dropped: Vec<Labels>,
    /// How many targets were dropped.
    pub n_dropped: usize,
}

/// Owner of every scrape loop.
#[derive(Debug)]
pub struct ScrapeManager {
    env: Arc<Env>,
    tasks: TaskTracker,
    state: Mutex<State>,
    /// What the API reads without waiting for a reload.
    view: RwLock<Arc<Vec<PoolView>>>,
}

#[derive(Debug, Default)]
struct State {
    pools: BTreeMap<String, Pool>,
    retired: Vec<Retired>,
    /// Discovery of each job; dropping the guard ends it.
    discovery: BTreeMap<String, tokio_util::sync::DropGuard>,
    seed: u64,
    is_stopping: bool,
}

impl ScrapeManager {
    /// A manager without jobs. Loops and discovery run on `tasks`.
    pub fn new(storage: Arc<Storage>, metrics: Arc<Metrics>, tasks: TaskTracker) -> Arc<Self> {
        let env = Arc::new(Env::new(storage, metrics));
        Arc::new(Self { env, tasks, state: Mutex::default(), view: RwLock::default() })
    }

    /// Makes the running jobs those of `config`. Jobs whose keys are unchanged go on as if nothing had happened.
    pub async fn apply(self: &Arc<Self>, config: &Config) {
        let mut state = self.state.lock().await;
        if state.is_stopping {
            return;
        }
        let seed = seed_of(&config.external_labels);
        let is_same_seed = state.seed == seed;
        state.seed = seed;
        let mut before = std::mem::take(&mut state.pools);
        for wanted in &config.pools {
            let name = wanted.job_name.clone();
            let pool = match before.remove(&name) {
                Some(pool) if is_same_seed && pool.config.raw == wanted.raw => {
                    state.pools.insert(name, pool);
                    continue;
                }
                Some(pool) => pool.replace(Arc::clone(wanted)).await,
                None => Pool::new(Arc::clone(wanted), self.env.threads.n()),
            };
            state.pools.insert(name.clone(), pool);
            state.discovery.remove(&name);
            if !wanted.discoveries.is_empty() {
                let stop = CancellationToken::new();
                for (source, discovery) in &wanted.discoveries {
                    let run = discovery::run(
                        Arc::downgrade(self),
                        name.clone(),
                        source.clone(),
                        discovery.clone(),
                        Arc::clone(&self.env.metrics),
                        stop.clone(),
                    );
                    self.tasks.spawn(run);
                }
                state.discovery.insert(name.clone(), stop.drop_guard());
            }
            self.sync(&mut state, &name);
        }
        for (name, pool) in before {
            state.discovery.remove(&name);
            self.env.metrics.lengths.forget_job(&name);
            let retired = pool.end(Phase::Removed);
            state.retired.extend(retired);
        }
        state.retired.retain(|retired| !retired.is_finished());
        self.publish(&state);
    }

    /// Replaces the groups of one source of one job.
    pub(crate) async fn set_groups(&self, job: &str, source: String, groups: Groups) {
        let mut state = self.state.lock().await;
        let Some(pool) = state.pools.get_mut(job) else { return };
        pool.set_groups(source, groups);
        self.sync(&mut state, job);
        state.retired.retain(|retired| !retired.is_finished());
        self.publish(&state);
    }

    /// Ends every loop at once, without stale markers. The tracker given to [`new`](Self::new) tells when they are gone.
    pub async fn stop(&self) {
        let mut state = self.state.lock().await;
        state.is_stopping = true;
        state.discovery.clear();
        for (_, pool) in std::mem::take(&mut state.pools) {
            let retired = pool.end(Phase::ShutDown);
            state.retired.extend(retired);
        }
        for retired in &state.retired {
            retired.shut_down();
        }
    }

    /// The jobs, in the order of their names.
    pub fn view(&self) -> Arc<Vec<PoolView>> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn sync(&self, state: &mut State, job: &str) {
        let seed = state.seed;
        if state.is_stopping {
            return;
        }
        if let Some(pool) = state.pools.get_mut(job) {
            let began = Instant::now();
            let retired = pool.sync(&self.env, seed, &self.tasks);
            self.env.metrics.lengths.sync(job, began.elapsed().as_secs_f64());
            state.retired.extend(retired);
        }
    }

    fn publish(&self, state: &State) {
        let view = state
            .pools
            .iter()
            .map(|(name, pool)| PoolView {
                job_name: name.clone(),
                targets: pool.targets(),
                dropped: pool.dropped.clone(),
                n_dropped: pool.n_dropped,
            })
            .collect();
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }
}

/// Differs between stores, so that two of them do not ask one target at the same moment; the same after a restart.
fn seed_of(external_labels: &Labels) -> u64 {
    let host = crate::host::name();
    xxhash_rust::xxh3::xxh3_64_with_seed(host.as_bytes(), external_labels.stable_hash())
}
