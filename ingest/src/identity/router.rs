//! From a reading to the devices it is of: one, two for a flow between devices, or none.

use std::sync::Arc;

use fleet::reading::{Peer, SessionEvent};
use fleet::{Cohort, Device, DeviceKey, EventTime, Fact, Kind, Owner, Place, Reading, Role, place};
use rustc_hash::{FxHashMap, FxHashSet};
use smol_str::SmolStr;

use super::inventory::Inventory;
use super::known::{Found, Known, Touched};
use super::learned::Learned;
use super::naming::{NameKind, Usable};
use crate::Config;

/// What came of routing a reading. The facts hold before it: write them to the log first.
#[derive(Debug, Default)]
pub struct Routes {
    /// For the lane of the cohort.
    pub facts: Vec<(Cohort, Fact)>,
    /// None, one, or the originator and the responder.
    pub owners: Vec<Owner>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouterCounters {
    /// Identities that several devices share (a NAT's address, a shared certificate): attributed to none of them.
    pub shared: u64,
    /// Unknown devices that were one too many (`max_devices`): their readings were dropped.
    pub too_many_devices: u64,
    /// Unknown devices announced.
    pub unknown_devices: u64,
}

/// What another inventory changed.
pub struct Replaced {
    /// As they were.
    pub left: Vec<Arc<Device>>,
    pub changed: Vec<Arc<Device>>,
}

pub struct Router {
    known: Known,
    touched: Vec<Touched>,
    /// The last day (event time) on which a retired device was reported.
    reported: FxHashMap<DeviceKey, i64>,
    counters: RouterCounters,
}

impl Router {
    pub fn new(inventory: Inventory, config: &Config) -> Router {
        let known = Known::new(inventory, config);
        Router { known, touched: Vec::new(), reported: FxHashMap::default(), counters: RouterCounters::default() }
    }

    /// Keeps what it learns, for other routers; see [`Router::take_learned`].
    pub fn telling(mut self) -> Router {
        self.known.tell();
        self
    }

    /// What was learned of the inventory's devices since the last call, to be told before whatever was routed by it; what
    /// changes again and again, once until [`Router::tell_again`].
    pub fn take_learned(&mut self) -> Vec<Learned> {
        self.known.take_learned()
    }

    pub fn tell_again(&mut self) {
        self.known.tell_again();
    }

    /// Takes what another router learned, or this one in a former life. What this inventory itself says holds against what was
    /// learned beside another one.
    pub fn hear(&mut self, learned: &Learned, same_inventory: bool) {
        self.known.hear(learned, same_inventory);
    }

    /// What a device of the inventory is known by now; kinds it has none of are left out. `since`: when it did what is to be
    /// acted upon.
    pub fn names(&self, device: &str, since: EventTime) -> Vec<(NameKind, Usable)> {
        self.known.names(device, since)
    }

    /// Addresses it has beside the one of [`Router::names`], newest first, and those that it had since then and that are
    /// others' now, with why they must not be used.
    pub fn addresses(&self, device: &str, since: EventTime) -> Vec<(std::net::IpAddr, Result<(), String>)> {
        self.known.addresses(device, since)
    }

    /// Gateways that the inventory names for a device, in its order.
    pub fn gateways(&self, device: &str) -> Vec<SmolStr> {
        self.known.gateways(device)
    }

    /// All devices by key: the inventory's first, then unknown ones as they showed up.
    pub fn devices(&self) -> &[Arc<Device>] {
        &self.known.devices
    }

    pub fn counters(&self) -> &RouterCounters {
        &self.counters
    }

    /// Announces every device known so far; to be written to the log before the first reading.
    pub fn announce_all(&self, out: &mut Routes) {
        let told = self.known.devices.iter().filter(|device| !self.known.is_untold(device.key));
        out.facts.extend(told.map(|device| announcement(device, EventTime::MIN)));
    }

    /// What `next` knows, of another inventory, holds from now on: gives who left a cohort, and whoever is new or other than
    /// before. Unknown devices are met anew; device keys are other ones afterwards.
    pub fn replace(&mut self, next: Router) -> Replaced {
        let before = std::mem::replace(&mut self.known, next.known);
        self.reported.clear();
        let now: FxHashMap<&str, &Arc<Device>> =
            self.known.devices.iter().map(|device| (device.id.as_str(), device)).collect();
        let mut left = Vec::new();
        let mut unchanged = FxHashSet::default();
        for device in before.devices.into_iter().filter(|device| device.is_known()) {
            match now.get(device.id.as_str()) {
                Some(same) if same.says_the_same(&device) => _ = unchanged.insert(device.id.clone()),
                Some(other) if other.cohort == device.cohort => {}
                _ => left.push(device),
            }
        }
        let ours = self.known.devices.iter().filter(|device| device.is_known());
        let changed = ours.filter(|device| !unchanged.contains(&device.id));
        Replaced { left, changed: changed.cloned().collect() }
    }

