//! The program behind `scripts/up`: starts the four daemons on loopback, shows where they are, and, with `--check`,
//! asserts the whole chain end to end.
#![expect(clippy::print_stdout, reason = "what it prints is its purpose")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cairn_disk::lock::DirLock;
use cairn_tests::daemon::wait_for;
use cairn_tests::stack::{Options, Stack};
use cairn_tests::{chain, corpus, grafana};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// Resident memory that the four daemons together may hold after the check, in bytes.
const IDLE_MEMORY_LIMIT: u64 = 80_000_000;

/// How often `up` looks whether a daemon has ended by itself.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// In the state directory of a check that runs, or that did not get to its end.
const UNFINISHED: &str = "unfinished";

/// Starts Cairn's four daemons on this machine.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where data, logs and generated configurations lie.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Assert the whole chain end to end on free ports, then stop.
    #[arg(long)]
    check: bool,
    /// Measure how long a line and a sample take to become visible, then stop.
    #[arg(long, conflicts_with = "check")]
    latency: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = if arguments.check {
        check(&arguments.state)
    } else if arguments.latency {
        latency(&arguments.state)
    } else {
        up(&arguments.state)
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            eprintln!("the daemons' logs are in {}", arguments.state.join("log").display());
            ExitCode::FAILURE
        }
    }
}

/// Runs until Ctrl-C.
fn up(state: &Path) -> Result<()> {
    let options = Options {
        state: state.to_owned(),
        usual_ports: true,
        traffic_per_second: 2.0,
        scrape_interval_s: 10,
        corpus_glob: None,
    };
    // Before anything is started: a Ctrl-C from here on ends in an orderly stop.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the signal handler")?;
    let (mut interrupt, mut terminate, mut hangup) = runtime.block_on(async {
        // The last one: a terminal that is closed.
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = kinds.map(signal);
        anyhow::Ok((interrupt?, terminate?, hangup?))
    })?;
    println!("starting the daemons; their logs are in {}", state.join("log").display());
    let mut stack = Stack::start(&options)?;
    let grafana = grafana::start(state, stack.log_store_address, stack.metrics_store_address)?;
    wait_for("a log line and a metric of the app", Duration::from_secs(60), || {
        let lines = chain::instant(
            stack.log_store_address,
            chain::LOG_QUERY,
            r#"sum(count_over_time({job="flask-app"}[1h]))"#,
        );
        let metric =
            chain::instant(stack.metrics_store_address, chain::METRIC_QUERY, "sum(flask_app_request_count)");
        (lines.ok().flatten()? > 0.0 && metric.ok().flatten()? > 0.0).then_some(())
    })?;
    println!("\nCairn is up: logs and metrics of the sample app can be queried.\n");
    let addresses = [
        ("sample app", stack.app_address, "requests are made by the app itself"),
        ("log shipper", stack.log_shipper_address, "what it follows, and how far it is"),
        ("log store", stack.log_store_address, "Loki's API; data source type Loki"),
        ("metrics store", stack.metrics_store_address, "Prometheus's API; data source type Prometheus"),
    ];
    for (name, address, what) in addresses {
        print_address(name, &format!("http://{address}"), what);
    }
    match &grafana {
        Some(grafana) => print_address(
            "Grafana",
            &format!("http://{}", grafana.address),
            "admin / admin, data sources are there",
        ),
        None => print_address("Grafana", "not installed here", "point yours at the two stores above"),
    }
    println!("\nTry:\n");
    println!(
        "  curl -sG http://{}/loki/api/v1/query_range --data-urlencode 'query={{job=\"flask-app\"}} |= \"api/data\"' -d limit=5",
        stack.log_store_address
    );
    println!(
        "  curl -sG http://{}/loki/api/v1/query --data-urlencode 'query=sum by (detected_level) (rate({{job=\"flask-app\"}}[5m]))'",
        stack.log_store_address
    );
    println!(
        "  curl -sG http://{}/api/v1/query --data-urlencode 'query=sum by (endpoint) (rate(flask_app_request_count[5m]))'",
        stack.metrics_store_address
    );
    println!("\nCtrl-C stops everything. Data stays in {} for the next run.", state.display());

    let ended = runtime.block_on(async {
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        loop {
            tokio::select! {
                _ = interrupt.recv() => return None,
                _ = terminate.recv() => return None,
                _ = hangup.recv() => return None,
                _ = look.tick() => if let Some(ended) = stack.first_ended() { return Some(ended) },
            }
        }
    });
    if let Some(ended) = ended {
        // Dropping the stack ends the others.
        bail!("{ended}; the others are stopped with it");
    }
    println!("\nstopping");
    drop(grafana);
    for line in stack.stop()? {
        println!("  {line}");
    }
    Ok(())
}

