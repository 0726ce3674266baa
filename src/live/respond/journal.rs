//! The journal in a Kafka topic of one partition. Its producer is transactional under one id: whoever begins last fences the
//! others at once, so the chain cannot fork.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use ingest::kafka::client::{Purpose, create, failed};
use ingest::kafka::committed::{Committed, bounds, committed};
use ingest::kafka::config::KafkaConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaError};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use responders::book::Book;
use responders::journal::{Body, Chain, Entry, Journal, JournalError};
use responders::send::boot_time;

use super::lease::OwnLease;
use crate::live::StandsStill;
use crate::live::route::partitions::Quiet;

/// For an answer of the brokers.
const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(100);
/// Nothing came for so long after what seemed to be the end.
const SETTLED: Duration = Duration::from_millis(500);

pub struct KafkaJournal {
    producer: BaseProducer<Quiet>,
    topic: String,
    /// A group that nobody is in: [`Told`] stands under it.
    group: ConsumerGroupMetadata,
    findings: String,
    /// Which logs positions are of: one that is made again has others.
    logs: Logs,
    told: Told,
    lease: OwnLease,
    /// Offset beyond the last entry.
    next: i64,
    /// Of the last round to the brokers that told us that it is still ours.
    proven: Instant,
    /// When they were last told how far people were told.
    noted: Instant,
}

impl ProducerContext for Quiet {
    type DeliveryOpaque = ();

    /// The transaction says whether they arrived.
    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// How far people were told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Of entries of the journal: the last one's number.
    pub seq: u64,
    /// Offset in the findings topic: what is below was told.
    pub findings: u64,
}

/// Ids of topics.
struct Logs {
    journal: String,
    findings: String,
}

impl Told {
    /// Nothing was committed: everything in the journal was told by a release that did not say so.
    fn of(journal: &Committed, findings: &Committed, logs: &Logs) -> Told {
        let seq = journal.metadata.strip_prefix("v1 told=").and_then(|rest| rest.split_once(" topic="));
        let seq = seq.filter(|(_, topic)| *topic == logs.journal).and_then(|(seq, _)| seq.parse().ok());
        // What was told is answered in the journal it was told beside, and in no other.
        let is_of_it = seq.is_some() && findings.metadata.strip_prefix("v1 topic=") == Some(logs.findings.as_str());
        Told { seq: seq.unwrap_or(u64::MAX), findings: findings.offset.filter(|_| is_of_it).unwrap_or(0) }
    }

    fn of_journal(&self, logs: &Logs) -> String {
        format!("v1 told={} topic={}", self.seq, logs.journal)
    }
}

/// Who came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// Nobody, or it said that it ended.
    Nobody,
    /// It, or one before it, may still be there, and send for so long on the brokers' word.
    MayAct(Duration),
}

impl Before {
    fn and(self, body: &Body) -> Before {
        match (self, body) {
            (_, Body::Ended(_)) => Before::Nobody,
            (Before::MayAct(lasts), Body::Began(began)) => Before::MayAct(lasts.max(began.lease())),
            (_, Body::Began(began)) => Before::MayAct(began.lease()),
            (before, _) => before,
        }
    }
}

