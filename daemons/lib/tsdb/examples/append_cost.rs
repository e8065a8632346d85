//! What appending costs: nanoseconds of a processor and bytes of log for a sample, bytes of memory for a series, seconds of a start.
//!
//! `cargo run --release -p cairn-tsdb --example append_cost -- DIR HOSTS STEPS [whole]` fills an empty directory with STEPS samples of each
//! of 940 series of HOSTS machines, 15 s apart, in requests of 5 hosts that are synced each, with maintenance in between,
//! and opens it again. `whole`: as requests that are kept whole. The values are a model of a node_exporter: constants, counters of whole numbers and of
//! seconds, gauges, buckets. It is deterministic, so the bytes are, too.

#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_disk::RealFs;
use cairn_model::{Labels, TimeMs};
use cairn_tsdb::{Db, Options, SampleOf, SeriesRef};
use nix::time::ClockId;

const SERIES_PER_HOST: usize = 940;
const HOSTS_PER_REQUEST: usize = 5;
const START_MS: i64 = 1_790_000_000_000;
const STEP_MS: i64 = 15_000;

/// Marsaglia's xorshift: anything that looks like noise will do.
struct Noise(u64);

impl Noise {
    fn below(&mut self, limit: u64) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from(self.0 % limit).expect("limits are small")
    }
}

/// The next value of the n-th series of a host after `value`.
fn next(n: usize, value: f64, noise: &mut Noise) -> f64 {
    match n % 94 {
        0..=37 => value,
        // Counters that rarely move.
        38..=61 => value + if noise.below(20) == 0 { f64::from(noise.below(5)) } else { 0.0 },
        // Bytes, packets, operations.
        62..=71 => value + f64::from(noise.below(1 << (4 + n % 16))),
        // Seconds of processors, of disks.
        72..=81 => ((value * 100.0).round() + f64::from(noise.below(1500))) / 100.0,
        // Memory in pages.
        82..=86 => (value + f64::from(noise.below(512)) * 4096.0 - 256.0 * 4096.0).max(0.0),
        // Load, ratios.
        87 => f64::from(noise.below(400)) / 100.0,
        88 => f64::from(noise.below(1_000_000)) / 1_048_577.0,
        // Buckets.
        _ => value + f64::from(noise.below(3)),
    }
}

fn labels(host: usize, n: usize) -> Labels {
    let host = format!("host-{host:05}.eu-central-1.example:9100");
    let part = (n % 16).to_string();
    Labels::from_pairs([
        ("__name__", format!("node_subsystem_{:03}_total", n / 4).as_str()),
        ("availability_zone", "eu-central-1a"),
        ("cluster", "production"),
        ("cpu", &part),
        ("device", "nvme0n1p1"),
        ("environment", "production"),
        ("instance", &host),
        ("job", "node"),
        ("mode", ["idle", "system", "user", "iowait"][n % 4]),
        ("team", "platform"),
    ])
}

/// Bytes of memory that this process has, as the kernel counts them.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Time on a processor, of this thread or of the whole process: a machine that has other things to do changes it little.
fn cpu(clock: ClockId) -> Duration {
    clock.now().map(Duration::from).unwrap_or_default()
}

const THREAD: ClockId = ClockId::CLOCK_THREAD_CPUTIME_ID;
const PROCESS: ClockId = ClockId::CLOCK_PROCESS_CPUTIME_ID;

