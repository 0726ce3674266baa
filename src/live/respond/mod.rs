//! Responding live: a thread beside the one that joins findings, for a store that is away must hold up no response.
//!
//! * [`journal`]: the journal in Kafka; [`lease`]: whether it is still ours
//! * [`directory`]: what devices are known by at this moment
//! * [`commands`]: what people ask for
//! * [`mirror`]: the journal in the table `actions`; [`masks`]: lanes know whom we restrict; [`telling`]: people and SIEMs
//! * [`view`], [`desk`]: what the HTTP API shows and takes; [`cases`]: its incidents; [`verdicts`]: what people say of them

mod cases;
mod commands;
mod desk;
mod directory;
pub mod journal;
mod lease;
mod masks;
pub mod mirror;
mod telling;
mod verdicts;
mod view;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, anyhow};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use fleet::{Device, EventTime, Finding, Incident, Sighting};
use responders::api::Server;
use responders::engine::{Directory, Engine};
use responders::journal::JournalError;
use responders::journal::entry::Called;
use responders::journal::sign::Signer;
use responders::respond::Responding;
use responders::send::{Gate, Sender as Calls};
use store::{Home, Store};

use self::commands::{Commands, Sent};
use self::desk::LiveDesk;
use self::directory::Known;
use self::journal::{Before, KafkaJournal, Shared};
use self::lease::{OwnLease, RENEWED};
use self::masks::Masks;
use self::mirror::Mirroring;
use self::telling::Telling;
use self::view::View;
use crate::config::Config;
use crate::live::judge::lease::Lease as Place;
use crate::live::judge::publisher::Publisher;
use crate::live::now_millis;
use crate::live::retry::Pause;
use crate::live::stop::Stop;
use crate::respond::gateways;
use crate::respond::playbooks::{self, CompiledPlaybooks};
use crate::respond::rows::Mirror;

/// How often it looks whether something is due.
const LOOK_UP: Duration = Duration::from_millis(50);

/// Commands that are taken one after the other.
const COMMANDS: usize = 64;

/// What comes of a message of the findings topic.
pub struct ToAnswer {
    /// Counts up.
    pub number: u64,
    pub findings: Vec<Finding>,
    pub devices: Vec<Arc<Device>>,
    pub sightings: Vec<Sighting>,
    /// As they stand now.
    pub incidents: Vec<Incident>,
    /// Event time that all lanes have come to.
    pub reached: EventTime,
}

