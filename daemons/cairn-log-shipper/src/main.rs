//! The `cairn-log-shipper` binary: reads the command line and runs [`cairn_log_shipper::app`].

use std::process::ExitCode;

fn main() -> ExitCode {
    let args = cairn_log_shipper::args::parse();
    let common = args.common.clone();
    cairn_runtime::exit::main_with("cairn-log-shipper", &common, |lifecycle| {
        cairn_log_shipper::daemon::run(args, lifecycle)
    })
}
