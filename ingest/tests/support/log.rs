//! Random logs as several routers would write them: disordered, partly late, with quiet sources, sources that come and
//! go, and the readings a crashed router sends again.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use fleet::device::{Criticality, Standing};
use fleet::reading::{Flow, Message, Outcome, Peer, Protocol, SignIn};
use fleet::{
    Batch, Device, DeviceKey, Entry, EventTime, Fact, Identity, Kind, MICROS_PER_SECOND, Mark, Owner, Position,
    Reading, Role, Routed,
};
use proptest::prelude::*;

const LATENESS: i64 = 70;
const SOURCES: u32 = 4;

#[derive(Clone, Debug)]
pub enum Action {
    /// `source` reads `count` records, `seconds` apart, each up to `back` seconds older than its clock.
    Read {
        source: u32,
        count: u8,
        seconds: i64,
        back: i64,
        device: u32,
        salt: u32,
    },
    /// `fresh`: the router has heard by now which sources there are.
    Mark {
        source: u32,
        fresh: bool,
    },
    /// Nothing to read: the broker's clock moves on.
    Quiet {
        source: u32,
        seconds: i64,
    },
    /// The router of `source` starts again `back` records ago.
    Crash {
        source: u32,
        back: u64,
    },
    /// A router that lost its source to another, and did not notice, sends `count` records from `back` ago.
    Zombie {
        source: u32,
        back: usize,
        count: usize,
    },
    /// Of two routers that read the same source, the one that is ahead comes first: `count` records are left out, and come
    /// later, if ever.
    Overtaken {
        source: u32,
        count: usize,
    },
    Join {
        source: u32,
    },
    Remove {
        source: u32,
    },
    Baseline {
        version: u32,
        ahead: i64,
    },
    Left {
        device: u32,
        ahead: i64,
    },
    /// `act` tells that it restricts a device, or does no more; by another clock, and now and then twice.
    Restricted {
        device: u32,
        ahead: i64,
        freed: bool,
    },
    /// A router announces a device; others may have done so.
    Meet {
        device: u32,
        ahead: i64,
    },
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub crashes: bool,
    first_sources: u32,
    actions: Vec<Action>,
}

pub fn plan() -> impl Strategy<Value = Plan> {
    (any::<bool>(), 1..=SOURCES, proptest::collection::vec(action(), 20..200))
        .prop_map(|(crashes, first_sources, actions)| Plan { crashes, first_sources, actions })
}

/// With several routers of one source at once: its positions do not ascend, even but for what is sent again.
pub fn plan_with_zombies() -> impl Strategy<Value = Plan> {
    let zombie = (0..SOURCES, 1usize..150, 1usize..12);
    let overtaken = (0..SOURCES, 1usize..12);
    let action = prop_oneof![
        12 => action(),
        2 => zombie.prop_map(|(source, back, count)| Action::Zombie { source, back, count }),
        1 => overtaken.prop_map(|(source, count)| Action::Overtaken { source, count }),
    ];
    (1..=SOURCES, proptest::collection::vec(action, 20..200)).prop_map(|(first_sources, actions)| Plan {
        crashes: true,
        first_sources,
        actions,
    })
}

fn action() -> impl Strategy<Value = Action> {
    let source = 0..SOURCES;
    // Most records are in time, some too late; now and then the world sleeps for days.
    let seconds = prop_oneof![40 => 0i64..30, 6 => 60i64..400, 1 => 86_000i64..400_000];
    let back = prop_oneof![3 => 0i64..10, 3 => 0i64..65, 1 => 60i64..600];
    let read = (source.clone(), 1u8..6, seconds, back, 0u32..12, any::<u32>()).prop_map(
        |(source, count, seconds, back, device, salt)| Action::Read { source, count, seconds, back, device, salt },
    );
    prop_oneof![
        20 => read,
        12 => (source.clone(), proptest::bool::weighted(0.6)).prop_map(|(source, fresh)| Action::Mark { source, fresh }),
        2 => (source.clone(), 0i64..200).prop_map(|(source, seconds)| Action::Quiet { source, seconds }),
        2 => (source.clone(), 1u64..30).prop_map(|(source, back)| Action::Crash { source, back }),
        1 => source.clone().prop_map(|source| Action::Join { source }),
        1 => source.prop_map(|source| Action::Remove { source }),
        1 => (1u32..9, -600i64..900).prop_map(|(version, ahead)| Action::Baseline { version, ahead }),
        1 => (0u32..12, -600i64..900).prop_map(|(device, ahead)| Action::Left { device, ahead }),
        2 => (0u32..12, -600i64..900, any::<bool>())
            .prop_map(|(device, ahead, freed)| Action::Restricted { device, ahead, freed }),
        1 => (0u32..12, -300i64..300).prop_map(|(device, ahead)| Action::Meet { device, ahead }),
    ]
}

