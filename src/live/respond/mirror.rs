//! The journal's entries on their way into the table `actions`, on a thread of their own: a store that is away holds up no
//! response. Every row has a name of its own in the store, so what is written again is there once.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, unbounded};
use fleet::{Action, EventTime};
use ingest::kafka::config::KafkaConfig;
use rdkafka::client::{Client, ClientContext};
use responders::journal::Entry;
use store::{Store, VerdictRow};

use crate::live::metrics::responding::WaitingSince;
use crate::live::retry::until_it_works;
use crate::respond::rows::Mirror;

/// Rows between two notes of that.
const NOTED_EVERY: u64 = 256;

pub struct Mirroring {
    rows: Sender<(Instant, Mirrored)>,
    waiting: WaitingSince,
    mirror: Mirror,
    thread: JoinHandle<()>,
}

impl Mirroring {
    /// `log`: the journal's part of the names. `wanted`: whether it is worth waiting for the store.
    pub fn start(
        log: String,
        store: Arc<dyn Store>,
        wanted: impl Fn() -> bool + Send + 'static,
    ) -> std::io::Result<Mirroring> {
        let (rows, waiting) = unbounded();
        let since = WaitingSince::default();
        let seen = Arc::clone(&since);
        let work = move || {
            if let Err(error) = write(&log, &*store, &waiting, &seen, &wanted) {
                tracing::error!(%error, "the table `actions` does not follow the journal any more, until act begins again");
            }
        };
        let thread = std::thread::Builder::new().name("mirror".to_owned()).spawn(work)?;
        Ok(Mirroring { rows, waiting: since, mirror: Mirror::default(), thread })
    }

    /// Entries have to come in their order, from the journal's first one on.
    pub fn take(&mut self, entry: &Entry) {
        if let Some(row) = self.mirror.row(entry) {
            self.put(Mirrored::Action(Box::new(row)));
        }
        let verdicts = self.mirror.verdicts(entry);
        if !verdicts.is_empty() {
            self.put(Mirrored::Verdicts(entry.seq, verdicts));
        }
    }

    fn put(&self, row: Mirrored) {
        let now = Instant::now();
        // Held while it is put: the thread takes away what it has seen to be the last.
        let mut since = lock(&self.waiting);
        since.get_or_insert(now);
        // Whoever hung up has said why.
        let _ = self.rows.send((now, row));
    }

    /// Since when the oldest row waits.
    pub fn waiting_since(&self) -> WaitingSince {
        Arc::clone(&self.waiting)
    }

    /// What waits is written, as long as that is wanted.
    pub fn end(self) {
        drop(self.rows);
        let _ = self.thread.join();
    }
}

fn lock(since: &Mutex<Option<Instant>>) -> std::sync::MutexGuard<'_, Option<Instant>> {
    since.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What one entry comes to.
enum Mirrored {
    Action(Box<Action>),
    Verdicts(u64, Vec<VerdictRow>),
}

impl Mirrored {
    fn seq(&self) -> u64 {
        match self {
            Mirrored::Action(row) => row.seq,
            Mirrored::Verdicts(seq, _) => *seq,
        }
    }

    fn write(&self, name: &str, store: &dyn Store) -> Result<(), store::Error> {
        match self {
            Mirrored::Action(row) => store.write_actions(name, std::slice::from_ref(row)),
            Mirrored::Verdicts(_, rows) => store.write_verdicts(name, rows),
        }
    }
}

/// Entries up to this one are in the store, and nobody writes them again.
pub fn mirrored(log: &str, store: &dyn Store) -> Result<u64, store::Error> {
    let newest = store.newest_memory(&memory(log))?;
    Ok(newest.and_then(|tick| u64::try_from(tick.0).ok()).unwrap_or(0))
}

/// Of another log nobody writes any more.
pub fn is_mirrored(name: &str, log: &str, mirrored: u64) -> bool {
    let Some((of, seq)) = name.strip_prefix("journal-").and_then(|rest| rest.rsplit_once('-')) else { return false };
    seq.parse().is_ok_and(|seq: u64| of != log || seq <= mirrored)
}

/// The store's name for how far a journal is mirrored.
fn memory(log: &str) -> String {
    format!("journal-{log}")
}

/// The journal's part of names: one that is made again has other entries under the same numbers.
pub fn log_name<C: ClientContext>(client: &Client<C>, kafka: &KafkaConfig) -> anyhow::Result<String> {
    Ok(fleet::id::stable_id(&[&crate::live::our_topic(client, &kafka.journal)?.id]))
}

fn write(
    log: &str,
    store: &dyn Store,
    waiting: &Receiver<(Instant, Mirrored)>,
    since: &Mutex<Option<Instant>>,
    wanted: &dyn Fn() -> bool,
) -> Result<(), store::Error> {
    let mut written = 0;
    let asked = until_it_works("ask how far the journal is mirrored", wanted, || {
        written = mirrored(log, store)?;
        Ok(())
    })?;
    if !asked {
        return Ok(());
    }
    let mut noted = written;
    for (put, row) in waiting.iter() {
        if row.seq() > written {
            *lock(since) = Some(put);
            let name = name(log, row.seq());
            let stored = until_it_works("mirror the journal", wanted, || row.write(&name, store))?;
            if !stored {
                return Ok(());
            }
            if row.seq() >= noted + NOTED_EVERY || waiting.is_empty() && row.seq() > noted {
                noted = row.seq();
                let tick = EventTime(i64::try_from(noted).unwrap_or(i64::MAX));
                if !until_it_works("note how far the journal is mirrored", wanted, || {
                    store.write_memory(&memory(log), tick, b"")
                })? {
                    return Ok(());
                }
            }
        }
        let mut since = lock(since);
        if waiting.is_empty() {
            *since = None;
        }
    }
    Ok(())
}

pub fn name(log: &str, seq: u64) -> String {
    format!("journal-{log}-{seq}")
}
