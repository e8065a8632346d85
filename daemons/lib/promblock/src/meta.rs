//! `meta.json`: what a block says about itself.

use std::path::Path;

use cairn_disk::Fs;
use serde::{Deserialize, Serialize};

use crate::error::PromBlockError;

/// The only version there is.
pub const META_VERSION: u32 = 1;

/// The largest description that is read. The lists in it grow with the number of merged blocks; other tools add theirs.
const MAX_META_BYTES: u64 = 16 << 20;

/// The description of a block. Keys that are not known here (Thanos adds some) are left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Its name.
    pub ulid: String,
    /// First instant, inclusive, in milliseconds.
    #[serde(rename = "minTime")]
    pub min_time: i64,
    /// Last instant, exclusive.
    #[serde(rename = "maxTime")]
    pub max_time: i64,
    /// How much is in it.
    #[serde(default)]
    pub stats: Stats,
    /// Where it comes from.
    #[serde(default)]
    pub compaction: Compaction,
    /// [`META_VERSION`].
    pub version: u32,
}

/// How much is in a block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Stats {
    /// Samples of all kinds.
    pub num_samples: u64,
    /// Floats.
    pub num_float_samples: u64,
    /// Histograms of both kinds.
    pub num_histogram_samples: u64,
    /// Series.
    pub num_series: u64,
    /// Chunks.
    pub num_chunks: u64,
    /// Ranges that were deleted, but are still there.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_tombstones: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Where a block comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Compaction {
    /// 1 for a block of the head, one more for each merge.
    pub level: u32,
    /// Names of the blocks of the head that are in it; at level 1 its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// What was noted about its origin.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

impl Meta {
    /// Reads and checks a description.
    ///
    /// # Errors
    /// [`PromBlockError`]: unreadable, no description, of another version, or with a range that ends before it starts.
    pub fn read(fs: &dyn Fs, path: &Path) -> Result<Self, PromBlockError> {
        let file = fs.open_read(path).map_err(PromBlockError::io("read", path))?;
        let len = file.len().map_err(PromBlockError::io("read", path))?;
        if len > MAX_META_BYTES {
            let what = "bytes of a description";
            return Err(PromBlockError::TooLarge { path: path.to_owned(), what, limit: MAX_META_BYTES });
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        file.read_exact_at(&mut bytes, 0).map_err(PromBlockError::io("read", path))?;
        let meta: Self = serde_json::from_slice(&bytes)
            .map_err(|source| PromBlockError::Meta { path: path.to_owned(), source })?;
        if meta.version != META_VERSION {
            let (what, found) = ("version of a block", u64::from(meta.version));
            return Err(PromBlockError::Unknown { path: path.to_owned(), what, found });
        }
        if meta.min_time >= meta.max_time {
            return Err(PromBlockError::damaged(path, 0, "a range of time that ends before it starts"));
        }
        Ok(meta)
    }
}

#[cfg(test)]
mod tests {
    use cairn_disk::{Fs, TwinFs};

    use super::*;

    fn read(text: &str) -> Result<Meta, PromBlockError> {
        let fs = TwinFs::new();
        fs.create_new(Path::new("/meta.json")).unwrap().append(text.as_bytes()).unwrap();
        Meta::read(&fs, Path::new("/meta.json"))
    }

    #[test]
    fn a_description_with_keys_of_others() {
        let meta = read(
            r#"{"ulid":"01HF8ZZZZZZZZZZZZZZZZZZZZZ","minTime":1699999200000,"maxTime":1700006400000,
            "stats":{"numSamples":2700,"numSeries":9,"numChunks":27},
            "compaction":{"level":1,"sources":["01HF8ZZZZZZZZZZZZZZZZZZZZZ"],"parents":[{"ulid":"x"}]},
            "version":1,"thanos":{"labels":{}}}"#,
        )
        .unwrap();
        assert_eq!((meta.stats.num_samples, meta.stats.num_tombstones), (2700, 0));
        assert_eq!(meta.compaction.sources.len(), 1);
        let text = serde_json::to_string(&meta).unwrap();
        assert!(text.contains(r#""numFloatSamples":0"#) && !text.contains("numTombstones"), "{text}");
    }

    #[test]
    fn what_is_none_is_refused() {
        let error = read(r#"{"ulid":"x","minTime":1,"maxTime":2,"version":2}"#).unwrap_err();
        assert_eq!(error.to_string(), "/meta.json: version of a block 2 is not known to this build");
        assert!(matches!(read("{}"), Err(PromBlockError::Meta { .. })));
        assert!(read(r#"{"ulid":"x","minTime":2,"maxTime":2,"version":1}"#).is_err());
    }
}
