//! What exists on disk, in SQLite: tenants, streams, chunk files, chunks. `FORMAT.md`, section 3.
//!
//! The catalogue lies outside of the [`cairn_disk::Fs`] seam, on the real file system, and syncs every commit.
//! It never knows a chunk before the chunk's file is synced; losing its last commits loses nothing, since the files
//! say the same (see `recover.rs`).

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cairn_model::Labels;
use rusqlite::{Connection, Transaction, params};

use crate::chunk_file::{ChunkPlace, DirectoryRow};
use crate::codec::{Reader, put_labels};

/// File name of the catalogue.
pub const CATALOGUE_FILE: &str = "catalogue.sqlite";
/// SQLite's `application_id`: "CRNC".
pub const APPLICATION_ID: i32 = 0x4352_4e43;
/// SQLite's `user_version`: version of the tables, and of what the chunk files hold that they point at. Raising it needs a
/// step in `Catalogue::open` that brings the tables of older versions up to it.
pub const CATALOGUE_VERSION: i32 = 1;
/// SQLite's page cache: the tables are read once, at the start.
const CACHE_KIB: i32 = 1024;

const TABLES: &str = "
    CREATE TABLE tenants (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
    CREATE TABLE streams (id INTEGER PRIMARY KEY, tenant INTEGER NOT NULL REFERENCES tenants (id), labels BLOB NOT NULL);
    CREATE TABLE files (id INTEGER PRIMARY KEY, bytes INTEGER NOT NULL, condemned INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE chunks (
        file INTEGER NOT NULL REFERENCES files (id), offset INTEGER NOT NULL, bytes INTEGER NOT NULL,
        stream INTEGER NOT NULL REFERENCES streams (id), min_time INTEGER NOT NULL, max_time INTEGER NOT NULL,
        entries INTEGER NOT NULL, line_bytes INTEGER NOT NULL, through INTEGER NOT NULL,
        PRIMARY KEY (file, offset)
    ) WITHOUT ROWID;
";

/// Why the catalogue cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogueError {
    /// SQLite refused.
    #[error("use catalogue {path}; if it is damaged, move it away: it is made again from the chunk files")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// Some other program's database.
    #[error("{path} is a database of another program (application id {found:#x})")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The id it has.
        found: i32,
    },
    /// Written by a newer build.
    #[error(
        "{path}: catalogue version {found}, this build reads up to {CATALOGUE_VERSION}; use the newer build that wrote it"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The version it has.
        found: i32,
    },
    /// A row that cannot be.
    #[error(
        "{path}: stream {stream} has labels that cannot be read; move the catalogue away: it is made again from the chunk files"
    )]
    Labels {
        /// The file.
        path: PathBuf,
        /// The stream's number.
        stream: u64,
    },
}

impl CatalogueError {
    /// Whether the disk is full.
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Sqlite { source, .. } if source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull))
    }
}

/// A stream as the catalogue knows it.
#[derive(Debug)]
pub(crate) struct StreamRow {
    pub(crate) id: u64,
    pub(crate) tenant: Arc<str>,
    pub(crate) labels: Arc<Labels>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileRow {
    pub(crate) id: u64,
    pub(crate) bytes: u64,
    /// Nothing of it is wanted any more; it only waits for being removed.
    pub(crate) is_condemned: bool,
}

/// A stream's number, its tenant's name and its labels, still encoded.
type RawStream = (i64, String, Vec<u8>);

/// Everything in the catalogue, as it is read at the start.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) streams: Vec<StreamRow>,
    pub(crate) files: Vec<FileRow>,
    /// File, stream, place; by file and offset, which is the order of cutting.
    pub(crate) chunks: Vec<(u64, u64, ChunkPlace)>,
}

#[derive(Debug)]
pub(crate) struct Catalogue {
    path: PathBuf,
    connection: Mutex<Connection>,
}

