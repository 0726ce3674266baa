//! The journal's entries on their way into the table `actions`, on a thread of their own: a store that is away holds up no
//! response. Every row has a name of its own in the store, so what is written again is there once.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, unbounded};
use fleet::{Action, EventTime};
use responders::journal::Entry;
use store::Store;

use crate::live::retry::until_it_works;
use crate::respond::rows::Mirror;

/// The store's name for how far the journal is mirrored.
const MEMORY: &str = "journal";
/// Rows between two notes of that.
const NOTED_EVERY: u64 = 256;

pub struct Mirroring {
    rows: Sender<Action>,
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
        let work = move || {
            if let Err(error) = write(&log, &*store, &waiting, &wanted) {
                tracing::error!(%error, "the table `actions` does not follow the journal any more, until act begins again");
            }
        };
        let thread = std::thread::Builder::new().name("mirror".to_owned()).spawn(work)?;
        Ok(Mirroring { rows, mirror: Mirror::default(), thread })
    }

    /// Entries have to come in their order, from the journal's first one on.
    pub fn take(&mut self, entry: &Entry) {
        if let Some(row) = self.mirror.row(entry) {
            let _ = self.rows.send(row);
        }
    }

    /// What waits is written, as long as that is wanted.
    pub fn end(self) {
        drop(self.rows);
        let _ = self.thread.join();
    }
}

fn write(
    log: &str,
    store: &dyn Store,
    waiting: &Receiver<Action>,
    wanted: &dyn Fn() -> bool,
) -> Result<(), store::Error> {
    let mut written = 0;
    let asked = until_it_works("ask how far the journal is mirrored", wanted, || {
        let newest = store.newest_memory(MEMORY)?;
        written = newest.and_then(|tick| u64::try_from(tick.0).ok()).unwrap_or(0);
        Ok(())
    })?;
    if !asked {
        return Ok(());
    }
    let mut noted = written;
    for row in waiting.iter().filter(|row| row.seq > written) {
        let name = name(log, row.seq);
        let stored =
            until_it_works("mirror the journal", wanted, || store.write_actions(&name, std::slice::from_ref(&row)))?;
        if !stored {
            return Ok(());
        }
        if row.seq >= noted + NOTED_EVERY || waiting.is_empty() && row.seq > noted {
            noted = row.seq;
            let tick = EventTime(i64::try_from(noted).unwrap_or(i64::MAX));
            if !until_it_works("note how far the journal is mirrored", wanted, || {
                store.write_memory(MEMORY, tick, log.as_bytes())
            })? {
                return Ok(());
            }
        }
    }
    Ok(())
}

pub fn name(log: &str, seq: u64) -> String {
    format!("journal-{log}-{seq}")
}
