//! What Kafka may bring: records and topics of every kind, and users that may not.

mod ahead;
mod cohorts;
mod fed;
mod gone;
mod identities;
mod large;
mod living;
mod records;
mod secure;
pub mod site;
pub mod stream;
mod zombie;
