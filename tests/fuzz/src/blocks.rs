//! Our own blocks: the input edits the records of a block that the engine wrote, and the checksums are mended.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_disk::frame::{FRAME_HEADER_BYTES, parse_frame, push_frame};
use cairn_disk::header::HEADER_BYTES;
use cairn_disk::{Fs, TwinFs};
use cairn_model::{Histogram, Labels, MatchOp, Matcher, TimeMs};
use cairn_promql::source::{HistogramPoint, SampleSource, Selection, SeriesData};
use cairn_tsdb::db::SelectError;
use cairn_tsdb::{BlockId, Db, Options};

const DIR: &str = "/data";
/// An edit: which file, where in its records (two bytes), and what is put there.
const EDIT_BYTES: usize = 4;
const MAX_EDITS: usize = 64;

fn open(fs: &TwinFs) -> Option<Db> {
    let mut options = Options::new(DIR, Arc::new(fs.clone()));
    options.retention_ms = None;
    Some(Db::open(options, &|_| {}).ok()?.0)
}

/// A disk with a database of one block.
fn some_block() -> Option<TwinFs> {
    let fs = TwinFs::new();
    let db = open(&fs)?;
    let mut import = db.import(BlockId(1)).ok()?;
    for index in 0..12i64 {
        let labels = Labels::from_pairs([("__name__", "up"), ("instance", &format!("host-{index:02}"))]);
        let mut series = SeriesData { labels: Arc::new(labels), ..SeriesData::default() };
        for at in 0..300i64 {
            let time = at * 15_000 + index % 3;
            if index == 5 {
                let histogram = Arc::new(Histogram::without_observations(at as f64, at % 2 == 0));
                series.histograms.push(HistogramPoint { time, start: 0, histogram });
                continue;
            }
            series.times.push(time);
            series.values.push(match index % 4 {
                0 => 1.0,
                1 => at as f64,
                2 => (at * 37 % 101) as f64 * 0.01,
                _ => f64::from_bits((at.cast_unsigned() + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            });
        }
        import.add(&series).ok()?;
    }
    import.finish(vec![BlockId(1)]).ok()??;
    Some(fs)
}

/// Files of the block, in a fixed order.
fn files(fs: &TwinFs) -> Vec<PathBuf> {
    let dir = Path::new(DIR).join("blocks").join(BlockId(1).to_string());
    let entries = fs.list(&dir).unwrap_or_default();
    entries.into_iter().filter(|entry| !entry.is_dir).map(|entry| dir.join(entry.name)).collect()
}

/// Puts bytes into the content of a file's frames, which get checksums that hold. Lengths stay.
fn edit(bytes: &[u8], edits: &[(usize, u8)]) -> Vec<u8> {
    let mut edited = bytes[..HEADER_BYTES].to_vec();
    let mut rest = &bytes[HEADER_BYTES..];
    let mut start = 0;
    while let Some(record) = parse_frame(rest) {
        let mut content = record.to_vec();
        for &(at, byte) in edits {
            if let Some(place) = at.checked_sub(start).and_then(|at| content.get_mut(at)) {
                *place = byte;
            }
        }
        start += content.len();
        push_frame(&mut edited, &content);
        rest = &rest[record.len() + FRAME_HEADER_BYTES..];
    }
    edited.extend_from_slice(rest);
    edited
}

pub(crate) fn run(input: &[u8]) {
    thread_local! {
        /// The pristine block's files: writing one for each input would take all the time.
        static PRISTINE: Vec<(PathBuf, Vec<u8>)> = {
            let fs = some_block().expect("a block can be written");
            files(&fs)
                .into_iter()
                .map(|path| {
                    let file = fs.open_read(&path).expect("it is there");
                    let mut bytes = vec![0; usize::try_from(file.len().expect("it has a length")).unwrap_or(0)];
                    file.read_exact_at(&mut bytes, 0).expect("it is whole");
                    (path, bytes)
                })
                .collect()
        };
    }
    let fs = TwinFs::new();
    PRISTINE.with(|pristine| {
        for (number, (path, bytes)) in pristine.iter().enumerate() {
            let edits: Vec<(usize, u8)> = input
                .chunks_exact(EDIT_BYTES)
                .take(MAX_EDITS)
                .filter(|edit| usize::from(edit[0]) % pristine.len() == number)
                .map(|edit| (usize::from(u16::from_le_bytes([edit[1], edit[2]])), edit[3]))
                .collect();
            let written = path
                .parent()
                .map_or(Ok(()), |dir| fs.create_dir_all(dir))
                .and_then(|()| fs.create_new(path)?.append(&edit(bytes, &edits)));
            written.expect("the twin has room");
        }
    });
    let Some(db) = open(&fs) else { return };
    let regex = Matcher::new("instance", MatchOp::Regex, "host-0[1-4]|host-1.").expect("a regex");
    for matchers in [&[][..], &[regex]] {
        let selection = Selection { matchers, start: TimeMs(100_000), end: TimeMs(3_000_000) };
        for series in db.view().select(&selection).expect("memory does not fail, and damage is left out") {
            assert!(series.times.is_sorted_by(|a, b| a < b));
            assert_eq!(series.times.len(), series.values.len());
        }
    }
    let all = (TimeMs::MIN, TimeMs::MAX);
    db.walk(&[], all, |_| Ok::<(), SelectError>(())).expect("memory does not fail");
    let _ = db.label_names(&[], all.0, all.1);
    let _ = db.label_values("instance", &[], all.0, all.1);
    // Two rounds of maintenance merge and rewrite what they can, and leave the rest.
    let _ = db.maintain(TimeMs(1 << 40));
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let edit = |file: u8, at: u16, byte: u8| {
        let [low, high] = at.to_le_bytes();
        [file, low, high, byte]
    };
    let mut seeds = vec![Vec::new()];
    for file in 0..3 {
        for at in [0u16, 1, 2, 5, 17, 60, 200, 900, 3000] {
            seeds.push(edit(file, at, 0xff).to_vec());
            seeds.push([edit(file, at, 0), edit(file, at + 1, 0x80)].concat());
        }
    }
    seeds
}