#[expect(clippy::cast_precision_loss, reason = "figures to look at")]
fn per(total: u64, n: usize) -> f64 {
    total as f64 / n as f64
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(dir), Some(hosts), Some(steps)) = (args.next(), args.next(), args.next()) else {
        return Err("usage: append_cost DIR HOSTS STEPS [whole]".into());
    };
    let is_whole = args.next().is_some_and(|word| word == "whole");
    let (dir, hosts, steps): (_, usize, i64) = (Path::new(&dir), hosts.parse()?, steps.parse()?);
    let n_series = hosts * SERIES_PER_HOST;
    let options = || Options::new(dir, Arc::new(RealFs));
    let (db, _) = Db::open(options(), &|_| {})?;

    let before = resident();
    let begin = Instant::now();
    let mut series: Vec<SeriesRef> = Vec::with_capacity(n_series);
    for host in 0..hosts {
        let all: Vec<Labels> = (0..SERIES_PER_HOST).map(|n| labels(host, n)).collect();
        series.extend(db.series_refs(&all.iter().collect::<Vec<_>>())?);
    }
    println!("series: {n_series}, created in {:.2?}", begin.elapsed());
    println!("memory of an idle series: {:.0} bytes", per(resident().saturating_sub(before), n_series));

    let mut noise = Noise(0x1234_5678_9abc_def1);
    let mut values: Vec<f64> = (0..n_series).map(|_| f64::from(noise.below(1_000_000))).collect();
    let (mut appending, mut syncing, mut maintaining) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let mut peak = 0;
    let mut wal_bytes = 0;
    for step in 0..steps {
        let time_ms = START_MS + step * STEP_MS;
        let logged_before = db.counters().wal_bytes;
        for (series, values) in series
            .chunks(HOSTS_PER_REQUEST * SERIES_PER_HOST)
            .zip(values.chunks_mut(HOSTS_PER_REQUEST * SERIES_PER_HOST))
        {
            for (n, value) in values.iter_mut().enumerate() {
                *value = next(n, *value, &mut noise);
            }
            let rows: Vec<SampleOf<'_>> = series
                .iter()
                .zip(&*values)
                .map(|(series, &value)| SampleOf { series, time_ms, value, start_ms: 0 })
                .collect();
            let begin = cpu(THREAD);
            let outcomes = if is_whole {
                db.append_whole(&rows, &[], TimeMs(time_ms))?.samples
            } else {
                db.append_of(&rows, TimeMs(time_ms))?
            };
            appending += cpu(THREAD) - begin;
            if let Some(refused) = outcomes.iter().find(|outcome| !outcome.is_kept()) {
                return Err(refused.to_string().into());
            }
            let begin = cpu(THREAD);
            db.sync()?;
            syncing += cpu(THREAD) - begin;
        }
        wal_bytes += db.counters().wal_bytes.saturating_sub(logged_before);
        if step % 4 == 3 {
            let begin = cpu(THREAD);
            db.maintain(TimeMs(time_ms))?;
            maintaining += cpu(THREAD) - begin;
        }
        peak = peak.max(resident());
    }
    let n_samples = n_series * usize::try_from(steps)?;
    let nanos = |time: Duration| time.as_secs_f64() * 1e9;
    #[expect(clippy::cast_precision_loss, reason = "figures to look at")]
    let each = |time: Duration| nanos(time) / n_samples as f64;
    let counters = db.counters();
    println!("samples: {n_samples}");
    println!(
        "append {:.1} ns, sync {:.1} ns, maintenance {:.1} ns per sample",
        each(appending),
        each(syncing),
        each(maintaining)
    );
    println!("log: {:.3} bytes per sample", per(wal_bytes, n_samples));
    println!(
        "blocks: {} with {:.3} bytes per sample of what was flushed, {} flushes",
        counters.blocks,
        per(counters.blocks_bytes, n_samples),
        counters.flushes
    );
    println!(
        "memory: peak {} MiB, now {} MiB, samples in the head {} MiB",
        peak >> 20,
        resident() >> 20,
        counters.head_chunk_bytes >> 20
    );

    drop((series, db));
    let (begin, begin_cpu) = (Instant::now(), cpu(PROCESS));
    let (db, report) = Db::open(options(), &|_| {})?;
    println!(
        "open again: {:.2?}, {:.2?} of processors, for {} samples of {} series",
        begin.elapsed(),
        cpu(PROCESS) - begin_cpu,
        report.samples,
        report.series
    );
    if !report.damage.is_empty() || db.counters().head_series == 0 {
        return Err(format!("damage: {:?}", report.damage).into());
    }
    Ok(())
}
