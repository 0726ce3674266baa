//! librdkafka's own words, in our log: once per state, not once per attempt.

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

pub fn client_error(client: &'static str, error: &KafkaError, reason: &str) {
    match error.rdkafka_error_code() {
        // It goes on trying; the log line of the broker that is away says the same.
        Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::Resolve) => {
            tracing::debug!(client, reason, "a broker cannot be reached");
        }
        Some(RDKafkaErrorCode::AllBrokersDown) => tracing::warn!(client, reason, "no broker can be reached"),
        Some(RDKafkaErrorCode::Authentication) => tracing::error!(client, reason, "the broker refuses our credentials"),
        _ => tracing::warn!(client, %error, reason, "Kafka reports an error"),
    }
}

pub fn client_log(client: &'static str, level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
            tracing::debug!(client, facility, "{message}");
        }
        _ => tracing::trace!(client, facility, "{message}"),
    }
}
