//! The service against real brokers and a real engine, started and stopped by the tests.

mod cases;
mod clickhouse;
mod collector;
mod engine;
mod faults;
mod fleet;
mod kafka;
mod looking_on;
#[path = "../not_run/mod.rs"]
mod not_run;
mod one_truth;
mod tables;
mod trainer;
mod trouble;
mod vedette;
mod watching;
