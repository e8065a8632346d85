//! What the kernel's events mean for the files that we read: who has lost its name, who was born, where to look.

use std::time::Instant;

use super::Loop;
use super::names::OpenId;
use super::watch::Happened;

impl Loop {
    /// Takes in what has happened and opens the files that were born.
    pub(super) fn look(&mut self) {
        self.take_events();
        self.open_born();
        if self.watcher.must_poll() {
            self.check_names();
            self.dirty.extend(self.by_path.keys().cloned());
        } else {
            self.check_links();
            let polled = self.files.values().filter(|file| file.must_be_polled());
            self.dirty.extend(polled.map(|file| file.origin.clone()));
        }
    }

    pub(super) fn take_events(&mut self) {
        let mut events = Vec::new();
        self.watcher.read(&mut |happened| events.push(happened));
        for happened in events {
            match happened {
                Happened::Created(path) => {
                    if self.is_tailed(&path) {
                        self.names.created(&path);
                    }
                }
                Happened::Changed(path) => {
                    if let Some(file) = self.names.open_at(&path).and_then(|id| self.files.get(&id)) {
                        self.dirty.insert(file.origin.clone());
                    } else if self.is_tailed(&path) {
                        // Written to, and not known: its creation was missed, or it could not be opened before.
                        self.names.created(&path);
                    }
                }
                Happened::MovedFrom(path, cookie) => {
                    if self.is_tailed(&path) {
                        // Closed to make room for others, or not opened yet: its writer may not be done with it.
                        self.names.created(&path);
                    }
                    let id = self.names.moved_from(&path, cookie);
                    self.lost_name(id);
                }
                Happened::MovedTo(path, cookie) => {
                    let is_tailed = self.is_tailed(&path);
                    let replaced = self.names.moved_to(&path, cookie, is_tailed);
                    self.lost_name(replaced);
                }
                Happened::Deleted(path) => {
                    let id = self.names.deleted(&path);
                    self.lost_name(id);
                }
                Happened::FolderChanged => self.rescan_at = Instant::now(),
                Happened::Overflow => {
                    self.metrics.inotify_overflows.inc();
                    self.rescan_at = Instant::now();
                }
            }
        }
        self.names.settle();
    }

    pub(super) fn lost_name(&mut self, id: Option<OpenId>) {
        if let Some(file) = id.and_then(|id| self.files.get_mut(&id)) {
            file.is_rotated = true;
            self.dirty.insert(file.origin.clone());
        }
    }
}
