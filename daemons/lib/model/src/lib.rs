//! What both stores and the shipper mean by a label, a matcher, a time and a number.
//!
//! Pure values: no I/O, no clock, no async. Everything that a Go program prints or parses in its own way (regular
//! expressions, quoted strings, floats, durations) has its module here, so that Loki's and Prometheus's texts are
//! reproduced in one place.
//!
//! | module | answers |
//! |---|---|
//! | [`labels`] | what is a label set, how is it ordered, hashed, printed |
//! | [`matcher`] | does this label set pass `=`, `!=`, `=~`, `!~` |
//! | [`goregex`] | what does this RE2 pattern mean, and what does Go say when it is wrong |
//! | [`gotext`] | how does Go quote and unquote a string |
//! | [`number`] | how is a float printed and parsed |
//! | [`duration`] | `1h30m` as Prometheus reads it, `1.5h` as Go reads it |
//! | [`histogram`] | what is a native histogram |
//! | [`float_histogram`] | how is computed with native histograms |
//! | [`exemplar`], [`metadata`] | what comes with samples: an example with its trace; type, help and unit |
//! | [`time`] | milliseconds and nanoseconds since the epoch, RFC 3339 |

pub mod duration;
pub mod exemplar;
pub mod float_histogram;
pub mod goregex;
pub mod gotext;
pub mod histogram;
pub mod labels;
pub mod matcher;
pub mod metadata;
pub mod number;
pub mod time;

pub use exemplar::Exemplar;
pub use float_histogram::FloatHistogram;
pub use histogram::Histogram;
pub use labels::{Labels, LabelsBuilder};
pub use matcher::{MatchOp, Matcher};
pub use metadata::{Metadata, MetricType};
pub use time::{TimeMs, TimeNs};