impl KafkaJournal {
    /// Fences whoever kept it before, and reads it from its beginning: each entry goes to `each`, with whether people were told.
    ///
    /// # Errors
    /// Brokers do not answer; the topic is not there; the journal was changed.
    pub fn take_over(
        kafka: &KafkaConfig,
        lease: OwnLease,
        mut each: impl FnMut(&Entry, bool),
    ) -> anyhow::Result<(Arc<Mutex<KafkaJournal>>, Book, Before)> {
        let admin = ingest::kafka::topics::admin(kafka)?;
        let id = |topic: &str| crate::live::our_topic(admin.inner(), topic).map_err(missing).map(|topic| topic.id);
        let logs = Logs { journal: id(&kafka.journal)?, findings: id(&kafka.findings)? };
        let producer: BaseProducer<Quiet> = create(kafka, Purpose::Owner { role: "journal" }, Quiet)?;
        // Whoever lost its place meanwhile must not shut out the one that has it.
        if !lease.has_place() {
            let (doing, problem) = (format!("taking over `{}`", kafka.journal), "the place is another's".to_owned());
            return Err(ingest::Error::Kafka { doing, problem, retry: true }.into());
        }
        producer
            .init_transactions(PATIENCE * 2)
            .map_err(|error| failed(format!("taking over `{}`", kafka.journal), &error))?;
        let consumer = reader_of(kafka, Purpose::ReaderOf { role: "respond" })?;
        let of = |topic: &str| committed(&consumer, topic, 0);
        let mut told = Told::of(&of(&kafka.journal)?, &of(&kafka.findings)?, &logs);
        let (mut book, mut before) = (Book::default(), Before::Nobody);
        let next = read(kafka, &consumer, &mut book.chain.clone(), |entry| {
            before = before.and(&entry.body);
            each(entry, entry.seq <= told.seq);
            book.fold(entry);
        })?;
        told.seq = told.seq.min(book.chain.seq);
        let group =
            consumer.group_metadata().ok_or_else(|| anyhow!("the reader of `{}` has no group", kafka.journal))?;
        lease.renew(boot_time());
        let (topic, findings) = (kafka.journal.clone(), kafka.findings.clone());
        let (proven, noted) = (Instant::now(), Instant::now());
        let journal = KafkaJournal { producer, topic, group, findings, logs, told, lease, next, proven, noted };
        Ok((Arc::new(Mutex::new(journal)), book, before))
    }

    /// How far people were told, as the brokers have it.
    pub fn told(&self) -> Told {
        self.told
    }

    /// Asks the brokers whether it is still ours, if that was not asked for long, or if people were told of more and the brokers
    /// did not hear of it `within` that time.
    pub fn renew(&mut self, told: Told, within: Duration) -> Result<(), JournalError> {
        let is_news = told != self.told && self.noted.elapsed() >= within;
        if !is_news && self.proven.elapsed() < self.lease.renewed() {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.told, told);
        self.transact(&[]).inspect_err(|_| self.told = before)?;
        self.noted = Instant::now();
        Ok(())
    }

    fn transact(&mut self, lines: &[String]) -> Result<(), JournalError> {
        // The lease counts from before the question: whoever takes over does so after it.
        let asked = boot_time();
        self.producer.begin_transaction().map_err(|error| lost_or_later(&error))?;
        match self.send(lines) {
            Ok(()) => {
                // Behind records stands the end of their transaction; of one without any it stands elsewhere.
                if !lines.is_empty() {
                    self.next += i64::try_from(lines.len()).unwrap_or(0) + 1;
                }
                self.proven = Instant::now();
                self.lease.renew(asked);
                Ok(())
            }
            // Whether it was written is not known: whoever begins again reads it.
            Err((error, true)) => {
                self.lease.lose();
                Err(JournalError::Lost(error.to_string()))
            }
            Err((error, false)) => {
                let verdict = lost_or_later(&error);
                if matches!(verdict, JournalError::Lost(_)) || self.abort().is_err() {
                    self.lease.lose();
                    return Err(JournalError::Lost(error.to_string()));
                }
                Err(verdict)
            }
        }
    }

    /// It waits for what was sent to be told of, which only happens while somebody polls.
    fn abort(&self) -> Result<(), KafkaError> {
        let until = Instant::now() + PATIENCE * 4;
        loop {
            match self.producer.abort_transaction(POLL * 5) {
                Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < until => {
                    self.producer.poll(POLL);
                }
                done => return done,
            }
        }
    }

    /// With an error comes whether the transaction may be committed all the same.
    fn send(&self, lines: &[String]) -> Result<(), (KafkaError, bool)> {
        for line in lines {
            let record = BaseRecord::<(), _>::to(&self.topic).partition(0).payload(line.as_bytes());
            self.producer.send(record).map_err(|(error, _)| (error, false))?;
        }
        if lines.is_empty() {
            let offsets = self.positions().map_err(|error| (error, false))?;
            self.producer
                .send_offsets_to_transaction(&offsets, &self.group, PATIENCE)
                .map_err(|error| (error, false))?;
        }
        self.producer.commit_transaction(PATIENCE).map_err(|error| {
            // What could not be sent was not committed either: the end of the transaction comes after it.
            let is_undone = match &error {
                KafkaError::Flush(_) => true,
                KafkaError::Transaction(error) => error.txn_requires_abort(),
                _ => false,
            };
            (error, !is_undone)
        })
    }
}

