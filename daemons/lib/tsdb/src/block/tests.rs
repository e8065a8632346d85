//! Blocks of every version are read for ever; a damaged page costs that page.

use std::path::Path;
use std::sync::Arc;

use cairn_disk::{Fs, TwinFs};
use cairn_model::Labels;
use cairn_promql::source::SeriesData;

use super::*;
use crate::codec::frozen;
use crate::damage::DamageLog;

const DIR: &str = "/block";

fn write(fs: &TwinFs, name: &str, bytes: &[u8]) {
    let path = Path::new(DIR).join(name);
    if fs.exists(&path) {
        fs.remove_file(&path).unwrap();
    }
    fs.create_new(&path).unwrap().write_all_at(bytes, 0).unwrap();
}

fn read(fs: &TwinFs, name: &str) -> Vec<u8> {
    let file = fs.open_read(&Path::new(DIR).join(name)).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// All that can be read of a block, and how many damaged places were met.
fn content(fs: &TwinFs) -> (Vec<(Labels, SeriesData)>, u64) {
    let damage = Arc::new(DamageLog::default());
    let block = Block::open(fs, Path::new(DIR), Arc::clone(&damage)).unwrap();
    let mut samples = block.samples();
    let mut found = Vec::new();
    for entry in block.all_series() {
        let entry = entry.unwrap();
        let mut data = SeriesData::default();
        for place in &entry.chunks {
            samples.read(place, i64::MIN, i64::MAX, &mut data).unwrap();
        }
        found.push((entry.labels, data));
    }
    (found, damage.count())
}

fn labels(name: &str, instance: &str) -> Labels {
    Labels::from_pairs([("__name__", name), ("instance", instance), ("job", "test")])
}

#[test]
fn version_1_is_read() {
    let fs = TwinFs::new();
    fs.create_dir_all(Path::new(DIR)).unwrap();
    for name in [META_FILE, INDEX_FILE, CHUNKS_FILE] {
        write(&fs, name, &frozen(&format!("block-v1-{name}.hex"), &[], false));
    }
    let (found, damage) = content(&fs);
    assert_eq!(damage, 0);
    let names: Vec<_> = found.iter().map(|(labels, _)| labels.clone()).collect();
    assert_eq!(names, [labels("m", "host-0"), labels("m", "host-1"), labels("stale", "host-7")]);
    let times: Vec<i64> = (0..300).map(|n| n * 3).collect();
    for (instance, (_, data)) in (0..2).zip(&found) {
        let values: Vec<f64> = (0..300).map(|n| f64::from(n * instance) / 4.0).collect();
        assert_eq!((&*data.times, &data.values), (&times, &values));
    }
    assert_eq!(found[2].1.times, [500]);
    assert_eq!(found[2].1.values[0].to_bits(), cairn_promql::source::STALE_NAN_BITS);
    let block = Block::open(&fs, Path::new(DIR), Arc::default()).unwrap();
    let pair = |value| crate::postings::LabelIndex::pair(&block, "instance", value).unwrap().unwrap();
    assert_eq!((pair("host-1").iter().collect::<Vec<_>>(), pair("host-2").len()), (vec![1], 0));
    let mut values = Vec::new();
    block
        .visit_values("__name__", "s", &mut |_| true, &mut |value, postings| {
            values.push((value.to_owned(), postings.len()));
        })
        .unwrap();
    assert_eq!(values, [("stale".to_owned(), 1)]);
}

/// Noise, so that it takes several pages; every third series has times of its own.
fn large(fs: &TwinFs) -> Vec<(Labels, SeriesData)> {
    let shared: Arc<dyn Fs> = Arc::new(fs.clone());
    let mut writer = BlockWriter::create(&shared, Path::new("/"), BlockId(1)).unwrap();
    let mut written = Vec::new();
    for series in 0..60i64 {
        let mut random = series.cast_unsigned() + 1;
        let times: Vec<i64> =
            (0..500).map(|n| n * 15_000 + if series % 3 == 0 { series } else { 0 }).collect();
        let values = times
            .iter()
            .map(|_| {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                f64::from_bits(random)
            })
            .collect();
        let starts = if series % 5 == 0 { vec![series + 1; 500] } else { Vec::new() };
        let data = SeriesData { times: times.into(), values, starts, ..SeriesData::default() };
        let labels = labels("noise", &format!("host-{series:03}"));
        writer.add_samples(labels.iter(), &data).unwrap();
        written.push((labels, data));
    }
    let origin = BlockOrigin {
        min_time_ms: 0,
        max_time_ms: 7_500_000,
        level: 0,
        sources: Vec::new(),
        parents: Vec::new(),
        order: 0,
        wal_until: None,
        n_tombstones: 0,
    };
    let meta = writer.finish(origin).unwrap();
    assert_eq!((meta.n_series, meta.n_samples, meta.n_chunks), (60, 30_000, 60));
    fs.rename(&Path::new("/").join(BlockId(1).to_string()), Path::new(DIR)).unwrap();
    written
}

fn same(a: &SeriesData, b: &SeriesData) -> bool {
    let bits = |data: &SeriesData| data.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    a.times == b.times && bits(a) == bits(b) && a.starts == b.starts
}

#[test]
fn a_damaged_page_costs_that_page_and_is_noted() {
    let fs = TwinFs::new();
    let written = large(&fs);
    let (found, damage) = content(&fs);
    assert_eq!((found.len(), damage), (60, 0));
    assert!(found.iter().zip(&written).all(|(a, b)| a.0 == b.0 && same(&a.1, &b.1)));
    let whole = read(&fs, CHUNKS_FILE);
    let n_pages = whole.len() / (16 << 10);
    assert!(n_pages > 10);
    for at in (16..whole.len()).step_by(1777).chain(whole.len() - 600..whole.len() - 50) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        write(&fs, CHUNKS_FILE, &flipped);
        let (found, damage) = content(&fs);
        assert_eq!(damage, 1, "byte {at}");
        let mut lost = 0;
        for ((labels, data), (want_labels, want)) in found.iter().zip(&written) {
            assert_eq!(labels, want_labels);
            if data.times.is_empty() {
                lost += 1;
            } else {
                assert!(same(data, want), "byte {at}: {labels}");
            }
        }
        assert!(lost <= 60 / n_pages + 2, "byte {at}: {lost} series are lost");
    }
}

#[test]
fn a_part_of_a_chunk_is_read_with_its_times_and_starts() {
    let fs = TwinFs::new();
    let written = large(&fs);
    let block = Block::open(&fs, Path::new(DIR), Arc::default()).unwrap();
    let mut samples = block.samples();
    for (entry, (_, want)) in block.all_series().zip(&written) {
        let entry = entry.unwrap();
        for (start, end) in
            [(0, 0), (1, 30_000), (15_000, 7_000_000), (7_485_000, i64::MAX), (-5, -1), (9, 3)]
        {
            let mut data = SeriesData::default();
            for place in &entry.chunks {
                samples.read(place, start, end, &mut data).unwrap();
            }
            let wanted: Vec<usize> =
                (0..500).filter(|&at| want.times[at] >= start && want.times[at] <= end).collect();
            assert_eq!(data.times, wanted.iter().map(|&at| want.times[at]).collect::<Vec<_>>());
            assert_eq!(data.values.len(), wanted.len());
            let starts = if data.times.is_empty() { 0 } else { wanted.len().min(want.starts.len()) };
            assert_eq!(data.starts.len(), starts);
        }
    }
}
