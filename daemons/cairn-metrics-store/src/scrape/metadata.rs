//! What a target says about its metric families: type, help and unit.

use std::collections::HashMap;

use cairn_model::Metadata;

use super::comments::Families;

/// Families whose metadata is remembered for one target. Beyond it, metadata of further ones is left out.
const MAX_FAMILIES: usize = 20_000;

/// A family's metadata is forgotten once it was missing from more than this many good scrapes in a row.
const KEPT_SCRAPES: u64 = 10;

#[derive(Debug)]
struct Family {
    name: String,
    data: Metadata,
    last_seen: u64,
    /// Hash of the block of comments that named it last; 0 when another line did.
    named_by: u64,
}

/// The families of one target. A steady page costs a comparison for each line and no look-up: they come in the same order
/// each time.
#[derive(Debug, Default)]
pub(crate) struct MetadataTable {
    families: Vec<Family>,
    by_name: HashMap<String, usize>,
    scrape: u64,
    n_seen: usize,
    /// The family that was noted last.
    at: usize,
}

impl MetadataTable {
    /// A new page begins.
    pub(crate) fn begin_scrape(&mut self) {
        self.scrape += 1;
        self.n_seen = 0;
        self.at = 0;
    }

    /// The metadata of a family that the page names; `None` when there are too many.
    pub(crate) fn note(&mut self, name: &str) -> Option<&mut Metadata> {
        let is_at = |at: usize| self.families.get(at).is_some_and(|family| family.name == name);
        if !is_at(self.at) {
            self.at = if is_at(self.at + 1) { self.at + 1 } else { self.find(name)? };
        }
        let family = self.families.get_mut(self.at)?;
        self.n_seen += usize::from(family.last_seen != self.scrape);
        family.last_seen = self.scrape;
        family.named_by = 0;
        Some(&mut family.data)
    }

    /// Place of the family that was noted last; valid until the end of the scrape.
    pub(crate) fn place(&self) -> usize {
        self.at
    }

    /// The name of the family at a place.
    pub(crate) fn name(&self, place: usize) -> Option<&str> {
        self.families.get(place).map(|family| family.name.as_str())
    }

    /// All that was noted of these families, a block of comments said.
    pub(crate) fn set_named_by(&mut self, families: Families, hash: u64) {
        for family in self.families.get_mut(families.places()).unwrap_or_default() {
            family.named_by = hash;
        }
    }

    /// Notes families of which the page says once more what a block of comments said. False: since then another one said
    /// something, or they are gone, and nothing is noted.
    pub(crate) fn note_again(&mut self, families: Families, hash: u64) -> bool {
        let Some(all) = self.families.get_mut(families.places()) else { return false };
        if all.iter().any(|family| family.named_by != hash) {
            return false;
        }
        for family in all {
            self.n_seen += usize::from(family.last_seen != self.scrape);
            family.last_seen = self.scrape;
        }
        if families.n > 0 {
            self.at = families.places().end - 1;
        }
        true
    }

    fn find(&mut self, name: &str) -> Option<usize> {
        if let Some(at) = self.by_name.get(name) {
            return Some(*at);
        }
        if self.families.len() >= MAX_FAMILIES {
            return None;
        }
        let at = self.families.len();
        self.families.push(Family {
            name: name.to_owned(),
            data: Metadata::default(),
            last_seen: 0,
            named_by: 0,
        });
        self.by_name.insert(name.to_owned(), at);
        Some(at)
    }

    /// The page was good to its end: families that are long gone go.
    pub(crate) fn end_scrape(&mut self) {
        if self.n_seen == self.families.len() {
            return;
        }
        let (scrape, before) = (self.scrape, self.families.len());
        self.families.retain(|family| scrape - family.last_seen <= KEPT_SCRAPES);
        if self.families.len() < before {
            let names = self.families.iter().enumerate();
            self.by_name = names.map(|(at, family)| (family.name.clone(), at)).collect();
            // Places have changed: each block of comments is read again.
            self.families.iter_mut().for_each(|family| family.named_by = 0);
        }
    }

    /// Name and metadata of each family.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Metadata)> {
        self.families.iter().map(|family| (family.name.as_str(), &family.data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(table: &mut MetadataTable, names: &[&str]) {
        table.begin_scrape();
        for name in names {
            table.note(name).unwrap().help = format!("help of {name}");
        }
        table.end_scrape();
    }

    fn names(table: &MetadataTable) -> Vec<&str> {
        table.iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn families_stay_for_a_while() {
        let mut table = MetadataTable::default();
        page(&mut table, &["a", "b", "b", "c"]);
        for _ in 0..KEPT_SCRAPES {
            page(&mut table, &["c", "b"]);
            assert_eq!(names(&table), ["a", "b", "c"]);
        }
        page(&mut table, &["c", "b"]);
        assert_eq!(names(&table), ["b", "c"]);
        page(&mut table, &["d", "c"]);
        assert_eq!(
            table.iter().last().unwrap(),
            ("d", &Metadata { help: "help of d".into(), ..Metadata::default() })
        );
    }

    #[test]
    fn their_number_is_bounded() {
        let mut table = MetadataTable::default();
        table.begin_scrape();
        let n = (0..MAX_FAMILIES + 5).filter(|i| table.note(&i.to_string()).is_some()).count();
        assert_eq!(n, MAX_FAMILIES);
        assert!(table.note("7").is_some());
    }
}