impl KafkaJournal {
    fn positions(&self) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::new();
        let mut of_journal = list.add_partition(&self.topic, 0);
        of_journal.set_offset(Offset::Offset(self.next))?;
        of_journal.set_metadata(self.told.of_journal(&self.logs));
        let mut of_findings = list.add_partition(&self.findings, 0);
        of_findings.set_offset(Offset::Offset(i64::try_from(self.told.findings).unwrap_or(i64::MAX)))?;
        of_findings.set_metadata(format!("v1 topic={}", self.logs.findings));
        Ok(list)
    }
}

/// Other roles go on meanwhile.
pub fn missing(error: anyhow::Error) -> anyhow::Error {
    if crate::live::may_pass(&error) { error } else { StandsStill(format!("{error:#}")).into() }
}

/// What trying again may mend, without anything having been written.
fn lost_or_later(error: &KafkaError) -> JournalError {
    let fatal = |error: &RDKafkaError| {
        error.is_fatal() || matches!(error.code(), RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced)
    };
    match error {
        KafkaError::Transaction(inner) if !fatal(inner) => JournalError::Later(error.to_string()),
        KafkaError::Flush(_) => JournalError::Later(error.to_string()),
        KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => JournalError::Later(error.to_string()),
        _ => JournalError::Lost(error.to_string()),
    }
}

/// The journal of the loop, which the thread that renews the lease has too.
pub struct Shared(pub Arc<Mutex<KafkaJournal>>);

impl Journal for Shared {
    fn append(&mut self, lines: &[String]) -> Result<(), JournalError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).transact(lines)
    }
}

pub fn reader(kafka: &KafkaConfig) -> anyhow::Result<BaseConsumer<Quiet>> {
    reader_of(kafka, Purpose::Reader { to_its_end: true })
}

fn reader_of(kafka: &KafkaConfig, purpose: Purpose) -> anyhow::Result<BaseConsumer<Quiet>> {
    let consumer: BaseConsumer<Quiet> = create(kafka, purpose, Quiet)?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&kafka.journal, 0, Offset::Beginning)?;
    consumer.assign(&list)?;
    Ok(consumer)
}

/// From where the reader is to the journal's present end; gives the offset beyond.
///
/// # Errors
/// Brokers do not answer; the journal is broken, where.
pub fn read(
    kafka: &KafkaConfig,
    consumer: &BaseConsumer<Quiet>,
    chain: &mut Chain,
    mut each: impl FnMut(&Entry),
) -> anyhow::Result<i64> {
    read_lines(kafka, consumer, chain, |entry, _| each(entry))
}

/// The same, each entry with its line.
///
/// # Errors
/// As [`read`].
pub fn read_lines(
    kafka: &KafkaConfig,
    consumer: &BaseConsumer<Quiet>,
    chain: &mut Chain,
    mut each: impl FnMut(&Entry, &str),
) -> anyhow::Result<i64> {
    let (first, end) = bounds(consumer, &kafka.journal, 0)?;
    if first > 0 && chain.seq == 0 {
        let problem = format!(
            "the journal `{}` has lost its beginning (its first offset is {first}): what is in force is not known any more. Was \
             retention set on the topic? Look at the gateways, release by hand, and begin with a new `journal` topic",
            kafka.journal
        );
        return Err(StandsStill(problem).into());
    }
    let mut since = Instant::now();
    let mut next = 0;
    let mut at_end: Option<Instant> = None;
    loop {
        match consumer.poll(POLL) {
            Some(Ok(record)) => {
                since = Instant::now();
                at_end = None;
                next = record.offset() + 1;
                let line = std::str::from_utf8(record.payload().unwrap_or_default()).unwrap_or_default();
                each(&entry(kafka, &record, chain)?, line);
            }
            // What was aborted, and the ends of transactions, are passed over without a word: the last entry may stand long before
            // the end. But right after a leader changed, the end may seem to come before what was written last.
            Some(Err(KafkaError::PartitionEOF(_))) => {
                if end == first || u64::try_from(next).unwrap_or(0) + 1 >= end {
                    return Ok(next);
                }
                at_end.get_or_insert_with(Instant::now);
            }
            Some(Err(error)) => {
                let error = failed(format!("reading `{}`", kafka.journal), &error);
                if !error.retry() {
                    return Err(error.into());
                }
            }
            None => {}
        }
        if at_end.is_some_and(|at| at.elapsed() > SETTLED) {
            return Ok(next);
        }
        if since.elapsed() > PATIENCE * 2 {
            let problem = "its end was not reached in time".to_owned();
            let error = ingest::Error::Kafka { doing: format!("reading `{}`", kafka.journal), problem, retry: true };
            return Err(error).context("the journal cannot be read");
        }
    }
}

