//! The product's only `unsafe`: two things librdkafka can do and the crate does not offer.
//!
//! 1. `rd_kafka_consume_batch_queue`: a thousand messages with one call. Taken one by one, the call costs as much as all
//!    the rest librdkafka does for a small message.
//! 2. The id of a topic (KIP-516): a topic that was deleted and made again has its name, and is another log.
//!
//! What makes it sound: a queue is released once, after everyone who uses it, and before its client; every message is destroyed exactly once, after the callback that borrowed it; no pointer leaves this file.

use std::ffi::{CStr, CString};
use std::ptr;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as native;
use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

/// One record, borrowed for as long as the callback runs.
pub struct RawRecord<'m> {
    pub topic: &'m str,
    pub partition: i32,
    pub offset: u64,
    pub key: Option<&'m [u8]>,
    pub value: Option<&'m [u8]>,
    /// Milliseconds since 1970, the broker's or the producer's by the topic's setting.
    pub timestamp: Option<i64>,
    /// The timestamp is the broker's own.
    pub is_appended: bool,
    message: *mut native::rd_kafka_message_t,
}

impl RawRecord<'_> {
    /// Headers in their order; a value may be null.
    pub fn headers(&self) -> Vec<(&str, Option<&[u8]>)> {
        let mut headers = ptr::null_mut();
        let mut found = Vec::new();
        // SAFETY: the message lives as long as `self`; names and values belong to it.
        unsafe {
            if native::rd_kafka_message_headers(self.message, &mut headers)
                != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
            {
                return found;
            }
            loop {
                let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
                let got = native::rd_kafka_header_get_all(headers, found.len(), &mut name, &mut value, &mut size);
                if got != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                    return found;
                }
                let name = CStr::from_ptr(name).to_str().unwrap_or("");
                let value = (!value.is_null()).then(|| slice::from_raw_parts(value.cast::<u8>(), size));
                found.push((name, value));
            }
        }
    }
}

/// What a batch gave besides records.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionProblem {
    pub topic: String,
    pub partition: i32,
    pub code: RDKafkaErrorCode,
}

/// A queue inside librdkafka, released once.
struct Queue(*mut native::rd_kafka_queue_t);

// SAFETY: librdkafka's queues may be used from any thread at the same time.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: ours, and used by nobody after this.
        unsafe { native::rd_kafka_queue_destroy(self.0) }
    }
}

/// Makes partitions deliver to a [`BatchQueue`].
#[derive(Clone)]
pub struct Forwarder(Arc<Queue>);

impl Forwarder {
    /// From now on the partition's records go to the queue. To be called before the partition is assigned, so that none is
    /// delivered elsewhere; `false` when the name cannot be one.
    pub fn forward<C: ConsumerContext>(&self, consumer: &BaseConsumer<C>, topic: &str, partition: i32) -> bool {
        let Ok(topic) = CString::new(topic) else { return false };
        // SAFETY: client and queue are alive; the partition's queue is released here, its forwarding stays.
        unsafe {
            let from = native::rd_kafka_queue_get_partition(consumer.client().native_ptr(), topic.as_ptr(), partition);
            if from.is_null() {
                return false;
            }
            native::rd_kafka_queue_forward(from, self.0.0);
            native::rd_kafka_queue_destroy(from);
        }
        true
    }
}

/// A queue of our own that chosen partitions deliver to; the consumer's own queue is left with its events, which
/// [`BaseConsumer::poll`] serves.
pub struct BatchQueue<C: ConsumerContext + 'static> {
    queue: Arc<Queue>,
    room: Vec<*mut native::rd_kafka_message_t>,
    /// Outlives the queue.
    _consumer: Arc<BaseConsumer<C>>,
}

// SAFETY: `room` is empty between calls.
unsafe impl<C: ConsumerContext> Send for BatchQueue<C> {}

impl<C: ConsumerContext> BatchQueue<C> {
    pub fn new(consumer: Arc<BaseConsumer<C>>, most: usize) -> BatchQueue<C> {
        // SAFETY: the client is alive: we hold it.
        let queue = unsafe { native::rd_kafka_queue_new(consumer.client().native_ptr()) };
        BatchQueue { queue: Arc::new(Queue(queue)), room: Vec::with_capacity(most.max(1)), _consumer: consumer }
    }

    pub fn forwarder(&self) -> Forwarder {
        Forwarder(Arc::clone(&self.queue))
    }

