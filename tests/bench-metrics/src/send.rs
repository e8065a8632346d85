//! Sends a fleet's samples over remote write, as fast as they are taken or as fast as they are made.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::encode::{EncodedLabels, compress};
use crate::fleet::{Fleet, Host, STEP_MS};
use crate::http::Client;

/// Machines in one request: 4,690 samples.
pub const HOSTS_PER_REQUEST: usize = 5;

/// Senders, each with a connection.
pub const CONNECTIONS: usize = 4;

/// Steps that one sender may be ahead of another: ten minutes. Real ones follow one clock.
const MAX_LEAD_STEPS: usize = 40;

/// What is sent.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The fleet.
    pub fleet: Arc<Fleet>,
    /// Machines at any time; a multiple of [`HOSTS_PER_REQUEST`].
    pub n_hosts: usize,
    /// Time of the first step in milliseconds.
    pub start_ms: i64,
    /// Steps.
    pub n_steps: usize,
    /// After so many steps five machines go and five others come; 0: never.
    pub churn_steps: usize,
    /// Samples are sent when they are made, as a fleet does, and not as fast as they are taken: `start_ms` should be now.
    pub is_paced: bool,
}

impl Plan {
    /// A plan for about `n_samples`, ending at `end_ms`.
    pub fn ending_at(fleet: &Arc<Fleet>, n_hosts: usize, n_samples: u64, end_ms: i64) -> Self {
        let per_step = (n_hosts * fleet.series_per_host()) as u64;
        let n_steps = usize::try_from(n_samples.div_ceil(per_step)).unwrap_or(usize::MAX);
        let start_ms = end_ms - STEP_MS * i64::try_from(n_steps).unwrap_or(i64::MAX);
        Self { fleet: Arc::clone(fleet), n_hosts, start_ms, n_steps, churn_steps: 0, is_paced: false }
    }

    /// When the last step ends, in milliseconds.
    pub fn end_ms(&self) -> i64 {
        self.start_ms + STEP_MS * i64::try_from(self.n_steps).unwrap_or(i64::MAX)
    }

    /// Machines that there were in all.
    pub fn hosts_ever(&self) -> usize {
        let n_changes = self.n_steps.saturating_sub(1).checked_div(self.churn_steps).unwrap_or(0);
        self.n_hosts + HOSTS_PER_REQUEST * n_changes
    }

    /// How long after the start a group sends its samples of a step: the groups are spread over it.
    fn due(&self, group: usize, step: usize) -> Duration {
        let n_groups = (self.n_hosts / HOSTS_PER_REQUEST).max(1);
        let length = Duration::from_millis(STEP_MS.unsigned_abs());
        length * u32::try_from(step).unwrap_or(u32::MAX) + length.mul_f64(group as f64 / n_groups as f64)
    }

    /// The first machine of a group (one request's worth) at a step: the groups take turns in being replaced.
    fn first_host(&self, group: usize, step: usize) -> usize {
        let n_groups = self.n_hosts / HOSTS_PER_REQUEST;
        let n_changes = step.checked_div(self.churn_steps).unwrap_or(0);
        // Change number c (from 1 on) replaces group (c - 1) % n_groups by the machines of group n_groups + c - 1.
        let own = (1..=n_changes).rev().find(|change| (change - 1) % n_groups == group);
        HOSTS_PER_REQUEST * own.map_or(group, |change| n_groups + change - 1)
    }
}

/// What was acknowledged.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// Samples in requests that were answered with success.
    pub samples: u64,
    /// For each machine: steps acknowledged, and the time of the last one.
    pub by_host: Vec<(usize, usize, i64)>,
    /// Why a sender ended early.
    pub error: Option<String>,
}

/// Sends the plan over [`CONNECTIONS`]. With `stop` set, senders end after their current request.
///
/// # Panics
/// If a sender panics.
pub fn send(plan: &Plan, client: &Client, stop: &AtomicBool, counted: &AtomicUsize) -> Sent {
    let steps: Vec<AtomicUsize> = (0..CONNECTIONS).map(|_| AtomicUsize::new(0)).collect();
    let sent = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..CONNECTIONS)
            .map(|index| {
                let (client, steps) = (client.another(), &steps);
                scope.spawn(move || {
                    let mut sender = Sender { plan, client, sent: Sent::default() };
                    let outcome = sender.run(index, steps, stop, counted);
                    // Nobody waits for this one any more.
                    steps[index].store(usize::MAX, Ordering::Relaxed);
                    sender.sent.error = outcome.err().map(|error| format!("{error:#}"));
                    sender.sent
                })
            })
            .collect();
        senders.into_iter().map(|sender| sender.join().expect("a sender panicked")).collect::<Vec<_>>()
    });
    sent.into_iter().fold(Sent::default(), |mut all, one| {
        all.samples += one.samples;
        all.by_host.extend(one.by_host);
        all.error = all.error.or(one.error);
        all
    })
}

struct Sender<'a> {
    plan: &'a Plan,
    client: Client,
    sent: Sent,
}

struct Group {
    number: usize,
    hosts: Vec<(Host, EncodedLabels)>,
    acknowledged: usize,
    last_step: usize,
}

