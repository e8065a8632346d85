//! In: block by block, each a block of the database as well.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use cairn_disk::{Fs, RealFs};
use cairn_model::TimeMs;
use cairn_model::number::human_bytes;
use cairn_promblock::meta::Meta;
use cairn_promblock::read::{Found, SeriesEntry};
use cairn_promblock::{BlockReader, META_FILE, PromBlockError, Sample, Ulid, Value, find_blocks};
use cairn_promql::source::{HistogramPoint, SeriesData};
use cairn_runtime::Failure;
use cairn_runtime::progress::Progress;
use cairn_tsdb::{BlockId, BlockMeta, Db};
use tokio_util::sync::CancellationToken;

use super::{ImportArgs, interrupted, open, say};
use crate::scrape::schedule::now_ms;

/// So many damaged places of one block are named; the rest is counted.
const MAX_NAMED: u64 = 20;

pub(super) fn run(
    args: &ImportArgs,
    stop: &CancellationToken,
    report: &mut dyn Write,
) -> Result<(), Failure> {
    let Found { blocks, has_head } = find_blocks(&RealFs, &args.from)
        .with_context(|| format!("look for blocks in {}", args.from.display()))
        .map_err(Failure::Run)?;
    if has_head {
        tracing::warn!(
            path = %args.from.display(),
            "there is a write-ahead log beside the blocks, which is not read: its last hours come along in a snapshot (see --help)"
        );
    }
    if blocks.is_empty() {
        let message = format!("{}: neither a block of Prometheus nor a folder of such", args.from.display());
        return Err(Failure::Run(anyhow!(message)));
    }
    let opened = open(&args.store.data_dir, false)?;
    // What is in the head was there first; in blocks it counts as such.
    opened.db.flush(TimeMs(now_ms())).context("write the head to blocks").map_err(Failure::Run)?;
    import(&opened.db, blocks, stop, report).map_err(Failure::Run)
}

/// A block to be read.
struct Source {
    path: PathBuf,
    meta: Meta,
    id: BlockId,
    /// The blocks of the head whose samples are in it, and itself.
    sources: Vec<BlockId>,
}

#[derive(Default)]
struct Sums {
    blocks: u64,
    were_there: u64,
    samples: u64,
    from_bytes: u64,
    bytes: u64,
    damaged: u64,
    oldest: Option<i64>,
}

fn import(
    db: &Db,
    paths: Vec<PathBuf>,
    stop: &CancellationToken,
    report: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut sums = Sums::default();
    let mut sources = Vec::with_capacity(paths.len());
    for path in paths {
        match source(&path) {
            Ok(source) => sources.push(source),
            Err(error) if error.is_io() => return Err(error.into()),
            Err(error) => name_damage(&error, &mut sums.damaged),
        }
    }
    // What was merged first: the parts of it that still lie there say nothing that it does not.
    sources.sort_by_key(|source| (std::cmp::Reverse(source.meta.compaction.level), source.meta.min_time));
    let total = sources.iter().map(|source| source.meta.stats.num_samples).sum();
    let progress = Progress::new("import", "samples");
    let mut done = 0;
    for source in sources {
        let Meta { min_time, max_time, stats, .. } = &source.meta;
        let what = format!("{} {} to {}", source.id, TimeMs(*min_time), TimeMs(*max_time));
        // Without its own name: that of a merged block says nothing new if all that it was made of is here.
        let parts: Vec<BlockId> = source.sources.iter().copied().filter(|id| *id != source.id).collect();
        if db.has_sources(&[source.id]) || db.has_sources(&parts) {
            sums.were_there += 1;
            say(report, &format!("{what}: was imported before"));
        } else {
            let before = sums.damaged;
            let show = |samples: u64| progress.update(done + samples, total);
            match take_in(db, &source, stop, &mut sums.damaged, &show) {
                Ok(None) => say(report, &format!("{what}: no samples")),
                Ok(Some(meta)) => {
                    sums.blocks += 1;
                    sums.samples += meta.n_samples;
                    sums.bytes += meta.bytes();
                    sums.from_bytes += bytes_of(&source.path);
                    sums.oldest = Some(sums.oldest.map_or(meta.min_time_ms, |old| old.min(meta.min_time_ms)));
                    let damage = match sums.damaged - before {
                        0 => String::new(),
                        places => format!(", {places} damaged places left out"),
                    };
                    let BlockMeta { n_series, n_samples, .. } = meta;
                    say(report, &format!("{what}: {n_series} series, {n_samples} samples{damage}"));
                }
                Err(error) => match error.downcast_ref::<PromBlockError>() {
                    // A block that cannot be opened costs that block.
                    Some(damage) if !damage.is_io() => name_damage(damage, &mut sums.damaged),
                    _ => return Err(error.context(what)),
                },
            }
        }
        done += stats.num_samples;
    }
    progress.finish(done);
    let Sums { blocks, were_there, samples, from_bytes, bytes, damaged, oldest } = sums;
    let old = if were_there > 0 { format!(" ({were_there} were imported before)") } else { String::new() };
    say(
        report,
        &format!(
            "{blocks} blocks{old}, {samples} samples, {} from {}",
            human_bytes(bytes),
            human_bytes(from_bytes)
        ),
    );
    if let Some(oldest) = oldest {
        let oldest = TimeMs(oldest);
        say(report, &format!("the oldest sample is of {oldest}: see that the daemon's retention covers it"));
    }
    match damaged {
        0 => Ok(()),
        places => Err(anyhow!("{places} damaged places were left out; the log above names them")),
    }
}

