//! Runs PromQL conformance scripts (`*.test` of a folder) in the language of Prometheus's own suite, under the settings that
//! it assumes. Prints each statement that fails with what was expected and what came out, then how many passed.
//! `scripts/test-promql` starts it.

#![expect(clippy::unwrap_used, reason = "a broken script must stop it")]
#![expect(clippy::print_stdout, reason = "a program whose output is its result")]

#[path = "../tests/promqltest/classic.rs"]
mod classic;
#[path = "../tests/promqltest/compare.rs"]
mod compare;
#[path = "../tests/promqltest/histogram_notation.rs"]
mod histogram_notation;
#[path = "../tests/promqltest/memory.rs"]
mod memory;
#[path = "../tests/promqltest/notation.rs"]
mod notation;
#[path = "../tests/promqltest/run.rs"]
mod run;
#[path = "../tests/promqltest/script.rs"]
mod script;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        println!("usage: test-promql DIR");
        return ExitCode::from(2);
    };
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "test"))
        .collect();
    files.sort();
    if files.is_empty() {
        println!("no *.test in {}", Path::new(&folder).display());
        return ExitCode::from(2);
    }
    let (mut n_passed, mut n_failed) = (0, 0);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        run::script(&text, &run::SUITE, |eval, outcome| match outcome {
            Ok(()) => n_passed += 1,
            Err(why) => {
                n_failed += 1;
                println!("{}:{}: {}", file.display(), eval.line, eval.text);
                match eval.body.as_slice() {
                    [] => println!("  expected: nothing"),
                    lines => lines.iter().for_each(|line| println!("  expected: {line}")),
                }
                println!("  got: {why}");
            }
        });
    }
    println!("{n_passed} passed, {n_failed} failed");
    if n_failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
