//! The journal, followed: what the API shows, in whichever process it answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fleet::Action;
use ingest::kafka::client::failed;
use ingest::kafka::config::KafkaConfig;
use rdkafka::error::KafkaError;
use responders::book::Book;
use responders::journal::entry::{Body, Entry};

use super::journal::{entry, read, reader};
use crate::live::logs::EachMinute;
use crate::live::stop::Stop;
use crate::respond::rows::Mirror;

/// Between two looks.
const LOOK_UP: Duration = Duration::from_millis(100);
/// Rows of actions' history that are kept.
const ROWS: usize = 50_000;

#[derive(Default)]
pub struct Shown {
    pub book: Book,
    /// By action, in their order.
    pub history: BTreeMap<String, Vec<Action>>,
    rows: usize,
    /// Number of the last signature.
    pub signed: Option<u64>,
    /// Who wrote last.
    pub owner: Option<String>,
    /// By the id of a command: number of its entry.
    pub commands: BTreeMap<String, u64>,
}

impl Shown {
    fn take(&mut self, entry: &Entry, mirror: &mut Mirror) {
        self.book.fold(entry);
        match &entry.body {
            Body::Signed(_) => self.signed = Some(entry.seq),
            Body::Began(began) => self.owner = Some(began.owner.clone()),
            Body::Ended(_) => self.owner = None,
            Body::Commanded(commanded) => {
                self.commands.insert(commanded.command_id.clone(), entry.seq);
            }
            _ => {}
        }
        if let Some(row) = mirror.row(entry) {
            self.history.entry(row.action_id.clone()).or_default().push(row);
            self.rows += 1;
        }
        while self.rows > ROWS {
            // What has been over for longest is in the store.
            let oldest = self.history.iter().min_by_key(|(_, rows)| rows.last().map_or(0, |row| row.seq));
            let Some(oldest) = oldest.map(|(id, _)| id.clone()) else { break };
            self.rows -= self.history.remove(&oldest).map_or(0, |rows| rows.len());
        }
    }
}

#[derive(Clone, Default)]
pub struct View(Arc<Mutex<Shown>>);

impl View {
    pub fn look(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `seen` finds what it looks for.
    pub fn wait<T>(&self, patience: Duration, seen: impl Fn(&Shown) -> Option<T>) -> Option<T> {
        let until = Instant::now() + patience;
        loop {
            if let Some(found) = seen(&self.look()) {
                return Some(found);
            }
            if Instant::now() >= until {
                return None;
            }
            std::thread::sleep(LOOK_UP / 4);
        }
    }

    /// Until it is time to stop; brokers that are away are waited for.
    pub fn follow(&self, kafka: &KafkaConfig, stop: &Stop) {
        let mut said = EachMinute::default();
        while !stop.is_asked() {
            if let Err(error) = self.follow_once(kafka, stop)
                && said.is_due()
            {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the journal cannot be followed; the API shows what was known"
                );
            }
            std::thread::sleep(LOOK_UP * 10);
        }
    }

    /// What was shown before is shown until all is read.
    fn follow_once(&self, kafka: &KafkaConfig, stop: &Stop) -> anyhow::Result<()> {
        let consumer = reader(kafka)?;
        let (mut fresh, mut mirror) = (Shown::default(), Mirror::default());
        let mut chain = fresh.book.chain.clone();
        read(kafka, &consumer, &mut chain, |entry| fresh.take(entry, &mut mirror))?;
        *self.look() = fresh;
        while !stop.is_asked() {
            match consumer.poll(LOOK_UP) {
                Some(Ok(record)) => {
                    let entry = entry(kafka, &record, &mut chain)?;
                    self.look().take(&entry, &mut mirror);
                }
                Some(Err(KafkaError::PartitionEOF(_))) | None => {}
                Some(Err(error)) => {
                    let error = failed(format!("following `{}`", kafka.journal), &error);
                    // The consumer comes back by itself.
                    if !error.retry() {
                        return Err(error.into());
                    }
                }
            }
        }
        Ok(())
    }
}
