//! `cairn-app`: reads the command line and runs the daemon. Everything a test would want is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args = cairn_runtime::args::parse::<cairn_app::Args>();
    let common = args.common.clone();
    cairn_runtime::exit::main_with("cairn-app", &common, |lifecycle| cairn_app::run(args, lifecycle))
}