impl Catalogue {
    /// Opens or creates the catalogue in this folder.
    pub(crate) fn open(dir: &Path) -> Result<Self, CatalogueError> {
        let path = dir.join(CATALOGUE_FILE);
        let sqlite = |source| CatalogueError::Sqlite { path: path.clone(), source };
        let mut connection = Connection::open(&path).map_err(sqlite)?;
        // The data directory's lock already keeps other processes away; without sharing there is no `-shm` file, which a
        // full disk has no room for. It must be said before anything is read.
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE").map_err(sqlite)?;
        let pragma = |connection: &Connection, name: &str| -> rusqlite::Result<i32> {
            connection.pragma_query_value(None, name, |row| row.get(0))
        };
        let found = pragma(&connection, "application_id").map_err(sqlite)?;
        let version = pragma(&connection, "user_version").map_err(sqlite)?;
        if found != APPLICATION_ID && (found != 0 || version != 0) {
            return Err(CatalogueError::Foreign { path, found });
        }
        if version > CATALOGUE_VERSION {
            return Err(CatalogueError::Version { path, found: version });
        }
        connection.pragma_update(None, "journal_mode", "WAL").map_err(sqlite)?;
        // Every commit is synced: a WAL segment of ours may be dropped right after it.
        connection.pragma_update(None, "synchronous", "FULL").map_err(sqlite)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB).map_err(sqlite)?;
        if version < CATALOGUE_VERSION {
            let bring_up = |connection: &mut Connection| {
                let transaction = connection.transaction()?;
                if version == 0 {
                    transaction.execute_batch(TABLES)?;
                    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
                }
                // Of an existing one too: from now on older builds would misread what is entered here.
                transaction.pragma_update(None, "user_version", CATALOGUE_VERSION)?;
                transaction.commit()
            };
            bring_up(&mut connection).map_err(sqlite)?;
        }
        Ok(Self { path, connection: Mutex::new(connection) })
    }

    /// Reads everything.
    pub(crate) fn load(&self) -> Result<Loaded, CatalogueError> {
        let connection = self.lock();
        let rows = || -> rusqlite::Result<(Vec<RawStream>, Loaded)> {
            let mut loaded = Loaded::default();
            let mut streams = Vec::new();
            let mut query = connection
                .prepare("SELECT s.id, t.name, s.labels FROM streams s JOIN tenants t ON t.id = s.tenant")?;
            for row in query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))? {
                streams.push(row?);
            }
            let mut query = connection.prepare("SELECT id, bytes, condemned FROM files ORDER BY id")?;
            for row in query.query_map([], |row| {
                let (id, bytes): (i64, i64) = (row.get(0)?, row.get(1)?);
                let is_condemned = row.get(2)?;
                Ok(FileRow { id: id.cast_unsigned(), bytes: bytes.cast_unsigned(), is_condemned })
            })? {
                loaded.files.push(row?);
            }
            let mut query = connection.prepare(
                "SELECT file, stream, offset, bytes, min_time, max_time, entries, line_bytes, through
                 FROM chunks ORDER BY file, offset",
            )?;
            for row in query.query_map([], |row| {
                let unsigned = |index| row.get::<_, i64>(index).map(i64::cast_unsigned);
                let place = ChunkPlace {
                    offset: unsigned(2)?,
                    bytes: row.get(3)?,
                    min_time: row.get(4)?,
                    max_time: row.get(5)?,
                    entries: row.get(6)?,
                    line_bytes: unsigned(7)?,
                    through: unsigned(8)?,
                };
                Ok((unsigned(0)?, unsigned(1)?, place))
            })? {
                loaded.chunks.push(row?);
            }
            Ok((streams, loaded))
        };
        let (streams, mut loaded) = rows().map_err(|source| self.sqlite(source))?;
        let mut tenants: std::collections::HashMap<String, Arc<str>> = std::collections::HashMap::new();
        for (id, tenant, labels) in streams {
            let id = id.cast_unsigned();
            let labels = Reader::new(&labels)
                .labels("labels")
                .map_err(|_| CatalogueError::Labels { path: self.path.clone(), stream: id })?;
            let tenant = tenants.entry(tenant).or_insert_with_key(|name| name.as_str().into());
            loaded.streams.push(StreamRow { id, tenant: Arc::clone(tenant), labels: Arc::new(labels) });
        }
        Ok(loaded)
    }

    /// Enters a file with all its chunks and their streams. Doing it twice changes nothing.
    pub(crate) fn add_file(&self, id: u64, bytes: u64, rows: &[DirectoryRow]) -> Result<(), CatalogueError> {
        self.commit(|transaction| {
            let mut file =
                transaction.prepare_cached("INSERT OR REPLACE INTO files (id, bytes) VALUES (?1, ?2)")?;
            file.execute(params![id.cast_signed(), bytes.cast_signed()])?;
            let mut tenant =
                transaction.prepare_cached("INSERT OR IGNORE INTO tenants (name) VALUES (?1)")?;
            let mut stream = transaction.prepare_cached(
                "INSERT OR IGNORE INTO streams (id, tenant, labels)
                 VALUES (?1, (SELECT id FROM tenants WHERE name = ?2), ?3)",
            )?;
            let mut chunk = transaction.prepare_cached(
                "INSERT OR REPLACE INTO chunks VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?;
            for row in rows {
                tenant.execute([&*row.tenant])?;
                let mut labels = Vec::new();
                put_labels(&mut labels, &row.labels);
                stream.execute(params![row.stream.cast_signed(), &*row.tenant, labels])?;
                let ChunkPlace { offset, bytes, min_time, max_time, entries, line_bytes, through } =
                    row.place;
                chunk.execute(params![
                    id.cast_signed(),
                    offset.cast_signed(),
                    bytes,
                    row.stream.cast_signed(),
                    min_time,
                    max_time,
                    entries,
                    line_bytes.cast_signed(),
                    through.cast_signed(),
                ])?;
            }
            Ok(())
        })
    }

    /// Takes out chunks (by file and offset) and condemns files.
    pub(crate) fn expire(&self, chunks: &[(u64, u64)], condemned: &[u64]) -> Result<(), CatalogueError> {
        self.commit(|transaction| {
            let mut chunk =
                transaction.prepare_cached("DELETE FROM chunks WHERE file = ?1 AND offset = ?2")?;
            for (file, offset) in chunks {
                chunk.execute([file.cast_signed(), offset.cast_signed()])?;
            }
            let mut file = transaction.prepare_cached("UPDATE files SET condemned = 1 WHERE id = ?1")?;
            for id in condemned {
                file.execute([id.cast_signed()])?;
            }
            Ok(())
        })
    }

    /// Forgets files that are gone, with whatever chunks they still have.
    pub(crate) fn forget_files(&self, files: &[u64]) -> Result<(), CatalogueError> {
        self.commit(|transaction| {
            let mut chunk = transaction.prepare_cached("DELETE FROM chunks WHERE file = ?1")?;
            let mut file = transaction.prepare_cached("DELETE FROM files WHERE id = ?1")?;
            for id in files {
                chunk.execute([id.cast_signed()])?;
                file.execute([id.cast_signed()])?;
            }
            Ok(())
        })
    }

    /// Forgets streams that have no chunk.
    pub(crate) fn forget_streams(&self, streams: &[u64]) -> Result<(), CatalogueError> {
        self.commit(|transaction| {
            let mut stream = transaction.prepare_cached("DELETE FROM streams WHERE id = ?1")?;
            for id in streams {
                stream.execute([id.cast_signed()])?;
            }
            Ok(())
        })
    }

    fn commit(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), CatalogueError> {
        let mut connection = self.lock();
        let run = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            change(&transaction)?;
            transaction.commit()
        };
        run(&mut connection).map_err(|source| self.sqlite(source))
    }

    fn sqlite(&self, source: rusqlite::Error) -> CatalogueError {
        CatalogueError::Sqlite { path: self.path.clone(), source }
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // An unfinished transaction is rolled back when it is dropped.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(stream: u64, offset: u64) -> DirectoryRow {
        let place = ChunkPlace {
            offset,
            bytes: 10,
            min_time: -5,
            max_time: i64::MAX,
            entries: 3,
            line_bytes: 30,
            through: 8,
        };
        let labels = Arc::new(Labels::from_pairs([("stream", stream.to_string())]));
        DirectoryRow { tenant: "fake".into(), stream, labels, place }
    }

    #[test]
    fn what_is_entered_is_loaded_again() {
        let dir = tempfile::tempdir().unwrap();
        let catalogue = Catalogue::open(dir.path()).unwrap();
        for _ in 0..2 {
            catalogue.add_file(7, 100, &[row(1, 16), row(2, 26)]).unwrap();
        }
        catalogue.add_file(3, 50, &[row(1, 16)]).unwrap();
        drop(catalogue);
        let catalogue = Catalogue::open(dir.path()).unwrap();
        let loaded = catalogue.load().unwrap();
        let places: Vec<(u64, u64, u64)> = loaded.chunks.iter().map(|(f, s, p)| (*f, *s, p.offset)).collect();
        assert_eq!(places, [(3, 1, 16), (7, 1, 16), (7, 2, 26)]);
        assert_eq!(loaded.chunks[2].2, row(2, 26).place);
        assert_eq!(loaded.streams.len(), 2);
        assert_eq!(&*loaded.streams[0].tenant, "fake");
        catalogue.expire(&[(3, 16)], &[3]).unwrap();
        assert!(catalogue.load().unwrap().files[0].is_condemned);
        catalogue.forget_files(&[3]).unwrap();
        let loaded = catalogue.load().unwrap();
        assert_eq!((loaded.files.len(), loaded.chunks.len()), (1, 2));
    }

    #[test]
    fn nothing_is_shared_with_other_processes() {
        let dir = tempfile::tempdir().unwrap();
        drop(Catalogue::open(dir.path()).unwrap());
        let again = Catalogue::open(dir.path()).unwrap();
        // It would need room on a disk that may be full, only to read what is there.
        assert!(!dir.path().join(format!("{CATALOGUE_FILE}-shm")).exists());
        drop(again);
    }

    #[test]
    fn newer_and_foreign_databases_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        drop(Catalogue::open(dir.path()).unwrap());
        let path = dir.path().join(CATALOGUE_FILE);
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 2).unwrap();
        let error = Catalogue::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("catalogue version 2, this build reads up to 1"), "{error}");
        Connection::open(&path).unwrap().pragma_update(None, "application_id", 1).unwrap();
        let error = Catalogue::open(dir.path()).unwrap_err();
        assert!(matches!(error, CatalogueError::Foreign { .. }), "{error}");
        std::fs::write(&path, b"no database at all, but long enough to be read as one").unwrap();
        let error = Catalogue::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("move it away"), "{error}");
    }
}
