//! Any product with an HTTP API, described by a TOML file: one engine, no Rust per product.
//!
//! * [`product`]: what such a file says; [`shipped`]: those that come along
//! * [`template`], [`words`], [`scope`]: what may stand in it
//! * [`client`]: one request and its answer; [`run`]: steps, sign-in, retries of it
//! * [`gateway`]: what makes a gateway of it
//!
//! `docs/gateways.md` tells users how to write one.

pub mod client;
pub mod gateway;
pub mod product;
pub mod run;
pub mod scope;
pub mod shipped;
pub mod template;
pub mod words;

pub use gateway::{HttpConfig, HttpGateway};
pub use product::Product;
