//! The service against real brokers and a real engine, started and stopped by the tests.

mod cases;
mod clickhouse;
mod kafka;
mod one_truth;
mod vedette;
