//! Entries of the readings topic as messages, and back.
//!
//! The first byte is the version; what follows is postcard (a compact, documented serde format). Devices stand in a batch
//! by id, once each: keys are a lane's own. A batch is put together reading by reading, so that nothing is copied or
//! kept twice; its readings stand last.

use std::sync::Arc;

use fleet::device::Standing;
use fleet::{Cohort, Criticality, Device, DeviceKey, EventTime, Owner, Profile, Reading, Role};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use thiserror::Error;

use super::members::Members;

/// Of the layout of messages. A lane that meets another one stops and says so.
const VERSION: u8 = 3;
const BATCH: u8 = 0;
const OTHER: u8 = 1;

#[derive(Debug, Error, PartialEq)]
pub enum WireError {
    #[error("version `{found}` of the readings log, expected `{VERSION}`; run the same release in all roles")]
    Version { found: u8 },
    #[error("a message that is no entry of the readings log ({problem}); does something else write to this topic?")]
    Damaged { problem: String },
}

/// What one message says.
#[derive(Debug, PartialEq)]
pub enum Message {
    Batch {
        devices: Vec<SmolStr>,
        rows: Vec<WireOwner>,
        readings: Vec<Reading>,
    },
    Mark(LoggedMark),
    /// In the order in which they hold.
    Facts(Vec<LoggedFact>),
    Rejected(Vec<RejectedRecord>),
    /// The operator says that this raw topic is no more: nobody waits for it.
    TopicRemoved(SmolStr),
    Members(Members),
}

/// Whose row `row` is: places in the batch's devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireOwner {
    row: u32,
    device: u32,
    is_responder: bool,
    peer: Option<u32>,
}

impl WireOwner {
    pub fn owner(&self, keys: &[DeviceKey]) -> Option<(u32, Owner)> {
        let device = *keys.get(self.device as usize)?;
        let peer = match self.peer {
            Some(place) => Some(*keys.get(place as usize)?),
            None => None,
        };
        let role = if self.is_responder { Role::Responder } else { Role::Originator };
        Some((self.row, Owner { device, role, peer }))
    }
}

/// A source's mark; see [`fleet::Mark`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoggedMark {
    pub source: u32,
    pub topic: SmolStr,
    /// A topic that was made again has another id; its partitions are other sources.
    pub topic_id: SmolStr,
    pub partition: i32,
    pub roster: Vec<u32>,
    pub through: EventTime,
    pub below: u64,
}

/// Variants are added at the end: what stands in a log is told apart by their places.
#[expect(clippy::large_enum_variant, reason = "a handful at a time, and most of them devices")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum LoggedFact {
    Device {
        device: DeviceRecord,
        from: EventTime,
    },
    Left {
        device: SmolStr,
        from: EventTime,
    },
    Baseline {
        version: u32,
        from: EventTime,
    },
    RetiredSpoke {
        device: SmolStr,
        at: EventTime,
    },
    /// Told to every lane, for `act` does not know whose the device is.
    Restricted {
        device: SmolStr,
        from: EventTime,
    },
    Freed {
        device: SmolStr,
        from: EventTime,
    },
}

/// A device without a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRecord {
    pub id: SmolStr,
    pub criticality: Criticality,
    pub standing: Standing,
    pub device_type: SmolStr,
    pub site: SmolStr,
    pub segment: SmolStr,
    pub owner: SmolStr,
    pub firmware: SmolStr,
    pub protocol: SmolStr,
    pub purpose: SmolStr,
    pub cohort: Cohort,
}

impl From<&Device> for DeviceRecord {
    fn from(device: &Device) -> DeviceRecord {
        let profile = Profile::clone(&device.profile);
        DeviceRecord {
            id: device.id.clone(),
            criticality: device.criticality,
            standing: device.standing,
            device_type: profile.device_type,
            site: profile.site,
            segment: profile.segment,
            owner: profile.owner,
            firmware: profile.firmware,
            protocol: profile.protocol,
            purpose: profile.purpose,
            cohort: profile.cohort,
        }
    }
}

impl DeviceRecord {
    pub fn profile(&self) -> Profile {
        Profile {
            device_type: self.device_type.clone(),
            site: self.site.clone(),
            segment: self.segment.clone(),
            owner: self.owner.clone(),
            firmware: self.firmware.clone(),
            protocol: self.protocol.clone(),
            purpose: self.purpose.clone(),
            cohort: self.cohort.clone(),
        }
    }

    pub fn device(&self, key: DeviceKey, profile: Arc<Profile>) -> Device {
        Device { key, id: self.id.clone(), criticality: self.criticality, standing: self.standing, profile }
    }
}

