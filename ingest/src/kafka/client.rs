//! Clients: the operator's properties, secrets read at the last moment, and what carries correctness on top.

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::KafkaError;

use super::config::KafkaConfig;
use crate::error::Error;

/// What a client is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Reads as a member of the group `<group>-<role>`.
    Member { role: &'static str },
    /// Writes entries that a lane must see once and in order.
    Writer,
    /// Writes in transactions: one process at a time, whoever began last.
    Owner { role: &'static str },
    /// Asks and creates.
    Admin,
    /// Asks how far partitions reach, open transactions included.
    Watcher,
    /// Reads a partition from an offset to its end, of which it is told, or goes on.
    Reader { to_its_end: bool },
    /// Likewise, and its positions are those of the group `<group>-<role>`, which it does not join.
    ReaderOf { role: &'static str },
}

/// # Errors
/// A property librdkafka does not know, or a secret that is not there; by name.
pub fn settings(config: &KafkaConfig, purpose: Purpose) -> Result<ClientConfig, Error> {
    let mut settings = ClientConfig::new();
    for (name, value) in &config.properties {
        settings.set(name, value);
    }
    for (name, secret) in &config.secrets {
        let value = secret.read().map_err(|missing| Error::Kafka {
            doing: format!("reading the secret `{name}` of [source.kafka.secrets]"),
            problem: missing.to_string(),
            retry: false,
        })?;
        settings.set(name, value);
    }
    settings.set("bootstrap.servers", &config.brokers);
    if settings.get("client.id").is_none() {
        settings.set("client.id", "vedette");
    }
    match purpose {
        Purpose::Member { role } => {
            settings
                .set("group.id", format!("{}-{role}", config.group))
                .set("enable.auto.commit", "false")
                .set("enable.auto.offset.store", "false")
                // librdkafka's batch call takes the event for a record: after a rebalance it would pass over the next one.
                .set("enable.partition.eof", "false")
                .set("auto.offset.reset", "earliest")
                .set("isolation.level", "read_committed")
                .set("partition.assignment.strategy", "cooperative-sticky")
                .set("topic.metadata.refresh.interval.ms", "10000");
            // librdkafka's own second leaves a fast reader without anything to read.
            if settings.get("fetch.queue.backoff.ms").is_none() {
                settings.set("fetch.queue.backoff.ms", "20");
            }
            if !config.instance.is_empty() {
                settings.set("group.instance.id", format!("{}-{role}", config.instance));
            }
        }
        Purpose::Writer => {
            settings.set("enable.idempotence", "true").set("message.timeout.ms", "0");
            // A finding of a whole fleet names all its devices.
            for (name, value) in [
                ("linger.ms", "20"),
                ("compression.type", "lz4"),
                ("batch.size", "1000000"),
                ("message.max.bytes", "16777216"),
            ] {
                if settings.get(name).is_none() {
                    settings.set(name, value);
                }
            }
        }
        Purpose::Owner { role } => {
            settings
                .set("enable.idempotence", "true")
                .set("transactional.id", format!("{}-{role}", config.group))
                // A former owner's open transaction ends by itself after so long, should nobody take over.
                .set("transaction.timeout.ms", "10000")
                // A longer one, which is fine for others, librdkafka refuses beside it.
                .set("socket.timeout.ms", "9900")
                .set("linger.ms", "0");
        }
        Purpose::Watcher => {
            // It subscribes to nothing: only what it forgets is it told of anew, partitions that were added too.
            settings.set("isolation.level", "read_uncommitted").set("metadata.max.age.ms", "10000");
        }
        Purpose::Reader { .. } | Purpose::ReaderOf { .. } => {
            // librdkafka takes no assignment without a group; a mere reader neither joins it nor commits.
            let role = if let Purpose::ReaderOf { role } = purpose { role } else { "route" };
            settings
                .set("group.id", format!("{}-{role}", config.group))
                .set("enable.auto.commit", "false")
                .set("enable.partition.eof", "true")
                .set("auto.offset.reset", "earliest")
                .set("isolation.level", "read_committed");
            if purpose != (Purpose::Reader { to_its_end: false }) {
                // The end is where the broker has nothing to answer.
                settings.set("fetch.wait.max.ms", "10");
            }
        }
        Purpose::Admin => {}
    }
    settings.set_log_level(RDKafkaLogLevel::Warning);
    Ok(settings)
}

pub fn create<C: ClientContext, T: FromClientConfigAndContext<C>>(
    config: &KafkaConfig,
    purpose: Purpose,
    context: C,
) -> Result<T, Error> {
    settings(config, purpose)?.create_with_context(context).map_err(|error| failed("making a client", &error))
}

/// An error of librdkafka, with what was being done; some will pass by themselves.
pub fn failed(doing: impl Into<String>, error: &KafkaError) -> Error {
    use rdkafka::types::RDKafkaErrorCode::*;
    let code = match error {
        KafkaError::AdminOp(code) => Some(*code),
        // Of a partition that is not ours any more.
        KafkaError::PauseResume(_) => Some(RebalanceInProgress),
        error => error.rdkafka_error_code(),
    };
    let retry = matches!(
        code,
        Some(
            BrokerTransportFailure
                | AllBrokersDown
                | OperationTimedOut
                | TimedOutQueue
                | RequestTimedOut
                | CoordinatorLoadInProgress
                | CoordinatorNotAvailable
                | NotCoordinator
                | LeaderNotAvailable
                | NotLeaderForPartition
                | WaitingForCoordinator
                | RebalanceInProgress
                | IllegalGeneration
                | UnknownMemberId
                | FencedInstanceId
                | UnstableOffsetCommit
                | NetworkException
                | Resolve
        )
    );
    let problem = match error {
        KafkaError::ClientConfig(_, description, key, _) => format!("property `{key}`: {description}"),
        error => error.to_string(),
    };
    Error::Kafka { doing: doing.into(), problem, retry }
}

#[cfg(test)]
mod tests {
    use rdkafka::types::RDKafkaErrorCode;

    use super::*;

    #[test]
    fn a_group_that_moved_on_meanwhile_ends_nothing_for_good() {
        let refused = |code| failed("committing", &KafkaError::ConsumerCommit(code)).retry();
        use RDKafkaErrorCode::*;
        for code in [RebalanceInProgress, IllegalGeneration, UnknownMemberId, FencedInstanceId] {
            assert!(refused(code), "{code}");
        }
        assert!(!refused(GroupAuthorizationFailed));
    }
}
