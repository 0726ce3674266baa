//! The HTTP API: who looks, approves, releases, gives verdicts; every call is an entry of the audit.
//!
//! It decides who may ask for what, and no more: what is asked for is answered by a [`Desk`], which the front door
//! implements over the journal. The one asynchronous part of this room; a desk blocks, on threads of its own.
//!
//! * [`config`]: where it listens, and what must be set before it does
//! * [`desk`]: what the front door answers; who asks; why not
//! * [`command`]: what can be asked for; [`views`]: what can be looked at
//! * [`server`]: listening, TLS, limits, the end
//! * `guard`: each call's way: who, how large, how long, what is written down
//! * `reads`, `writes`: the routes, by role; `extract`: their parameters
//! * [`document`]: the same routes as an OpenAPI document
//! * [`client`]: for the commands

pub mod client;
pub mod command;
pub mod config;
pub mod desk;
pub mod document;
mod extract;
mod guard;
mod reads;
pub mod server;
pub mod views;
mod writes;

pub use client::Client;
pub use command::{Command, CommandOutcome};
pub use config::ApiConfig;
pub use desk::{Asked, Call, Caller, Desk, Refusal};
pub use server::Server;
