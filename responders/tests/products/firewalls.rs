//! Firewalls.

mod crowdsec;
mod fortigate;
mod opnsense;
mod pfsense;
