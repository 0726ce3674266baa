//! The section `[source]` of a configuration file: the inventory, the brokers, the topics.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fleet::Secret;
use serde::{Deserialize, Serialize};

use crate::decode::Format;
use crate::error::Error;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourceConfig {
    /// The inventory (docs/inventory.md); changes are taken up while running. Without it every device is unknown.
    pub inventory: Option<PathBuf>,
    pub kafka: KafkaConfig,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaConfig {
    /// `host:port`, several with commas.
    pub brokers: String,
    /// Consumer groups are called `<group>-route`, `<group>-judge` and `<group>-act`; under `<group>-respond`, which nobody
    /// joins, stands how far people were told.
    pub group: String,
    /// Name of this process in its groups, another for each: started again under it, it has its partitions back at once,
    /// without waiting for its former self to be given up.
    pub instance: String,
    /// Readings by cohort, between route and judge. Its number of partitions never changes.
    pub readings: String,
    /// Partitions of `readings` when `vedette topics create` makes it.
    pub readings_partitions: u16,
    /// Which lane each cohort has, for all routers; one partition, kept for good.
    pub cohorts: String,
    /// What routers learn of addresses, for all of them and for good; one partition, compacted.
    pub identities: String,
    /// Findings and closed ticks, between judge and act; one partition.
    pub findings: String,
    /// What was decided and done, and every command: the truth about responding. One partition, kept for good.
    pub journal: String,
    /// What people ask for, on its way to the process that acts; one partition.
    pub commands: String,
    /// Where records that cannot be used are copied to; none when empty. They are in the table `rejected` anyhow.
    pub dead_letter: String,
    pub replication_factor: u16,
    /// What to read.
    pub topics: Vec<RawTopic>,
    /// Any property of librdkafka, but those that carry correctness.
    pub properties: BTreeMap<String, String>,
    /// Properties whose values are secrets: from a file or from the environment.
    pub secrets: BTreeMap<String, Secret>,
}

impl Default for KafkaConfig {
    fn default() -> KafkaConfig {
        KafkaConfig {
            brokers: "127.0.0.1:9092".to_owned(),
            group: "vedette".to_owned(),
            instance: String::new(),
            readings: "vedette.readings".to_owned(),
            readings_partitions: 4,
            cohorts: "vedette.cohorts".to_owned(),
            identities: "vedette.identities".to_owned(),
            findings: "vedette.findings".to_owned(),
            journal: "vedette.journal".to_owned(),
            commands: "vedette.commands".to_owned(),
            dead_letter: String::new(),
            replication_factor: 1,
            topics: Vec::new(),
            properties: BTreeMap::new(),
            secrets: BTreeMap::new(),
        }
    }
}

impl KafkaConfig {
    /// Every topic that is read or written here, once for each purpose.
    pub fn names(&self) -> Vec<&str> {
        let ours = [&self.readings, &self.cohorts, &self.identities, &self.findings, &self.journal, &self.commands];
        let raw = self.topics.iter().map(|topic| topic.name.as_str());
        let dead = Some(self.dead_letter.as_str()).filter(|name| !name.is_empty());
        raw.chain(ours.map(String::as_str)).chain(dead).collect()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawTopic {
    pub name: String,
    pub format: Format,
    /// How far records of one partition may be out of order, in seconds of event time.
    #[serde(default = "default_lateness")]
    pub lateness_seconds: u32,
    /// Records come as they happen, so a partition that is quiet is complete up to now. `false`: history is fed, and
    /// only its records (and the feeder's heartbeats) say how far it is.
    #[serde(default = "default_live")]
    pub live: bool,
}

fn default_lateness() -> u32 {
    70
}

fn default_live() -> bool {
    true
}

/// Properties that nobody may set: results depend on them.
pub const FIXED: [(&str, &str); 12] = [
    ("auto.offset.reset", "what retention deleted is counted, and reading goes on from the earliest record"),
    ("enable.auto.commit", "an offset is committed once everything about it is durable"),
    ("enable.auto.offset.store", "an offset is committed once everything about it is durable"),
    ("enable.idempotence", "readings reach a lane once and in order"),
    ("message.timeout.ms", "no reading is given up"),
    ("delivery.timeout.ms", "no reading is given up"),
    ("partition.assignment.strategy", "lanes that stay are not stopped"),
    ("isolation.level", "what a transaction took back is not read"),
    ("enable.partition.eof", "its events would make records be passed over"),
    ("group.id", "set `group` instead"),
    ("bootstrap.servers", "set `brokers` instead"),
    ("metadata.broker.list", "set `brokers` instead"),
];

/// Properties that hold a secret.
const SECRET: [&str; 9] = [
    "sasl.password",
    "ssl.key.password",
    "ssl.keystore.password",
    "ssl.key.pem",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.client.credentials.client.secret",
    "sasl.oauthbearer.assertion.private.key.pem",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.oauthbearer.config",
];

impl SourceConfig {
    /// Relative paths are relative to the configuration file.
    pub fn resolve(&mut self, folder: &Path) {
        if let Some(inventory) = &mut self.inventory {
            *inventory = folder.join(&*inventory);
        }
        for secret in self.kafka.secrets.values_mut() {
            secret.resolve(folder);
        }
    }

    pub fn check(&self) -> Result<(), Error> {
        let wrong =
            |field, value: &str, expected| Err(Error::SourceConfig { field, value: value.to_owned(), expected });
        let kafka = &self.kafka;
        for property in kafka.properties.keys() {
            if let Some((_, why)) = FIXED.iter().find(|(name, _)| name == property) {
                return wrong("kafka.properties", property, why);
            }
            if SECRET.contains(&property.as_str()) {
                return wrong("kafka.properties", property, "it under [source.kafka.secrets], from a file or variable");
            }
        }
        for (field, value) in [
            ("kafka.brokers", &kafka.brokers),
            ("kafka.group", &kafka.group),
            ("kafka.readings", &kafka.readings),
            ("kafka.cohorts", &kafka.cohorts),
            ("kafka.identities", &kafka.identities),
            ("kafka.findings", &kafka.findings),
            ("kafka.journal", &kafka.journal),
            ("kafka.commands", &kafka.commands),
        ] {
            if value.trim().is_empty() {
                return wrong(field, value, "a name");
            }
        }
        for (field, value) in [
            ("kafka.readings_partitions", kafka.readings_partitions),
            ("kafka.replication_factor", kafka.replication_factor),
        ] {
            if value == 0 {
                return wrong(field, "0", "at least 1");
            }
        }
        let mut names = kafka.names();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return wrong("kafka.topics", twice[0], "every topic once, for one purpose");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> SourceConfig {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_carries_correctness_cannot_be_overridden() {
        for (name, _) in FIXED {
            let config = parse(&format!(r#"{{"kafka":{{"properties":{{"{name}":"x"}}}}}}"#));
            let message = config.check().unwrap_err().to_string();
            assert!(message.contains(name), "{message}");
        }
        assert!(parse(r#"{"kafka":{"properties":{"fetch.min.bytes":"1"}}}"#).check().is_ok());
    }

    #[test]
    fn a_secret_stands_nowhere_but_in_its_file_or_variable() {
        let message = parse(r#"{"kafka":{"properties":{"sasl.password":"hunter2"}}}"#).check().unwrap_err().to_string();
        assert!(message.contains("sasl.password") && !message.contains("hunter2"), "{message}");
        let missing = Secret::Env("VEDETTE_NO_SUCH_VARIABLE".to_owned()).read().unwrap_err();
        assert!(missing.to_string().contains("VEDETTE_NO_SUCH_VARIABLE"), "{missing}");
    }

    #[test]
    fn a_topic_has_one_purpose() {
        for purpose in ["readings", "cohorts", "identities", "findings", "journal", "commands"] {
            let name = format!("vedette.{purpose}");
            let config = parse(&format!(r#"{{"kafka":{{"topics":[{{"name":"{name}","format":"native-json"}}]}}}}"#));
            assert!(config.check().unwrap_err().to_string().contains(&name));
        }
    }
}
