//! Network access control, and controllers of wireless networks.

mod clearpass;
mod ise;
mod omada;
mod packetfence;
mod unifi;
