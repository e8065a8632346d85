//! The page in protobuf: everything, native histograms included.

use cairn_model::Labels;
use cairn_wire::exposition::encode::{FamilyEncoder, FamilyType};

use super::form::Names;
use super::{NAME, Newest, Row};

/// The page. A name has several families where its series are of several types, as the peer has it.
pub(super) fn page(rows: &[Row], external: &Labels, names: Names) -> Vec<u8> {
    let mut out = Vec::new();
    let mut open: Option<((&str, FamilyType), FamilyEncoder)> = None;
    for row in rows {
        let name = row.labels.value(NAME);
        let kind = match &row.newest {
            Newest::Float(_) => FamilyType::Untyped,
            Newest::Histogram(histogram) => FamilyType::of(histogram),
        };
        let mut family = match open.take() {
            Some((of, family)) if of == (name, kind) => family,
            other => {
                if let Some((_, finished)) = other {
                    finished.finish(&mut out);
                }
                FamilyEncoder::new(names.bare(name).into_owned(), kind)
            }
        };
        let pair = |(name, value): (&str, &str)| (names.bare(name).into_owned(), value.to_owned());
        let labels = row.pairs(external).into_iter().map(pair).collect();
        match &row.newest {
            Newest::Float(value) => family.number(labels, row.time_ms, *value),
            Newest::Histogram(histogram) => family.histogram(labels, row.time_ms, histogram),
        }
        open = Some(((name, kind), family));
    }
    if let Some((_, last)) = open {
        last.finish(&mut out);
    }
    out
}