fn print_address(name: &str, address: &str, what: &str) {
    println!("  {name:<15} {address:<24} {what}");
}

/// A step of the check, with the time it took.
fn step<T>(what: &str, run: impl FnOnce() -> Result<T>, tell: impl FnOnce(&T) -> String) -> Result<T> {
    let start = Instant::now();
    let value = run().with_context(|| format!("check: {what}"))?;
    println!("  ok  {what}: {} ({:.1} s)", tell(&value), start.elapsed().as_secs_f64());
    Ok(value)
}

/// Asserts the chain.
fn check(state: &Path) -> Result<()> {
    set_unfinished_aside(state)?;
    let corpus_folder = state.join(format!("corpus/run-{}", chain::now_ns()));
    fs::create_dir_all(&corpus_folder).with_context(|| format!("create {}", corpus_folder.display()))?;
    let corpus_folder = corpus_folder.canonicalize().context("resolve the corpus folder")?;
    let since = chain::now_ns();
    let skip = fs::read_to_string(state.join("app/app.log")).map_or(0, |text| text.lines().count());
    let options = Options {
        state: state.to_owned(),
        usual_ports: false,
        traffic_per_second: 20.0,
        scrape_interval_s: 2,
        corpus_glob: Some(format!("{}/*.log", corpus_folder.display())),
    };
    println!("checking the chain in {}", state.display());
    let stack = step("start", || Stack::start(&options), |_| "four daemons are ready".to_owned())?;
    step("app", || chain::app_answers(stack.app_address), |()| "every endpoint answers".to_owned())?;
    step(
        "metrics",
        || chain::metrics_arrive(&stack),
        |n| format!("{n} targets up, the app's counters and its users' queries answer"),
    )?;
    step(
        "logs",
        || chain::app_log_arrives(&stack, since, skip),
        |n| format!("{n} lines of app.log are in the store, byte for byte"),
    )?;
    step(
        "queries",
        || chain::users_queries_answer(stack.log_store_address),
        |n| format!("{n} users' queries find exactly their lines"),
    )?;
    let files = corpus::log_files()?;
    step(
        "corpus",
        || chain::corpus_arrives(stack.log_store_address, &corpus_folder, &files),
        |(n_files, n_lines)| {
            format!("{n_files} files, {n_lines} lines through four rotations, byte for byte")
        },
    )?;
    let resident = stack.resident_bytes()?;
    let total: u64 = resident.iter().map(|(_, bytes)| bytes).sum();
    let parts: Vec<String> =
        resident.iter().map(|(name, bytes)| format!("{name} {:.1}", megabytes(*bytes))).collect();
    println!("  resident memory: {:.1} MB ({})", megabytes(total), parts.join(", "));
    ensure!(
        total < IDLE_MEMORY_LIMIT,
        "the daemons hold {:.1} MB of memory, more than {:.0} MB",
        megabytes(total),
        megabytes(IDLE_MEMORY_LIMIT)
    );
    let complaints = step("stop", || stack.stop(), |_| "every daemon ended with status 0".to_owned())?;
    ensure!(complaints.is_empty(), "the daemons complained:\n{}", complaints.join("\n"));
    fs::remove_dir_all(&corpus_folder).context("remove the corpus")?;
    fs::remove_file(state.join(UNFINISHED)).context("mark the check as finished")?;
    println!("the chain works");
    Ok(())
}

