//! Runs queries: a bounded number at once, on blocking threads, within their time, until the client goes away.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use cairn_model::TimeMs;
use cairn_promql::ast::ValueType;
use cairn_promql::{Answer, EvalError, Expr, Options, ParseError, ParseOptions, SourceError, Stop, Value};
use cairn_tsdb::Db;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::active_queries::{ActiveQueries, ActiveQuery};
use crate::metrics::Metrics;
use crate::query_log;
use crate::scrape::schedule::now_ms;
use crate::storage::Storage;

/// Questions about labels and series that run at once; more wait. Each may walk the whole index, and a dashboard that
/// opens asks many; they have places of their own, so that heavy queries do not keep its drop-down lists empty.
const MAX_LABEL_QUESTIONS: usize = 8;

/// Longest expression in bytes. Reading one takes some fifty times its length in memory, and a body may be far longer
/// than any query that a person or a dashboard writes.
pub(crate) const MAX_QUERY_BYTES: usize = 1 << 20;

/// Expressions up to this length are read at once, on the thread that took the request: some ten microseconds.
const MAX_INLINE_BYTES: usize = 16 << 10;

/// Limits of the engine, as the flags set them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// Queries that run at once; more wait.
    pub max_concurrency: usize,
    /// Longest query, its waiting included.
    pub timeout: Duration,
    /// Most samples that one query holds.
    pub max_samples: u64,
    /// How far an instant selector looks back, in milliseconds.
    pub lookback_ms: i64,
    /// Whether the functions are taken that Prometheus has behind `promql-experimental-functions`.
    pub has_experimental_functions: bool,
    /// Whether names are dropped at the end of a query only (`promql-delayed-name-removal`).
    pub has_delayed_name_removal: bool,
    /// Whether `rate` and its kin use the start timestamps of samples (`use-start-timestamps`).
    pub has_start_timestamps: bool,
}

impl Default for EngineOptions {
    /// Prometheus's defaults, and experimental functions besides: taking them changes no query that it would answer.
    fn default() -> Self {
        Self {
            max_concurrency: 20,
            timeout: Duration::from_secs(120),
            max_samples: 50_000_000,
            lookback_ms: 300_000,
            has_experimental_functions: true,
            has_delayed_name_removal: false,
            has_start_timestamps: false,
        }
    }
}

/// Reads an expression of bounded length.
///
/// # Errors
/// [`ParseError`]: it is too long, or does not parse.
pub fn parse_bounded(text: &str, options: ParseOptions) -> Result<Expr, ParseError> {
    if text.len() > MAX_QUERY_BYTES {
        let message = format!("the query has {} bytes, at most {MAX_QUERY_BYTES} are read", text.len());
        return Err(ParseError { position: None, message });
    }
    cairn_promql::parse_with(text, options)
}

/// When to evaluate.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// Once.
    Instant(TimeMs),
    /// At start, start + step, ... up to and including end.
    Range {
        /// First instant.
        start: TimeMs,
        /// Last instant.
        end: TimeMs,
        /// Distance, above zero.
        step_ms: i64,
    },
}

/// One query.
#[derive(Clone, Debug)]
pub struct Query {
    /// The expression.
    pub text: String,
    /// When to evaluate it.
    pub when: When,
    /// Shorter than the engine's time-out.
    pub timeout: Option<Duration>,
    /// Instead of the engine's lookback.
    pub lookback_ms: Option<i64>,
    /// Whether the samples are counted that each step looks at.
    pub count_samples: bool,
}

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// It does not parse.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A range query of something that has no value at each step.
    #[error("invalid expression type \"{0}\" for range query, must be Scalar or instant Vector")]
    RangeType(&'static str),
    /// It cannot be computed.
    #[error(transparent)]
    Eval(EvalError),
    /// Too many others were running for too long.
    #[error("query timed out in query queue")]
    QueueTimeout,
    /// The evaluation panicked; the log says where.
    #[error("the evaluation of the query broke off")]
    Broken,
}

/// What a query cost, for the parameter `stats`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// Waiting for a free place.
    pub queued: Duration,
    /// Parsing.
    pub prepared: Duration,
    /// Evaluating, without sorting.
    pub evaluated: Duration,
    /// Sorting the result, where it was sorted.
    pub sorted: Option<Duration>,
}

impl Timings {
    /// Queued, prepared, evaluated, sorted, in seconds.
    pub fn seconds(&self) -> [f64; 4] {
        let sorted = self.sorted.unwrap_or_default();
        [self.queued, self.prepared, self.evaluated, sorted].map(|duration| duration.as_secs_f64())
    }
}

/// What a query cost in samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// What all steps would look at together, each for itself.
    pub queryable: u64,
    /// What was looked at, each sample of overlapping windows once.
    pub read: u64,
    /// Most samples held at once.
    pub peak: u64,
}

