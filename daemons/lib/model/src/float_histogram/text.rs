//! A histogram as Prometheus prints it: `{count:3, sum:4.5, [-2,-1):1, (1,2]:2}`.

use std::fmt::{self, Display, Formatter};

use super::{Bucket, FloatHistogram};
use crate::number::general_float;

impl Display for FloatHistogram {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", general_float(self.count), general_float(self.sum))?;
        let zero = std::iter::once(self.zero_bucket());
        let all = self.negative_buckets().chain(zero).chain(self.positive_buckets());
        for bucket in all.filter(|bucket| bucket.count != 0.0) {
            write!(f, ", {bucket}")?;
        }
        f.write_str("}")
    }
}

impl Display for Bucket {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{},{}{}:{}",
            if self.includes_lower { '[' } else { '(' },
            general_float(self.lower),
            general_float(self.upper),
            if self.includes_upper { ']' } else { ')' },
            general_float(self.count)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::exponential;
    use super::super::{FloatHistogram, IndexedCount};

    #[test]
    fn bounds_and_counts() {
        let histogram = FloatHistogram {
            zero_threshold: 0.001,
            zero_count: 2.0,
            negative: vec![IndexedCount { index: 1, count: 1.0 }],
            sum: 4.5,
            ..exponential(0, 0, &[0.0, 2.5])
        };
        assert_eq!(histogram.to_string(), "{count:2.5, sum:4.5, [-2,-1):1, [-0.001,0.001]:2, (1,2]:2.5}");
    }
}
