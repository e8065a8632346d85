//! LogQL: parser, typed syntax tree, pipeline and evaluation over any source of entries.
//!
//! No I/O, no clock, no async: `&str` in, tree or positioned error out; entries in, answers out.
//!
//! | file | holds |
//! |---|---|
//! | `lexer`, `parser`, `parser_*` | text to tree, with Loki's error texts |
//! | `ast`, `ast_metric`, `print`, `pretty` | the tree, and the tree as text on one line or laid out |
//! | `pipeline` | the stages of a query, compiled; what they need of the parsers |
//! | `filter_*`, `stage_*` | one operator of the pipeline each |
//! | `template`, `template_*`, `gotime` | Go's template language, for `line_format` and `label_format` |
//! | `labelset` | the labels of one entry on its way through the pipeline |
//! | `engine_logs` | log queries |
//! | `engine_metric`, `steps` | metric queries |
//! | `range_agg`, `range_count`, `range_values`, `series_index` | functions over windows |
//! | `vector_agg`, `binop`, `label_replace` | functions over series |
//! | `level` | `detected_level` and `service_name` |

mod answer;
pub mod ast;
mod ast_metric;
mod binop;
mod engine_logs;
mod engine_metric;
mod filter_ip;
mod filter_line;
mod filter_pattern;
mod gotime;
mod json_path;
mod json_scan;
mod label_replace;
mod labelset;
pub mod level;
mod lexer;
mod parser;
mod parser_metric;
mod parser_stages;
mod pipeline;
mod pretty;
mod print;
mod range_agg;
mod range_count;
mod range_values;
mod series_index;
pub mod source;
mod stage_decolorize;
mod stage_drop_keep;
mod stage_json;
mod stage_label_filter;
mod stage_label_format;
mod stage_line_format;
mod stage_logfmt;
mod stage_pattern;
mod stage_regexp;
mod stage_unpack;
mod steps;
mod template;
mod template_funcs;
mod template_lexer;
mod template_math;
mod template_parse;
mod template_printf;
mod template_text;
mod template_value;
mod units;
mod vector_agg;

pub use answer::{
    AnswerStream, DEFAULT_MAX_SERIES, EntryLabels, EvalError, LogAnswer, LogEntry, LogQuery, MetricAnswer,
    MetricValue, Options, Sample, Series, Stats,
};
pub use ast::{Expr, LogExpr, MetricExpr};
pub use engine_logs::query_logs;
pub use engine_metric::{query_instant, query_range};
pub use level::service_name;
pub use parser::{MAX_QUERY_BYTES, ParseError, check_matchers, parse, parse_selector};
pub use pretty::format;
pub use source::{Direction, EntryRef, LogSource, Selection, SourceError, StreamCursor};
