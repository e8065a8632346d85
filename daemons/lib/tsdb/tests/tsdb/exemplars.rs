//! Exemplars: found again after restarts and once the log they were written to is gone.

use std::path::Path;

use cairn_disk::{Fs, TwinFs};
use cairn_model::{Labels, MatchOp, Matcher, TimeMs};
use cairn_tsdb::db::EXEMPLARS_FILE;
use cairn_tsdb::{Db, ExemplarOutcome, ExemplarSample, Options};

use crate::{NOW, append, labels, open, options};

fn sample(db: &Db, name: &str, time_ms: i64, value: f64) -> ExemplarSample {
    let series = db.series_ref(&labels(name, 1)).unwrap();
    ExemplarSample { series, labels: Labels::from_pairs([("trace_id", "abc")]), value, time_ms }
}

fn add(db: &Db, name: &str, time_ms: i64) -> ExemplarOutcome {
    db.append_exemplars(&[sample(db, name, time_ms, 0.5)]).unwrap()[0]
}

/// (metric, times of its exemplars)
fn found(db: &Db) -> Vec<(String, Vec<i64>)> {
    db.exemplars(&[vec![]], TimeMs::MIN, TimeMs::MAX)
        .into_iter()
        .map(|(series, list)| {
            let times = list.into_iter().filter_map(|exemplar| exemplar.time_ms).collect();
            (series.value("__name__").to_owned(), times)
        })
        .collect()
}

fn of(list: &[(&str, &[i64])]) -> Vec<(String, Vec<i64>)> {
    list.iter().map(|(name, times)| ((*name).to_owned(), times.to_vec())).collect()
}

#[test]
fn are_judged_by_series_and_within_a_request() {
    let (db, _) = open(&TwinFs::new());
    let batch =
        [(10, 1.0), (10, 1.0), (10, 2.0), (9, 3.0)].map(|(time, value)| sample(&db, "m", time, value));
    let outcomes = db.append_exemplars(&batch).unwrap();
    use ExemplarOutcome::{Duplicate, OutOfOrder, Stored};
    assert_eq!(outcomes, [Stored, Duplicate, Stored, OutOfOrder]);
    let is_n = vec![Matcher::new("__name__", MatchOp::Equal, "n").unwrap()];
    assert!(db.exemplars(&[is_n], TimeMs::MIN, TimeMs::MAX).is_empty());
    assert_eq!(found(&db), of(&[("m", &[10, 10])]));
    let counters = db.counters();
    assert_eq!((counters.exemplars, counters.exemplar_series, counters.exemplars_out_of_order), (2, 1, 1));
}

#[test]
fn survive_a_kill_the_end_of_their_log_and_of_their_series() {
    let fs = TwinFs::new();
    let (db, _) = open(&fs);
    append(&db, &labels("old", 1), 10, 1.0);
    add(&db, "old", 10);
    db.sync().unwrap();
    drop(db);
    fs.crash();
    let (db, report) = open(&fs);
    assert!(report.damage.is_empty());
    assert_eq!(found(&db), of(&[("old", &[10])]), "from the log");
    // Far ahead: the series goes into a block and leaves the head, the log is dropped.
    for time in (2000..20_000).step_by(500) {
        append(&db, &labels("new", 1), time, 1.0);
        db.maintain(NOW).unwrap();
    }
    add(&db, "new", 20_000);
    db.sync().unwrap();
    assert!(fs.exists(Path::new("/data").join(EXEMPLARS_FILE).as_path()));
    drop(db);
    fs.crash();
    let (db, _) = open(&fs);
    assert_eq!(found(&db), of(&[("new", &[20_000]), ("old", &[10])]), "from the file, and from the log");
    assert_eq!(add(&db, "new", 20_000), ExemplarOutcome::Duplicate);
}

#[test]
fn a_smaller_ring_keeps_the_newest_and_none_refuses() {
    let fs = TwinFs::new();
    let (db, _) = open(&fs);
    for time in 0..5 {
        add(&db, "m", time);
    }
    db.sync().unwrap();
    drop(db);
    fs.crash();
    let (db, _) = Db::open(Options { max_exemplars: 2, ..options(&fs) }, &|_| {}).unwrap();
    assert_eq!(found(&db), of(&[("m", &[3, 4])]));
    db.set_max_exemplars(0);
    assert!(found(&db).is_empty());
    assert_eq!(add(&db, "m", 9), ExemplarOutcome::Disabled);
}

#[test]
fn a_damaged_file_is_set_aside() {
    let fs = TwinFs::new();
    let (db, _) = open(&fs);
    add(&db, "m", 1);
    for time in (0..20_000).step_by(500) {
        append(&db, &labels("m", 1), time, 1.0);
        db.maintain(NOW).unwrap();
    }
    drop(db);
    let path = Path::new("/data").join(EXEMPLARS_FILE);
    let file = fs.open_read(&path).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs.remove_file(&path).unwrap();
    fs.create_new(&path).unwrap().append(&bytes).unwrap();
    let (db, report) = open(&fs);
    assert!(report.damage.iter().any(|line| line.contains("exemplars")), "{:?}", report.damage);
    assert!(found(&db).is_empty());
    assert!(fs.exists(Path::new("/data/exemplars.damaged")));
}

/// What the manual says of backups: the file beside the snapshot is as new as it is.
#[test]
fn their_file_is_copied_beside_a_snapshot() {
    let fs = TwinFs::new();
    let (db, _) = open(&fs);
    append(&db, &labels("m", 1), 10, 1.0);
    add(&db, "m", 10);
    db.sync().unwrap();
    let dir = db.snapshot("s", false, NOW).unwrap();
    let restored = Path::new("/restored");
    cairn_tsdb::restore(&fs, &dir, restored, &|_, _| {}).unwrap();
    fs.hard_link(&Path::new("/data").join(EXEMPLARS_FILE), &restored.join(EXEMPLARS_FILE)).unwrap();
    let (db, _) = Db::open(Options { dir: restored.to_owned(), ..options(&fs) }, &|_| {}).unwrap();
    assert_eq!(found(&db), of(&[("m", &[10])]));
}
