//! Tailing files: one thread that finds files, follows them through every kind of rotation, cuts them into lines and
//! hands the lines on, with receipts, as long as the queue has room.
//!
//! | module | answers |
//! |---|---|
//! | [`watch`] | what did the kernel tell about our folders |
//! | `events` | what follows from it |
//! | [`names`] | which file has which name by now |
//! | `discover` | which files are there, which of them are new, which one is this |
//! | `readers` | which targets read it, and from where on |
//! | [`identity`] | is this still the same file |
//! | [`mod@file`] | what is new in this file |
//! | [`lines`] | where do its lines end |
//! | `open` | what is an open file, how many may there be |
//! | `emit` | from lines to a chunk: times, pipeline, receipt, destinations |

mod discover;
mod emit;
mod events;
pub mod file;
pub mod identity;
pub mod lines;
pub mod names;
mod open;
mod readers;
pub mod watch;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use cairn_model::{Labels, TimeNs};
use tokio::sync::oneshot;

use crate::config::TailSettings;
use crate::deliver::Outlet;
use crate::metrics::Metrics;
use crate::pipeline::stage::When;
use crate::positions::Positions;
use crate::queue::Queue;
use crate::target::Target;
use crate::time::unix_seconds;
use file::ReadRules;
use lines::LineLimit;
use names::{Names, OpenId};
use open::OpenFile;
use watch::{WakeReceiver, Waker, Watcher};

/// Pause between looks at what the kernel does not tell of: rotated files, unfinished lines, folders on a network.
const POLL: Duration = Duration::from_millis(250);
/// After a round of reading, events are left to gather for this long: a busy writer causes one per write.
const GATHER: Duration = Duration::from_millis(10);
/// Most files open at once. Further ones take the place of those that stand still.
pub const MAX_OPEN_FILES: usize = 4096;

/// What the reader's thread is told from outside.
#[derive(Debug)]
pub enum Command {
    /// What to tail from now on, and for whom.
    Configure(TailConfig),
    /// Stop reading.
    Stop,
}

/// What to tail, how, and for whom.
#[derive(Clone, Debug)]
pub struct TailConfig {
    /// The targets.
    pub targets: Vec<Arc<Target>>,
    /// How files are followed.
    pub settings: TailSettings,
    /// Where every chunk goes.
    pub outlets: Vec<Outlet>,
}

/// What the reader's thread needs for its whole life.
#[derive(Debug)]
pub struct Surroundings {
    /// Where positions are kept.
    pub positions: Arc<Positions>,
    /// The bound on what is under way.
    pub queue: Queue,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Wakes it.
    pub wake: WakeReceiver,
}

/// The running reader.
#[derive(Debug)]
pub struct Tailer {
    commands: mpsc::Sender<Command>,
    waker: Waker,
    /// Taken by [`stop`](Self::stop).
    thread: Option<std::thread::JoinHandle<()>>,
    first_scan: Option<oneshot::Receiver<()>>,
}

impl Tailer {
    /// Starts the thread. `waker` is the other end of `surroundings.wake`.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(config: TailConfig, surroundings: Surroundings, waker: Waker) -> std::io::Result<Self> {
        let (commands, receiver) = mpsc::channel();
        let (scanned, first_scan) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("tail".to_owned())
            .spawn(move || Loop::new(config, surroundings, receiver).run(scanned))?;
        Ok(Self { commands, waker, thread: Some(thread), first_scan: Some(first_scan) })
    }

    /// Ends when every file that was there at the start is open and its position on disk: from then on nothing that
    /// happens to it escapes the reader. The first call takes the receiver, later ones answer `None`.
    pub fn first_scan(&mut self) -> Option<oneshot::Receiver<()>> {
        self.first_scan.take()
    }

    /// Tells it something.
    pub fn tell(&self, command: Command) {
        // A thread that is gone has logged why; there is nobody to tell.
        let _ = self.commands.send(command);
        self.waker.wake();
    }

    /// Stops reading and waits for the thread. Blocking. Destinations see the end of their channel afterwards.
    pub fn stop(mut self) {
        self.tell(Command::Stop);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the reader's thread has panicked");
        }
    }

    /// Whether the thread is still there; it only ends when told to.
    pub fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Tailer {
    fn drop(&mut self) {
        self.tell(Command::Stop);
    }
}

