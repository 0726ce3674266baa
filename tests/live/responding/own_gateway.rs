//! A gateway of one's own as `docs/gateways-own.md` asks for: it reads calls from a topic, keeps what it did, and answers on
//! another one. It can be made to forget an answer, to answer late, to fail, and to find that somebody else was there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use fleet::EventTime;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::cases::stream::{Raw, Sender, now, to};

pub const CALLS: &str = "own.calls";
pub const ANSWERS: &str = "own.answers";
/// Vedette waits for an answer so long, seconds.
pub const TIME_LIMIT: u64 = 2;
const POLL: Duration = Duration::from_millis(20);
pub const SOMEBODY: &str = "somebody else";

/// What goes wrong with an action, the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It is carried out, and nobody is told.
    Forgotten,
    /// It is carried out, and told when nobody waits any more.
    Late,
    /// It is not carried out, and may work later.
    Failed,
    /// Once it is in force, somebody else takes the device.
    Taken,
}

/// Of the actions in the order in which they come; the others go well.
const FAULTS: [Option<Fault>; 5] =
    [None, Some(Fault::Forgotten), Some(Fault::Late), Some(Fault::Failed), Some(Fault::Taken)];

#[derive(Default)]
pub struct Kept {
    /// By device: whose action, or who else, restricts it.
    pub held: BTreeMap<String, String>,
    /// By action: how often it was called to be applied, and how often that made an entry.
    pub applied: BTreeMap<String, (u32, u32)>,
    pub faults: BTreeMap<Fault, String>,
    /// How often it was looked at what [`Fault::Taken`] befalls.
    pub looks: u32,
    /// Calls that nobody waited for any more when they were read.
    pub passed_over: u32,
    pub calls: BTreeSet<String>,
}

pub struct OwnGateway {
    kept: Arc<Mutex<Kept>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl OwnGateway {
    /// From the topic's first record on.
    pub fn start(bootstrap: &str) -> OwnGateway {
        let (kept, ends): (Arc<Mutex<Kept>>, Arc<AtomicBool>) = Default::default();
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("group.id", "own-gateway")
            .set("enable.auto.commit", "false")
            .create()
            .expect("a consumer");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(CALLS, 0, Offset::Beginning).expect("an offset");
        consumer.assign(&list).expect("a partition to read");
        let sender = Sender::new(bootstrap, &[("linger.ms", "0")]);
        let (keeping, ended) = (Arc::clone(&kept), Arc::clone(&ends));
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let Some(Ok(record)) = consumer.poll(POLL) else { continue };
                let call: Value = serde_json::from_slice(record.payload().expect("a call")).expect("a call is JSON");
                let key = record.key().map(|key| String::from_utf8_lossy(key).into_owned());
                assert_eq!(key.as_deref(), call["action"]["device_id"].as_str(), "calls of a device stay in order");
                read(&keeping, &sender, &call);
            }
        });
        OwnGateway { kept, ends, thread: Some(thread) }
    }

    pub fn look<T>(&self, with: impl FnOnce(&Kept) -> T) -> T {
        with(&self.kept.lock().expect("its thread has not panicked"))
    }
}

impl Drop for OwnGateway {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn read(kept: &Mutex<Kept>, sender: &Sender, call: &Value) {
    let answer_by = call["answer_by"].as_str().and_then(EventTime::parse).expect("a time");
    if answer_by.0 < now() {
        kept.lock().expect("nobody panics with it").passed_over += 1;
        return;
    }
    let (said, fault) = kept.lock().expect("nobody panics with it").carry_out(call);
    if fault == Some(Fault::Late) {
        std::thread::sleep(Duration::from_secs(TIME_LIMIT + 1));
    }
    // Somebody else's answer is nobody's.
    let other = json!({"call_id": "of-another-call", "error": "this is not yours", "found": "absent"});
    let mut answers = vec![other.to_string(), "no JSON".to_owned()];
    if fault != Some(Fault::Forgotten) {
        let mut said = said;
        said["call_id"] = call["call_id"].clone();
        answers.push(said.to_string());
    }
    for answer in &answers {
        sender.send(Raw { key: call["action"]["device_id"].as_str(), ..to(ANSWERS, 0, answer) });
    }
    sender.flush();
}

impl Kept {
    fn carry_out(&mut self, call: &Value) -> (Value, Option<Fault>) {
        let kind = call["call"].as_str().expect("a call says what it is");
        self.calls.insert(kind.to_owned());
        if kind == "probe" {
            return (json!({"done": true}), None);
        }
        let id = call["action"]["action_id"].as_str().expect("an id").to_owned();
        let device = call["action"]["names"]["thing"].as_str().expect("a thing").to_owned();
        let holder = self.held.get(&device).cloned();
        let is_ours = holder.as_ref() == Some(&id);
        match kind {
            "apply" => {
                let number = self.applied.len();
                let (calls, entries) = self.applied.entry(id.clone()).or_default();
                *calls += 1;
                let fault = if *calls == 1 { FAULTS.get(number).copied().flatten() } else { None };
                if let Some(fault) = fault {
                    self.faults.insert(fault, id.clone());
                }
                if fault == Some(Fault::Failed) {
                    return (json!({"error": "the switch is rebooting", "retry": true}), fault);
                }
                if holder.is_none() {
                    *entries += 1;
                    self.held.insert(device, id);
                } else if !is_ours {
                    return (json!({"error": format!("held by {}", holder.unwrap_or_default())}), fault);
                }
                (json!({"done": true, "already": is_ours}), fault)
            }
            "read_back" => {
                if is_ours && self.faults.get(&Fault::Taken) == Some(&id) {
                    // From the third look on: the answer to one of them may come too late.
                    self.looks += 1;
                    if self.looks == 2 {
                        self.held.insert(device, SOMEBODY.to_owned());
                    }
                }
                let found = match &holder {
                    None => "absent",
                    Some(_) if is_ours => "in_force",
                    Some(_) => "foreign",
                };
                (json!({"found": found, "by": holder}), None)
            }
            "undo" if holder.is_some() && !is_ours => (json!({"done": true, "found": "foreign", "by": holder}), None),
            "undo" => (json!({"done": true, "already": self.held.remove(&device).is_none()}), None),
            other => panic!("a call `{other}`"),
        }
    }
}
