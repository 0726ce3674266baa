//! Kafka: where live records come from, and the topics that join the stages.
//!
//! * [`config`]: brokers, topics, properties, secrets; there without the feature `kafka` too, so that one file configures
//!   every build
//! * [`client`]: clients with the properties that carry correctness
//! * [`native`]: many messages with one call, the only `unsafe` of the product
//! * [`topics`]: what there is, what is missing, and making it
//! * [`committed`]: what a group committed, and committing

#[cfg(feature = "kafka")]
pub mod client;
#[cfg(feature = "kafka")]
pub mod committed;
pub mod config;
#[cfg(feature = "kafka")]
pub mod native;
#[cfg(feature = "kafka")]
pub mod topics;

pub use config::{KafkaConfig, RawTopic};

/// Version of the linked librdkafka, such as `2.12.1`.
#[cfg(feature = "kafka")]
pub fn librdkafka_version() -> String {
    let (_, version) = rdkafka::util::get_rdkafka_version();
    version
}
