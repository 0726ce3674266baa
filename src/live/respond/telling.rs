//! People and SIEMs, told what is found and done: each sink has a thread and a queue of its own, so that none of them holds
//! up a response.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use fleet::{Action, Device, EventTime, Finding, Incident, State};
use ingest::kafka::config::KafkaConfig;
use responders::gateways::{Failure, Key};
use responders::tell::outbox::Limits;
use responders::tell::{Addressed, Change, Outbox, Outgoing, Reporter, Sink, SinkConfig, Teller, sinks};
use rustc_hash::FxHashMap;
use smol_str::SmolStr;

use crate::live::judge::publisher::Publisher;
use crate::live::metrics::responding;

/// What is in hand when act ends may take so long.
const LAST_WORDS: Duration = Duration::from_secs(2);

pub struct Telling {
    teller: Teller,
    outboxes: Vec<Outbox>,
    names: Vec<SmolStr>,
    /// By sink: how many of its messages were counted as lost.
    lost: Vec<u64>,
    /// By action: where it was, as far as it was told.
    states: FxHashMap<String, State>,
}

type Names = BTreeMap<Key, SmolStr>;

impl Telling {
    /// # Errors
    /// A sink that cannot be opened, by name.
    pub fn start(config: &responders::Config, kafka: &KafkaConfig) -> anyhow::Result<Telling> {
        let team = if config.team.is_empty() { Reporter::default().team } else { config.team.to_string() };
        let reporter = Reporter { tenant: config.tenant.to_string(), team };
        let (mut outboxes, mut names) = (Vec::new(), Vec::new());
        for sink in &config.tell.sinks {
            let opened = match (sinks::open(sink)?, sink) {
                (Some(opened), _) => opened,
                (None, SinkConfig::Kafka(topic)) => {
                    Box::new(Topic { publisher: Publisher::to(kafka, &topic.topic)? }) as Box<dyn Sink>
                }
                (None, _) => continue,
            };
            let outbox = Outbox::start(sink.name(), opened, reporter.clone(), Limits::default());
            outboxes.push(outbox.with_context(|| format!("`{}` cannot be told", sink.name()))?);
            names.push(SmolStr::new(sink.name()));
        }
        let (teller, lost) = (Teller::new(reporter, &config.tell), vec![0; outboxes.len()]);
        Ok(Telling { teller, outboxes, names, lost, states: FxHashMap::default() })
    }

    pub fn finding(&mut self, finding: &Finding, device: Option<&Device>, now: EventTime) {
        let messages = self.teller.finding(finding, device, &Names::new(), now);
        self.put(messages);
    }

    pub fn incident(&mut self, incident: &Incident, now: EventTime) {
        let messages = self.teller.incident(incident, now);
        self.put(messages);
    }

    /// What was told in a former life is not told again.
    pub fn knows(&mut self, row: &Action) {
        if row.note.is_empty() {
            self.states.insert(row.action_id.clone(), row.state);
        }
    }

    pub fn action(&mut self, row: &Action, device: Option<&Device>, now: EventTime) {
        if !row.note.is_empty() {
            return;
        }
        let from = self.states.insert(row.action_id.clone(), row.state);
        let change = Change {
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
        };
        if row.state.is_final() {
            self.states.remove(&row.action_id);
        }
        let messages = self.teller.change(&change, device, &Names::new(), now);
        self.put(messages);
    }

    /// Digests that are due.
    pub fn tick(&mut self, now: EventTime) {
        let messages = self.teller.tick(now);
        self.put(messages);
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

    fn put(&self, messages: Vec<Addressed>) {
        for Addressed { sink, message } in messages {
            if let Some(outbox) = self.outboxes.get(sink) {
                outbox.put(message);
            }
        }
    }

    pub fn end(self) {
        for outbox in self.outboxes {
            outbox.close(LAST_WORDS);
        }
    }
}

/// A topic of somebody's SIEM.
struct Topic {
    publisher: Publisher,
}

impl Sink for Topic {
    fn send(&mut self, message: &Outgoing) -> Result<(), Failure> {
        let text = serde_json::to_vec(&message.event).map_err(|error| Failure::refused(error.to_string()))?;
        let until = std::time::Instant::now() + Duration::from_secs(10);
        match self.publisher.publish(&text, None, &|| std::time::Instant::now() < until) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::unreachable("no broker took it in time")),
            Err(error) => Err(Failure::unreachable(format!("{error:#}"))),
        }
    }
}
