//! Classic histograms: sound ones, and ones that nobody should expose.

use cairn_bench_metrics::noise::Noise;

use crate::clock::{Clock, Life};
use crate::dataset::{Dataset, Labels, Use, samples};

/// One histogram of a metric.
struct Shape {
    bounds: &'static [&'static str],
    /// Share of observations that come to a bucket.
    rate: f64,
    clock: Clock,
    life: Life,
    /// Whether some higher bucket is below a lower one.
    is_broken: bool,
}

const SOUND: Shape = Shape {
    bounds: &["0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf"],
    rate: 3.0,
    clock: Clock::Jitter,
    life: Life::WHOLE,
    is_broken: false,
};

/// Adds them.
pub(crate) fn add(all: &mut Dataset, noise: &mut Noise) {
    for (job, instance) in [("api", "a:80"), ("api", "b:80"), ("web", "a:80")] {
        let labels = [("job", job), ("instance", instance)];
        let counts = histogram(all, "latency_seconds_bucket", &labels, &SOUND, noise);
        let clock = SOUND.clock.times(&mut noise.clone());
        let total = counts.last().cloned().unwrap_or_default();
        let sums: Vec<f64> = total.iter().map(|count| (count * 0.375).round()).collect();
        all.push("latency_seconds_count", Use::Counter, owned(&labels), samples(&clock, &total, SOUND.life));
        all.push("latency_seconds_sum", Use::Counter, owned(&labels), samples(&clock, &sums, SOUND.life));
    }
    let gaps = Life { from: 12, until: 100, gaps: &[(40, 52)], is_marked: true };
    let whole = Shape { clock: Clock::WHOLE, life: gaps, ..SOUND };
    histogram(
        all,
        "size_bytes_bucket",
        &[("job", "api")],
        &Shape { bounds: &["1024", "4096", "16384", "+Inf"], ..whole },
        noise,
    );
    let negative: &[&str] = &["-10", "-1", "0", "5", "+Inf"];
    histogram(
        all,
        "negative_bucket",
        &[("job", "api")],
        &Shape { bounds: negative, clock: Clock::WHOLE, ..SOUND },
        noise,
    );
    histogram(
        all,
        "negative_bucket",
        &[("job", "web")],
        &Shape { bounds: &["-3", "+Inf"], clock: Clock::WHOLE, ..SOUND },
        noise,
    );
    histogram(
        all,
        "broken_bucket",
        &[("job", "api")],
        &Shape { is_broken: true, clock: Clock::WHOLE, ..SOUND },
        noise,
    );
    histogram(all, "broken_bucket", &[("job", "web")], &Shape { bounds: &["1", "2", "3"], ..SOUND }, noise);
    histogram(all, "broken_bucket", &[("job", "one")], &Shape { bounds: &["+Inf"], ..SOUND }, noise);
    histogram(
        all,
        "broken_bucket",
        &[("job", "bad")],
        &Shape { bounds: &["1", "x", "2", "", "+Inf"], ..SOUND },
        noise,
    );
    // The same bound written twice, and in forms that Go reads as well.
    histogram(
        all,
        "broken_bucket",
        &[("job", "twice")],
        &Shape { bounds: &["1", "1.0", "2e0", "0x10p0", "Inf"], ..SOUND },
        noise,
    );
    histogram(all, "empty_bucket", &[("job", "api")], &Shape { rate: 0.0, ..SOUND }, noise);
}

/// Adds the buckets of one histogram; gives their counts.
fn histogram(
    all: &mut Dataset,
    name: &'static str,
    labels: &[(&str, &str)],
    shape: &Shape,
    noise: &mut Noise,
) -> Vec<Vec<f64>> {
    let times = shape.clock.times(&mut noise.clone());
    let mut below = vec![0.0; times.len()];
    let mut counts = Vec::new();
    for (index, bound) in shape.bounds.iter().enumerate() {
        let mut own = 0.0;
        for (at, count) in below.iter_mut().enumerate() {
            own = if at == 200 { 0.0 } else { own + noise.whole(shape.rate) };
            *count += own;
        }
        let mut exposed = below.clone();
        if shape.is_broken && index == 3 {
            exposed.iter_mut().for_each(|count| *count = (*count / 2.0).floor());
        }
        let mut labels = owned(labels);
        if !bound.is_empty() {
            labels.push(("le".to_owned(), (*bound).to_owned()));
        }
        all.push(name, Use::Buckets, labels, samples(&times, &exposed, shape.life));
        counts.push(exposed);
    }
    counts
}

fn owned(labels: &[(&str, &str)]) -> Labels {
    labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
