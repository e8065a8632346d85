//! What the samples of a series are worth.
//!
//! Most values are multiples of an eighth and not large: their sums are exact in any order, so that answers agree bit by
//! bit where two stores add in different order. Metrics that are not like that say so by their names.

use cairn_bench_metrics::noise::Noise;

/// How values go on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Model {
    /// Rises by up to so many; falls to zero now and then.
    Counter(f64),
    /// Rises by fractions that sums round.
    FloatCounter,
    /// Walks up and down around a mean.
    Gauge(f64),
    /// Between 0 and 1.
    Ratio,
    /// 0 or 1.
    Flag,
    /// The same for ever.
    Constant(f64),
    /// NaN, infinities, zeros of both signs between ordinary ones.
    Special,
    /// Near the largest finite value.
    Huge,
    /// Near the smallest one.
    Tiny,
    /// Seconds since the epoch, from before it to the far future.
    Date,
    /// Goes up in a straight line, by an eighth each sample.
    Line,
    /// A few integers again and again.
    Steps,
}

/// Values for so many samples.
pub(crate) fn values(model: Model, n: usize, noise: &mut Noise) -> Vec<f64> {
    let mut value = match model {
        Model::Counter(_) | Model::FloatCounter if noise.unit() < 0.4 => 0.0,
        Model::Counter(most) => (noise.unit() * most * 50.0).floor(),
        Model::Gauge(mean) => mean,
        _ => noise.unit() * 10.0,
    };
    (0..n)
        .map(|index| {
            value = next(model, index, value, noise);
            value
        })
        .collect()
}

fn next(model: Model, index: usize, value: f64, noise: &mut Noise) -> f64 {
    let unit = noise.unit();
    match model {
        Model::Counter(_) | Model::FloatCounter if unit < 0.015 => (noise.unit() * 4.0).floor(),
        Model::Counter(most) if unit < 0.8 => value + (noise.unit() * most).ceil(),
        Model::Counter(_) => value,
        Model::FloatCounter => value + unit / 3.0,
        Model::Gauge(_) => value + ((unit - 0.5) * 64.0).round() / 8.0,
        Model::Ratio => (unit * 256.0).floor() / 256.0,
        Model::Flag => f64::from(u8::from(unit < 0.7)),
        Model::Constant(constant) => constant,
        Model::Special => one_of(&SPECIAL, noise),
        Model::Huge => (unit - 0.5) * f64::MAX * 1.9,
        Model::Tiny => (unit - 0.3) * 1e-310,
        Model::Date => one_of(&DATES, noise),
        #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
        Model::Line => index as f64 / 8.0,
        Model::Steps => (unit * 5.0).floor() - 1.0,
    }
}

fn one_of(values: &[f64], noise: &mut Noise) -> f64 {
    values[usize::try_from(noise.draw() % values.len() as u64).unwrap_or(0)]
}

const SPECIAL: [f64; 12] =
    [f64::NAN, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0, 1.0, -1.0, 2.5, -7.0, 1e-9, 1e21];

const DATES: [f64; 12] = [
    0.0,
    -1.0,
    1_709_164_800.0,
    1_709_251_199.875,
    951_827_696.0,
    4_107_542_399.0,
    -86_401.5,
    1_735_689_599.0,
    13_574_563_200.0,
    -62_135_596_801.0,
    68_256_000.0,
    1_767_225_600.0,
];
