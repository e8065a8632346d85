//! Every query of every dashboard that the package brings is accepted by the real stores and shows something.

use std::fs;
use std::time::Duration;

use cairn_tests::daemon::wait_for;
use cairn_tests::dashboard::{self, Language, Stores};
use cairn_tests::http;
use cairn_tests::stack::{Options, Stack};

/// How long the data of a panel may take to come.
const DEADLINE: Duration = Duration::from_secs(90);

/// Queries that show nothing on a healthy stack, each with its reason. They are asked all the same.
const EMPTY_WHEN_WELL: [(&str, &str); 1] =
    [("annotation Restarts", "no daemon restarts while the test runs")];

#[test]
fn every_panel_shows_something() {
    let state = tempfile::tempdir().unwrap();
    let stack = Stack::start(&Options {
        state: state.path().to_owned(),
        usual_ports: false,
        traffic_per_second: 20.0,
        scrape_interval_s: 1,
        corpus_glob: None,
    })
    .unwrap();
    let stores = Stores { logs: stack.log_store_address, metrics: stack.metrics_store_address };
    for path in ["/error", "/slow?ms=5", "/no-such-page"] {
        http::get(stack.app_address, path).unwrap();
    }
    let mut dashboards = 0;
    for entry in fs::read_dir(dashboard::package_folder().join("dashboards")).unwrap() {
        let path = entry.unwrap().path();
        let board = dashboard::read(&path).unwrap();
        let queries = dashboard::queries(&board).unwrap();
        assert!(queries.len() > 20, "{}: only {} queries found", path.display(), queries.len());
        for query in &queries {
            let excused = EMPTY_WHEN_WELL.iter().any(|(place, _)| *place == query.place);
            // Asked before anything else, so that a refusal is told as one.
            let first = dashboard::ask(query, stores).unwrap();
            assert!(!excused || first == 0, "{}: shows something, so it needs no excuse", query.place);
            if !excused {
                let what = format!("{} to show something: {}", query.place, query.text);
                wait_for(&what, DEADLINE, || dashboard::ask(query, stores).ok().filter(|points| *points > 0))
                    .unwrap();
            }
        }
        for (name, language, selector, label) in dashboard::variable_queries(&board).unwrap() {
            let values = dashboard::label_values(stores, language, &selector, &label).unwrap();
            assert!(!values.is_empty(), "no values of ${name}: {language:?} {selector}, {label}");
        }
        assert!(queries.iter().any(|query| query.language == Language::LogQl));
        dashboards += 1;
    }
    assert!(dashboards > 0, "no dashboard found");
    let complaints = stack.stop().unwrap();
    assert!(complaints.is_empty(), "unexpected complaints:\n{}", complaints.join("\n"));
}
