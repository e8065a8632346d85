//! The twin forgets what it must, and the real files behave like it where both are asked the same.

use super::*;
use crate::fs_real::RealFs;

fn read(fs: &dyn Fs, path: &Path) -> Vec<u8> {
    let file = fs.open_read(path).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn both_file_systems_answer_alike() {
    let dir = tempfile::tempdir().unwrap();
    for (fs, root) in [(&RealFs as &dyn Fs, dir.path()), (&TwinFs::new(), Path::new("/"))] {
        let sub = root.join("a/b");
        fs.create_dir_all(&sub).unwrap();
        fs.create_dir_all(&sub).unwrap();
        let path = sub.join("f");
        let file = fs.create_new(&path).unwrap();
        assert_eq!(fs.create_new(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        file.append(b"hello").unwrap();
        file.write_all_at(b"!", 7).unwrap();
        assert_eq!(read(fs, &path), b"hello\0\0!");
        file.truncate(4).unwrap();
        file.sync_data().unwrap();
        assert_eq!(fs.len(&path).unwrap(), 4);
        fs.open_write(&path).unwrap().append(b"p").unwrap();
        assert!(fs.open_read(&path).unwrap().append(b"x").is_err());
        fs.create_new(&sub.join("g")).unwrap().append(b"gg").unwrap();
        fs.rename(&path, &sub.join("g")).unwrap();
        assert_eq!(fs.list(&sub).unwrap(), [DirEntry { name: "g".into(), is_dir: false, len: 5 }]);
        assert_eq!(read(fs, &sub.join("g")), b"hellp");
        fs.hard_link(&sub.join("g"), &root.join("linked")).unwrap();
        let again = fs.hard_link(&sub.join("g"), &root.join("linked")).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        fs.sync_dir(&sub).unwrap();
        fs.rename(&sub, &root.join("c")).unwrap();
        assert!(fs.exists(&root.join("c/g")) && !fs.exists(&sub));
        fs.remove_file(&root.join("c/g")).unwrap();
        assert_eq!(fs.open_read(&root.join("c/g")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(read(fs, &root.join("linked")), b"hellp", "one of two names went");
        fs.remove_dir_all(&root.join("a")).unwrap();
        assert!(!fs.exists(&root.join("a")));
        assert!(fs.free_bytes(root).unwrap() > 0);
    }
}

#[test]
fn a_second_name_takes_no_space_and_is_forgotten_if_not_synced() {
    let fs = TwinFs::new();
    let file = fs.create_new(Path::new("/f")).unwrap();
    file.append(b"12345").unwrap();
    file.sync_data().unwrap();
    fs.create_dir_all(Path::new("/d")).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    fs.hard_link(Path::new("/f"), Path::new("/d/g")).unwrap();
    assert_eq!(fs.used_bytes(), 5);
    fs.crash();
    assert!(!fs.exists(Path::new("/d/g")));
    fs.hard_link(Path::new("/f"), Path::new("/d/g")).unwrap();
    fs.sync_dir(Path::new("/d")).unwrap();
    fs.remove_file(Path::new("/f")).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    fs.crash();
    assert_eq!(read(&fs, Path::new("/d/g")), b"12345");
}

#[test]
fn forgets_bytes_and_names_that_were_not_synced() {
    let fs = TwinFs::new();
    let (dir, path) = (Path::new("/"), Path::new("/f"));
    let file = fs.create_new(path).unwrap();
    file.append(b"durable").unwrap();
    file.sync_data().unwrap();
    fs.crash();
    assert!(!fs.exists(path), "the name was not synced");
    assert!(file.append(b"x").is_err(), "opened before the crash");

    let file = fs.create_new(path).unwrap();
    file.append(b"durable").unwrap();
    file.sync_data().unwrap();
    fs.sync_dir(dir).unwrap();
    file.append(b" not").unwrap();
    file.write_all_at(b"D", 0).unwrap();
    fs.rename(path, Path::new("/g")).unwrap();
    fs.crash();
    assert_eq!(read(&fs, path), b"durable");
    fs.remove_file(path).unwrap();
    fs.crash();
    assert!(fs.exists(path), "the removal was not synced");
}

#[test]
fn torn_crashes_differ_by_seed_and_keep_what_was_synced() {
    let outcomes: std::collections::BTreeSet<Vec<u8>> = (0..200)
        .map(|seed| {
            let fs = TwinFs::new();
            let file = fs.create_new(Path::new("/f")).unwrap();
            file.append(b"safe").unwrap();
            file.sync_data().unwrap();
            fs.sync_dir(Path::new("/")).unwrap();
            file.append(b"ab").unwrap();
            file.append(b"cd").unwrap();
            fs.crash_torn(seed);
            let bytes = read(&fs, Path::new("/f"));
            assert!(bytes.starts_with(b"safe"));
            bytes
        })
        .collect();
    for want in [&b"safe"[..], b"safea", b"safe\0\0", b"safeab", b"safeabc\0", b"safeabcd"] {
        assert!(outcomes.contains(want), "{want:?} in {outcomes:?}");
    }
}

#[test]
fn a_failed_sync_loses_its_bytes_for_good() {
    let fs = TwinFs::new();
    let file = fs.create_new(Path::new("/f")).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    file.append(b"lost").unwrap();
    fs.fail_nth_sync(1);
    assert!(file.sync_data().is_err());
    file.append(b"kept").unwrap();
    file.sync_data().unwrap();
    assert_eq!(read(&fs, Path::new("/f")), b"lostkept");
    fs.crash();
    assert_eq!(read(&fs, Path::new("/f")), b"\0\0\0\0kept");
}

#[test]
fn full_disk_failing_write_and_power_off() {
    let fs = TwinFs::new();
    fs.set_capacity(Some(6));
    let file = fs.create_new(Path::new("/f")).unwrap();
    file.append(b"1234").unwrap();
    let error = file.append(b"5678").unwrap_err();
    assert!(crate::is_no_space(&error), "{error}");
    assert_eq!(read(&fs, Path::new("/f")), b"123456");
    assert_eq!(fs.free_bytes(Path::new("/")).unwrap(), 0);
    fs.set_capacity(None);
    fs.fail_nth_write(2);
    file.append(b"7").unwrap();
    assert!(file.append(b"8").is_err());
    file.append(b"8").unwrap();
    fs.power_off_at(2);
    file.sync_data().unwrap();
    assert!(file.sync_data().is_err() && file.append(b"9").is_err());
    fs.crash();
    assert!(!fs.exists(Path::new("/f")));
}

#[test]
fn each_kind_of_operation_fails_when_asked_to_and_no_other() {
    let fs = TwinFs::new();
    let (root, path) = (Path::new("/"), Path::new("/f"));
    fs.fail(TwinOp::Create, 1, 2);
    assert!(fs.create_new(path).is_err() && fs.create_dir_all(Path::new("/d")).is_err());
    let file = fs.create_new(path).unwrap();
    file.append(b"bytes").unwrap();
    file.sync_data().unwrap();
    fs.fail(TwinOp::SyncDir, 2, 1);
    fs.sync_dir(root).unwrap();
    fs.rename(path, Path::new("/g")).unwrap();
    assert_eq!(fs.sync_dir(root).unwrap_err().raw_os_error(), Some(EIO));
    fs.crash();
    assert!(fs.exists(path), "the new name did not become durable");
    fs.rename(path, Path::new("/g")).unwrap();
    fs.fail(TwinOp::SyncDir, 1, 1);
    assert!(fs.sync_dir(root).is_err());
    fs.sync_dir(root).unwrap();
    fs.crash();
    assert!(fs.exists(Path::new("/g")), "a later sync makes up for it");
    fs.fail(TwinOp::Rename, 1, u64::MAX);
    fs.fail(TwinOp::Open, 1, u64::MAX);
    fs.fail(TwinOp::Remove, 1, 1);
    assert!(fs.rename(Path::new("/g"), path).is_err() && fs.open_read(Path::new("/g")).is_err());
    assert!(fs.remove_file(Path::new("/g")).is_err());
    assert_eq!(fs.n_ops(TwinOp::Remove), 1);
    fs.heal();
    assert_eq!(read(&fs, Path::new("/g")), b"bytes");
    fs.rename(Path::new("/g"), path).unwrap();
    fs.remove_file(path).unwrap();
}

#[test]
fn directories_made_durably_survive_with_all_their_parents() {
    let fs = TwinFs::new();
    crate::create_dir_durably(&fs, Path::new("/a/b/c")).unwrap();
    fs.crash();
    assert!(fs.exists(Path::new("/a/b/c")));
    fs.create_dir_all(Path::new("/d")).unwrap();
    crate::create_dir_durably(&fs, Path::new("/d")).unwrap();
    fs.crash();
    assert!(fs.exists(Path::new("/d")));
}