/// The chain's next entry.
///
/// # Errors
/// It is none.
pub fn entry(kafka: &KafkaConfig, record: &BorrowedMessage<'_>, chain: &mut Chain) -> anyhow::Result<Entry> {
    let line = std::str::from_utf8(record.payload().unwrap_or_default()).unwrap_or_default();
    let entry = chain.read(line).map_err(|fault| {
        StandsStill(format!(
            "the journal `{}` is broken at offset {}: {fault}. Nothing is done before somebody has looked: `vedette audit verify`",
            kafka.journal,
            record.offset()
        ))
    })?;
    Ok(entry)
}

/// The journal from its beginning, on and on.
pub struct Followed<'k> {
    kafka: &'k KafkaConfig,
    consumer: BaseConsumer<Quiet>,
    chain: Chain,
}

impl<'k> Followed<'k> {
    pub fn new(kafka: &'k KafkaConfig) -> anyhow::Result<Followed<'k>> {
        Ok(Followed {
            kafka,
            consumer: reader_of(kafka, Purpose::Reader { to_its_end: false })?,
            chain: Chain::default(),
        })
    }

    /// Up to its present end.
    ///
    /// # Errors
    /// As [`read`].
    pub fn catch_up(&mut self, each: impl FnMut(&Entry)) -> anyhow::Result<()> {
        read(self.kafka, &self.consumer, &mut self.chain, each).map(|_| ())
    }

    /// The next entry, if there is one within this time; brokers that are away have none.
    ///
    /// # Errors
    /// The journal is broken, or they refuse it.
    pub fn next(&mut self, wait: Duration) -> anyhow::Result<Option<Entry>> {
        match self.consumer.poll(wait) {
            Some(Ok(record)) => entry(self.kafka, &record, &mut self.chain).map(Some),
            Some(Err(KafkaError::PartitionEOF(_))) | None => Ok(None),
            Some(Err(error)) => {
                let error = failed(format!("following `{}`", self.kafka.journal), &error);
                // The consumer comes back by itself.
                if error.retry() { Ok(None) } else { Err(error.into()) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use responders::journal::entry::Began;

    use super::*;

    #[test]
    fn how_far_people_were_told_is_of_this_log_and_of_no_other() {
        let logs = Logs { journal: "j1".to_owned(), findings: "f1".to_owned() };
        let told = Told { seq: 7, findings: 40 };
        let committed = |offset, metadata: &str| Committed { offset: Some(offset), metadata: metadata.to_owned() };
        let (journal, findings) = (committed(9, &told.of_journal(&logs)), committed(40, "v1 topic=f1"));
        assert_eq!(Told::of(&journal, &findings, &logs), told);
        let again = Logs { journal: "j2".to_owned(), findings: "f2".to_owned() };
        let nothing = Told { seq: u64::MAX, findings: 0 };
        assert_eq!(Told::of(&journal, &findings, &again), nothing, "findings of another log are told");
        assert_eq!(Told::of(&Committed::default(), &Committed::default(), &logs), nothing);
        assert_eq!(Told::of(&committed(9, ""), &findings, &logs).seq, u64::MAX, "as releases before committed it");
    }

    #[test]
    fn the_longest_lease_of_those_who_did_not_say_that_they_ended_is_waited_for() {
        let began = |lease_seconds| Began { owner: "one".to_owned(), release: "0.1.0".to_owned(), lease_seconds };
        let after = |bodies: &[Body]| bodies.iter().fold(Before::Nobody, |before, body| before.and(body));
        let waits = |seconds| Before::MayAct(Duration::from_secs(seconds));
        assert_eq!(after(&[Body::Began(began(8))]), waits(8));
        assert_eq!(after(&[Body::Began(began(8)), Body::Began(began(1))]), waits(8), "the first may be asleep");
        assert_eq!(after(&[Body::Began(began(8)), Body::Ended(began(8))]), Before::Nobody);
        assert_eq!(after(&[Body::Began(began(8)), Body::Ended(began(8)), Body::Began(began(2))]), waits(2));
    }
}
