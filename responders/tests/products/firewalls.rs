//! Firewalls.

mod opnsense;