struct Loop {
    config: TailConfig,
    positions: Arc<Positions>,
    queue: Queue,
    metrics: Arc<Metrics>,
    wake: WakeReceiver,
    commands: mpsc::Receiver<Command>,
    watcher: Watcher,
    names: Names,
    files: HashMap<OpenId, OpenFile>,
    by_inode: HashMap<(u64, u64), OpenId>,
    /// Generations of each path, oldest first: read in this order.
    by_path: BTreeMap<PathBuf, Vec<OpenId>>,
    next_id: OpenId,
    /// Paths in which something may be new.
    dirty: BTreeSet<PathBuf>,
    /// Newest timestamp of each stream.
    clocks: HashMap<Arc<Labels>, TimeNs>,
    buffer: Vec<u8>,
    rescan_at: Instant,
    /// Files were opened of which nothing is on disk yet.
    has_new_files: bool,
    /// Most files open at once here and now.
    max_open: usize,
    /// Files that found no place in this walk of the globs.
    n_waiting: usize,
    /// Files are waiting for a place, and that was logged.
    is_crowded: bool,
    /// Paths that cannot be read, so that each is logged once.
    failing: BTreeSet<PathBuf>,
}

impl Loop {
    fn new(config: TailConfig, surroundings: Surroundings, commands: mpsc::Receiver<Command>) -> Self {
        let Surroundings { positions, queue, metrics, wake } = surroundings;
        let buffer = file::buffer(line_limit(&config.settings));
        Self {
            config,
            positions,
            queue,
            metrics,
            wake,
            commands,
            watcher: Watcher::start(),
            names: Names::default(),
            files: HashMap::new(),
            by_inode: HashMap::new(),
            by_path: BTreeMap::new(),
            next_id: 0,
            dirty: BTreeSet::new(),
            clocks: HashMap::new(),
            buffer,
            rescan_at: Instant::now(),
            has_new_files: false,
            max_open: open::raise_limit(),
            n_waiting: 0,
            is_crowded: false,
            failing: BTreeSet::new(),
        }
    }

    fn run(mut self, scanned: oneshot::Sender<()>) {
        self.resume_rotated();
        self.rescan();
        self.positions.all_seen();
        self.remember_new_files();
        // Nobody may be waiting for it.
        let _ = scanned.send(());
        loop {
            loop {
                match self.commands.try_recv() {
                    Ok(Command::Configure(config)) => self.configure(config),
                    Ok(Command::Stop) | Err(mpsc::TryRecvError::Disconnected) => return,
                    Err(mpsc::TryRecvError::Empty) => break,
                }
            }
            self.look();
            if Instant::now() >= self.rescan_at {
                self.rescan();
            }
            self.remember_new_files();
            let n_read = self.read_dirty();
            self.close_finished();
            if n_read == 0 || !self.queue.has_room() || self.dirty.is_empty() {
                if n_read > 0 {
                    std::thread::sleep(GATHER);
                }
                let patience = self.patience();
                self.watcher.wait(&self.wake, patience);
            }
        }
    }

    /// Writes the positions before the first line of a new file is sent: should it be rotated away and the process be
    /// killed right then, the next run knows which of the rotated files it was.
    fn remember_new_files(&mut self) {
        if std::mem::take(&mut self.has_new_files)
            && let Err(error) = self.positions.save(unix_seconds())
        {
            // The regular writer tries again, and reports.
            tracing::debug!(%error, "cannot write the positions");
        }
    }

    /// How long nothing needs to be done unless something happens.
    fn patience(&self) -> Duration {
        let until_rescan = self.rescan_at.saturating_duration_since(Instant::now());
        let has_room = self.queue.has_room();
        if has_room && !self.dirty.is_empty() {
            return Duration::ZERO;
        }
        let needs_poll = self.watcher.must_poll() || self.files.values().any(OpenFile::must_be_polled);
        if needs_poll { until_rescan.min(POLL) } else { until_rescan }
    }

    /// Takes a new configuration: files that are still wanted stay open, with their positions.
    fn configure(&mut self, config: TailConfig) {
        self.buffer = file::buffer(line_limit(&config.settings));
        self.config = config;
        let ids: Vec<OpenId> = self.files.keys().copied().collect();
        for id in ids {
            self.renew_readers(id);
        }
        self.failing.clear();
        self.resume_rotated();
        self.rescan_at = Instant::now();
    }

