//! Runs scripts that say what PromQL must answer over an in-memory store. Two folders:
//!
//! `testdata/` of this crate has Cairn's own, one file per family of functions and a few about the language. All
//! of their statements must pass, and every function must occur.
//!
//! The conformance scripts of Prometheus's own suite are not part of the repository: they are looked for in
//! `$CAIRN_SHARED/promqltest`, then in `shared` beside the repository. All of their statements must pass as well.
//! `scripts/test-promql` runs those of any folder.

#![expect(clippy::unwrap_used, reason = "helpers of a test: a broken script must stop it")]

mod classic;
mod compare;
mod histogram_notation;
mod memory;
mod notation;
mod run;
mod script;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cairn_promql::Options;
use cairn_promql::ast::{AggregateOp, ExprKind};
use script::Command;

/// Names and texts of the scripts in the repository.
fn own_scripts() -> Vec<(String, String)> {
    scripts_in(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata"))).expect("testdata/ has scripts")
}

/// Names and texts of Prometheus's scripts.
fn conformance_scripts() -> Option<Vec<(String, String)>> {
    let shared = std::env::var_os("CAIRN_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../../shared")),
        PathBuf::from,
    );
    let scripts = scripts_in(&shared.join("promqltest"));
    if scripts.is_none() {
        skip();
    }
    scripts
}

fn scripts_in(folder: &Path) -> Option<Vec<(String, String)>> {
    let mut scripts: Vec<(String, String)> = fs::read_dir(folder)
        .ok()?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "test"))
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect();
    scripts.sort();
    if scripts.is_empty() { None } else { Some(scripts) }
}

#[expect(clippy::print_stdout, reason = "a helper of tests; clippy knows only the test functions themselves")]
fn skip() {
    println!("skipped: no conformance scripts beside the repository (see tests/promqltest/main.rs)");
}

/// Whichever way names are removed: own statements avoid what differs.
#[test]
fn own_statements_pass() {
    let mut wrong = Vec::new();
    for (file, text) in own_scripts() {
        for delayed_name_removal in [false, true] {
            let options = Options { delayed_name_removal, ..run::SUITE };
            run::script(&text, &options, |eval, outcome| {
                if let Err(why) = outcome {
                    wrong.push(format!("testdata/{file}:{}: {}\n    {why}", eval.line, eval.text));
                }
            });
        }
    }
    assert!(wrong.is_empty(), "{} wrong answers:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_function_and_aggregation_has_an_own_statement() {
    let mut missing: BTreeSet<&str> =
        cairn_promql::functions::FUNCTIONS.iter().map(|function| function.name).collect();
    missing.extend(AggregateOp::ALL.map(AggregateOp::as_str));
    for (_, text) in own_scripts() {
        for command in script::commands(&text) {
            let Command::Eval(eval) = command else { continue };
            cairn_promql::parse(&eval.text).unwrap().walk(&mut |expr| match &expr.kind {
                ExprKind::Call(call) => _ = missing.remove(call.function.name),
                ExprKind::Aggregate(aggregate) => _ = missing.remove(aggregate.op.as_str()),
                _ => {}
            });
        }
    }
    assert!(missing.is_empty(), "add statements to testdata/<family>.test about {missing:?}");
}

#[test]
fn conformance_statements_pass() {
    let Some(scripts) = conformance_scripts() else { return };
    let mut wrong = Vec::new();
    let mut n = 0;
    for (file, text) in &scripts {
        run::script(text, &run::SUITE, |eval, outcome| {
            n += 1;
            if let Err(why) = outcome {
                let expected = eval.body.join("; ");
                wrong.push(format!("{file}:{}: {}\n    {why}\n    {expected}", eval.line, eval.text));
            }
        });
    }
    assert!(wrong.is_empty(), "{} of {n} statements fail:\n{}", wrong.len(), wrong.join("\n"));
}

/// As Prometheus ships, names are removed at each function; the scripts assume removal at the end. The statements
/// that tell the two apart are known, measured with the real engine (README.md of the scripts).
#[test]
fn removing_names_at_once_differs_where_prometheus_does() {
    let Some(scripts) = conformance_scripts() else { return };
    let at_once = Options { delayed_name_removal: false, ..run::SUITE };
    let mut different = Vec::new();
    for (file, text) in &scripts {
        run::script(text, &at_once, |eval, outcome| {
            if outcome.is_err() {
                different.push(format!("{file}:{}", eval.line));
            }
        });
    }
    let names = [59, 64, 69, 74, 89, 115, 119, 123].map(|line| format!("name_label_dropping.test:{line}"));
    let histograms = [1616, 1621, 1626, 1631, 1635, 1639, 1644, 1648, 1653, 1908, 1911, 1914, 1917]
        .map(|line| format!("native_histograms.test:{line}"));
    let types = [77, 92, 222, 237].map(|line| format!("type_and_unit.test:{line}"));
    let wanted: Vec<String> = names.into_iter().chain(histograms).chain(types).collect();
    assert_eq!(different, wanted);
}

/// A statement of its own language, but one that holds only where names are removed at once: then functions over range
/// vectors refuse series that become equal even if they have no step in common, and nothing else does.
#[test]
fn range_functions_refuse_equal_series_without_a_common_step() {
    let text = r#"
load 1m
    first 1 1 _x8
    second _x5 2 2 2

eval range from 0 to 8m step 4m sum_over_time({__name__=~"first|second"}[2m])
    expect fail msg: vector cannot contain metrics with the same labelset

eval range from 0 to 8m step 4m -{__name__=~"first|second"}
    {} -1 -1 -2

eval instant at 1m sum_over_time({__name__=~"first|second"}[2m])
    {} 2
"#;
    let at_once = Options { delayed_name_removal: false, ..run::SUITE };
    run::script(text, &at_once, |eval, outcome| assert_eq!(outcome, Ok(()), "{}", eval.text));
}

#[test]
fn every_expression_parses_and_prints_the_same_again() {
    let mut scripts = own_scripts();
    scripts.extend(conformance_scripts().unwrap_or_default());
    let mut n = 0;
    let mut wrong = Vec::new();
    for (file, text) in &scripts {
        for command in script::commands(text) {
            let Command::Eval(eval) = command else { continue };
            n += 1;
            let name = format!("{file}:{}: {}", eval.line, eval.text);
            match cairn_promql::parse(&eval.text) {
                Err(error) => wrong.push(format!("{name}: {error}")),
                Ok(expr) => {
                    let printed = expr.to_string();
                    match cairn_promql::parse(&printed) {
                        Ok(again) if again.to_string() == printed => {}
                        Ok(again) => wrong.push(format!("{name}: prints {printed}, then {again}")),
                        Err(error) => wrong.push(format!("{name}: prints {printed}: {error}")),
                    }
                }
            }
        }
    }
    println!("{} of {n} expressions parse", n - wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
