//! Which part of a query is to blame for a difference: the smallest one that, asked alone at the same time, still differs
//! while everything inside of it does not.

use anyhow::Result;

use crate::ask::Pair;
use crate::compare::{Difference, Verdict, compare};
use crate::expr::{Expr, Kind};
use crate::moment::Moment;
use crate::outcome::Outcome;

/// An expression with both answers.
#[derive(Debug)]
pub(crate) struct Asked {
    /// What was asked.
    pub(crate) expr: Expr,
    /// When.
    pub(crate) moment: Moment,
    /// Cairn's answer.
    pub(crate) ours: Outcome,
    /// The peer's.
    pub(crate) theirs: Outcome,
    /// How they compare.
    pub(crate) verdict: Verdict,
}

/// What is to blame.
#[derive(Debug)]
pub(crate) struct Blamed {
    /// The part.
    pub(crate) asked: Asked,
    /// Its difference.
    pub(crate) difference: Difference,
    /// What is directly inside, none of which differs.
    pub(crate) children: Vec<Asked>,
}

impl Asked {
    /// Asks both and compares.
    ///
    /// # Errors
    /// One of them does not answer.
    pub(crate) fn new(pair: &Pair, expr: &Expr, moment: Moment) -> Result<Self> {
        let (ours, theirs) = pair.ask(expr, moment)?;
        let verdict = compare(expr, &ours, &theirs);
        Ok(Self { expr: expr.clone(), moment, ours, theirs, verdict })
    }
}

/// Looks for the part that is to blame for a difference.
///
/// # Errors
/// A store does not answer any more.
pub(crate) fn blame(pair: &Pair, mut asked: Asked, mut difference: Difference) -> Result<Blamed> {
    // Parts are asked at other times than the whole.
    let (start, end) = asked.moment.ends();
    asked.expr = asked.expr.pinned(start, end);
    loop {
        if let (Moment::Range(..), Some(time)) = (asked.moment, difference.time) {
            let instant = Asked::new(pair, &asked.expr, Moment::Instant(time))?;
            if let Some(found) = different(&instant) {
                (asked, difference) = (instant, found);
            }
        }
        let mut children = Vec::new();
        let mut inner = None;
        for child in asked.expr.children().filter(|child| child.kind != Kind::Text) {
            let Some(moment) = moment_inside(&asked, child, &difference) else { continue };
            let child = Asked::new(pair, child, moment)?;
            if let Some(found) = different(&child) {
                inner = Some((child, found));
                break;
            }
            children.push(child);
        }
        match inner {
            Some(found) => (asked, difference) = found,
            None => return Ok(Blamed { asked, difference, children }),
        }
    }
}

fn different(asked: &Asked) -> Option<Difference> {
    match &asked.verdict {
        Verdict::Different(difference) => Some(difference.clone()),
        Verdict::Equal { .. } => None,
    }
}

/// When a part inside was evaluated. Of a subquery it is the time of the sample that differs.
fn moment_inside(asked: &Asked, child: &Expr, difference: &Difference) -> Option<Moment> {
    match (asked.moment, difference.time) {
        (_, Some(time)) if asked.expr.head == "subquery" => Some(Moment::Instant(time)),
        (Moment::Range(..), time) if child.kind == Kind::Range => time.map(Moment::Instant),
        (moment, _) => Some(moment),
    }
}
