//! What is measured, one function for each mode.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};

use crate::fleet::{Fleet, STEP_MS, instance};
use crate::keep::{self, Loaded};
use crate::pages::Pages;
use crate::process::Usage;
use crate::send::{HOSTS_PER_REQUEST, Plan, Sent, send, send_one};
use crate::server::{Program, Server};

/// How large a run is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Machines.
    pub hosts: usize,
    /// Samples in all, for `ingest`; half of it for `kill`.
    pub samples: u64,
    /// Series that there were at the end of `churn`.
    pub churn_series: usize,
    /// Targets of `scrape`.
    pub targets: usize,
    /// How long `scrape` goes on.
    pub scrape_time: Duration,
    /// `ingest` sends samples when they are made.
    pub is_paced: bool,
}

/// Figures of one store in one mode: columns of its row.
pub type Row = Vec<String>;

/// Columns of `ingest`.
pub const INGEST_COLUMNS: [&str; 11] = [
    "store",
    "samples",
    "wall s",
    "CPU s",
    "samples per CPU-s",
    "peak RSS MiB",
    "RSS MiB",
    "written B/sample",
    "CPU s at rest",
    "written B/sample at rest",
    "stored B/sample",
];
/// Columns of `scrape`.
pub const SCRAPE_COLUMNS: [&str; 7] =
    ["store", "samples", "wall s", "CPU s", "samples per CPU-s", "RSS MiB", "written B/sample"];
/// Columns of `churn`.
pub const CHURN_COLUMNS: [&str; 8] = [
    "store",
    "series",
    "samples",
    "wall s",
    "samples per CPU-s",
    "peak RSS MiB",
    "RSS MiB",
    "RSS MiB at rest",
];
/// Columns of `kill`.
pub const KILL_COLUMNS: [&str; 5] = ["store", "samples acknowledged", "lost", "ready again s", "RSS MiB"];

/// What was sent ends this long before now: then one late sample makes every store finish its blocks.
const END_BEFORE_NOW_MS: i64 = 4 * 3_600_000;

/// A target is scraped this long before counting begins.
const WARM_UP: Duration = Duration::from_secs(10);

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A long import over remote write, then rest: speed, memory, bytes written, bytes stored.
///
/// # Errors
/// The store fails.
pub fn ingest(program: &Program, dir: &Path, fleet: &Arc<Fleet>, size: Size) -> Result<Row> {
    let server = program.start(dir, "[]")?;
    let mut plan = Plan::ending_at(fleet, size.hosts, size.samples, now_ms() - END_BEFORE_NOW_MS);
    if size.is_paced {
        (plan.is_paced, plan.start_ms) = (true, now_ms());
    }
    let (sent, wall) = run(program, &plan, &server)?;
    let loaded = server.usage()?;
    send_one(&server.client, now_ms())?;
    server.until_at_rest()?;
    let rested = server.usage()?;
    let stored = server.stored_bytes()?;
    server.stop()?;
    keep::set_loaded(dir, Loaded { end_ms: plan.end_ms(), samples: size.samples })?;
    Ok(vec![
        program.name(),
        grouped(sent.samples),
        seconds(wall),
        seconds(loaded.cpu),
        per_second(sent.samples, loaded.cpu),
        mebibytes(loaded.peak_rss),
        mebibytes(loaded.rss),
        each(loaded.written, sent.samples),
        seconds(rested.cpu),
        each(rested.written, sent.samples),
        each(stored, sent.samples),
    ])
}

/// Sends a plan whole, showing how far it is.
fn run(program: &Program, plan: &Plan, server: &Server) -> Result<(Sent, Duration)> {
    let (stop, counted) = (AtomicBool::new(false), AtomicUsize::new(0));
    let began = Instant::now();
    let is_done = AtomicBool::new(false);
    let sent = std::thread::scope(|scope| {
        scope.spawn(|| show_progress(program, server, &counted, &is_done));
        let sent = send(plan, &server.client, &stop, &counted);
        is_done.store(true, Ordering::Relaxed);
        sent
    });
    if let Some(error) = sent.error {
        bail!("{}: {error}; its log: {}", program.name(), server.log_end());
    }
    Ok((sent, began.elapsed()))
}

