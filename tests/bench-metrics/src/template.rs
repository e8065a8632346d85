//! The page that every machine of the fleet is made from: which series it has, and how each of them moves.
//!
//! The page was captured from Debian's node_exporter; a Prometheus server's classic histograms were added, since
//! node_exporter has none. How a series moves is decided from its type and name, once for all machines.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use crate::noise::Noise;

/// The captured page.
pub const PAGE: &str = include_str!("../testdata/node_exporter.txt");

/// How a series moves from one step to the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Model {
    /// Never.
    Constant,
    /// Grows by a whole number in about `activity` of the steps, `mean` on average when it does.
    IntCounter {
        /// Growth of a step in which it grows.
        mean: f64,
        /// Share of steps in which it grows.
        activity: f64,
    },
    /// Grows by a multiple of `1 / scale`.
    FloatCounter {
        /// Growth of a step in which it grows.
        mean: f64,
        /// Share of steps in which it grows.
        activity: f64,
        /// Steps of the counter in one unit.
        scale: f64,
    },
    /// Walks around its first value, in multiples of `quantum`.
    Walk {
        /// Largest step, relative to the first value.
        spread: f64,
        /// What it is a multiple of.
        quantum: f64,
        /// Share of steps in which it moves.
        activity: f64,
    },
    /// Another value each time, in whole nanoseconds: how long something took.
    Duration {
        /// Usual value.
        mean: f64,
    },
    /// The time of the sample in seconds.
    Clock,
    /// One of the series of a classic histogram.
    Histogram {
        /// Which one, in [`Template::histograms`].
        index: usize,
        /// Which part of it.
        part: Part,
    },
}

/// A series of a classic histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `_bucket`, by position; cumulative.
    Bucket(usize),
    /// `_sum`
    Sum,
    /// `_count`
    Count,
}

/// A classic histogram of the page.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Upper bounds, ascending, the last one infinite.
    pub bounds: Vec<f64>,
    /// Observations of one step, on average.
    pub rate: f64,
}

/// One series of the page.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Name and labels as pairs, sorted, without those of the target.
    pub labels: Vec<(String, String)>,
    /// The text before the value.
    pub text: String,
    /// Its value on the page.
    pub first: f64,
    /// How it moves.
    pub model: Model,
}

/// The page, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// In the order of the page.
    pub series: Vec<Series>,
    /// Lines of comments, each with the position of the series that it stands before.
    pub comments: Vec<(usize, String)>,
    /// Classic histograms.
    pub histograms: Vec<Histogram>,
}

impl Template {
    /// Takes a page apart.
    ///
    /// # Errors
    /// A line that is no sample.
    pub fn parse(page: &str) -> Result<Self> {
        let mut template = Self { series: Vec::new(), comments: Vec::new(), histograms: Vec::new() };
        let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
        let mut histograms: BTreeMap<String, usize> = BTreeMap::new();
        for line in page.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                let mut words = comment.splitn(3, ' ');
                if let (Some("TYPE"), Some(name), Some(kind)) = (words.next(), words.next(), words.next()) {
                    kinds.insert(name, kind);
                }
                template.comments.push((template.series.len(), line.to_owned()));
                continue;
            }
            let (text, value) = line.rsplit_once(' ').with_context(|| format!("no sample: {line}"))?;
            let first: f64 = value.parse().with_context(|| format!("no number: {line}"))?;
            let labels = labels(text)?;
            let name = text.split('{').next().unwrap_or(text);
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|ending| Some((name.strip_suffix(ending)?, *ending)))
                .find(|(family, _)| kinds.get(family) == Some(&"histogram"));
            let model = match family {
                Some((family, ending)) => template.histogram_part(family, ending, &labels, &mut histograms),
                None => model(name, kinds.get(name).copied().unwrap_or("untyped"), first, text),
            };
            template.series.push(Series { labels, text: text.to_owned(), first, model });
        }
        Ok(template)
    }

    fn histogram_part(
        &mut self,
        family: &str,
        ending: &str,
        labels: &[(String, String)],
        known: &mut BTreeMap<String, usize>,
    ) -> Model {
        let own = labels.iter().filter(|(name, _)| name != "le" && name != "__name__");
        let key = format!("{family} {own:?}", own = own.collect::<Vec<_>>());
        let next = self.histograms.len();
        let index = *known.entry(key.clone()).or_insert(next);
        if index == next {
            // From one observation in five minutes to some hundred in a step.
            let rate = 0.05 * 10f64.powf(4.0 * Noise::of(&key).unit());
            self.histograms.push(Histogram { bounds: Vec::new(), rate });
        }
        let part = match ending {
            "_bucket" => {
                let le = labels.iter().find(|(name, _)| name == "le").map_or("", |(_, value)| value);
                let bounds = &mut self.histograms[index].bounds;
                bounds.push(le.parse().unwrap_or(f64::INFINITY));
                Part::Bucket(bounds.len() - 1)
            }
            "_sum" => Part::Sum,
            _ => Part::Count,
        };
        Model::Histogram { index, part }
    }
}

