//! Matchers, label names, label values, series: head and blocks answer as a scan over all series would.

use cairn_disk::TwinFs;
use cairn_model::{Labels, MatchOp, Matcher, TimeMs};
use cairn_promql::source::{SampleSource, Selection, TooManySamples};
use cairn_tsdb::{Db, HistogramSample, Options};

use crate::histograms::histogram;
use crate::{BLOCK_MS, NOW, append, open, options, select};

/// Half of the series are in blocks only, half in the head only, some in both.
fn filled() -> (Db, Vec<Labels>) {
    let (db, _) = open(&TwinFs::new());
    let mut all = Vec::new();
    for n in 0..40 {
        let text = n.to_string();
        let mut pairs = vec![("__name__", if n % 3 == 0 { "up" } else { "requests" }), ("n", text.as_str())];
        if n % 2 == 0 {
            pairs.push(("env", if n % 4 == 0 { "prod" } else { "test" }));
        }
        all.push(Labels::from_pairs(pairs));
    }
    for labels in &all[..25] {
        append(&db, labels, 10, 1.0);
    }
    for labels in &all[15..] {
        append(&db, labels, 10 * BLOCK_MS, 1.0);
    }
    db.maintain(NOW).unwrap();
    for labels in &all[15..] {
        append(&db, labels, 10 * BLOCK_MS + 1, 1.0);
    }
    assert_eq!((db.blocks().len(), db.counters().head_series), (2, 25));
    (db, all)
}

fn matcher(name: &str, op: MatchOp, value: &str) -> Matcher {
    Matcher::new(name, op, value).unwrap()
}

fn selectors() -> Vec<Vec<Matcher>> {
    use MatchOp::{Equal, NotEqual, NotRegex, Regex};
    let env = |op, value| matcher("env", op, value);
    let mut selectors: Vec<Vec<Matcher>> = vec![vec![]];
    for (op, values) in [
        (Equal, vec!["prod", "", "none"]),
        (NotEqual, vec!["prod", "", "none"]),
        (
            Regex,
            vec!["prod|test", "p.*", ".*", ".+", "", "x", "prod|", "(?i)TEST|P.+d", "t(e|o)st", "\\bprod"],
        ),
        (
            NotRegex,
            vec!["prod|test", "p.*", ".*", ".+", "", "x", "prod|", "(?i)TEST|P.+d", "t(e|o)st", "\\bprod"],
        ),
    ] {
        for value in values {
            selectors.push(vec![env(op, value)]);
            selectors.push(vec![matcher("__name__", Equal, "up"), env(op, value)]);
            selectors.push(vec![env(op, value), matcher("n", Regex, "1.*"), matcher("missing", Equal, "")]);
        }
    }
    selectors
}

#[test]
fn matchers_select_what_a_scan_selects() {
    let (db, all) = filled();
    for matchers in selectors() {
        let want: Vec<&Labels> = all
            .iter()
            .filter(|labels| matchers.iter().all(|matcher| matcher.matches_labels(labels)))
            .collect();
        let found = select(&db, &matchers, i64::MIN, i64::MAX);
        let mut want_sorted = want.clone();
        want_sorted.sort();
        assert_eq!(found.keys().collect::<Vec<_>>(), want_sorted, "{matchers:?}");

        let series = db.series(&matchers, TimeMs::MIN, TimeMs::MAX).unwrap();
        assert_eq!(series.iter().map(|labels| &**labels).collect::<Vec<_>>(), want_sorted, "{matchers:?}");

        let mut names: Vec<&str> =
            want.iter().flat_map(|labels| labels.iter().map(|(name, _)| name)).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(db.label_names(&matchers, TimeMs::MIN, TimeMs::MAX).unwrap(), names, "{matchers:?}");

        let mut values: Vec<&str> = want.iter().filter_map(|labels| labels.get("n")).collect();
        values.sort_unstable();
        assert_eq!(
            db.label_values("n", &matchers, TimeMs::MIN, TimeMs::MAX).unwrap(),
            values,
            "{matchers:?}"
        );
    }
}

