//! Responding live: a thread beside the one that joins findings, for a store that is away must hold up no response.
//!
//! * [`journal`]: the journal in Kafka; [`lease`]: whether it is still ours
//! * [`directory`]: what devices are known by at this moment
//! * [`commands`]: what people ask for
//! * [`mirror`]: the journal in the table `actions`; [`masks`]: lanes know whom we restrict; [`telling`]: people and SIEMs
//! * [`carrier`]: calls to a gateway of one's own, over topics
//! * [`view`], [`desk`]: what the HTTP API shows and takes; [`cases`]: its incidents; [`verdicts`]: what people say of them

mod carrier;
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

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, bounded};
use fleet::{Device, EventTime, Finding, Incident, Mode, Sighting, State};
use ingest::kafka::config::KafkaConfig;
use responders::api::Server;
use responders::book::Action;
use responders::engine::{Directory, Engine};
use responders::gateways::topic::{Carrier, TopicConfig};
use responders::journal::JournalError;
use responders::journal::entry::{Body, Called};
use responders::journal::sign::Signer;
use responders::respond::Responding;
use responders::send::{Gate, Sender as Calls};
use store::{Home, Store};

use self::carrier::Topics;
use self::commands::{Commands, Sent};
use self::desk::LiveDesk;
use self::directory::{Known, NeverList};
use self::journal::{Before, KafkaJournal, Shared, Told};
use self::lease::OwnLease;
use self::masks::Masks;
use self::mirror::Mirroring;
use self::telling::{SharedTeller, Telling, Whom};
use self::view::View;
use crate::config::Config;
use crate::live::judge::lease::Lease as Place;
use crate::live::judge::publisher::Publisher;
use crate::live::metrics::responding::{self as measure, Standing};
use crate::live::now_millis;
use crate::live::retry::Pause;
use crate::live::stop::Stop;
use crate::respond::gateways;
use crate::respond::playbooks::{self, CompiledPlaybooks};
use crate::respond::rows::Mirror;

/// How often it looks whether something is due.
const LOOK_UP: Duration = Duration::from_millis(50);

/// Messages that wait to be answered; whoever gives more waits with them.
const WAITING: usize = 1_024;

/// What people were told is known to the brokers so soon.
const NOTED: Duration = Duration::from_millis(200);
/// How often those who watch are told how it stands.
const SHOWN: Duration = Duration::from_secs(1);

/// Commands that are taken one after the other.
const COMMANDS: usize = 64;