/// A record that could not be used, on its way to the table `rejected`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedRecord {
    pub source: u32,
    pub offset: u64,
    /// Topic and partition.
    pub name: SmolStr,
    pub reason: SmolStr,
    pub detail: String,
    pub sample: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
enum Other {
    Mark(LoggedMark),
    Facts(Vec<LoggedFact>),
    Rejected(Vec<RejectedRecord>),
    TopicRemoved(SmolStr),
    Members(Members),
}

impl Message {
    /// # Errors
    /// Another version, or bytes that nobody of ours wrote; never a panic.
    pub fn decode(bytes: &[u8]) -> Result<Message, WireError> {
        let damaged = |problem: &dyn std::fmt::Display| WireError::Damaged { problem: problem.to_string() };
        let (version, rest) = bytes.split_first().ok_or_else(|| damaged(&"it is empty"))?;
        if *version != VERSION {
            return Err(WireError::Version { found: *version });
        }
        let (kind, rest) = rest.split_first().ok_or_else(|| damaged(&"it ends early"))?;
        match *kind {
            BATCH => {
                let ((devices, rows), rest) = postcard::take_from_bytes(rest).map_err(|error| damaged(&error))?;
                let (readings, rest): (Vec<Reading>, _) =
                    postcard::take_from_bytes(rest).map_err(|error| damaged(&error))?;
                let rows: Vec<WireOwner> = rows;
                if !rest.is_empty() || rows.iter().any(|owner| owner.row as usize >= readings.len()) {
                    return Err(damaged(&"its parts do not fit together"));
                }
                Ok(Message::Batch { devices, rows, readings })
            }
            OTHER => match postcard::from_bytes(rest).map_err(|error| damaged(&error))? {
                Other::Mark(mark) => Ok(Message::Mark(mark)),
                Other::Facts(facts) => Ok(Message::Facts(facts)),
                Other::Rejected(records) => Ok(Message::Rejected(records)),
                Other::TopicRemoved(topic) => Ok(Message::TopicRemoved(topic)),
                Other::Members(members) => Ok(Message::Members(members)),
            },
            _ => Err(damaged(&format!("entries of kind `{kind}` do not exist"))),
        }
    }
}

/// Everything but a batch, which [`BatchDraft`] makes.
pub fn encode(message: &Message) -> Vec<u8> {
    let other = match message {
        Message::Mark(mark) => Other::Mark(mark.clone()),
        Message::Facts(facts) => Other::Facts(facts.clone()),
        Message::Rejected(records) => Other::Rejected(records.clone()),
        Message::TopicRemoved(topic) => Other::TopicRemoved(topic.clone()),
        Message::Members(members) => Other::Members(members.clone()),
        Message::Batch { devices, rows, readings } => return encode_batch(devices, rows, readings),
    };
    append(vec![VERSION, OTHER], &other)
}

fn encode_batch(devices: &[SmolStr], rows: &[WireOwner], readings: &[Reading]) -> Vec<u8> {
    append(append(vec![VERSION, BATCH], &(devices, rows)), &readings)
}

/// Serialising into memory fails for no type of ours: none asks for a length it does not know.
fn append(bytes: Vec<u8>, value: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(value, bytes).unwrap_or_default()
}

/// A batch of one lane on its way, put together reading by reading.
#[derive(Default)]
pub struct BatchDraft {
    devices: Vec<SmolStr>,
    places: FxHashMap<DeviceKey, u32>,
    rows: Vec<WireOwner>,
    count: u32,
    readings: Vec<u8>,
    /// A reading is written here first: into a `Vec` each byte would be a call.
    scratch: Vec<u8>,
}

/// Few readings are longer.
const SCRATCH: usize = 1 << 10;