impl Cost {
    /// Of an answer; where steps were not counted, what was read is what came from the database.
    pub fn of(answer: &Answer) -> Self {
        let Answer { stats, counts, .. } = answer;
        let read = counts.as_ref().map_or(stats.samples_read, |counts| counts.read.iter().sum());
        Self { queryable: stats.samples_queryable, read, peak: stats.peak_samples }
    }
}

/// The engine.
#[derive(Debug)]
pub struct Engine {
    storage: Arc<Storage>,
    metrics: Arc<Metrics>,
    active: Arc<ActiveQueries>,
    options: EngineOptions,
    /// Where queries are logged; follows the configuration.
    query_log: RwLock<Option<PathBuf>>,
    /// Step of subqueries that name none; follows `evaluation_interval`.
    subquery_step_ms: AtomicI64,
    places: Arc<Semaphore>,
    label_places: Arc<Semaphore>,
}

/// Sets the flag when the request's future is dropped: the client has gone away.
pub(crate) struct CancelOnDrop(pub(crate) Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Engine {
    /// An engine over `storage`.
    pub fn new(storage: Arc<Storage>, metrics: Arc<Metrics>, options: EngineOptions) -> Self {
        let places = options.max_concurrency.max(1);
        metrics.query.concurrent_max.set(i64::try_from(places).unwrap_or(i64::MAX));
        Self {
            storage,
            active: ActiveQueries::new(Arc::clone(&metrics)),
            metrics,
            options,
            query_log: RwLock::default(),
            subquery_step_ms: AtomicI64::new(Options::default().default_subquery_step_ms),
            places: Arc::new(Semaphore::new(places)),
            label_places: Arc::new(Semaphore::new(MAX_LABEL_QUESTIONS)),
        }
    }

    /// Sets the step of subqueries that name none.
    pub fn set_subquery_step(&self, ms: i64) {
        self.subquery_step_ms.store(ms.max(1), Ordering::Relaxed);
    }

    /// Sets where queries are logged.
    pub fn set_query_log(&self, path: Option<PathBuf>) {
        self.metrics.query.log_enabled.set(i64::from(path.is_some()));
        *self.query_log.write().unwrap_or_else(PoisonError::into_inner) = path;
    }

    /// How expressions are parsed, wherever the API takes one.
    pub fn parse_options(&self) -> ParseOptions {
        ParseOptions { experimental_functions: self.options.has_experimental_functions }
    }

    /// Whether names are dropped at the end of a query only.
    pub fn has_delayed_name_removal(&self) -> bool {
        self.options.has_delayed_name_removal
    }

    /// The queries that wait and run.
    pub fn active(&self) -> Vec<ActiveQuery> {
        self.active.all()
    }

    /// Queries that run at once.
    pub fn max_concurrency(&self) -> usize {
        self.options.max_concurrency.max(1)
    }

    /// How far an instant selector looks back, in milliseconds.
    pub fn lookback_ms(&self) -> i64 {
        self.options.lookback_ms
    }

    /// Runs one query, and makes of its answer what is to be sent: both off the async threads, since writing millions of
    /// points out takes its time as well.
    ///
    /// # Errors
    /// [`QueryError`]
    pub async fn run<T: Send + 'static>(
        &self,
        query: Query,
        render: impl FnOnce(Answer, Timings) -> T + Send + 'static,
    ) -> Result<T, QueryError> {
        let began = Instant::now();
        let parse_options = self.parse_options();
        let prepare = move |query: &Query| {
            let began = Instant::now();
            let expr = parse_bounded(&query.text, parse_options)?;
            check_type(&expr, query.when)?;
            Ok::<_, QueryError>((expr, began.elapsed()))
        };
        // What is wrong with a query must not wait for those that are running. A long text would hold up an async thread.
        let prepared = if query.text.len() <= MAX_INLINE_BYTES { Some(prepare(&query)?) } else { None };
        let tracked = self.active.track(&query.text, query.when, now_ms());
        let timeout = query.timeout.map_or(self.options.timeout, |wanted| wanted.min(self.options.timeout));
        if timeout.is_zero() {
            return Err(QueryError::QueueTimeout);
        }
        let place = wait_for_place(&self.places, timeout).await?;
        let queued = began.elapsed();
        tracked.set_running();
        let is_canceled = Arc::new(AtomicBool::new(false));
        let _guard = CancelOnDrop(Arc::clone(&is_canceled));
        let (storage, metrics) = (Arc::clone(&self.storage), Arc::clone(&self.metrics));
        let engine = self.options;
        let query_log = self.query_log.read().unwrap_or_else(PoisonError::into_inner).clone();
        let subquery_step_ms = self.subquery_step_ms.load(Ordering::Relaxed);
        let work = tokio::task::spawn_blocking(move || {
            // The place is free again when the work ends, not when its client goes away.
            let _place = place;
            let _tracked = tracked;
            let (expr, prepared) = match prepared {
                Some(prepared) => prepared,
                None => prepare(&query)?,
            };
            let stop = move || {
                if is_canceled.load(Ordering::Acquire) {
                    Some(Stop::Canceled)
                } else if began.elapsed() >= timeout {
                    Some(Stop::TimedOut)
                } else {
                    None
                }
            };
            let evaluate = Instant::now();
            let clock = || evaluate.elapsed();
            let options = Options {
                lookback_ms: query.lookback_ms.unwrap_or(engine.lookback_ms),
                max_samples: engine.max_samples,
                default_subquery_step_ms: subquery_step_ms,
                delayed_name_removal: engine.has_delayed_name_removal,
                start_timestamps: engine.has_start_timestamps,
                count_samples: query.count_samples || query_log.is_some(),
                stop: Some(&stop),
                clock: Some(&clock),
            };
            let outcome = evaluate_on(&storage, &expr, query.when, &options);
            let sorted = outcome.as_ref().ok().and_then(|answer| answer.stats.sorting);
            let evaluated = clock().saturating_sub(sorted.unwrap_or_default());
            let timings = Timings { queued, prepared, evaluated, sorted };
            metrics.lengths.query(&timings);
            if let Some(path) = query_log {
                let outcome = outcome.as_ref().map(Cost::of).map_err(ToString::to_string);
                if !query_log::append(&path, &query.text, query.when, &timings, outcome) {
                    metrics.query.log_failures.inc();
                }
            }
            let answer = outcome.map_err(QueryError::Eval)?;
            metrics.query.samples.inc_by(answer.stats.samples_queryable);
            metrics.query.samples_read.inc_by(answer.stats.samples_read);
            Ok::<_, QueryError>(render(answer, timings))
        });
        work.await.map_err(|_| QueryError::Broken)?
    }

    /// Answers a blocking question about labels or series, when one of few places is free. Unlike a query it is not given up
    /// when its client goes away, so it may be answered where it was asked.
    ///
    /// # Errors
    /// [`QueryError`]: no place within the time of a query, or the database cannot be read.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Db) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let place = wait_for_place(&self.label_places, self.options.timeout).await?;
        let storage = Arc::clone(&self.storage);
        let work = move || {
            let _place = place;
            question(storage.db())
        };
        let answer = match Handle::current().runtime_flavor() {
            // Handing a small question over to another thread and back takes longer than answering it.
            RuntimeFlavor::MultiThread => {
                let caught = std::panic::AssertUnwindSafe(|| tokio::task::block_in_place(work));
                std::panic::catch_unwind(caught).map_err(|_| QueryError::Broken)?
            }
            _ => tokio::task::spawn_blocking(work).await.map_err(|_| QueryError::Broken)?,
        };
        answer.map_err(|source| QueryError::Eval(EvalError::Source(source)))
    }
}

