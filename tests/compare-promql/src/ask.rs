//! Both stores, and asking them the same.

use std::path::Path;

use anyhow::{Context, Result};
use cairn_bench_metrics::http::Client;
use cairn_bench_metrics::server::{Program, Server};

use crate::compare::compare;
use crate::dataset::Dataset;
use crate::dialect::{CAIRN_FLAGS, Dialect, PEER_FLAGS};
use crate::expr::Expr;
use crate::moment::Moment;
use crate::outcome::Outcome;
use crate::write::write;

/// Both stores, with the same data.
#[derive(Debug)]
pub(crate) struct Pair {
    cairn: Server,
    peer: Server,
}

/// How often the peer is asked again: enough for a choice between two to come out the other way.
const N_AGAIN: usize = 10;

impl Pair {
    /// Starts both in folders below `dir` and writes the data to them.
    ///
    /// # Errors
    /// One of them does not start, or refuses data.
    pub(crate) fn start(cairn: &Program, peer: &Program, dir: &Path, data: &Dataset) -> Result<Self> {
        let start = |program: &Program, name: &str, flags: &[&str]| {
            let server = program.start_with(&dir.join(name), "[]", flags)?;
            write(&server.client, &data.series).with_context(|| format!("write to {name}"))?;
            Ok::<_, anyhow::Error>(server)
        };
        Ok(Self { cairn: start(cairn, "cairn", CAIRN_FLAGS)?, peer: start(peer, "prometheus", PEER_FLAGS)? })
    }

    /// Asks both: Cairn's answer, the peer's.
    ///
    /// # Errors
    /// One does not answer, or not as the API says.
    pub(crate) fn ask(&self, expr: &Expr, moment: Moment) -> Result<(Outcome, Outcome)> {
        let ours = ask(&self.cairn.client, &expr.written(Dialect::Cairn), moment);
        let theirs = ask(&self.peer.client, &expr.written(Dialect::Peer), moment);
        Ok((ours.context("ask Cairn")?, theirs.context("ask Prometheus")?))
    }

    /// Whether the peer, asked the same again, answers something else. (Its hash tables have an order of their own.)
    ///
    /// # Errors
    /// It does not answer.
    pub(crate) fn peer_wavers(&self, expr: &Expr, moment: Moment, theirs: &Outcome) -> Result<bool> {
        for _ in 0..N_AGAIN {
            let again = ask(&self.peer.client, &expr.written(Dialect::Peer), moment)?;
            if !compare(expr, theirs, &again).is_equal() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Ends both.
    ///
    /// # Errors
    /// One had ended before.
    pub(crate) fn stop(self) -> Result<()> {
        self.cairn.stop()?;
        self.peer.stop()
    }
}

fn ask(client: &Client, query: &str, moment: Moment) -> Result<Outcome> {
    let (path, parameters) = moment.request();
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("query", query);
    form.extend_pairs(&parameters);
    let body = form.finish();
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    let answer = client.post(path, &body, &headers).with_context(|| format!("{query} at {moment}"))?;
    Outcome::read(&answer).with_context(|| format!("{query} at {moment}"))
}
