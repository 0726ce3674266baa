//! People and SIEMs, told what is found and done: each sink has a thread and a queue of its own, so that none of them holds
//! up a response.
//!
//! What was told in a former life is not told again: how far that was stands beside the journal ([`super::journal::Told`]), and
//! what the teller remembers beside what `act` does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use fleet::{Action, Device, EventTime, Finding, Incident, Mode, State};
use ingest::kafka::config::KafkaConfig;
use responders::api::command::Verdict as Word;
use responders::book::Book;
use responders::engine::Directory;
use responders::gateways::Failure;
use responders::journal::Entry;
use responders::journal::entry::{Body, Command};
use responders::tell::outbox::Limits;
use responders::tell::{
    Addressed, Change, Kind, Names, Outbox, Outgoing, Reporter, Sink, SinkConfig, Teller, Verdict, sinks,
};
use rustc_hash::FxHashMap;
use smol_str::SmolStr;

use super::cases::{cases, word};
use crate::live::judge::publisher::Publisher;
use crate::live::metrics::responding;
use crate::respond::rows::TALKING;

/// What is in hand when act ends may take so long.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// A sink that takes messages, and ever more come, is not waited for any longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Shared with whoever stores what it remembers.
#[derive(Clone)]
pub struct SharedTeller(Arc<Mutex<Teller>>);

impl SharedTeller {
    pub fn new(config: &responders::Config) -> SharedTeller {
        SharedTeller(Arc::new(Mutex::new(Teller::new(reporter(config), &config.tell))))
    }

    fn lock(&self) -> MutexGuard<'_, Teller> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where nobody is to be told, nothing.
    pub fn memory(&self) -> Vec<u8> {
        let teller = self.lock();
        if teller.has_sinks() { teller.memory() } else { Vec::new() }
    }

    /// Nothing: nobody was told yet.
    pub fn recall(&self, memory: &[u8]) {
        if memory.is_empty() {
            return;
        }
        if let Err(error) = self.lock().recall(memory) {
            tracing::warn!(%error, "what was told of open incidents is not known any more; some are told again");
        }
    }
}

fn reporter(config: &responders::Config) -> Reporter {
    let team = if config.team.is_empty() { Reporter::default().team } else { config.team.to_string() };
    Reporter { tenant: config.tenant.to_string(), team }
}

/// Whom it is about, as it is known when it is told.
#[derive(Default)]
pub struct Whom {
    pub device: Option<Arc<Device>>,
    /// Those that are its own at that moment.
    pub names: Names,
}

impl Whom {
    pub fn of(device: &str, since: EventTime, directory: &dyn Directory) -> Whom {
        let names = directory.names(device, since).into_iter();
        Whom {
            device: directory.device(device),
            names: names.filter_map(|(key, name)| Some((key, name.ok()?))).collect(),
        }
    }
}

pub struct Telling {
    teller: SharedTeller,
    outboxes: Vec<Outbox>,
    names: Vec<SmolStr>,
    /// By sink: how many of its messages were counted as lost.
    lost: Vec<u64>,
    /// By action: where it was, as far as it was told.
    states: FxHashMap<String, State>,
    /// When something was put into an outbox that was not seen empty since.
    since: Option<Instant>,
}

/// Nobody is connected to.
///
/// # Errors
/// A sink that cannot be: its secret, its certificates, its template.
pub fn check(config: &responders::Config) -> anyhow::Result<()> {
    for sink in &config.tell.sinks {
        sinks::open(sink).with_context(|| format!("`{}` cannot be told", sink.name()))?;
    }
    Ok(())
}

impl Telling {
    /// # Errors
    /// A sink that cannot be opened, by name.
    pub fn start(config: &responders::Config, kafka: &KafkaConfig, teller: SharedTeller) -> anyhow::Result<Telling> {
        let reporter = reporter(config);
        let (mut outboxes, mut names) = (Vec::new(), Vec::new());
        for sink in &config.tell.sinks {
            let opened = match (sinks::open(sink)?, sink) {
                (Some(opened), _) => opened,
                (None, SinkConfig::Kafka(topic)) => {
                    let publisher = Some(Publisher::to(kafka, &topic.topic)?);
                    Box::new(Topic { kafka: kafka.clone(), topic: topic.topic.clone(), publisher }) as Box<dyn Sink>
                }
                (None, _) => continue,
            };
            let outbox = Outbox::start(sink.name(), opened, reporter.clone(), Limits::default());
            outboxes.push(outbox.with_context(|| format!("`{}` cannot be told", sink.name()))?);
            names.push(SmolStr::new(sink.name()));
        }
        let lost = vec![0; outboxes.len()];
        Ok(Telling { teller, outboxes, names, lost, states: FxHashMap::default(), since: None })
    }

