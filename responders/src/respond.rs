//! Runs the loop: what the engine says is written to the journal, and only then sent; what comes of it is written too.
//!
//! Live and replay are this same code. Live has a clock, threads and real gateways; a replay has the time of its findings,
//! and a gateway that records.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use fleet::{Device, EventTime, Finding, Mode, Sighting, State};

use crate::book::Book;
use crate::config::Never;
use crate::engine::done::Answer;
use crate::engine::find::Plan;
use crate::engine::time::Time;
use crate::engine::{Directory, Engine};
use crate::journal::entry::{Began, Body, Called, Command, Entry, Noted, Request};
use crate::journal::sign::Signer;
use crate::journal::{Journal, JournalError};
use crate::send::Sender;

/// Entries between two signatures, at most.
const SIGNED_EVERY: u64 = 100;
/// Calls in hand when it ends are waited for so long, a look at a time.
const LAST_CALLS: Duration = Duration::from_secs(2);
const LAST_CALL: Duration = Duration::from_millis(50);
/// Rounds of one turn: what has not settled by then goes on in the next one.
const ROUNDS: usize = 64;

pub struct Responding {
    engine: Engine,
    journal: Box<dyn Journal>,
    sender: Sender,
    signer: Option<Signer>,
    /// Who writes; a replay is nobody.
    owner: Option<String>,
    /// Written since they were last taken.
    written: Vec<Entry>,
    time: Time,
    /// Answers of gateways that are not written down yet: the journal did not take what came of them.
    answers: VecDeque<Answer>,
    /// Why nothing is done here any more.
    lost: Option<JournalError>,
}

impl Responding {
    /// `book`: the journal, folded. What it holds in force is read back first, whoever applied it.
    ///
    /// # Errors
    /// The journal does not take the entry that says who writes from here on.
    pub fn begin(
        engine: Engine,
        journal: Box<dyn Journal>,
        sender: Sender,
        signer: Option<Signer>,
        owner: Option<(EventTime, String)>,
    ) -> Result<Responding, JournalError> {
        let time = Time::after(engine.book.chain.at);
        let (written, answers) = (Vec::new(), VecDeque::new());
        let mut responding =
            Responding { engine, journal, sender, signer, owner: None, written, time, answers, lost: None };
        responding.heed_stop();
        responding.heed_modes();
        if let Some((now, owner)) = owner {
            let now = responding.look(now);
            let began = responding.entry_of(owner.clone());
            responding.write(now, vec![Body::Began(began)])?;
            responding.owner = Some(owner);
        }
        Ok(responding)
    }

    pub fn book(&self) -> &Book {
        &self.engine.book
    }

    /// Whoever is on it from now on is let go.
    pub fn heed_never(&mut self, never: Never) {
        self.engine.config.never = never;
    }

    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Whether a verdict keeps the finding back: nobody is to be told of it.
    pub fn keeps_back(&mut self, now: EventTime, finding: &Finding, directory: &dyn Directory) -> bool {
        let now = self.look(now);
        self.engine.keeps_back(now, finding, directory).is_some()
    }

