//! The command line.

use cairn_runtime::CommonArgs;

/// Sample web application with metrics and a log file
#[derive(clap::Parser, Clone, Debug)]
#[command(name = "cairn-app", version)]
pub struct Args {
    /// Arguments of every daemon.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Call this application over HTTP so many times a second (0: not at all) [default: the configuration's]
    #[arg(long, value_name = "RATE")]
    pub self_traffic: Option<f64>,
}
