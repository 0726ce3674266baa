//! The role `act`: all lanes' findings in the order of event time, joined into incidents, answered, stored.
//!
//! The findings topic has one partition, so one process works and the others stand by. One thread polls, and never asks the
//! store; another one ([`acting`]) works, as in a lane. [`names`] are those of what is stored, and [`restricted`] tells lanes what
//! they must not hold against a device.

mod acting;
mod names;
pub mod restricted;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, anyhow};
use crossbeam_channel::{Sender, unbounded};
use ingest::kafka::client::{Purpose, create};
use opentelemetry::trace::SpanContext;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use store::Store;

use self::acting::{Acting, Means};
pub use self::names::{is_settled, log_name};
use crate::config::Config;
use crate::live::Role;
use crate::live::assignment::{Change, Member, leave};
use crate::live::judge::lease::Lease;
use crate::live::status::Status;
use crate::live::stop::Stop;
use crate::live::trace::{PARENT, origin};

const POLL: Duration = Duration::from_millis(200);
/// What may wait for the store; the partition is paused beyond, and resumed at a quarter.
const WAITING: usize = 4_096;
const WAITING_BYTES: usize = 16 << 20;

/// A message of the findings topic.
pub struct ToAct {
    pub offset: u64,
    pub payload: Vec<u8>,
    /// The span that published it.
    pub from: Option<SpanContext>,
}

pub fn run(config: &Config, store: &Arc<dyn Store>, status: &Status, stop: &Stop) -> anyhow::Result<()> {
    let polling = Polling::start(config, store, status, stop)?;
    let consumer = Arc::clone(&polling.consumer);
    let done = polling.work();
    leave(consumer, stop);
    done
}

struct Polling<'p> {
    config: Arc<Config>,
    store: &'p Arc<dyn Store>,
    status: &'p Status,
    stop: &'p Stop,
    consumer: Arc<BaseConsumer<Member>>,
    /// Of whoever works now.
    lease: Arc<Mutex<Lease>>,
    running: Option<Running>,
    /// Whoever worked before, and may still hang in a call.
    before: Option<JoinHandle<anyhow::Result<()>>>,
}

struct Running {
    input: Sender<ToAct>,
    lease: Lease,
    paused: bool,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl<'p> Polling<'p> {
    fn start(
        config: &Config,
        store: &'p Arc<dyn Store>,
        status: &'p Status,
        stop: &'p Stop,
    ) -> anyhow::Result<Polling<'p>> {
        let kafka = &config.source.kafka;
        let member = Member::default();
        let lease = Arc::new(Mutex::new(Lease::default()));
        let of_member = Arc::clone(&lease);
        member.before_revoked(Box::new(move |partitions| {
            if !partitions.is_empty() {
                of_member.lock().unwrap_or_else(PoisonError::into_inner).withdraw();
            }
        }));
        let consumer: Arc<BaseConsumer<Member>> = Arc::new(create(kafka, Purpose::Member { role: "act" }, member)?);
        consumer.subscribe(&[&kafka.findings]).context("subscribing to the findings")?;
        let config = Arc::new(config.clone());
        Ok(Polling { config, store, status, stop, consumer, lease, running: None, before: None })
    }

    fn work(mut self) -> anyhow::Result<()> {
        while !self.stop.is_asked() {
            if let Err(error) = self.turn() {
                self.give_up();
                return Err(error);
            }
        }
        self.finish()
    }

    fn turn(&mut self) -> anyhow::Result<()> {
        let consumer = Arc::clone(&self.consumer);
        let polled = consumer.poll(POLL);
        self.changes()?;
        consumer.context().check()?;
        // Of an error the client's context has told.
        if let (Some(Ok(record)), Some(running)) = (&polled, &self.running) {
            running.offer(record);
        }
        self.watch()
    }

