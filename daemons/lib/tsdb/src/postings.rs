//! Which series pass a set of matchers: sets of numbers per label pair, combined without looking at labels.

use cairn_model::{MatchOp, Matcher};
use roaring::RoaringBitmap;

/// The series of one label pair. Most pairs of a label like `pod` belong to one series, and a bitmap for one
/// number would take a hundred bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Postings {
    One(u32),
    Many(RoaringBitmap),
}

impl Postings {
    pub(crate) fn insert(&mut self, id: u32) {
        match self {
            Self::One(other) if *other == id => {}
            Self::One(other) => *self = Self::Many([*other, id].into_iter().collect()),
            Self::Many(set) => {
                set.insert(id);
            }
        }
    }

    /// Of the numbers `first..=last`.
    pub(crate) fn of_range(first: u32, last: u32) -> Self {
        if first == last {
            return Self::One(first);
        }
        let mut set = RoaringBitmap::new();
        set.insert_range(first..=last);
        Self::Many(set)
    }

    /// Adds the numbers `first..=last`.
    pub(crate) fn insert_range(&mut self, first: u32, last: u32) {
        match self {
            Self::One(_) if first == last => self.insert(first),
            Self::One(other) => {
                let mut set = RoaringBitmap::from_iter([*other]);
                set.insert_range(first..=last);
                *self = Self::Many(set);
            }
            Self::Many(set) => {
                set.insert_range(first..=last);
            }
        }
    }

    /// Removes a number; answers whether none is left.
    pub(crate) fn remove(&mut self, id: u32) -> bool {
        match self {
            Self::One(other) => *other == id,
            Self::Many(set) => {
                set.remove(id);
                set.is_empty()
            }
        }
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::One(_) => 1,
            Self::Many(set) => set.len(),
        }
    }

    pub(crate) fn add_to(&self, set: &mut RoaringBitmap) {
        match self {
            Self::One(id) => {
                set.insert(*id);
            }
            Self::Many(more) => *set |= more,
        }
    }

    pub(crate) fn intersects(&self, set: &RoaringBitmap) -> bool {
        match self {
            Self::One(id) => set.contains(*id),
            Self::Many(other) => !set.is_disjoint(other),
        }
    }
}

/// An index by label, of the head or of a block.
pub(crate) trait LabelIndex {
    /// Why it cannot be read.
    type Error;

    /// All series.
    fn all(&self) -> Result<RoaringBitmap, Self::Error>;

    /// The series with this label pair; `None` when that part of the index is damaged.
    fn pair(&self, name: &str, value: &str) -> Result<Option<RoaringBitmap>, Self::Error>;

    /// The series that have this label with a value that begins with `prefix` and for which `keep` answers true; `None`
    /// when part of the index is damaged.
    fn pairs_where(
        &self,
        name: &str,
        prefix: &str,
        keep: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Option<RoaringBitmap>, Self::Error>;
}

/// The series that pass every matcher, and whether that is exact. It is not when part of the index is damaged: then the
/// set may hold too many, and the caller tests the labels themselves.
pub(crate) fn select<I: LabelIndex>(
    index: &I,
    matchers: &[Matcher],
) -> Result<(RoaringBitmap, bool), I::Error> {
    let mut selected: Option<RoaringBitmap> = None;
    let mut is_exact = true;
    // What a matcher lets in if the label is missing cannot be found by looking the label up: those matchers take
    // away what they refuse, after the others have made the set small.
    let (taking, keeping): (Vec<&Matcher>, Vec<&Matcher>) =
        matchers.iter().partition(|matcher| matcher.matches_empty());
    for matcher in keeping {
        let found = kept(index, matcher)?;
        match (found, &mut selected) {
            (None, _) => is_exact = false,
            (Some(found), Some(selected)) => *selected &= found,
            (Some(found), None) => selected = Some(found),
        }
        if selected.as_ref().is_some_and(RoaringBitmap::is_empty) {
            return Ok((RoaringBitmap::new(), true));
        }
    }
    let mut selected = match selected {
        Some(selected) => selected,
        None => index.all()?,
    };
    for matcher in taking {
        match refused(index, matcher)? {
            Some(refused) => selected -= refused,
            None => is_exact = false,
        }
    }
    Ok((selected, is_exact))
}

/// The series with a value that a matcher lets in; it keeps those without the label out.
fn kept<I: LabelIndex>(index: &I, matcher: &Matcher) -> Result<Option<RoaringBitmap>, I::Error> {
    let mut keep = |value: &str| matcher.matches(value);
    match matcher.op() {
        MatchOp::Equal => index.pair(matcher.name(), matcher.value()),
        MatchOp::Regex => by_pattern(index, matcher, &mut keep),
        MatchOp::NotEqual | MatchOp::NotRegex => index.pairs_where(matcher.name(), "", &mut keep),
    }
}

/// The series with a value that a matcher keeps out; it lets those without the label in.
fn refused<I: LabelIndex>(index: &I, matcher: &Matcher) -> Result<Option<RoaringBitmap>, I::Error> {
    let mut refuse = |value: &str| !matcher.matches(value);
    match matcher.op() {
        MatchOp::NotEqual => index.pair(matcher.name(), matcher.value()),
        MatchOp::NotRegex => by_pattern(index, matcher, &mut refuse),
        MatchOp::Equal | MatchOp::Regex => index.pairs_where(matcher.name(), "", &mut refuse),
    }
}

/// The series with a value that the pattern matches, which `is_it` tells. Values are looked up where the pattern is a list of
/// them, and only those with its prefix are tried where it has one.
fn by_pattern<I: LabelIndex>(
    index: &I,
    matcher: &Matcher,
    is_it: &mut dyn FnMut(&str) -> bool,
) -> Result<Option<RoaringBitmap>, I::Error> {
    let outline = matcher.outline();
    let Some(literals) = &outline.literals else {
        return index.pairs_where(matcher.name(), &outline.prefix, is_it);
    };
    let mut all = RoaringBitmap::new();
    for literal in literals {
        if is_it(literal) {
            match index.pair(matcher.name(), literal)? {
                Some(found) => all |= found,
                None => return Ok(None),
            }
        }
    }
    Ok(Some(all))
}
