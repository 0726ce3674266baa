//! The one file that names rdkafka: consuming from Kafka comes through this same room, as another
//! [`Source`](crate::Source). What is used today is the proof that librdkafka was built and linked.

/// Version of the linked librdkafka, such as `2.12.1`.
pub fn librdkafka_version() -> String {
    let (_, version) = rdkafka::util::get_rdkafka_version();
    version
}
