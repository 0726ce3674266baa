//! Whose a reading is, at its event time. Pure: no clock, no I/O but the inventory's reader.
//!
//! * [`inventory`]: what the operator knows of the fleet
//! * [`router`]: a reading to the one or two devices it is of
//! * [`known`]: identities to devices, unknown ones included
//! * [`by_device`]: the same tables, from a device to its names
//! * [`leases`]: who had an address when
//! * [`learned`], [`sharing`]: what routers tell each other of that
//! * [`naming`]: what a device is known by now
//! * [`lanes`]: which lane a cohort belongs to

mod by_device;
mod inventory;
mod known;
mod lanes;
mod learned;
mod leases;
mod naming;
mod router;
mod sharing;

pub use inventory::{COLUMNS, Inventory};
pub use lanes::LaneTable;
pub use learned::{Holder, Learned};
pub use naming::{NameKind, Usable};
pub use router::{Replaced, Router, RouterCounters, Routes};
