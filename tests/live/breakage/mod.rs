//! What services meet: a store that fails in every way, a disk that is full, a stop in the middle of a stream, kills at
//! random moments, records that are wrong.
//!
//! * [`records`]: streams made by hand, whose sums are known
//! * [`namespace`]: a host table and a disk of a test's own

mod disk;
mod hostile;
pub mod kills;
mod namespace;
pub mod records;
mod sigterm;
mod store;
