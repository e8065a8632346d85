//! The flags of queries: limits, and what of PromQL is on.

use crate::config::query::QuerySettings;
use crate::config::units::PromDuration;

/// Names that Prometheus's `--enable-feature` takes for things that are always on here.
const ALWAYS_ON: [&str; 9] = [
    "auto-gomaxprocs",
    "auto-gomemlimit",
    "exemplar-storage",
    "native-histograms",
    "ooo-native-histograms",
    "promql-binop-fill-modifiers",
    "promql-duration-expr",
    "promql-extended-range-selectors",
    "promql-per-step-stats",
];

/// Flags of queries.
#[derive(clap::Args, Clone, Debug)]
pub struct QueryArgs {
    /// How far an instant selector looks back [default: 5m]
    #[arg(long = "query.lookback-delta", value_name = "DURATION")]
    pub lookback: Option<PromDuration>,
    /// Longest query, its waiting included [default: 2m]
    #[arg(long = "query.timeout", value_name = "DURATION")]
    pub timeout: Option<PromDuration>,
    /// Queries that run at once; more wait [default: 20]
    #[arg(long = "query.max-concurrency", value_name = "N")]
    pub max_concurrency: Option<usize>,
    /// Most samples that one query holds [default: 50000000]
    #[arg(long = "query.max-samples", value_name = "N")]
    pub max_samples: Option<u64>,
    /// Whether PromQL's experimental functions are taken [default: true]
    #[arg(long = "query.experimental-functions", value_name = "BOOL", num_args = 1)]
    pub experimental_functions: Option<bool>,
    /// Features as Prometheus names them, separated by commas: promql-delayed-name-removal, use-start-timestamps
    #[arg(long = "enable-feature", value_name = "NAMES", value_delimiter = ',')]
    pub features: Vec<String>,
}

impl QueryArgs {
    /// What the flags say.
    pub fn settings(&self) -> QuerySettings {
        let enabled = |name: &str| self.features.iter().any(|feature| feature == name).then_some(true);
        QuerySettings {
            lookback_delta: self.lookback,
            timeout: self.timeout,
            max_concurrency: self.max_concurrency,
            max_samples: self.max_samples,
            experimental_functions: self
                .experimental_functions
                .or_else(|| enabled("promql-experimental-functions")),
            delayed_name_removal: enabled("promql-delayed-name-removal"),
            start_timestamps: enabled("use-start-timestamps"),
        }
    }

    /// Names given to `--enable-feature` that change nothing here. As with Prometheus they are not an error: a command
    /// line must survive the versions in which a feature comes and goes.
    pub fn unknown_features(&self) -> impl Iterator<Item = &str> {
        let served = ["promql-experimental-functions", "promql-delayed-name-removal", "use-start-timestamps"];
        self.features
            .iter()
            .map(String::as_str)
            .filter(move |name| !name.is_empty() && !served.contains(name) && !ALWAYS_ON.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::engine::EngineOptions;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        query: QueryArgs,
    }

    fn read(words: &[&str]) -> QueryArgs {
        Only::try_parse_from(std::iter::once(&"x").chain(words)).unwrap().query
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let default = read(&[]).settings().engine_options();
        assert_eq!(default, EngineOptions::default());
        assert!(default.has_experimental_functions);
        assert!(!default.has_delayed_name_removal && !default.has_start_timestamps);

        let file = QuerySettings {
            timeout: Some(PromDuration::from_ms(7_000)),
            max_samples: Some(7),
            experimental_functions: Some(false),
            ..QuerySettings::default()
        };
        let options = read(&["--query.max-samples=9", "--enable-feature=use-start-timestamps,x"])
            .settings()
            .or(file)
            .engine_options();
        assert_eq!((options.max_samples, options.timeout.as_secs()), (9, 7));
        assert!(options.has_start_timestamps && !options.has_experimental_functions);

        let args = read(&[
            "--enable-feature=promql-experimental-functions,",
            "--enable-feature=exemplar-storage,zz",
        ]);
        assert!(args.settings().or(file).engine_options().has_experimental_functions);
        assert_eq!(args.unknown_features().collect::<Vec<_>>(), ["zz"]);
        let options = read(&["--query.experimental-functions=false", "--query.lookback-delta=0s"]);
        let options = options.settings().engine_options();
        assert!(!options.has_experimental_functions);
        assert_eq!(options.lookback_ms, 300_000, "none is the default");
    }
}
