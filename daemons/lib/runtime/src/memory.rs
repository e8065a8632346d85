//! The only unsafe code of this crate: telling the C library how to keep memory.
//!
//! Left alone, glibc has up to eight arenas for each core, and each thread of the runtime's pool for blocking work gets
//! one of them. What one thread frees is not there for the others then: a store whose samples come in by one thread, go
//! to blocks by a second and are merged by a third held half as much again as it used, and ever more. And once a large
//! piece was freed, glibc keeps pieces of that size, and twice as much at the end of each arena, for the next one.
//!
//! Measured with `scripts/bench-metrics ingest` (135 million samples, 94,000 series): the peak is 146 MiB instead of 227 to
//! 245; and with `scripts/up --check` of a development build: 75 MB for all daemons instead of 83.

#![allow(unsafe_code, reason = "two calls of the C library, argued below")]

/// As many as threads that allocate at the same time on the small machines that Cairn is made for. With one, they would
/// wait for each other; small pieces come from each thread's own cache in either case.
#[cfg(target_env = "gnu")]
const MAX_ARENAS: i32 = 2;

/// A piece of this size is fetched from the system and given back when it is freed. Above the lists that each request of
/// remote write needs, so that they do not pay for it.
#[cfg(target_env = "gnu")]
const MAPPED_BYTES: i32 = 256 << 10;

/// So much may lie free at the end of an arena: some of those lists, which come and go with every request.
#[cfg(target_env = "gnu")]
const MAX_FREE_BYTES: i32 = 1 << 20;

/// Limits what the C library holds beyond what is used. To be called before the first thread is started: whoever has an
/// arena keeps it.
pub(crate) fn keep_small() {
    #[cfg(target_env = "gnu")]
    for (what, value) in [
        (libc::M_ARENA_MAX, MAX_ARENAS),
        (libc::M_MMAP_THRESHOLD, MAPPED_BYTES),
        (libc::M_TRIM_THRESHOLD, MAX_FREE_BYTES),
    ] {
        set(what, value);
    }
}

#[cfg(target_env = "gnu")]
fn set(what: libc::c_int, value: libc::c_int) {
    // SAFETY: `mallopt` takes two numbers and may be called at any time (mallopt(3)); what it refuses stays as it was, and
    // then more memory is held, nothing else.
    unsafe {
        libc::mallopt(what, value);
    }
}

/// Lets so many bytes lie free at the end of an arena, instead of a megabyte. For a daemon whose work comes and goes in
/// pieces of a few megabytes: what one had is there for the next one, and need not be fetched anew page by page. More than
/// `i32::MAX` counts as that.
///
/// Measured with a query of 300 series over an hour, 3 megabytes of samples: 2.4 ms of processor time instead of 3.3 with
/// eight megabytes.
pub fn keep_free(bytes: usize) {
    #[cfg(target_env = "gnu")]
    set(libc::M_TRIM_THRESHOLD, i32::try_from(bytes).unwrap_or(i32::MAX));
    #[cfg(not(target_env = "gnu"))]
    let _ = bytes;
}

/// Gives memory that was freed back to the system. For the end of work that held much for a short time; it takes about a
/// millisecond for a hundred megabytes, and what is needed again has to be fetched anew.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `malloc_trim` takes the locks of the arenas and touches only what is free (malloc_trim(3), which calls it
    // safe for threads).
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_stays() {
        keep_small();
        keep_free(8 << 20);
        let kept: Vec<Vec<u8>> = (0..200u8).map(|byte| vec![byte; 5000]).collect();
        drop(vec![vec![1u8; 100_000]; 50]);
        give_back();
        assert!((0..200u8).zip(&kept).all(|(byte, piece)| piece.iter().all(|found| *found == byte)));
    }
}