impl BatchDraft {
    /// Readings so far.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn bytes(&self) -> usize {
        self.readings.len()
    }

    pub fn push(&mut self, reading: &Reading, owners: &[Owner], id_of: impl Fn(DeviceKey) -> SmolStr) {
        for owner in owners {
            let device = self.place(owner.device, &id_of);
            let peer = owner.peer.map(|peer| self.place(peer, &id_of));
            self.rows.push(WireOwner { row: self.count, device, is_responder: owner.role == Role::Responder, peer });
        }
        self.count += 1;
        self.scratch.resize(SCRATCH, 0);
        match postcard::to_slice(reading, &mut self.scratch) {
            Ok(bytes) => self.readings.extend_from_slice(bytes),
            Err(_) => self.readings = append(std::mem::take(&mut self.readings), reading),
        }
    }

    fn place(&mut self, key: DeviceKey, id_of: &impl Fn(DeviceKey) -> SmolStr) -> u32 {
        *self.places.entry(key).or_insert_with(|| {
            self.devices.push(id_of(key));
            self.devices.len() as u32 - 1
        })
    }

    /// The message; the draft is empty afterwards, with its room.
    pub fn take(&mut self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16 + self.rows.len() * 8 + self.devices.len() * 16 + self.readings.len());
        bytes.extend([VERSION, BATCH]);
        let mut bytes = append(bytes, &(&self.devices, &self.rows));
        // A list in postcard is its length and its items.
        bytes = append(bytes, &self.count);
        bytes.append(&mut self.readings);
        self.devices.clear();
        self.places.clear();
        self.rows.clear();
        self.count = 0;
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decoder, Format};
    use fleet::Position;

    fn readings() -> Vec<Reading> {
        let page = include_str!("../../../docs/records.md");
        let block = page.split("```native-json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let mut decoder = Decoder::new(Format::Native);
        (0..)
            .zip(block.lines())
            .map(|(offset, line)| {
                let position = Position { source: 7, offset };
                decoder.decode(line.as_bytes(), position).unwrap().unwrap()
            })
            .collect()
    }

    #[test]
    fn a_batch_survives_its_bytes() {
        let mut readings = readings();
        let long = fleet::reading::Message { topic: "t".repeat(2 * SCRATCH).into(), ..Default::default() };
        readings.insert(1, Reading { kind: fleet::Kind::Message(long), ..readings[0].clone() });
        let mut draft = BatchDraft::default();
        let id = |key: DeviceKey| SmolStr::new(format!("device-{}", key.0));
        for (number, reading) in (0..).zip(&readings) {
            let one = Owner { device: DeviceKey(number % 3), role: Role::Originator, peer: Some(DeviceKey(9)) };
            let other = Owner { device: DeviceKey(9), role: Role::Responder, peer: None };
            draft.push(reading, &[one, other], id);
        }
        let bytes = draft.take();
        assert!(draft.is_empty());
        let Message::Batch { devices, rows, readings: read } = Message::decode(&bytes).unwrap() else { panic!() };
        assert_eq!(read, readings);
        assert_eq!((devices.len(), rows.len()), (4, 2 * readings.len()));
        let keys: Vec<DeviceKey> = (10..14).map(DeviceKey).collect();
        let (row, owner) = rows[1].owner(&keys).unwrap();
        assert_eq!((row, owner.role, devices[owner.device.0 as usize - 10].as_str()), (0, Role::Responder, "device-9"));
        assert_eq!(encode(&Message::Batch { devices, rows, readings: read }), bytes, "one layout, however it is made");
    }

    #[test]
    fn restrictions_survive_their_bytes_and_older_facts_stay_readable() {
        let lamp = || SmolStr::new("lamp-1");
        let older = vec![
            LoggedFact::Baseline { version: 3, from: EventTime(5) },
            LoggedFact::RetiredSpoke { device: lamp(), at: EventTime(-6) },
        ];
        let bytes = encode(&Message::Facts(older.clone()));
        // As a release without restrictions wrote them: version, kind, `Facts`, two of them, places 2 and 3.
        assert_eq!(bytes, [&[3, 1, 1, 2, 2, 3, 10, 3, 6][..], &b"lamp-1"[..], &[11][..]].concat());
        let mut facts = older;
        facts.push(LoggedFact::Restricted { device: lamp(), from: EventTime(7) });
        facts.push(LoggedFact::Freed { device: lamp(), from: EventTime::MAX });
        let bytes = encode(&Message::Facts(facts.clone()));
        assert_eq!(Message::decode(&bytes), Ok(Message::Facts(facts)));
        for end in 0..bytes.len() {
            assert!(Message::decode(&bytes[..end]).is_err());
        }
    }

    #[test]
    fn other_versions_and_strangers_are_named() {
        let mark = LoggedMark {
            source: 1,
            topic: "raw".into(),
            topic_id: "uuid".into(),
            partition: 0,
            roster: vec![1, 2],
            through: EventTime(5),
            below: 9,
        };
        let mut bytes = encode(&Message::Mark(mark.clone()));
        assert_eq!(Message::decode(&bytes).unwrap(), Message::Mark(mark));
        for end in 0..bytes.len() {
            assert!(Message::decode(&bytes[..end]).is_err());
        }
        bytes[0] = 9;
        assert_eq!(Message::decode(&bytes), Err(WireError::Version { found: 9 }));
        assert!(Message::decode(b"{\"not\":\"ours\"}").is_err());
    }
}
