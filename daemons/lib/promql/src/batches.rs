//! Work on many series, spread over the cores.
//!
//! A node's series are worked on a batch at a time: all cores share a batch, and its results are pushed into the node above, in
//! order, while the cores work on the next one. So results are what one core would give, and no more of them are in memory than
//! two batches have.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::answer::EvalError;
use crate::watch::Watch;

/// Values of a batch's results, about: two megabytes.
const BATCH_VALUES: usize = 1 << 18;

/// Most values of a batch's results, unless a single result has more: 32 megabytes.
const MAX_BATCH_VALUES: usize = 1 << 22;

/// Values below which other cores are not asked: waking them takes longer.
const MIN_VALUES: usize = 1 << 12;

/// Values that one core works on in a row.
const VALUES_IN_A_ROW: usize = 1 << 13;

/// What each thread of the pool keeps from item to item.
pub(crate) struct PerThread<S>(Vec<Mutex<S>>);

impl<S> PerThread<S> {
    /// One for each thread, as `state` makes them.
    pub(crate) fn new(state: impl Fn() -> S) -> Self {
        Self((0..rayon::current_num_threads()).map(|_| Mutex::new(state())).collect())
    }

    /// Works with what the running thread keeps. Whatever `work` does, it must not wait for other work of the pool.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut S) -> R) -> R {
        let thread = rayon::current_thread_index().unwrap_or(0) % self.0.len();
        // Each is only ever used by its own thread. One that broke holds up nobody.
        work(&mut self.0[thread].lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What all of them kept.
    pub(crate) fn into_all(self) -> impl Iterator<Item = S> {
        self.0.into_iter().map(|state| state.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The results of `work` on each item, in order, or any error of one. All cores share the items, which together have `weight`
/// values; each item is worked on by one.
pub(crate) fn map_each<T: Sync, R: Send>(
    items: &[T],
    weight: usize,
    work: impl Fn(&T) -> Result<R, EvalError> + Send + Sync,
) -> Result<Vec<R>, EvalError> {
    if items.len() < 2 || weight < MIN_VALUES {
        return items.iter().map(work).collect();
    }
    // No more in a row than that either, so that no core has the heavy ones all to itself.
    let in_a_row = (VALUES_IN_A_ROW / (weight / items.len()).max(1)).max(1);
    items.par_iter().with_min_len(in_a_row).with_max_len(in_a_row).map(work).collect()
}

/// Hands the result of `work` for each item to `take`, in order. `weigh` says about how many values the work on an item handles,
/// or its result holds, whichever is more. `state` makes what each core keeps from item to item.
pub(crate) fn in_batches<'i, 'w, T: Sync, S: Send, R: Send>(
    items: &'i [T],
    weigh: impl Fn(&T) -> usize,
    watch: Watch<'w>,
    state: impl Fn() -> S,
    work: impl Fn(&'i T, &mut S, &mut Watch<'w>) -> Result<R, EvalError> + Sync,
    mut take: impl FnMut(R) -> Result<(), EvalError>,
) -> Result<(), EvalError> {
    let n_threads = rayon::current_num_threads();
    let states = PerThread::new(|| (state(), watch));
    let work_on = |item: &'i T| states.with(|(state, watch)| work(item, state, watch));
    let mut rest = items;
    let mut before: Vec<Result<R, EvalError>> = Vec::new();
    while !rest.is_empty() {
        let (n, weight) = measure(rest, &weigh, n_threads);
        let (batch, behind) = rest.split_at(n);
        rest = behind;
        if n == 1 || n_threads == 1 || weight < MIN_VALUES {
            std::mem::take(&mut before).into_iter().try_for_each(|result| take(result?))?;
            batch.iter().try_for_each(|item| take(work_on(item)?))?;
            continue;
        }
        let in_a_row = (VALUES_IN_A_ROW / (weight / n)).max(1);
        let mut results = Vec::new();
        let taken = rayon::in_place_scope(|scope| {
            scope.spawn(|_| results = batch.par_iter().with_min_len(in_a_row).map(work_on).collect());
            // Of several errors the first one counts, as if one core had done it all.
            std::mem::take(&mut before).into_iter().try_for_each(|result| take(result?))
        });
        watch.check_stop()?;
        taken?;
        before = results;
    }
    before.into_iter().try_for_each(|result| take(result?))
}

/// How many items make the next batch, and how many values they have.
fn measure<T>(items: &[T], weigh: impl Fn(&T) -> usize, n_threads: usize) -> (usize, usize) {
    let (mut n, mut weight) = (0, 0usize);
    for item in items {
        let more = weight.saturating_add(weigh(item).max(1));
        let most = if n < n_threads { MAX_BATCH_VALUES } else { BATCH_VALUES };
        if n > 0 && more > most {
            break;
        }
        (n, weight) = (n + 1, more);
    }
    (n, weight)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn results_come_in_order_whatever_the_size_of_a_batch() {
        let items: Vec<u32> = (0..10_000).collect();
        for values in [0, 1, 50, 1 << 20] {
            let mut taken = Vec::new();
            let work = |item: &u32, n: &mut u32, _: &mut Watch<'_>| {
                *n += 1;
                Ok((*item, *n > 0))
            };
            in_batches(
                &items,
                |_| values,
                Watch::new(None),
                || 0u32,
                work,
                |(item, has_state)| {
                    assert!(has_state);
                    taken.push(item);
                    Ok(())
                },
            )
            .unwrap();
            assert_eq!(taken, items, "{values}");
        }
    }

    #[test]
    fn a_panic_on_another_core_is_one_of_the_caller() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
        let items: Vec<u32> = (0..10_000).collect();
        let work = |item: &u32, n: &mut u32, _: &mut Watch<'_>| {
            *n += 1;
            assert_ne!(*item, 5_000, "the item that breaks");
            Ok(*item)
        };
        let run = || {
            pool.install(|| in_batches(&items, |_| 100, Watch::new(None), || 0u32, work, |_| Ok(())).is_ok())
        };
        // Whoever holds the state when it breaks: what comes later is not held up by it.
        for _ in 0..2 {
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_err();
            assert!(panic.downcast_ref::<String>().unwrap().contains("the item that breaks"));
        }
    }

    #[test]
    fn results_with_many_values_each_are_few_at_once() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(16).build().unwrap();
        let (n_now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = |_: &u32, (): &mut (), _: &mut Watch<'_>| {
            most.fetch_max(n_now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            Ok(())
        };
        let take = |()| {
            n_now.fetch_sub(1, Ordering::Relaxed);
            Ok(())
        };
        let items: Vec<u32> = (0..100).collect();
        pool.install(|| in_batches(&items, |_| MAX_BATCH_VALUES / 3, Watch::new(None), || (), work, take))
            .unwrap();
        assert_eq!(n_now.into_inner(), 0);
        assert!((3..=6).contains(&most.into_inner()), "three are being worked on, three are being taken");
    }

    #[test]
    fn results_are_taken_while_others_are_worked_on() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let (n_done, n_taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let items: Vec<u32> = (0..40).collect();
        // The first result of a batch waits until one of the batch behind has been worked on, were it the last item.
        let work = |_: &u32, (): &mut (), _: &mut Watch<'_>| Ok(n_done.fetch_add(1, Ordering::Relaxed));
        let take = |_| {
            let taken = n_taken.fetch_add(1, Ordering::Relaxed);
            let began = std::time::Instant::now();
            while taken % 4 == 0 && taken + 4 < 40 && n_done.load(Ordering::Relaxed) <= taken + 4 {
                assert!(
                    began.elapsed() < std::time::Duration::from_secs(60),
                    "nobody works while results are taken"
                );
                std::thread::yield_now();
            }
            Ok(())
        };
        pool.install(|| in_batches(&items, |_| BATCH_VALUES / 4, Watch::new(None), || (), work, take))
            .unwrap();
        assert_eq!(n_taken.into_inner(), 40);
    }

    #[test]
    fn an_error_ends_it_and_so_does_the_deadline() {
        let items: Vec<u32> = (0..10_000).collect();
        let failing = |item: &u32, (): &mut (), _: &mut Watch<'_>| match *item {
            5_000 => Err(EvalError::TooManySamples),
            5_001.. => Err(EvalError::TimedOut),
            item => Ok(item),
        };
        let found = in_batches(&items, |_| 100, Watch::new(None), || (), failing, |_| Ok(()));
        assert!(matches!(found, Err(EvalError::TooManySamples)));
        let stop = || Some(crate::answer::Stop::Canceled);
        let found =
            in_batches(&items, |_| 100, Watch::new(Some(&stop)), || (), |_, (), _| Ok(()), |()| Ok(()));
        assert!(matches!(found, Err(EvalError::Canceled)));
    }
}