/// Gauges that move, by what their names contain, with the multiple that they move in and how often.
const WALKS: [(&str, f64, f64); 24] = [
    ("memory_MemTotal", 0.0, 0.0),
    ("memory_Swap", 0.0, 0.0),
    ("memory_Huge", 0.0, 0.0),
    ("memory_Direct", 0.0, 0.0),
    ("memory_Hardware", 0.0, 0.0),
    ("memory_VmallocTotal", 0.0, 0.0),
    ("memory_CommitLimit", 0.0, 0.0),
    ("node_memory_", 4096.0, 0.8),
    ("node_load", 0.01, 0.7),
    ("procs_running", 1.0, 0.5),
    ("processes_threads", 1.0, 0.3),
    ("processes_pids", 1.0, 0.3),
    ("filefd_allocated", 32.0, 0.4),
    ("sockstat_sockets_used", 1.0, 0.3),
    ("sockstat_TCP", 1.0, 0.3),
    ("filesystem_avail", 4096.0, 0.6),
    ("filesystem_free", 4096.0, 0.6),
    ("filesystem_files_free", 1.0, 0.3),
    ("CurrEstab", 1.0, 0.4),
    ("buddyinfo", 1.0, 0.5),
    ("nr_free_pages", 1.0, 0.9),
    ("go_memstats", 8.0, 0.9),
    ("go_goroutines", 1.0, 0.2),
    ("process_resident_memory", 4096.0, 0.4),
];

/// How a series moves, from its name, type, value and text.
fn model(name: &str, kind: &str, first: f64, text: &str) -> Model {
    let mut noise = Noise::of(text);
    if name.ends_with("_duration_seconds") && kind != "summary" {
        return Model::Duration { mean: first.max(1e-5) };
    }
    if name == "node_time_seconds" {
        return Model::Clock;
    }
    let is_counter = kind == "counter"
        || name.ends_with("_total")
        || (kind == "untyped" && first > 0.0)
        || (kind == "summary" && (name.ends_with("_sum") || name.ends_with("_count")));
    if is_counter {
        // What counts errors, or what this machine does not do, stands still nearly everywhere.
        if first == 0.0 {
            let is_still = noise.unit() < 0.7;
            return if is_still { Model::Constant } else { Model::IntCounter { mean: 3.0, activity: 0.3 } };
        }
        let activity = if noise.unit() < 0.6 { 1.0 } else { noise.unit() };
        if name == "node_cpu_seconds_total" {
            return Model::FloatCounter { mean: 15.0 * noise.unit(), activity, scale: 100.0 };
        }
        if first.fract() != 0.0 {
            return Model::FloatCounter { mean: noise.unit(), activity, scale: 1e6 };
        }
        // Between one and a hundred thousand a step, larger ones for series that are larger on the page.
        let magnitude = first.abs().max(1.0).log10().min(7.0) / 7.0;
        return Model::IntCounter { mean: 10f64.powf(5.0 * magnitude * noise.unit()), activity };
    }
    if name.starts_with("node_timex_") && first.fract() != 0.0 {
        return Model::Walk { spread: 0.2, quantum: 1e-9, activity: 0.9 };
    }
    match WALKS.iter().find(|(part, ..)| name.contains(part)) {
        Some((_, quantum, activity)) if *activity > 0.0 => {
            Model::Walk { spread: 0.02, quantum: *quantum, activity: *activity }
        }
        _ => Model::Constant,
    }
}

/// Takes `name{a="b",c="d"}` apart; sorted. The page has no escapes but `\\`, `\"` and `\n`.
fn labels(text: &str) -> Result<Vec<(String, String)>> {
    let (name, mut rest) = text.split_once('{').unwrap_or((text, "}"));
    let mut labels = vec![("__name__".to_owned(), name.to_owned())];
    while rest != "}" {
        let (name, tail) = rest.split_once("=\"").with_context(|| format!("no label: {rest}"))?;
        let mut value = String::new();
        let mut chars = tail.char_indices();
        let end = loop {
            match chars.next() {
                Some((_, '\\')) => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, other)) => value.push(other),
                    None => bail!("open value: {text}"),
                },
                Some((at, '"')) => break at + 1,
                Some((_, other)) => value.push(other),
                None => bail!("open value: {text}"),
            }
        };
        labels.push((name.to_owned(), value));
        rest = tail[end..].trim_start_matches(',');
    }
    labels.sort();
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_has_the_size_and_the_mixture_of_a_real_one() {
        let template = Template::parse(PAGE).unwrap();
        assert_eq!(template.series.len(), 933);
        let share = |wanted: fn(&Model) -> bool| {
            template.series.iter().filter(|series| wanted(&series.model)).count() * 100
                / template.series.len()
        };
        let constant = share(|model| matches!(model, Model::Constant));
        assert!((40..70).contains(&constant), "{constant} % constants");
        assert!(share(|model| matches!(model, Model::Histogram { .. })) > 10);
        for histogram in &template.histograms {
            assert!(histogram.bounds.is_sorted() && histogram.bounds.last() == Some(&f64::INFINITY));
        }
    }

    #[test]
    fn labels_with_escapes() {
        let found = labels(r#"m{b="x\"\\y\n",a=""}"#).unwrap();
        let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(found, [("__name__", "m"), ("a", ""), ("b", "x\"\\y\n")]);
        assert!(labels("m{a=\"").is_err());
    }
}
