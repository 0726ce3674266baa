//! What may change around a router while it runs: partitions, topics, the inventory's file.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fleet::{Cohort, EventTime, Fact};
use ingest::identity::{Replaced, Router};
use ingest::kafka::topics;
use ingest::log::{LoggedFact, Members, Message, encode};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::types::RDKafkaErrorCode;

use super::Route;
use super::beats::BEAT;
use super::identities::Identities;
use super::partitions::Beginning;
use super::sources::RawPartition;

/// For what was sent to arrive before another inventory holds; the file is looked at again later.
const FLUSH: Duration = Duration::from_secs(5);

impl Route<'_> {
    pub(super) fn refresh_roster(&mut self) -> anyhow::Result<()> {
        let kafka = &self.config.source.kafka;
        let names: Vec<&str> = kafka.topics.iter().map(|topic| topic.name.as_str()).collect();
        // While records are read they wait for this; there is another look soon.
        let patience = if self.roster.ids.is_empty() { FLUSH * 2 } else { BEAT * 2 };
        let described = match topics::describe_within(self.consumer.client(), &names, patience) {
            Ok(described) => described,
            Err(error) if error.retry() && !self.roster.ids.is_empty() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for topic in &described {
            if self.troubled.get(&topic.name).copied() == topic.problem {
                continue;
            }
            let Some(problem) = topic.problem else {
                self.troubled.remove(&topic.name);
                tracing::info!(topic = topic.name, "the raw topic is there again");
                if self.roster.topic_id(&topic.name) == Some(&topic.id) {
                    self.begin_again(&topic.name)?;
                }
                continue;
            };
            self.troubled.insert(topic.name.clone(), problem);
            if problem == RDKafkaErrorCode::UnknownTopicOrPartition {
                tracing::error!(
                    topic = topic.name,
                    "the raw topic is not there: windows wait for what it had; make it again, or take it out of the \
                     configuration and tell all lanes with `vedette topics remove`"
                );
                self.owned.retain(|source| source.topic.name != topic.name);
            } else {
                tracing::error!(topic = topic.name, %problem, "the raw topic cannot be read");
            }
        }
        let before: BTreeMap<&str, Option<String>> =
            names.iter().map(|name| (*name, self.roster.topic_id(name).map(str::to_owned))).collect();
        if self.roster.update(&described) {
            tracing::info!(partitions = self.roster.ids.len(), "raw partitions there are");
        }
        for (topic, id) in before {
            if id.is_some() && self.roster.topic_id(topic) != id.as_deref() {
                tracing::warn!(topic, "the raw topic was deleted and made again: reading it from its beginning");
                self.begin_again(topic)?;
            }
        }
        Ok(())
    }

    /// A topic whose partitions we let go of, or that was made again under our hands: then they are other sources, read
    /// from their first record. librdkafka would go on at the old topic's offset.
    fn begin_again(&mut self, topic: &str) -> anyhow::Result<()> {
        self.owned.retain(|source| source.topic.name != topic);
        // Not to be committed for a topic that is another one by now.
        self.waiting.clear();
        let assigned = self.consumer.assignment()?;
        for element in assigned.elements_for_topic(topic) {
            let begun = Beginning { topic: topic.to_owned(), partition: element.partition(), seek: true };
            self.to_begin.retain(|other| !other.is(topic, begun.partition));
            self.to_begin.push(begun);
        }
        Ok(())
    }

    /// A changed inventory holds from a commit on: what was sent by the old one is not sent again by the new one, which may
    /// give it to other devices.
    pub(super) fn refresh_inventory(&mut self) -> anyhow::Result<()> {
        let Some(changed) = self.inventory.changed() else { return Ok(()) };
        let inventory = match changed.parse() {
            Ok(inventory) => inventory,
            Err(error) => {
                tracing::error!(%error, "the changed inventory cannot be used; going on with the last one");
                // Said once, not every ten seconds; the next change is looked at again.
                self.inventory.looked_at = changed.text;
                return Ok(());
            }
        };
        let mut next = Router::new(inventory, &self.config.ingest).telling();
        if let Err(error) = self.make_way(&mut next, &changed.version()) {
            self.outbox.check()?;
            // The router that stays hears all of it again: some went to the other one.
            self.identities = Identities::new(&self.config.source.kafka)?;
            if self.waits.is_due() {
                let error = format!("{error:#}");
                tracing::warn!(error, "the changed inventory waits until Kafka takes it; going on with the last one");
            }
            return Ok(());
        }
        let from = self.owned.iter().map(RawPartition::reached).max().unwrap_or(EventTime::MIN);
        let Replaced { left, changed: devices } = self.router.replace(next);
        self.table.renew(self.router.devices());
        self.inventory = changed;
        // Whoever left has no key any more.
        for device in &left {
            let fact = LoggedFact::Left { device: device.id.clone(), from };
            self.send(self.table.lane_of(&device.cohort), &encode(&Message::Facts(vec![fact])), None)?;
        }
        let facts: Vec<(Cohort, Fact)> = devices
            .iter()
            .map(|device| (device.cohort.clone(), Fact::Device { device: Arc::clone(device), from }))
            .collect();
        self.tell(&facts)?;
        tracing::info!(left = left.len(), changed = devices.len(), "the inventory changed");
        Ok(())
    }

    /// Lanes for another inventory's cohorts, what was learned so far, and nothing in hand of the one in force.
    fn make_way(&mut self, next: &mut Router, version: &str) -> anyhow::Result<()> {
        self.cohorts.settle(next.devices(), &mut self.table, &self.stop)?;
        self.tell_learned()?;
        self.outbox.flush(FLUSH)?;
        // From the beginning.
        self.identities = Identities::new(&self.config.source.kafka)?;
        self.identities.catch_up(next, version)?;
        self.waiting.clear();
        let positions = self.positions();
        Ok(self.commit_positions(positions, CommitMode::Sync)?)
    }

    /// Tells every lane which devices of the inventory are its own: of others it was told by a router that is no more, and
    /// they left while none ran.
    pub(super) fn tell_members(&self) -> anyhow::Result<()> {
        let mut of_lanes = vec![Vec::new(); self.drafts.len()];
        for device in self.router.devices().iter().filter(|device| device.is_known()) {
            of_lanes[self.table.lane_of(&device.cohort)].push(device.id.clone());
        }
        for (lane, ids) in of_lanes.into_iter().enumerate() {
            for part in Members::parts(ids) {
                self.send(lane, &encode(&Message::Members(part)), None)?;
            }
        }
        Ok(())
    }
}
