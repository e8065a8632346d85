//! Times of a series' samples, which it may share with others: all series of a target are scraped at once.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// Milliseconds since the epoch. A list like any other; what is shared is copied when somebody changes it.
#[derive(Clone, Debug)]
pub struct Times(Repr);

#[derive(Clone, Debug)]
enum Repr {
    Own(Vec<i64>),
    Shared(Arc<Vec<i64>>),
}

impl Times {
    /// Times that other series have, too.
    pub fn shared(times: Arc<Vec<i64>>) -> Self {
        Self(Repr::Shared(times))
    }
}

/// Whether two lists are equal; seen at once where they are one.
pub(crate) fn are_equal(a: &[i64], b: &[i64]) -> bool {
    std::ptr::eq(a, b) || a == b
}

impl Default for Times {
    fn default() -> Self {
        Self(Repr::Own(Vec::new()))
    }
}

impl Deref for Times {
    type Target = Vec<i64>;

    #[inline]
    fn deref(&self) -> &Vec<i64> {
        match &self.0 {
            Repr::Own(times) => times,
            Repr::Shared(times) => times,
        }
    }
}

impl DerefMut for Times {
    #[inline]
    fn deref_mut(&mut self) -> &mut Vec<i64> {
        if let Repr::Shared(times) = &self.0 {
            self.0 = Repr::Own(times.to_vec());
        }
        match &mut self.0 {
            Repr::Own(times) => times,
            Repr::Shared(times) => Arc::make_mut(times),
        }
    }
}

impl From<Vec<i64>> for Times {
    fn from(times: Vec<i64>) -> Self {
        Self(Repr::Own(times))
    }
}

impl FromIterator<i64> for Times {
    fn from_iter<I: IntoIterator<Item = i64>>(times: I) -> Self {
        Vec::from_iter(times).into()
    }
}

impl Extend<i64> for Times {
    fn extend<I: IntoIterator<Item = i64>>(&mut self, times: I) {
        (**self).extend(times);
    }
}

impl IntoIterator for Times {
    type Item = i64;
    type IntoIter = std::vec::IntoIter<i64>;

    fn into_iter(self) -> Self::IntoIter {
        match self.0 {
            Repr::Own(times) => times.into_iter(),
            Repr::Shared(times) => Arc::unwrap_or_clone(times).into_iter(),
        }
    }
}

impl<T: AsRef<[i64]>> PartialEq<T> for Times {
    fn eq(&self, other: &T) -> bool {
        are_equal(self, other.as_ref())
    }
}

impl AsRef<[i64]> for Times {
    fn as_ref(&self) -> &[i64] {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_changes_what_is_shared_changes_a_copy() {
        let all = Arc::new(vec![1, 2, 3]);
        let (mut one, other) = (Times::shared(Arc::clone(&all)), Times::shared(Arc::clone(&all)));
        assert!(std::ptr::eq(one.as_slice(), other.as_slice()));
        one.push(4);
        assert_eq!((&*one, &*other, &*all), (&vec![1, 2, 3, 4], &vec![1, 2, 3], &vec![1, 2, 3]));
        one.pop();
        assert_eq!(one, other);
        assert_eq!(other.into_iter().collect::<Times>(), [1, 2, 3]);
        assert_eq!(Arc::strong_count(&all), 1);
    }
}
