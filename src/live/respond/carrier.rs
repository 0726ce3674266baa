//! Calls to a gateway of one's own over Kafka: one topic takes them, another has the answers. Brokers, TLS and users are those of
//! the service.
//!
//! One connection serves call after call, until one fails: then it is dropped, and with it whatever of the call was not sent yet.

use std::time::Duration;

use crossbeam_channel::bounded;
use ingest::kafka::client::{Purpose, create};
use ingest::kafka::config::KafkaConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use responders::gateways::topic::{Asked, Carrier, TopicConfig, answer_to};
use responders::gateways::{Failure, FailureKind, Permit};
use serde_json::Value;

use crate::live::judge::publisher::Answers;
use crate::live::route::partitions::Quiet;

const LOOK_UP: Duration = Duration::from_millis(100);

pub struct Topics {
    kafka: KafkaConfig,
    calls: String,
    answers: String,
    open: Option<Open>,
}

struct Open {
    producer: ThreadedProducer<Answers>,
    /// Stands where the answers ended when it was opened.
    consumer: BaseConsumer<Quiet>,
}

impl Topics {
    /// Nothing is reached yet.
    pub fn new(kafka: &KafkaConfig, topics: &TopicConfig) -> Topics {
        Topics { kafka: kafka.clone(), calls: topics.calls.clone(), answers: topics.answers.clone(), open: None }
    }

    /// From here on no answer is missed.
    fn open(&self, permit: &Permit) -> Result<Open, Failure> {
        let made = |error: ingest::Error| Failure::unreachable(error.to_string());
        let consumer: BaseConsumer<Quiet> =
            create(&self.kafka, Purpose::Reader { to_its_end: false }, Quiet).map_err(made)?;
        // A call that nobody can read is not waited for.
        self.partitions(&consumer, &self.calls, permit)?;
        let mut ends = TopicPartitionList::new();
        for partition in self.partitions(&consumer, &self.answers, permit)? {
            let doing = format!("asking where `{}` ends", self.answers);
            let asked = consumer.fetch_watermarks(&self.answers, partition, permit.left()?);
            let (_, end) = asked.map_err(|error| failed(&doing, &error))?;
            let added = ends.add_partition_offset(&self.answers, partition, Offset::Offset(end));
            added.map_err(|error| failed(&doing, &error))?;
        }
        consumer.assign(&ends).map_err(|error| failed(&format!("reading `{}`", self.answers), &error))?;
        // Idempotent, so of all replicas in sync: what is told to have arrived is there, once.
        let producer = create(&self.kafka, Purpose::Writer, Answers).map_err(made)?;
        Ok(Open { producer, consumer })
    }

    fn partitions(&self, consumer: &BaseConsumer<Quiet>, topic: &str, permit: &Permit) -> Result<Vec<i32>, Failure> {
        let asked = consumer.fetch_metadata(Some(topic), permit.left()?);
        let asked = asked.map_err(|error| failed(&format!("looking at `{topic}`"), &error))?;
        let missing = || not_there(topic, RDKafkaErrorCode::UnknownTopicOrPartition);
        let described = asked.topics().iter().find(|described| described.name() == topic).ok_or_else(missing)?;
        if let Some(problem) = described.error() {
            return Err(not_there(topic, problem.into()));
        }
        Ok(described.partitions().iter().map(|partition| partition.id()).collect())
    }