fn source(path: &Path) -> Result<Source, PromBlockError> {
    let meta_path = path.join(META_FILE);
    let meta = Meta::read(&RealFs, &meta_path)?;
    let parse = |text: &String| text.parse::<Ulid>().map(|id| BlockId(id.0));
    let Ok(id) = parse(&meta.ulid) else {
        return Err(PromBlockError::Damaged { path: meta_path, offset: 0, what: "a name that is no ULID" });
    };
    let mut sources: Vec<BlockId> =
        meta.compaction.sources.iter().filter_map(|text| parse(text).ok()).chain([id]).collect();
    sources.sort_unstable();
    sources.dedup();
    Ok(Source { path: path.to_owned(), meta, id, sources })
}

fn take_in(
    db: &Db,
    source: &Source,
    stop: &CancellationToken,
    damaged: &mut u64,
    show: &dyn Fn(u64),
) -> anyhow::Result<Option<BlockMeta>> {
    let mut block = BlockReader::open(&RealFs, &source.path)?;
    let mut import = db.import(source.id)?;
    let (mut samples, mut n_samples) = (Vec::new(), 0u64);
    let mut named = 0;
    while let Some(next) = block.next_series() {
        if stop.is_cancelled() {
            return Err(interrupted());
        }
        let mut left_out = |error: PromBlockError| -> Result<(), PromBlockError> {
            if error.is_io() {
                return Err(error);
            }
            *damaged += 1;
            named += 1;
            if named <= MAX_NAMED {
                tracing::error!(error = %error, "a damaged part of a block is left out");
            }
            Ok(())
        };
        let entry = match next {
            Ok(entry) => entry,
            Err(error) => {
                left_out(error)?;
                continue;
            }
        };
        samples.clear();
        for chunk in &entry.chunks {
            if let Err(error) = block.samples(&entry, chunk, &mut samples) {
                left_out(error)?;
            }
        }
        n_samples += samples.len() as u64;
        import.add(&series(entry, &mut samples))?;
        show(n_samples);
    }
    Ok(import.finish(source.sources.clone())?)
}

fn series(entry: SeriesEntry, samples: &mut Vec<Sample>) -> SeriesData {
    let mut series = SeriesData { labels: Arc::new(entry.labels), ..SeriesData::default() };
    for Sample { time_ms, value } in samples.drain(..) {
        match value {
            Value::Float(value) => {
                series.times.push(time_ms);
                series.values.push(value);
            }
            Value::Histogram(histogram) => {
                series.histograms.push(HistogramPoint {
                    time: time_ms,
                    start: 0,
                    histogram: Arc::new(*histogram),
                });
            }
        }
    }
    series
}

fn name_damage(error: &PromBlockError, damaged: &mut u64) {
    *damaged += 1;
    let error: &dyn std::error::Error = error;
    tracing::error!(error, "a block that cannot be read is left out");
}

/// For the report only.
fn bytes_of(dir: &Path) -> u64 {
    let entries = RealFs.list(dir).unwrap_or_default();
    entries.iter().map(|entry| if entry.is_dir { bytes_of(&dir.join(&entry.name)) } else { entry.len }).sum()
}
