//! Responding, seen from the front door: playbooks compiled, the journal mirrored into the store, the loop in a replay,
//! what is known of an incident in one file.

pub mod commands;
pub mod evidence;
pub mod gateways;
pub mod playbooks;
pub mod replay;
pub mod rows;