/// What comes of a message of the findings topic.
pub struct ToAnswer {
    /// Counts up.
    pub number: u64,
    /// The message's.
    pub offset: u64,
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
    teller: SharedTeller,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Answering {
    /// `reached`: event time that findings have come to. `told`: what [`Answering::remembered`] gave in a former life.
    pub fn start(
        config: &Arc<Config>,
        store: &Arc<dyn Store>,
        place: &Place,
        stop: &Stop,
        reached: EventTime,
        told: &[u8],
    ) -> anyhow::Result<Answering> {
        let (input, messages) = bounded(WAITING);
        let teller = SharedTeller::new(&config.responders);
        teller.recall(told);
        let done = Arc::new(AtomicU64::new(0));
        let (config, store, place, stop) = (Arc::clone(config), Arc::clone(store), place.clone(), stop.clone());
        let (count, its_teller) = (Arc::clone(&done), teller.clone());
        let work = move || {
            let mut desk = Desk::begin(&config, &store, &place, &stop, reached, its_teller)?;
            let worked = desk.work(&messages, &count);
            let ended = desk.end(worked.is_ok() && place.holds());
            worked.and(ended)
        };
        let thread = std::thread::Builder::new().name("responding".to_owned()).spawn(work)?;
        Ok(Answering { input, given: 0, done, teller, thread: Some(thread) })
    }

    /// `message.number` is given here. `false`: it was not taken, for it is not `wanted` any more, or responding has failed, which
    /// [`Answering::check`] tells.
    pub fn give(&mut self, message: ToAnswer, wanted: &dyn Fn() -> bool) -> bool {
        let mut message = ToAnswer { number: self.given + 1, ..message };
        loop {
            match self.input.send_timeout(message, LOOK_UP) {
                Ok(()) => break,
                Err(SendTimeoutError::Timeout(back)) if wanted() => message = back,
                Err(_) => return false,
            }
        }
        self.given += 1;
        true
    }

    /// What people were told, to be stored while everything that was given [is written down](Answering::is_level).
    pub fn remembered(&self) -> Vec<u8> {
        self.teller.memory()
    }

    /// Whether everything that was given is written down, and people were told.
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
        let (closed, _) = bounded(0);
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
    never: NeverList,
    commands: Commands<'d>,
    mirror: Mirroring,
    masks: Masks,
    telling: Telling,
    rows: Mirror,
    standing: Arc<Standing>,
    shown: Instant,
    /// Event time that findings have come to.
    reached: EventTime,
    /// Of the last message that was answered: its number, and the offset beyond it.
    answered: u64,
    findings: u64,
    /// As the brokers have it.
    told: Told,
}

impl<'d> Desk<'d> {
    fn begin(
        config: &'d Arc<Config>,
        store: &Arc<dyn Store>,
        place: &'d Place,
        stop: &'d Stop,
        reached: EventTime,
        teller: SharedTeller,
    ) -> anyhow::Result<Desk<'d>> {
        let kafka = &config.source.kafka;
        let playbooks = playbooks::load(config.responders.playbooks.as_deref()).map_err(to_mend)?;
        let directory = Known::new(config)?;
        let admin = ingest::kafka::topics::admin(kafka)?;
        let log = mirror::log_name(admin.inner(), kafka).map_err(journal::missing)?;
        let wanted = {
            let (place, stop) = (place.clone(), stop.clone());
            move || place.holds() && !stop.is_pressing()
        };
        let mirror = Mirroring::start(config, log, Arc::clone(store), wanted.clone())?;
        let mut telling = Telling::start(&config.responders, kafka, teller).map_err(to_mend)?;
        let (mut rows, mut untold, mut unjudged) = (Mirror::default(), Vec::new(), Vec::new());
        let lasts = Duration::from_secs(u64::from(config.responders.lease_seconds));
        let lease = OwnLease::new(place.clone(), lasts);
        let (journal, book, before) =
            KafkaJournal::take_over(kafka, lease.clone(), |entry, is_told| match rows.row(entry) {
                Some(row) if is_told => telling.knows(&row),
                Some(row) => untold.push(row),
                None if !is_told && matches!(entry.body, Body::Commanded(_)) => unjudged.push(entry.clone()),
                None => {}
            })?;
        if let Before::MayAct(theirs) = before {
            lease.wait_out(theirs);
        }
        let commands = Commands::new(kafka, book.commands_through())?;
        let (gateways, posts) = gateways::open(config).map_err(to_mend)?;
        // Many have nobody to tell yet; `check` calls it doubtful.
        gateways::untold(&playbooks, &config.responders.tell).iter().for_each(|what| tracing::info!("{what}"));
        // A dry run may come before any gateway.
        if !posts.is_empty() {
            gateways::wanting(&playbooks, &posts).iter().for_each(|what| tracing::warn!("{what}"));
        }
        let never = NeverList::new(config);
        let responders = responders::Config { never: never.names().clone(), ..config.responders.clone() };
        let mut engine = Engine::new(responders, posts);
        let open = book.open().filter(|action| action.state.is_at_gateway()).count();
        let mut masks = {
            let wanted = wanted.clone();
            Masks::start(config, wanted)?
        };
        masks.begin(&book, reached);
        engine.book = book;
        let gate = Arc::new(Gate::new(Box::new(lease.clone()), config.responders.stop_file.clone()));
        let calls = Calls::start(gateways, gate)?;
        let standing = Standing::show(calls.loads(), mirror.waiting_since());
        let signer = signer(config).map_err(to_mend)?;
        let owner = format!("{} {}", kafka.instance, std::process::id()).trim().to_owned();
        let home = Box::new(Shared(Arc::clone(&journal)));
        let begun = Responding::begin(engine, home, calls, signer, Some((clock(), owner)));
        let responding = begun.map_err(|error| told(&error))?;
        for row in untold {
            telling.again(&row, &Whom::of(&row.device_id, row.at, &directory), clock());
        }
        for entry in unjudged {
            telling.verdict(&entry, responding.book(), clock());
        }
        let told = journal.lock().unwrap_or_else(PoisonError::into_inner).told();
        for action in responding.book().open().filter(|action| action.state.is_at_gateway()) {
            if !config.gateways.contains_key(&action.gateway) {
                tracing::error!(
                    action = action.id(),
                    device = action.proposal.device_id.as_str(),
                    gateway = action.gateway.as_str(),
                    "it holds a device and is not configured: put it back under [gateways], or undo it there by hand"
                );
            }
        }
        tracing::info!(open, entries = responding.book().chain.seq, mode = %config.responders.mode, "responding begins");
        let mut desk = Desk {
            config,
            place,
            stop,
            lease,
            journal,
            responding,
            playbooks,
            directory,
            never,
            commands,
            mirror,
            masks,
            telling,
            rows,
            standing,
            shown: Instant::now(),
            reached,
            answered: 0,
            findings: told.findings,
            told,
        };
        desk.show();
        Ok(desk)
    }

