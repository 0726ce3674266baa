//! What people complain about in programs that quarantine, one test named after each complaint; and the loop under
//! everything at once: faults, kills between any two transitions, clocks.

mod address;
mod gateway;
mod gateways_word;
mod model;
mod people;
mod restart;
mod rivals;
mod rules;
mod steps;
mod storm;
mod town;
mod verdicts;
mod world;
