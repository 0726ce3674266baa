//! A member of a consumer group: what it was given and what was taken from it, told on the thread that polls; leaving.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ingest::Error;
use ingest::kafka::native::Forwarder;
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;

use crate::live::stop::Stop;

const ASK_AGAIN: Duration = Duration::from_millis(10);

pub enum Change {
    Assigned(Vec<(String, i32)>),
    Revoked(Vec<(String, i32)>),
}

/// Called before partitions are given up: whoever works on them must not commit any more when it returns.
pub type Revoking = dyn Fn(&[(String, i32)]) + Send + Sync;

#[derive(Default)]
pub struct Member {
    changes: Mutex<VecDeque<Change>>,
    forwarder: Mutex<Option<Forwarder>>,
    revoking: Mutex<Option<Box<Revoking>>>,
    failure: Mutex<Option<String>>,
}

impl Member {
    /// Records of assigned partitions go to this queue from the first one on.
    pub fn forward_to(&self, forwarder: Forwarder) {
        *self.forwarder.lock().unwrap_or_else(PoisonError::into_inner) = Some(forwarder);
    }

    /// The queue must be gone before its client: librdkafka waits for it.
    pub fn stop_forwarding(&self) {
        *self.forwarder.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub fn before_revoked(&self, revoking: Box<Revoking>) {
        *self.revoking.lock().unwrap_or_else(PoisonError::into_inner) = Some(revoking);
    }

    pub fn changes(&self) -> Vec<Change> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }

    /// # Errors
    /// The client is of no use any more: the role begins again with another. So it goes with a static member whose answer
    /// from the broker got lost: the broker has another name for it by now.
    pub fn check(&self) -> Result<(), Error> {
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            None => Ok(()),
            Some(problem) => {
                Err(Error::Kafka { doing: "staying a member of the group".to_owned(), problem, retry: true })
            }
        }
    }

    fn forward(&self, consumer: &BaseConsumer<Member>, list: &TopicPartitionList) {
        if let Some(forwarder) = &*self.forwarder.lock().unwrap_or_else(PoisonError::into_inner) {
            for (topic, partition) in partitions(list) {
                forwarder.forward(consumer, &topic, partition);
            }
        }
    }

    fn tell(&self, change: Change) {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push_back(change);
    }
}

impl ClientContext for Member {
    fn error(&self, error: KafkaError, reason: &str) {
        if is_fatal(&error) {
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
            return;
        }
        crate::live::logs::client_error("consumer", &error, reason);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        crate::live::logs::client_log("consumer", level, facility, message);
    }
}

impl ConsumerContext for Member {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Member>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => self.forward(consumer, list),
            Rebalance::Revoke(list) => {
                if let Some(revoking) = &*self.revoking.lock().unwrap_or_else(PoisonError::into_inner) {
                    revoking(&partitions(list));
                }
            }
            Rebalance::Error(error) => tracing::warn!(%error, "a rebalance failed"),
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Member>, rebalance: &Rebalance<'_>) {
        match rebalance {
            // Once more: a partition that librdkafka had not heard of before it was assigned has another queue now.
            Rebalance::Assign(list) => {
                self.forward(consumer, list);
                self.tell(Change::Assigned(partitions(list)));
            }
            Rebalance::Revoke(list) => self.tell(Change::Revoked(partitions(list))),
            Rebalance::Error(_) => {}
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        match result {
            Ok(()) => crate::live::logs::brokers(true),
            Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            // The next commit says more; what was not committed is done again.
            Err(error) => tracing::debug!(%error, "a commit was refused"),
        }
    }
}

/// Leaves the group once all commits are answered. Where no broker does that, librdkafka waits as long as a session lasts:
/// whoever is asked to stop does not, and brokers will miss the member by themselves.
pub fn leave(member: Arc<BaseConsumer<Member>>, stop: &Stop) {
    let leaving = std::thread::Builder::new().name("leaving".to_owned()).spawn(move || drop(member));
    while leaving.as_ref().is_ok_and(|leaving| !leaving.is_finished()) && !stop.is_overdue() {
        std::thread::sleep(ASK_AGAIN);
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<(String, i32)> {
    list.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect()
}

fn is_fatal(error: &KafkaError) -> bool {
    matches!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::FencedInstanceId))
}
