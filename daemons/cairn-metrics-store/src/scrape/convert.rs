//! `convert_classic_histograms_to_nhcb` for pages in text: the lines of one classic histogram become one native sample.
//!
//! Rules are the peer's: only families that say that they are histograms, only lines that follow each other; what makes no
//! histogram is left out without a word. The labels of each such line are read at every scrape: the switch is rarely on.

use cairn_model::{Exemplar, Histogram};
use cairn_wire::exposition::classic::ClassicBuilder;
use cairn_wire::exposition::{LabelPair, Sample, Value, bucket_bound};
use xxhash_rust::xxh3::xxh3_64;

/// In front of a key that no page has.
const OWN_KEY: u8 = 0xff;

/// A histogram whose lines have all been seen.
pub(super) struct Converted {
    /// Key of its series, other than every key of a page.
    pub(super) key: Vec<u8>,
    /// Its labels as a page would have them.
    pub(super) pairs: Vec<LabelPair<'static>>,
    pub(super) histogram: Histogram,
    /// When the page has a time for it.
    pub(super) timestamp: Option<i64>,
    /// Those that have a time.
    pub(super) exemplars: Vec<Exemplar>,
}

/// The histogram whose lines are being read.
#[derive(Debug)]
struct Open {
    group: u64,
    pairs: Vec<LabelPair<'static>>,
    timestamp: Option<i64>,
}

/// Watches the samples of a page go by.
#[derive(Debug)]
pub(super) struct Converter {
    is_on: bool,
    family: String,
    is_histogram: bool,
    open: Option<Open>,
    builder: ClassicBuilder,
    exemplars: Vec<Exemplar>,
}

impl Converter {
    pub(super) fn new(is_on: bool) -> Self {
        Self {
            is_on,
            family: String::new(),
            is_histogram: false,
            open: None,
            builder: ClassicBuilder::default(),
            exemplars: Vec::new(),
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    /// `# TYPE`.
    pub(super) fn begin_family(&mut self, name: &str, is_histogram: bool) {
        if self.is_on {
            name.clone_into(&mut self.family);
            self.is_histogram = is_histogram;
        }
    }

    /// A sample. True: it is part of a histogram. The second value is the histogram that ended before it.
    pub(super) fn take(&mut self, sample: &Sample<'_>) -> Result<(bool, Option<Converted>), String> {
        let (true, true, Value::Float(value)) = (self.is_on, self.is_histogram, &sample.value) else {
            return Ok((false, self.end()));
        };
        let pairs = sample.pairs()?;
        let of =
            |wanted: &str| pairs.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_ref());
        let suffix = of("__name__").and_then(|name| name.strip_prefix(self.family.as_str()));
        let bound = of("le").and_then(bucket_bound);
        let part = match (suffix, bound) {
            (Some("_bucket"), Some(bound)) => Part::Bucket(bound),
            (Some("_count"), _) => Part::Count,
            (Some("_sum"), _) => Part::Sum,
            _ => return Ok((false, self.end())),
        };
        let group = group_of(&pairs);
        let ended =
            if self.open.as_ref().is_some_and(|open| open.group == group) { None } else { self.end() };
        if self.open.is_none() {
            let pairs = pairs.iter().filter(|(name, _)| name != "le").map(|(name, value)| {
                let value = if name == "__name__" { self.family.clone() } else { value.clone().into_owned() };
                (name.clone().into_owned().into(), value.into())
            });
            self.open = Some(Open { group, pairs: pairs.collect(), timestamp: sample.timestamp });
        }
        match part {
            Part::Bucket(bound) => self.builder.add_bucket(bound, *value),
            Part::Count => self.builder.set_count(*value),
            Part::Sum => self.builder.set_sum(*value),
        }
        if sample.has_exemplars() {
            sample.exemplars(&mut self.exemplars)?;
        }
        Ok((true, ended))
    }

    /// The histogram whose lines have been read so far, if they make one.
    pub(super) fn end(&mut self) -> Option<Converted> {
        let Open { group, pairs, timestamp } = self.open.take()?;
        let built = self.builder.build(false, None);
        self.builder.clear();
        let mut exemplars = std::mem::take(&mut self.exemplars);
        exemplars.retain(|exemplar| exemplar.time_ms.is_some());
        let histogram = built.ok().filter(|histogram| histogram.validate().is_ok())?;
        let mut key = vec![OWN_KEY];
        key.extend_from_slice(self.family.as_bytes());
        key.push(OWN_KEY);
        key.extend_from_slice(&group.to_le_bytes());
        Some(Converted { key, pairs, histogram, timestamp, exemplars })
    }
}

enum Part {
    Bucket(f64),
    Count,
    Sum,
}

/// Equal for the lines of one histogram.
fn group_of(pairs: &[LabelPair<'_>]) -> u64 {
    let mut bytes = Vec::new();
    for (name, value) in pairs.iter().filter(|(name, _)| name != "__name__" && name != "le") {
        for text in [name, value] {
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(OWN_KEY);
        }
    }
    xxh3_64(&bytes)
}
