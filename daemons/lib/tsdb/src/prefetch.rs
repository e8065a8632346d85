//! The only unsafe code of this crate: asking the processor to load memory that is about to be used.
//!
//! A request has thousands of series, each with its own chunk somewhere in memory, and what a sample costs is mostly the
//! waiting for it. The processor cannot look ahead by itself past the lock that each series has. Measured with
//! `examples/append_cost.rs`.

#![allow(unsafe_code, reason = "one instruction, argued below")]

/// Asks for the cache line at an address. It need not be valid: this is a hint, and nothing is read.
#[inline]
pub(crate) fn prefetch(address: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: PREFETCHT0 has no effect but on caches. "A PREFETCHh instruction is considered a hint ... it does not cause
    // faults", whatever the address (Intel SDM volume 2B), and SSE is part of x86-64.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::without_provenance(address));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Asks for both lines of something that is at most 128 bytes long.
#[inline]
pub(crate) fn prefetch_two(address: usize) {
    prefetch(address);
    prefetch(address.wrapping_add(64));
}

/// The address of a value.
pub(crate) fn address_of<T>(value: &T) -> usize {
    std::ptr::from_ref(value).addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_address_will_do() {
        for address in [0, 1, 8, usize::MAX, usize::MAX - 63, 1 << 47, address_of(&5u8)] {
            prefetch_two(address);
        }
    }
}