    /// `is_told`: in a former life; it is taken note of.
    pub fn finding(&mut self, finding: &Finding, of: &Whom, is_told: bool, now: EventTime) {
        let messages = self.teller.lock().finding(finding, of.device.as_deref(), &of.names, now);
        self.put(messages, is_told);
    }

    pub fn incident(&mut self, incident: &Incident, is_told: bool, now: EventTime) {
        let messages = self.teller.lock().incident(incident, now);
        self.put(messages, is_told);
    }

    /// What was told in a former life is not told again.
    pub fn knows(&mut self, row: &Action) {
        if let Some(change) = self.change(row) {
            self.teller.lock().knows(&change);
        }
    }

    pub fn action(&mut self, row: &Action, of: &Whom, now: EventTime) {
        if let Some(change) = self.change(row) {
            let messages = self.teller.lock().change(&change, of.device.as_deref(), &of.names, now);
            self.put(messages, false);
        }
    }

    /// Written in a former life, and it is not known whether a sink took it.
    pub fn again(&mut self, row: &Action, of: &Whom, now: EventTime) {
        if let Some(change) = self.change(row) {
            self.teller.lock().not_told(&change);
            let messages = self.teller.lock().change(&change, of.device.as_deref(), &of.names, now);
            self.put(messages, false);
        }
    }

    /// What a person said of a whole incident, once it is taken down; other entries are none.
    pub fn verdict(&mut self, entry: &Entry, book: &Book, now: EventTime) {
        let Body::Commanded(commanded) = &entry.body else { return };
        let (Command::Verdict(given), None) = (&commanded.command, &commanded.refused) else { return };
        let Some(verdict) = word(&given.verdict).filter(|_| given.finding_id.is_empty() && self.has_sinks()) else {
            return;
        };
        let verdict = match verdict {
            Word::True => Verdict::True,
            Word::False => Verdict::False,
            Word::BenignChange => Verdict::BenignChange,
            Word::Fault => Verdict::Fault,
        };
        let id = given.incident_id.as_str();
        let otherwise = cases(book).get(id).and_then(|case| case.incident());
        let messages = self.teller.lock().verdict(id, otherwise, verdict, &commanded.by, now);
        self.put(messages, false);
    }

    fn change(&mut self, row: &Action) -> Option<Change> {
        // Its state stays, and telemetry says otherwise.
        let is_talking = row.note == TALKING;
        if !row.note.is_empty() && !is_talking {
            return None;
        }
        let is_over = row.state.is_final()
            || row.state == State::Proposed && row.mode == Mode::Observe
            || row.state == State::Approved && !row.level.restricts();
        // Of what is over nothing is kept.
        let from = match is_over {
            _ if is_talking => Some(row.state),
            true => self.states.remove(&row.action_id),
            false => self.states.insert(row.action_id.clone(), row.state),
        };
        // No state follows upon itself: it would say that the device talks.
        if from == Some(row.state) && !is_talking {
            return None;
        }
        Some(Change {
            seq: row.seq,
            at: row.at,
            action_id: row.action_id.clone(),
            incident_id: row.incident_id.clone(),
            finding_id: row.finding_id.clone(),
            device_id: row.device_id.clone(),
            device_type: row.device_type.clone(),
            level: row.level,
            from: if row.state == State::Proposed { None } else { from },
            to: row.state,
            gateway: row.gateway.clone(),
            playbook: row.playbook.clone(),
            mode: row.mode,
            reason: row.reason.clone(),
            by: row.by.clone(),
            expires_at: row.until,
        })
    }

    /// Digests that are due.
    pub fn tick(&mut self, now: EventTime) {
        let messages = self.teller.lock().tick(now);
        self.put(messages, false);
    }

    /// Messages that wait, by sink; what was lost since the last look is counted.
    pub fn standing(&mut self) -> Vec<(SmolStr, usize)> {
        let sinks = self.names.iter().zip(&self.outboxes).zip(&mut self.lost);
        let waiting = sinks.map(|((name, outbox), counted)| {
            let standing = outbox.standing();
            responding::lost(name, standing.lost.saturating_sub(*counted));
            *counted = standing.lost;
            (name.clone(), standing.queued)
        });
        waiting.collect()
    }

    fn put(&mut self, messages: Vec<Addressed>, is_told: bool) {
        for Addressed { sink, message } in messages {
            // What a limit held back was not told.
            if is_told && message.kind != Kind::Digest {
                continue;
            }
            if let Some(outbox) = self.outboxes.get(sink) {
                outbox.put(message);
                self.since.get_or_insert_with(Instant::now);
            }
        }
    }