async fn wait_for_place(
    places: &Arc<Semaphore>,
    timeout: Duration,
) -> Result<OwnedSemaphorePermit, QueryError> {
    let place = tokio::time::timeout(timeout, Arc::clone(places).acquire_owned()).await;
    // The semaphore is never closed.
    place.map_err(|_| QueryError::QueueTimeout)?.map_err(|_| QueryError::Broken)
}

fn check_type(expr: &Expr, when: When) -> Result<(), QueryError> {
    match (when, expr.value_type()) {
        (When::Instant(_), _) | (_, ValueType::Scalar | ValueType::InstantVector) => Ok(()),
        (When::Range { .. }, other) => Err(QueryError::RangeType(other.documented())),
    }
}

fn evaluate_on(
    storage: &Storage,
    expr: &Expr,
    when: When,
    options: &Options<'_>,
) -> Result<Answer, EvalError> {
    let max_samples = usize::try_from(options.max_samples).unwrap_or(usize::MAX);
    let view = storage.db().view().with_max_samples(max_samples);
    let mut answer = match when {
        When::Instant(time) => cairn_promql::eval_instant(&view, expr, time, options),
        When::Range { start, end, step_ms } => {
            cairn_promql::eval_range(&view, expr, start, end, step_ms, options)
        }
    }?;
    let n_left_out = view.left_out();
    if n_left_out > 0 {
        answer.warnings.push(format!(
            "samples are missing: {n_left_out} damaged parts of blocks could not be read, the store's log names them"
        ));
    }
    Ok(answer)
}

/// Keeps the first `limit` series; whether some were left out. 0 means all.
pub fn truncate(value: &mut Value, limit: usize) -> bool {
    let cut = |len: usize| limit > 0 && len > limit;
    match value {
        Value::Vector(samples) if cut(samples.len()) => {
            samples.truncate(limit);
            true
        }
        Value::Matrix(series) if cut(series.len()) => {
            series.truncate(limit);
            true
        }
        _ => false,
    }
}
