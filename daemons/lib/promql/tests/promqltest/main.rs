//! Runs scripts that say what PromQL must answer over an in-memory store. Two folders:
//!
//! `testdata/` of this crate has Cairn's own, one file per family of functions and a few about the language. All
//! of their statements must pass, and every function must occur.
//!
//! The conformance scripts of Prometheus's own suite are not part of the repository: they are looked for in
//! `$CAIRN_SHARED/promqltest`, then in `shared` beside the repository. `passing.txt` lists the statements that pass,
//! so that none is lost; `CAIRN_UPDATE_EXPECT=1` writes it anew.

#![expect(clippy::unwrap_used, reason = "helpers of a test: a broken script must stop it")]

mod compare;
mod memory;
mod notation;
mod run;
mod script;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

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
        let mut store = memory::Store::default();
        for command in script::commands(&text) {
            match command {
                Command::Clear => store = memory::Store::default(),
                Command::Load { step_ms, lines } => store.load(step_ms, &lines),
                Command::Eval(eval) => {
                    for delayed_name_removal in [false, true] {
                        if let Err(why) = run::run(&store, &eval, delayed_name_removal) {
                            wrong.push(format!("testdata/{file}:{}: {}\n    {why}", eval.line, eval.text));
                        }
                    }
                }
            }
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
fn statements_that_passed_still_pass() {
    let Some(scripts) = conformance_scripts() else { return };
    let list = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/promqltest/passing.txt");
    let expected: BTreeSet<String> = fs::read_to_string(list).unwrap().lines().map(str::to_owned).collect();
    let mut passed = Vec::new();
    let mut lost = Vec::new();
    let mut n_all = 0;
    for (file, text) in &scripts {
        let mut store = memory::Store::default();
        let (mut n, mut n_passed) = (0, 0);
        for command in script::commands(text) {
            match command {
                Command::Clear => store = memory::Store::default(),
                Command::Load { step_ms, lines } => store.load(step_ms, &lines),
                Command::Eval(eval) => {
                    n += 1;
                    let name = format!("{file}:{}", eval.line);
                    match run::run(&store, &eval, true) {
                        Ok(()) => {
                            n_passed += 1;
                            passed.push(name);
                        }
                        Err(why) => {
                            if std::env::var_os("CAIRN_SHOW_FAILURES").is_some() {
                                println!("{name}: {}\n    {why}", eval.text);
                            }
                            if expected.contains(&name) {
                                lost.push(format!("{name}: {}\n    {why}", eval.text));
                            }
                        }
                    }
                }
            }
        }
        println!("{file}: {n_passed} of {n}");
        n_all += n;
    }
    println!("{} of {n_all} statements passed", passed.len());
    if std::env::var_os("CAIRN_UPDATE_EXPECT").is_some() {
        fs::write(list, passed.join("\n") + "\n").unwrap();
        return;
    }
    assert!(lost.is_empty(), "{} statements no longer pass:\n{}", lost.len(), lost.join("\n"));
}

/// As Prometheus ships, names are removed at each function; the scripts assume removal at the end. The statements
/// that tell the two apart are known, measured with the real engine (README.md of the scripts; those about native
/// histograms are not evaluated here).
#[test]
fn removing_names_at_once_differs_where_prometheus_does() {
    let Some(scripts) = conformance_scripts() else { return };
    let mut different = Vec::new();
    for (file, text) in &scripts {
        let mut store = memory::Store::default();
        for command in script::commands(text) {
            match command {
                Command::Clear => store = memory::Store::default(),
                Command::Load { step_ms, lines } => store.load(step_ms, &lines),
                Command::Eval(eval) => {
                    if run::run(&store, &eval, true).is_ok() != run::run(&store, &eval, false).is_ok() {
                        different.push(format!("{file}:{}", eval.line));
                    }
                }
            }
        }
    }
    let names = [59, 64, 69, 74, 89, 115, 119, 123].map(|line| format!("name_label_dropping.test:{line}"));
    let types = [77, 92, 222, 237].map(|line| format!("type_and_unit.test:{line}"));
    let wanted: Vec<String> = names.into_iter().chain(types).collect();
    assert_eq!(different, wanted);
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
