//! The service against real brokers and a real engine, started and stopped by the tests.

mod clickhouse;
mod collector;
mod faults;
mod fleet;
mod kafka;
mod one_truth;
mod vedette;
mod watching;
