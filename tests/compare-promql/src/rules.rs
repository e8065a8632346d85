//! Differences that come from Prometheus 2.42 being older than Prometheus 3, or that neither defines.
//!
//! A rule looks at the smallest part of a query that differs (see `blame`), and says yes only when it can show, from what
//! both stores answer to that part and to the parts inside of it, that the difference is the one that it knows. What can
//! be avoided by asking 2.42 in other words is avoided instead, see `dialect`.

use crate::blame::Blamed;
use crate::{rules_rate, rules_structure, rules_values};

/// A known difference.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// Its name in the report.
    pub(crate) name: &'static str,
    /// Why answers differ.
    pub(crate) reason: &'static str,
    /// Whether it is this one.
    pub(crate) explains: fn(&Blamed) -> bool,
}

/// All of them.
pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "zero point",
        reason: "rate and increase extrapolate to where a counter was zero; 2.42 does so before it looks whether the \
                 window's begin is far from the first sample, Prometheus 3 afterwards",
        explains: rules_rate::zero_point,
    },
    Rule {
        name: "ties",
        reason: "which of equal elements topk and bottomk choose is not defined",
        explains: rules_structure::ties,
    },
    Rule {
        name: "unsorted",
        reason: "2.42 does not sort the matrix that an instant query for a range vector answers",
        explains: rules_structure::unsorted,
    },
    Rule {
        name: "fixed window in parentheses",
        reason: "Prometheus, 3 as well, refuses a range vector whose time is fixed by @ and that stands in parentheses as a \
                 whole query, unless each series has one sample: it takes it for an instant vector",
        explains: rules_structure::fixed_window_in_parentheses,
    },
    Rule {
        name: "negation",
        reason: "2.42 refuses to negate series that are equal without their names, even when they have no step in common",
        explains: rules_structure::negation,
    },
    Rule {
        name: "label name",
        reason: "any UTF-8 text is a label's name since Prometheus 3, which label_join and label_replace take",
        explains: rules_structure::label_name,
    },
    Rule {
        name: "duration as number",
        reason: "a query with a mistake has a duration where Prometheus 3 takes it for a number",
        explains: rules_structure::duration_as_number,
    },
    Rule {
        name: "@ of timestamp",
        reason: "2.42 forgets the offset of a selector with @ in timestamp()",
        explains: rules_structure::timestamp_at,
    },
    Rule {
        name: "@ of a window",
        reason: "2.42 moves a window with @ along with the steps, where the function has to be evaluated at each",
        explains: rules_structure::window_at,
    },
    Rule {
        name: "labels of count_values",
        reason: "2.42 overwrites one of three labels after `by` with the one of the values from the second step on",
        explains: rules_structure::counted_labels,
    },
    Rule {
        name: "spread of no number",
        reason: "stddev and stdvar of an infinity or NaN alone are NaN since Prometheus 3, and were 0",
        explains: rules_values::spread_of_no_number,
    },
    Rule {
        name: "sum of -0",
        reason: "Prometheus 3 adds a compensation, which is 0, to each sum; 2.42 does not",
        explains: rules_values::sum_of_negative_zero,
    },
    Rule {
        name: "date of no time",
        reason: "what becomes of a number that no 64-bit integer holds is up to the processor in Go",
        explains: rules_values::date_of_no_time,
    },
    Rule {
        name: "overflow",
        reason: "Prometheus 3 gives the compensation of a sum up when the sum overflows, in 2.42 it becomes NaN; 2.42 does not compensate sum and avg",
        explains: rules_values::overflow,
    },
    Rule {
        name: "end of sinh",
        reason: "sinh and cosh of Go are infinite already where half of an exponential overflows that is not halved yet",
        explains: rules_values::end_of_sinh,
    },
    Rule {
        name: "least numbers",
        reason: "logarithms of Go take a number below the smallest normal one for larger than it is",
        explains: rules_values::logarithm_of_the_least,
    },
    Rule {
        name: "cancellation",
        reason: "a sum or difference whose result is tiny beside what went in keeps the rounding of what went in",
        explains: rules_values::cancellation,
    },
    Rule {
        name: "amplified rounding",
        reason: "an operation that jumps or oscillates was given values that agree only within the tolerance",
        explains: rules_values::amplified,
    },
];

/// What is said of a difference without looking for the part to blame: the peer gives another answer each time.
pub(crate) const UNDETERMINED: Rule =
    Rule { name: "undetermined", reason: "2.42 itself answers now this, now that", explains: |_| true };

/// The rule that explains a difference.
pub(crate) fn explain(blamed: &Blamed) -> Option<&'static Rule> {
    RULES.iter().find(|rule| (rule.explains)(blamed))
}
