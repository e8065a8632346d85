use cairn_disk::TwinFs;
use cairn_model::{Labels, TimeMs};

use super::*;
use crate::{Db, Options};

#[test]
fn a_large_request_leaves_no_large_buffers() {
    let options = Options {
        out_of_order_window_ms: 10_000_000,
        ..Options::new("/data", Arc::new(TwinFs::new()) as Arc<dyn cairn_disk::Fs>)
    };
    let db = Db::open(options, &|_| {}).unwrap().0;
    let series = db.series_ref(&Labels::from_pairs([("__name__", "m")])).unwrap();
    // Half of them late.
    let times = (0..50_000).map(|n| 1_000_000 + n).chain(0..50_000);
    let samples: Vec<_> =
        times.map(|time_ms| SampleOf { series: &series, time_ms, value: 1.0, start_ms: 0 }).collect();
    let refused: Vec<_> = samples.iter().copied().chain([SampleOf { value: 2.0, ..samples[0] }]).collect();
    for request in [&refused, &samples] {
        let outcomes = db.append_whole(request, &[], TimeMs(2_000_000)).unwrap();
        assert_eq!(outcomes.is_kept(), request.len() == samples.len());
        let commit = db.inner.commit();
        assert!(commit.undo.capacity() <= MAX_BATCH, "{}", commit.undo.capacity());
        assert!(commit.markers.capacity() <= MAX_BATCH && commit.late.capacity() <= 2 * MAX_BATCH);
    }
    assert_eq!(db.counters().samples_stored, 100_000);
}
