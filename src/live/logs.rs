//! librdkafka's own words, in our log: once per state, not once per attempt.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

pub fn client_error(client: &'static str, error: &KafkaError, reason: &str) {
    match error.rdkafka_error_code() {
        // It goes on trying; the log line of the broker that is away says the same.
        Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::Resolve) => {
            tracing::debug!(client, reason, "a broker cannot be reached");
        }
        Some(RDKafkaErrorCode::AllBrokersDown) => brokers(false),
        // The role begins again, and says so.
        Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::FencedInstanceId) => {
            tracing::debug!(client, %error, reason, "a client is of no use any more");
        }
        Some(RDKafkaErrorCode::Authentication) => tracing::error!(client, reason, "the broker refuses our credentials"),
        _ => tracing::warn!(client, %error, reason, "Kafka reports an error"),
    }
}

/// Since when no broker answers, and when that was said last; of the whole process, whose clients all have the same brokers.
static AWAY: Mutex<Option<(Instant, Instant)>> = Mutex::new(None);
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// What a client learnt of the brokers: whether one `answers`.
pub fn brokers(answers: bool) {
    let mut away = AWAY.lock().unwrap_or_else(PoisonError::into_inner);
    match *away {
        Some((since, _)) if answers => {
            tracing::info!(seconds = since.elapsed().as_secs(), "brokers answer again");
            *away = None;
        }
        Some((since, said)) if said.elapsed() >= SAY_AGAIN => {
            tracing::warn!(seconds = since.elapsed().as_secs(), "still no broker can be reached");
            *away = Some((since, Instant::now()));
        }
        None if !answers => {
            tracing::warn!("no broker can be reached; trying until one answers, nothing is lost meanwhile");
            *away = Some((Instant::now(), Instant::now()));
        }
        _ => {}
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
