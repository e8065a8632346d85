//! A whole comparison: data, queries, answers, and what is said about them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use cairn_bench_metrics::server::Program;

use crate::ask::Pair;
use crate::blame::{Asked, Blamed, blame};
use crate::compare::{TOLERANCE, Verdict};
use crate::dataset::Dataset;
use crate::dialect::Dialect;
use crate::expr::Expr;
use crate::grammar::Grammar;
use crate::moment::Moment;
use crate::outcome::shortened;
use crate::rules::{RULES, Rule, UNDETERMINED, explain};

/// What is compared.
#[derive(Clone, Debug)]
pub struct Plan {
    /// cairn-metrics-store.
    pub cairn: Program,
    /// prometheus.
    pub peer: Program,
    /// Where data and queries come from.
    pub seed: u64,
    /// How many queries.
    pub n_queries: usize,
    /// Only the query of this number, with all that is known about it.
    pub only: Option<usize>,
    /// Whether refusals that differ in words are printed.
    pub prints_words: bool,
    /// Whether differences that a rule explains are printed too.
    pub prints_explained: bool,
}

/// How it went.
#[derive(Debug, Default)]
pub struct Tally {
    /// Equal answers.
    pub equal: usize,
    /// Among them, refusals.
    pub refused: usize,
    /// Refusals in other words.
    pub words: usize,
    /// Answers without a value: an empty list.
    pub empty: usize,
    /// Values equal only within [`TOLERANCE`].
    pub inexact: usize,
    /// The widest distance among them.
    pub widest: f64,
    /// Differences that each rule explains.
    pub explained: BTreeMap<&'static str, usize>,
    /// Differences that none does.
    pub different: usize,
}

/// Between two lines about how far it is.
const PROGRESS: Duration = Duration::from_secs(10);

/// Runs a plan; `say` takes each line of the report.
///
/// # Errors
/// A store does not start, refuses the data, or stops answering.
pub fn run(plan: &Plan, say: &mut dyn FnMut(&str)) -> Result<Tally> {
    let data = Dataset::new(plan.seed);
    let n_samples: usize = data.series.iter().map(|series| series.samples.len()).sum();
    let dir = tempfile::tempdir().context("folder for the data")?;
    let pair = Pair::start(&plan.cairn, &plan.peer, dir.path(), &data)?;
    say(&format!(
        "seed {}: {} queries over {} metrics, {} series, {n_samples} samples; Cairn beside {}",
        plan.seed,
        plan.n_queries,
        data.metrics.len(),
        data.series.len(),
        plan.peer.name()
    ));
    let mut tally = Tally::default();
    let mut grammar = Grammar::new(plan.seed, &data.metrics);
    let mut said = Instant::now();
    for number in 0..plan.n_queries {
        let (expr, moment) = (grammar.query(), Moment::any(&mut grammar.noise));
        if plan.only.is_some_and(|only| only != number) {
            continue;
        }
        one(plan, &pair, number, &expr, moment, &mut tally, say)?;
        if said.elapsed() > PROGRESS {
            say(&format!("... {} of {} queries, {} differ", number + 1, plan.n_queries, tally.different));
            said = Instant::now();
        }
    }
    pair.stop()?;
    tally.report(say);
    Ok(tally)
}