    fn exchange(&self, open: &Open, permit: &Permit, asked: &Asked) -> Result<Value, Failure> {
        self.send(&open.producer, permit, asked)?;
        let nobody = |_| {
            Failure::unreachable(format!(
                "nobody answered on `{}` in time; is the receiver of `{}` running?",
                self.answers, self.calls
            ))
        };
        loop {
            match open.consumer.poll(permit.left().map_err(nobody)?.min(LOOK_UP)) {
                Some(Ok(record)) => {
                    let answer = answer_to(&asked.call_id, record.payload().unwrap_or_default());
                    if let Some(answer) = answer {
                        return Ok(answer);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) | None => {}
                Some(Err(error)) => {
                    let failure = failed(&format!("reading `{}`", self.answers), &error);
                    if failure.kind != FailureKind::Unreachable {
                        return Err(failure);
                    }
                    // The consumer comes back by itself, and the call was sent.
                    tracing::debug!(%failure, "answers cannot be read; trying again");
                }
            }
        }
    }

    fn send(&self, producer: &ThreadedProducer<Answers>, permit: &Permit, asked: &Asked) -> Result<(), Failure> {
        let doing = format!("writing to `{}`", self.calls);
        let (told, arrived) = bounded(1);
        let mut record = BaseRecord::<str, str, _>::with_opaque_to(&self.calls, Box::new(told)).payload(&asked.body);
        record.key = asked.device_id.as_deref();
        producer.send(record).map_err(|(error, _)| failed(&doing, &error))?;
        match arrived.recv_timeout(permit.left()?) {
            Ok(delivered) => delivered.map_err(|error| failed(&doing, &error)),
            Err(_) => Err(Failure::unreachable(format!("{doing}: no broker took it in time"))),
        }
    }
}

impl Carrier for Topics {
    fn ask(&mut self, permit: &Permit, asked: &Asked) -> Result<Value, Failure> {
        let open = match self.open.take() {
            Some(open) => open,
            None => self.open(permit)?,
        };
        let answer = self.exchange(&open, permit, asked)?;
        self.open = Some(open);
        Ok(answer)
    }
}

fn not_there(topic: &str, problem: RDKafkaErrorCode) -> Failure {
    match problem {
        RDKafkaErrorCode::UnknownTopicOrPartition => Failure::unreachable(format!(
            "the topic `{topic}` is not there; make it with `vedette topics create`, or correct its name under [gateways]"
        )),
        problem => failed(&format!("looking at `{topic}`"), &KafkaError::AdminOp(problem)),
    }
}

fn failed(doing: &str, error: &KafkaError) -> Failure {
    use RDKafkaErrorCode::*;
    let code = match error {
        KafkaError::AdminOp(code) => Some(*code),
        error => error.rdkafka_error_code(),
    };
    let kind = match code {
        Some(TopicAuthorizationFailed | ClusterAuthorizationFailed | SaslAuthenticationFailed | Authentication) => {
            FailureKind::Unauthorised
        }
        Some(MessageSizeTooLarge) => FailureKind::Refused,
        _ => FailureKind::Unreachable,
    };
    Failure::new(kind, format!("{doing}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_has_to_mend_is_told_from_what_passes() {
        let kind = |code| failed("writing", &KafkaError::MessageProduction(code)).kind;
        assert_eq!(kind(RDKafkaErrorCode::TopicAuthorizationFailed), FailureKind::Unauthorised);
        assert_eq!(kind(RDKafkaErrorCode::AllBrokersDown), FailureKind::Unreachable);
        assert_eq!(kind(RDKafkaErrorCode::MessageSizeTooLarge), FailureKind::Refused);
        let missing = not_there("own.calls", RDKafkaErrorCode::UnknownTopicOrPartition);
        assert!(missing.retry() && missing.message.contains("`own.calls`"), "{missing}");
        assert!(missing.message.contains("vedette topics create"), "{missing}");
    }

    /// A broker that librdkafka plays: what is asked is answered by who reads the calls, and no answer of another counts.
    #[test]
    fn a_call_has_the_answer_with_its_id_and_no_other() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicBool, Ordering};

        use rdkafka::ClientConfig;
        use rdkafka::mocking::MockCluster;
        use rdkafka::producer::{BaseProducer, Producer};

        let cluster = MockCluster::new(1).unwrap();
        ["own.calls", "own.answers"].iter().for_each(|topic| cluster.create_topic(topic, 2, 1).unwrap());
        let brokers = cluster.bootstrap_servers();
        let kafka = KafkaConfig { brokers: brokers.clone(), ..KafkaConfig::default() };
        let ends = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&ends);
        let receiver = std::thread::spawn(move || {
            let client = || ClientConfig::new().set("bootstrap.servers", &brokers).clone();
            let producer: BaseProducer = client().create().unwrap();
            let consumer: BaseConsumer =
                client().set("group.id", "own").set("auto.offset.reset", "earliest").create().unwrap();
            let mut calls = TopicPartitionList::new();
            (0..2).for_each(|partition| _ = calls.add_partition_offset("own.calls", partition, Offset::Beginning));
            consumer.assign(&calls).unwrap();
            while !ended.load(Ordering::Relaxed) {
                let Some(Ok(record)) = consumer.poll(LOOK_UP) else { continue };
                let call: Value = serde_json::from_slice(record.payload().unwrap()).unwrap();
                let key = record.key().map(|key| String::from_utf8_lossy(key).into_owned());
                let answers = [
                    "no JSON".to_owned(),
                    serde_json::json!({"call_id": "another", "error": "not yours"}).to_string(),
                    serde_json::json!({"call_id": call["call_id"], "done": true, "by": key}).to_string(),
                ];
                for answer in answers {
                    producer.send(BaseRecord::<(), str>::to("own.answers").payload(&answer)).unwrap();
                }
                producer.flush(Duration::from_secs(5)).unwrap();
            }
        });
        let topics = TopicConfig {
            calls: "own.calls".to_owned(),
            answers: "own.answers".to_owned(),
            abilities: Vec::new(),
            time_limit_seconds: 10,
            own: Default::default(),
        };
        let mut carrier = Topics::new(&kafka, &topics);
        for number in 0..3 {
            let call_id = format!("call-{number}");
            let body = serde_json::json!({"call_id": call_id}).to_string();
            let asked = Asked { call_id, device_id: Some("pump-1".into()), body };
            let answer = carrier.ask(&Permit::for_tests(), &asked).unwrap();
            assert_eq!((&answer["done"], &answer["by"]), (&Value::from(true), &Value::from("pump-1")));
        }
        assert!(carrier.open.is_some(), "one connection serves them all");
        ends.store(true, Ordering::Relaxed);
        receiver.join().unwrap();
    }
}
