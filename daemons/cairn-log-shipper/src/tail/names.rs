//! Which file has which name now, as told by the kernel's events: a file that is created, renamed and replaced within
//! a millisecond is still found, under the name that it has by then. Pure: no file, no clock.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Number of an open file.
pub type OpenId = u64;

/// A file that was born while we were watching and is not open yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Born {
    /// Order of birth.
    pub number: u64,
    /// The name it was given first: the one that is tailed.
    pub origin: PathBuf,
    /// The name it has now.
    pub now: PathBuf,
    /// It has found no place among the open files, and its position is there for the next run.
    pub is_waiting: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Named {
    Open(OpenId),
    Born { number: u64, origin: PathBuf, is_waiting: bool },
}

/// Follows names through events, which must be told in the order of the kernel.
#[derive(Debug, Default)]
pub struct Names {
    by_path: HashMap<PathBuf, Named>,
    /// Between the two halves of a rename.
    moving: HashMap<u32, Named>,
    next: u64,
}

impl Names {
    /// A file was opened under this name.
    pub fn opened(&mut self, path: &Path, id: OpenId) {
        self.by_path.insert(path.to_owned(), Named::Open(id));
    }

    /// A file was closed: no name means it any more.
    pub fn closed(&mut self, id: OpenId) {
        self.by_path.retain(|_, named| *named != Named::Open(id));
    }

    /// The open file of this name.
    pub fn open_at(&self, path: &Path) -> Option<OpenId> {
        match self.by_path.get(path) {
            Some(Named::Open(id)) => Some(*id),
            _ => None,
        }
    }

    /// A name that is tailed was created. One that is known already is an event older than what we know.
    pub fn created(&mut self, path: &Path) {
        if !self.by_path.contains_key(path) {
            let number = self.next;
            self.next += 1;
            let born = Named::Born { number, origin: path.to_owned(), is_waiting: false };
            self.by_path.insert(path.to_owned(), born);
        }
    }

    /// The first half of a rename. Answers with the open file that has lost its name.
    pub fn moved_from(&mut self, path: &Path, cookie: u32) -> Option<OpenId> {
        let named = self.by_path.remove(path)?;
        let open = if let Named::Open(id) = named { Some(id) } else { None };
        self.moving.insert(cookie, named);
        open
    }

    /// The second half. A file that we don't know counts as created, if its new name is one that is tailed. Answers with
    /// the open file that was replaced, if there was one.
    pub fn moved_to(&mut self, path: &Path, cookie: u32, is_tailed: bool) -> Option<OpenId> {
        let replaced = self.open_at(path);
        match self.moving.remove(&cookie) {
            Some(named) => {
                self.by_path.insert(path.to_owned(), named);
            }
            None => {
                self.by_path.remove(path);
                if is_tailed {
                    self.created(path);
                }
            }
        }
        replaced
    }

    /// A name was removed. Answers with the open file that has lost it.
    pub fn deleted(&mut self, path: &Path) -> Option<OpenId> {
        match self.by_path.remove(path)? {
            Named::Open(id) => Some(id),
            Named::Born { .. } => None,
        }
    }

    /// All events so far were told: what is still between two names has left the folders that we watch.
    pub fn settle(&mut self) {
        self.moving.clear();
    }

    /// The files to open, in order of birth.
    pub fn born(&self) -> Vec<Born> {
        let mut born: Vec<Born> = self
            .by_path
            .iter()
            .filter_map(|(now, named)| match named {
                Named::Born { number, origin, is_waiting } => Some(Born {
                    number: *number,
                    origin: origin.clone(),
                    now: now.clone(),
                    is_waiting: *is_waiting,
                }),
                Named::Open(_) => None,
            })
            .collect();
        born.sort_by_key(|one| one.number);
        born
    }

    /// Whether the file still has the name that it had.
    pub fn is_still(&self, born: &Born) -> bool {
        matches!(self.by_path.get(&born.now), Some(Named::Born { number, .. }) if *number == born.number)
    }

