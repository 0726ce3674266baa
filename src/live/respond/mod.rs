//! Responding live: a thread beside the one that joins findings, for a store that is away must hold up no response.
//!
//! * [`journal`]: the journal in Kafka; [`lease`]: whether it is still ours
//! * [`directory`]: what devices are known by at this moment
//! * [`commands`]: what people ask for
//! * [`mirror`]: the journal in the table `actions`
//! * [`clock`]: which never goes back

mod clock;
mod commands;
mod directory;
pub mod journal;
mod lease;
mod mirror;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, anyhow};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use fleet::{Device, Finding};
use responders::engine::{Directory, Engine};
use responders::journal::JournalError;
use responders::respond::Responding;
use responders::send::{Gate, Sender as Calls};
use store::Store;

use self::clock::Clock;
use self::commands::Commands;
use self::directory::Known;
use self::journal::{Before, KafkaJournal, Shared};
use self::lease::{OwnLease, RENEWED};
use self::mirror::Mirroring;
use crate::config::Config;
use crate::live::judge::lease::Lease as Place;
use crate::live::retry::Pause;
use crate::live::stop::Stop;
use crate::respond::playbooks::{self, CompiledPlaybooks};

/// How often it looks whether something is due.
const LOOK_UP: Duration = Duration::from_millis(50);

/// What comes of a message of the findings topic.
pub struct ToAnswer {
    /// Counts up.
    pub number: u64,
    pub findings: Vec<Finding>,
    pub devices: Vec<Arc<Device>>,
}

/// The thread, seen from the one that joins findings.
pub struct Answering {
    input: Sender<ToAnswer>,
    given: u64,
    done: Arc<AtomicU64>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Answering {
    pub fn start(
        config: &Arc<Config>,
        store: &Arc<dyn Store>,
        place: &Place,
        stop: &Stop,
    ) -> anyhow::Result<Answering> {
        let (input, messages) = unbounded();
        let done = Arc::new(AtomicU64::new(0));
        let (config, store, place, stop) = (Arc::clone(config), Arc::clone(store), place.clone(), stop.clone());
        let reached = Arc::clone(&done);
        let work = move || work(&config, &store, &place, &stop, &messages, &reached);
        let thread = std::thread::Builder::new().name("responding".to_owned()).spawn(work)?;
        Ok(Answering { input, given: 0, done, thread: Some(thread) })
    }

    pub fn give(&mut self, findings: &[Finding], devices: Vec<Arc<Device>>) {
        self.given += 1;
        // One that hung up has failed, which is noticed.
        let _ = self.input.send(ToAnswer { number: self.given, findings: findings.to_vec(), devices });
    }

    /// Whether everything that was given is written down.
    pub fn is_level(&self) -> bool {
        self.done.load(Ordering::SeqCst) == self.given
    }

    /// # Errors
    /// Why it ended, if it did.
    pub fn check(&mut self) -> anyhow::Result<()> {
        if self.thread.as_ref().is_none_or(|thread| !thread.is_finished()) {
            return Ok(());
        }
        self.join()
    }

    fn join(&mut self) -> anyhow::Result<()> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread
            .join()
            .unwrap_or_else(|_| Err(anyhow!("responding panicked; this is a defect of vedette, please report it")))
    }

    /// What waits is answered, as far as that can be.
    pub fn end(mut self) -> anyhow::Result<()> {
        let (closed, _) = unbounded();
        self.input = closed;
        self.join()
    }
}

/// Everything it works with.
struct Desk<'d> {
    config: &'d Config,
    place: &'d Place,
    stop: &'d Stop,
    lease: OwnLease,
    journal: Arc<Mutex<KafkaJournal>>,
    responding: Responding,
    playbooks: CompiledPlaybooks,
    directory: Known<'d>,
    commands: Commands<'d>,
    mirror: Mirroring,
    clock: Clock,
}

