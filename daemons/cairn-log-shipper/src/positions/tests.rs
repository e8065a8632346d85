use std::time::Duration;

use cairn_disk::TwinFs;
use cairn_model::TimeNs;

use super::*;
use crate::tail::identity::TailCheck;

const TTL: Duration = Duration::from_secs(1000);
const NOW_S: u64 = 1_000_000;

fn dir() -> &'static Path {
    Path::new("/data")
}

fn open(fs: &TwinFs) -> (Positions, Vec<String>) {
    Positions::open(Arc::new(fs.clone()), dir(), TTL).unwrap()
}

fn mark(offset: u64) -> Mark {
    Mark {
        offset,
        tail: TailCheck::of(&offset.to_le_bytes()),
        is_in_long_line: offset % 2 == 1,
        last_time: TimeNs(7),
    }
}

fn key(job: &str, nth: u32) -> TargetKey {
    TargetKey { job: job.into(), nth }
}

fn about(path: &str, ino: u64) -> About {
    About {
        owner: Owner::Target(key("job", 0)),
        path: path.to_owned(),
        file: FileId { dev: 1, ino, born: Some(5) },
        head: Head { len: 3, hash: u128::MAX - 1 },
        seen_s: NOW_S,
        open: None,
        read: Mark::default(),
    }
}

fn fresh() -> TwinFs {
    let fs = TwinFs::new();
    fs.create_dir_all(dir()).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    fs
}

#[test]
fn what_is_acknowledged_survives_power_loss() {
    let fs = fresh();
    for offset in 1..=20 {
        let (positions, warnings) = open(&fs);
        assert!(warnings.is_empty(), "{warnings:?}");
        let id = FileId { dev: 1, ino: 11, born: Some(5) };
        let entry = positions.find(&id, &key("job", 0)).unwrap_or_else(|| positions.add(about("/a.log", 11)));
        assert_eq!(entry.ledger.committed().offset, offset - 1);
        assert_eq!(entry.about().head, about("/a.log", 11).head);
        entry.ledger.issue(mark(offset), 1).done();
        // Read, but not acknowledged: must not be there afterwards.
        let _unacknowledged = entry.ledger.issue(mark(offset + 1000), 1);
        assert!(positions.save(NOW_S).unwrap());
        fs.crash_torn(offset);
        let (again, _) = open(&fs);
        assert_eq!(again.find(&id, &key("job", 0)).unwrap().ledger.committed(), mark(offset));
    }
}

#[test]
fn a_crash_at_every_place_keeps_one_of_two_states() {
    let fs = fresh();
    let (positions, _) = open(&fs);
    let entry = positions.add(about("/a.log", 11));
    entry.ledger.issue(mark(10), 0);
    positions.save(NOW_S).unwrap();
    let before = fs.changes();
    entry.ledger.issue(mark(20), 0);
    positions.save(NOW_S).unwrap();
    let n_changes = fs.changes() - before;
    assert!(n_changes >= 4, "write, sync, rename, sync of the folder");
    for nth in 1..=n_changes {
        let fs = fresh();
        let (positions, _) = open(&fs);
        let entry = positions.add(about("/a.log", 11));
        entry.ledger.issue(mark(10), 0);
        positions.save(NOW_S).unwrap();
        entry.ledger.issue(mark(20), 0);
        fs.power_off_at(nth);
        let saved = positions.save(NOW_S);
        fs.crash_torn(nth);
        let (again, warnings) = open(&fs);
        assert!(warnings.is_empty(), "{warnings:?}");
        let offset = again.entries()[0].ledger.committed().offset;
        assert!(offset == 20 || (saved.is_err() && offset == 10), "crash at change {nth}: {offset}");
    }
}

#[test]
fn a_full_disk_is_an_error_that_heals() {
    let fs = fresh();
    let (positions, _) = open(&fs);
    let entry = positions.add(about("/a.log", 11));
    positions.save(NOW_S).unwrap();
    entry.ledger.issue(mark(10), 0);
    fs.set_capacity(Some(fs.used_bytes()));
    assert!(positions.save(NOW_S).is_err());
    fs.set_capacity(None);
    assert!(positions.save(NOW_S).unwrap());
    assert!(!positions.save(NOW_S).unwrap(), "nothing has moved since");
    assert_eq!(open(&fs).0.entries()[0].ledger.committed(), mark(10));
}