fn show_progress(program: &Program, server: &Server, counted: &AtomicUsize, is_done: &AtomicBool) {
    let mut last = Instant::now();
    while !is_done.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(100));
        if last.elapsed() > Duration::from_secs(10) {
            last = Instant::now();
            let n = counted.load(Ordering::Relaxed) as u64;
            if let Ok(Usage { cpu, rss, .. }) = server.usage() {
                let speed = per_second(n, cpu);
                eprintln!(
                    "{}: {} samples, {speed} per CPU-s, {} MiB",
                    program.name(),
                    grouped(n),
                    mebibytes(rss)
                );
            }
        }
    }
}

/// Targets that the generator serves, scraped each second.
///
/// # Errors
/// The store fails, or scrapes less than nine tenths of what it should.
pub fn scrape(program: &Program, dir: &Path, fleet: &Arc<Fleet>, size: Size) -> Result<Row> {
    let pages = Pages::serve(fleet, size.targets)?;
    let server = program.start(dir, &pages.scrape_configs())?;
    std::thread::sleep(WARM_UP);
    let (first, served_first, began) = (server.usage()?, pages.served(), Instant::now());
    std::thread::sleep(size.scrape_time);
    let (last, served_last, wall) = (server.usage()?, pages.served(), began.elapsed());
    server.stop()?;
    pages.stop()?;
    let n_scrapes = served_last - served_first;
    let wanted = size.targets as f64 * wall.as_secs_f64();
    if (n_scrapes as f64) < 0.9 * wanted {
        bail!("{} scraped {n_scrapes} pages where {wanted:.0} were due", program.name());
    }
    let samples = n_scrapes * fleet.series_per_host() as u64;
    let cpu = last.cpu - first.cpu;
    Ok(vec![
        program.name(),
        grouped(samples),
        seconds(wall),
        seconds(cpu),
        per_second(samples, cpu),
        mebibytes(last.rss),
        each(last.written - first.written, samples),
    ])
}

/// Machines come and go: five of them are replaced in each simulated minute.
///
/// # Errors
/// The store fails.
pub fn churn(program: &Program, dir: &Path, fleet: &Arc<Fleet>, size: Size) -> Result<Row> {
    let server = program.start(dir, "[]")?;
    let churn_steps = usize::try_from(60_000 / STEP_MS)?;
    let n_new = size.churn_series.div_ceil(fleet.series_per_host()).saturating_sub(size.hosts);
    let n_steps = churn_steps * n_new.div_ceil(HOSTS_PER_REQUEST) + 1;
    let n_samples = (n_steps * size.hosts * fleet.series_per_host()) as u64;
    let mut plan = Plan::ending_at(fleet, size.hosts, n_samples, now_ms());
    plan.churn_steps = churn_steps;
    let (sent, wall) = run(program, &plan, &server)?;
    let loaded = server.usage()?;
    server.until_at_rest()?;
    let rested = server.usage()?;
    server.stop()?;
    Ok(vec![
        program.name(),
        grouped((plan.hosts_ever() * fleet.series_per_host()) as u64),
        grouped(sent.samples),
        seconds(wall),
        per_second(sent.samples, loaded.cpu),
        mebibytes(loaded.peak_rss),
        mebibytes(loaded.rss),
        mebibytes(rested.rss),
    ])
}

