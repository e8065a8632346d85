//! Label names and label values: what there is, without samples. A series that was deleted as a whole is not listed;
//! of one that was deleted in part the label names and values are.

use std::collections::BTreeSet;
use std::sync::Arc;

use cairn_model::Matcher;

use super::Inner;
use super::view::{SelectError, visit_matching};
use crate::block::Block;
use crate::postings;

/// One series of so many counts as few.
const FEW: u64 = 16;

impl Inner {
    pub(super) fn label_names(
        &self,
        matchers: &[Matcher],
        start: i64,
        end: i64,
    ) -> Result<Vec<String>, SelectError> {
        let mut names = BTreeSet::new();
        let (blocks, with_head) = self.in_range(start, end);
        if with_head {
            let index = self.head.index();
            if matchers.is_empty() {
                names.extend(index.names().map(str::to_owned));
            } else {
                let Ok((slots, _)) = postings::select(&*index, matchers);
                for series in index.series_at(&slots) {
                    add_names(&mut names, series.labels.iter());
                }
            }
        }
        for block in blocks {
            let tombstones = block.tombstones();
            if matchers.is_empty() && tombstones.whole().is_empty() {
                names.extend(block.label_names().map(str::to_owned));
            } else {
                visit_matching(&block, &tombstones, matchers, |entry| {
                    add_names(&mut names, entry.labels.iter());
                    Ok(())
                })?;
            }
        }
        Ok(names.into_iter().collect())
    }

    pub(super) fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        start: i64,
        end: i64,
    ) -> Result<Vec<String>, SelectError> {
        let mut values = BTreeSet::new();
        let (blocks, with_head) = self.in_range(start, end);
        if with_head {
            let index = self.head.index();
            let Ok((slots, _)) = postings::select(&*index, matchers);
            for (value, postings) in index.values(name) {
                if postings.intersects(&slots) {
                    values.insert(value.to_owned());
                }
            }
        }
        for block in blocks {
            let tombstones = block.tombstones();
            let (mut ids, is_exact) = postings::select(&*block, matchers)?;
            ids -= tombstones.whole();
            let mut found = Vec::new();
            // Of a few series it is less work to look at their labels than at all values there are.
            let are_few = ids.len() * FEW < block.meta.n_series;
            let is_whole = is_exact
                && !are_few
                && block.visit_values(name, "", &mut |_| true, &mut |value, postings| {
                    if postings.intersects(&ids) {
                        found.push(value.to_owned());
                    }
                })?;
            if is_whole {
                values.extend(found);
                continue;
            }
            // Nor does it matter then that part of the label's index may be damaged.
            if is_exact {
                block.visit_values_of(name, &ids, |value| add(&mut values, value))?;
                continue;
            }
            visit_matching(&block, &tombstones, matchers, |entry| {
                entry.labels.get(name).into_iter().for_each(|value| add(&mut values, value));
                Ok(())
            })?;
        }
        Ok(values.into_iter().collect())
    }

    /// The blocks that overlap a range, and whether the head may.
    fn in_range(&self, start: i64, end: i64) -> (Vec<Arc<Block>>, bool) {
        let layout = self.layout();
        let start = start.max(self.oldest_served(&layout.blocks));
        let blocks = layout
            .blocks
            .iter()
            .filter(|block| start <= end && block.overlaps(start, end))
            .cloned()
            .collect();
        // The head's own span: what was flushed is in a block.
        let with_head = start <= end
            && self.head.min_time().is_some_and(|oldest| oldest <= end)
            && self.head.max_time().is_some_and(|newest| newest >= start);
        (blocks, with_head)
    }
}

fn add_names<'a>(names: &mut BTreeSet<String>, labels: impl Iterator<Item = (&'a str, &'a str)>) {
    labels.for_each(|(name, _)| add(names, name));
}

/// Most texts are there already.
fn add(all: &mut BTreeSet<String>, text: &str) {
    if !all.contains(text) {
        all.insert(text.to_owned());
    }
}
