//! Runs the loop: what the engine says is written to the journal, and only then sent; what comes of it is written too.
//!
//! Live and replay are this same code. Live has a clock, threads and real gateways; a replay has the time of its findings,
//! and a gateway that records.

use std::time::Duration;

use fleet::{Device, EventTime, Finding};

use crate::book::Book;
use crate::engine::find::Plan;
use crate::engine::sight::Sighting;
use crate::engine::{Directory, Engine};
use crate::journal::entry::{Began, Body, Called, Entry, Request};
use crate::journal::sign::Signer;
use crate::journal::{Journal, JournalError};
use crate::send::Sender;

/// Entries between two signatures, at most.
const SIGNED_EVERY: u64 = 100;
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
        let mut responding = Responding { engine, journal, sender, signer, owner: None, written: Vec::new() };
        responding.heed_stop();
        if let Some((now, owner)) = owner {
            let release = env!("CARGO_PKG_VERSION").to_owned();
            responding.write(now, vec![Body::Began(Began { owner: owner.clone(), release })])?;
            responding.owner = Some(owner);
        }
        Ok(responding)
    }

    pub fn book(&self) -> &Book {
        &self.engine.book
    }

    pub fn engine(&self) -> &Engine {
        &self.engine
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
        let bodies = self.engine.find(now, finding, device, plans, directory);
        self.write(now, bodies)
    }

    /// # Errors
    /// As [`Responding::find`].
    pub fn command(&mut self, now: EventTime, request: &Request, offset: Option<u64>) -> Result<(), JournalError> {
        let bodies = self.engine.command(now, request, offset);
        self.write(now, bodies)
    }

    /// # Errors
    /// As [`Responding::find`].
    pub fn called(&mut self, now: EventTime, called: Called) -> Result<(), JournalError> {
        self.write(now, vec![Body::Called(called)])
    }

    /// # Errors
    /// As [`Responding::find`]; a sighting is not given again, the next one says as much.
    pub fn sight(&mut self, now: EventTime, sighting: &Sighting) -> Result<(), JournalError> {
        let bodies = self.engine.sight(sighting);
        self.write(now, bodies)
    }

    /// All that is due, until nothing more is or it has to wait. `wait`: for answers, at most.
    ///
    /// # Errors
    /// The journal did not take something; it is due again.
    pub fn turn(&mut self, now: EventTime, wait: Duration, directory: &dyn Directory) -> Result<(), JournalError> {
        let mut wait = wait;
        self.heed_stop();
        for _ in 0..ROUNDS {
            let due = self.engine.due(now, directory);
            let moved = !due.is_empty();
            self.write(now, due)?;
            let mut sent = false;
            for job in self.engine.jobs(now) {
                let id = job.order.action_id.clone();
                if self.sender.send(job) {
                    sent = true;
                } else {
                    self.engine.unsent(&id);
                }
            }
            let answers = self.sender.answers(wait);
            if !moved && !sent && answers.is_empty() {
                break;
            }
            // What came at once may lead to more; what has to be waited for was waited for.
            wait = Duration::ZERO;
            for answer in answers {
                let bodies = self.engine.done(now, answer, directory);
                self.write(now, bodies)?;
            }
        }
        self.sign(now, SIGNED_EVERY)
    }

    /// Nothing is sent any more: whoever comes next need not wait.
    ///
    /// # Errors
    /// As [`Responding::turn`].
    pub fn end(&mut self, now: EventTime) -> Result<(), JournalError> {
        let Some(owner) = self.owner.clone() else { return Ok(()) };
        self.sign(now, 1)?;
        self.write(now, vec![Body::Ended(Began { owner, release: env!("CARGO_PKG_VERSION").to_owned() })])
    }

    /// Vouches for what was written, if that is at least so much.
    ///
    /// # Errors
    /// As [`Responding::turn`].
    pub fn sign(&mut self, now: EventTime, at_least: u64) -> Result<(), JournalError> {
        let Some(signer) = &self.signer else { return Ok(()) };
        if self.engine.book.unsigned() < at_least {
            return Ok(());
        }
        let signed = signer.sign(&self.engine.book.chain.head);
        self.write(now, vec![Body::Signed(signed)])
    }

    fn write(&mut self, now: EventTime, bodies: Vec<Body>) -> Result<(), JournalError> {
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
        self.journal.append(&lines)?;
        for entry in &entries {
            self.engine.book.fold(entry);
        }
        self.heed_stop();
        self.written.extend(entries);
        Ok(())
    }

    fn heed_stop(&mut self) {
        let gate = self.sender.gate();
        gate.set_stopped(self.engine.book.stopped().is_some());
        self.engine.is_stopped = gate.is_stopped();
    }
}