/// `kill -9` in the middle of writing; then every acknowledged sample is looked for.
///
/// # Errors
/// The store fails.
pub fn kill(program: &Program, dir: &Path, fleet: &Arc<Fleet>, size: Size) -> Result<Row> {
    let mut server = program.start(dir, "[]")?;
    let wanted = size.samples / 2;
    // A tenth more than is waited for, so that writing goes on when the end comes.
    let plan = Plan::ending_at(fleet, size.hosts, wanted + wanted / 10, now_ms() - 60_000);
    let (stop, counted) = (AtomicBool::new(false), AtomicUsize::new(0));
    let client = server.client.another();
    let sent = std::thread::scope(|scope| {
        let sending = scope.spawn(|| send(&plan, &client, &stop, &counted));
        while (counted.load(Ordering::Relaxed) as u64) < wanted && !sending.is_finished() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let killed = if sending.is_finished() { Ok(()) } else { server.kill_now() };
        stop.store(true, Ordering::Relaxed);
        let sent = sending.join().unwrap_or_default();
        killed.map(|()| sent)
    })?;
    if sent.samples < wanted {
        let error = sent.error.unwrap_or_default();
        bail!("{} ended before it was killed: {error}; its log: {}", program.name(), server.log_end());
    }
    let ready = server.kill_and_restart()?;
    let rss = server.usage()?.rss;
    let lost = count_lost(&server, fleet, &plan, &sent)?;
    server.stop()?;
    Ok(vec![
        program.name(),
        grouped(sent.samples),
        format!("{lost:.0}"),
        format!("{:.2}", ready.as_secs_f64()),
        mebibytes(rss),
    ])
}

/// Acknowledged samples that queries do not find. One query for each name and request's worth of machines: a count over
/// several names at once is refused, since without their names series of one machine are the same.
fn count_lost(server: &Server, fleet: &Fleet, plan: &Plan, sent: &Sent) -> Result<f64> {
    let mut series_of: BTreeMap<String, usize> = BTreeMap::new();
    for labels in fleet.labels(0) {
        let name = labels.into_iter().find(|(name, _)| name == "__name__");
        *series_of.entry(name.map_or(String::new(), |(_, name)| name)).or_default() += 1;
    }
    let mut groups: BTreeMap<usize, Vec<(usize, usize, i64)>> = BTreeMap::new();
    for host in &sent.by_host {
        groups.entry(host.0 / HOSTS_PER_REQUEST).or_default().push(*host);
    }
    let range = STEP_MS / 1000 * i64::try_from(plan.n_steps + 2)?;
    let mut lost = 0.0;
    for hosts in groups.values() {
        // All of them got to the same step, and their times within it differ by less than a step: at the last of them
        // nothing that came later is counted.
        let last_ms = hosts.iter().map(|(.., last_ms)| *last_ms).max().unwrap_or_default();
        let n_acknowledged: usize = hosts.iter().map(|(_, steps, _)| steps).sum();
        let instances: Vec<String> = hosts.iter().map(|(host, ..)| instance(*host)).collect();
        let instances = instances.join("|").replace('.', "[.]");
        for (name, n_series) in &series_of {
            let query = format!("sum(count_over_time({name}{{instance=~\"{instances}\"}}[{range}s]))");
            let stored = server.client.number(&query, last_ms)?;
            lost += ((n_acknowledged * n_series) as f64 - stored).max(0.0);
        }
    }
    Ok(lost)
}

fn seconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64())
}

fn per_second(samples: u64, time: Duration) -> String {
    let speed = samples as f64 / time.as_secs_f64().max(0.001);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a speed, rounded to be read"
    )]
    let rounded = (speed / 1000.0).round() as u64 * 1000;
    grouped(rounded)
}

fn mebibytes(bytes: u64) -> String {
    (bytes >> 20).to_string()
}

fn each(bytes: u64, samples: u64) -> String {
    format!("{:.2}", bytes as f64 / samples.max(1) as f64)
}

/// `1,234,567`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(per_second(1_999_600, Duration::from_secs(1)), "2,000,000");
        assert_eq!((mebibytes(5 << 20), each(3, 2), each(1, 0)), ("5".into(), "1.50".into(), "1.00".into()));
    }
}
