//! The service against real brokers and a real engine, started and stopped by the tests. Tests run in the order of their names:
//! the longest begin first.

mod baselines;
mod breakage;
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
mod readme;
mod responding;
mod tables;
mod vedette;
mod watching;
