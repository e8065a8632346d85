//! Columns of times: all series of a target have the same ones, so each is written once for the whole block.
//!
//! So much depends on a page of them that there is a second copy of it, in the other file.

use std::collections::HashMap;
use std::io;

use cairn_disk::record_file::RecordFileWriter;

use super::index::{Place, TimesPage};
use super::pages::{PageWriter, TAG_TIMES};
use crate::chunk::column::IntEncoder;

/// Writes time columns and gives each a number.
#[derive(Debug, Default)]
pub(super) struct TimesWriter {
    /// By a hash of 128 bits, at which two columns never meet.
    ids: HashMap<u128, u32>,
    next_id: u32,
    last: Vec<i64>,
    last_id: u32,
    page: PageWriter,
    first_of_page: u32,
    encoder: IntEncoder,
    bytes: Vec<u8>,
    pub(super) pages: Vec<TimesPage>,
}

/// The two files of a block that is being written.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) chunks: RecordFileWriter,
    pub(super) index: RecordFileWriter,
}

impl TimesWriter {
    /// The number of a column, which is written if it is new.
    pub(super) fn id(&mut self, times: &[i64], files: &mut Files) -> io::Result<u32> {
        if self.next_id > 0 && self.last == times {
            return Ok(self.last_id);
        }
        self.last.clear();
        self.last.extend_from_slice(times);
        self.bytes.clear();
        self.bytes.extend(times.iter().flat_map(|time| time.to_le_bytes()));
        let hash = xxhash_rust::xxh3::xxh3_128(&self.bytes);
        if let Some(&id) = self.ids.get(&hash) {
            self.last_id = id;
            return Ok(id);
        }
        let id = self.next_id;
        self.next_id = id.checked_add(1).ok_or(io::ErrorKind::FileTooLarge)?;
        self.ids.insert(hash, id);
        self.last_id = id;
        self.bytes.clear();
        // Without marks: times are decoded whole, for all the series that share them.
        self.encoder.encode(times, false, &mut self.bytes);
        self.page.push_new(&self.bytes);
        if self.page.is_full() {
            self.flush(files)?;
        }
        Ok(id)
    }

    /// Writes what is left.
    pub(super) fn flush(&mut self, files: &mut Files) -> io::Result<()> {
        if !self.page.is_empty() {
            let record = self.page.take_record(TAG_TIMES);
            let place = Place { offset: files.chunks.push(&record)?, len: record.len() };
            let copy = Place { offset: files.index.push(&record)?, len: record.len() };
            self.pages.push(TimesPage { first: self.first_of_page, place, copy });
            self.first_of_page = self.next_id;
        }
        Ok(())
    }
}
