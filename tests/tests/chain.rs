//! The whole chain, twice in one state directory: the second run finds the data of the first and adds to it.

use cairn_tests::stack::{Options, Stack};
use cairn_tests::{chain, corpus};

#[test]
fn from_a_request_to_an_answer_twice() {
    let state = tempfile::tempdir().unwrap();
    let mut first_run_lines = 0;
    for run in 0..2 {
        let folder = state.path().join(format!("corpus-{run}"));
        std::fs::create_dir_all(&folder).unwrap();
        let folder = folder.canonicalize().unwrap();
        let since = chain::now_ns();
        let skip =
            std::fs::read_to_string(state.path().join("app/app.log")).map_or(0, |text| text.lines().count());
        let options = Options {
            state: state.path().to_owned(),
            usual_ports: false,
            traffic_per_second: 20.0,
            scrape_interval_s: 1,
            corpus_glob: Some(format!("{}/*.log", folder.display())),
        };
        let stack = Stack::start(&options).unwrap();
        chain::app_answers(stack.app_address).unwrap();
        chain::metrics_arrive(&stack).unwrap();
        chain::app_log_arrives(&stack, since, skip).unwrap();
        chain::users_queries_answer(stack.log_store_address).unwrap();
        let (_, lines) =
            chain::corpus_arrives(stack.log_store_address, &folder, &corpus::log_files().unwrap()).unwrap();
        if run == 0 {
            first_run_lines = lines;
        } else {
            let all = chain::instant(
                stack.log_store_address,
                chain::LOG_QUERY,
                r#"sum(count_over_time({job="corpus"}[1d]))"#,
            );
            assert_eq!(all.unwrap(), Some((first_run_lines + lines) as f64), "both runs' lines");
        }
        let complaints = stack.stop().unwrap();
        assert!(complaints.is_empty(), "unexpected complaints:\n{}", complaints.join("\n"));
    }
}