fn work(
    config: &Config,
    store: &Arc<dyn Store>,
    place: &Place,
    stop: &Stop,
    messages: &Receiver<ToAnswer>,
    done: &AtomicU64,
) -> anyhow::Result<()> {
    let mut desk = Desk::begin(config, store, place, stop)?;
    loop {
        match messages.recv_timeout(LOOK_UP) {
            Ok(message) => {
                let number = message.number;
                desk.answer(message)?;
                done.store(number, Ordering::SeqCst);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return desk.end(),
        }
        if !place.holds() {
            return Ok(());
        }
        desk.turn()?;
    }
}

impl<'d> Desk<'d> {
    fn begin(config: &'d Config, store: &Arc<dyn Store>, place: &'d Place, stop: &'d Stop) -> anyhow::Result<Desk<'d>> {
        let kafka = &config.source.kafka;
        let playbooks = playbooks::load(config.responders.playbooks.as_deref())?;
        let directory = Known::new(config)?;
        let admin = ingest::kafka::topics::admin(kafka)?;
        let log = fleet::id::stable_id(&[&crate::live::our_topic(admin.inner(), &kafka.journal)?.id]);
        let wanted = {
            let (place, stop) = (place.clone(), stop.clone());
            move || place.holds() && !stop.is_pressing()
        };
        let mut mirror = Mirroring::start(log, Arc::clone(store), wanted)?;
        let lease = OwnLease::new(place.clone());
        let (journal, book, before) = KafkaJournal::take_over(kafka, lease.clone(), |entry| mirror.take(entry))?;
        if before == Before::MayAct {
            lease.wait_out();
        }
        let commands = Commands::new(kafka, book.commands_through())?;
        let mut clock = Clock::new(book.chain.at);
        let gateways = Vec::new();
        let mut engine = Engine::new(config.responders.clone(), Vec::new());
        let open = book.open().filter(|action| action.state.is_at_gateway()).count();
        engine.book = book;
        let gate = Arc::new(Gate::new(Box::new(lease.clone()), config.responders.stop_file.clone()));
        let calls = Calls::start(gateways, gate)?;
        let owner = format!("{} {}", kafka.instance, std::process::id()).trim().to_owned();
        let home = Box::new(Shared(Arc::clone(&journal)));
        let begun = Responding::begin(engine, home, calls, None, Some((clock.now(), owner)));
        let responding = begun.map_err(|error| told(&error))?;
        tracing::info!(open, entries = responding.book().chain.seq, mode = %config.responders.mode, "responding begins");
        Ok(Desk { config, place, stop, lease, journal, responding, playbooks, directory, commands, mirror, clock })
    }

    fn answer(&mut self, message: ToAnswer) -> anyhow::Result<()> {
        for device in message.devices {
            self.directory.meet(device);
        }
        for finding in &message.findings {
            let device = self.directory.device(&finding.device_id);
            self.until_written(|desk| {
                let now = desk.clock.now();
                let (book, config) = (desk.responding.book(), &desk.config.responders);
                let plans = desk.playbooks.plans(now, finding, device.as_deref(), book, config)?;
                Ok(desk.responding.find(now, finding, device.as_deref(), &plans, &desk.directory))
            })?;
        }
        Ok(())
    }

    fn turn(&mut self) -> anyhow::Result<()> {
        self.directory.refresh();
        while let Some((offset, request)) = self.commands.take() {
            self.until_written(|desk| Ok(desk.responding.command(desk.clock.now(), &request, Some(offset))))?;
        }
        self.until_written(|desk| Ok(desk.responding.turn(desk.clock.now(), Duration::ZERO, &desk.directory)))?;
        self.until_written(|desk| Ok(desk.journal.lock().unwrap_or_else(PoisonError::into_inner).renew(RENEWED)))
    }

    /// Brokers that are away are waited for, as long as it is our place.
    fn until_written(
        &mut self,
        mut write: impl FnMut(&mut Desk<'d>) -> anyhow::Result<Result<(), JournalError>>,
    ) -> anyhow::Result<()> {
        let mut pause = Pause::default();
        loop {
            let written = write(self)?;
            for entry in self.responding.take_written() {
                self.mirror.take(&entry);
            }
            match written {
                Ok(()) => return Ok(()),
                Err(JournalError::Later(problem)) => {
                    tracing::debug!(problem, "the journal does not take entries; trying again");
                    let (place, stop) = (self.place.clone(), self.stop.clone());
                    if !pause.wait(&|| place.holds() && !stop.is_pressing()) {
                        return Err(told(&JournalError::Later(problem)));
                    }
                }
                Err(error) => return Err(told(&error)),
            }
        }
    }

    /// Whoever takes over need not wait for us.
    fn end(mut self) -> anyhow::Result<()> {
        let ended = self.until_written(|desk| Ok(desk.responding.end(desk.clock.now())));
        self.lease.lose();
        self.mirror.end();
        ended.context("the journal could not be closed; whoever takes over waits some seconds")
    }
}

/// A journal that was lost is taken over anew, and what is broken has to be mended.
fn told(error: &JournalError) -> anyhow::Error {
    match error {
        JournalError::Broken(_) => crate::live::StandsStill(error.to_string()).into(),
        JournalError::Lost(_) | JournalError::Later(_) => {
            ingest::Error::Kafka { doing: "keeping the journal".to_owned(), problem: error.to_string(), retry: true }
                .into()
        }
    }
}