    fn changes(&mut self) -> anyhow::Result<()> {
        for change in self.consumer.context().changes() {
            // With cooperative rebalancing a member is also told that nothing changed for it.
            match change {
                Change::Assigned(partitions) => {
                    if !partitions.is_empty() {
                        self.begin()?;
                    }
                    self.status.joined(Role::Act);
                }
                Change::Revoked(partitions) => {
                    if !partitions.is_empty() {
                        self.let_go();
                        tracing::info!("act stands by");
                    }
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self) -> anyhow::Result<()> {
        self.let_go();
        let lease = Lease::default();
        *self.lease.lock().unwrap_or_else(PoisonError::into_inner) = lease.clone();
        let means = Means {
            config: Arc::clone(&self.config),
            store: Arc::clone(self.store),
            consumer: Arc::clone(&self.consumer),
            lease: lease.clone(),
            stop: self.stop.clone(),
        };
        let before = self.before.take();
        let (input, messages) = unbounded();
        let thread = std::thread::Builder::new().name("acting".to_owned()).spawn(move || {
            // What it still writes is older.
            if let Some(before) = before {
                let _ = before.join();
            }
            match Acting::begin(&means)? {
                Some(acting) => acting.run(&messages),
                None => Ok(()),
            }
        })?;
        self.running = Some(Running { input, lease, paused: false, thread });
        // librdkafka keeps a pause when a partition goes and comes again; and resuming what is not paused would drop what was
        // fetched.
        self.pause();
        self.resume();
        Ok(())
    }

    /// It ends by itself, and nothing it still does counts.
    fn let_go(&mut self) {
        if let Some(running) = self.running.take() {
            running.lease.withdraw();
            self.before = Some(running.thread);
        }
    }

    fn watch(&mut self) -> anyhow::Result<()> {
        let Some(running) = &mut self.running else { return Ok(()) };
        if running.thread.is_finished() {
            return self.running.take().map_or(Ok(()), |running| {
                // Nothing of that life counts any more.
                running.lease.withdraw();
                ended(running.thread)
            });
        }
        let (messages, bytes) = (running.input.len(), running.lease.waiting());
        if !running.paused && (messages >= WAITING || bytes >= WAITING_BYTES) {
            running.paused = true;
            self.pause();
        } else if running.paused && messages <= WAITING / 4 && bytes <= WAITING_BYTES / 4 {
            running.paused = false;
            self.resume();
        }
        Ok(())
    }

    fn resume(&self) {
        if let Err(error) = self.consumer.resume(&self.list()) {
            tracing::warn!(%error, "the findings cannot be resumed");
        }
    }

    fn pause(&self) {
        if let Err(error) = self.consumer.pause(&self.list()) {
            tracing::warn!(%error, "the findings cannot be paused");
        }
    }

    fn list(&self) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.config.source.kafka.findings, 0);
        list
    }

    /// What was not committed is done again.
    fn give_up(mut self) {
        self.let_go();
        if self.before.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("act panicked");
        }
    }

    fn finish(mut self) -> anyhow::Result<()> {
        let mut done = Ok(());
        if let Some(Running { input, thread, .. }) = self.running.take() {
            // What waits is taken, as long as there is time, and then committed.
            drop(input);
            while !thread.is_finished() && !self.stop.is_overdue() {
                std::thread::sleep(POLL / 5);
            }
            if thread.is_finished() {
                done = ended(thread);
            } else {
                tracing::warn!("act could not store what was in hand; it is read again at the next start");
            }
        }
        self.consumer.unsubscribe();
        tracing::info!("act has stopped");
        done
    }
}

impl Running {
    fn offer(&self, record: &BorrowedMessage<'_>) {
        let offset = u64::try_from(record.offset()).unwrap_or(0);
        let payload = record.payload().unwrap_or_default().to_vec();
        self.lease.handed(payload.len());
        // One that hung up has failed, and the role begins again from what was committed.
        let _ = self.input.send(ToAct { offset, payload, from: sent_from(record) });
    }
}

fn ended(thread: JoinHandle<anyhow::Result<()>>) -> anyhow::Result<()> {
    thread.join().unwrap_or_else(|_| Err(anyhow!("it panicked; this is a defect of vedette, please report it")))
}

/// The span that a message was published in.
fn sent_from(record: &BorrowedMessage<'_>) -> Option<SpanContext> {
    let parent = record.headers()?.iter().find(|header| header.key == PARENT)?;
    origin(parent.value?)
}