    pub fn has_sinks(&self) -> bool {
        !self.outboxes.is_empty()
    }

    /// Whether what was told is with the sinks: what waits for one that is away is not waited for.
    pub fn is_out(&mut self) -> bool {
        let Some(since) = self.since else { return true };
        let is_out = |outbox: &Outbox| {
            let standing = outbox.standing();
            standing.queued == 0 || standing.trouble.is_some()
        };
        if since.elapsed() >= PATIENCE || self.outboxes.iter().all(is_out) {
            self.since = None;
        }
        self.since.is_none()
    }

    /// Whether everything is told, but for sinks that are away.
    pub fn end(&mut self) -> bool {
        let until = Instant::now() + LAST_WORDS;
        let mut is_told = true;
        for (sink, outbox) in self.names.iter().zip(self.outboxes.drain(..)) {
            let left = outbox.close(until.saturating_duration_since(Instant::now()));
            if left.queued == 0 {
                continue;
            }
            let queued = left.queued;
            match left.trouble {
                Some(trouble) => {
                    tracing::warn!(%sink, queued, %trouble, "messages wait for a sink that is away, and are lost");
                    responding::lost(sink, queued as u64);
                }
                None => {
                    is_told = false;
                    tracing::warn!(%sink, queued, "messages wait for a sink, and are told by the next process that acts");
                }
            }
        }
        is_told
    }
}

/// A topic of somebody's SIEM.
struct Topic {
    kafka: KafkaConfig,
    topic: String,
    /// Made again after a message that was given up, for it would come there yet, beside the next try.
    publisher: Option<Publisher>,
}