    fn show(&mut self) {
        self.shown = Instant::now();
        let waits = |action: &&Action| action.state == State::Proposed && action.proposal.mode == Mode::Approve;
        let waiting = self.responding.book().open().filter(waits).count();
        self.standing.set(waiting, self.telling.standing());
    }

    /// Until nobody gives anything any more, or the place is another's.
    fn work(&mut self, messages: &Receiver<ToAnswer>, done: &AtomicU64) -> anyhow::Result<()> {
        loop {
            match messages.recv_timeout(LOOK_UP) {
                Ok(message) => self.answer(message)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            if !self.place.holds() {
                return Ok(());
            }
            self.turn()?;
            if self.told.findings >= self.findings || !self.telling.has_sinks() {
                done.store(self.answered, Ordering::SeqCst);
            }
        }
    }

    fn answer(&mut self, message: ToAnswer) -> anyhow::Result<()> {
        self.reached = self.reached.max(message.reached);
        let is_told = message.offset < self.told.findings;
        for device in message.devices {
            self.directory.meet(device);
        }
        for finding in &message.findings {
            let device = self.directory.device(&finding.device_id);
            let whom = Whom::of(&finding.device_id, finding.window_start, &self.directory);
            if is_told {
                // Answered in a former life: a verdict that was given since keeps nothing of it back.
                if self.responding.book().kept_back(&finding.finding_id).is_none() {
                    self.telling.finding(finding, &whom, is_told, clock());
                }
                continue;
            }
            if !self.responding.keeps_back(clock(), finding, &self.directory) {
                self.telling.finding(finding, &whom, is_told, clock());
            }
            self.until_written(|desk| {
                let now = clock();
                let (book, config) = (desk.responding.book(), &desk.config.responders);
                let plans = desk.playbooks.plans(now, finding, device.as_deref(), book, config)?;
                Ok(desk.responding.find(now, finding, device.as_deref(), &plans, &desk.directory))
            })?;
        }
        for sighting in &message.sightings {
            self.until_written(|desk| Ok(desk.responding.sight(clock(), sighting)))?;
        }
        for incident in &message.incidents {
            let book = self.responding.book();
            // What was kept back makes an incident no graver; those findings that were not do so by themselves.
            let is_kept_back = match incident.closed_at {
                None => book.is_partly_kept_back(&incident.incident_id),
                Some(_) => book.is_kept_back(&incident.incident_id, incident.findings),
            };
            if !is_kept_back {
                self.telling.incident(incident, is_told, clock());
            }
        }
        self.answered = message.number;
        self.findings = self.findings.max(message.offset + 1);
        Ok(())
    }

    fn turn(&mut self) -> anyhow::Result<()> {
        self.directory.refresh();
        if let Some(never) = self.never.changed() {
            self.responding.heed_never(never);
        }
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
        if self.shown.elapsed() >= SHOWN {
            self.show();
        }
        let told = if self.telling.is_out() { self.all_told() } else { self.told };
        let renewed = self.lease.renewed();
        self.renew(told, if self.telling.has_sinks() { NOTED } else { renewed })
    }

    /// Entries are told as soon as they are written.
    fn all_told(&self) -> Told {
        Told { seq: self.responding.book().chain.seq, findings: self.findings }
    }

    fn renew(&mut self, told: Told, within: Duration) -> anyhow::Result<()> {
        self.until_written(|desk| {
            let mut journal = desk.journal.lock().unwrap_or_else(PoisonError::into_inner);
            let renewed = journal.renew(told, within);
            desk.told = journal.told();
            drop(journal);
            Ok(renewed)
        })
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
                self.masks.take(&entry, self.responding.book(), self.reached);
                measure::written(&entry, self.responding.book());
                self.telling.verdict(&entry, self.responding.book(), clock());
                if let Some(row) = self.rows.row(&entry) {
                    measure::transition(&row);
                    let whom = Whom::of(&row.device_id, row.at, &self.directory);
                    self.telling.action(&row, &whom, clock());
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

    /// Nobody of this life is at work any more afterwards. `is_ours`: the journal, still; then whoever takes over need not wait.
    fn end(mut self, is_ours: bool) -> anyhow::Result<()> {
        let mut ended = Ok(());
        if is_ours {
            ended = self.until_written(|desk| Ok(desk.responding.end(clock(), desk.lease.is_alone())));
        } else {
            self.lease.lose();
        }
        let is_whole = is_ours && ended.is_ok();
        let is_told = self.telling.end();
        if is_whole {
            let told = if is_told { self.all_told() } else { self.told };
            ended = self.renew(told, Duration::ZERO);
        }
        self.lease.lose();
        self.masks.end();
        self.mirror.end(if is_whole { self.responding.book().chain.seq } else { 0 });
        ended.context("the journal could not be closed; whoever takes over waits some seconds")
    }
}

fn signer(config: &Config) -> anyhow::Result<Option<Signer>> {
    Ok(config.responders.signing_key.as_deref().map(Signer::open).transpose()?)
}

/// It was checked when the process began: a file changed since. Other roles go on meanwhile.
fn to_mend(error: anyhow::Error) -> anyhow::Error {
    crate::live::StandsStill(format!("{error:#}")).into()
}

/// What is to be mended before anything begins, though another process may act for a long time yet.
///
/// # Errors
/// Playbooks, gateways, sinks, tokens, certificates or a signing key that cannot be used.
pub fn check(config: &Config) -> anyhow::Result<()> {
    playbooks::load(config.responders.playbooks.as_deref())?;
    gateways::open(config)?;
    around(config)
}

/// The rest: who is told, the API, what the journal is signed with.
///
/// # Errors
/// As [`check`].
pub fn around(config: &Config) -> anyhow::Result<()> {
    telling::check(&config.responders)?;
    config.api.as_ref().map_or(Ok(()), Server::check)?;
    match &config.responders.signing_key {
        // Who acts first makes it, and owns it.
        Some(path) if !path.exists() => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let is_there = folder.is_none_or(Path::is_dir);
            anyhow::ensure!(is_there, "signing_key is `{}`, in a folder that is not there; make it", path.display());
            Ok(())
        }
        _ => signer(config).map(drop),
    }
}

/// For a gateway that is told over topics.
pub fn over_topics(kafka: &KafkaConfig, topics: &TopicConfig) -> impl Carrier + use<> {
    Topics::new(kafka, topics)
}

fn clock() -> EventTime {
    EventTime(now_millis().saturating_mul(1_000))
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