impl Sender<'_> {
    fn run(
        &mut self,
        index: usize,
        steps: &[AtomicUsize],
        stop: &AtomicBool,
        counted: &AtomicUsize,
    ) -> Result<()> {
        let n_groups = self.plan.n_hosts / HOSTS_PER_REQUEST;
        let mut groups: Vec<Group> =
            (index..n_groups).step_by(CONNECTIONS).map(|number| self.group(number, 0)).collect();
        let outcome = self.run_groups(index, &mut groups, steps, stop, counted);
        groups.into_iter().for_each(|group| self.note(&group));
        outcome
    }

    fn run_groups(
        &mut self,
        index: usize,
        groups: &mut [Group],
        steps: &[AtomicUsize],
        stop: &AtomicBool,
        counted: &AtomicUsize,
    ) -> Result<()> {
        let mut encoder = snap::raw::Encoder::new();
        let (mut request, mut body) = (Vec::new(), Vec::new());
        let began = Instant::now();
        for step in 0..self.plan.n_steps {
            steps[index].store(step, Ordering::Relaxed);
            while steps
                .iter()
                .any(|other| other.load(Ordering::Relaxed).saturating_add(MAX_LEAD_STEPS) < step)
            {
                std::thread::sleep(Duration::from_millis(1));
            }
            for group in &mut *groups {
                if stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                if self.plan.is_paced {
                    let due = self.plan.due(group.number, step);
                    std::thread::sleep(due.saturating_sub(began.elapsed()));
                }
                if self.plan.first_host(group.number, step) != group.hosts[0].0.number {
                    self.note(group);
                    *group = self.group(group.number, step);
                }
                request.clear();
                for (host, labels) in &mut group.hosts {
                    let time = self.time(step, host);
                    host.step(time);
                    labels.push_samples(host, time, &mut request);
                }
                compress(&mut encoder, &request, &mut body);
                self.client.write(&body)?;
                group.acknowledged += 1;
                group.last_step = step;
                let n_samples = HOSTS_PER_REQUEST * self.plan.fleet.series_per_host();
                self.sent.samples += n_samples as u64;
                counted.fetch_add(n_samples, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    fn time(&self, step: usize, host: &Host) -> i64 {
        self.plan.start_ms + STEP_MS * i64::try_from(step).unwrap_or(i64::MAX) + host.offset_ms()
    }

    fn group(&self, number: usize, step: usize) -> Group {
        let first = self.plan.first_host(number, step);
        let hosts = (first..first + HOSTS_PER_REQUEST)
            .map(|host| (Host::new(&self.plan.fleet, host), EncodedLabels::new(&self.plan.fleet, host)))
            .collect();
        Group { number, hosts, acknowledged: 0, last_step: 0 }
    }

    fn note(&mut self, group: &Group) {
        for (host, _) in group.hosts.iter().filter(|_| group.acknowledged > 0) {
            let last = self.time(group.last_step, host);
            self.sent.by_host.push((host.number, group.acknowledged, last));
        }
    }
}

/// One sample of a series of its own, under which no other is: moves a store's newest time.
///
/// # Errors
/// It is refused.
pub fn send_one(client: &Client, time_ms: i64) -> Result<()> {
    let fleet = Fleet::new(crate::template::Template {
        series: vec![crate::template::Series {
            labels: vec![("__name__".to_owned(), "bench_end".to_owned())],
            text: "bench_end".to_owned(),
            first: 1.0,
            model: crate::template::Model::Constant,
        }],
        comments: Vec::new(),
        histograms: Vec::new(),
    });
    let number = usize::MAX >> 32;
    let host = Host::new(&fleet, number);
    let (mut request, mut body) = (Vec::new(), Vec::new());
    EncodedLabels::new(&fleet, number).push_samples(&host, time_ms, &mut request);
    compress(&mut snap::raw::Encoder::new(), &request, &mut body);
    client.write(&body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::Template;

    #[test]
    fn five_machines_change_at_a_time_and_none_comes_back() {
        let fleet = Fleet::new(Template::parse("m 5\n").unwrap());
        let plan = Plan { fleet, n_hosts: 20, start_ms: 0, n_steps: 41, churn_steps: 4, is_paced: false };
        let firsts = |step| (0..4).map(|group| plan.first_host(group, step)).collect::<Vec<_>>();
        assert_eq!(firsts(3), [0, 5, 10, 15]);
        assert_eq!(firsts(4), [20, 5, 10, 15]);
        assert_eq!(firsts(11), [20, 25, 10, 15]);
        assert_eq!(firsts(20), [40, 25, 30, 35]);
        assert_eq!((firsts(40).iter().max(), plan.hosts_ever()), (Some(&65), 70));
        let steady = Plan { churn_steps: 0, ..plan };
        assert_eq!((steady.first_host(3, 40), steady.hosts_ever()), (15, 20));
    }

    #[test]
    fn groups_are_spread_over_a_step() {
        let fleet = Fleet::new(Template::parse("m 5\n").unwrap());
        let plan = Plan::ending_at(&fleet, 20, 300, 1_000_000);
        let due = |group, step| plan.due(group, step).as_millis();
        assert_eq!(
            [due(0, 0), due(1, 0), due(3, 0), due(0, 1), due(2, 10)],
            [0, 3750, 11_250, 15_000, 157_500]
        );
    }

    #[test]
    fn plan_ends_when_it_should() {
        let fleet = Fleet::new(Template::parse("m 5\n").unwrap());
        let plan = Plan::ending_at(&fleet, 5, 300, 1_000_000);
        assert_eq!((plan.n_steps, plan.start_ms, plan.end_ms()), (10, 850_000, 1_000_000));
    }
}
