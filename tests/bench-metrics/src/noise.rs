//! Noise that is the same in every run: SplitMix64 (Steele, Lea, Flood 2014).

/// A sequence of pseudo-random numbers.
#[derive(Clone, Debug)]
pub struct Noise(u64);

impl Noise {
    /// Starts from a number.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Starts from a text (FNV-1a).
    pub fn of(text: &str) -> Self {
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(hash)
    }

    /// The next number.
    #[inline]
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly in `[0, 1)`.
    #[inline]
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub fn unit(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A whole number whose mean is `mean`: the sum of two even ones, a hump around it.
    #[inline]
    pub fn whole(&mut self, mean: f64) -> f64 {
        let exact = mean * (self.unit() + self.unit());
        // What is below one comes by chance, so that small means are kept.
        exact.floor() + if self.unit() < exact.fract() { 1.0 } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_hold_and_runs_repeat() {
        let mut noise = Noise::new(1);
        for mean in [0.1, 3.0, 1000.0] {
            let sum: f64 = (0..20_000).map(|_| noise.whole(mean)).sum();
            assert!((sum / 20_000.0 / mean - 1.0).abs() < 0.1, "{mean}");
        }
        assert_eq!(Noise::of("a").draw(), Noise::of("a").draw());
        assert_ne!(Noise::of("a").draw(), Noise::of("b").draw());
    }
}
