//! Responding, seen from the front door: playbooks compiled, the journal mirrored into the store, the loop in a replay.

pub mod commands;
pub mod gateways;
pub mod playbooks;
pub mod replay;
pub mod rows;