impl Sink for Topic {
    fn send(&mut self, message: &Outgoing) -> Result<(), Failure> {
        let text = serde_json::to_vec(&message.event).map_err(|error| Failure::refused(error.to_string()))?;
        let until = Instant::now() + PATIENCE;
        let key = if message.incident_id.is_empty() { &message.key } else { &message.incident_id };
        let again = |error: anyhow::Error| Failure::unreachable(format!("{error:#}"));
        let publisher = match self.publisher.take() {
            Some(publisher) => publisher,
            None => Publisher::to(&self.kafka, &self.topic).map_err(again)?,
        };
        if !publisher.publish_under(key, &text, &|| Instant::now() < until).map_err(again)? {
            return Err(Failure::unreachable("no broker took it in time"));
        }
        self.publisher = Some(publisher);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use fleet::{Level, Severity};
    use responders::journal::entry::{Commanded, Verdict as Given};

    use super::*;
    use crate::respond::rows::Mirror;
    use crate::respond::rows::proposed;

    /// A life of the process that acts: what it tells into the file.
    fn life(folder: &std::path::Path, memory: &[u8], told: impl FnOnce(&mut Telling)) -> (Vec<u8>, Vec<String>) {
        let path = folder.join("events.jsonl");
        let before = std::fs::read_to_string(&path).unwrap_or_default().lines().count();
        let toml = format!("[[tell]]\nkind = \"file\"\nname = \"events\"\npath = {:?}\n", path.to_str().unwrap());
        let config: responders::Config = toml::from_str(&toml).unwrap();
        let teller = SharedTeller::new(&config);
        teller.recall(memory);
        let mut telling = Telling::start(&config, &KafkaConfig::default(), teller.clone()).unwrap();
        told(&mut telling);
        telling.end();
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let events = text.lines().skip(before).map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            format!("{} {}", event["class_uid"], event["activity_id"])
        });
        (teller.memory(), events.collect())
    }

    fn incident(severity: Severity, closed_at: Option<EventTime>) -> Incident {
        Incident {
            incident_id: "i".into(),
            scope: fleet::Scope::Device,
            device_id: "d".into(),
            device_type: "lamp".into(),
            kind: fleet::FindingKind::Anomaly,
            severity,
            opened_at: EventTime(0),
            closed_at,
            first_window: EventTime(0),
            last_window: EventTime(0),
            findings: 1,
        }
    }

    #[test]
    fn what_a_person_says_of_an_incident_is_told_once_it_is_taken_down() {
        let entry = |seq, body| Entry { seq, at: EventTime(5), previous: "".into(), body, hash: "".into() };
        let mut book = Book::default();
        book.fold(&entry(1, proposed("i", Level::Quarantine, Mode::Approve, EventTime(5))));
        let said = |of: (&str, &str), verdict: &str, refused: Option<String>| {
            let (incident_id, finding_id) = (of.0.to_owned(), of.1.to_owned());
            let (verdict, note) = (verdict.into(), String::new());
            let command = Command::Verdict(Box::new(Given { incident_id, finding_id, verdict, note, reach: None }));
            let (command_id, by) = ("c".to_owned(), "ada".into());
            entry(
                2,
                Body::Commanded(Box::new(Commanded {
                    command_id,
                    by,
                    command,
                    note: String::new(),
                    refused,
                    offset: None,
                })),
            )
        };
        let folder = tempfile::tempdir().unwrap();
        let (memory, told) = life(folder.path(), &[], |telling| {
            telling.verdict(&said(("i", ""), "benign_change", Some("too late".to_owned())), &book, EventTime(6));
            telling.verdict(&said(("i", "f"), "benign_change", None), &book, EventTime(6));
            telling.verdict(&said(("unheard of", ""), "benign_change", None), &book, EventTime(6));
        });
        assert!(told.is_empty(), "refused, of a finding alone, of nothing that is known: {told:?}");
        let again = said(("i", ""), "benign_change", None);
        let (memory, told) = life(folder.path(), &memory, |telling| telling.verdict(&again, &book, EventTime(6)));
        assert_eq!(told, ["2005 2"]);
        let (_, told) = life(folder.path(), &memory, |telling| {
            telling.verdict(&again, &book, EventTime(7));
            telling.verdict(&said(("i", ""), "true", None), &book, EventTime(8));
        });
        assert_eq!(told, ["2005 2"], "only another verdict is news");
    }

    #[test]
    fn whom_it_is_about_is_told_by_the_names_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let body = proposed("a", Level::Quarantine, Mode::Approve, EventTime(5));
        let entry = Entry { seq: 3, at: EventTime(5), previous: "".into(), body, hash: "".into() };
        let row = Mirror::default().row(&entry).unwrap();
        let names = [(responders::gateways::Key::Ip, SmolStr::new("10.0.0.7"))].into_iter().collect();
        life(folder.path(), &[], |telling| telling.action(&row, &Whom { device: None, names }, EventTime(5)));
        let text = std::fs::read_to_string(folder.path().join("events.jsonl")).unwrap();
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(event["device"]["ip"], "10.0.0.7", "{event:#}");
    }

    #[test]
    fn of_notes_only_that_a_device_talks_all_the_same_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let entry = |body| Entry { seq: 3, at: EventTime(5), previous: "".into(), body, hash: "".into() };
        let proposed =
            Mirror::default().row(&entry(proposed("a", Level::Quarantine, Mode::Auto, EventTime(5)))).unwrap();
        let noted = |note: &str| Action { state: State::Verified, note: note.into(), ..proposed.clone() };
        life(folder.path(), &[], |telling| {
            for note in ["attempt", "quiet", TALKING, TALKING] {
                telling.action(&noted(note), &Whom::default(), EventTime(6));
            }
        });
        let text = std::fs::read_to_string(folder.path().join("events.jsonl")).unwrap();
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(event["command_uid"].as_str().unwrap().ends_with(":verified-verified"), "{event:#}");
    }

    #[test]
    fn another_life_tells_what_is_news_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let row = || {
            let body = proposed("a", Level::Quarantine, Mode::Approve, EventTime(5));
            let entry = Entry { seq: 3, at: EventTime(5), previous: "".into(), body, hash: "".into() };
            Mirror::default().row(&entry).unwrap()
        };
        let closed = incident(Severity::High, Some(EventTime(9)));
        let (memory, told) = life(folder.path(), &[], |telling| {
            telling.action(&row(), &Whom::default(), EventTime(5));
            telling.incident(&closed, false, EventTime(9));
        });
        assert_eq!(told, ["7001 1", "2005 3"]);
        // Told, and stored by nobody: read again.
        let (_, told) = life(folder.path(), &[], |telling| {
            telling.knows(&row());
            telling.incident(&closed, true, EventTime(9));
            assert!(telling.is_out(), "nothing was put");
        });
        assert!(told.is_empty(), "{told:?}");
        // Told, and stored.
        let (_, told) = life(folder.path(), &memory, |telling| {
            telling.action(&row(), &Whom::default(), EventTime(5));
            telling.incident(&closed, false, EventTime(9));
        });
        assert!(told.is_empty(), "{told:?}");
        // Written down, and not told before the end.
        let (_, told) = life(folder.path(), &[], |telling| telling.action(&row(), &Whom::default(), EventTime(5)));
        assert_eq!(told.len(), 1);
    }
}
