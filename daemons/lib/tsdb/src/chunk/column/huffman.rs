//! Canonical Huffman codes of limited length.

/// No code is longer: a table for decoding has two to this power of entries, and is built for each column.
pub(super) const MAX_CODE_BITS: u8 = 11;

/// A table of symbols has at most so many.
pub(super) const MAX_SYMBOLS: usize = 512;

/// Lengths of codes for symbols that come so often; 0 for those that do not come. Optimal unless a code would be longer
/// than [`MAX_CODE_BITS`].
pub(super) fn code_lengths(counts: &[u32]) -> Vec<u8> {
    let mut lens = vec![0; counts.len()];
    let mut used: Vec<(u32, usize)> =
        counts.iter().copied().zip(0..).filter(|&(count, _)| count > 0).collect();
    used.sort_unstable();
    match used.len() {
        0 => return lens,
        // A code of no bits cannot be told from a symbol that does not come.
        1 => {
            lens[used[0].1] = 1;
            return lens;
        }
        _ => {}
    }
    let mut depths = depths(&used);
    limit(&mut depths);
    for (&(_, symbol), depth) in used.iter().zip(depths) {
        lens[symbol] = depth;
    }
    lens
}

/// Depths of the leaves of a Huffman tree, rarest first. The inner nodes come out in ascending order of weight, so two
/// queues do for a heap.
fn depths(used: &[(u32, usize)]) -> Vec<u8> {
    let n = used.len();
    let mut weights: Vec<u64> = used.iter().map(|&(count, _)| u64::from(count)).collect();
    let mut parents = vec![0usize; 2 * n - 1];
    let (mut leaf, mut inner) = (0, n);
    for parent in n..2 * n - 1 {
        let mut weight = 0;
        for _ in 0..2 {
            let take_leaf = leaf < n && (inner >= parent || weights[leaf] <= weights[inner]);
            let child = if take_leaf { &mut leaf } else { &mut inner };
            weight += weights[*child];
            parents[*child] = parent;
            *child += 1;
        }
        weights.push(weight);
    }
    let mut depths = vec![0u8; 2 * n - 1];
    for node in (0..2 * n - 2).rev() {
        depths[node] = depths[parents[node]].saturating_add(1);
    }
    depths.truncate(n);
    depths
}

/// Shortens codes that are too long, and pays with the next rarest ones until the codes fit (Kraft's sum is one).
fn limit(depths: &mut [u8]) {
    if depths.iter().all(|&depth| depth <= MAX_CODE_BITS) {
        return;
    }
    let share = |depth: u8| 1u32 << (MAX_CODE_BITS - depth);
    let mut sum = 0;
    for depth in depths.iter_mut() {
        *depth = (*depth).min(MAX_CODE_BITS);
        sum += share(*depth);
    }
    // Rarest first: a longer code costs least there.
    while sum > share(0) {
        let longer =
            depths.iter_mut().find(|depth| **depth < MAX_CODE_BITS).expect("fewer symbols than codes");
        sum -= share(*longer) / 2;
        *longer += 1;
    }
    // What became free goes to the most frequent ones.
    for depth in depths.iter_mut().rev() {
        while *depth > 1 && sum + share(*depth) <= share(0) {
            sum += share(*depth);
            *depth -= 1;
        }
    }
}

/// Codes of these lengths, by ascending length, then by symbol; the first bit of a code is its least significant one.
pub(super) fn codes(lens: &[u8]) -> Vec<(u16, u8)> {
    let mut next = first_codes(lens);
    lens.iter()
        .map(|&len| {
            if len == 0 {
                return (0, 0);
            }
            let code = next[usize::from(len)];
            next[usize::from(len)] += 1;
            (code.reverse_bits() >> (16 - len), len)
        })
        .collect()
}

fn first_codes(lens: &[u8]) -> [u16; MAX_CODE_BITS as usize + 1] {
    let mut n_of_len = [0u16; MAX_CODE_BITS as usize + 1];
    for &len in lens {
        n_of_len[usize::from(len)] += 1;
    }
    n_of_len[0] = 0;
    let mut first = [0u16; MAX_CODE_BITS as usize + 1];
    for len in 1..first.len() {
        first[len] = (first[len - 1] + n_of_len[len - 1]) << 1;
    }
    first
}

/// Entries of a table for decoding: the longest code has so many bits.
pub(super) const TABLE_ENTRIES: usize = 1 << MAX_CODE_BITS;