fn one(
    plan: &Plan,
    pair: &Pair,
    number: usize,
    expr: &Expr,
    moment: Moment,
    tally: &mut Tally,
    say: &mut dyn FnMut(&str),
) -> Result<()> {
    let asked = Asked::new(pair, expr, moment)?;
    if plan.only.is_some() {
        say(&format!("{} at {moment}\n  Cairn      {}", expr.written(Dialect::Cairn), asked.ours.short()));
        say(&format!("  Prometheus {}", asked.theirs.short()));
    }
    let difference = match &asked.verdict {
        Verdict::Equal { inexact, widest, words_differ } => {
            tally.count_equal(&asked, *inexact, *widest, *words_differ);
            if *words_differ && plan.prints_words {
                say(&format!("other words: {}", expr.written(Dialect::Cairn)));
                say(&format!("  Cairn      {}\n  Prometheus {}", asked.ours.short(), asked.theirs.short()));
            }
            return Ok(());
        }
        Verdict::Different(difference) => difference.clone(),
    };
    let answers = (asked.ours.short(), asked.theirs.short());
    let wavers = pair.peer_wavers(expr, moment, &asked.theirs)?;
    let blamed = blame(pair, asked, difference.clone())?;
    let rule = if wavers { Some(&UNDETERMINED) } else { explain(&blamed) };
    match rule {
        Some(rule) => *tally.explained.entry(rule.name).or_default() += 1,
        None => tally.different += 1,
    }
    if rule.is_none() || plan.prints_explained {
        say(&described(number, expr, moment, &difference.what, &answers, &blamed, rule));
    }
    Ok(())
}

/// All that there is to say about a difference.
fn described(
    number: usize,
    expr: &Expr,
    moment: Moment,
    what: &str,
    answers: &(String, String),
    blamed: &Blamed,
    rule: Option<&Rule>,
) -> String {
    let head = rule.map_or_else(|| "DIFFERENT".to_owned(), |rule| format!("explained ({})", rule.name));
    let mut text =
        format!("{head}: query {number} at {moment}\n  query      {}\n", expr.written(Dialect::Cairn));
    let peer = |expr: &Expr| {
        let (cairn, peer) = (expr.written(Dialect::Cairn), expr.written(Dialect::Peer));
        if cairn == peer { String::new() } else { format!("  2.42 asked {}\n", shortened(&peer, 1000)) }
    };
    text += &peer(expr);
    text += &format!("  Cairn      {}\n  Prometheus {}\n  differs    {what}\n", answers.0, answers.1);
    let asked = &blamed.asked;
    if asked.expr.written(Dialect::Cairn) != expr.written(Dialect::Cairn) || asked.moment != moment {
        text += &format!("  reduced to {} at {}\n", asked.expr.written(Dialect::Cairn), asked.moment);
        text += &peer(&asked.expr);
        text += &format!("  Cairn      {}\n  Prometheus {}\n", asked.ours.short(), asked.theirs.short());
        text += &format!("  differs    {}\n", blamed.difference.what);
    }
    text
}

impl Tally {
    fn count_equal(&mut self, asked: &Asked, inexact: usize, widest: f64, words_differ: bool) {
        use crate::outcome::Outcome;
        self.equal += 1;
        self.inexact += inexact;
        self.widest = self.widest.max(widest);
        self.words += usize::from(words_differ);
        self.refused += usize::from(matches!(asked.ours, Outcome::Error { .. }));
        self.empty += usize::from(matches!(&asked.ours, Outcome::Series { rows, .. } if rows.is_empty()));
    }

    /// Differences that rules explain.
    pub fn n_explained(&self) -> usize {
        self.explained.values().sum()
    }

    fn report(&self, say: &mut dyn FnMut(&str)) {
        say(&format!(
            "among the equal ones {} are empty, {} are refusals, {} of them in other words",
            self.empty, self.refused, self.words
        ));
        say(&format!(
            "{} values needed the tolerance of {TOLERANCE:e}; the widest distance is {:.1e}",
            self.inexact, self.widest
        ));
        for rule in RULES.iter().chain([&UNDETERMINED]) {
            if let Some(count) = self.explained.get(rule.name) {
                say(&format!("explained {count} by {}: {}", rule.name, rule.reason));
            }
        }
        let rules: Vec<String> =
            self.explained.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let by = if rules.is_empty() { String::new() } else { format!(" ({})", rules.join(", ")) };
        say(&format!(
            "{} equal, {} explained{by}, {} different",
            self.equal,
            self.n_explained(),
            self.different
        ));
    }
}