    /// Reads one buffer from every path in which something may be new, older generations first, while there is room.
    /// Answers how many buffers gave something.
    fn read_dirty(&mut self) -> usize {
        let paths = std::mem::take(&mut self.dirty);
        let mut n_read = 0;
        for path in paths {
            let ids = self.by_path.get(&path).cloned().unwrap_or_default();
            for id in ids {
                if !self.queue.has_room() {
                    self.dirty.insert(path.clone());
                    break;
                }
                let (gave, has_more) = self.read_file(id, false);
                n_read += usize::from(gave);
                if has_more {
                    // What is younger waits: the lines of one path stay in order.
                    self.dirty.insert(path.clone());
                    break;
                }
                if self.files.get(&id).is_some_and(|file| file.is_rotated && file.waits()) {
                    // Its last line comes first, as soon as it has stood still for long enough: `look` comes back to it.
                    break;
                }
            }
        }
        n_read
    }

    /// Reads one buffer for each reader of a file. Answers whether anything came, and whether there is more.
    fn read_file(&mut self, id: OpenId, is_last: bool) -> (bool, bool) {
        let Some(mut file) = self.files.remove(&id) else { return (false, false) };
        let rules = ReadRules {
            limit: line_limit(&self.config.settings),
            partial_flush: self.config.settings.partial_flush,
            is_rotated: file.is_rotated,
            is_last,
        };
        let now = Instant::now();
        let (mut gave, mut has_more) = (false, false);
        // The one that is furthest behind first: should there be room for one only, none is starved by another.
        file.readers.sort_by_key(|reader| reader.mark().offset);
        for reader in &mut file.readers {
            let Some(slot) = self.queue.reserve() else {
                has_more = true;
                break;
            };
            let before = reader.mark();
            match reader.read(&mut self.buffer, &rules, now) {
                Ok(read) => {
                    has_more |= read.has_more;
                    if reader.mark() != before || read.is_restarted {
                        gave = true;
                        self.emit(reader, read, slot, now);
                    } else if reader.waits() {
                        let when = if is_last { When::All } else { When::Due(now) };
                        gave |= self.emit_held(reader, when, slot, now);
                    }
                }
                Err(error) => self.report_failing(&file.origin, &error),
            }
        }
        self.files.insert(id, file);
        (gave, has_more)
    }

    /// Closes files that have lost their name and stand still: their late writers have gone.
    fn close_finished(&mut self) {
        let now = Instant::now();
        let wait = self.config.settings.rotate_wait;
        let finished: Vec<OpenId> = self
            .files
            .iter()
            .filter(|(_, file)| {
                file.is_rotated
                    && !self.dirty.contains(&file.origin)
                    && file.readers.iter().all(|r| r.quiet_for(now) >= wait && r.entry.ledger.is_settled())
            })
            .map(|(id, _)| *id)
            .collect();
        for id in finished {
            let (gave, has_more) = self.read_file(id, true);
            // Something came after all: once more, when that is acknowledged.
            if !gave && !has_more {
                self.close(id);
            }
        }
    }

    fn close(&mut self, id: OpenId) {
        let Some(file) = self.files.remove(&id) else { return };
        for mut reader in file.readers {
            self.give_back_held(&mut reader);
            reader.close();
        }
        self.positions.touch();
        self.names.closed(id);
        self.by_inode.remove(&file.inode);
        if let Some(ids) = self.by_path.get_mut(&file.origin) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_path.remove(&file.origin);
            }
        }
        self.metrics.files_active.set(i64::try_from(self.files.len()).unwrap_or(i64::MAX));
    }

    fn report_failing(&mut self, path: &std::path::Path, error: &std::io::Error) {
        if self.failing.insert(path.to_owned()) {
            tracing::warn!(path = %path.display(), %error, "cannot read file, trying again at every rescan");
        }
        self.metrics.targets_failed(error);
    }
}

fn line_limit(settings: &TailSettings) -> LineLimit {
    LineLimit { max_bytes: settings.max_line_bytes, truncate: settings.truncate_long_lines }
}
