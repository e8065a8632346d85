//! What a fuzzer calls: every parser of bytes from strangers, every reader of files, and the queries of the metrics store.
//!
//! A target takes any bytes and must neither panic, nor run for long, nor take much memory; some also check what came
//! out. `scripts/fuzz` runs them under libFuzzer (`libfuzzer/` beside this crate, which the workspace does not build);
//! the tests of this crate run each over its seeds, some thousand mutations of them, and every input that was a finding once
//! (`findings/<target>/`), so that CI notices what is found again.
//!
//! Files have checksums, which a fuzzer never guesses: the targets of readers lay right ones around what it made up, or
//! apply its bytes as edits to a file that a writer made and mend the checksums.

mod blocks;
mod log;
mod promblocks;
mod promql;
mod promql_grammar;
mod promql_series;
mod push;
mod wire;

/// One thing to fuzz.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, also of its folder of findings.
    pub name: &'static str,
    /// Takes any bytes.
    pub run: fn(&[u8]),
    /// Inputs to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "exposition_text", run: wire::text, seeds: wire::text_seeds },
    Target { name: "exposition_openmetrics", run: wire::openmetrics, seeds: wire::openmetrics_seeds },
    Target { name: "exposition_protobuf", run: wire::protobuf, seeds: wire::protobuf_seeds },
    Target { name: "remote_write", run: wire::remote_write, seeds: wire::remote_write_seeds },
    Target { name: "remote_read", run: push::remote_read, seeds: push::remote_read_seeds },
    Target { name: "otlp_metrics", run: push::otlp, seeds: push::otlp_seeds },
    Target { name: "promql", run: promql::run, seeds: promql::seeds },
    Target { name: "wal", run: log::run, seeds: log::seeds },
    Target { name: "block", run: blocks::run, seeds: blocks::seeds },
    Target { name: "prometheus_chunk", run: promblocks::chunk, seeds: promblocks::chunk_seeds },
    Target { name: "prometheus_block", run: promblocks::block, seeds: promblocks::block_seeds },
];

/// The target of a name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().copied().find(|target| target.name == name)
}

/// Takes parts off an input: a length as two bytes, then so many bytes, or what is left.
struct Parts<'a>(&'a [u8]);

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (len, rest) = self.0.split_first_chunk::<2>()?;
        let (part, rest) = rest.split_at(usize::from(u16::from_le_bytes(*len)).min(rest.len()));
        self.0 = rest;
        Some(part)
    }
}

/// The input that [`Parts`] takes apart into these.
fn join_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut input = Vec::new();
    for part in parts {
        let len = u16::try_from(part.len()).unwrap_or(u16::MAX);
        input.extend_from_slice(&len.to_le_bytes());
        input.extend_from_slice(&part[..usize::from(len)]);
    }
    input
}
