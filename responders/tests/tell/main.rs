//! Telling, tried from outside: events against the standard's field lists, messages against what may be told, sinks against
//! real sockets and files.

mod config;
mod events;
mod outbox;
mod people;
mod receivers;
mod sample;
mod sinks;
mod syslog;
mod teller;
mod validator;

#[path = "../../../tests/not_run/mod.rs"]
mod not_run;