/// A check counts what arrives from its beginning on. Lines that an unfinished one left undelivered would be counted by
/// the next, so its whole state is moved out of the way, and kept for whoever wants to know why it failed.
fn set_unfinished_aside(state: &Path) -> Result<()> {
    let mark = state.join(UNFINISHED);
    if mark.exists() {
        // Not while it runs: the lock says by whom.
        drop(DirLock::acquire(state)?);
        let mut aside = state.as_os_str().to_owned();
        aside.push(".unfinished");
        let aside = PathBuf::from(aside);
        if aside.exists() {
            fs::remove_dir_all(&aside).with_context(|| format!("remove {}", aside.display()))?;
        }
        fs::rename(state, &aside).with_context(|| format!("move {} aside", state.display()))?;
        println!("the last check did not finish; its data and logs are kept in {}", aside.display());
    }
    fs::create_dir_all(state).with_context(|| format!("create {}", state.display()))?;
    fs::write(&mark, "").with_context(|| format!("write {}", mark.display()))
}

/// How often each latency is measured.
const LATENCY_ROUNDS: usize = 20;

/// Measures, prints, judges nothing.
fn latency(state: &Path) -> Result<()> {
    let folder = state.join(format!("corpus/run-{}", chain::now_ns()));
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let folder = folder.canonicalize().context("resolve the folder")?;
    let options = Options {
        state: state.to_owned(),
        usual_ports: false,
        traffic_per_second: 1.0,
        scrape_interval_s: 10,
        corpus_glob: Some(format!("{}/*.log", folder.display())),
    };
    let stack = Stack::start(&options)?;
    let mut writer = cairn_tests::tailing::Writer::create(&folder.join("latency.log"))?;
    let mut line_ms = Vec::new();
    let mut metric_ms = Vec::new();
    let deadline = Duration::from_secs(60);
    for round in 0..LATENCY_ROUNDS {
        let mark = format!("mark-{round}-{}", chain::now_ns());
        let start = Instant::now();
        writer.write(&[&mark])?;
        let query = format!(r#"{{job="corpus"}} |= "{mark}""#);
        wait_for("the line", deadline, || {
            let end = chain::now_ns();
            chain::log_lines(stack.log_store_address, &query, end - 600_000_000_000, end)
                .ok()
                .filter(|lines| !lines.is_empty())
        })?;
        line_ms.push(start.elapsed().as_millis());
    }
    // A request changes the app's counter; the next scrape must bring it.
    for _ in 0..3 {
        let count = || {
            chain::instant(
                stack.metrics_store_address,
                chain::METRIC_QUERY,
                r#"sum(flask_app_request_count{endpoint="/get",job="flask-app"})"#,
            )
            .ok()
            .flatten()
            .unwrap_or(0.0)
        };
        let before = count();
        let start = Instant::now();
        for _ in 0..50 {
            cairn_tests::http::get(stack.app_address, "/get")?;
        }
        wait_for("the sample", deadline, || (count() >= before + 50.0).then_some(()))?;
        metric_ms.push(start.elapsed().as_millis());
    }
    line_ms.sort_unstable();
    metric_ms.sort_unstable();
    println!(
        "a line written to a file can be queried after (ms, {LATENCY_ROUNDS} rounds): median {}, largest {}",
        line_ms[line_ms.len() / 2],
        line_ms[line_ms.len() - 1]
    );
    println!("a counter's change can be queried after (ms, scrape interval 10,000): {metric_ms:?}");
    stack.stop()?;
    fs::remove_dir_all(&folder).context("remove the folder")?;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
