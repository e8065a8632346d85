use cairn_disk::TwinFs;
use cairn_promql::source::STALE_NAN_BITS;

use super::*;
use crate::codec::frozen;
use crate::head::Head;

const DIR: &str = "/";
const TIME: i64 = 1_700_000_000_000;

/// What every frozen checkpoint holds: of version 1 with the chunks, since then with the newest samples.
fn saved(version: u16) -> Vec<SavedSeries> {
    let first = Arc::new(Labels::from_pairs([("__name__", "up"), ("job", "a")]));
    let second = Arc::new(Labels::empty());
    let one = 1f64.to_bits();
    let minus = (-2.5f64).to_bits();
    let chunk = |samples: &[(i64, u64)]| Chunk::from_samples(samples.iter().copied()).into_iter().collect();
    let series = |id, labels, last| SavedSeries { id, labels, last, histogram: None, chunks: Vec::new() };
    match version {
        1 => {
            let chunks = [chunk(&[(TIME, one), (TIME + 15_000, one)]), chunk(&[(-7, minus)])];
            let both = [series(1, first, None), series(2, second, None)].into_iter().zip(chunks);
            both.map(|(series, chunks)| SavedSeries { chunks, ..series }).collect()
        }
        2 => vec![series(1, first, Some((TIME + 15_000, one))), series(2, second, None)],
        _ => {
            let mut third = series(3, labels("h"), Some((TIME, HISTOGRAM_BITS)));
            third.histogram = Some(Arc::new(Histogram::without_observations(1.5, true)));
            let unknown = series(4, labels("unknown"), Some((TIME, HISTOGRAM_BITS)));
            let fifth = series(5, labels("float"), Some((TIME + 15_000, minus)));
            let marker = Histogram::without_observations(f64::from_bits(STALE_NAN_BITS), false);
            let mut sixth = series(6, labels("marker"), Some((TIME, HISTOGRAM_BITS)));
            sixth.histogram = Some(Arc::new(marker));
            let before = [series(1, first, Some((TIME + 15_000, one))), series(2, second, None)];
            before.into_iter().chain([third, unknown, fifth, sixth]).collect()
        }
    }
}

fn labels(name: &str) -> Arc<Labels> {
    Arc::new(Labels::from_pairs([("__name__", name)]))
}

fn written() -> (TwinFs, PathBuf, Vec<u8>) {
    let head = Head::new();
    let all: Vec<_> = saved(CHECKPOINT_FORMAT.version)
        .into_iter()
        .map(|saved| {
            let series = head.insert(saved.id, saved.labels.stable_hash(), &saved.labels);
            let (time, bits) = saved.last.unwrap_or((Tip::NEVER, 0));
            (series, Tip { time, bits, ..Tip::of(saved.id) }, saved.histogram)
        })
        .collect();
    let fs = TwinFs::new();
    let series = all.iter().map(|(series, tip, histogram)| (&**series, *tip, histogram.as_ref()));
    write(&fs, Path::new(DIR), SegmentId(1), head.next_id(), series).unwrap();
    let path = Path::new(DIR).join(file_name(SegmentId(1)));
    let file = fs.open_read(&path).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    (fs, path, bytes)
}

fn read_all(fs: &TwinFs, path: &Path) -> (ReadReport, Vec<SavedSeries>) {
    let mut found = Vec::new();
    let report = read(fs, path, |series| {
        found.push(series);
        Ok(())
    });
    (report.unwrap(), found)
}

#[test]
fn checkpoints_of_every_version_are_read_for_ever() {
    let (fs, _, bytes) = written();
    for version in 1..=CHECKPOINT_FORMAT.version {
        let is_current = version == CHECKPOINT_FORMAT.version;
        let bytes = frozen(&format!("checkpoint-v{version}.hex"), &bytes, is_current);
        let path = Path::new(DIR).join("frozen");
        fs.create_new(&path).unwrap().append(&bytes).unwrap();
        let (report, found) = read_all(&fs, &path);
        let want = saved(version);
        let n = want.len();
        assert_eq!((report.next_id, report.n_series, report.damage), (n as u64 + 1, n, Vec::new()));
        // As text: a marker's sum is not equal to itself.
        assert_eq!(format!("{found:?}"), format!("{want:?}"));
        fs.remove_file(&path).unwrap();
    }
}

#[test]
fn many_series_take_many_records() {
    let head = Head::new();
    let all: Vec<_> = (0..5000u64)
        .map(|n| {
            let labels = Labels::from_pairs([("__name__", "m"), ("n", &n.to_string())]);
            let tip = Tip { time: TIME, bits: n, ..Tip::of(n + 1) };
            (head.insert(n + 1, labels.stable_hash(), &labels), tip)
        })
        .collect();
    let fs = TwinFs::new();
    let series = all.iter().map(|(series, tip)| (&**series, *tip, None));
    let bytes = write(&fs, Path::new(DIR), SegmentId(1), head.next_id(), series).unwrap();
    assert!(bytes < 5000 * 8, "{bytes}");
    let (report, found) = read_all(&fs, &Path::new(DIR).join(file_name(SegmentId(1))));
    assert_eq!((report.next_id, report.n_series), (5001, 5000));
    for (saved, (series, tip)) in found.iter().zip(&all) {
        assert!(series.labels == *saved.labels);
        assert_eq!((saved.id, saved.last), (series.id, Some((TIME, tip.bits))));
    }
}