    /// The file has to wait for a place among the open files: it stays born, under `origin`, whatever its name becomes.
    pub fn wait(&mut self, origin: &Path, now: &Path) {
        match self.by_path.get_mut(now) {
            Some(Named::Born { is_waiting, .. }) => *is_waiting = true,
            Some(Named::Open(_)) => {}
            None => {
                let number = self.next;
                self.next += 1;
                let born = Named::Born { number, origin: origin.to_owned(), is_waiting: true };
                self.by_path.insert(now.to_owned(), born);
            }
        }
    }

    /// The file cannot be opened, or is of no interest.
    pub fn forget(&mut self, born: &Born) {
        if self.is_still(born) {
            self.by_path.remove(&born.now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> PathBuf {
        PathBuf::from(format!("/log/{name}"))
    }

    fn rename(names: &mut Names, from: &str, to: &str, cookie: u32) -> Option<OpenId> {
        let moved = names.moved_from(&path(from), cookie);
        names.moved_to(&path(to), cookie, to == "app.log");
        moved
    }

    fn born(names: &Names) -> Vec<(String, String)> {
        let text = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        names.born().into_iter().map(|one| (text(one.origin), text(one.now))).collect()
    }

    #[test]
    fn two_rotations_before_anyone_looked() {
        let mut names = Names::default();
        names.opened(&path("app.log"), 7);
        assert_eq!(rename(&mut names, "app.log", "app.log.1", 1), Some(7));
        names.created(&path("app.log"));
        rename(&mut names, "app.log.1", "app.log.2", 2);
        rename(&mut names, "app.log", "app.log.1", 3);
        names.created(&path("app.log"));
        names.settle();
        let own = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(born(&names), [own("app.log", "app.log.1"), own("app.log", "app.log")]);
        assert_eq!(names.open_at(&path("app.log.2")), Some(7));
        let middle = names.born().remove(0);
        assert!(names.is_still(&middle));
        rename(&mut names, "app.log.1", "app.log.3", 4);
        assert!(!names.is_still(&middle));
    }

    #[test]
    fn a_temporary_file_that_takes_the_name() {
        let mut names = Names::default();
        names.opened(&path("app.log"), 1);
        // `app.log.tmp` is not tailed, so nobody told of its creation.
        assert_eq!(names.moved_from(&path("app.log.tmp"), 9), None);
        assert_eq!(names.moved_to(&path("app.log"), 9, true), Some(1));
        assert_eq!(born(&names).len(), 1);
    }

    #[test]
    fn who_waits_for_a_place_is_followed_through_renames() {
        let mut names = Names::default();
        names.created(&path("app.log"));
        names.wait(&path("app.log"), &path("app.log"));
        // Found by its inode, rotated while nobody looked.
        names.wait(&path("app.log"), &path("app.log.7"));
        rename(&mut names, "app.log", "app.log.1", 1);
        names.created(&path("app.log"));
        let waiting: Vec<bool> = names.born().iter().map(|one| one.is_waiting).collect();
        assert_eq!(waiting, [true, true, false]);
        let own = |now: &str| ("app.log".to_owned(), now.to_owned());
        assert_eq!(born(&names), [own("app.log.1"), own("app.log.7"), own("app.log")]);
        names.opened(&path("app.log.1"), 3);
        names.wait(&path("app.log"), &path("app.log.1"));
        assert_eq!(names.open_at(&path("app.log.1")), Some(3));
    }

    #[test]
    fn deleted_and_moved_away() {
        let mut names = Names::default();
        names.created(&path("app.log"));
        assert_eq!(names.deleted(&path("app.log")), None);
        assert!(names.born().is_empty());
        names.created(&path("app.log"));
        names.moved_from(&path("app.log"), 3);
        names.settle();
        assert!(names.born().is_empty());
        names.opened(&path("app.log"), 4);
        assert_eq!(names.deleted(&path("app.log")), Some(4));
    }
}