#[test]
fn ranges_leave_out_blocks_and_head() {
    let (db, all) = filled();
    let count = |start, end| db.series(&[], TimeMs(start), TimeMs(end)).unwrap().len();
    assert_eq!(count(0, 10), 25);
    assert_eq!(count(11, 10 * BLOCK_MS - 1), 0);
    assert_eq!(count(10 * BLOCK_MS, 20 * BLOCK_MS), 25);
    assert_eq!(count(0, 10 * BLOCK_MS), all.len());
    assert_eq!(db.label_values("n", &[], TimeMs(0), TimeMs(10)).unwrap().len(), 25);
    assert_eq!(db.label_values("n", &[], TimeMs(50 * BLOCK_MS), TimeMs::MAX).unwrap().len(), 0);
    assert_eq!(select(&db, &[], 10, 10).len(), 25);
    // Nothing but a head: what lies before its first sample is empty all the same.
    let (young, _) = open(&TwinFs::new());
    append(&young, &crate::labels("m", 1), 1000, 1.0);
    let names = |start, end| young.label_names(&[], TimeMs(start), TimeMs(end)).unwrap().len();
    assert_eq!([names(0, 999), names(0, 1000), names(1000, 5000), names(1001, 5000)], [0, 3, 3, 0]);
    assert_eq!(names(2000, 500), 0, "a range that ends before it starts");
    assert_eq!(select(&db, &[], 10, 9).len(), 0);
}

#[test]
fn a_selection_that_would_load_too_much_is_refused() {
    let fs = TwinFs::new();
    let (db, _) = Db::open(Options { max_select_samples: 10, ..options(&fs) }, &|_| {}).unwrap();
    for time in 0..11 {
        append(&db, &crate::labels("m", 1), time, 1.0);
    }
    let select = |end| db.view().select(&Selection { matchers: &[], start: TimeMs(0), end: TimeMs(end) });
    assert_eq!(select(9).unwrap()[0].times.len(), 10);
    let error = select(10).unwrap_err();
    assert_eq!(
        error.to_string(),
        "query processing would load too many samples into memory in query execution"
    );
    assert_eq!(error.downcast_ref(), Some(&TooManySamples));
    let selection = Selection { matchers: &[], start: TimeMs(0), end: TimeMs(9) };
    assert!(db.view().with_max_samples(9).select(&selection).is_err());
    assert!(db.view().with_max_samples(10).select(&selection).is_ok());
    // A native histogram takes as much as several samples.
    let series = db.series_ref(&crate::labels("h", 1)).unwrap();
    let histogram = HistogramSample { series, time_ms: 20, start_ms: 0, histogram: histogram(1) };
    db.append_histograms(&[histogram], NOW).unwrap();
    let selection = Selection { matchers: &[], start: TimeMs(20), end: TimeMs(20) };
    assert!(db.view().with_max_samples(5).select(&selection).is_err());
    assert_eq!(db.view().with_max_samples(20).select(&selection).unwrap().len(), 1);
}

#[test]
fn statistics_of_the_head() {
    let (db, _) = filled();
    let stats = db.head_stats(2);
    assert_eq!((stats.n_series, stats.n_chunks), (25, 25));
    assert_eq!((stats.min_time_ms, stats.max_time_ms), (Some(10 * BLOCK_MS + 1), Some(10 * BLOCK_MS + 1)));
    assert_eq!(stats.n_label_pairs, 2 + 25 + 2);
    assert_eq!(stats.series_by_metric, [("requests".to_owned(), 16), ("up".to_owned(), 9)]);
    assert_eq!(stats.values_by_label, [("n".to_owned(), 25), ("__name__".to_owned(), 2)]);
    assert_eq!(stats.series_by_pair[0], ("__name__=requests".to_owned(), 16));
    assert_eq!(stats.bytes_by_label[0], ("n".to_owned(), 50));
}