struct Source {
    records: Vec<Vec<(Owner, Reading)>>,
    sent: usize,
    clock: i64,
    greatest: Option<i64>,
    active: bool,
    /// The sources its router knows of.
    roster: Arc<[u32]>,
}

pub struct Log {
    pub entries: Vec<(u64, Entry)>,
}

impl Log {
    pub fn written_by(plan: &Plan) -> Log {
        let start = 1_772_409_600;
        let mut log = Log { entries: Vec::new() };
        let mut sources: Vec<Source> = (0..SOURCES)
            .map(|number| Source {
                records: Vec::new(),
                sent: 0,
                clock: start + i64::from(number) * 13,
                greatest: None,
                active: number < plan.first_sources,
                roster: (0..plan.first_sources).collect(),
            })
            .collect();
        let mut now = start;
        for action in &plan.actions {
            let roster: Arc<[u32]> = (0..SOURCES).filter(|&number| sources[number as usize].active).collect();
            match *action {
                Action::Read { source, count, seconds, back, device, salt } => {
                    let state = &mut sources[source as usize];
                    if !state.active {
                        continue;
                    }
                    for step in 0..count {
                        state.clock = (state.clock + seconds).max(now - 200);
                        now = now.max(state.clock);
                        let mixed = salt.rotate_left(u32::from(step) * 7);
                        let time = state.clock * MICROS_PER_SECOND - back * i64::from(mixed % 1_000_003);
                        let position = Position { source, offset: state.records.len() as u64 };
                        state.records.push(record(EventTime(time), position, device + u32::from(step), mixed));
                    }
                    log.send(state, usize::MAX);
                }
                Action::Mark { source, fresh } => {
                    let state = &mut sources[source as usize];
                    if fresh {
                        state.roster = roster;
                    }
                    log.mark(source, state);
                }
                Action::Quiet { source, seconds } => {
                    let state = &mut sources[source as usize];
                    state.clock += seconds;
                    if state.active {
                        state.greatest = state.greatest.map(|greatest| greatest.max(state.clock));
                        log.mark(source, state);
                    }
                }
                Action::Crash { source, back } if plan.crashes => {
                    let state = &mut sources[source as usize];
                    state.sent = state.sent.saturating_sub(back as usize);
                    state.greatest = None;
                    log.send(state, back as usize / 2);
                }
                Action::Crash { .. } => {}
                Action::Zombie { source, back, count } => {
                    let state = &sources[source as usize];
                    let from = state.sent.saturating_sub(back);
                    log.write(&state.records[from..(from + count).min(state.sent)]);
                }
                Action::Overtaken { source, count } => {
                    let state = &mut sources[source as usize];
                    let now = EventTime(state.clock * MICROS_PER_SECOND);
                    let first = state.records.len();
                    for number in first..if state.active { first + count } else { first } {
                        let position = Position { source, offset: number as u64 };
                        state.records.push(record(now, position, number as u32, number as u32 * 7));
                    }
                    state.sent = state.records.len();
                }
                Action::Join { source } => {
                    let state = &mut sources[source as usize];
                    state.active = true;
                    state.roster = roster.iter().copied().chain([source]).collect();
                }
                Action::Remove { source } => {
                    let left = sources.iter().filter(|state| state.active).count();
                    if left > 1 && sources[source as usize].active {
                        sources[source as usize].active = false;
                        log.append(Entry::Fact(Fact::SourceRemoved { source }));
                    }
                }
                Action::Baseline { version, ahead } => {
                    let from = EventTime((now + ahead) * MICROS_PER_SECOND);
                    log.append(Entry::Fact(Fact::Baseline { version, from }));
                }
                Action::Left { device, ahead } => {
                    let from = EventTime((now + ahead) * MICROS_PER_SECOND);
                    log.append(Entry::Fact(Fact::Left { device: DeviceKey(device), from }));
                }
                Action::Restricted { device, ahead, freed } => {
                    let (device, from) = (DeviceKey(device), EventTime((now + ahead) * MICROS_PER_SECOND));
                    let fact = if freed { Fact::Freed { device, from } } else { Fact::Restricted { device, from } };
                    log.append(Entry::Fact(fact));
                }
                Action::Meet { device, ahead } => {
                    let from = EventTime((now + ahead) * MICROS_PER_SECOND);
                    log.append(Entry::Fact(Fact::Device { device: unknown_device(device), from }));
                }
            }
        }
        log
    }

