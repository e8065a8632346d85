//! The program behind `scripts/compare-promql`: asks Cairn and Prometheus 2.42 the same queries over the same data and
//! compares their answers value by value.
//!
//! | module | answers |
//! |---|---|
//! | `dataset`, `dataset_histograms`, `clock`, `values` | which series are there, when, with which values |
//! | `write`, `ask` | how do both stores get them, how are they asked |
//! | `grammar*`, `expr`, `moment` | which queries, at which times |
//! | `dialect` | how does 2.42 have to be asked to mean what Prometheus 3 means |
//! | `outcome`, `compare` | what did they answer, is it the same |
//! | `blame`, `rules*` | which part differs, is there a reason for it |
//! | `run` | all of it in a row |

pub mod compare;
pub mod run;

mod ask;
mod blame;
mod clock;
mod dataset;
mod dataset_histograms;
mod dialect;
mod expr;
mod grammar;
mod grammar_call;
mod grammar_operator;
mod grammar_selector;
mod grammar_wrong;
mod moment;
mod outcome;
mod rules;
mod rules_rate;
mod rules_structure;
mod rules_values;
mod values;
mod write;
