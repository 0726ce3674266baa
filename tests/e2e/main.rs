//! The product as a user runs it: the real binary, real files, nothing mocked.
//!
//! `VEDETTE_DATA`, or `../shared/data` beside the project, has the recordings that cannot be shipped (README, "Data"). Tests
//! that need them say loudly when they did not run.

mod audit;
mod automatic;
mod bad_input;
mod demo;
mod evidence;
mod interrupted;
#[path = "../not_run/mod.rs"]
mod not_run;
mod people;
mod playbooks;
mod purity;
mod recordings;
mod support;
mod your_own_data;
