//! The tables in ClickHouse, for several processes and for dashboards.
//!
//! * [`config`]: the section `[store.clickhouse]`; there without the feature `clickhouse` too
//! * [`client`]: one server's HTTP interface, its errors, every setting that matters
//! * [`migrate`]: numbered files, applied once under a [`lock`]
//! * [`form`]: what a cluster is told otherwise
//! * [`rowbinary`], [`header`]: batches as rows, and which columns they have
//! * [`tables`], [`read`], [`memory`]: what is written and read back
//! * [`history`]: what a trainer asks; [`excerpt`]: what is kept elsewhere

#[cfg(feature = "clickhouse")]
mod client;
pub mod config;
#[cfg(feature = "clickhouse")]
mod excerpt;
#[cfg(feature = "clickhouse")]
mod form;
#[cfg(feature = "clickhouse")]
mod header;
#[cfg(feature = "clickhouse")]
mod history;
#[cfg(feature = "clickhouse")]
mod lock;
#[cfg(feature = "clickhouse")]
mod memory;
#[cfg(feature = "clickhouse")]
mod migrate;
#[cfg(feature = "clickhouse")]
mod read;
#[cfg(feature = "clickhouse")]
mod rowbinary;
#[cfg(feature = "clickhouse")]
mod tables;

pub use config::ClickHouseConfig;
#[cfg(feature = "clickhouse")]
pub use form::Form;
#[cfg(feature = "clickhouse")]
pub use migrate::{Migration, migrations, statements};
#[cfg(feature = "clickhouse")]
pub use tables::ClickHouseStore;
