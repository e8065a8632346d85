//! What a process has used, from `/proc`; and what lies in a folder.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

/// Figures of a process at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time.
    pub cpu: Duration,
    /// Resident memory in bytes.
    pub rss: u64,
    /// Most resident memory there was, in bytes.
    pub peak_rss: u64,
    /// Bytes that went to storage.
    pub written: u64,
}

/// Reads the figures of a process.
///
/// # Errors
/// The process is gone, or is somebody else's.
pub fn usage(pid: u32) -> Result<Usage> {
    let read = |name: &str| {
        let path = format!("/proc/{pid}/{name}");
        std::fs::read_to_string(&path).with_context(|| format!("read {path}: has the server ended?"))
    };
    let stat = read("stat")?;
    // The command's name may hold anything; behind its parenthesis come plain fields, utime and stime 12th and 13th.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let per_second = ticks_per_second();
    let cpu = Duration::from_millis((ticks(11) + ticks(12)) * 1000 / per_second);
    let status = read("status")?;
    let kib = |key: &str| number_behind(&status, key) * 1024;
    let written = number_behind(&read("io")?, "write_bytes:");
    Ok(Usage { cpu, rss: kib("VmRSS:"), peak_rss: kib("VmHWM:"), written })
}

fn ticks_per_second() -> u64 {
    let found = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten();
    found.and_then(|ticks| u64::try_from(ticks).ok()).unwrap_or(100).max(1)
}

fn number_behind(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Bytes of all files below a folder; what vanishes meanwhile counts nothing.
pub fn bytes_below(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(data) if data.is_dir() => bytes_below(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

/// One line about this machine: processor, cores, memory, kernel.
pub fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let gib = number_behind(&read("/proc/meminfo"), "MemTotal:") >> 20;
    let kernel = read("/proc/sys/kernel/osrelease");
    format!(
        "{}, {cores} cores, {gib} GiB memory, Linux {}",
        model.map_or("unknown processor", |(_, name)| name),
        kernel.trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_figures_are_found() {
        let found = usage(std::process::id()).unwrap();
        assert!(found.rss > 100_000 && found.peak_rss >= found.rss / 2);
        assert!(machine().contains("cores"));
        assert!(usage(u32::MAX - 1).is_err());
    }
}