/// The thread, seen from the one that joins findings.
pub struct Answering {
    input: Sender<ToAnswer>,
    given: u64,
    done: Arc<AtomicU64>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Answering {
    /// `reached`: event time that findings have come to.
    pub fn start(
        config: &Arc<Config>,
        store: &Arc<dyn Store>,
        place: &Place,
        stop: &Stop,
        reached: EventTime,
    ) -> anyhow::Result<Answering> {
        let (input, messages) = unbounded();
        let done = Arc::new(AtomicU64::new(0));
        let (config, store, place, stop) = (Arc::clone(config), Arc::clone(store), place.clone(), stop.clone());
        let count = Arc::clone(&done);
        let work = move || {
            let mut desk = Desk::begin(&config, &store, &place, &stop, reached)?;
            desk.work(&messages, &count)?;
            if place.holds() { desk.end() } else { Ok(()) }
        };
        let thread = std::thread::Builder::new().name("responding".to_owned()).spawn(work)?;
        Ok(Answering { input, given: 0, done, thread: Some(thread) })
    }

    /// `message.number` is given here.
    pub fn give(&mut self, message: ToAnswer) {
        self.given += 1;
        // One that hung up has failed, which is noticed.
        let _ = self.input.send(ToAnswer { number: self.given, ..message });
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
    masks: Masks,
    telling: Telling,
    rows: Mirror,
    /// Event time that findings have come to.
    reached: EventTime,
}

impl<'d> Desk<'d> {
    fn begin(
        config: &'d Arc<Config>,
        store: &Arc<dyn Store>,
        place: &'d Place,
        stop: &'d Stop,
        reached: EventTime,
    ) -> anyhow::Result<Desk<'d>> {
        let kafka = &config.source.kafka;
        let playbooks = playbooks::load(config.responders.playbooks.as_deref())?;
        let directory = Known::new(config)?;
        let admin = ingest::kafka::topics::admin(kafka)?;
        let log = mirror::log_name(admin.inner(), kafka).map_err(journal::missing)?;
        let wanted = {
            let (place, stop) = (place.clone(), stop.clone());
            move || place.holds() && !stop.is_pressing()
        };
        let mut mirror = Mirroring::start(log, Arc::clone(store), wanted.clone())?;
        let mut telling = Telling::start(&config.responders, kafka)?;
        let mut rows = Mirror::default();
        let lease = OwnLease::new(place.clone());
        let (journal, book, before) = KafkaJournal::take_over(kafka, lease.clone(), |entry| {
            mirror.take(entry);
            if let Some(row) = rows.row(entry) {
                telling.knows(&row);
            }
        })?;
        if before == Before::MayAct {
            lease.wait_out();
        }
        let commands = Commands::new(kafka, book.commands_through())?;
        let (gateways, posts) = gateways::open(config)?;
        // A dry run may come before any gateway.
        if !posts.is_empty() {
            gateways::wanting(&playbooks, &posts).iter().for_each(|what| tracing::warn!("{what}"));
        }
        let mut engine = Engine::new(config.responders.clone(), posts);
        let open = book.open().filter(|action| action.state.is_at_gateway()).count();
        let mut masks = {
            let wanted = wanted.clone();
            Masks::start(config, wanted)?
        };
        masks.begin(&book, reached);
        engine.book = book;
        let gate = Arc::new(Gate::new(Box::new(lease.clone()), config.responders.stop_file.clone()));
        let calls = Calls::start(gateways, gate)?;
        let signer = config.responders.signing_key.as_deref().map(Signer::open).transpose()?;
        let owner = format!("{} {}", kafka.instance, std::process::id()).trim().to_owned();
        let home = Box::new(Shared(Arc::clone(&journal)));
        let begun = Responding::begin(engine, home, calls, signer, Some((clock(), owner)));
        let responding = begun.map_err(|error| told(&error))?;
        tracing::info!(open, entries = responding.book().chain.seq, mode = %config.responders.mode, "responding begins");
        Ok(Desk {
            config,
            place,
            stop,
            lease,
            journal,
            responding,
            playbooks,
            directory,
            commands,
            mirror,
            masks,
            telling,
            rows,
            reached,
        })
    }

    /// Until nobody gives anything any more, or the place is another's.
    fn work(&mut self, messages: &Receiver<ToAnswer>, done: &AtomicU64) -> anyhow::Result<()> {
        loop {
            match messages.recv_timeout(LOOK_UP) {
                Ok(message) => {
                    let number = message.number;
                    self.answer(message)?;
                    done.store(number, Ordering::SeqCst);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            if !self.place.holds() {
                return Ok(());
            }
            self.turn()?;
        }
    }

    fn answer(&mut self, message: ToAnswer) -> anyhow::Result<()> {
        self.reached = self.reached.max(message.reached);
        for device in message.devices {
            self.directory.meet(device);
        }
        for finding in &message.findings {
            let device = self.directory.device(&finding.device_id);
            if !self.responding.keeps_back(clock(), finding, &self.directory) {
                self.telling.finding(finding, device.as_deref(), clock());
            }
            self.until_written(|desk| {
                let now = clock();
                let (book, config) = (desk.responding.book(), &desk.config.responders);
                let plans = desk.playbooks.plans(now, finding, device.as_deref(), book, config)?;
                Ok(desk.responding.find(now, finding, device.as_deref(), &plans, &desk.directory))
            })?;
        }
        for sighting in &message.sightings {
            self.until_written(|desk| Ok(desk.responding.sight(clock(), &seen(sighting))))?;
        }
        for incident in &message.incidents {
            if !self.responding.book().is_kept_back(&incident.incident_id, incident.findings) {
                self.telling.incident(incident, clock());
            }
        }
        Ok(())
    }

    fn turn(&mut self) -> anyhow::Result<()> {
        self.directory.refresh();
        // In between, what is due has its turn.
        for _ in 0..COMMANDS {
            let Some((offset, sent)) = self.commands.take() else { break };
            self.until_written(|desk| {
                Ok(match &sent {
                    Sent::Command(request) => desk.responding.command(clock(), request, Some(offset)),
                    Sent::Call(called) => {
                        let called = Called { offset: Some(offset), ..called.clone() };
                        desk.responding.called(clock(), called)
                    }
                })
            })?;
        }
        self.until_written(|desk| Ok(desk.responding.turn(clock(), Duration::ZERO, &desk.directory)))?;
        self.telling.tick(clock());
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
                self.masks.take(&entry, self.responding.book(), self.reached);
                if let Some(row) = self.rows.row(&entry) {
                    let device = self.directory.device(&row.device_id);
                    self.telling.action(&row, device.as_deref(), clock());
                }
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
        let ended = self.until_written(|desk| Ok(desk.responding.end(clock())));
        self.lease.lose();
        self.masks.end();
        self.telling.end();
        self.mirror.end();
        ended.context("the journal could not be closed; whoever takes over waits some seconds")
    }
}

fn clock() -> EventTime {
    EventTime(now_millis().saturating_mul(1_000))
}

/// What lanes say of a restricted device, as the loop wants it.
fn seen(sighting: &Sighting) -> responders::engine::sight::Sighting {
    responders::engine::sight::Sighting {
        device_id: sighting.device_id.clone(),
        window_start: sighting.window_start,
        window_end: sighting.window_end,
        messages: u64::from(sighting.messages),
        flows: u64::from(sighting.flows),
        bytes_in: sighting.bytes_in,
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

/// Answers the HTTP API, where one is configured, until it is time to stop.
///
/// # Errors
/// It cannot listen; its tokens cannot be read.
pub fn serve(config: &Arc<Config>, store: Arc<dyn Home>, stop: &Stop) -> anyhow::Result<()> {
    let Some(api) = &config.api else { return Ok(()) };
    let kafka = &config.source.kafka;
    let view = View::default();
    let desk = LiveDesk {
        config: Arc::clone(config),
        view: view.clone(),
        store,
        publisher: Publisher::to(kafka, &kafka.commands)?,
        playbooks: playbooks::load(config.responders.playbooks.as_deref())?,
    };
    let server = Server::start(api, Arc::new(desk), Arc::new(clock))?;
    tracing::info!(address = %server.address(), "the API answers");
    view.follow(kafka, stop);
    server.stop(Duration::from_secs(2));
    Ok(())
}