    /// Hands over what is there, at most as many as there is room for, after waiting `timeout` for the first one.
    pub fn consume(
        &mut self,
        timeout: Duration,
        mut take: impl FnMut(&RawRecord<'_>),
        mut problem: impl FnMut(PartitionProblem),
    ) -> usize {
        let wait = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is alive, `room` has the capacity that is named, and librdkafka fills what it says it filled.
        unsafe {
            let got =
                native::rd_kafka_consume_batch_queue(self.queue.0, wait, self.room.as_mut_ptr(), self.room.capacity());
            self.room.set_len(usize::try_from(got).unwrap_or(0));
        }
        let count = self.room.len();
        for message in self.room.drain(..) {
            // SAFETY: each message is ours, not null, and destroyed once, when nothing borrows it any more.
            unsafe {
                let fields = &*message;
                let topic = if fields.rkt.is_null() {
                    ""
                } else {
                    CStr::from_ptr(native::rd_kafka_topic_name(fields.rkt)).to_str().unwrap_or("")
                };
                if fields.err == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                    let mut kind = native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
                    let at = native::rd_kafka_message_timestamp(message, &mut kind);
                    let bytes = |start: *mut std::ffi::c_void, size: usize| {
                        (!start.is_null()).then(|| slice::from_raw_parts(start.cast::<u8>(), size))
                    };
                    take(&RawRecord {
                        topic,
                        partition: fields.partition,
                        offset: fields.offset.max(0) as u64,
                        key: bytes(fields.key, fields.key_len),
                        value: bytes(fields.payload, fields.len),
                        timestamp: (at >= 0).then_some(at),
                        is_appended: kind == native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME,
                        message,
                    });
                } else {
                    let code = RDKafkaErrorCode::from(fields.err);
                    problem(PartitionProblem { topic: topic.to_owned(), partition: fields.partition, code });
                }
                native::rd_kafka_message_destroy(message);
            }
        }
        count
    }
}

/// What the brokers say of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    pub name: String,
    /// Base64 of the topic's id; a broker before 2.8 gives none and the name stands for it.
    pub id: String,
    pub partitions: Vec<i32>,
    /// What this user may do with it.
    pub may: Allowed,
    /// Why there is nothing to say: it does not exist, or must not be looked at.
    pub problem: Option<RDKafkaErrorCode>,
}

/// What a broker lets its user do; all, where it does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    pub read: bool,
    pub write: bool,
}

/// Asks for topics by name; blocks at most `timeout`.
///
/// # Errors
/// The brokers' answer to the whole question, or that there was none in time.
pub fn describe_topics<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    timeout: Duration,
) -> Result<Vec<Described>, RDKafkaErrorCode> {
    let names: Vec<CString> = topics.iter().filter_map(|name| CString::new(*name).ok()).collect();
    let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    let wait = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: everything made here is destroyed here, in the reverse order, and what the result lends is copied before.
    unsafe {
        let client = client.native_ptr();
        let collection = native::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let options =
            native::rd_kafka_AdminOptions_new(client, native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        let mut text = [0; 128];
        native::rd_kafka_AdminOptions_set_request_timeout(options, wait, text.as_mut_ptr(), text.len());
        let refused = native::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1);
        if !refused.is_null() {
            native::rd_kafka_error_destroy(refused);
        }
        let queue = native::rd_kafka_queue_new(client);
        native::rd_kafka_DescribeTopics(client, collection, options, queue);
        let event = native::rd_kafka_queue_poll(queue, wait);
        let answer = if event.is_null() {
            Err(RDKafkaErrorCode::OperationTimedOut)
        } else if native::rd_kafka_event_error(event) != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            Err(RDKafkaErrorCode::from(native::rd_kafka_event_error(event)))
        } else {
            Ok(descriptions(event))
        };
        if !event.is_null() {
            native::rd_kafka_event_destroy(event);
        }
        native::rd_kafka_queue_destroy(queue);
        native::rd_kafka_AdminOptions_destroy(options);
        native::rd_kafka_TopicCollection_destroy(collection);
        answer
    }
}

/// # Safety
/// `event` is a live result of `rd_kafka_DescribeTopics` without an error.
unsafe fn descriptions(event: *mut native::rd_kafka_event_t) -> Vec<Described> {
    // SAFETY: by this function's contract; all pointers belong to the event, and all is copied.
    unsafe {
        let mut count = 0;
        let result = native::rd_kafka_event_DescribeTopics_result(event);
        let topics = native::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        let mut described = Vec::with_capacity(count);
        for place in 0..count {
            let topic = *topics.add(place);
            let name = CStr::from_ptr(native::rd_kafka_TopicDescription_name(topic)).to_string_lossy().into_owned();
            let error = native::rd_kafka_TopicDescription_error(topic);
            let problem = (!error.is_null())
                .then(|| native::rd_kafka_error_code(error))
                .filter(|code| *code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR)
                .map(RDKafkaErrorCode::from);
            let mut partitions = Vec::new();
            let mut id = name.clone();
            let mut many = 0;
            let operations = native::rd_kafka_TopicDescription_authorized_operations(topic, &mut many);
            let operations = if operations.is_null() { &[] } else { slice::from_raw_parts(operations, many) };
            let may = |one| operations.is_empty() || operations.contains(&one);
            let may = Allowed {
                read: may(native::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_READ),
                write: may(native::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_WRITE),
            };
            if problem.is_none() {
                let mut many = 0;
                let list = native::rd_kafka_TopicDescription_partitions(topic, &mut many);
                for place in 0..many {
                    partitions.push(native::rd_kafka_TopicPartitionInfo_partition(*list.add(place)));
                }
                partitions.sort_unstable();
                let uuid = native::rd_kafka_TopicDescription_topic_id(topic);
                if !uuid.is_null() {
                    let text = native::rd_kafka_Uuid_base64str(uuid);
                    if !text.is_null() {
                        id = CStr::from_ptr(text).to_string_lossy().into_owned();
                    }
                }
            }
            described.push(Described { name, id, partitions, may, problem });
        }
        described
    }
}
