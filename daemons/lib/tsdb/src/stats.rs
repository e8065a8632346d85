//! Figures about a database: for status pages and metrics.

/// What is in the head, as `status/tsdb` shows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeadStats {
    /// Series.
    pub n_series: usize,
    /// Distinct pairs of label name and value.
    pub n_label_pairs: usize,
    /// Chunks, open ones included.
    pub n_chunks: usize,
    /// Oldest sample in milliseconds; `None` when there is none.
    pub min_time_ms: Option<i64>,
    /// Newest sample in milliseconds; `None` when there is none.
    pub max_time_ms: Option<i64>,
    /// Metric names with the most series, most first.
    pub series_by_metric: Vec<(String, u64)>,
    /// Label names with the most values, most first.
    pub values_by_label: Vec<(String, u64)>,
    /// Label names by the bytes of their values, most first.
    pub bytes_by_label: Vec<(String, u64)>,
    /// `name=value` pairs with the most series, most first.
    pub series_by_pair: Vec<(String, u64)>,
}

/// Counts since the database was opened, and present sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Samples stored.
    pub samples_stored: u64,
    /// Samples that were there already.
    pub samples_duplicate: u64,
    /// Samples refused for having another value than the stored one.
    pub samples_duplicate_other_value: u64,
    /// Samples refused as out of order.
    pub samples_out_of_order: u64,
    /// Samples stored although later ones of their series were there, native histograms included.
    pub samples_stored_late: u64,
    /// Samples refused as older than the out-of-order window.
    pub samples_before_window: u64,
    /// Samples refused as too old.
    pub samples_too_old: u64,
    /// Samples refused as too far in the future.
    pub samples_too_far_in_future: u64,
    /// Native histograms stored; [`samples_stored`](Self::samples_stored) counts floats.
    pub histograms_stored: u64,
    /// Exemplars stored.
    pub exemplars_stored: u64,
    /// Exemplars refused as out of order.
    pub exemplars_out_of_order: u64,
    /// Exemplars that are kept.
    pub exemplars: u64,
    /// Series that have one.
    pub exemplar_series: u64,
    /// Exemplars that can be kept.
    pub max_exemplars: u64,
    /// Series created.
    pub series_created: u64,
    /// Series that left the head.
    pub series_removed: u64,
    /// Series in the head.
    pub head_series: u64,
    /// Bytes of samples in the head, about.
    pub head_chunk_bytes: u64,
    /// Samples in the head that no flush has begun to write.
    pub head_samples: u64,
    /// Blocks written from the head.
    pub blocks_cut: u64,
    /// Times that the head was written to blocks.
    pub flushes: u64,
    /// Compactions that merged blocks.
    pub compactions: u64,
    /// Maintenance rounds that failed.
    pub maintenance_failures: u64,
    /// Blocks that are served.
    pub blocks: u64,
    /// Bytes in those blocks.
    pub blocks_bytes: u64,
    /// Bytes in the write-ahead log.
    pub wal_bytes: u64,
    /// Damaged chunks and index parts that queries met and left out.
    pub damage_met: u64,
}