    /// Entries written since, for whoever mirrors or tells them.
    pub fn take_written(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.written)
    }

    /// # Errors
    /// Nothing was written; the finding has to be given again.
    pub fn find(
        &mut self,
        now: EventTime,
        finding: &Finding,
        device: Option<&Device>,
        plans: &[Plan],
        directory: &dyn Directory,
    ) -> Result<(), JournalError> {
        let now = self.look(now);
        let bodies = self.engine.find(now, finding, device, plans, directory);
        self.write(now, bodies)
    }

    /// # Errors
    /// As [`Responding::find`].
    pub fn command(&mut self, now: EventTime, request: &Request, offset: Option<u64>) -> Result<(), JournalError> {
        let now = self.look(now);
        let bodies = self.engine.command(now, request, offset);
        self.write(now, bodies)
    }

    /// # Errors
    /// As [`Responding::find`].
    pub fn called(&mut self, now: EventTime, called: Called) -> Result<(), JournalError> {
        if called.offset.is_some_and(|offset| offset < self.engine.book.commands_through()) {
            return Ok(());
        }
        let now = self.look(now);
        self.write(now, vec![Body::Called(called)])
    }

    /// # Errors
    /// As [`Responding::find`]; a sighting is not given again, the next one says as much.
    pub fn sight(&mut self, now: EventTime, sighting: &Sighting) -> Result<(), JournalError> {
        let now = self.look(now);
        let bodies = self.engine.sight(sighting);
        self.write(now, bodies)
    }

    /// All that is due, until nothing more is or it has to wait. `wait`: for answers, at most.
    ///
    /// # Errors
    /// The journal did not take something; it is due again.
    pub fn turn(&mut self, now: EventTime, wait: Duration, directory: &dyn Directory) -> Result<(), JournalError> {
        let now = self.look(now);
        let mut wait = wait;
        if let Some(lost) = &self.lost {
            return Err(lost.clone());
        }
        self.heed_stop();
        self.answered(now, directory)?;
        for _ in 0..ROUNDS {
            let moved = self.due(now, directory)?;
            let mut sent = false;
            let jobs = if self.sender.gate().is_open() { self.engine.jobs(now) } else { Vec::new() };
            for job in jobs {
                let id = job.order.action_id.clone();
                if self.sender.send(job) {
                    sent = true;
                } else {
                    self.engine.not_taken(now, &id);
                }
            }
            self.answers.extend(self.sender.answers(wait));
            if !moved && !sent && self.answers.is_empty() {
                break;
            }
            // What came at once may lead to more; what has to be waited for was waited for.
            wait = Duration::ZERO;
            self.answered(now, directory)?;
        }
        self.vouch(now, SIGNED_EVERY)
    }

    /// Whether anything was.
    fn due(&mut self, now: EventTime, directory: &dyn Directory) -> Result<bool, JournalError> {
        for round in 0..ROUNDS {
            let bodies = self.engine.due(now, directory);
            if bodies.is_empty() {
                return Ok(round > 0);
            }
            self.write(now, bodies)?;
        }
        Ok(true)
    }

    fn answered(&mut self, now: EventTime, directory: &dyn Directory) -> Result<(), JournalError> {
        while !self.answers.is_empty() {
            let (bodies, answers) = self.outcome(now, directory);
            self.write(now, bodies)?;
            for answer in self.answers.drain(..answers) {
                self.engine.free(&answer.action_id);
            }
        }
        Ok(())
    }

    /// What comes of the first answers, in one write, and of how many. Each is about another action; but who turns to another
    /// gateway counts against its cap, so the next is looked at when that is written down.
    fn outcome(&mut self, now: EventTime, directory: &dyn Directory) -> (Vec<Body>, usize) {
        let (mut bodies, mut answers) = (Vec::new(), 0);
        for answer in &self.answers {
            let came = self.engine.done(now, answer.clone(), directory);
            let turns = came
                .iter()
                .any(|body| matches!(body, Body::Noted(note) if matches!(note.what, Noted::Rerouted { .. })));
            bodies.extend(came);
            answers += 1;
            if turns {
                break;
            }
        }
        (bodies, answers)
    }

    /// Nothing is sent from here any more: whoever comes next need not wait, if this one `is_alone`, and nobody who came before
    /// may be at work.
    ///
    /// # Errors
    /// As [`Responding::turn`].
    pub fn end(&mut self, now: EventTime, is_alone: bool) -> Result<(), JournalError> {
        let Some(owner) = self.owner.clone() else { return Ok(()) };
        self.sender.gate().close();
        let is_answered = self.is_answered();
        self.sign(now, 1)?;
        // Otherwise a call may still be out: whoever comes next waits until none can be.
        if is_answered && is_alone {
            let now = self.look(now);
            let ended = self.entry_of(owner);
            self.write(now, vec![Body::Ended(ended)])?;
        }
        Ok(())
    }

    fn entry_of(&self, owner: String) -> Began {
        let release = env!("CARGO_PKG_VERSION").to_owned();
        Began { owner, release, lease_seconds: self.engine.config.lease_seconds }
    }

    /// Whether all calls have ended. What came of the last ones is not written down: who begins reads it back.
    fn is_answered(&mut self) -> bool {
        for answer in self.answers.drain(..) {
            self.engine.free(&answer.action_id);
        }
        let deadline = Instant::now() + LAST_CALLS;
        while self.engine.is_calling() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            for answer in self.sender.answers(left.min(LAST_CALL)) {
                self.engine.free(&answer.action_id);
            }
        }
        !self.engine.is_calling()
    }

    /// Vouches for what was written, if that is at least so much.
    ///
    /// # Errors
    /// As [`Responding::turn`].
    pub fn sign(&mut self, now: EventTime, at_least: u64) -> Result<(), JournalError> {
        let now = self.look(now);
        self.vouch(now, at_least)
    }

    fn vouch(&mut self, now: EventTime, at_least: u64) -> Result<(), JournalError> {
        let Some(signer) = &self.signer else { return Ok(()) };
        if self.engine.book.unsigned() < at_least {
            return Ok(());
        }
        let signed = signer.sign(&self.engine.book.chain.head);
        self.write(now, vec![Body::Signed(signed)])
    }

    fn write(&mut self, now: EventTime, bodies: Vec<Body>) -> Result<(), JournalError> {
        if let Some(lost) = &self.lost {
            return Err(lost.clone());
        }
        if bodies.is_empty() {
            return Ok(());
        }
        let mut chain = self.engine.book.chain.clone();
        let (mut entries, mut lines) = (Vec::new(), Vec::new());
        for body in bodies {
            let sealed = chain.seal(now, body);
            let (entry, line) = sealed.map_err(|error| JournalError::Broken(error.to_string()))?;
            chain.follow(&entry);
            entries.push(entry);
            lines.push(line);
        }
        if let Err(error) = self.journal.append(&lines) {
            if !matches!(error, JournalError::Later(_)) {
                self.sender.gate().close();
                self.lost = Some(error.clone());
            }
            return Err(error);
        }
        for entry in &entries {
            self.engine.book.fold(entry);
            self.heed(&entry.body);
        }
        self.heed_stop();
        self.written.extend(entries);
        Ok(())
    }

    /// The loop's time, when this is the clock's.
    fn look(&mut self, clock: EventTime) -> EventTime {
        let now = self.time.look(clock);
        self.engine.ahead = self.time.ahead();
        now
    }

    /// The gate knows what is to be applied as soon as it is written down.
    fn heed(&self, body: &Body) {
        match body {
            Body::Moved(moved) => {
                let action = self.engine.book.action(&moved.action_id);
                let is_wanted = action.is_some_and(|action| {
                    action.state == State::Applying && self.engine.mode_of(action) != Mode::Observe
                });
                self.sender.gate().set_wanted(&moved.action_id, is_wanted);
            }
            Body::Commanded(commanded) if matches!(commanded.command, Command::Mode { .. }) => self.heed_modes(),
            _ => {}
        }
    }

    fn heed_modes(&self) {
        for action in self.engine.book.open().filter(|action| action.state == State::Applying) {
            let is_wanted = self.engine.mode_of(action) != Mode::Observe;
            self.sender.gate().set_wanted(action.id(), is_wanted);
        }
    }

    fn heed_stop(&mut self) {
        let gate = self.sender.gate();
        gate.set_stopped(self.engine.book.stopped().is_some());
        self.engine.is_stopped = gate.is_stopped();
    }
}
