//! Every shipped product file against a stand-in that behaves as the product does, its traps included; and what the engine
//! must never do, whatever a product file, a device's name or a server says.

mod brokers;
mod clouds;
mod engine;
mod firewalls;
mod networks;
mod rig;
mod server;
mod table;
