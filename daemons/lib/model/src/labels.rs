//! Label sets: sorted by name, each name once, immutable.

use std::cmp::Ordering;
use std::fmt;

use crate::gotext::quote_to;

/// A label set. Names are unique and ascending (byte order); an empty value means "no such label" and is never stored.
///
/// All text lies in one allocation, the ends of its parts in a second one: a series costs two allocations
/// however many labels it has. Looking up a name is a linear scan, which beats a hash map at the usual 5 to 15 labels.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Labels {
    /// name, value, name, value ... without separators.
    text: Box<str>,
    /// End of each part in `text`, in bytes; two per label.
    ends: Box<[u32]>,
}

impl Labels {
    /// The empty set.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Builds a set from pairs in any order. Of equal names the last pair wins; empty values are left out.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let pairs: Vec<(N, V)> = pairs.into_iter().collect();
        let as_text = || pairs.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
        // Most are part of another set, and need not be sorted.
        if as_text().is_sorted_by(|a, b| a.0 < b.0) && as_text().all(|(_, value)| !value.is_empty()) {
            return freeze(as_text());
        }
        let mut builder = LabelsBuilder::new();
        for (name, value) in as_text() {
            builder.set(name, value);
        }
        builder.build()
    }

    /// As [`from_pairs`](Self::from_pairs) of pairs that are known to ascend by name and to have no empty values: who makes many
    /// sets with the same names looks at those once.
    pub fn from_ascending<'a>(pairs: impl ExactSizeIterator<Item = (&'a str, &'a str)> + Clone) -> Self {
        debug_assert!(
            pairs.clone().is_sorted_by(|a, b| a.0 < b.0) && pairs.clone().all(|(_, value)| !value.is_empty())
        );
        freeze(pairs)
    }

    /// Number of labels.
    pub fn len(&self) -> usize {
        self.ends.len() / 2
    }

    /// Whether the set has no label.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The value of `name`, if it is set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// The value of `name`, or the empty string: a missing label and an empty one are the same thing to a matcher.
    pub fn value(&self, name: &str) -> &str {
        self.get(name).unwrap_or("")
    }

    /// Pairs of name and value, ascending by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        let mut start = 0usize;
        self.ends.as_chunks::<2>().0.iter().map(move |&[name_end, value_end]| {
            let (name_end, value_end) = (name_end as usize, value_end as usize);
            let pair = (&self.text[start..name_end], &self.text[name_end..value_end]);
            start = value_end;
            pair
        })
    }

    /// A 64-bit hash that is the same on every machine and in every release (XXH3 over names and values, each
    /// followed by `0xff`, which no UTF-8 text contains).
    pub fn stable_hash(&self) -> u64 {
        let mut hasher = xxhash_rust::xxh3::Xxh3::new();
        for (name, value) in self.iter() {
            hasher.update(name.as_bytes());
            hasher.update(&[0xff]);
            hasher.update(value.as_bytes());
            hasher.update(&[0xff]);
        }
        hasher.digest()
    }

    /// A builder that starts with these labels.
    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder { pairs: self.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect() }
    }

    /// Heap bytes held by this set.
    pub fn heap_bytes(&self) -> usize {
        self.text.len() + self.ends.len() * size_of::<u32>()
    }
}

impl Ord for Labels {
    /// By the first differing name, then value; a prefix comes first. The order of series in an answer.
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Prints `{a="b", c="d"}` with values quoted as Go quotes them: the text of label sets in messages of both peers.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (name, value)) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            f.write_str(name)?;
            f.write_str("=")?;
            quote_to(f, value)?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self::from_pairs(pairs)
    }
}

/// Collects labels one by one; [`build`](Self::build) sorts and freezes them.
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder {
    /// Sorted by name, names unique.
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// A builder without labels.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `name` to `value`; an empty value removes the label.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match self.position(name) {
            Ok(at) if value.is_empty() => {
                self.pairs.remove(at);
            }
            Ok(at) => value.clone_into(&mut self.pairs[at].1),
            Err(_) if value.is_empty() => {}
            Err(at) => self.pairs.insert(at, (name.to_owned(), value.to_owned())),
        }
        self
    }

    /// Removes `name`, if it is there.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        if let Ok(at) = self.position(name) {
            self.pairs.remove(at);
        }
        self
    }

    /// Keeps the labels for which `keep` answers true.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) -> &mut Self {
        self.pairs.retain(|(n, v)| keep(n, v));
        self
    }

    /// The value of `name`, if it is set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.position(name).ok().map(|at| self.pairs[at].1.as_str())
    }

    /// Pairs of name and value, ascending by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// The finished set.
    ///
    /// # Panics
    /// If the text of all labels passes 4 GiB, which every caller's limits exclude by far.
    pub fn build(&self) -> Labels {
        freeze(self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.pairs.binary_search_by(|(n, _)| n.as_str().cmp(name))
    }
}

/// The set of pairs that ascend by name and have no empty values.
fn freeze<'a>(pairs: impl ExactSizeIterator<Item = (&'a str, &'a str)> + Clone) -> Labels {
    let bytes = pairs.clone().map(|(name, value)| name.len() + value.len()).sum();
    let mut text = String::with_capacity(bytes);
    let mut ends = Vec::with_capacity(pairs.len() * 2);
    for (name, value) in pairs {
        for part in [name, value] {
            text.push_str(part);
            ends.push(u32::try_from(text.len()).expect("label text is limited far below 4 GiB"));
        }
    }
    Labels { text: text.into_boxed_str(), ends: ends.into_boxed_slice() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_unique_and_without_empty_values() {
        let labels = Labels::from_pairs([("job", "x"), ("env", "dev"), ("job", "app"), ("gone", "")]);
        assert_eq!(labels.to_string(), r#"{env="dev", job="app"}"#);
        assert_eq!(labels.len(), 2);
        assert_eq!(Labels::from_ascending([("env", "dev"), ("job", "app")].into_iter()), labels);
        assert_eq!(labels.value("gone"), "");
        assert_eq!(labels.get("job"), Some("app"));
    }

    #[test]
    fn order_is_by_name_then_value_then_length() {
        let of = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
        let mut sets =
            [of(&[("b", "1")]), of(&[("a", "2")]), of(&[("a", "1"), ("b", "1")]), of(&[("a", "1")]), of(&[])];
        sets.sort();
        let text: Vec<String> = sets.iter().map(ToString::to_string).collect();
        assert_eq!(text, ["{}", r#"{a="1"}"#, r#"{a="1", b="1"}"#, r#"{a="2"}"#, r#"{b="1"}"#]);
    }

    #[test]
    fn hash_tells_where_a_name_ends() {
        assert_ne!(
            Labels::from_pairs([("ab", "c")]).stable_hash(),
            Labels::from_pairs([("a", "bc")]).stable_hash()
        );
    }
}