    /// Loads what routing these will need, some tens at a time, before each is routed.
    pub fn touch(&mut self, readings: &[Reading]) {
        self.known.touch(readings.iter().map(|reading| &reading.identity), &mut self.touched);
    }

    /// Puts the side that calls first and finds the device or devices of a reading at its event time. An identity nobody
    /// knows that originates or answers traffic becomes an unknown device, announced before its first reading; the target
    /// of a scan does neither.
    pub fn route(&mut self, reading: &mut Reading, out: &mut Routes) {
        reading.turn_round_mid_stream();
        match &reading.kind {
            Kind::Flow(_) => self.route_flow(reading, out),
            _ => self.route_client(reading, out),
        }
    }

    fn route_flow(&mut self, reading: &Reading, out: &mut Routes) {
        let Kind::Flow(flow) = &reading.kind else { return };
        let (time, identity) = (reading.time, &reading.identity);
        let found = match (&identity.client_id, &identity.certificate) {
            (None, None) => self.known.find_host(identity.mac, identity.ip, time, true),
            _ => self.known.find_client(identity, identity.ip, time, true),
        };
        let originator = self.settle(found, time, true, out);
        let Peer { mac, ip, .. } = flow.responder;
        let answered = flow.answered();
        let found = self.known.find_host(mac, Some(ip), time, answered);
        let responder = self.settle(found, time, answered, out).filter(|key| {
            // Somebody unknown is met by its first answer. What went to it unanswered is never its own, so that it does not
            // matter in which order records come.
            originator != Some(*key) && (answered || self.devices()[key.0 as usize].is_known())
        });
        let originated = originator.map(|device| Owner { device, role: Role::Originator, peer: responder });
        let answered = responder.map(|device| Owner { device, role: Role::Responder, peer: originator });
        out.owners.extend(originated.into_iter().chain(answered));
    }

    fn route_client(&mut self, reading: &Reading, out: &mut Routes) {
        let (time, identity) = (reading.time, &reading.identity);
        let (inbound, address, refused) = match &reading.kind {
            Kind::Message(message) => (message.inbound, None, message.refused),
            Kind::SignIn(sign_in) => (sign_in.inbound, sign_in.address, !sign_in.success),
            Kind::Session(session) => (false, None, session.event == SessionEvent::Refused),
            Kind::Flow(_) | Kind::Posture(_) => (false, None, false),
        };
        let connected_from = match &reading.kind {
            // The address of a take-over is the other client's.
            Kind::Session(session) if session.event != SessionEvent::TakenOver => session.address,
            _ => None,
        };
        let ip = identity.ip.or(connected_from);
        // Whoever guesses client ids from outside, in vain, does not fill our list of devices.
        let ours = identity.mac.is_some() || ip.is_some_and(|address| place(address) == Place::Internal);
        let speaks = !refused || ours;
        let found = self.known.find_client(identity, ip, time, speaks);
        let Some(device) = self.settle(found, time, speaks, out) else { return };
        let other = address.map(|address| self.known.find_host(None, Some(address), time, false));
        let peer = match other {
            Some(Found::Device(other)) if other != device => Some(other),
            _ => None,
        };
        let role = if inbound { Role::Responder } else { Role::Originator };
        out.owners.push(Owner { device, role, peer });
    }

    /// Announces and counts what has to be; gives the device, if there is one.
    fn settle(&mut self, found: Found, time: EventTime, speaks: bool, out: &mut Routes) -> Option<DeviceKey> {
        match found {
            Found::Device(key) if self.known.is_untold(key) => {
                if speaks {
                    self.known.told(key);
                    out.facts.push(announcement(&self.known.devices[key.0 as usize], time));
                }
                Some(key).filter(|_| speaks)
            }
            Found::Device(key) => {
                if speaks {
                    self.report_if_retired(key, time, out);
                }
                Some(key)
            }
            Found::New(key) => {
                self.counters.unknown_devices += 1;
                out.facts.push(announcement(&self.known.devices[key.0 as usize], time));
                Some(key)
            }
            Found::Shared => {
                self.counters.shared += 1;
                None
            }
            Found::OneTooMany => {
                self.counters.too_many_devices += 1;
                None
            }
            Found::Nobody => None,
        }
    }

    fn report_if_retired(&mut self, key: DeviceKey, time: EventTime, out: &mut Routes) {
        if !self.known.is_retired(key, time) {
            return;
        }
        let device = &self.known.devices[key.0 as usize];
        let reported = self.reported.entry(key).or_insert(i64::MIN);
        if time.day() > *reported {
            *reported = time.day();
            out.facts.push((device.cohort.clone(), Fact::RetiredSpoke { device: key, at: time }));
        }
    }
}

fn announcement(device: &Arc<Device>, from: EventTime) -> (Cohort, Fact) {
    (device.cohort.clone(), Fact::Device { device: device.clone(), from })
}
