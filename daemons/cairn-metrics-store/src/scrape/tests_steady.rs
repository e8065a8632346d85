//! A scraper that has seen a target before reads pages by short cuts: keys and comments that it guesses. It must store what
//! one stores that reads each page for the first time.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cairn_model::{Labels, Metadata, TimeMs};
use cairn_promql::source::{SampleSource, Selection, is_stale};
use cairn_wire::exposition::Format;
use proptest::prelude::*;

use super::ingest::{Counts, Page, ScrapeState, Scraped};
use crate::config::resolve::{Config, Origin, PoolConfig};
use crate::storage::Storage;
use crate::target::{Discovered, Target, discover};

/// A target with a database of its own.
struct Side {
    pool: Arc<PoolConfig>,
    target: Target,
    storage: Arc<Storage>,
    state: ScrapeState,
}

/// What one page left: counts, error, metadata of all families so far.
type Left = (Counts, Option<String>, BTreeMap<String, Metadata>);

impl Side {
    fn new() -> Self {
        let yaml = "scrape_configs: [{job_name: app, metric_relabel_configs: [{source_labels: [l], regex: '2', \
                    action: drop}], static_configs: [{targets: ['h:1']}]}]";
        Self::with(yaml, Storage::for_tests())
    }

    fn with(yaml: &str, storage: Arc<Storage>) -> Self {
        let config =
            Config::resolve(serde_saphyr::from_str(yaml).unwrap(), Origin::Prometheus, Path::new("/"));
        let pool = Arc::clone(&config.unwrap().pools[0]);
        let Ok(Discovered::Kept(target)) = discover(&pool, &pool.static_groups[0]).remove(0) else {
            panic!("the target is kept")
        };
        Self { pool, target: *target, storage, state: ScrapeState::default() }
    }

    fn scrape(&mut self, text: &str, format: Format, time: i64) -> Left {
        let body = Ok(Page { bytes: text.as_bytes(), format });
        let scraped = Scraped { body, time, duration: Duration::ZERO };
        let (mut counts, outcome) = self.state.store(scraped, &self.pool, &self.target, &self.storage);
        // Everything is new to a scraper that has seen nothing.
        counts.new_series = 0;
        (counts, outcome.err().map(|error| error.to_string()), self.target.metadata())
    }

    /// Samples without the markers of what has vanished, which only a scraper with a memory can set, and without the count
    /// of new series.
    fn stored(&self) -> BTreeMap<Labels, Vec<(i64, u64, i64)>> {
        let selection = Selection { matchers: &[], start: TimeMs::MIN, end: TimeMs::MAX };
        let mut stored = BTreeMap::new();
        for series in self.storage.db().view().select(&selection).unwrap() {
            if series.labels.get("__name__") == Some("scrape_series_added") {
                continue;
            }
            let starts = series.starts.iter().copied().chain(std::iter::repeat(0));
            let samples = series.times.iter().zip(&series.values).zip(starts);
            let samples: Vec<_> = samples
                .filter(|((_, value), _)| !is_stale(**value))
                .map(|((time, value), start)| (*time, value.to_bits(), start))
                .collect();
            stored.insert((*series.labels).clone(), samples);
        }
        stored
    }
}

fn line() -> impl Strategy<Value = String> {
    let family = prop::sample::select(vec!["a", "b", "c_total", "d"]);
    prop_oneof![
        2 => (family.clone(), 0..3).prop_map(|(family, text)| format!("# HELP {family} text {text}")),
        2 => (family.clone(), prop::sample::select(vec!["counter", "gauge", "summary", "histogram"]))
            .prop_map(|(family, kind)| format!("# TYPE {family} {kind}")),
        1 => Just("# UNIT d ".to_owned()),
        6 => (family, 0..4, prop::sample::select(vec!["1", "2.5", "NaN", "1e3", "-7", "0x1", "4 @", "5 #"]))
            .prop_map(|(family, label, value)| format!("{family}{{l=\"{label}\"}} {value}")),
        1 => (0..3, 1..4).prop_map(|(label, seconds)| format!("c_created{{l=\"{label}\"}} {seconds}")),
        1 => Just("b 3".to_owned()),
    ]
}

/// Pages of one target: each is the one before it with some lines exchanged, put in, left out.
fn pages() -> impl Strategy<Value = Vec<Vec<String>>> {
    let edit = (any::<prop::sample::Index>(), 0..3, line());
    let edits = prop::collection::vec(prop::collection::vec(edit, 0..3), 1..8);
    (prop::collection::vec(line(), 0..30), edits).prop_map(|(mut page, edits)| {
        let mut all = vec![page.clone()];
        for edits in edits {
            for (at, kind, line) in edits {
                let at = at.index(page.len() + 1);
                match kind {
                    0 => page.insert(at, line),
                    1 if at < page.len() => page[at] = line,
                    2 if at < page.len() => drop(page.remove(at)),
                    _ => {}
                }
            }
            all.push(page.clone());
        }
        all
    })
}