#[test]
fn damage_falls_back_to_the_other_generation() {
    let fs = fresh();
    let (positions, _) = open(&fs);
    let entry = positions.add(about("/a.log", 11));
    for offset in [10, 20] {
        entry.ledger.issue(mark(offset), 0);
        positions.save(NOW_S).unwrap();
    }
    // The second write has number 2 and lies in the file for even numbers.
    fs.open_write(&dir().join(file::NAMES[0])).unwrap().write_all_at(b"damage", 60).unwrap();
    let (again, warnings) = open(&fs);
    assert_eq!(again.entries()[0].ledger.committed(), mark(10));
    assert!(warnings[0].contains("positions-0"), "{warnings:?}");
    fs.open_write(&dir().join(file::NAMES[1])).unwrap().truncate(30).unwrap();
    let (nothing, warnings) = open(&fs);
    assert!(nothing.entries().is_empty());
    assert_eq!(warnings.len(), 3);
}

#[test]
fn a_newer_version_is_refused() {
    let fs = fresh();
    let newer = cairn_disk::Format::new(file::FORMAT.magic, file::FORMAT.version + 1);
    cairn_disk::write_atomically(&fs, &dir().join(file::NAMES[0]), newer, b"{}").unwrap();
    let error = Positions::open(Arc::new(fs), dir(), TTL).unwrap_err();
    assert!(error.to_string().contains("version 2"), "{error}");
}

#[test]
fn files_that_are_gone_are_forgotten_in_time() {
    let fs = fresh();
    let (positions, _) = open(&fs);
    positions.add(about("/gone.log", 11));
    let open_one = positions.add(about("/open.log", 12));
    open_one.update(|about| about.open = Some(OpenState { size: 0, is_rotated: false }));
    // The run before may have ended long ago: until all was looked at, nothing is known to be gone.
    positions.save(NOW_S + 2 * TTL.as_secs()).unwrap();
    positions.all_seen();
    positions.touch();
    positions.save(NOW_S + TTL.as_secs()).unwrap();
    assert_eq!(positions.entries().len(), 2);
    positions.touch();
    positions.save(NOW_S + TTL.as_secs() + 1).unwrap();
    let left: Vec<String> = positions.entries().iter().map(|entry| entry.about().path).collect();
    assert_eq!(left, ["/open.log"]);
}

#[test]
fn promtail_positions_are_taken_over_once() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = folder.path().join("positions.yaml");
    std::fs::write(&yaml, "positions:\n  /a.log: \"12\"\n  /b.log: \"7\"\n").unwrap();
    let fs = fresh();
    let (positions, _) = open(&fs);
    assert_eq!(positions.import(&yaml), Ok(2));
    assert_eq!(positions.take_import("/a.log"), Some(12));
    assert_eq!(positions.take_import("/a.log"), None);
    positions.save(NOW_S).unwrap();
    let (again, _) = open(&fs);
    assert_eq!(again.import(&yaml), Ok(0));
    assert_eq!(again.take_import("/b.log"), Some(7), "not claimed yet, so still there");
}

#[test]
fn positions_that_were_numbered_through_all_jobs_are_given_to_targets() {
    let fs = fresh();
    let (positions, _) = open(&fs);
    for (number, path) in [(0, "/a.log"), (1, "/a.log"), (2, "/a.log"), (0, "/other.log")] {
        let ino = if path == "/a.log" { 11 } else { 12 };
        let read = mark(u64::from(number) + 10);
        positions.add(About { owner: Owner::Numbered(number), read, ..about(path, ino) });
    }
    let written = serde_json::to_string(&file::Record::of(&positions.entries()[0])).unwrap();
    assert!(!written.contains("job"), "{written}");
    positions.save(NOW_S).unwrap();
    let (again, _) = open(&fs);
    let targets = |path: &Path| {
        if path == Path::new("/a.log") { vec![key("x", 0), key("y", 0), key("x", 1)] } else { Vec::new() }
    };
    again.assign(targets);
    let offset = |key| Some(again.find(&about("/a.log", 11).file, &key)?.ledger.committed().offset);
    assert_eq!([key("x", 0), key("y", 0), key("x", 1)].map(offset), [Some(10), Some(11), Some(12)]);
    let owners: Vec<Owner> = again.entries().iter().map(|entry| entry.about().owner).collect();
    assert_eq!(owners[3], Owner::Numbered(0), "nobody wants it now, somebody may after the next reload");
}
