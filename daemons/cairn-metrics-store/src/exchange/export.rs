//! Out: window by window of time, each a block.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, anyhow};
use cairn_disk::{Fs, RealFs};
use cairn_model::TimeMs;
use cairn_model::number::human_bytes;
use cairn_promblock::write::remove_leftovers;
use cairn_promblock::{BlockWriter, Sample, Written};
use cairn_promql::source::SeriesData;
use cairn_runtime::Failure;
use cairn_runtime::progress::Progress;
use cairn_tsdb::Db;
use tokio_util::sync::CancellationToken;

use super::{ExportArgs, interrupted, open, say};

/// Prometheus's shortest block; longer ones are multiples of it.
const SHORTEST_MS: i64 = 2 * 3600 * 1000;
/// And its longest.
const LONGEST_MS: i64 = 31 * 24 * 3600 * 1000;

/// The bar moves after so many series.
const SERIES_A_STEP: u64 = 256;

pub(super) fn run(
    args: &ExportArgs,
    stop: &CancellationToken,
    report: &mut dyn Write,
) -> Result<(), Failure> {
    let block_ms = args.block_duration.ms();
    if !(SHORTEST_MS..=LONGEST_MS).contains(&block_ms) || block_ms % SHORTEST_MS != 0 {
        return Err(Failure::Usage("--block-duration: a multiple of 2h, at most 31d".to_owned()));
    }
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from > to
    {
        return Err(Failure::Usage("--from is later than --to".to_owned()));
    }
    let opened = open(&args.store.data_dir, true)?;
    // `promtool tsdb dump` wants a log beside the blocks, be it an empty one.
    let wal = args.out.join("wal");
    RealFs.create_dir_all(&wal).with_context(|| format!("create {}", wal.display())).map_err(Failure::Run)?;
    let outcome = export(&opened.db, args, block_ms, stop, report);
    if outcome.is_err() {
        // Best effort; Prometheus removes them, too.
        let _ = remove_leftovers(&RealFs, &args.out);
    }
    outcome.map_err(Failure::Run)
}

fn export(
    db: &Db,
    args: &ExportArgs,
    block_ms: i64,
    stop: &CancellationToken,
    report: &mut dyn Write,
) -> anyhow::Result<()> {
    remove_leftovers(&RealFs, &args.out)?;
    let Some((oldest, newest)) = db.time_range() else {
        say(report, "the database is empty: nothing was written");
        return Ok(());
    };
    let from = args.from.map_or(oldest, |from| from.max(oldest));
    let to = args.to.map_or(newest, |to| to.min(newest));
    if from > to {
        say(report, &format!("no samples in that time, only from {oldest} to {newest}: nothing was written"));
        return Ok(());
    }
    let view = db.view();
    let windows = from.0.div_euclid(block_ms)..=to.0.div_euclid(block_ms);
    let total = windows.end().abs_diff(*windows.start()) + 1;
    let progress = Progress::new("export", "blocks");
    let mut sums = Sums::default();
    for (done, window) in (0..).zip(windows) {
        progress.update(done, total);
        let start = window.saturating_mul(block_ms).max(from.0);
        let window_end = window.saturating_mul(block_ms).saturating_add(block_ms);
        let is_last = done + 1 == total;
        let range = (start, window_end.min(to.0.saturating_add(1)));
        // A Prometheus that takes the last block goes on right behind it.
        let end = if is_last { start } else { range.1 };
        let show = || progress.update(done, total);
        if let Some(written) = write_window(db, args, range, end, stop, &show)? {
            sums.add(&written);
            say(report, &line(&written));
        }
    }
    progress.finish(total);
    sums.say(report, &args.out);
    match view.left_out() {
        0 => Ok(()),
        places => Err(anyhow!("{places} damaged places were left out; the log above names them")),
    }
}

/// Writes the block of `range` (its end exclusive). `end` is where it says that it ends, if its samples allow.
fn write_window(
    db: &Db,
    args: &ExportArgs,
    range: (i64, i64),
    end: i64,
    stop: &CancellationToken,
    show: &dyn Fn(),
) -> anyhow::Result<Option<Written>> {
    let selectors: Vec<_> = args.matchers.iter().map(|selector| selector.0.clone()).collect();
    let mut block = BlockWriter::create(&RealFs, &args.out, range.0, range.1)?;
    let mut n_series = 0u64;
    db.walk(&selectors, (TimeMs(range.0), TimeMs(range.1 - 1)), |series| {
        if stop.is_cancelled() {
            return Err(interrupted());
        }
        n_series += 1;
        if n_series.is_multiple_of(SERIES_A_STEP) {
            show();
        }
        block.add(&series.labels, samples(&series)).with_context(|| format!("series {}", series.labels))
    })?;
    Ok(block.finish(end)?)
}

/// Floats and histograms as one, ascending by time.
fn samples(series: &SeriesData) -> impl Iterator<Item = Sample> + '_ {
    let mut histograms = series.histograms.iter().peekable();
    let mut floats = series.times.iter().zip(&series.values).peekable();
    std::iter::from_fn(move || {
        let next_float = floats.peek().map(|(time, _)| **time);
        let is_before = |time: i64| next_float.is_none_or(|float| time < float);
        if let Some(point) = histograms.next_if(|point| is_before(point.time)) {
            return Some(Sample::histogram(point.time, (*point.histogram).clone()));
        }
        floats.next().map(|(time, value)| Sample::float(*time, *value))
    })
}

fn line(written: &Written) -> String {
    let Written { meta, bytes, was_there, .. } = written;
    let stats = &meta.stats;
    format!(
        "{} {} to {}: {} series, {} samples, {}{}",
        meta.ulid,
        TimeMs(meta.min_time),
        TimeMs(meta.max_time),
        stats.num_series,
        stats.num_samples,
        human_bytes(*bytes),
        if *was_there { ", was there already" } else { "" },
    )
}

#[derive(Default)]
struct Sums {
    blocks: u64,
    were_there: u64,
    samples: u64,
    bytes: u64,
}

impl Sums {
    fn add(&mut self, written: &Written) {
        self.blocks += 1;
        self.were_there += u64::from(written.was_there);
        self.samples += written.meta.stats.num_samples;
        self.bytes += written.bytes;
    }

    fn say(&self, report: &mut dyn Write, out: &Path) {
        let Self { blocks, were_there, samples, bytes } = self;
        let old = if *were_there > 0 { format!(" ({were_there} were there already)") } else { String::new() };
        say(
            report,
            &format!("{blocks} blocks{old}, {samples} samples, {} in {}", human_bytes(*bytes), out.display()),
        );
    }
}
