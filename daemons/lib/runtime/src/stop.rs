//! Stopping in the reverse order of starting, under one deadline.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

use crate::notify;

type StepFuture = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// Steps that undo a daemon's start. Add each step right after what it undoes was started; they run last to first.
pub struct StopPlan {
    deadline: Duration,
    steps: Vec<(&'static str, StepFuture)>,
}

/// What went wrong while stopping. Every step was still given its chance.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// Steps that reported an error; it was logged when it happened.
    #[error("stop: failed in {0}")]
    Failed(String),
    /// The total deadline passed.
    #[error("stop: {step} not done after {deadline:?} in all; not even started: {skipped}")]
    Late {
        /// The step that was cut off.
        step: &'static str,
        /// The plan's deadline.
        deadline: Duration,
        /// Names of the steps that had no time left, or `nothing`.
        skipped: String,
    },
}

impl StopPlan {
    /// An empty plan. `deadline` bounds all steps together and stays below the unit's `TimeoutStopSec`.
    pub fn new(deadline: Duration) -> Self {
        Self { deadline, steps: Vec::new() }
    }

    /// Adds a step. The future does nothing until [`StopPlan::run`].
    pub fn step(
        &mut self,
        name: &'static str,
        step: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) -> &mut Self {
        self.steps.push((name, Box::pin(step)));
        self
    }

    /// Tells systemd, then runs the steps in reverse order and logs how long each took.
    ///
    /// A step that fails does not keep the next one from running.
    ///
    /// # Errors
    /// [`StopError`] naming the steps that failed, or those for which the deadline left no time.
    pub async fn run(self) -> Result<(), StopError> {
        notify::stopping();
        let start = Instant::now();
        let until = start + self.deadline;
        let mut failed = Vec::new();
        let mut steps = self.steps.into_iter().rev();
        while let Some((name, step)) = steps.next() {
            let step_start = Instant::now();
            let outcome = tokio::time::timeout_at(until, step).await;
            let took_ms = millis(step_start.elapsed());
            match outcome {
                Ok(Ok(())) => tracing::info!(step = name, took_ms, "stop step done"),
                Ok(Err(error)) => {
                    tracing::error!(step = name, took_ms, error = format!("{error:#}"), "stop step failed");
                    failed.push(name);
                }
                Err(_) => {
                    let skipped: Vec<_> = steps.map(|(name, _)| name).collect();
                    let skipped = if skipped.is_empty() { "nothing".to_owned() } else { skipped.join(", ") };
                    return Err(StopError::Late { step: name, deadline: self.deadline, skipped });
                }
            }
        }
        tracing::info!(took_ms = millis(start.elapsed()), "stopped");
        if failed.is_empty() { Ok(()) } else { Err(StopError::Failed(failed.join(", "))) }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl std::fmt::Debug for StopPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.steps.iter().map(|(name, _)| name).collect();
        f.debug_struct("StopPlan").field("deadline", &self.deadline).field("steps", &names).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test]
    async fn steps_run_in_reverse_and_a_failure_does_not_stop_the_rest() {
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut plan = StopPlan::new(Duration::from_secs(5));
        for name in ["lock", "store", "http"] {
            let order = Arc::clone(&order);
            plan.step(name, async move {
                order.lock().unwrap().push(name);
                anyhow::ensure!(name != "store", "disk gone");
                Ok(())
            });
        }
        let error = plan.run().await.unwrap_err();
        assert_eq!(*order.lock().unwrap(), ["http", "store", "lock"]);
        assert_eq!(error.to_string(), "stop: failed in store");
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_holds_for_all_steps_together() {
        let mut plan = StopPlan::new(Duration::from_secs(5));
        plan.step("lock", async { Ok(()) });
        plan.step("store", std::future::pending());
        plan.step("http", async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            Ok(())
        });
        let error = plan.run().await.unwrap_err();
        assert_eq!(error.to_string(), "stop: store not done after 5s in all; not even started: lock");
    }
}
