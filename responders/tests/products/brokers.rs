//! Brokers.

mod emqx;
mod hivemq;
