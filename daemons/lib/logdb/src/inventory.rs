//! Questions that the index in memory answers: names, values, streams, sizes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cairn_model::{Labels, Matcher, TimeNs};

use crate::chunk_file::ChunkPlace;
use crate::stats::{Stats, StreamVolume};
use crate::stream::{Stream, StreamSnapshot};
use crate::tenant::Tenant;

/// Streams that pass the matchers and have entries in `[start, end)`.
fn streams(
    tenant: &Tenant,
    matchers: &[Matcher],
    start: TimeNs,
    end: TimeNs,
) -> impl Iterator<Item = Arc<Stream>> {
    tenant.resolve(matchers).into_iter().filter(move |stream| stream.has_entries(start.0, end.0))
}

pub(crate) fn label_names(tenant: &Tenant, matchers: &[Matcher], start: TimeNs, end: TimeNs) -> Vec<String> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    for stream in streams(tenant, matchers, start, end) {
        for (name, _) in stream.labels.iter() {
            if !names.contains(name) {
                names.insert(name.to_owned());
            }
        }
    }
    names.into_iter().collect()
}

pub(crate) fn label_values(
    tenant: &Tenant,
    name: &str,
    matchers: &[Matcher],
    start: TimeNs,
    end: TimeNs,
) -> Vec<String> {
    let mut values: BTreeSet<String> = BTreeSet::new();
    for stream in streams(tenant, matchers, start, end) {
        if let Some(value) = stream.labels.get(name)
            && !values.contains(value)
        {
            values.insert(value.to_owned());
        }
    }
    values.into_iter().collect()
}

pub(crate) fn series(
    tenant: &Tenant,
    selectors: &[Vec<Matcher>],
    start: TimeNs,
    end: TimeNs,
) -> Vec<Arc<Labels>> {
    let everything = [Vec::new()];
    let selectors = if selectors.is_empty() { &everything } else { selectors };
    let mut found: BTreeMap<u64, Arc<Labels>> = BTreeMap::new();
    for matchers in selectors {
        let streams = streams(tenant, matchers, start, end);
        found.extend(streams.map(|stream| (stream.id, Arc::clone(&stream.labels))));
    }
    let mut labels: Vec<Arc<Labels>> = found.into_values().collect();
    labels.sort();
    labels
}

pub(crate) fn stats(tenant: &Tenant, matchers: &[Matcher], start: TimeNs, end: TimeNs) -> Stats {
    let mut stats = Stats::default();
    for stream in tenant.resolve(matchers) {
        let snapshot = stream.snapshot(start.0, end.0);
        if snapshot.is_empty() {
            continue;
        }
        let (entries, bytes) = volume_of(&snapshot, start, end);
        stats.streams += 1;
        stats.chunks += (snapshot.chunks.len() + snapshot.heads.len()) as u64;
        stats.entries += entries;
        stats.bytes += bytes;
    }
    stats
}

pub(crate) fn volume(tenant: &Tenant, matchers: &[Matcher], start: TimeNs, end: TimeNs) -> Vec<StreamVolume> {
    let mut volumes: Vec<StreamVolume> = Vec::new();
    for stream in tenant.resolve(matchers) {
        let snapshot = stream.snapshot(start.0, end.0);
        if !snapshot.is_empty() {
            let (entries, bytes) = volume_of(&snapshot, start, end);
            volumes.push(StreamVolume { labels: snapshot.labels, bytes, entries });
        }
    }
    volumes.sort_by(|a, b| a.labels.cmp(&b.labels));
    volumes
}

/// Entries and line bytes in the range.
fn volume_of(snapshot: &StreamSnapshot, start: TimeNs, end: TimeNs) -> (u64, u64) {
    let heads = snapshot.heads.iter().map(|head| head.volume(start.0, end.0));
    let chunks = snapshot.chunks.iter().map(|chunk| share(&chunk.place, start.0, end.0));
    heads.chain(chunks).fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1))
}

/// A chunk's part in the range, as if its entries were spread evenly over its time.
fn share(place: &ChunkPlace, start: i64, end: i64) -> (u64, u64) {
    let span = i128::from(place.max_time) - i128::from(place.min_time) + 1;
    let from = i128::from(place.min_time.max(start));
    let to = (i128::from(place.max_time) + 1).min(i128::from(end));
    let part = |whole: u64| {
        // No overflow: at most 2^64 * 2^65 would be needed, while counts are far below 2^60.
        let scaled = i128::from(whole).saturating_mul((to - from).max(0)) / span;
        u64::try_from(scaled).unwrap_or(whole)
    };
    (part(u64::from(place.entries)), part(place.line_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_counts_by_the_part_of_its_time() {
        let place = ChunkPlace {
            offset: 0,
            bytes: 1,
            min_time: 100,
            max_time: 199,
            entries: 50,
            line_bytes: 1000,
            through: 0,
        };
        for (start, end, want) in [
            (0, 1000, (50, 1000)),
            (100, 200, (50, 1000)),
            (150, 1000, (25, 500)),
            (100, 110, (5, 100)),
            (i64::MIN, i64::MAX, (50, 1000)),
        ] {
            assert_eq!(share(&place, start, end), want, "{start}..{end}");
        }
        let widest = ChunkPlace { min_time: i64::MIN, max_time: i64::MAX, ..place };
        assert_eq!(share(&widest, 0, i64::MAX), (24, 499));
    }
}
