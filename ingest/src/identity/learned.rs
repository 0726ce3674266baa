//! What a router learns from records about the inventory's devices, for the other routers, and for itself after a restart:
//! who has an address, and what stood beside a name.
//!
//! Devices are named by id, as keys are a router's own.

use std::net::IpAddr;

use fleet::{EventTime, Mac};
use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Learned {
    /// Of an address that one of the inventory's devices had: who had it last, ascending.
    Address { address: IpAddr, holders: Vec<Holder> },
    /// A device showed a MAC address, and the inventory knows none of it.
    Mac { mac: Mac, device: SmolStr },
    /// Likewise.
    ClientId { client_id: SmolStr, device: SmolStr },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub device: SmolStr,
    /// Seen there since.
    pub from: EventTime,
}

impl Learned {
    /// What of it is replaced by what is learned later.
    pub fn key(&self) -> String {
        match self {
            Learned::Address { address, .. } => format!("address {address}"),
            Learned::Mac { mac, .. } => format!("mac {mac}"),
            Learned::ClientId { client_id, .. } => format!("client_id {client_id}"),
        }
    }
}

/// Learned since it was last told; each at most once until [`Changes::begin_again`], however often it changes.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    now: FxHashSet<Change>,
    told: FxHashSet<Change>,
    later: FxHashSet<Change>,
}

impl Changes {
    pub(crate) fn note(&mut self, change: Change) {
        let when = if self.told.contains(&change) { &mut self.later } else { &mut self.now };
        when.insert(change);
    }

    pub(crate) fn take(&mut self) -> Vec<Change> {
        let taken: Vec<Change> = self.now.drain().collect();
        self.told.extend(taken.iter().cloned());
        taken
    }

    pub(crate) fn begin_again(&mut self) {
        self.told.clear();
        self.now.extend(self.later.drain());
    }
}

/// That something of it was learned.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Change {
    Address(IpAddr),
    Mac(Mac),
    ClientId(SmolStr),
}
