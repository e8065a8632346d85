//! What one file or directory of the twin remembers: what is there, what is durable, and the changes in between.

use std::collections::BTreeMap;
use std::io;

use super::Lottery;

/// Index of a file or directory in the twin; never reused.
pub(super) type NodeId = usize;

/// Far above what a test writes; keeps a wild offset from asking for the whole memory.
const MAX_FILE_BYTES: u64 = 1 << 30;

#[derive(Debug)]
pub(super) enum Node {
    Dir(Dir),
    File(File),
}

#[derive(Debug, Default)]
pub(super) struct Dir {
    pub(super) names: BTreeMap<String, NodeId>,
    durable: BTreeMap<String, NodeId>,
    unsynced: Vec<DirOp>,
}

#[derive(Clone, Debug)]
pub(super) enum DirOp {
    Set(String, NodeId),
    Remove(String),
    /// One change, not two: a journalling file system renames whole or not at all.
    Rename(String, String),
}

impl Dir {
    pub(super) fn apply(&mut self, op: DirOp) {
        replay_name(&mut self.names, &op);
        self.unsynced.push(op);
    }

    pub(super) fn sync(&mut self) {
        self.unsynced.clear();
        self.durable.clone_from(&self.names);
    }

    pub(super) fn crash(&mut self, lottery: Option<&mut Lottery>) {
        let survive = lottery.map_or(0, |lottery| lottery.below(self.unsynced.len() + 1));
        for op in self.unsynced.drain(..).take(survive) {
            replay_name(&mut self.durable, &op);
        }
        self.names.clone_from(&self.durable);
    }
}

fn replay_name(names: &mut BTreeMap<String, NodeId>, op: &DirOp) {
    match op {
        DirOp::Set(name, node) => {
            names.insert(name.clone(), *node);
        }
        DirOp::Remove(name) => {
            names.remove(name);
        }
        DirOp::Rename(from, to) => {
            if let Some(node) = names.remove(from) {
                names.insert(to.clone(), node);
            }
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) bytes: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<FileOp>,
}

#[derive(Debug)]
enum FileOp {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

impl File {
    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let offset = checked_len(offset + bytes.len() as u64)? - bytes.len();
        write_at(&mut self.bytes, offset, bytes);
        self.unsynced.push(FileOp::Write(offset, bytes.to_vec()));
        Ok(())
    }

    pub(super) fn truncate(&mut self, len: u64) -> io::Result<()> {
        let len = checked_len(len)?;
        self.bytes.resize(len, 0);
        self.unsynced.push(FileOp::Truncate(len));
        Ok(())
    }

    pub(super) fn sync(&mut self) {
        for op in self.unsynced.drain(..) {
            match op {
                FileOp::Write(offset, bytes) => write_at(&mut self.durable, offset, &bytes),
                FileOp::Truncate(len) => self.durable.resize(len, 0),
            }
        }
    }

    /// A failed sync: the kernel has marked the pages clean, nobody will ever write them.
    pub(super) fn lose_unsynced(&mut self) {
        self.unsynced.clear();
    }

    pub(super) fn crash(&mut self, lottery: Option<&mut Lottery>) {
        if let Some(lottery) = lottery {
            let survive = lottery.below(self.unsynced.len() + 1);
            for (index, op) in self.unsynced.iter().enumerate().take(survive) {
                match op {
                    FileOp::Truncate(len) => self.durable.resize(*len, 0),
                    FileOp::Write(offset, bytes) if index + 1 < survive => {
                        write_at(&mut self.durable, *offset, bytes);
                    }
                    // The last write that made it is torn somewhere; its rest is missing, or there as zeros.
                    FileOp::Write(offset, bytes) => {
                        let cut = lottery.below(bytes.len() + 1);
                        let mut torn = bytes[..cut].to_vec();
                        if lottery.below(2) == 0 {
                            torn.resize(bytes.len(), 0);
                        }
                        write_at(&mut self.durable, *offset, &torn);
                    }
                }
            }
        }
        self.unsynced.clear();
        self.bytes.clone_from(&self.durable);
    }
}

fn checked_len(len: u64) -> io::Result<usize> {
    if len > MAX_FILE_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

fn write_at(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end && !bytes.is_empty() {
        content.resize(end, 0);
    }
    if !bytes.is_empty() {
        content[offset..end].copy_from_slice(bytes);
    }
}