    /// What lane `number` of `lanes` reads: its devices' readings, and every mark and fact.
    pub fn entries_of_lane(&self, number: u32, lanes: u32) -> Vec<(u64, Entry)> {
        let mut own = Vec::new();
        for (offset, entry) in &self.entries {
            let Entry::Batch(batch) = entry else {
                own.push((*offset, entry.clone()));
                continue;
            };
            let is_own = |(_, owner): &&(u32, Owner)| owner.device.0 % lanes == number;
            let rows: Vec<(u32, Owner)> = batch.rows.iter().filter(is_own).copied().collect();
            if !rows.is_empty() {
                own.push((*offset, Entry::Batch(Batch { rows, ..batch.clone() })));
            }
        }
        own
    }

    fn all(&self) -> impl Iterator<Item = Routed<'_>> {
        let batches = self.entries.iter().filter_map(|(_, entry)| match entry {
            Entry::Batch(batch) => Some(batch),
            _ => None,
        });
        batches.flat_map(Batch::iter)
    }

    pub fn readings(&self) -> u64 {
        self.all().count() as u64
    }

    pub fn distinct_readings(&self) -> u64 {
        self.all().map(|routed| (routed.reading.position, routed.owner.device)).collect::<HashSet<_>>().len() as u64
    }

    fn append(&mut self, entry: Entry) {
        // Offsets ascend with gaps, as in a log with transactions.
        let offset = self.entries.last().map_or(5, |(last, _)| last + 1 + last % 3);
        self.entries.push((offset, entry));
    }

    fn send(&mut self, source: &mut Source, at_most: usize) {
        let until = source.sent.saturating_add(at_most).min(source.records.len());
        source.greatest = source.greatest.max(self.write(&source.records[source.sent..until]));
        source.sent = until;
    }

    /// Gives the latest second of the records.
    fn write(&mut self, records: &[Vec<(Owner, Reading)>]) -> Option<i64> {
        let mut latest = None;
        for records in records.chunks(3) {
            let batch: Batch = records.iter().flatten().cloned().collect();
            let seconds = batch.readings.iter().map(|reading| reading.time.0.div_euclid(MICROS_PER_SECOND));
            latest = latest.max(seconds.max());
            self.append(Entry::Batch(batch));
        }
        latest
    }

    fn mark(&mut self, number: u32, source: &Source) {
        let Some(greatest) = source.greatest.filter(|_| source.active) else { return };
        let through = EventTime((greatest - LATENESS) * MICROS_PER_SECOND);
        self.append(Entry::Mark(Mark {
            source: number,
            roster: source.roster.clone(),
            through,
            below: source.sent as u64,
        }));
    }
}

pub fn unknown_device(key: u32) -> Arc<Device> {
    Arc::new(Device {
        key: DeviceKey(key),
        id: "unknown:x".into(),
        criticality: Criticality::default(),
        standing: Standing::Unknown,
        profile: Arc::default(),
    })
}

fn address(last: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 168, 10, (last % 200) as u8 + 1))
}

/// One record: a flow to the internet, a flow between two devices (two readings), a message or a sign-in.
fn record(time: EventTime, position: Position, device: u32, salt: u32) -> Vec<(Owner, Reading)> {
    let device = device % 12;
    let identity = Identity { ip: Some(address(device)), ..Identity::default() };
    let other = (device + 1 + salt % 11) % 12;
    let responder = match salt % 4 {
        0 => Peer { mac: None, ip: address(other), port: 80 },
        _ => Peer { mac: None, ip: IpAddr::V4(Ipv4Addr::new(8, 8, 8, (salt >> 8) as u8 % 30)), port: 443 },
    };
    let kind = match salt % 8 {
        6 => {
            Kind::Message(Message { topic: "site/1/telemetry".into(), payload_bytes: salt % 900, ..Message::default() })
        }
        7 => Kind::SignIn(SignIn { success: salt & 256 == 0, method: "ssh".into(), ..SignIn::default() }),
        _ => Kind::Flow(Flow {
            responder,
            originator_port: 40_000,
            protocol: Protocol::Tcp,
            service: "".into(),
            server_name: None,
            duration: i64::from(salt % 1_000_000),
            bytes_out: u64::from(salt % 1_500),
            bytes_in: u64::from(salt % 7_000),
            packets_out: salt % 9,
            packets_in: salt % 5,
            outcome: if salt.is_multiple_of(5) { Outcome::Unanswered } else { Outcome::Established },
            country: None,
        }),
    };
    let between = matches!(&kind, Kind::Flow(flow) if flow.responder.port == 80);
    let reading = Reading { time, position, identity, kind, malicious: salt.is_multiple_of(50) };
    let (device, other) = (DeviceKey(device), DeviceKey(other));
    let originator = Owner { device, role: Role::Originator, peer: between.then_some(other) };
    let responder = Owner { device: other, role: Role::Responder, peer: Some(device) };
    let owners = if between { vec![originator, responder] } else { vec![originator] };
    owners.into_iter().map(|owner| (owner, reading.clone())).collect()
}