/// Fills the start of a table for decoding: by the next bits, what `entry` makes of the symbol and the length of its code.
/// Answers how many bits those are; `None` when the lengths (each at most 15) are no code.
///
/// From length to length the table doubles, so that nearly all of it is copied in long runs: it may have as many entries as a
/// column has codes.
pub(super) fn fill_table(
    lens: &[u8],
    table: &mut [u32; TABLE_ENTRIES],
    mut entry: impl FnMut(usize, u8) -> u32,
) -> Option<u32> {
    let mut n_of_len = [0u16; 16];
    for &len in lens {
        n_of_len[usize::from(len & 15)] += 1;
    }
    n_of_len[0] = 0;
    let longest = n_of_len.iter().rposition(|&n| n > 0).filter(|&len| len <= usize::from(MAX_CODE_BITS))?;
    let size = 1usize << longest;
    let sum: usize = (1..=longest).map(|len| usize::from(n_of_len[len]) << (longest - len)).sum();
    // A single symbol has a code of one bit, and the other one is free.
    let is_single = sum == 1 && longest == 1;
    if sum != size && !is_single {
        return None;
    }
    // Symbols by the length of their codes, which is the order of the codes.
    let mut by_len = [0u16; MAX_SYMBOLS];
    let mut next = [0usize; 16];
    for len in 1..longest {
        next[len + 1] = next[len] + usize::from(n_of_len[len]);
    }
    for (symbol, &len) in (0u16..).zip(lens) {
        if len > 0 {
            let at = &mut next[usize::from(len)];
            *by_len.get_mut(*at)? = symbol;
            *at += 1;
        }
    }
    let (mut code, mut at) = (0u16, 0);
    for (len, bits) in (1..=longest).zip(1u8..) {
        let half = 1usize << (len - 1);
        table.copy_within(..half, half);
        code <<= 1;
        for &symbol in &by_len[at..at + usize::from(n_of_len[len])] {
            table[usize::from(code.reverse_bits() >> (16 - bits))] = entry(usize::from(symbol), bits);
            code += 1;
        }
        at += usize::from(n_of_len[len]);
    }
    if is_single {
        table[1] = table[0];
    }
    Some(u32::from(u8::try_from(longest).unwrap_or(MAX_CODE_BITS)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(symbol: usize, len: u8) -> u32 {
        u32::try_from(symbol).unwrap() << 4 | u32::from(len)
    }

    /// [`fill_table`], slot by slot.
    fn plain_table(lens: &[u8]) -> Option<Vec<u32>> {
        let longest = lens.iter().copied().max().filter(|&len| len > 0 && len <= MAX_CODE_BITS)?;
        let size = 1usize << longest;
        let sum: usize = lens.iter().filter(|&&len| len > 0).map(|&len| size >> len).sum();
        let is_single = sum * 2 == size && longest == 1;
        if sum != size && !is_single {
            return None;
        }
        let mut table = vec![0; size];
        for (symbol, (code, len)) in codes(lens).into_iter().enumerate() {
            if len == 0 {
                continue;
            }
            let step = if is_single { 1 } else { 1 << len };
            for slot in table[usize::from(code)..].iter_mut().step_by(step) {
                *slot = entry(symbol, len);
            }
        }
        Some(table)
    }

    fn table(lens: &[u8]) -> Option<Vec<u32>> {
        // What was in it before is not to be seen.
        let mut table = [u32::MAX; TABLE_ENTRIES];
        let bits = fill_table(lens, &mut table, entry)?;
        Some(table[..1 << bits].to_vec())
    }

    proptest! {
        #[test]
        fn a_table_is_filled_as_slot_by_slot(
            counts in prop::collection::vec(prop_oneof![Just(0), 1u32..4, any::<u32>()], 1..MAX_SYMBOLS),
            lens in prop::collection::vec(0u8..16, 0..6),
        ) {
            let good = code_lengths(&counts);
            for lens in [&good, &lens] {
                prop_assert_eq!(table(lens), plain_table(lens));
            }
        }
    }

    fn check(counts: &[u32]) -> Vec<u8> {
        let lens = code_lengths(counts);
        let table = table(&lens).unwrap();
        for (symbol, (code, len)) in codes(&lens).into_iter().enumerate() {
            assert_eq!(len > 0, counts[symbol] > 0);
            if len > 0 {
                assert_eq!(table[usize::from(code)], entry(symbol, len), "{counts:?}");
            }
        }
        lens
    }

    #[test]
    fn frequent_symbols_have_short_codes() {
        assert_eq!(check(&[1, 0, 100, 1, 50]), [3, 0, 1, 3, 2]);
        assert_eq!(check(&[5]), [1]);
        assert_eq!(check(&[0, 3, 3]), [0, 1, 1]);
    }

    #[test]
    fn no_code_is_longer_than_the_limit() {
        // Fibonacci's numbers make the deepest tree.
        let mut counts = vec![1, 1];
        while counts.len() < 40 {
            counts.push(counts[counts.len() - 1] + counts[counts.len() - 2]);
        }
        let lens = check(&counts);
        assert_eq!(lens.iter().max(), Some(&MAX_CODE_BITS));
        check(&[1; 496]);
        let mut steep = vec![1; 496];
        steep[7] = u32::MAX;
        assert_eq!(check(&steep)[7], 1);
    }

    #[test]
    fn lengths_that_are_no_code_are_refused() {
        for bad in [&[][..], &[0, 0], &[1, 1, 1], &[2, 2, 2], &[1, 2], &[12, 12], &[15]] {
            assert_eq!(table(bad), None, "{bad:?}");
        }
    }
}