/// The page in a format; bad values and times that depend on it are put in.
fn text_of(lines: &[String], format: Format, time: i64) -> String {
    let mut text = String::new();
    for line in lines {
        let is_open_metrics = format == Format::OpenMetrics;
        if !is_open_metrics && line.contains("UNIT") {
            text.push_str("# a remark\n\n");
            continue;
        }
        let line = match (line.strip_suffix(" @"), line.strip_suffix(" #")) {
            (Some(rest), _) if is_open_metrics => format!("{rest} {}.{:03}", time / 1000, time % 1000),
            (Some(rest), _) => format!("{rest} {time}"),
            (_, Some(rest)) if is_open_metrics => format!("{rest} # {{e=\"x\"}} 1"),
            (_, Some(rest)) => format!(" {rest}"),
            _ => line.clone(),
        };
        text.push_str(&line);
        text.push('\n');
    }
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn short_cuts_change_nothing(pages in pages(), is_open_metrics in any::<bool>()) {
        let format = if is_open_metrics { Format::OpenMetrics } else { Format::Text };
        let (mut steady, mut first) = (Side::new(), Side::new());
        for (lines, n) in pages.iter().zip(1..) {
            let time = super::schedule::now_ms() / 1000 * 1000 + n * 1000;
            // Most pages have no line that spoils them.
            let lines: Vec<String> = if n % 4 == 0 {
                lines.clone()
            } else {
                lines.iter().filter(|line| !line.ends_with("0x1")).cloned().collect()
            };
            let text = text_of(&lines, format, time);
            first.state = ScrapeState::default();
            prop_assert_eq!(steady.scrape(&text, format, time), first.scrape(&text, format, time), "{}", text);
            prop_assert_eq!(steady.stored(), first.stored(), "{}", text);
        }
    }
}

#[test]
fn what_was_stored_of_a_page_before_the_disk_failed_is_ended() {
    let yaml = "scrape_configs: [{job_name: app, convert_classic_histograms_to_nhcb: true, \
                static_configs: [{targets: ['h:1']}]}]";
    let histogram = |n: u8| {
        format!(
            "# TYPE h histogram\nh_bucket{{le=\"1\"}} {n}\nh_bucket{{le=\"+Inf\"}} {n}\nh_sum 1\nh_count {n}\n"
        )
    };
    let fs = Arc::new(cairn_disk::TwinFs::new());
    let mut side = Side::with(yaml, Storage::on(fs.clone()));
    let time = super::schedule::now_ms();
    let good = side.scrape(&format!("old 1\n{}", histogram(1)), Format::Text, time);
    assert_eq!((good.0.kept, good.1), (2, None));
    // The series and the floats are logged, and then the histograms are not.
    fs.fail_nth_write(3);
    let failed = side.scrape(&format!("old 2\nnew 2\n{}", histogram(2)), Format::Text, time + 1000);
    assert!(failed.1.is_some_and(|error| error.starts_with("write samples")));

    let selection = Selection { matchers: &[], start: TimeMs::MIN, end: TimeMs::MAX };
    let mut ends = BTreeMap::new();
    for series in side.storage.db().view().select(&selection).unwrap() {
        let floats = series.times.iter().zip(&series.values).map(|(time, value)| (*time, *value));
        let histograms = series.histograms.iter().map(|point| (point.time, point.histogram.sum));
        let (last, value) = floats.chain(histograms).max_by_key(|(time, _)| *time).unwrap();
        ends.insert(series.labels.get("__name__").unwrap().to_owned(), (last - time, is_stale(value)));
    }
    let ended = Some(&(1001, true));
    assert_eq!((ends.get("old"), ends.get("new"), ends.get("h")), (ended, ended, ended));
    assert_eq!(ends.get("up"), Some(&(1000, false)));
}

#[test]
fn new_series_of_a_long_page_are_ended_wherever_the_disk_failed() {
    /// More than go to the log at once.
    const N: usize = 10_050;
    let page: String = (0..N).map(|n| format!("new{n} 1\n")).collect();
    let mut n_partly_stored = 0;
    for nth in 1.. {
        let fs = Arc::new(cairn_disk::TwinFs::new());
        let mut side =
            Side::with("scrape_configs: [{job_name: app, static_configs: [{targets: ['h:1']}]}]", {
                Storage::on(fs.clone())
            });
        fs.fail_nth_write(nth);
        let (_, error, _) = side.scrape(&page, Format::Text, super::schedule::now_ms());
        if error.is_none() {
            break;
        }
        let selection = Selection { matchers: &[], start: TimeMs::MIN, end: TimeMs::MAX };
        let stored: Vec<Vec<bool>> = side
            .storage
            .db()
            .view()
            .select(&selection)
            .unwrap()
            .iter()
            .filter(|series| series.labels.get("__name__").is_some_and(|name| name.starts_with("new")))
            .map(|series| series.values.iter().map(|value| is_stale(*value)).collect())
            .collect();
        // Behind the last of them it is the report series that failed, of a page that was stored whole.
        if stored.len() < N {
            assert!(stored.iter().all(|ends| *ends == [false, true]), "write {nth} failed: {stored:?}");
            n_partly_stored += usize::from(!stored.is_empty());
        }
    }
    assert!(n_partly_stored > 0, "some write lies between the first batch and the second");
}
