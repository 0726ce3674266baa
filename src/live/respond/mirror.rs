//! The journal's entries on their way into the table `actions`, on a thread of their own: a store that is away holds up no
//! response. The thread reads the journal by itself, so nothing waits for the store but what it has in hand. Every row has a name
//! of its own in the store, so what is written again is there once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fleet::{Action, EventTime};
use ingest::kafka::config::KafkaConfig;
use rdkafka::client::{Client, ClientContext};
use responders::journal::Entry;
use store::{Store, VerdictRow};

use super::journal::Followed;
use crate::config::Config;
use crate::live::metrics::responding::WaitingSince;
use crate::live::retry::until_it_works;
use crate::respond::rows::Mirror;

/// Rows between two notes of that.
const NOTED_EVERY: u64 = 256;
const POLL: Duration = Duration::from_millis(100);

pub struct Mirroring {
    /// Number of the entry after which it ends.
    last: Arc<AtomicU64>,
    waiting: WaitingSince,
    thread: Option<JoinHandle<()>>,
}

impl Mirroring {
    /// `log`: the journal's part of the names. `wanted`: whether it is worth waiting for the store.
    pub fn start(
        config: &Arc<Config>,
        log: String,
        store: Arc<dyn Store>,
        wanted: impl Fn() -> bool + Send + 'static,
    ) -> std::io::Result<Mirroring> {
        let last = Arc::new(AtomicU64::new(u64::MAX));
        let (config, until) = (Arc::clone(config), Arc::clone(&last));
        let waiting = WaitingSince::default();
        let since = Arc::clone(&waiting);
        let work = move || {
            let wanted = || wanted() && until.load(Ordering::SeqCst) > 0;
            if let Err(error) = write(&config.source.kafka, &log, &*store, &until, &since, &wanted) {
                // It waits from now on, for another life.
                lock(&since).get_or_insert_with(Instant::now);
                let error = format!("{error:#}");
                tracing::error!(
                    error,
                    "the table `actions` does not follow the journal any more, until act begins again"
                );
            }
        };
        let thread = std::thread::Builder::new().name("mirror".to_owned()).spawn(work)?;
        Ok(Mirroring { last, waiting, thread: Some(thread) })
    }

    /// Since when the entry in hand waits for the store.
    pub fn waiting_since(&self) -> WaitingSince {
        Arc::clone(&self.waiting)
    }

    /// What there is up to this entry is written, as long as that is wanted.
    pub fn end(mut self, seq: u64) {
        self.last.store(seq, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Mirroring {
    fn drop(&mut self) {
        self.last.store(0, Ordering::SeqCst);
    }
}

fn lock(since: &Mutex<Option<Instant>>) -> MutexGuard<'_, Option<Instant>> {
    since.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What one entry comes to.
enum Mirrored {
    Action(Box<Action>),
    Verdicts(Vec<VerdictRow>),
}

impl Mirrored {
    /// Entries have to come in their order, from the journal's first one on.
    fn of(entry: &Entry, mirror: &mut Mirror) -> Vec<Mirrored> {
        let action = mirror.row(entry).map(|row| Mirrored::Action(Box::new(row)));
        let verdicts = Some(mirror.verdicts(entry)).filter(|rows| !rows.is_empty());
        action.into_iter().chain(verdicts.map(Mirrored::Verdicts)).collect()
    }

    fn write(&self, name: &str, store: &dyn Store) -> Result<(), store::Error> {
        match self {
            Mirrored::Action(row) => store.write_actions(name, std::slice::from_ref(row)),
            Mirrored::Verdicts(rows) => store.write_verdicts(name, rows),
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
    kafka: &KafkaConfig,
    log: &str,
    store: &dyn Store,
    last: &AtomicU64,
    since: &Mutex<Option<Instant>>,
    wanted: &dyn Fn() -> bool,
) -> anyhow::Result<()> {
    let mut written = 0;
    let asked = until_it_works("ask how far the journal is mirrored", wanted, || {
        written = mirrored(log, store)?;
        Ok(())
    })?;
    let (mut noted, mut seen, mut mirror) = (written, 0, Mirror::default());
    let mut journal = Followed::new(kafka)?;
    let mut goes_on = asked;
    while goes_on && wanted() && seen < last.load(Ordering::SeqCst) {
        let entry = journal.next(POLL)?;
        seen = entry.as_ref().map_or(seen, |entry| entry.seq);
        let rows = entry.map(|entry| Mirrored::of(&entry, &mut mirror)).filter(|_| seen > written);
        let is_at_end = rows.is_none();
        *lock(since) = rows.as_ref().filter(|rows| !rows.is_empty()).map(|_| Instant::now());
        for row in rows.into_iter().flatten() {
            let name = name(log, seen);
            goes_on &= until_it_works("mirror the journal", wanted, || row.write(&name, store))?;
        }
        let is_last = seen >= last.load(Ordering::SeqCst);
        let is_due = seen >= noted + NOTED_EVERY || (is_at_end || is_last) && seen > noted;
        if goes_on && is_due {
            let tick = EventTime(i64::try_from(seen).unwrap_or(i64::MAX));
            goes_on = until_it_works("note how far the journal is mirrored", wanted, || {
                store.write_memory(&memory(log), tick, b"")
            })?;
            noted = seen;
        }
    }
    Ok(())
}

pub fn name(log: &str, seq: u64) -> String {
    format!("journal-{log}-{seq}")
}
