//! Everything between an engine and the disk: files with a magic number and checksums, the write-ahead log, the data
//! directory's lock, capped compression, and a file system twin that forgets what was not synced.
//!
//! Blocking calls throughout; async callers go through their own blocking threads. `FORMAT.md` beside this crate
//! describes every byte that is written here, and why.
//!
//! | module | answers |
//! |---|---|
//! | [`fs`] | which operations may an engine use, and which of them are durable |
//! | [`fs_real`] | the operating system's files |
//! | [`fs_twin`] | the test twin: in memory, forgetful, failing on request |
//! | [`header`] | magic, version, and how an unknown version is refused |
//! | [`frame`] | length + checksum around one record |
//! | [`checked`] | a small file written at once and read at once |
//! | [`record_file`] | a large immutable file of records, written as a stream |
//! | [`wal`] | the write-ahead log: segments, group commit, replay |
//! | [`lock`] | one process per data directory |
//! | [`compress`] | zstd with a limit |

pub mod checked;
pub mod compress;
pub mod frame;
pub mod fs;
pub mod fs_real;
pub mod fs_twin;
pub mod header;
pub mod lock;
pub mod record_file;
pub mod wal;

pub use checked::{CheckedError, read_checked, read_checked_versioned, write_atomically};
pub use fs::{DirEntry, Fs, FsFile, create_dir_durably, is_no_space};
pub use fs_real::RealFs;
pub use fs_twin::{TwinFs, TwinOp};
pub use header::Format;
pub use lock::{DirLock, LockError};
pub use wal::{Lsn, ReplayReport, SegmentId, Wal, WalError, WalOptions};
